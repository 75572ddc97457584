//go:build linux || darwin

package sqlite

import (
	"errors"
	"syscall"
)

// onReadOnlyDisk reports whether nobody can write the file because of the disk
// that it is on. It must not open the file: closing it again would drop the
// locks that this process has on it for SQLite.
func onReadOnlyDisk(path string) bool {
	const write = 2 // W_OK
	return errors.Is(syscall.Access(path, write), syscall.EROFS)
}
