package llama

import (
	"os"
	"syscall"
)

// childAttributes make the kernel kill the child when its parent dies, and keep
// a terminal's interrupt from it: the parent stops it in order.
func childAttributes() *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL, Setpgid: true}
}

func terminate(p *os.Process) error { return p.Signal(syscall.SIGTERM) }
