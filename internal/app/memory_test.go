package app

import "testing"

func TestRest_IsSaidOnceAfterAWhile(t *testing.T) {
	var r rest
	said := 0
	turns := func(n int, last uint64) {
		for range n {
			if r.turn(last) {
				said++
			}
		}
	}
	for _, step := range []struct {
		name  string
		turns int
		last  uint64
		said  int
	}{
		{"not yet", restAfter - 1, 7, 0},
		{"a record came", restAfter - 1, 8, 0},
		{"at rest", 1, 8, 1},
		{"still", 3 * restAfter, 8, 1},
		{"once more", restAfter, 9, 2},
	} {
		turns(step.turns, step.last)
		if said != step.said {
			t.Errorf("%s: said %d times, want %d", step.name, said, step.said)
		}
	}
}
