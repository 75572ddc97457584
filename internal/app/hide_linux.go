package app

import "syscall"

const prSetDumpable = 4

// HideMemory keeps keys and prompts out of core dumps and from other
// processes of the same user. It works as far as the system lets it.
func HideMemory() {
	_ = syscall.Setrlimit(syscall.RLIMIT_CORE, &syscall.Rlimit{})
	_, _, _ = syscall.RawSyscall(syscall.SYS_PRCTL, prSetDumpable, 0, 0)
}
