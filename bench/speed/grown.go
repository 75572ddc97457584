//go:build linux

package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"runtime"
	"runtime/debug"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"
	"unsafe"
)

// slice is how long one size is measured before the next one's turn: short
// beside the time in which the clock of a machine changes, long beside what the
// caches take to know one process again.
const slice = 40 * time.Millisecond

// headRoom is what the program allocates at start and never touches, so that
// little garbage does not wake the collector.
const headRoom = 8 << 20

// grown is one size of a curve in a process of its own: the memory of one size
// is no other's, for its collector nor for its caches.
type grown struct {
	cmd *exec.Cmd
	in  io.WriteCloser
	out *bufio.Scanner
	// rss is what the process has in memory before the first request, in bytes;
	// compiled how long the gateway took to take the terms.
	rss      int64
	compiled time.Duration
}

// spending is what requests took of the process, its collector included, and
// the most that it had in memory after a slice, in bytes.
type spending struct {
	requests int64
	process  time.Duration
	rss      int64
}

func (s *spending) add(o spending) {
	s.requests += o.requests
	s.process += o.process
	s.rss = max(s.rss, o.rss)
}

// startGrown starts the size n of a curve.
func (b *bench) startGrown(ctx context.Context, curve string, n int) (*grown, error) {
	g := &grown{cmd: exec.CommandContext(ctx, b.self, "grown", curve, strconv.Itoa(n))}
	g.cmd.Stderr = os.Stderr
	g.cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	var err error
	if g.in, err = g.cmd.StdinPipe(); err != nil {
		return nil, err
	}
	out, err := g.cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	g.out = bufio.NewScanner(out)
	if err := g.cmd.Start(); err != nil {
		return nil, err
	}
	var compiled int64
	if err := g.read(&g.rss, &compiled); err != nil {
		return nil, errors.Join(err, g.end())
	}
	g.compiled = time.Duration(compiled)
	return g, nil
}

// read reads the next line of figures.
func (g *grown) read(figures ...*int64) error {
	if !g.out.Scan() {
		return errors.Join(errors.New("the process of this size has ended"), g.out.Err())
	}
	words := strings.Fields(g.out.Text())
	if len(words) != len(figures) {
		return fmt.Errorf("the process of this size says %q", g.out.Text())
	}
	for i, f := range words {
		var err error
		if *figures[i], err = strconv.ParseInt(f, 10, 64); err != nil {
			return err
		}
	}
	return nil
}

// serve has the process serve requests for a slice.
func (g *grown) serve() (s spending, err error) {
	if _, err := fmt.Fprintln(g.in, int64(slice)); err != nil {
		return s, err
	}
	var process int64
	err = g.read(&s.requests, &process, &s.rss)
	s.process = time.Duration(process)
	return s, err
}

// end ends the process.
func (g *grown) end() error {
	_ = g.in.Close()
	return g.cmd.Wait()
}

// runGrown is the role "grown": a gateway under terms of one size, which
// serves for as long as each line of its input says, in ns.
func runGrown(args []string) error {
	if len(args) != 2 {
		return errors.New("want CURVE SIZE")
	}
	n, err := strconv.Atoi(args[1])
	if err != nil {
		return err
	}
	i := slices.IndexFunc(curves(), func(c curve) bool { return c.name == args[0] })
	if i < 0 {
		return fmt.Errorf("no curve %q", args[0])
	}
	room := make([]byte, headRoom)
	defer runtime.KeepAlive(room)
	c := curves()[i]
	h, compiled, err := emptyGateway(c.of(n))
	if err != nil {
		return err
	}
	debug.FreeOSMemory()
	rss, err := residentBytes()
	if err != nil {
		return err
	}
	fmt.Println(rss, int64(compiled))
	l := newCaller(h, c.of(n).keys > 0, n)
	in, before := bufio.NewScanner(os.Stdin), processTime()
	for in.Scan() {
		length, err := strconv.ParseInt(in.Text(), 10, 64)
		if err != nil {
			return err
		}
		served := int64(0)
		for end := time.Now().Add(time.Duration(length)); time.Now().Before(end); {
			for range batch {
				if err := l.call(); err != nil {
					return err
				}
				served++
			}
		}
		// What the collector does between slices is of the requests, too.
		after := processTime()
		took := after - before
		before = after
		rss, err := residentBytes()
		if err != nil {
			return err
		}
		fmt.Println(served, int64(took), rss)
	}
	return in.Err()
}

// batch is how many requests are served between two looks at the clock.
const batch = 20

// caller asks a gateway, over keys that are spread widely where they are many.
type caller struct {
	h              http.Handler
	body           string
	i, every, keys int
}

// active is how many keys have traffic, whatever the number of keys.
const active = 1000

func newCaller(h http.Handler, spread bool, n int) *caller {
	c := &caller{h: h, keys: 1, body: `{"model":"` + modelPlain + `","max_tokens":300,"messages":[{"role":"user","content":"` + strings.Repeat("lorem ip", 128) + `"}]}`}
	if spread {
		c.keys, c.every = n, max(1, n/active)
	}
	return c
}

func (c *caller) call() error {
	c.i++
	r, err := http.NewRequest("POST", "/v1/chat/completions", strings.NewReader(c.body))
	if err != nil {
		return err
	}
	r.Header["Authorization"] = []string{"Bearer " + keyOf(c.i%active*c.every%c.keys)}
	s := &sink{header: http.Header{}}
	if c.h.ServeHTTP(s, r); s.status != http.StatusOK {
		return fmt.Errorf("status %d", s.status)
	}
	return nil
}

// residentBytes is what this process has in memory.
func residentBytes() (int64, error) {
	text, err := os.ReadFile("/proc/self/statm")
	if err != nil {
		return 0, err
	}
	fields := strings.Fields(string(text))
	if len(fields) < 2 {
		return 0, fmt.Errorf("statm says %q", text)
	}
	pages, err := strconv.ParseInt(fields[1], 10, 64)
	return pages * int64(os.Getpagesize()), err
}

// processClock is CLOCK_PROCESS_CPUTIME_ID of Linux.
const processClock = 2

// processTime is the processor time of all threads of this process. (What
// getrusage says is counted in ticks on many kernels.)
func processTime() time.Duration {
	var t syscall.Timespec
	_, _, _ = syscall.RawSyscall(syscall.SYS_CLOCK_GETTIME, processClock, uintptr(unsafe.Pointer(&t)), 0)
	return time.Duration(t.Nano())
}
