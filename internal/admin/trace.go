package admin

import (
	"time"

	"github.com/accordo-ai/accordo/internal/usage"
)

// Trace is everything that is known of one request: decision, journal, books.
type Trace struct {
	RequestID string     `json:"request_id"`
	Decisions []Decision `json:"decisions"`
	Attempts  []Attempt  `json:"attempts"`
	Text      string     `json:"text"` // as accordo explain and accordo ledger trace print it
}

// Decision is one routing decision: who was asked for what, the candidates as
// the decision saw them, and the pools that could not be candidates.
type Decision struct {
	Request    string       `json:"request"`
	Attempt    string       `json:"attempt,omitempty"`
	At         time.Time    `json:"at"`
	Terms      string       `json:"terms"`
	Model      string       `json:"model"`
	Plan       string       `json:"plan"`
	Channel    string       `json:"channel"`
	Territory  string       `json:"territory"`
	Refused    string       `json:"refused,omitempty"` // code and reason, when nothing was sent
	Candidates []Candidate  `json:"candidates"`
	Ineligible []Ineligible `json:"ineligible"`
}

// Candidate is a pool that could serve. Cost = price + scarcity + latency, in
// nano-units of the currency for the whole request.
type Candidate struct {
	Pool         string `json:"pool"`
	Contract     string `json:"contract"`
	Shape        string `json:"shape"`
	Verdict      string `json:"verdict"`
	CostNano     int64  `json:"cost_nano"`
	PriceNano    int64  `json:"price_nano"`
	ScarcityNano int64  `json:"scarcity_nano"`
	LatencyNano  int64  `json:"latency_nano"`
	LambdaPPM    int64  `json:"lambda_ppm"`
}

// Ineligible is a pool that could not serve, whatever the load.
type Ineligible struct {
	Pool   string   `json:"pool"`
	Cause  string   `json:"cause"`
	Why    string   `json:"why"`
	Right  string   `json:"right,omitempty"`
	Claims []string `json:"claims,omitempty"`
}

// Attempt is one try at one pool with its share of the books.
type Attempt struct {
	ID       string        `json:"id"`
	Number   int32         `json:"number"`
	At       time.Time     `json:"at"`
	State    string        `json:"state"` // in_flight, unposted or posted
	Tenant   string        `json:"tenant"`
	Key      string        `json:"key"`
	Plan     string        `json:"plan"`
	Channel  string        `json:"channel"`
	Where    string        `json:"territory"`
	Served   string        `json:"served"` // id@version
	Pool     string        `json:"pool"`
	Contract string        `json:"contract"`
	Right    string        `json:"right"`
	Intent   uint64        `json:"intent"`            // sequence in the journal
	Outcome  uint64        `json:"outcome,omitempty"` // 0: none yet
	Status   string        `json:"status,omitempty"`
	Reason   string        `json:"reason,omitempty"`
	Suspense string        `json:"suspense,omitempty"`
	Note     string        `json:"note,omitempty"`
	Tokens   usage.Vector  `json:"tokens"`
	TTFT     time.Duration `json:"ttft_ns"`
	Duration time.Duration `json:"duration_ns"`
	Postings []Posting     `json:"postings,omitempty"`
}

// Posting is the exact share of an attempt in one entry.
type Posting struct {
	Kind   string `json:"kind"`
	Debit  string `json:"debit"`
	Credit string `json:"credit"`
	Exact  string `json:"exact"` // in units of the asset, with the rest as a fraction
	Asset  string `json:"asset"`
	Price  string `json:"price,omitempty"`
	Entry  string `json:"entry,omitempty"` // batch.number, once posted
	Total  string `json:"total,omitempty"` // of the entry
	Lines  int64  `json:"lines,omitempty"` // of the entry
}
