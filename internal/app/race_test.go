//go:build race

package app

// raceEnabled says that the race detector makes everything slower.
const raceEnabled = true
