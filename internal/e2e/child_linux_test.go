package e2e

import "syscall"

// childAttributes make a child end with the tests, whatever ends them.
func childAttributes() *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
}
