package llama

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"
)

// Limits of the supervisor; those with a Default can be set in ChildOptions.
const (
	// DefaultStartTimeout is how long a child may take until it answers.
	DefaultStartTimeout = 60 * time.Second
	// DefaultStopGrace is how long a child may take to end before it is killed.
	DefaultStopGrace = 8 * time.Second
	// DefaultMinBackoff and DefaultMaxBackoff bound the pause before a restart;
	// it doubles with each failure in a row.
	DefaultMinBackoff = 250 * time.Millisecond
	DefaultMaxBackoff = 30 * time.Second
	// DefaultSteady is how long a child must have served for its end to count
	// as the first failure again.
	DefaultSteady = time.Minute
	// DefaultMaxStartFailures is how many children in a row may end without
	// ever having answered before the supervisor gives up.
	DefaultMaxStartFailures = 5

	probeInterval  = 25 * time.Millisecond
	probeTimeout   = 2 * time.Second
	maxSocketPath  = 100
	maxStderrTail  = 2 << 10
	socketName     = "model.sock"
	socketDirStart = "accordo-model-"
)

// State is where a child is in its life.
type State string

// The states of a child.
const (
	StateStarting   State = "starting"
	StateReady      State = "ready"
	StateRestarting State = "restarting"
	StateFailed     State = "failed"
	StateStopped    State = "stopped"
)

// Status is a snapshot of a child.
type Status struct {
	State State `json:"state"`
	// PID is 0 when no process runs.
	PID int `json:"pid"`
	// Restarts counts the processes after the first.
	Restarts int `json:"restarts"`
	// LastError says why the last process ended or did not answer.
	LastError string `json:"last_error,omitempty"`
	// Since is when the state began.
	Since time.Time `json:"since"`
}

// ChildOptions say what to run.
type ChildOptions struct {
	// Serve holds the flags of the child; Socket is chosen by the Child.
	Serve ServeCommand
	// Command is the program and the arguments before the flags. Empty means
	// this program with the argument model-serve.
	Command []string
	// Env is added to this process's environment.
	Env []string
	// Stderr gets the child's log; nil discards it.
	Stderr io.Writer
	// Log gets starts, stops and restarts.
	Log *slog.Logger
	// Limits; 0 takes the default.
	StartTimeout, StopGrace, MinBackoff, MaxBackoff, Steady time.Duration
	MaxStartFailures                                        int
}

// Child keeps one model process running. Run does the work; the other methods
// may be called at any time from any goroutine.
type Child struct {
	o      ChildOptions
	dir    string
	socket string

	mu      sync.Mutex
	status  Status
	changed chan struct{}
	started bool
}

// NewChild checks the options and makes the private folder of the socket. The
// caller calls Run once; Run removes the folder.
func NewChild(o ChildOptions) (*Child, error) {
	if o.Serve.Lib == "" || o.Serve.Weights == "" {
		return nil, errors.New("start a model: the folder of the engine and the file of the weights are needed")
	}
	if len(o.Command) == 0 {
		self, err := os.Executable()
		if err != nil {
			return nil, fmt.Errorf("start a model: find this program: %w", err)
		}
		o.Command = []string{self, "model-serve"}
	}
	o.setDefaults()
	dir, err := os.MkdirTemp("", socketDirStart) // It has mode 0700.
	if err != nil {
		return nil, fmt.Errorf("make a folder for the model's socket: %w", err)
	}
	c := &Child{o: o, dir: dir, socket: filepath.Join(dir, socketName), changed: make(chan struct{})}
	if len(c.socket) > maxSocketPath {
		os.RemoveAll(dir)
		return nil, fmt.Errorf("the path of the model's socket is longer than %d bytes; set TMPDIR to a shorter folder", maxSocketPath)
	}
	c.status = Status{State: StateStarting, Since: time.Now()}
	return c, nil
}

func (o *ChildOptions) setDefaults() {
	for _, d := range []struct {
		v  *time.Duration
		by time.Duration
	}{
		{&o.StartTimeout, DefaultStartTimeout},
		{&o.StopGrace, DefaultStopGrace},
		{&o.MinBackoff, DefaultMinBackoff},
		{&o.MaxBackoff, DefaultMaxBackoff},
		{&o.Steady, DefaultSteady},
	} {
		if *d.v <= 0 {
			*d.v = d.by
		}
	}
	if o.MaxStartFailures <= 0 {
		o.MaxStartFailures = DefaultMaxStartFailures
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	if o.Stderr == nil {
		o.Stderr = io.Discard
	}
}

// Socket is the path of the Unix socket; it stays the same over restarts.
func (c *Child) Socket() string { return c.socket }

// Dial connects to the child whatever the address says, for use as the
// DialContext of an http.Transport.
func (c *Child) Dial(ctx context.Context, _, _ string) (net.Conn, error) {
	var d net.Dialer
	return d.DialContext(ctx, "unix", c.socket)
}

// Status returns a snapshot.
func (c *Child) Status() Status {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.status
}

// WaitReady waits until the child answers. It returns an error when ctx ends
// first or the supervisor has given up.
func (c *Child) WaitReady(ctx context.Context) error {
	return c.wait(ctx, func(s Status) (bool, error) {
		if s.State == StateFailed || s.State == StateStopped {
			return true, fmt.Errorf("the model is %s: %s", s.State, s.LastError)
		}
		return s.State == StateReady, nil
	})
}

// wait returns when done says so; it looks at every change of the status.
func (c *Child) wait(ctx context.Context, done func(Status) (bool, error)) error {
	for {
		c.mu.Lock()
		s, changed := c.status, c.changed
		c.mu.Unlock()
		if ok, err := done(s); ok {
			return err
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return fmt.Errorf("wait for the model (%s): %w", s.State, ctx.Err())
		}
	}
}

// set changes the status and wakes those who wait.
func (c *Child) set(change func(*Status)) {
	c.mu.Lock()
	defer c.mu.Unlock()
	before := c.status.State
	change(&c.status)
	if c.status.State != before {
		c.status.Since = time.Now()
	}
	close(c.changed)
	c.changed = make(chan struct{})
}

// Run starts the child and restarts it until ctx ends, then stops it and
// returns nil. It returns an error when it gives up: every start failed.
func (c *Child) Run(ctx context.Context) error {
	c.mu.Lock()
	again := c.started
	c.started = true
	c.mu.Unlock()
	if again {
		return errors.New("run the model: Run was called twice")
	}
	defer os.RemoveAll(c.dir)
	// The kernel ends a child when the thread that started it ends, so this
	// goroutine keeps its thread for as long as it may have a child.
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()

	inARow, neverReady := 0, 0
	for {
		ready, lasted, err := c.runOnce(ctx)
		if ctx.Err() != nil {
			c.set(func(s *Status) { s.State, s.PID = StateStopped, 0 })
			return nil
		}
		inARow, neverReady = inARow+1, neverReady+1
		if ready {
			neverReady = 0
		}
		if ready && lasted >= c.o.Steady {
			inARow = 1
		}
		if neverReady >= c.o.MaxStartFailures {
			err = fmt.Errorf("the model failed to start %d times in a row: %w", neverReady, err)
			c.set(func(s *Status) { s.State, s.PID, s.LastError = StateFailed, 0, err.Error() })
			c.o.Log.Error("model given up", "error", err)
			return err
		}
		pause := backoff(inARow, c.o.MinBackoff, c.o.MaxBackoff)
		c.o.Log.Warn("model process ended; it will be restarted", "error", err, "pause_ms", pause.Milliseconds())
		c.set(func(s *Status) { s.State, s.PID, s.LastError = StateRestarting, 0, err.Error() })
		t := time.NewTimer(pause)
		select {
		case <-t.C:
		case <-ctx.Done():
			t.Stop()
		}
		if ctx.Err() != nil {
			c.set(func(s *Status) { s.State = StateStopped })
			return nil
		}
		c.set(func(s *Status) { s.Restarts++ })
	}
}

// backoff is the pause after the n-th failure in a row.
func backoff(n int, least, most time.Duration) time.Duration {
	d := least
	for range n - 1 {
		if d >= most/2 {
			return most
		}
		d *= 2
	}
	return min(d, most)
}

// runOnce runs one process to its end. It says whether the process ever
// answered, for how long it ran after that, and why it ended.
func (c *Child) runOnce(ctx context.Context) (ready bool, lasted time.Duration, err error) {
	argv := append(c.o.Command[1:len(c.o.Command):len(c.o.Command)], c.flags()...)
	cmd := exec.Command(c.o.Command[0], argv...)
	cmd.Env = append(childEnvironment(os.Environ()), c.o.Env...)
	tail := &tailWriter{to: c.o.Stderr, limit: maxStderrTail}
	cmd.Stderr = tail
	cmd.SysProcAttr = childAttributes()
	cmd.WaitDelay = c.o.StopGrace
	if err := cmd.Start(); err != nil {
		return false, 0, fmt.Errorf("start the model process: %w", err)
	}
	c.set(func(s *Status) { s.PID = cmd.Process.Pid })
	ended := make(chan error, 1)
	go func() { ended <- cmd.Wait() }()

	if err := c.awaitAnswer(ctx, ended); err != nil {
		err = c.stop(cmd, ended, err)
		return false, 0, tail.explain(err)
	}
	since := time.Now()
	c.set(func(s *Status) { s.State = StateReady })
	c.o.Log.Info("model ready", "pid", cmd.Process.Pid)
	select {
	case err = <-ended:
		if err == nil {
			err = errors.New("it ended by itself")
		}
		return true, time.Since(since), tail.explain(fmt.Errorf("the model process ended: %w", err))
	case <-ctx.Done():
		return true, time.Since(since), c.stop(cmd, ended, ctx.Err())
	}
}

// passedOn are the variables, and the beginnings of their names, that the
// child gets: where it finds its libraries and how its engine runs.
var passedOn = [...]string{"PATH=", "HOME=", "TMPDIR=", "TZ=", "LANG=", "LC_", "LD_LIBRARY_PATH=", "GGML_", "CUDA_", "HIP_", "HSA_", "ROCR_", "VK_", "OMP_", "GOGC=", "GOMAXPROCS=", "GOMEMLIMIT=", "GODEBUG=", "GOTRACEBACK=", "GOCOVERDIR="}

// childEnvironment passes on what is known to be needed: everything else of
// the child stands in its flags, and any other variable may be a secret, of
// this program or of another.
func childEnvironment(all []string) []string {
	return slices.DeleteFunc(slices.Clone(all), func(v string) bool {
		return !slices.ContainsFunc(passedOn[:], func(name string) bool { return strings.HasPrefix(v, name) })
	})
}

// errEnded wraps the end of a process that had not answered yet.
type errEnded struct{ err error }

func (e errEnded) Error() string {
	if e.err == nil {
		return "the model process ended before it answered"
	}
	return "the model process ended before it answered: " + e.err.Error()
}

// awaitAnswer asks /healthz until it answers. A start that takes too long, a
// process that ends and the end of ctx are errors.
func (c *Child) awaitAnswer(ctx context.Context, ended <-chan error) error {
	ctx, cancel := context.WithTimeoutCause(ctx, c.o.StartTimeout, fmt.Errorf("the model did not answer within %s", c.o.StartTimeout))
	defer cancel()
	transport := &http.Transport{DialContext: c.Dial, DisableKeepAlives: true}
	client := &http.Client{Transport: transport, Timeout: probeTimeout}
	t := time.NewTicker(probeInterval)
	defer t.Stop()
	for {
		if healthy(ctx, client) {
			return nil
		}
		select {
		case err := <-ended:
			return errEnded{err}
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-t.C:
		}
	}
}

func healthy(ctx context.Context, client *http.Client) bool {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://model/healthz", nil)
	if err != nil {
		return false
	}
	resp, err := client.Do(req)
	if err != nil {
		return false
	}
	resp.Body.Close()
	return resp.StatusCode == http.StatusOK
}

// stop ends a process that may still run: politely, then by force. It returns
// the reason for the stop.
func (c *Child) stop(cmd *exec.Cmd, ended <-chan error, why error) error {
	var gone errEnded
	if errors.As(why, &gone) {
		return why
	}
	if terminate(cmd.Process) != nil {
		_ = cmd.Process.Kill() // It has just ended.
	}
	t := time.NewTimer(c.o.StopGrace)
	defer t.Stop()
	select {
	case <-ended:
	case <-t.C:
		_ = cmd.Process.Kill() // It has just ended.
		<-ended
	}
	return why
}

// flags writes the command line of the child.
func (c *Child) flags() []string {
	s := c.o.Serve
	f := []string{"--socket=" + c.socket, "--lib=" + s.Lib, "--weights=" + s.Weights}
	for _, n := range s.Name {
		f = append(f, "--name="+n)
	}
	for _, n := range []struct {
		flag string
		v    int
	}{{"threads", s.Threads}, {"slots", s.Slots}, {"context", s.Context}, {"queue", s.Queue}} {
		if n.v > 0 {
			f = append(f, "--"+n.flag+"="+strconv.Itoa(n.v))
		}
	}
	if s.Reuse {
		f = append(f, "--reuse")
	}
	return f
}

// tailWriter passes a log on and keeps its end. It is used by one goroutine
// until the process has ended.
type tailWriter struct {
	to    io.Writer
	limit int
	last  []byte
}

// Write never fails, because a full log must not end the model.
func (t *tailWriter) Write(p []byte) (int, error) {
	_, _ = t.to.Write(p)
	t.last = append(t.last, p...)
	if over := len(t.last) - t.limit; over > 0 {
		t.last = append(t.last[:0], t.last[over:]...)
	}
	return len(p), nil
}

// explain adds the last line of the log that is not one of the model's own
// ordinary lines: there a native assertion or an error says why.
func (t *tailWriter) explain(err error) error {
	lines := strings.Split(strings.TrimSpace(string(t.last)), "\n")
	for i := len(lines) - 1; i >= 0; i-- {
		if l := strings.TrimSpace(lines[i]); l != "" && !strings.HasPrefix(l, "{") {
			return fmt.Errorf("%w: %s", err, l)
		}
	}
	return err
}
