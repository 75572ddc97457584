//go:build !unix

package app

// fileLimit is how many files the process may have open.
func fileLimit() uint64 { return 1 << 20 }

// diskFree cannot be told here.
func diskFree(string) (free uint64, ok bool) { return 0, false }
