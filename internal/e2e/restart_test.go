package e2e

import (
	"bytes"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

const shortChat = `{"model":"chat-1","max_tokens":20,"messages":[{"role":"user","content":"hello"}]}`

var leftOver = regexp.MustCompile(`larger than the limit tokens_per_day of the plan day: 1000 tokens, left (\d+)\.`)

// leftToday is what the plan of a thousand tokens a day has left, from the
// refusal of a request that asks for more than that.
func (d *deployment) leftToday() string {
	d.t.Helper()
	resp, body := d.post(keyDay, `{"model":"chat-1","max_tokens":5000,"messages":[{"role":"user","content":"hello"}]}`)
	m := leftOver.FindStringSubmatch(body)
	if resp.StatusCode != http.StatusTooManyRequests || m == nil {
		d.t.Fatalf("%s: %s", resp.Status, body)
	}
	return m[1]
}

// What a customer has used of its day counts on after a crash and after a
// stop: what was served, what was cut in the middle, and not what a provider
// failed to deliver.
func TestRestart_LimitsBiteAsBefore(t *testing.T) {
	t.Parallel()
	north, south := startProvider(t, quickNorth), startProvider(t, quickSouth)
	d := deploy(t, setup{north: north, south: south, more: roomy})
	send := func(body string) string {
		t.Helper()
		resp, answer := d.post(keyDay, body)
		if resp.StatusCode != http.StatusOK {
			t.Fatalf("%s: %s", resp.Status, answer)
		}
		return answer
	}
	stream := strings.Replace(shortChat, "{", `{"stream":true,`, 1)
	full := d.leftToday()
	if full != "1000" {
		t.Fatalf("left %s of 1000 before the first request", full)
	}
	used := full
	for _, step := range []struct{ name, rule, body string }{
		{"an answer", "", shortChat},
		{"a stream", "", stream},
		{"an answer without usage", "usage_missing: true", shortChat},
		{"a call that is cut and made again elsewhere", "cut_at_byte: 0", shortChat},
		{"a stream that is cut before it begins", "cut_at_byte: 0", stream},
		{"a stream that is cut in the middle", "cut_at_byte: 900", stream},
	} {
		if step.rule != "" {
			south.script("  - {first: 1, action: {" + step.rule + "}}\n")
		}
		send(step.body)
		now := d.leftToday()
		if now == used {
			t.Errorf("%s counts nothing: %s left", step.name, now)
		}
		used = now
		for name, end := range map[string]func(){"a crash": func() { d.kill() }, "a stop": func() { d.stop(t) }} {
			end()
			d.start()
			if again := d.leftToday(); again != now {
				t.Errorf("after %s, %s tokens are left before %s and %s after it", step.name, now, name, again)
			}
		}
	}
	for range 60 {
		if resp, body := d.post(keyDay, shortChat); resp.StatusCode == http.StatusTooManyRequests && strings.Contains(body, "tokens_per_day") {
			return
		}
	}
	t.Error("a thousand tokens are not used up by sixty requests more")
}

// poolMeasured is what the router has learned of a pool.
type poolMeasured struct {
	ID        string
	TTFT      time.Duration `json:"ttft_ns"`
	LambdaPPM int64         `json:"lambda_ppm"`
	Left      int64
	WindowEnd time.Time `json:"window_end"`
}

func (d *deployment) learned(pool string) poolMeasured {
	d.t.Helper()
	var list []poolMeasured
	getJSON(d.t, d.admin+"/api/pools", d.token, &list)
	i := slices.IndexFunc(list, func(p poolMeasured) bool { return p.ID == pool })
	if i < 0 {
		d.t.Fatalf("no pool %s in %+v", pool, list)
	}
	return list[i]
}

// What the router has learned is there again after a stop and after a crash.
func TestRestart_RouterGoesOn(t *testing.T) {
	t.Parallel()
	north, south := startProvider(t, quickNorth), startProvider(t, quickSouth)
	d := deploy(t, setup{north: north, south: south})
	checkpoint := filepath.Join(d.data, "route.json")
	for name, end := range map[string]func(){
		"a stop": func() { d.stop(t) },
		"a crash": func() {
			info, err := os.Stat(checkpoint)
			eventually(t, startTime, "no checkpoint is written while it serves", func() bool {
				now, nowErr := os.Stat(checkpoint)
				return nowErr == nil && (err != nil || now.ModTime().After(info.ModTime()))
			})
			d.kill()
		},
	} {
		for range 10 {
			if resp, body := d.post(keyOpen, shortChat); resp.StatusCode != http.StatusOK {
				t.Fatalf("%s: %s", resp.Status, body)
			}
		}
		before := d.learned("south-reserved-a")
		end()
		d.start()
		after := d.learned("south-reserved-a")
		// What was measured relaxes with time towards what the terms declare,
		// which is nothing here; a router that began anew would expect nothing.
		if before.TTFT == 0 || after.TTFT > before.TTFT || after.TTFT < before.TTFT/8 {
			t.Errorf("the expected time to the first token is %s before %s and %s after it", before.TTFT, name, after.TTFT)
		}
		if after.WindowEnd.Equal(before.WindowEnd) && after.Left > before.Left {
			t.Errorf("%d is left of the window before %s and %d after it", before.Left, name, after.Left)
		}
		floor := d.learned("north-floor-a")
		if floor.LambdaPPM == 0 {
			t.Errorf("the floor has no shadow price after %s", name)
		}
	}
}

// A second server on the same data directory is refused and disturbs nothing.
func TestRestart_SecondServerIsRefused(t *testing.T) {
	t.Parallel()
	north, south := startProvider(t, quickNorth), startProvider(t, quickSouth)
	d := deploy(t, setup{north: north, south: south})
	out, code := d.commandAll("up", d.file, "--data", d.data, "--listen", "127.0.0.1:0", "--admin-listen", "127.0.0.1:0")
	if want := fmt.Sprintf("process %d serves from %s", d.cmd.Process.Pid, d.data); code != 1 || !strings.Contains(out, want) {
		t.Errorf("exit code %d, and not %q in:\n%s", code, want, out)
	}
	if resp, body := d.post(keyOpen, shortChat); resp.StatusCode != http.StatusOK {
		t.Errorf("%s: %s", resp.Status, body)
	}
	d.stop(t)
	d.verified()
}

// commandAll is command, with both outputs together.
func (d *deployment) commandAll(args ...string) (out string, code int) {
	d.t.Helper()
	p, m := startProcess(d.t, regexp.MustCompile(`(?s)^.*\n`), d.env, args...)
	select {
	case <-p.done:
	case <-time.After(stopTime):
		d.t.Fatalf("%v does not end: %s", args, m)
	}
	return p.output(), p.cmd.ProcessState.ExitCode()
}

// The commands that read give the same answers beside a serving program,
// after a crash and after a stop.
func TestRestart_CommandsReadTheSame(t *testing.T) {
	t.Parallel()
	north, south := startProvider(t, quickNorth), startProvider(t, quickSouth)
	d := deploy(t, setup{north: north, south: south})
	var ids []string
	south.script("  - {nth: 3, action: {cut_at_byte: 0}}\n  - {nth: 3, action: {status: 500}}\n")
	for range 8 {
		resp, body := d.post(keyOpen, shortChat)
		if resp.StatusCode != http.StatusOK {
			t.Fatalf("%s: %s", resp.Status, body)
		}
		ids = append(ids, resp.Header.Get("X-Request-Id"))
	}
	resp, _ := d.post(keyOpen, `{"model":"kept-1","messages":[{"role":"user","content":"hello"}]}`)
	if resp.StatusCode != http.StatusForbidden {
		t.Fatalf("a model without a right: %s", resp.Status)
	}
	d.waitBooked(ids...)
	ids = append(ids, resp.Header.Get("X-Request-Id"))
	answers := func() map[string]string {
		t.Helper()
		all := map[string]string{}
		commands := [][]string{{"ledger", "balances"}, {"ledger", "entries"}, {"ledger", "entries", "--newest", "--limit", "3"}, {"ledger", "lines", "1.1"}, {"ledger", "verify"}, {"contracts"}}
		for _, id := range ids {
			commands = append(commands, []string{"ledger", "trace", id}, []string{"explain", id})
		}
		for _, args := range commands {
			for _, format := range [][]string{nil, {"--json"}} {
				args := slices.Concat(args, format, []string{"--data", d.data})
				out, code := d.command(args...)
				if code != 0 || out == "" {
					t.Errorf("%s: exit code %d\n%s", strings.Join(args, " "), code, out)
				}
				all[strings.Join(args, " ")] = out
			}
		}
		return all
	}
	beside := answers()
	compare := func(when string) {
		t.Helper()
		for name, out := range answers() {
			if a, b := steady(beside[name]), steady(out); a != b {
				t.Errorf("%s answers otherwise %s: %s", name, when, cmp.Diff(a, b))
			}
		}
	}
	d.kill()
	compare("after a crash")
	d.start()
	compare("beside another process")
	d.stop(t)
	compare("after a stop")
	if out, code := d.command("ledger", "trace", "req_unknown", "--data", d.data); code != 1 {
		t.Errorf("an unknown request: exit code %d\n%s", code, out)
	}
	if out, code := d.command("ledger", "verify", "--data", filepath.Join(d.data, "none")); code != 1 {
		t.Errorf("no data directory: exit code %d\n%s", code, out)
	}
}

var (
	accrued  = regexp.MustCompile(`"fees_(accrued|since_contract_start)": "?[0-9.]+"?`)
	unposted = regexp.MustCompile(`(?m)^\d+ records of the journal are not posted yet\n|"unposted": \d+,?`)
)

// steady takes out what goes on with time alone: accrued fees, and how many
// records that move no money the journal has after the last batch.
func steady(out string) string {
	return unposted.ReplaceAllString(accrued.ReplaceAllString(out, ""), "")
}

const slowProvider = `
pools:
  - {name: south-reserved-a, ttft_base: 2ms, output_tokens_per_second: 20}
  - {name: south-list-a, ttft_base: 2ms, output_tokens_per_second: 20}
`

// Asked to stop, the program lets streams end, refuses new requests, books
// everything and exits with 0; what does not end in time is cut with an error
// event.
func TestRestart_StopDrains(t *testing.T) {
	t.Parallel()
	rows := []struct {
		name   string
		signal syscall.Signal
		rule   string
		cut    bool
	}{
		{"streams end", syscall.SIGTERM, "", false},
		{"streams end after an interrupt", syscall.SIGINT, "", false},
		{"an endless stream is cut", syscall.SIGTERM, "  - {action: {endless: true, chunk_delay: 20ms}}\n", true},
	}
	for _, row := range rows {
		t.Run(row.name, func(t *testing.T) {
			t.Parallel()
			north, south := startProvider(t, quickNorth), startProvider(t, slowProvider)
			d := deploy(t, setup{north: north, south: south})
			if row.rule != "" {
				south.script(row.rule)
			}
			const streams = 5
			results := make(chan seen, streams)
			l := &load{key: keyOpen, client: &http.Client{}}
			first := make(chan struct{}, streams)
			for i := range streams {
				go func() { results <- l.watched(d.api, fmt.Sprintf("drained-%d", i), first) }()
			}
			for range streams {
				<-first
			}
			if err := d.cmd.Process.Signal(row.signal); err != nil {
				t.Fatal(err)
			}
			refused := seen{id: "refused", kind: kindPlain}
			eventually(t, startTime, "a stopping program takes new requests", func() bool {
				resp, body := d.tryPost(shortChat)
				refused.status = resp
				return resp == http.StatusServiceUnavailable && strings.Contains(body, `"stopping"`) || resp == 0
			})
			var all []seen
			for range streams {
				s := <-results
				all = append(all, s)
				if s.status != http.StatusOK || s.complete == row.cut || row.cut != (s.code == "stopping") || s.broken {
					t.Errorf("stream %s: %+v", s.id, s)
				}
			}
			select {
			case <-d.done:
			case <-time.After(stopTime):
				t.Fatal("the program does not stop")
			}
			if code := d.cmd.ProcessState.ExitCode(); code != 0 {
				t.Errorf("exit code %d", code)
			}
			north.stop(t)
			south.stop(t)
			sum := audit(t, d, slices.Concat(north.lines(), south.lines()), all)
			t.Log(sum)
		})
	}
}

// watched sends a stream and tells when its first byte has come.
func (l *load) watched(api, id string, first chan<- struct{}) seen {
	s := seen{id: id, kind: kindStream}
	told := false
	tell := func() {
		if !told {
			told = true
			first <- struct{}{}
		}
	}
	defer tell()
	r, err := http.NewRequest(http.MethodPost, api+"/chat/completions", strings.NewReader(`{"model":"chat-1","stream":true,"max_tokens":40,"messages":[{"role":"user","content":"`+id+`"}]}`))
	if err != nil {
		s.err = err
		return s
	}
	r.Header.Set("Authorization", "Bearer "+l.key)
	r.Header.Set("X-Request-Id", id)
	resp, err := l.client.Do(r)
	if err != nil {
		s.err = err
		return s
	}
	defer resp.Body.Close()
	s.status = resp.StatusCode
	var data bytes.Buffer
	buf := make([]byte, 1)
	if _, s.err = io.ReadFull(resp.Body, buf); s.err == nil {
		tell()
		data.Write(buf)
		_, s.err = data.ReadFrom(resp.Body)
	}
	s.readStream(data.Bytes())
	return s
}

// tryPost sends a request to a program that may be gone; status 0 says so.
func (d *deployment) tryPost(body string) (status int, answer string) {
	r, err := http.NewRequest(http.MethodPost, d.api+"/chat/completions", strings.NewReader(body))
	if err != nil {
		d.t.Fatal(err)
	}
	r.Header.Set("Authorization", "Bearer "+keyOpen)
	resp, err := http.DefaultClient.Do(r)
	if err != nil {
		return 0, ""
	}
	defer resp.Body.Close()
	b, _ := io.ReadAll(resp.Body)
	return resp.StatusCode, string(b)
}
