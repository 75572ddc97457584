// Package route chooses the pool of a request: the cheapest at the margin
// among those that right, plan, residency and contract allow, with shadow
// prices for scarce capacity and for spend floors. It is pure and
// single-threaded: callers serialise, and time is an argument. It refuses to
// call pools, to price a bill and to put anything before a right.
package route

import (
	"time"

	"github.com/accordo-ai/accordo/internal/alliance"
	"github.com/accordo-ai/accordo/internal/record"
	"github.com/accordo-ai/accordo/internal/right"
	"github.com/accordo-ai/accordo/internal/usage"
)

// Request is what a decision needs to know of a request. Input and Output are
// estimates in tokens.
type Request struct {
	Model     alliance.ModelID // resolved: the model that serves
	Variant   alliance.ModelID // empty: none
	Plan      alliance.PlanID
	Channel   alliance.ChannelID
	Territory alliance.Territory
	Kind      string // chat or embedding
	Input     int64
	Output    int64
	Tried     []alliance.PoolID // pools that failed in earlier attempts
	// Buffer is filled with Decision.Considered when its capacity suffices,
	// so that a caller who reuses it allocates nothing.
	Buffer []record.Considered
}

// The reasons of a decision without a pool, and the causes of an Ineligible.
const (
	NoRight      = "no_right"
	NoResidency  = "residency"
	NoPool       = "no_pool"            // no pool serves the model for the plan
	Full         = "full"               // every candidate is full
	Unhealthy    = "unhealthy"          // every candidate is unhealthy, or has been tried
	UsedUp       = "commitment_used_up" // every candidate's contract stops where its commitment is used up
	NotInPlan    = "plan"
	NotInTerm    = "contract_term"
	NoPrice      = "no_price"
	NoRate       = "no_rate" // of exchange from the contract's currency
	NoCapacity   = "no_capacity"
	NotExercised = "option" // of the contract, which is nothing until then
	NotServed    = "model"  // the pool does not serve the model
)

// Reservation is the capacity that a decision booked. It is released by one
// Observe; a second one does nothing. The zero Reservation is none.
type Reservation struct {
	ID uint64
}

// Decision is the answer to a request. Considered lies in the caller's buffer
// when it was large enough. Refused is set only when Pool is nil.
type Decision struct {
	Sequence    uint64
	Pool        *alliance.Pool // nil: none
	PoolModel   *alliance.PoolModel
	Contract    alliance.ContractID
	Right       alliance.RightID
	CostPrice   alliance.PriceID
	Considered  []record.Considered
	Reservation Reservation
	Reason      string        // why Pool is nil: NoRight, NoResidency, NoPool, Full, UsedUp or Unhealthy
	RetryAfter  time.Duration // when Reason is Full or Unhealthy: when to try again
	Refused     []Ineligible
}

// Ineligible is a pool that may not serve a request, whatever its load.
type Ineligible struct {
	Pool      *alliance.Pool
	Cause     string // one of the constants
	Why       string // for people
	Refusals  []right.Refusal
	Conflicts []*alliance.Claim
}

// Candidate is a pool that may serve a request, with its cost at this instant.
type Candidate struct {
	Pool      *alliance.Pool
	PoolModel *alliance.PoolModel
	Contract  *alliance.Contract
	Right     *alliance.Right
	CostPrice *alliance.Price // nil: fees are fixed and no price is in force
	Cost      record.Considered
}

// Explanation is the static part of a decision: every pool of the terms is
// either a candidate or ineligible.
type Explanation struct {
	Candidates []Candidate
	Ineligible []Ineligible
}

// Outcome tells the router what came of a reservation.
type Outcome struct {
	Reservation Reservation
	Pool        alliance.PoolID
	Usage       usage.Vector // what was used; zero leaves the estimate in place when Served, and refunds it when not
	Served      bool
	Failure     string // empty: none; else a short constant such as rate_limited, timeout, status_500, cancelled
	TTFT        time.Duration
	Duration    time.Duration
	RetryAfter  time.Duration // of a 429
}

// The failures that Observe tells apart; any other counts against the pool's health.
const (
	FailureRateLimited = "rate_limited" // the pool said 429: full until RetryAfter
	FailureCancelled   = "cancelled"    // the client left: says nothing about the pool
	FailureRequest     = "bad_request"  // the pool found fault with the request itself
)

// PoolState is a pool as the console shows it.
type PoolState struct {
	ID        alliance.PoolID `json:"id"`
	InFlight  int64           `json:"in_flight"`
	Capacity  int64           `json:"capacity"` // of the window, in Unit; 0: unbounded
	Left      int64           `json:"left"`     // of the window, in Unit; negative: overdrawn
	Unit      string          `json:"unit"`     // micro_chip_seconds or micro_burn_units
	LoadPPM   int64           `json:"load_ppm"` // use of the window's capacity, or of MaxInFlight where nothing else bounds
	Healthy   bool            `json:"healthy"`
	Reason    string          `json:"reason,omitempty"` // why not, for people
	Mu        int64           `json:"mu"`               // shadow price of capacity, in nano-units of currency per 10^6 Unit
	LambdaPPM int64           `json:"lambda_ppm"`       // shadow price of the contract's floor, in parts per million
	TTFT      time.Duration   `json:"ttft_ns"`
	WindowEnd time.Time       `json:"window_end"`
}
