//go:build linux

package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// process is a child and what it starts itself.
type process struct {
	cmd  *exec.Cmd
	log  bytes.Buffer
	done chan struct{}
}

// tick is the unit of CPU time in /proc on Linux.
const tick = 10 * time.Millisecond

const (
	startTime = 2 * time.Minute // the slowest here imports for half a minute
	stopTime  = 10 * time.Second
)

// spawn starts a child that ends with this process at the latest.
func spawn(env []string, name string, args ...string) (*process, error) {
	p := &process{cmd: exec.Command(name, args...), done: make(chan struct{})}
	p.cmd.Env = append(os.Environ(), env...)
	p.cmd.Stdout, p.cmd.Stderr = &p.log, &p.log
	p.cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if err := p.cmd.Start(); err != nil {
		return nil, err
	}
	go func() {
		_ = p.cmd.Wait()
		close(p.done)
	}()
	return p, nil
}

// ready waits until the child accepts connections.
func (p *process) ready(ctx context.Context, address string) error {
	for end := time.Now().Add(startTime); time.Now().Before(end); time.Sleep(2 * time.Millisecond) {
		if conn, err := net.Dial("tcp", address); err == nil {
			return conn.Close()
		}
		select {
		case <-p.done:
			return fmt.Errorf("%s ended: %s", filepath.Base(p.cmd.Path), tail(p.log.String()))
		case <-ctx.Done():
			return ctx.Err()
		default:
		}
	}
	return fmt.Errorf("%s does not listen on %s", filepath.Base(p.cmd.Path), address)
}

func tail(s string) string { return s[max(0, len(s)-1000):] }

// stop asks the child to end, and kills it when it does not.
func (p *process) stop() {
	_ = p.cmd.Process.Signal(syscall.SIGTERM)
	select {
	case <-p.done:
	case <-time.After(stopTime):
		p.kill()
	}
}

func (p *process) kill() {
	_ = p.cmd.Process.Kill()
	<-p.done
}

// pids are the child and its descendants.
func (p *process) pids() []int {
	all := []int{p.cmd.Process.Pid}
	for i := 0; i < len(all); i++ {
		lists, _ := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/children", all[i]))
		for _, name := range lists {
			b, _ := os.ReadFile(name)
			for _, f := range strings.Fields(string(b)) {
				if pid, err := strconv.Atoi(f); err == nil {
					all = append(all, pid)
				}
			}
		}
	}
	return all
}

// cpu is the time that the kernel has charged so far: user and system.
func (p *process) cpu() time.Duration {
	var ticks int64
	for _, pid := range p.pids() {
		b, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
		if err != nil {
			continue
		}
		f := strings.Fields(string(b[bytes.LastIndexByte(b, ')')+1:]))
		for _, s := range f[11:13] {
			n, _ := strconv.ParseInt(s, 10, 64)
			ticks += n
		}
	}
	return time.Duration(ticks) * tick
}

// memory is a figure of /proc/PID/status in bytes: VmRSS now, VmHWM its peak.
func (p *process) memory(name string) int64 {
	var sum int64
	for _, pid := range p.pids() {
		b, _ := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
		for line := range strings.Lines(string(b)) {
			if rest, ok := strings.CutPrefix(line, name+":"); ok {
				n, _ := strconv.ParseInt(strings.Fields(rest)[0], 10, 64)
				sum += n << 10
			}
		}
	}
	return sum
}

// forgetPeak starts the peak of memory anew.
func (p *process) forgetPeak() {
	for _, pid := range p.pids() {
		_ = os.WriteFile(fmt.Sprintf("/proc/%d/clear_refs", pid), []byte("5"), 0o600)
	}
}

// How long a child must burn nothing to be at rest, and how long that is waited
// for.
const (
	quietTime  = 400 * time.Millisecond
	quickQuiet = 120 * time.Millisecond // of a quick run
	settleTime = 20 * time.Second
)

// settle waits until the child burns nothing more for a time, and returns what
// it burnt meanwhile.
func (p *process) settle(ctx context.Context, quiet time.Duration) (burnt time.Duration, err error) {
	begin := p.cpu()
	last, since := begin, time.Now()
	for start := time.Now(); time.Since(start) < settleTime; time.Sleep(20 * time.Millisecond) {
		if err := ctx.Err(); err != nil {
			return 0, err
		}
		if now := p.cpu(); now > last+tick {
			last, since = now, time.Now()
		}
		if time.Since(since) >= quiet {
			return p.cpu() - begin, nil
		}
	}
	return p.cpu() - begin, nil
}

// freeAddress is a port of loopback that nobody listens on.
func freeAddress() (string, error) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", err
	}
	return ln.Addr().String(), ln.Close()
}

// maxFiles is how many files this process and its children may open.
func maxFiles() (int, error) {
	var l syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &l); err != nil {
		return 0, err
	}
	if l.Max == 0 {
		return 0, errors.New("no files may be opened")
	}
	return int(min(l.Max, 1<<20)), nil
}
