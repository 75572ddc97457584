package alliance

import (
	"github.com/accordo-ai/accordo/internal/money"
)

// Mode is what a right does.
type Mode string

// The modes of a right.
const (
	Exclusive    Mode = "exclusive"
	NonExclusive Mode = "non_exclusive"
	Denied       Mode = "denied"
)

// The objects of rights.
const (
	StatelessAPI      = "stateless_api"
	StatefulRuntime   = "stateful_runtime"
	ManagedAgents     = "managed_agents"
	FirstPartyProduct = "first_party_product"
	WeightsObject     = "weights"
	ComputePurchase   = "compute_purchase"
)

// Right says who may offer which models where and until when. Without a
// right nothing is allowed; an exclusive right denies its object to all
// others. Rights have two times: From and Until say when it holds, Known says
// since when we know.
type Right struct {
	ID     RightID `yaml:"id"`
	Title  string  `yaml:"title"`
	Object string  `yaml:"object"`
	// Models are ids of models, families or variants, "open-weights" for all
	// models with open weights, or "*".
	Models []ModelID `yaml:"models"`
	// Seller, Channel and Host say who holds it; an empty one means any.
	// For an exclusive right they are what others may not do.
	Seller      PartyID     `yaml:"seller,omitempty"`
	Channel     ChannelID   `yaml:"channel,omitempty"`
	Host        PartyID     `yaml:"host,omitempty"`
	Regions     []Region    `yaml:"regions,omitempty"`     // of pools; empty: any
	Territories []Territory `yaml:"territories,omitempty"` // of customers; empty: any
	Term        `yaml:",inline"`
	// UntilLatest makes Until a range when the source is imprecise ("the
	// 2030s"): Until is the earliest end, UntilLatest the latest. The right
	// is taken to hold to the latest.
	UntilLatest Date        `yaml:"until_latest,omitempty"`
	Mode        Mode        `yaml:"mode"`
	Exceptions  []Exception `yaml:"exceptions,omitempty"`
	State       string      `yaml:"state,omitempty"` // such as "limited preview"
	// Known is the day since which we know of it; a later right Supersedes
	// earlier ones from its own Known on.
	Known      Date      `yaml:"known"`
	Supersedes []RightID `yaml:"supersedes,omitempty"`
	Claim      []ClaimID `yaml:"claim"`
}

// Exception takes a part out of a right: all fields that are set must match.
type Exception struct {
	Seller  PartyID   `yaml:"seller,omitempty"`
	Channel ChannelID `yaml:"channel,omitempty"`
	Host    PartyID   `yaml:"host,omitempty"`
	Models  []ModelID `yaml:"models,omitempty"`
	Why     string    `yaml:"why"`
}

// The priorities of plans, first first. Without one a plan is Standard.
const (
	Critical   = "critical"
	Standard   = "standard"
	Background = "background"
)

// Plan is what an end customer gets.
type Plan struct {
	ID     PlanID  `yaml:"id"`
	Name   string  `yaml:"name"`
	Seller PartyID `yaml:"seller"`
	// Subject is whom the limits count: "key" or "end_user".
	Subject string    `yaml:"subject"`
	Models  []ModelID `yaml:"models"`
	Limits  Limits    `yaml:"limits"`
	// Priority says who is served when capacity runs out: plans of a lower
	// one leave room for those of a higher one.
	Priority string `yaml:"priority,omitempty"`
	// DefaultOutputTokens bounds an answer when the client sets no maximum.
	DefaultOutputTokens int64 `yaml:"default_output_tokens"`
	// Price is what the customer pays per million tokens; nil: included in a
	// subscription or free.
	Price *SalePrice `yaml:"price,omitempty"`
	// Fee is due each month besides what is used; nil: none.
	Fee *SubscriptionFee `yaml:"fee,omitempty"`
	// Included is what each subject may use in a civil month (UTC) without
	// paying for it; nil: nothing.
	Included *IncludedUse `yaml:"included,omitempty"`
	// Overage is what use beyond Included costs; nil: it is refused.
	Overage *SalePrice `yaml:"overage,omitempty"`
	// Wholesale is what the operator earns when another party sells the plan.
	Wholesale *SalePrice `yaml:"wholesale,omitempty"`
	// WholesaleFee is what the seller owes the operator each month besides; nil: none.
	WholesaleFee *SubscriptionFee `yaml:"wholesale_fee,omitempty"`
	// IncludedIn names the subscription that contains the plan.
	IncludedIn string      `yaml:"included_in,omitempty"`
	Surfaces   []string    `yaml:"surfaces,omitempty"`  // such as web, app, device; empty: any
	Residency  []Territory `yaml:"residency,omitempty"` // where pools may run; empty: any
	// LatencyPerSecond is the penalty per second of expected TTFT, in the alliance's currency.
	LatencyPerSecond money.Amount `yaml:"latency_per_second,omitempty"`
	// Hedge sends a request to a second pool when the first is silent; nil: never.
	Hedge   *Hedge `yaml:"hedge,omitempty"`
	Sourced `yaml:",inline"`
}

// Hedge says when the same request is sent to a second pool, and what that
// may cost. Both may be billed.
type Hedge struct {
	AfterMS int64        `yaml:"after_ms"` // without a beginning of an answer
	MaxCost money.Amount `yaml:"max_cost"` // marginal cost of the second attempt, at most
}

// SalePrice is one version of what the operator is paid.
type SalePrice struct {
	ID    PriceID `yaml:"id"`
	Rates `yaml:",inline"`
}

// Limits of a plan per subject. Zero means no limit of that kind.
type Limits struct {
	RequestsPerMinute int64        `yaml:"requests_per_minute,omitempty"`
	TokensPerMinute   int64        `yaml:"tokens_per_minute,omitempty"`
	TokensPerDay      int64        `yaml:"tokens_per_day,omitempty"`
	TokensPerMonth    int64        `yaml:"tokens_per_month,omitempty"`
	SpendPerDay       money.Amount `yaml:"spend_per_day,omitempty"`
	SpendPerMonth     money.Amount `yaml:"spend_per_month,omitempty"`
}

// Variant is a model customised for someone. Its version is the digest of
// its definition.
type Variant struct {
	ID        ModelID  `yaml:"id"`
	Name      string   `yaml:"name"`
	Base      ModelID  `yaml:"base"` // model or family
	For       PartyID  `yaml:"for"`
	Behaviour []string `yaml:"behaviour"`
	Style     []string `yaml:"style"`
	// Flows are the uses it tells apart; a request names one as "id:flow" in
	// its model, else DefaultFlow serves.
	Flows       []Flow    `yaml:"flows"`
	DefaultFlow string    `yaml:"default_flow"`
	Plans       []PlanID  `yaml:"plans"`
	Surfaces    []string  `yaml:"surfaces,omitempty"`
	Rollout     []Rollout `yaml:"rollout"`
	Claim       []ClaimID `yaml:"claim,omitempty"`
	// Version is set by the loader: the first 12 hex digits of the SHA-256 of the canonical definition.
	Version string `yaml:"-"`
}

// Flow is one use of a variant with its operating priorities, first first.
type Flow struct {
	ID              string   `yaml:"id"` // commerce, information, assistance
	Priorities      []string `yaml:"priorities"`
	MaxOutputTokens int64    `yaml:"max_output_tokens,omitempty"`
}

// Rollout switches a variant on in a territory from a date on.
type Rollout struct {
	Territory Territory `yaml:"territory"`
	State     string    `yaml:"state"` // on or opt_in
	From      Date      `yaml:"from"`
	Claim     []ClaimID `yaml:"claim,omitempty"`
}

// Tenant is a customer organisation with its keys.
type Tenant struct {
	ID    TenantID `yaml:"id"`
	Name  string   `yaml:"name"`
	Party PartyID  `yaml:"party,omitempty"`
	// PaymentDays is how many days after an invoice it is due, 0 for unsaid.
	PaymentDays int64 `yaml:"payment_days,omitempty"`
	// RequestLog is what the tenant asked to have kept of its requests; nil: nothing.
	RequestLog *RequestLog `yaml:"request_log,omitempty"`
	Keys       []Key       `yaml:"keys"`
}

// RequestLog says what is kept of a tenant's requests beside the books, and
// for how long. Names and figures are kept of each; texts where asked for.
type RequestLog struct {
	Prompts bool `yaml:"prompts,omitempty"` // the bodies that clients send
	Answers bool `yaml:"answers,omitempty"` // what clients are sent
	// RetentionDays is after how many days a day's log is deleted, counted from its beginning.
	RetentionDays int64 `yaml:"retention_days"`
	// MaxBytes bounds what is kept of a prompt and of an answer each; 0 is DefaultLogBytes.
	MaxBytes int64 `yaml:"max_bytes,omitempty"`
}

// The bounds of a request log.
const (
	MaxRetentionDays = 366
	MinLogBytes      = 256
	MaxLogBytes      = 1 << 20
	DefaultLogBytes  = 64 << 10
)

// Bound is how many bytes are kept of a prompt and of an answer each.
func (l *RequestLog) Bound() int64 {
	if l.MaxBytes > 0 {
		return l.MaxBytes
	}
	return DefaultLogBytes
}

// Key is an API key, known by the SHA-256 of its secret.
type Key struct {
	ID        KeyID     `yaml:"id"`
	SHA256    string    `yaml:"sha256,omitempty"` // hex; empty in an example: issued at start as a fact
	Plan      PlanID    `yaml:"plan"`
	Channel   ChannelID `yaml:"channel"`
	Territory Territory `yaml:"territory"`
	// Trusted keys may assert the end user, and a territory from Territories, in headers.
	Trusted     bool        `yaml:"trusted,omitempty"`
	Territories []Territory `yaml:"territories,omitempty"`
	Surface     string      `yaml:"surface,omitempty"`
	// OptIn lists variants that the customer opted in to where the rollout says opt_in.
	OptIn []ModelID `yaml:"opt_in,omitempty"`
}

// The statuses of a claim, weakest first, then the ends, then the background.
var Statuses = [...]string{"opinion", "rumoured", "in_talks", "loi", "announced", "reported", "signed", "effective", "superseded", "terminated", "expired", "stated"}
