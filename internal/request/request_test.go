package request_test

import (
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/accordo-ai/accordo/internal/alliance"
	"github.com/accordo-ai/accordo/internal/dialect/openai"
	"github.com/accordo-ai/accordo/internal/money"
	"github.com/accordo-ai/accordo/internal/quota"
	"github.com/accordo-ai/accordo/internal/record"
	"github.com/accordo-ai/accordo/internal/request"
	"github.com/accordo-ai/accordo/internal/route"
	"github.com/accordo-ai/accordo/internal/usage"
)

var noon = time.Date(2026, 6, 10, 12, 0, 0, 0, time.UTC)

func date(year int) alliance.Date {
	return alliance.Date{Time: time.Date(year, 1, 1, 0, 0, 0, 0, time.UTC)}
}

// example has a model in a family, an embedding, a variant of the family and
// one plan with what change makes of it.
func example(change func(*alliance.Plan)) *alliance.Alliance {
	a := &alliance.Alliance{
		Currency: "USD", Hash: "h",
		Models:   []alliance.Model{{ID: "m", Version: "1", Kind: "chat"}, {ID: "e", Kind: "embedding"}, {ID: "other", Kind: "chat"}},
		Families: []alliance.Family{{ID: "fam", Members: []alliance.FamilyMember{{Model: "m", From: date(2025)}}}},
		Variants: []alliance.Variant{{
			ID: "asst", Name: "Assistant", Base: "fam", Version: "v", DefaultFlow: "info", Plans: []alliance.PlanID{"p"}, Surfaces: []string{"web"},
			Flows:   []alliance.Flow{{ID: "info"}, {ID: "shop", MaxOutputTokens: 7}},
			Rollout: []alliance.Rollout{{Territory: "US", State: "on", From: date(2026)}, {Territory: "FR", State: "opt_in", From: date(2026), Claim: []alliance.ClaimID{"C1"}}},
		}},
		Plans: []alliance.Plan{{ID: "p", Subject: "key", Models: []alliance.ModelID{"fam", "e"}}},
	}
	if change != nil {
		change(&a.Plans[0])
	}
	return a.Build()
}

func ask(a *alliance.Alliance, asked string) *request.Request {
	key := &alliance.Key{ID: "k", Plan: "p", Channel: "api", Territory: "US"}
	return &request.Request{
		Terms: request.NewTerms(a), ID: "r", At: noon, Tenant: "t", Key: key, Plan: &a.Plans[0], Territory: "US", Surface: "web", Asked: asked, Choices: 1, TextBytes: 400,
	}
}

func code(e *openai.Error) string {
	if e == nil {
		return ""
	}
	return e.Code
}

func TestResolve_FindsWhatThePlanOffersAndRefusesTheRest(t *testing.T) {
	surfaces := func(p *alliance.Plan) { p.Surfaces = []string{"web"} }
	for _, row := range []struct {
		name, asked string
		plan        func(*alliance.Plan)
		change      func(*request.Request)
		shown, code string
	}{
		{"a member of the plan's family", "m", nil, nil, "m@1", ""},
		{"the family", "fam", nil, nil, "m@1", ""},
		{"the name of an answer", "m@1", nil, nil, "m@1", ""},
		{"another version", "m@2", nil, nil, "", "model_not_found"},
		{"a model without a version", "e", nil, nil, "e", ""},
		{"a model of another kind", "e", nil, func(q *request.Request) { q.Kind = openai.Chat }, "", "model_not_found"},
		{"a model that the plan lacks", "other", nil, nil, "", "model_not_found"},
		{"an unknown model", "x", nil, nil, "", "model_not_found"},
		{"a variant", "asst", nil, nil, "asst@v", ""},
		{"a flow of a variant", "asst:shop@v", nil, nil, "asst@v", ""},
		{"an unknown flow", "asst:x", nil, nil, "", "model_not_found"},
		{"a variant elsewhere", "asst", nil, func(q *request.Request) { q.Territory = "JP" }, "", request.NotRolledOut},
		{"a variant that needs an opt-in", "asst", nil, func(q *request.Request) { q.Territory = "FR" }, "", request.NotRolledOut},
		{"a variant with an opt-in", "asst", nil, func(q *request.Request) { q.Territory, q.Key.OptIn = "FR", []alliance.ModelID{"asst"} }, "asst@v", ""},
		{"a variant on another surface", "asst", nil, func(q *request.Request) { q.Surface = "tv" }, "", request.VariantNotAllowed},
		{"a variant of another plan", "asst", func(p *alliance.Plan) { p.ID = "q" }, nil, "", request.VariantNotAllowed},
		{"a plan for another surface", "m", surfaces, func(q *request.Request) { q.Surface = "" }, "", request.SurfaceNotInPlan},
	} {
		t.Run(row.name, func(t *testing.T) {
			q := ask(example(row.plan), row.asked)
			if row.change != nil {
				row.change(q)
			}
			e := q.Resolve()
			if code(e) != row.code {
				t.Fatalf("refused with %v, want %q", e, row.code)
			}
			if e == nil && q.Shown() != row.shown {
				t.Errorf("shown as %q, want %q", q.Shown(), row.shown)
			}
		})
	}
}

func TestAdmit_HoldsTheUpperBoundAndMakesAnUnchosenOutputSmaller(t *testing.T) {
	price := &alliance.SalePrice{ID: "s", Rates: alliance.Rates{Input: money.Micro, Output: money.Micro}}
	for _, row := range []struct {
		name   string
		plan   func(*alliance.Plan)
		chosen int64
		output int64
		code   string
	}{
		{"no limit", nil, 0, 0, ""},
		{"the client's", nil, 99, 99, ""},
		{"the plan's", func(p *alliance.Plan) { p.DefaultOutputTokens = 64 }, 0, 64, ""},
		{"ours, where a day is limited", func(p *alliance.Plan) { p.Limits.TokensPerDay = 1 << 20 }, 0, request.DefaultOutput, ""},
		{"ours, where a month is limited", func(p *alliance.Plan) { p.Limits.TokensPerMonth = 1 << 20 }, 0, request.DefaultOutput, ""},
		{"what a day leaves", func(p *alliance.Plan) { p.Limits.TokensPerDay = 1000 }, 0, 1000 - 464, ""},
		{"what a month leaves", func(p *alliance.Plan) { p.Limits.TokensPerMonth = 1000 }, 0, 1000 - 464, ""},
		{"what the spend of a day leaves", func(p *alliance.Plan) { p.Price, p.Limits.SpendPerDay = price, 1000 }, 0, 1000 - 464, ""},
		{"more than a day leaves, chosen", func(p *alliance.Plan) { p.Limits.TokensPerDay = 1000 }, 999, 0, "insufficient_quota"},
		{"too little left", func(p *alliance.Plan) { p.Limits.TokensPerDay = 464 + request.MinOutput - 1 }, 0, 0, "insufficient_quota"},
		{"an end user that is missing", func(p *alliance.Plan) { p.Subject = "end_user" }, 0, 0, "missing_header"},
	} {
		t.Run(row.name, func(t *testing.T) {
			q, book := ask(example(row.plan), "m"), quota.New(quota.Options{})
			q.MaxOutput, q.Key.Trusted = row.chosen, true
			if e := q.Resolve(); e != nil {
				t.Fatal(e)
			}
			e := q.Admit(noon, book, request.Limits{Attempts: 4, Total: time.Minute})
			if code(e) != row.code || q.Output != row.output || q.Held() != (e == nil) {
				t.Fatalf("output %d, held %v, %v; want %d, %q", q.Output, q.Held(), e, row.output, row.code)
			}
			q.Used = usage.Vector{UncachedInput: 100, Output: 5}
			q.Settle(noon, book)
			q.Settle(noon, book)
			if _, holds := book.Len(); holds != 0 || q.Held() {
				t.Errorf("%d holds are left", holds)
			}
		})
	}
}

func TestAdmit_SaysThatARequestIsLargerThanItsLimit(t *testing.T) {
	q := ask(example(func(p *alliance.Plan) { p.Limits.TokensPerDay = 100 }), "m")
	if e := q.Resolve(); e != nil {
		t.Fatal(e)
	}
	e := q.Admit(noon, quota.New(quota.Options{}), request.Limits{Attempts: 1, Total: time.Minute})
	if e == nil || !strings.Contains(e.Message, "larger than the limit tokens_per_day") || e.RetryAfter != 0 {
		t.Errorf("%+v", e)
	}
}

func TestEnd_CountsWhatWasBilledElseWhatMayBeOwed(t *testing.T) {
	estimate, billed := usage.Vector{UncachedInput: 10, Output: 20}, usage.Vector{UncachedInput: 3, Output: 4}
	for _, row := range []struct {
		name string
		e    request.Ending
		want usage.Vector
		used usage.Vector
	}{
		{"served", request.Ending{Status: record.Served, Usage: billed, Delivered: true}, billed, billed},
		{"refused", request.Ending{Status: record.Unserved, Usage: billed}, usage.Vector{}, usage.Vector{}},
		{"cut after three tokens", request.Ending{Status: record.Suspense, Deltas: 3, Delivered: true}, usage.Vector{UncachedInput: 10, Output: 3}, usage.Vector{UncachedInput: 10, Output: 3}},
		{"cut before any", request.Ending{Status: record.Suspense}, estimate, usage.Vector{}},
	} {
		t.Run(row.name, func(t *testing.T) {
			q := request.Request{Estimate: estimate}
			row.e.Reason = "why"
			q.End(&row.e)
			if row.e.Usage != row.want || q.Used != row.used || row.e.Failure != "why" {
				t.Errorf("usage %v, used %v, failure %q", row.e.Usage, q.Used, row.e.Failure)
			}
			if o := row.e.Outcome("a", 7, 8); o.Usage != row.want || o.Intent != 7 || o.Observation != 8 || o.Reason != "why" {
				t.Errorf("outcome %+v", o)
			}
		})
	}
}

func TestIntent_IsOfTheAttemptThatBeganLast(t *testing.T) {
	q := ask(example(nil), "asst:shop")
	if e := q.Resolve(); e != nil {
		t.Fatal(e)
	}
	q.Estimate = usage.Vector{UncachedInput: 5, Output: 7}
	want := route.Request{Model: "m", Variant: "asst", Plan: "p", Channel: "api", Territory: "US", Kind: "chat", Input: 5, Output: 7}
	if diff := cmp.Diff(want, q.Route()); diff != "" {
		t.Error(diff)
	}
	d := route.Decision{Sequence: 9, Pool: &alliance.Pool{ID: "pool"}, Contract: "c", Right: "right", CostPrice: "cost", Considered: []record.Considered{{Pool: "pool"}}}
	q.Began(&d)
	var in record.Intent
	q.Intent(&in, "attempt", &d)
	if diff := cmp.Diff(record.Intent{
		Attempt: "attempt", Request: "r", Number: 1, Decision: 9, Terms: "h", Tenant: "t", Key: "k", Plan: "p", Channel: "api", Territory: "US", Model: "m@1", Variant: "asst@v",
		Pool: "pool", Contract: "c", Right: "right", CostPrice: "cost", Estimate: q.Estimate, Considered: d.Considered,
	}, in); diff != "" {
		t.Error(diff)
	}
	if next := q.Route(); len(next.Tried) != 1 || next.Tried[0] != "pool" || cap(next.Buffer) == 0 {
		t.Errorf("the next attempt asks %+v", next)
	}
}

func TestNoPool_NamesTheCause(t *testing.T) {
	for _, row := range []struct {
		reason, code string
		status       int
	}{
		{route.NoRight, "no_right", 403},
		{route.NoResidency, "residency", 403},
		{route.Full, "capacity_full", 503},
		{route.UsedUp, "commitment_used_up", 503},
		{route.Unhealthy, "providers_unavailable", 503},
		{route.NoPool, "no_pool", 503},
	} {
		t.Run(row.reason, func(t *testing.T) {
			q := ask(example(nil), "m")
			e := q.NoPool(&route.Decision{Reason: row.reason, Refused: []route.Ineligible{{Cause: row.reason, Why: "because"}}})
			if e.Code != row.code || e.Status != row.status {
				t.Errorf("%d %s", e.Status, e.Code)
			}
			if r := q.Refusal(e); r.Code != row.code || r.Model != "m" || r.Reason != e.Message || r.Terms != "h" {
				t.Errorf("refusal %+v", r)
			}
		})
	}
}

func TestRefused_SaysWhatMayBeOwedAndWhoIsAtFault(t *testing.T) {
	for _, row := range []struct {
		status  int
		want    record.Status
		failure string
		retry   bool
	}{
		{400, record.Unserved, route.FailureCancelled, false},
		{401, record.Unserved, "", true},
		{422, record.Unserved, route.FailureCancelled, false},
		{429, record.Unserved, route.FailureRateLimited, true},
		{500, record.Unserved, "", true},
		{204, record.Suspense, "", true},
		{504, record.Suspense, "", true},
	} {
		e, retry := request.Refused(row.status, time.Second)
		if e.Status != row.want || e.Failure != row.failure || retry != row.retry || e.Reason == "" {
			t.Errorf("%d: %+v, retry %v", row.status, e, retry)
		}
		if waits := e.RetryAfter > 0; waits != (row.status == 429) {
			t.Errorf("%d asks to wait %s", row.status, e.RetryAfter)
		}
	}
}

func TestRetryShare_NeverLeavesTheBudget(t *testing.T) {
	l := request.Limits{RetryBurst: 2, RetryPercent: 20}
	for level, want := range map[int64]int64{0: 200, 1900: 100, 2000: 0, 5000: 0} {
		if got := l.RetryShare(level); got != want {
			t.Errorf("at %d a request adds %d, want %d", level, got, want)
		}
	}
}
