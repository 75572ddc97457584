//go:build unix

package llama

import (
	"bufio"
	"bytes"
	"context"
	"flag"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/accordo-ai/accordo/internal/provider/llama/tinymodel"
)

// What the test binary does as a child process.
const (
	childServes    = "serves"    // the real thing
	childAnswers   = "answers"   // only /healthz
	childStubborn  = "stubborn"  // only /healthz, deaf to SIGTERM
	childMute      = "mute"      // never listens
	childEnds      = "ends"      // says why and ends at once
	childSupervise = "supervise" // is itself a parent
)

func childMain(args []string) int {
	var c ServeCommand
	fs := flag.NewFlagSet("model-serve", flag.ContinueOnError)
	fs.StringVar(&c.Socket, "socket", "", "")
	fs.StringVar(&c.Lib, "lib", "", "")
	fs.StringVar(&c.Weights, "weights", "", "")
	fs.IntVar(&c.Threads, "threads", 1, "")
	fs.IntVar(&c.Slots, "slots", 1, "")
	fs.IntVar(&c.Context, "context", 0, "")
	fs.IntVar(&c.Queue, "queue", 0, "")
	fs.Func("name", "", func(s string) error { c.Name = append(c.Name, s); return nil })
	if err := fs.Parse(args); err != nil {
		return 2
	}
	var err error
	switch os.Getenv(childMarker) {
	case childServes:
		err = c.Run(context.Background())
	case childAnswers:
		ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM)
		defer stop()
		err = answerHealth(ctx, c.Socket)
	case childStubborn:
		signal.Ignore(syscall.SIGTERM)
		err = answerHealth(context.Background(), c.Socket)
	case childMute:
		ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM)
		defer stop()
		<-ctx.Done()
	case childSupervise:
		err = superviseAndTell()
	default:
		fmt.Fprintln(os.Stderr, "GGML_ASSERT(n > 0) failed")
		return 3
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	return 0
}

func answerHealth(ctx context.Context, socket string) error {
	_ = os.Remove(socket) // It is there after a kill.
	l, err := net.Listen("unix", socket)
	if err != nil {
		return err
	}
	h := &http.Server{Handler: http.HandlerFunc(func(http.ResponseWriter, *http.Request) {})}
	go func() { <-ctx.Done(); h.Close() }()
	if err := h.Serve(l); err != http.ErrServerClosed {
		return err
	}
	return nil
}

// superviseAndTell runs a child that answers and prints its socket.
func superviseAndTell() error {
	c, err := NewChild(ChildOptions{Serve: ServeCommand{Lib: "x", Weights: "x"}, Command: []string{os.Args[0]}, Env: []string{childMarker + "=" + childAnswers}})
	if err != nil {
		return err
	}
	go func() {
		if c.WaitReady(context.Background()) == nil {
			fmt.Println(c.Socket())
		}
	}()
	return c.Run(context.Background())
}

// startChild runs a supervisor until stop is called.
func startChild(t *testing.T, does string, o ChildOptions) (c *Child, stop func() error) {
	t.Helper()
	o.Command, o.Env = []string{os.Args[0]}, []string{childMarker + "=" + does}
	if o.Serve.Lib == "" {
		o.Serve = ServeCommand{Lib: "unused", Weights: "unused"}
	}
	if o.MinBackoff == 0 {
		o.MinBackoff, o.MaxBackoff = time.Millisecond, 4*time.Millisecond
	}
	c, err := NewChild(o)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- c.Run(ctx) }()
	var result error
	stopped := false
	stop = func() error {
		if !stopped {
			stopped = true
			cancel()
			result = <-done
		}
		return result
	}
	t.Cleanup(func() {
		_ = stop()
		if _, err := os.Stat(filepath.Dir(c.Socket())); !os.IsNotExist(err) {
			t.Errorf("the socket's folder is still there: %v", err)
		}
	})
	return c, stop
}

func waitReady(t *testing.T, c *Child) Status {
	t.Helper()
	if err := c.WaitReady(t.Context()); err != nil {
		t.Fatal(err)
	}
	return c.Status()
}

// waitRestarted waits until the process after the given one answers.
func waitRestarted(t *testing.T, c *Child, restarts int) Status {
	t.Helper()
	err := c.wait(t.Context(), func(s Status) (bool, error) { return s.State == StateReady && s.Restarts >= restarts, nil })
	if err != nil {
		t.Fatal(err)
	}
	return c.Status()
}

func TestChild_RestartsAKilledProcessAndStopsInOrder(t *testing.T) {
	c, stop := startChild(t, childAnswers, ChildOptions{})
	first := waitReady(t, c)
	if st, err := os.Stat(filepath.Dir(c.Socket())); err != nil || st.Mode().Perm() != 0o700 {
		t.Errorf("folder of the socket: %v %v", st, err)
	}
	if err := syscall.Kill(first.PID, syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	second := waitRestarted(t, c, 1)
	if second.PID == first.PID || second.Restarts != 1 || !strings.Contains(second.LastError, "killed") {
		t.Errorf("%+v, then %+v", first, second)
	}
	if err := stop(); err != nil {
		t.Error(err)
	}
	if s := c.Status(); s.State != StateStopped || s.PID != 0 {
		t.Errorf("%+v", s)
	}
	if err := c.WaitReady(t.Context()); err == nil {
		t.Error("a stopped child became ready")
	}
	if err := c.Run(t.Context()); err == nil {
		t.Error("a second Run was accepted")
	}
}

func TestChild_KillsAProcessThatDoesNotStop(t *testing.T) {
	c, stop := startChild(t, childStubborn, ChildOptions{StopGrace: 50 * time.Millisecond})
	pid := waitReady(t, c).PID
	if err := stop(); err != nil {
		t.Error(err)
	}
	if err := syscall.Kill(pid, 0); err != syscall.ESRCH {
		t.Errorf("process %d is still there: %v", pid, err)
	}
}

func TestChild_GivesUpAfterTooManyFailedStarts(t *testing.T) {
	tests := []struct {
		name, does, want string
		o                ChildOptions
	}{
		{"it ends at once", childEnds, "GGML_ASSERT(n > 0) failed", ChildOptions{MaxStartFailures: 3}},
		{"it never answers", childMute, "did not answer within", ChildOptions{MaxStartFailures: 2, StartTimeout: 100 * time.Millisecond}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			c, _ := startChild(t, tt.does, tt.o)
			err := c.WaitReady(t.Context())
			if err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Fatalf("got %v, want %q", err, tt.want)
			}
			if s := c.Status(); s.State != StateFailed || s.Restarts != tt.o.MaxStartFailures-1 {
				t.Errorf("%+v", s)
			}
		})
	}
}

func TestChildEnvironment_KeepsSecretsFromTheChild(t *testing.T) {
	got := childEnvironment([]string{"PATH=/bin", "ACCORDO_SECRET_KEY=s", "ACCORDO_ADMIN_TOKEN=t", "HOME=/h", "OTEL_EXPORTER_OTLP_HEADERS=api-key=s", "AWS_SECRET_ACCESS_KEY=s", "PATHS=s"})
	if diff := cmp.Diff([]string{"PATH=/bin", "HOME=/h"}, got); diff != "" {
		t.Error(diff)
	}
}

func TestBackoff_DoublesUpToItsLimit(t *testing.T) {
	for n, want := range map[int]time.Duration{1: 250 * time.Millisecond, 2: 500 * time.Millisecond, 3: time.Second, 7: 16 * time.Second, 8: 30 * time.Second, 1 << 40: 30 * time.Second} {
		if got := backoff(n, DefaultMinBackoff, DefaultMaxBackoff); got != want {
			t.Errorf("after %d failures: %v, want %v", n, got, want)
		}
	}
}

func TestChild_DiesWithItsParent(t *testing.T) {
	tmp, err := os.MkdirTemp("", "p")
	if err != nil {
		t.Fatal(err)
	}
	defer os.RemoveAll(tmp)
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), childMarker+"="+childSupervise, "TMPDIR="+tmp)
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	socket, err := bufio.NewReader(out).ReadString('\n')
	if err != nil {
		t.Fatal(err)
	}
	conn, err := net.Dial("unix", strings.TrimSpace(socket))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if err := conn.SetReadDeadline(time.Now().Add(20 * time.Second)); err != nil {
		t.Fatal(err)
	}
	if err := cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = cmd.Wait()
	if _, err := conn.Read(make([]byte, 1)); err != io.EOF && !strings.Contains(fmt.Sprint(err), "reset") {
		t.Errorf("the child outlived its parent: %v", err)
	}
}

func TestChild_FailsARequestCleanlyWhenKilledAndComesBack(t *testing.T) {
	testLibrary(t)
	var log bytes.Buffer
	c, stop := startChild(t, childServes, ChildOptions{Stderr: &log, Serve: ServeCommand{
		Lib: os.Getenv("ACCORDO_ENGINE_DIR"), Weights: tinyFile(t, tinymodel.Options{ChatTemplate: tinymodel.ChatML}), Name: []string{"tiny"}, Threads: 1,
	}})
	client := &http.Client{Transport: &http.Transport{DialContext: c.Dial}}
	defer client.CloseIdleConnections()
	post := func() (*http.Response, error) {
		return client.Post("http://model/v1/chat/completions", "application/json", strings.NewReader(longStream))
	}
	pid := waitReady(t, c).PID
	resp, err := post()
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	r := bufio.NewReader(resp.Body)
	if _, err := r.ReadString('\n'); err != nil {
		t.Fatal(err)
	}
	if err := syscall.Kill(pid, syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	if rest, err := io.ReadAll(r); err == nil || strings.Contains(string(rest), "[DONE]") {
		t.Errorf("the cut stream ended like a whole one: %v", err)
	}
	client.CloseIdleConnections()
	waitRestarted(t, c, 1)
	resp, err = post()
	if err != nil {
		t.Fatal(err)
	}
	all := events(t, resp.Body)
	resp.Body.Close()
	if all[len(all)-1] != "[DONE]" {
		t.Errorf("after the restart: %v", all)
	}
	client.CloseIdleConnections()
	if err := stop(); err != nil {
		t.Error(err)
	}
	if !strings.Contains(log.String(), `"msg":"model ready"`) {
		t.Errorf("log: %s", log.String())
	}
}
