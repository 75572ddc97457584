//go:build !linux

package app

// hideMemory does nothing here: the system's own settings decide on core dumps.
func hideMemory() {}
