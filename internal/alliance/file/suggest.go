package file

import (
	"slices"
	"strings"
)

// nearest returns the name of names that is closest to word, the first of
// several, or "" when none is close enough to be what was meant.
func nearest(word string, names []string) string {
	if len(word) > 100 {
		return ""
	}
	best, bestDistance := "", max(2, len(word)/3)+1
	if len(word) <= 3 {
		bestDistance = 2
	}
	lower := strings.ToLower(word)
	for _, name := range names {
		if abs(len(name)-len(word)) >= bestDistance {
			continue
		}
		if d := distance(lower, strings.ToLower(name), bestDistance); d < bestDistance {
			best, bestDistance = name, d
		}
	}
	return best
}

func abs(n int) int { return max(n, -n) }

// distance is the edit distance of two words, counting a swap of neighbours
// as one, or limit when it is not below it.
func distance(a, b string, limit int) int {
	before, last := make([]int, len(b)+1), make([]int, len(b)+1)
	for j := range last {
		last[j] = j
	}
	for i := 1; i <= len(a); i++ {
		row := make([]int, len(b)+1)
		row[0] = i
		for j := 1; j <= len(b); j++ {
			cost := 1
			if a[i-1] == b[j-1] {
				cost = 0
			}
			row[j] = min(last[j]+1, row[j-1]+1, last[j-1]+cost)
			if i > 1 && j > 1 && a[i-1] == b[j-2] && a[i-2] == b[j-1] {
				row[j] = min(row[j], before[j-2]+1)
			}
		}
		if slices.Min(row) >= limit {
			return limit
		}
		before, last = last, row
	}
	return last[len(b)]
}
