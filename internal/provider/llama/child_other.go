//go:build !linux

package llama

import (
	"os"
	"syscall"
)

// childAttributes are the system's defaults where there is no engine.
func childAttributes() *syscall.SysProcAttr { return nil }

func terminate(p *os.Process) error { return p.Kill() }
