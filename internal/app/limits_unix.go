//go:build unix

package app

import "syscall"

// fileLimit is how many files the process may have open.
func fileLimit() uint64 {
	var l syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &l); err != nil {
		return 1024
	}
	return min(uint64(l.Cur), 1<<20)
}

// diskFree is the room in bytes that is left for this process on the file
// system of a path; ok is false where it cannot be told.
func diskFree(path string) (free uint64, ok bool) {
	var s syscall.Statfs_t
	if err := syscall.Statfs(path, &s); err != nil {
		return 0, false
	}
	return uint64(s.Bavail) * uint64(s.Bsize), true
}
