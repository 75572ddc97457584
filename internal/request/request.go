// Package request is what happens to one request apart from its traffic: what
// was asked for, whether the plan offers it, what is held of the limits, what
// the router is asked, what the journal is told and when another pool is
// tried. The live gateway and the simulation both run requests through it, so
// that they cannot come to differ. It is pure: time is an argument, and what
// is held lies with the caller. It refuses to authenticate, to choose pools
// (route does), to count (quota does), to call anything and to write anything.
//
// A caller fills in who asks and what, then calls Resolve and Admit, for each
// attempt Route, Intent and End, and once at the end Settle.
package request

import (
	"time"

	"github.com/accordo-ai/accordo/internal/alliance"
	"github.com/accordo-ai/accordo/internal/dialect/openai"
	"github.com/accordo-ai/accordo/internal/money"
	"github.com/accordo-ai/accordo/internal/quota"
	"github.com/accordo-ai/accordo/internal/rating"
	"github.com/accordo-ai/accordo/internal/record"
	"github.com/accordo-ai/accordo/internal/usage"
	"github.com/accordo-ai/accordo/internal/variant"
)

// Terms are an alliance made ready for requests. They are immutable.
type Terms struct {
	a        *alliance.Alliance
	models   map[*alliance.Model]string   // id@version
	variants map[*alliance.Variant]string // id@version
	systems  map[*alliance.Flow]string
	longest  time.Duration // that a pool may take for an attempt, 0: none says
}

// NewTerms compiles the flows of a and names what it offers.
func NewTerms(a *alliance.Alliance) *Terms {
	t := &Terms{a: a, models: map[*alliance.Model]string{}, variants: map[*alliance.Variant]string{}, systems: map[*alliance.Flow]string{}}
	for i := range a.Models {
		m := &a.Models[i]
		t.models[m] = string(m.ID)
		if m.Version != "" {
			t.models[m] += "@" + m.Version
		}
	}
	for i := range a.Variants {
		v := &a.Variants[i]
		t.variants[v] = string(v.ID) + "@" + v.Version
		for j := range v.Flows {
			t.systems[&v.Flows[j]] = variant.Compile(v, &v.Flows[j])
		}
	}
	for i := range a.Pools {
		ms := min(a.Pools[i].Endpoint.TotalMS, MaxHold.Milliseconds())
		t.longest = max(t.longest, time.Duration(ms)*time.Millisecond)
	}
	return t
}

// Alliance is what the terms were made of.
func (t *Terms) Alliance() *alliance.Alliance { return t.a }

// Request is one call of a client, from what it says to what it was served.
type Request struct {
	// The caller says under which terms, who asks and when. Tenant, Key and
	// Plan belong together; Surface and EndUser may be empty.
	Terms     *Terms
	ID        string
	At        time.Time
	Tenant    alliance.TenantID
	Key       *alliance.Key
	Plan      *alliance.Plan
	Territory alliance.Territory
	Surface   string
	EndUser   string

	// The caller says what is asked for. Asked is as the client wrote it; Kind
	// 0 is that of the model. MaxOutput is the client's limit on the output
	// tokens of each of the Choices, 0: it sets none.
	Asked     string
	Kind      openai.Kind
	TextBytes int64
	Images    int64
	Choices   int64
	MaxOutput int64
	Stream    bool

	// Resolve finds these. Variant and Flow are nil, and VariantName and
	// System empty, where no variant is asked for. Names are id@version.
	Model       *alliance.Model
	Variant     *alliance.Variant
	Flow        *alliance.Flow
	ModelName   string
	VariantName string
	System      string // message in front of the conversation

	// Admit finds these. Output bounds the output tokens of each choice, 0:
	// nothing does. Subject is whom the plan's limits count.
	Estimate usage.Vector
	Output   int64
	Subject  string
	hold     quota.HoldID
	held     bool

	// The attempts fill these. Considered is the memory for the next decision,
	// or, when the last one found no pool, what it considered.
	Attempts   int
	Tried      []alliance.PoolID
	Considered []record.Considered
	Used       usage.Vector // what the customer was served
}

// Shown is the name of what was asked for as answers carry it: id@version.
func (q *Request) Shown() string {
	if q.Variant != nil {
		return q.VariantName
	}
	return q.ModelName
}

// Limits bound what becomes of requests. They must all be above 0.
type Limits struct {
	Attempts     int           // tries per request, the first included
	Total        time.Duration // of one attempt, unless its pool may take longer
	RetryBurst   int           // retries that may come at once, over all requests
	RetryPercent int           // retries per 100 requests in the long run
}

// The Limits where an operator sets none.
const (
	Attempts     = 4
	Total        = 10 * time.Minute
	RetryBurst   = 1000
	RetryPercent = 20
)

// RetryCost is what one retry takes off the level of the retries' budget.
const RetryCost = 1000

// RetryBudget is the highest level of the retries' budget: where it begins.
func (l Limits) RetryBudget() int64 { return int64(l.RetryBurst) * RetryCost }

// RetryShare is what a request adds to a level of the retries' budget.
func (l Limits) RetryShare(level int64) int64 {
	return max(0, min(int64(l.RetryPercent)*RetryCost/100, l.RetryBudget()-level))
}

// Refusal is the journal's record of a request that was not sent anywhere.
func (q *Request) Refusal(e *openai.Error) *record.Refusal {
	return &record.Refusal{
		Request: q.ID, Tenant: string(q.Tenant), Key: string(q.Key.ID), Plan: string(q.Key.Plan), Channel: string(q.Key.Channel),
		Territory: string(q.Territory), EndUser: q.EndUser, Terms: q.Terms.a.Hash, Model: q.Asked, Code: e.Code, Reason: e.Message, Considered: q.Considered,
	}
}

// Subject names whom the limits of a plan count.
func Subject(p *alliance.Plan, tenant alliance.TenantID, key alliance.KeyID, endUser string) string {
	if p.Subject == "end_user" && endUser != "" {
		return "user:" + string(tenant) + ":" + endUser
	}
	return "key:" + string(key)
}

// Counted is what usage counts for against the limits of a plan.
func Counted(p *alliance.Plan, used usage.Vector) (tokens int64, spend money.Amount) {
	if p.Price != nil {
		spend = rating.Ceil(p.Price.Rates, used)
	}
	return used.Total(), spend
}
