package llama

func childMain([]string) int { return 0 }
