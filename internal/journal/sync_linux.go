package journal

import (
	"os"
	"syscall"
)

// syncData writes data and length, not the times of the file: one journal
// commit of the file system less than fsync.
func syncData(f *os.File) error {
	raw, err := f.SyscallConn()
	if err != nil {
		return err
	}
	var sync error
	err = raw.Control(func(fd uintptr) {
		for {
			if sync = syscall.Fdatasync(int(fd)); sync != syscall.EINTR {
				return
			}
		}
	})
	if err != nil {
		return err
	}
	if sync != nil {
		return &os.PathError{Op: "fdatasync", Path: f.Name(), Err: sync}
	}
	return nil
}
