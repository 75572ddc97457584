package e2e

import (
	"encoding/json"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"slices"
	"strings"
	"testing"
)

// maxPositions bounds how many bytes of an answer are broken in each way; a
// longer answer is sampled.
const maxPositions = 600

const cutSouth = `
pools:
  - {name: south-reserved-a, output_tokens: 6}
  - {name: south-list-a, output_tokens: 6}
`

// An answer that is cut at any byte, or has any byte changed, is a clear error
// or a result, never a crash, and never a booking that the invoice does not
// have.
func TestBroken_AtEveryByte(t *testing.T) {
	rows := []struct {
		name string
		kind string
		flip bool
	}{
		{"answer cut", kindPlain, false},
		{"answer changed", kindPlain, true},
		{"stream cut", kindUsage, false},
		{"stream changed", kindUsage, true},
	}
	for _, row := range rows {
		t.Run(row.name, func(t *testing.T) {
			t.Parallel()
			seed := seedOf(t)
			rng := rand.New(rand.NewPCG(seed, 0))
			north, south := startProvider(t, northConfig), startProvider(t, cutSouth)
			d := deploy(t, setup{north: north, south: south, more: roomy})
			body := `{"model":"chat-1","max_tokens":20,"messages":[{"role":"user","content":"hello"}]`
			if row.kind == kindUsage {
				body += `,"stream":true,"stream_options":{"include_usage":true}`
			}
			body += "}"
			whole := south.answer(body)
			if !strings.Contains(whole, `"finish_reason":"`) || !strings.Contains(whole, "prompt_tokens") {
				t.Fatalf("no whole answer: %s", whole)
			}
			l := &load{key: keyOpen, client: &http.Client{}}
			var results []seen
			errors := 0
			for n, at := range positions(rng, len(whole)) {
				broken, cut := whole, fmt.Sprintf(", cut_at_byte: %d", at)
				if row.flip {
					broken, cut = whole[:at]+string(whole[at]^1<<rng.IntN(7))+whole[at+1:], ""
				}
				quoted, err := json.Marshal(broken)
				if err != nil {
					t.Fatal(err)
				}
				south.script(fmt.Sprintf("  - {pool: south-reserved-a, first: 1, action: {body: %s%s}}\n", quoted, cut))
				s := l.exactly(d.api, fmt.Sprintf("broken-%d", n), row.kind, body)
				if south.fired() != 1 {
					t.Fatalf("byte %d: the broken answer was not asked for", at)
				}
				if !s.complete && s.code == "" || s.status == 0 || s.broken {
					t.Fatalf("byte %d: no clear error: %+v\n%q", at, s, broken)
				}
				if s.code != "" {
					errors++
				}
				results = append(results, s)
				// Good answers in between keep the pool healthy, and no outlier.
				for k := range goodBetween {
					good := l.exactly(d.api, fmt.Sprintf("good-%d-%d", n, k), row.kind, body)
					if good.status != http.StatusOK || !good.complete {
						t.Fatalf("byte %d: the next request: %+v", at, good)
					}
					results = append(results, good)
				}
			}
			d.stop(t)
			if code := d.cmd.ProcessState.ExitCode(); code != 0 {
				t.Errorf("exit code %d", code)
			}
			north.stop(t)
			south.stop(t)
			lines := slices.Concat(north.lines(), south.lines())
			for i := range lines {
				if row.flip {
					lines[i].Tier = "" // the answer may have said another
				}
			}
			sum := audit(t, d, lines, results)
			t.Logf("%d of %d bytes, %d errors: %s", len(results)/(1+goodBetween), len(whole), errors, sum)
			if sum.suspense < len(results)/15 {
				t.Error("hardly any answer was broken")
			}
		})
	}
}

// goodBetween is how many whole answers follow each broken one.
const goodBetween = 2

// positions are all of n bytes, or a sample of maxPositions in order.
func positions(rng *rand.Rand, n int) []int {
	list := rng.Perm(n)
	list = list[:min(n, maxPositions)]
	slices.Sort(list)
	return list
}

// answer is what South's reserved pool says to a request, as it comes.
func (p *provider) answer(body string) string {
	p.t.Helper()
	// Without an attempt's id the invoice line is nobody's.
	resp, err := http.Post("http://"+p.address+"/pools/south-reserved-a/v1/chat/completions", "application/json", strings.NewReader(body))
	if err != nil {
		p.t.Fatal(err)
	}
	defer resp.Body.Close()
	data, err := io.ReadAll(resp.Body)
	if err != nil || resp.StatusCode != http.StatusOK {
		p.t.Fatalf("%s: %s, %v", resp.Status, data, err)
	}
	return string(data)
}

// fired is how often the only rule of the script has fired.
func (p *provider) fired() int {
	p.t.Helper()
	var state struct {
		Rules []struct{ Fired int }
	}
	getJSON(p.t, "http://"+p.address+"/script", "", &state)
	return state.Rules[0].Fired
}

// A request that is cut at any byte, or has any byte changed, is served as it
// stands or refused with an error object that says why.
func TestBroken_RequestIsServedOrRefused(t *testing.T) {
	t.Parallel()
	seed := seedOf(t)
	rng := rand.New(rand.NewPCG(seed, 0))
	north, south := startProvider(t, northConfig), startProvider(t, southConfig)
	d := deploy(t, setup{north: north, south: south, more: roomy})
	whole := `{"model":"chat-1","max_tokens":9,"temperature":0.5,"messages":[{"role":"system","content":[{"type":"text","text":"a\"\u00e9"}]},{"role":"user","content":"hello"}],"tools":[{"type":"function","function":{"name":"f","parameters":{"type":"object","properties":{"a":{"type":"integer"}}}}}],"stream":false,"stream_options":null,"n":1}`
	var results []seen
	statuses := map[int]int{}
	for at := range len(whole) {
		for _, body := range []string{whole[:at], whole[:at] + string(whole[at]^1<<rng.IntN(7)) + whole[at+1:]} {
			resp, answer := d.post(keyOpen, body)
			statuses[resp.StatusCode]++
			var object struct {
				Error *struct{ Message, Type string }
			}
			err := json.Unmarshal([]byte(answer), &object)
			refused := object.Error != nil && object.Error.Message != "" && object.Error.Type != ""
			if ok := resp.StatusCode == http.StatusOK; err != nil || ok == refused || !ok && resp.StatusCode >= 500 {
				t.Fatalf("byte %d: %s %s for\n%s", at, resp.Status, answer, body)
			}
			results = append(results, seen{id: resp.Header.Get("X-Request-Id"), kind: kindPlain, status: resp.StatusCode, complete: resp.StatusCode == http.StatusOK})
		}
	}
	d.stop(t)
	north.stop(t)
	south.stop(t)
	t.Logf("statuses %v: %s", statuses, audit(t, d, slices.Concat(north.lines(), south.lines()), results))
	if statuses[http.StatusOK] == 0 || statuses[http.StatusBadRequest] == 0 {
		t.Error("the bytes that were broken do not matter")
	}
}
