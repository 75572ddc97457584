// Package record defines what the journal holds: intents before a call, the
// outcomes after it, and the marks that close a batch. It owns their binary
// form (docs/format/journal.md) and nothing else: files, locks and clocks are
// the journal's, meaning is the ledger's.
package record

import "github.com/accordo-ai/accordo/internal/usage"

// Kind tells the records apart; its values are part of the format.
type Kind uint8

// The kinds of record.
const (
	KindIntent  Kind = 1
	KindOutcome Kind = 2
	KindMark    Kind = 3
	KindStart   Kind = 4
	KindRefusal Kind = 5
)

// Record is one entry of a journal: exactly one of Intent, Outcome, Mark,
// Start and Refusal is set, as Kind says.
type Record struct {
	// Sequence numbers the records of one node from 1, without gaps.
	Sequence uint64
	// At is the node's clock in nanoseconds since 1970 UTC. It never falls
	// within a journal: a clock that steps back repeats the last value.
	At      int64
	Kind    Kind
	Intent  *Intent
	Outcome *Outcome
	Mark    *Mark
	Start   *Start
	Refusal *Refusal
}

// AttemptID identifies one try at one pool. It is sent to the provider as
// x-accordo-attempt and stands in the provider's invoice.
type AttemptID string

// Intent says that a request is about to be sent to a pool. It carries all
// that the books need when no outcome ever comes.
type Intent struct {
	Attempt   AttemptID
	Request   string // the client's x-request-id, or ours
	Number    int32  // 1 for the first attempt of the request
	Decision  uint64 // sequence number of the routing decision
	Terms     string // hash of the alliance terms in force
	Tenant    string
	Key       string // id of the key, never the key
	Plan      string
	Channel   string
	Territory string
	EndUser   string // asserted by a trusted key, else empty
	Model     string // the model that serves, id@version
	Variant   string // id@digest, or empty
	Pool      string
	Contract  string
	Right     string // id of the right that allowed it
	CostPrice string // id of the price-book entry of the cost, or empty when fees are fixed
	SalePrice string // id of the price of the plan, or empty when included
	Estimate  usage.Vector
	Stream    bool
	// Considered are the eligible candidates as the decision saw them; pools
	// that no right, plan or residency allowed are recomputed from the terms.
	Considered []Considered
}

// Considered is one candidate of a decision.
type Considered struct {
	Pool    string
	Verdict Verdict
	// Cost is the marginal cost that the decision compared, and Price, Scarcity and Latency
	// its parts, in nano-units of the currency (10^-9) for the whole request.
	Cost, Price, Scarcity, Latency int64
	// LambdaPPM is the shadow price of the contract's floor, in parts per million of the price.
	LambdaPPM int64
}

// Verdict is what a decision made of a candidate.
type Verdict uint8

// The verdicts.
const (
	Chosen    Verdict = 1
	Dearer    Verdict = 2 // could serve, at a higher marginal cost
	Full      Verdict = 3 // no capacity left in the window or in flight
	Unhealthy Verdict = 4
	Tried     Verdict = 5 // failed in an earlier attempt of this request
	Expired   Verdict = 6 // right, price or contract ended since the candidates were computed
	UsedUp    Verdict = 7 // its contract stops where its commitment is used up
)

// Refusal says why a request of a known key was not sent anywhere. It is kept
// for explanation, moves no money, and may be lost in a crash.
type Refusal struct {
	Request    string
	Tenant     string
	Key        string
	Plan       string
	Channel    string
	Territory  string
	EndUser    string
	Terms      string
	Model      string // as asked for
	Code       string // the dialect's error code
	Reason     string // a sentence for people, without content of the request
	Considered []Considered
}

// Status says how an attempt ended.
type Status uint8

// The ways in which an attempt ends. Served is the only one whose usage is a
// bill; Unserved is known not to be billed; everything else is suspense.
const (
	Served    Status = 1 // complete, the provider stated its usage
	Unserved  Status = 2 // refused or failed before any token: nothing is owed
	Suspense  Status = 3 // something may be owed: cut, cancelled, or usage missing or contradictory
	Abandoned Status = 4 // in flight when the process died; written at restart
)

// Outcome says what came of an intent.
type Outcome struct {
	Attempt AttemptID
	// Intent is the sequence number of the attempt's intent.
	Intent uint64
	// Observation is the sequence number that the router gave.
	Observation uint64
	Status      Status
	// Usage is what the provider says it served when Status is Served, and
	// the estimate otherwise.
	Usage    usage.Vector
	Tier     string // service tier served, as the provider names it
	Upstream string // the provider's own id of the answer
	Version  string // model version that the provider names
	Reason   string // why it is not Served: a short constant, never content
	TTFT     int64  // nanoseconds to the first byte of the answer, 0 if none
	Duration int64  // nanoseconds from the intent to the end
}

// Mark closes a batch: the records since the last mark are posted together.
type Mark struct{}

// Start says that a process opened the journal: its version and the hash of
// the terms. Intents before it without an outcome are abandoned.
type Start struct {
	Version string
	Terms   string
	Node    string
}

// AbandonedReason is why an outcome is Abandoned.
const AbandonedReason = "process ended"

// Abandon is the outcome of an attempt whose process ended while it was under
// way: it may have used what was estimated.
func Abandon(id AttemptID, intent uint64, estimate usage.Vector) Outcome {
	return Outcome{Attempt: id, Intent: intent, Status: Abandoned, Usage: estimate, Reason: AbandonedReason}
}
