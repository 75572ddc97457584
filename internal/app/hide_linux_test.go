package app

import (
	"syscall"
	"testing"
)

func TestHideMemory_NoDumpAndNoOtherReader(t *testing.T) {
	HideMemory()
	const prGetDumpable = 3
	if v, _, errno := syscall.RawSyscall(syscall.SYS_PRCTL, prGetDumpable, 0, 0); v != 0 || errno != 0 {
		t.Errorf("the process can be dumped: %d %v", v, errno)
	}
	var l syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_CORE, &l); err != nil || l.Cur != 0 || l.Max != 0 {
		t.Errorf("a core dump may have %d bytes, at most %d: %v", l.Cur, l.Max, err)
	}
}
