package e2e

import (
	"net/http"
	"slices"
	"strings"
	"syscall"
	"testing"

	"github.com/accordo-ai/accordo/internal/record"
)

// decisionSeen is what explain says of one attempt.
type decisionSeen struct {
	Attempt    string
	Candidates []struct{ Pool, Verdict string }
}

// explained asks the program for the decisions about a request.
func (d *deployment) explained(id string) []decisionSeen {
	d.t.Helper()
	var list []decisionSeen
	d.commandJSON(&list, "explain", id)
	return list
}

// chosen is the pool of the last decision.
func chosen(list []decisionSeen) string {
	for _, c := range list[len(list)-1].Candidates {
		if c.Verdict == "chosen" {
			return c.Pool
		}
	}
	return ""
}

// poolsSeen are the states of the pools as the operator sees them.
func (d *deployment) poolsSeen() map[string]bool {
	d.t.Helper()
	var list []struct {
		ID      string
		Healthy bool
	}
	getJSON(d.t, d.admin+"/api/pools", d.token, &list)
	healthy := map[string]bool{}
	for _, p := range list {
		healthy[p.ID] = p.Healthy
	}
	return healthy
}

// roomy lifts the bounds that a load would reach, and makes silence count soon.
const roomy = `
set:
  south-reserved: {ramp: [{from: 2026-01-01, tokens_per_minute: 600000000}]}
  south-reserved-a: {tokens_per_minute: 600000000, endpoint: {url: "http://SOUTH/pools/south-reserved-a/v1", dialect: openai, first_token_ms: 400}}
  south-list-a: {endpoint: {url: "http://SOUTH/pools/south-list-a/v1", dialect: openai, first_token_ms: 400}}
`

const (
	quickNorth = `
pools:
  - {name: north-floor-a, api_key: provider-secret, ttft_base: 2ms, output_tokens_per_second: 2000}
  - {name: north-list-a, api_key: provider-secret, ttft_base: 2ms, output_tokens_per_second: 2000}
`
	quickSouth = `
pools:
  - {name: south-reserved-a, ttft_base: 2ms, output_tokens_per_second: 2000}
  - {name: south-list-a, ttft_base: 2ms, output_tokens_per_second: 2000}
`
)

// The upstream of the chosen pool dies under load and comes back: no client
// sees a failure before its first byte, the pool is left alone meanwhile, and
// a probe brings it back.
func TestFailover_NoFailureBeforeTheFirstByte(t *testing.T) {
	all := []string{kindPlain, kindPlain, kindStream, kindUsage}
	fault := func(action string) func(*provider) {
		return func(p *provider) { p.script("  - {endpoint: chat, action: {" + action + "}}\n") }
	}
	unscript := func(p *provider) { p.script("  []\n") }
	rows := []struct {
		name  string
		south string // its pools
		kinds []string
		dies  func(*provider)
		back  func(*provider)
	}{
		{"its process is killed", quickSouth, all, (*provider).kill, (*provider).start},
		{"it resets connections", quickSouth, all, fault("reset_at_byte: 0"), unscript},
		{"it closes connections", quickSouth, all, fault("refuse: true"), unscript},
		{"it answers with errors", quickSouth, all, fault("status: 500"), unscript},
		// A plain answer comes as a whole, so that only the total timeout ends
		// the wait for it: streams have one for the first token, for which most
		// of them wait here when it hangs.
		{"it hangs", strings.ReplaceAll(quickSouth, "2ms", "60ms"), []string{kindStream, kindUsage}, func(p *provider) { _ = p.cmd.Process.Signal(syscall.SIGSTOP) }, func(p *provider) { _ = p.cmd.Process.Signal(syscall.SIGCONT) }},
	}
	for _, row := range rows {
		t.Run(row.name, func(t *testing.T) {
			t.Parallel()
			seed := seedOf(t)
			north, south := startProvider(t, quickNorth), startProvider(t, row.south)
			d := deploy(t, setup{north: north, south: south, more: roomy})
			resp, body := d.post(keyOpen, `{"model":"chat","messages":[{"role":"user","content":"hello"}]}`)
			if resp.StatusCode != http.StatusOK {
				t.Fatalf("%s: %s", resp.Status, body)
			}
			if pool := chosen(d.explained(resp.Header.Get("X-Request-Id"))); !strings.HasPrefix(pool, "south-") {
				t.Fatalf("the chosen pool is %q: the test kills South", pool)
			}
			l := mixed(8, seed)
			l.kinds = row.kinds
			l.start(t)
			l.resume(d.api)
			answered := func(n int) {
				t.Helper()
				before := l.count(func(*seen) bool { return true })
				eventually(t, requestTime, "clients wait", func() bool { return l.count(func(*seen) bool { return true }) >= before+n })
			}
			answered(100)
			row.dies(south)
			eventually(t, requestTime, "the dead pool stays healthy", func() bool { return !d.poolsSeen()["south-reserved-a"] })
			answered(200)
			row.back(south)
			billed := len(south.lines())
			eventually(t, requestTime, "the pool is not used again", func() bool {
				return d.poolsSeen()["south-reserved-a"] && len(south.lines()) > billed+20
			})
			results := l.stop()
			d.explainFailures()
			d.stop(t)
			north.stop(t)
			south.stop(t)
			results = append(results, seen{id: resp.Header.Get("X-Request-Id"), status: resp.StatusCode, kind: kindPlain, complete: true})
			later := 0
			for _, s := range results {
				switch {
				case s.status != http.StatusOK:
					t.Errorf("request %s (%s): status %d, code %q, %v", s.id, s.kind, s.status, s.code, s.err)
				case s.complete:
				case s.kind == kindPlain:
					t.Errorf("request %s: the answer began and broke: %v", s.id, s.err)
				case s.code == "":
					t.Errorf("request %s (%s): the stream was cut without an error event: %v", s.id, s.kind, s.err)
				default:
					later++
				}
			}
			sum := audit(t, d, slices.Concat(north.lines(), south.lines()), results)
			t.Logf("%d streams were cut after their first byte, with an error event: %s", later, sum)
		})
	}
}

// explainFailures finds requests that met the dead pool, and asks explain.
func (d *deployment) explainFailures() {
	d.t.Helper()
	a := &account{t: d.t, intents: map[record.AttemptID]*record.Record{}, ends: map[record.AttemptID]*record.Outcome{}, requests: map[string][]record.AttemptID{}}
	a.readJournal(d.data)
	for verdict, word := range map[record.Verdict]string{record.Tried: "failed before", record.Unhealthy: "unhealthy"} {
		found := false
		for _, in := range a.intents {
			if !slices.ContainsFunc(in.Intent.Considered, func(c record.Considered) bool {
				return c.Verdict == verdict && c.Pool == "south-reserved-a"
			}) {
				continue
			}
			found = true
			told := slices.ContainsFunc(d.explained(in.Intent.Request), func(x decisionSeen) bool {
				return x.Attempt == string(in.Intent.Attempt) && slices.Contains(x.Candidates, struct{ Pool, Verdict string }{"south-reserved-a", word})
			})
			text, code := d.command("explain", in.Intent.Request, "--data", d.data)
			if !told || code != 0 || !strings.Contains(text, word) {
				d.t.Errorf("explain %s does not say that south-reserved-a was %s:\n%s", in.Intent.Request, word, text)
			}
			break
		}
		switch {
		case found:
		case verdict == record.Tried: // all who met it came back after its circuit had opened
			d.t.Logf("no decision of %d found that the dead pool %s", len(a.intents), word)
		default:
			d.t.Errorf("no decision of %d found the dead pool %s", len(a.intents), word)
		}
	}
}
