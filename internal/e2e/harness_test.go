// Package e2e tests the program from outside: the binary as it is built, a
// simulated provider in a process of its own, and real clients between them.
// It holds tests only.
package e2e

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/accordo-ai/accordo/internal/provider/upstreamsim"
	"github.com/accordo-ai/accordo/internal/record"
	"github.com/accordo-ai/accordo/internal/settle"
	"github.com/accordo-ai/accordo/internal/usage"
)

const (
	// startTime bounds the start of a process, also on a busy machine.
	startTime = 30 * time.Second
	// stopTime bounds a graceful stop.
	stopTime = 30 * time.Second
	// providerSecret is the credential that North asks for.
	providerSecret = "provider-secret"
)

// binary is the program, built once for all tests.
var binary string

func TestMain(m *testing.M) {
	flag.Parse()
	os.Exit(testMain(m))
}

func testMain(m *testing.M) int {
	dir, err := os.MkdirTemp("", "accordo-e2e-")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer os.RemoveAll(dir)
	binary = filepath.Join(dir, "accordo")
	build := exec.Command("go", "build", "-o", binary, "github.com/accordo-ai/accordo/cmd/accordo")
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		fmt.Fprintf(os.Stderr, "build the program: %v\n%s", err, out)
		return 1
	}
	return m.Run()
}

// need returns the variable that names what a test needs besides Go. Without
// it the test is skipped, and fails under CI.
func need(t *testing.T, variable, what string) string {
	t.Helper()
	v := os.Getenv(variable)
	if v != "" {
		return v
	}
	if os.Getenv("CI") == "true" {
		t.Fatalf("%s is not set: %s", variable, what)
	}
	t.Skipf("not run: %s is not set: %s", variable, what)
	return ""
}

// process is a child that prints where it listens.
type process struct {
	cmd  *exec.Cmd
	done chan struct{} // closed when it has ended

	mu  sync.Mutex
	log bytes.Buffer // what it has printed
}

// startProcess runs the program until its output matches ready, whose groups
// it returns. The child is killed when the test ends.
func startProcess(t *testing.T, ready *regexp.Regexp, env []string, args ...string) (*process, []string) {
	t.Helper()
	p := &process{cmd: exec.Command(binary, args...), done: make(chan struct{})}
	p.cmd.Env = append(cleanEnv(), env...)
	p.cmd.SysProcAttr = childAttributes()
	out, in := io.Pipe()
	p.cmd.Stdout, p.cmd.Stderr = in, in
	if err := p.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	go func() {
		_ = p.cmd.Wait()
		_ = in.Close()
	}()
	found := make(chan []string, 1)
	go func() {
		defer close(p.done)
		lines := bufio.NewReader(out)
		for {
			line, err := lines.ReadString('\n')
			p.mu.Lock()
			p.log.WriteString(line)
			if m := ready.FindStringSubmatch(p.log.String()); m != nil && cap(found) > len(found) {
				found <- m
				ready = never
			}
			p.mu.Unlock()
			if err != nil {
				return
			}
		}
	}()
	t.Cleanup(func() {
		_ = p.cmd.Process.Kill()
		<-p.done
		if t.Failed() {
			t.Logf("%s:\n%s", strings.Join(args, " "), tail(p.output(), 6000))
		}
	})
	select {
	case m := <-found:
		return p, m
	case <-p.done:
	case <-time.After(startTime):
	}
	t.Fatalf("%s did not start:\n%s", strings.Join(args, " "), p.output())
	return nil, nil
}

// never matches nothing.
var never = regexp.MustCompile(`[^\x00-\x{10FFFF}]`)

// cleanEnv is the environment without what would change the program.
func cleanEnv() []string {
	var env []string
	for _, e := range os.Environ() {
		if !strings.HasPrefix(e, "ACCORDO_") {
			env = append(env, e)
		}
	}
	return env
}

func tail(s string, n int) string { return s[max(0, len(s)-n):] }

func (p *process) output() string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.log.String()
}

// stop asks the process to end and waits for it.
func (p *process) stop(t *testing.T) {
	t.Helper()
	_ = p.cmd.Process.Signal(syscall.SIGTERM)
	select {
	case <-p.done:
	case <-time.After(stopTime):
		t.Fatalf("the process did not stop within %s:\n%s", stopTime, p.output())
	}
}

// kill ends the process as a crash does.
func (p *process) kill() {
	_ = p.cmd.Process.Kill()
	<-p.done
}

// nextPort is where freeAddress looks next.
var nextPort = struct {
	sync.Mutex
	at int
}{at: 10_000 + os.Getpid()%10_000}

// freeAddress is a free port on loopback below those that the system hands
// out to clients, so that it is still free after a restart.
func freeAddress(t *testing.T) string {
	t.Helper()
	nextPort.Lock()
	defer nextPort.Unlock()
	for range 10_000 {
		nextPort.at++
		if nextPort.at >= 32_768 {
			nextPort.at = 10_000
		}
		address := fmt.Sprintf("127.0.0.1:%d", nextPort.at)
		if l, err := net.Listen("tcp", address); err == nil {
			_ = l.Close()
			return address
		}
	}
	t.Fatal("no port is free")
	return ""
}

// provider is a simulated provider in a process of its own.
type provider struct {
	*process
	t       *testing.T
	address string // host:port, the same after a restart
	config  string
	invoice string
}

var simulatorReady = regexp.MustCompile(`Simulated provider on http://([0-9.:]+)/v1`)

// startProvider starts a simulated provider with a configuration in YAML. It
// keeps the last 500 request bodies.
func startProvider(t *testing.T, config string) *provider {
	t.Helper()
	dir := t.TempDir()
	p := &provider{t: t, address: freeAddress(t), config: filepath.Join(dir, "provider.yaml"), invoice: filepath.Join(dir, "invoice.jsonl")}
	if err := os.WriteFile(p.config, []byte(config), 0o600); err != nil {
		t.Fatal(err)
	}
	p.start()
	return p
}

// start runs the provider; after a kill or a stop it gets its address and its
// invoice back.
func (p *provider) start() {
	p.t.Helper()
	var m []string
	p.process, m = startProcess(p.t, simulatorReady, nil, "upstream-sim", p.config, "--listen", p.address, "--invoice", p.invoice, "--record", "500")
	p.address = m[1]
}

// script replaces the rules of the provider, in YAML.
func (p *provider) script(rules string) {
	p.t.Helper()
	resp, err := http.Post("http://"+p.address+"/script", "application/yaml", strings.NewReader("rules:\n"+rules))
	if err != nil {
		p.t.Fatal(err)
	}
	defer resp.Body.Close()
	if body, _ := io.ReadAll(resp.Body); resp.StatusCode != http.StatusNoContent {
		p.t.Fatalf("script: %s", body)
	}
}

// recorded are the requests that reached the provider, oldest first.
func (p *provider) recorded() []upstreamsim.RecordedRequest {
	p.t.Helper()
	var list []upstreamsim.RecordedRequest
	getJSON(p.t, "http://"+p.address+"/requests", "", &list)
	return list
}

// lines are the lines of the provider's invoice; it need not be running.
func (p *provider) lines() []upstreamsim.Line {
	p.t.Helper()
	data, err := os.ReadFile(p.invoice)
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		p.t.Fatal(err)
	}
	var list []upstreamsim.Line
	for text := range bytes.Lines(data) {
		var l upstreamsim.Line
		if err := json.Unmarshal(text, &l); err != nil {
			if !bytes.HasSuffix(text, []byte("\n")) {
				break // a kill tore the last line; the provider cuts it at its next start
			}
			p.t.Fatalf("invoice: %v in %s", err, text)
		}
		list = append(list, l)
	}
	return list
}

// deployment is the program serving an alliance file.
type deployment struct {
	*process
	t     *testing.T
	file  string
	data  string
	flags []string
	env   []string

	api   string // http://host:port/v1, the same after a restart
	admin string // http://host:port, the same after a restart
	token string // of the operator; a new one at every start
}

// The keys of testdata/alliance.yaml.
const (
	keyOpen   = "sk-open"
	keyMinute = "sk-minute"
	keyDay    = "sk-day"
)

// northConfig and southConfig host the pools of testdata/alliance.yaml,
// answering at once.
const (
	northConfig = `
pools:
  - {name: north-floor-a, api_key: provider-secret}
  - {name: north-list-a, api_key: provider-secret}
`
	southConfig = `
pools:
  - {name: south-reserved-a}
  - {name: south-list-a}
`
)

// setup is what a deployment is started with.
type setup struct {
	north, south *provider
	// more is YAML that the alliance file adds to testdata/alliance.yaml: set,
	// remove, and more objects.
	more string
	// flags of up, besides the listeners and the data directory.
	flags []string
	// env is NAME=value for the process.
	env []string
}

// deploy writes the alliance file of the tests and serves it on free ports.
func deploy(t *testing.T, s setup) *deployment {
	t.Helper()
	dir := t.TempDir()
	base, err := os.ReadFile(filepath.Join("testdata", "alliance.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	addresses := strings.NewReplacer("//NORTH/", "//"+s.north.address+"/", "//SOUTH/", "//"+s.south.address+"/")
	d := &deployment{t: t, file: filepath.Join(dir, "alliance.yaml"), data: filepath.Join(dir, "data"), flags: s.flags, env: append([]string{"ACCORDO_SECRET_TEST=" + providerSecret}, s.env...)}
	for name, text := range map[string]string{
		filepath.Join(dir, "base.yaml"): string(base),
		d.file:                          "include: [base.yaml]\n" + s.more,
	} {
		if err := os.WriteFile(name, []byte(addresses.Replace(text)), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	d.start()
	return d
}

var programReady = regexp.MustCompile(`(?s)API          (http://[0-9.:]+/v1)\n.*Admin token  (\S+)\n.*Ctrl-C stops`)

// start serves the file on the data directory; after a stop or a kill the
// addresses are the same.
func (d *deployment) start() {
	d.t.Helper()
	listen, admin := freeAddress(d.t), freeAddress(d.t)
	if d.api != "" {
		listen, admin = strings.TrimSuffix(strings.TrimPrefix(d.api, "http://"), "/v1"), strings.TrimPrefix(d.admin, "http://")
	}
	args := append([]string{"up", d.file, "--data", d.data, "--listen", listen, "--admin-listen", admin}, d.flags...)
	var m []string
	d.process, m = startProcess(d.t, programReady, d.env, args...)
	d.api, d.token = m[1], m[2]
	console := regexp.MustCompile(`Console      (http://[0-9.:]+)/`).FindStringSubmatch(m[0])
	if console == nil {
		console = regexp.MustCompile(`Console      (http://[0-9.:]+)/`).FindStringSubmatch(d.output())
	}
	if console == nil {
		d.t.Fatalf("no console address in:\n%s", d.output())
	}
	d.admin = console[1]
	d.waitReady()
}

// waitReady waits until /readyz says that requests are served.
func (d *deployment) waitReady() {
	d.t.Helper()
	eventually(d.t, startTime, "the program is not ready", func() bool {
		resp, err := http.Get(d.admin + "/readyz")
		if err != nil {
			return false
		}
		defer resp.Body.Close()
		return resp.StatusCode == http.StatusOK
	})
}

// traced is what the tests read of `accordo ledger trace --json`.
type traced struct {
	Request  string          `json:"request"`
	Attempts []tracedAttempt `json:"attempts"`
	Refusals []record.Record `json:"refusals"`
}

type tracedAttempt struct {
	State   string         `json:"state"` // of settle.Attempt
	Intent  record.Record  `json:"intent"`
	Outcome *record.Record `json:"outcome"`
	Line    *struct {
		Tokens   usage.Vector `json:"tokens"`
		Suspense string       `json:"suspense"`
		Postings []struct {
			Kind   string `json:"kind"`
			Debit  string `json:"debit"`
			Credit string `json:"credit"`
			Asset  string `json:"asset"`
			Price  string `json:"price"`
		} `json:"postings"`
	} `json:"line"`
	Entries []json.RawMessage `json:"entries"`
}

// trace is all that journal and books hold of a request.
func (d *deployment) trace(request string) (tr traced) {
	d.t.Helper()
	d.commandJSON(&tr, "ledger", "trace", request)
	return tr
}

// waitBooked waits until every attempt of the requests is in the books.
func (d *deployment) waitBooked(requests ...string) {
	d.t.Helper()
	for _, id := range requests {
		eventually(d.t, startTime, "request "+id+" is not booked", func() bool {
			return !slices.ContainsFunc(d.trace(id).Attempts, func(a tracedAttempt) bool { return a.State != settle.Posted })
		})
	}
}

// command runs a command of the program and returns what it printed on its
// standard output and its exit code; what it printed as an error is logged.
func (d *deployment) command(args ...string) (out string, code int) {
	d.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, binary, args...)
	cmd.Env = append(cleanEnv(), d.env...)
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	err := cmd.Run()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) || ctx.Err() != nil {
		d.t.Fatalf("%s: %v", strings.Join(args, " "), err)
	}
	if stderr.Len() > 0 {
		d.t.Logf("%s: %s", strings.Join(args, " "), stderr.String())
	}
	return stdout.String(), cmd.ProcessState.ExitCode()
}

// commandJSON runs a command that answers as JSON on the data directory.
func (d *deployment) commandJSON(into any, args ...string) {
	d.t.Helper()
	out, code := d.command(append(args, "--json", "--data", d.data)...)
	if code != 0 {
		d.t.Fatalf("%s: exit code %d\n%s", strings.Join(args, " "), code, out)
	}
	if err := json.Unmarshal([]byte(out), into); err != nil {
		d.t.Fatalf("%s: %v in %s", strings.Join(args, " "), err, out)
	}
}

func getJSON(t *testing.T, url, token string, into any) {
	t.Helper()
	r, err := http.NewRequest("GET", url, nil)
	if err != nil {
		t.Fatal(err)
	}
	if token != "" {
		r.Header.Set("Authorization", "Bearer "+token)
	}
	resp, err := http.DefaultClient.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	if body, err := io.ReadAll(resp.Body); err != nil || resp.StatusCode != http.StatusOK {
		t.Fatalf("%s: %s %s %v", url, resp.Status, body, err)
	} else if err := json.Unmarshal(body, into); err != nil {
		t.Fatalf("%s: %v in %s", url, err, body)
	}
}

// eventually asks until it holds.
func eventually(t *testing.T, limit time.Duration, what string, holds func() bool) {
	t.Helper()
	for end := time.Now().Add(limit); ; time.Sleep(20 * time.Millisecond) {
		if holds() {
			return
		}
		if time.Now().After(end) {
			t.Fatalf("%s after %s", what, limit)
		}
	}
}
