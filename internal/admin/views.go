package admin

import (
	"context"
	"encoding/json"
	"net/http"
	"time"

	"github.com/accordo-ai/accordo/internal/alliance"
	"github.com/accordo-ai/accordo/internal/ledger"
	"github.com/accordo-ai/accordo/internal/money"
	"github.com/accordo-ai/accordo/internal/route"
	"github.com/accordo-ai/accordo/internal/story"
	"github.com/accordo-ai/accordo/internal/usage"
)

// Source is what the pages and the API read. Its methods may be called at
// once, do not block on upstreams and return values that nobody changes.
type Source interface {
	Books
	Sales
	Overview(now time.Time) Overview
	Pools(now time.Time) []Pool
	// Requests returns the newest requests first, at most limit.
	Requests(limit int) []Request
	// Trace returns everything known of a request, or ErrNotFound.
	Trace(ctx context.Context, requestID string) (Trace, error)
	Contracts(now time.Time) []Contract
	Balances() []ledger.Balance
	// Story tells the story as known at a date; ok is false when the terms
	// come without one.
	Story(at time.Time) (s story.Story, ok bool)
	// Claims says what is known at a date about claims, objects and systems by
	// id; without ids, about everything. An unknown id is an ErrNotFound.
	Claims(at time.Time, ids []string) (*story.Claims, error)
	// Readiness says whether requests are served, and what is wrong.
	Readiness() Readiness
}

// Chatter sends a chat request through the gateway, as any client would; the
// answer is the API's own. The header x-accordo-ask-as names the key.
type Chatter interface {
	Chat(w http.ResponseWriter, r *http.Request)
	// Askers are the keys that can be asked as.
	Askers() []Asker
	// Suggestions are questions worth asking, with what to expect of each.
	Suggestions() []Suggestion
}

// Suggestion is a question to try, as whom and where.
type Suggestion struct {
	Title     string `json:"title"`
	Key       string `json:"key"`
	Model     string `json:"model"`
	Territory string `json:"territory,omitempty"`
	EndUser   string `json:"end_user,omitempty"`
	Surface   string `json:"surface,omitempty"`
	Prompt    string `json:"prompt"`
	Refused   bool   `json:"refused"` // expected to be refused
}

// Asker is a key that the console can ask as.
type Asker struct {
	Key         string   `json:"key"`
	Tenant      string   `json:"tenant"`
	Plan        string   `json:"plan"`
	Channel     string   `json:"channel"`
	Territories []string `json:"territories"` // its own first
	Models      []string `json:"models"`
	Trusted     bool     `json:"trusted"` // may name an end user and a territory
	Surfaces    []string `json:"surfaces,omitempty"`
	// PerEndUser says that the plan counts each end user, who must be named.
	PerEndUser bool `json:"per_end_user"`
}

// Player plays a day of simulated demand through the gateway.
type Player interface {
	// Play starts a day and returns false when one is being played.
	Play() bool
	// Stop ends the day that is being played.
	Stop()
	// State says how far it is.
	State() Play
}

// Overview is the head of every page.
type Overview struct {
	Title  string `json:"title"`
	Notice string `json:"notice"`
	// Simulated says why the books are not real; empty: they are.
	Simulated string    `json:"simulated,omitempty"`
	Operator  string    `json:"operator"`
	Currency  string    `json:"currency"`
	Terms     string    `json:"terms"` // hash
	Version   string    `json:"version"`
	Started   time.Time `json:"started"`
	API       string    `json:"api"` // base address of the API
	StandIns  []string  `json:"stand_ins"`
	Requests  uint64    `json:"requests"` // since the start
	Lag       uint64    `json:"lag"`      // journal records that are not in the books yet
	Problems  []string  `json:"problems,omitempty"`
}

// Readiness says whether requests are served. Problems that do not stop
// serving are listed too.
type Readiness struct {
	Ready    bool     `json:"ready"`
	Problems []string `json:"problems,omitempty"`
}

// Pool is a pool with its load.
type Pool struct {
	route.PoolState
	Provider string   `json:"provider"`
	Region   string   `json:"region"`
	Chip     string   `json:"chip,omitempty"`
	Contract string   `json:"contract"`
	Shape    string   `json:"shape"`
	Models   []string `json:"models"`
	StandIn  string   `json:"stand_in,omitempty"` // what really answers
	// ProviderName is the provider's name for people.
	ProviderName string `json:"provider_name"`
	Residency    string `json:"residency"`
	Chips        int64  `json:"chips,omitempty"`
	MaxInFlight  int64  `json:"max_in_flight"`
}

// Request is one request of the recent past; it never holds content.
type Request struct {
	ID       string       `json:"id"`
	At       time.Time    `json:"at"`
	Tenant   string       `json:"tenant"`
	Plan     string       `json:"plan"`
	Asked    string       `json:"asked"`  // model as the client wrote it
	Served   string       `json:"served"` // id@version
	Pool     string       `json:"pool"`
	Contract string       `json:"contract"`
	Right    string       `json:"right"`
	HTTP     int          `json:"http"`
	Status   string       `json:"status"` // served, unserved, suspense or refused
	Reason   string       `json:"reason,omitempty"`
	Tokens   usage.Vector `json:"tokens"`
	// Cost is the request alone at the pool's price, rounded up, in the
	// alliance's currency at the last rate; 0 where the pool's fee is fixed. MarginalNano is what the decision compared, in
	// nano-units of the currency.
	Cost         money.Amount  `json:"cost"`
	MarginalNano int64         `json:"marginal_nano"`
	TTFT         time.Duration `json:"ttft_ns"`
	Duration     time.Duration `json:"duration_ns"`
	Attempts     int           `json:"attempts"`
	StandIn      string        `json:"stand_in,omitempty"`
}

// Contract is a contract with what was burnt of it, in micro-units of the
// currency from the books.
type Contract struct {
	ID       string `json:"id"`
	Title    string `json:"title"`
	Party    string `json:"party"`    // id of the provider
	Provider string `json:"provider"` // its name
	Shape    string `json:"shape"`
	// Currency is that of its figures; BurntTotal is in the alliance's.
	Currency   string        `json:"currency"`
	From       alliance.Date `json:"from"`
	Until      alliance.Date `json:"until"`
	Headline   *money.Amount `json:"headline,omitempty"`
	Claims     []string      `json:"claims"`
	Assumption bool          `json:"assumption"` // the interval's figure is assumed
	// The interval in force: its floor or fee, and what was burnt of the floor.
	IntervalFrom   alliance.Date `json:"interval_from"`
	IntervalUntil  alliance.Date `json:"interval_until"`
	Floor          money.Amount  `json:"floor"`
	Fee            money.Amount  `json:"fee"`
	PerHour        money.Amount  `json:"per_hour,omitempty"` // committed for each hour
	Option         string        `json:"option,omitempty"`   // what an option that nobody exercised brings, and until when it can be
	Burnt          money.Amount  `json:"burnt"`
	BurntTotal     money.Amount  `json:"burnt_total"`  // since the books began
	FeesAccrued    money.Amount  `json:"fees_accrued"` // since the first month in the books
	FeesSinceStart money.Amount  `json:"fees_since_contract_start"`
	LambdaPPM      int64         `json:"lambda_ppm"`

	Capacity []ledger.Balance   `json:"capacity,omitempty"` // used of fixed capacity, by pool
	Floors   []ledger.FloorBurn `json:"floors,omitempty"`

	ShapeSays string   `json:"shape_says"` // what the shape means
	Schedule  []Step   `json:"schedule,omitempty"`
	Ramp      []Ramp   `json:"ramp,omitempty"`
	Delivered []Ramp   `json:"delivered,omitempty"` // what can really be used from a day on, as facts say
	Pools     []string `json:"pools,omitempty"`
}

// Step is one interval of a contract's floors or fees.
type Step struct {
	From       alliance.Date `json:"from"`
	Until      alliance.Date `json:"until"`
	Amount     money.Amount  `json:"amount"`
	Fee        bool          `json:"fee"` // due whether used or not; else a floor of spend
	Claims     []string      `json:"claims,omitempty"`
	Assumption bool          `json:"assumption"`
}

// Ramp is the capacity contracted from a day on.
type Ramp struct {
	From            alliance.Date `json:"from"`
	Chips           int64         `json:"chips,omitempty"`
	TokensPerMinute int64         `json:"tokens_per_minute,omitempty"`
	Claims          []string      `json:"claims,omitempty"`
	Assumption      bool          `json:"assumption"`
}

// Entry is an entry of the books with its place: batch and number in it.
type Entry struct {
	Batch  uint64    `json:"batch"`
	Number int       `json:"number"`
	At     time.Time `json:"at"` // of the batch
	ledger.Entry
}

// MarshalJSON renders the entry with its place.
func (e Entry) MarshalJSON() ([]byte, error) {
	return json.Marshal(struct {
		Batch  uint64    `json:"batch"`
		Number int       `json:"number"`
		At     time.Time `json:"at"`
		ledger.EntryJSON
	}{e.Batch, e.Number, e.At, e.JSON()})
}

// Play is the state of the day that is played.
type Play struct {
	Running  bool      `json:"running"`
	Hour     int       `json:"hour"` // of the simulated day, 0 to 24
	Sent     int64     `json:"sent"`
	Done     int64     `json:"done"`
	Failed   int64     `json:"failed"`
	Started  time.Time `json:"started"`
	Describe string    `json:"describe"` // what it is, for the label
}
