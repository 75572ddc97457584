//go:build !linux

package app

import "runtime/debug"

// releaseStart gives the garbage of the start back to the system.
func releaseStart() { debug.FreeOSMemory() }
