//go:build !linux

package app

// HideMemory does nothing here: the system's own settings decide on core dumps.
func HideMemory() {}
