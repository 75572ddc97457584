//go:build !linux

package app

import "runtime/debug"

// releaseMemory gives garbage back to the system.
func releaseMemory() { debug.FreeOSMemory() }
