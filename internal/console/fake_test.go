package console_test

import (
	"context"
	"errors"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/accordo-ai/accordo/examples"
	"github.com/accordo-ai/accordo/internal/admin"
	"github.com/accordo-ai/accordo/internal/alliance"
	"github.com/accordo-ai/accordo/internal/alliance/file"
	"github.com/accordo-ai/accordo/internal/ledger"
	"github.com/accordo-ai/accordo/internal/money"
	"github.com/accordo-ai/accordo/internal/route"
	"github.com/accordo-ai/accordo/internal/story"
	"github.com/accordo-ai/accordo/internal/usage"
)

var now = time.Date(2026, 11, 22, 12, 0, 0, 0, time.UTC)

// fake has the terms and the story of the example and invented figures. Text
// that a page shows can be replaced by hostile, to see that it stays text.
type fake struct {
	a       *alliance.Alliance
	script  []byte
	hostile string
	noStory bool
	broken  error
	off     money.Amount // by how much the books do not balance

	asked   *http.Request
	askBody string
	refuse  bool
	play    admin.Play
	stopped bool

	query         admin.EntryQuery // the last one
	many          int              // entries that there are
	verifying     bool
	fault         string // that the verification found
	pdfForPartner bool
	ordered       []order
	margins       []admin.MarginRow // in the place of the invented ones
}

func newFake(t testing.TB) *fake {
	t.Helper()
	a, _, err := file.LoadFS(examples.FS, "openai-amazon/alliance.yaml", "")
	if err != nil {
		t.Fatal(err)
	}
	script, err := examples.FS.ReadFile("openai-amazon/story.yaml")
	if err != nil {
		t.Fatal(err)
	}
	return &fake{a: a, script: script, play: admin.Play{Describe: "Simulated load: one day in a minute."}}
}

// or returns text, or the hostile text in its place.
func (f *fake) or(text string) string {
	if f.hostile != "" {
		return f.hostile
	}
	return text
}

func (f *fake) Overview(time.Time) admin.Overview {
	return admin.Overview{
		Title: f.or(f.a.Title), Notice: f.or(f.a.Notice), Simulated: f.or("SIMULATED: all traffic was played."), Operator: f.or("OpenAI"), Currency: "USD", Terms: f.a.Hash, Version: f.or("v1"),
		Started: now.Add(-time.Hour), API: f.or("http://127.0.0.1:8080"), StandIns: []string{f.or("A simulator.")}, Requests: 3, Lag: 1,
	}
}

func (f *fake) Readiness() admin.Readiness {
	return admin.Readiness{Ready: true, Problems: []string{f.or("The local model does not run.")}}
}

func (f *fake) Pools(time.Time) (list []admin.Pool) {
	for i := range f.a.Pools {
		p := &f.a.Pools[i]
		v := admin.Pool{
			PoolState: route.PoolState{ID: p.ID, InFlight: int64(i), Capacity: 48_000_000, Left: 12_000_000, Unit: route.MicroChipSeconds, LoadPPM: 750_000, Healthy: i != 1, Mu: 1_234_567, LambdaPPM: 1_000_000, TTFT: 412 * time.Millisecond},
			Provider:  string(p.Provider), ProviderName: f.or("Amazon (AWS)"), Region: f.or(string(p.Region)), Residency: "US", Chip: f.or(string(p.Chip)), Chips: p.Chips,
			Contract: f.or(string(p.Contract)), Shape: "spend_floor", Models: []string{f.or("gpt-5.5")}, StandIn: f.or("A simulator."), MaxInFlight: p.MaxInFlight,
		}
		if i == 1 {
			v.Reason = f.or("3 failures in a row")
		}
		list = append(list, v)
	}
	return list
}

func (f *fake) Requests(int) []admin.Request {
	list := []admin.Request{
		{ID: "req_2", At: now.Add(-time.Second), Tenant: "demo-tenant", Plan: "demonstration", Asked: "assistant-custom:commerce", HTTP: 403, Status: "refused", Reason: "variant_not_rolled_out", Duration: 90 * time.Microsecond},
		{
			ID: "req_1", At: now.Add(-2 * time.Second), Tenant: "demo-tenant", Plan: "demonstration", Asked: "openai-frontier", Served: "gpt-5.5@2026-04-28", Pool: "aws-gb200-us-east-2", Contract: "aws-38bn",
			Right: "api-own-any-cloud", HTTP: 200, Status: "served", Tokens: usage.Vector{UncachedInput: 8, Output: 48}, Cost: 110, MarginalNano: 76_875, TTFT: 156 * time.Millisecond, Duration: 936 * time.Millisecond, Attempts: 2, StandIn: "A simulator.",
		},
		{ID: "req_0", At: now.Add(-5 * time.Second), Tenant: "t", Plan: "p", Asked: "gpt-5.5", Served: "gpt-5.5@2026-04-28", Pool: "aws-gb300-us-west-2", Contract: "aws-38bn", HTTP: 200, Status: "served", Cost: 40, Duration: 12 * time.Second},
	}
	if f.hostile != "" {
		for i := range list {
			r := &list[i]
			r.Tenant, r.Plan, r.Asked, r.Served, r.Reason, r.StandIn, r.Pool = f.hostile, f.hostile, f.hostile, f.hostile, f.hostile, f.hostile, f.hostile
		}
	}
	return list
}

func (f *fake) Trace(_ context.Context, id string) (admin.Trace, error) {
	if f.broken != nil {
		return admin.Trace{}, f.broken
	}
	if id != "req_1" && id != "req_2" {
		return admin.Trace{}, admin.ErrNotFound
	}
	d := admin.Decision{
		Attempt: "a1", At: now, Terms: f.a.Hash, Model: f.or("gpt-5.5@2026-04-28"), Plan: f.or("demonstration"), Channel: f.or("openai-api"), Territory: f.or("US"),
		Candidates: []admin.Candidate{
			{Pool: f.or("aws-gb200-us-east-2"), Contract: f.or("aws-38bn"), Shape: "spend_floor", Verdict: "chosen", CostNano: 72_312, LatencyNano: 72_312, LambdaPPM: 1_000_000},
			{Pool: "azure-on-demand-eastus2", Contract: "azure-on-demand", Shape: "pay_per_use", Verdict: "dearer", CostNano: 3_420_819, PriceNano: 3_154_500, LatencyNano: 266_319},
		},
		Ineligible: []admin.Ineligible{{Pool: "oracle-gb200-abilene", Cause: "no_contract", Why: f.or("its contract has not begun"), Right: f.or("api-azure-exclusive"), Claims: []string{"C12"}}},
	}
	if id == "req_2" {
		d.Refused = f.or("variant_not_rolled_out: it is not rolled out in JP")
		return admin.Trace{RequestID: id, Decisions: []admin.Decision{d}, Text: f.or("refused")}, nil
	}
	a := admin.Attempt{
		ID: "a1", Number: 1, At: now, State: "posted", Tenant: f.or("demo-tenant"), Key: "demo", Plan: "demonstration", Channel: "openai-api", Where: "US", Served: "gpt-5.5@2026-04-28", Pool: "aws-gb200-us-east-2",
		Contract: "aws-38bn", Right: "api-own-any-cloud", Intent: 10, Outcome: 11, Status: "served", Note: f.or("a note"), Tokens: usage.Vector{UncachedInput: 2, Output: 48},
		Postings: []admin.Posting{{Kind: "cost", Debit: f.or("openai/expense/compute/aws-gb200-us-east-2"), Credit: "openai/liability/accrued/amazon", Exact: "0.000106 + 1/2 micro", Asset: "USD", Price: "p", Entry: "149.1", Total: "0.000106", Lines: 1}},
	}
	return admin.Trace{RequestID: id, Decisions: []admin.Decision{d}, Attempts: []admin.Attempt{a}, Text: f.or("request " + id)}, nil
}

func (f *fake) Contracts(time.Time) (list []admin.Contract) {
	for i := range f.a.Contracts {
		c := &f.a.Contracts[i]
		v := admin.Contract{
			ID: string(c.ID), Title: f.or(c.Title), Party: string(c.Provider), Provider: f.or(string(c.Provider)), Shape: string(c.Shape), Currency: "USD", From: c.From, Until: c.Until, Headline: c.Headline, Claims: []string{"P01"},
			BurntTotal: 150, Burnt: 150, FeesAccrued: 1000, FeesSinceStart: 1000, LambdaPPM: 1_000_000, ShapeSays: f.or("Spend floor."), Pools: []string{f.or("pool")},
		}
		for _, s := range c.Floors {
			v.Schedule = append(v.Schedule, admin.Step{From: s.From, Until: s.Until, Amount: s.Amount, Assumption: s.Assumption})
			if s.Holds(now) {
				v.IntervalFrom, v.IntervalUntil, v.Floor, v.Assumption = s.From, s.Until, s.Amount, true
			}
		}
		for _, s := range c.Fees {
			v.Schedule = append(v.Schedule, admin.Step{From: s.From, Until: s.Until, Amount: s.Amount, Fee: true})
			if s.Holds(now) {
				v.IntervalFrom, v.IntervalUntil, v.Fee = s.From, s.Until, s.Amount
			}
		}
		for _, r := range c.Ramp {
			v.Ramp = append(v.Ramp, admin.Ramp{From: r.From, Chips: r.Chips, TokensPerMinute: r.TokensPerMinute, Assumption: true})
		}
		list = append(list, v)
	}
	return list
}

func (f *fake) Balances() []ledger.Balance {
	return []ledger.Balance{
		{Account: ledger.AccountID(f.or("openai/expense/compute/aws-gb200-us-east-2")), Asset: "USD", Amount: 150 + f.off},
		{Account: "openai/liability/accrued/amazon", Asset: "USD", Amount: -150},
		{Account: "openai/memo/commit_open/aws-38bn,2025-11-03", Asset: "COMMIT-USD(aws-38bn)", Amount: 150},
		{Account: "openai/memo/commit_used/aws-38bn,2025-11-03", Asset: "COMMIT-USD(aws-38bn)", Amount: -150},
	}
}

func (f *fake) Claims(at time.Time, ids []string) (*story.Claims, error) {
	if f.broken != nil {
		return nil, f.broken
	}
	c, err := story.AskClaims(f.a, at, ids)
	if err != nil {
		return nil, errors.Join(admin.ErrNotFound, err)
	}
	return c, nil
}

func (f *fake) Story(at time.Time) (story.Story, bool) {
	if f.noStory {
		return story.Story{}, false
	}
	told, err := story.Build(f.a, f.script, at)
	return told, err == nil
}

func (f *fake) Askers() []admin.Asker {
	return []admin.Asker{
		{Key: "bedrock-key", Tenant: f.or("A company"), Plan: "api", Channel: "aws-bedrock", Territories: []string{"US"}, Models: []string{"gpt-5.5"}},
		{Key: "demo", Tenant: "Whoever", Plan: f.or("demonstration"), Territories: []string{"US", "JP"}, Models: []string{"openai-frontier", f.or("assistant-custom:commerce")}, Trusted: true, PerEndUser: true},
	}
}

func (f *fake) Suggestions() []admin.Suggestion {
	return []admin.Suggestion{{Title: f.or("Refused in JP"), Key: "demo", Model: "assistant-custom:commerce", Territory: "JP", Prompt: f.or("May I & you?"), Refused: true}}
}

func (f *fake) Chat(w http.ResponseWriter, r *http.Request) {
	f.asked = r
	body, _ := io.ReadAll(r.Body)
	f.askBody = string(body)
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("X-Request-Id", "req_1")
	if f.refuse {
		w.WriteHeader(403)
		_, _ = io.WriteString(w, `{"error":{"message":"Refused: it is not rolled out in JP.","code":"variant_not_rolled_out"}}`)
		return
	}
	w.Header().Set("X-Accordo-Stand-In", f.or("A simulator."))
	_, _ = io.WriteString(w, `{"choices":[{"message":{"content":"Paris & <b>more</b>"}}]}`)
}

func (f *fake) Play() bool {
	f.play.Running, f.play.Hour, f.play.Sent = true, 6, 1234
	return true
}
func (f *fake) Stop()             { f.stopped = true }
func (f *fake) State() admin.Play { return f.play }

// attributes of HTML that would run or load something.
var forbidden = []string{" style=", " onclick=", " onload=", " onerror=", "<iframe", "<object", "<embed", "<base", "javascript:", "@import", "<style"}

func mustContain(t *testing.T, body string, parts ...string) {
	t.Helper()
	for _, p := range parts {
		if !strings.Contains(body, p) {
			t.Errorf("the page does not contain %q", p)
		}
	}
}
