package alliance

import (
	"github.com/accordo-ai/accordo/internal/money"
)

// Shape is the form of a contract; contract is the only package that switches on it.
type Shape string

// The shapes that this version reads.
const (
	PayPerUse          Shape = "pay_per_use"            // usage at the price book, nothing promised
	SpendFloor         Shape = "spend_floor"            // S1: usage at contract price plus shortfall to the floor
	TakeOrPay          Shape = "take_or_pay"            // S3: a fixed fee for capacity delivered by a ramp
	ThroughputReserved Shape = "throughput_reservation" // S4: a fixed fee for tokens per minute of a model
	HourlyRate         Shape = "hourly_rate"            // S2: an amount per hour whether used or not, drawn at the contracted price
	OptionShape        Shape = "option"                 // S6: nothing until it is exercised, then what its option becomes
	PrepaidCredit      Shape = "prepaid_credit"         // S5: paid at the start of an interval, drawn at the price book, forfeited at its end
)

// Contract is a compute commitment in force.
type Contract struct {
	ID       ContractID `yaml:"id"`
	Title    string     `yaml:"title"`
	Provider PartyID    `yaml:"provider"`
	Shape    Shape      `yaml:"shape"`
	Term     `yaml:",inline"`
	// Currency is what the contract's prices, floors, fees, credits and caps
	// are stated, invoiced and owed in; empty: the alliance's. CurrencyOf
	// resolves it.
	Currency money.Currency `yaml:"currency,omitempty"`
	// Headline is the total as announced; floors or fees must add up to it.
	Headline *money.Amount `yaml:"headline,omitempty"`
	// HeadlineGap documents a known difference between the headline and the floors.
	HeadlineGap *money.Amount `yaml:"headline_gap,omitempty"`
	// Floors are the promised spend per interval, without gaps over the term
	// (spend_floor), or what is paid ahead for each interval (prepaid_credit).
	Floors []Floor `yaml:"floors,omitempty"`
	// Rollover is the part of a paid shortfall that counts for later intervals.
	Rollover *Rollover `yaml:"rollover,omitempty"`
	// RevenueShare is what the provider gets of the operator's revenue.
	RevenueShare *RevenueShare `yaml:"revenue_share,omitempty"`
	// Overage is what usage beyond the floor, the credit or the reserved
	// throughput costs; nil: the contract's price.
	Overage *Overage `yaml:"overage,omitempty"`
	// Eligibility is which charges retire the floors; nil: all, at what is paid.
	Eligibility *Eligibility `yaml:"eligibility,omitempty"`
	// TrueUp and TrueDown are the rights to raise and to cut floors, by facts.
	TrueUp   *TrueUp   `yaml:"true_up,omitempty"`
	TrueDown *TrueDown `yaml:"true_down,omitempty"`
	// Fees are fixed payments per interval: for capacity (take_or_pay,
	// throughput_reservation), or besides use (prepaid_credit).
	Fees []Fee `yaml:"fees,omitempty"`
	// Rates are the commitments per hour (hourly_rate).
	Rates []HourRate `yaml:"rates,omitempty"`
	// Ramp is the capacity contracted from a date on; pools of the contract never add up to more.
	Ramp []RampStep `yaml:"ramp,omitempty"`
	// Option is the right to more of the contract, or to all of it.
	Option *Option `yaml:"option,omitempty"`
	// Loan is what the operator lends to the provider.
	Loan *Loan `yaml:"loan,omitempty"`
	// LateDelivery is what happens while less is delivered than contracted.
	LateDelivery *LateDelivery `yaml:"late_delivery,omitempty"`
	Sourced      `yaml:",inline"`

	// Delivered is what facts say of the ramp, in order of From; none: all was
	// delivered as contracted. Only contract.Fold sets it.
	Delivered []Delivery `yaml:"-"`
	// Exercised is the instant at which a fact exercised the option; what it
	// adds is then part of the lists above. Only contract.Fold sets it.
	Exercised Date `yaml:"-"`
}

// Floor is the spend promised for one interval, in the contract's currency.
type Floor struct {
	Term    `yaml:",inline"`
	Amount  money.Amount `yaml:"amount"`
	Sourced `yaml:",inline"`
}

// Rollover says what a paid shortfall is worth in later intervals.
type Rollover struct {
	SharePPM int64         `yaml:"share_ppm"`     // of what is paid
	Cap      *money.Amount `yaml:"cap,omitempty"` // most that rolls over from one interval; nil: no cap
	Months   int64         `yaml:"months"`        // civil months after the interval until it is forfeited
	Sourced  `yaml:",inline"`
}

// RevenueShare says what the provider gets of the operator's revenue, month
// by month, until it comes to the cap or ends.
type RevenueShare struct {
	RatePPM int64         `yaml:"rate_ppm"`
	Base    string        `yaml:"base"`          // sales, wholesale or all
	Of      string        `yaml:"of,omitempty"`  // GrossOfCommission, NetOfCommission; empty: as each channel presents its sales
	Cap     *money.Amount `yaml:"cap,omitempty"` // over the whole term; nil: none
	Term    `yaml:",inline"`
	Sourced `yaml:",inline"`
}

// The bases of a revenue share.
const (
	ShareOfSales     = "sales"     // what customers owe the operator
	ShareOfWholesale = "wholesale" // what parties that sell its plans owe it
	ShareOfAll       = "all"
)

// What a revenue share takes of a sale through a channel that keeps a
// commission.
const (
	GrossOfCommission = "gross" // the price
	NetOfCommission   = "net"   // the price less the commission
)

// Fee is a fixed payment for one interval, due whether used or not.
type Fee struct {
	Term    `yaml:",inline"`
	Amount  money.Amount `yaml:"amount"`
	Sourced `yaml:",inline"`
}

// RampStep is the capacity contracted from a date until the next step: chips
// for take_or_pay and spend_floor, tokens per minute for a throughput
// reservation.
type RampStep struct {
	From            Date  `yaml:"from"`
	Chips           int64 `yaml:"chips,omitempty"`
	TokensPerMinute int64 `yaml:"tokens_per_minute,omitempty"`
	Sourced         `yaml:",inline"`
}

// Chip is a chip type with what it serves.
type Chip struct {
	ID         ChipID           `yaml:"id"`
	Name       string           `yaml:"name"`
	Vendor     PartyID          `yaml:"vendor"`
	MemoryGB   int64            `yaml:"memory_gb,omitempty"` // 0: unknown
	Watts      int64            `yaml:"watts,omitempty"`     // 0: unknown
	Throughput []ChipThroughput `yaml:"throughput,omitempty"`
	Sourced    `yaml:",inline"`
}

// ChipThroughput is a published serving rate of one chip, in output tokens
// per second at the workload's own lengths.
type ChipThroughput struct {
	Workload              string `yaml:"workload"`
	OutputTokensPerSecond int64  `yaml:"output_tokens_per_second"`
	Sourced               `yaml:",inline"`
}

// Billing says what a pool's provider counts.
type Billing string

// How pools are billed.
const (
	BilledByToken      Billing = "token"
	BilledByChipSecond Billing = "chip_second"
	BilledByFixed      Billing = "fixed"
)

// Pool is capacity that can serve.
type Pool struct {
	ID       PoolID  `yaml:"id"`
	Provider PartyID `yaml:"provider"` // the host
	Region   Region  `yaml:"region"`
	// Residency is the territory whose data rules the region satisfies.
	Residency Territory  `yaml:"residency"`
	Contract  ContractID `yaml:"contract"`
	BilledBy  Billing    `yaml:"billed_by"`
	Chip      ChipID     `yaml:"chip,omitempty"`
	Chips     int64      `yaml:"chips,omitempty"`
	// TokensPerMinute is the reserved throughput in burn units of a
	// throughput reservation, or the provider's quota of an on-demand pool;
	// 0 where chips bound the pool or nothing does.
	TokensPerMinute int64 `yaml:"tokens_per_minute,omitempty"`
	// OutputTokensPerMinute is output reserved apart from input, where the
	// provider sells the two apart; 0: TokensPerMinute holds both.
	OutputTokensPerMinute int64 `yaml:"output_tokens_per_minute,omitempty"`
	// WindowSeconds is how long the provider averages a reservation's
	// throughput over; 0: a minute.
	WindowSeconds int64 `yaml:"window_seconds,omitempty"`
	// BoughtAs says in which units of the provider the throughput was bought.
	BoughtAs *Units `yaml:"bought_as,omitempty"`
	// MaxInFlight bounds the requests under way at once; it is required.
	MaxInFlight int64       `yaml:"max_in_flight"`
	Models      []PoolModel `yaml:"models"`
	Endpoint    Endpoint    `yaml:"endpoint"`
	StandIn     *StandIn    `yaml:"stand_in,omitempty"`
	Sourced     `yaml:",inline"`
}

// Units are what a provider sells throughput in: provisioned throughput
// units, generative scale units, model units.
type Units struct {
	Unit  string `yaml:"unit"` // its name: PTU, GSU
	Count int64  `yaml:"count"`
	// TokensPerMinute are the burn units a minute of one unit.
	TokensPerMinute int64 `yaml:"tokens_per_minute_each"`
	Minimum         int64 `yaml:"minimum,omitempty"`   // that must be bought
	Increment       int64 `yaml:"increment,omitempty"` // in which more is bought; 0: one
	Sourced         `yaml:",inline"`
}

// PoolModel is a model that a pool serves and what one token of it uses.
// For a pool bounded by chips the rates are tokens per chip-second; for a
// throughput reservation the weights convert tokens to burn units.
type PoolModel struct {
	Model ModelID `yaml:"model"`
	// UpstreamName is the model's name in the provider's API; empty: the model's id.
	UpstreamName string `yaml:"upstream_name,omitempty"`
	// InputTokensPerChipSecond and OutputTokensPerChipSecond are throughput at the service target.
	InputTokensPerChipSecond  int64 `yaml:"input_tokens_per_chip_second,omitempty"`
	OutputTokensPerChipSecond int64 `yaml:"output_tokens_per_chip_second,omitempty"`
	// Weights are burn units per token, in parts per million (1,000,000 = one unit a token).
	InputWeightPPM  int64 `yaml:"input_weight_ppm,omitempty"`
	CachedWeightPPM int64 `yaml:"cached_weight_ppm,omitempty"`
	// CacheWriteWeightPPM is of input written to a cache; 0: as other input.
	CacheWriteWeightPPM int64 `yaml:"cache_write_weight_ppm,omitempty"`
	OutputWeightPPM     int64 `yaml:"output_weight_ppm,omitempty"`
	Sourced             `yaml:",inline"`
}

// Endpoint is where a pool is called. Addresses come from the file only.
type Endpoint struct {
	// URL is the base address up to and including the version ("https://host/v1"),
	// or "stand-in:" when the pool's StandIn answers.
	URL     string `yaml:"url"`
	Dialect string `yaml:"dialect"` // openai
	// Secret names the environment variable (prefix ACCORDO_SECRET_) or the
	// file ("file:/path") that holds the credential; empty: none is sent.
	Secret string `yaml:"secret,omitempty"`
	// CA is a file of certificate authorities in PEM that the provider's
	// certificate must come from; empty: the system's. ClientCert and
	// ClientKey are files of the certificate to show to it.
	CA         string `yaml:"ca,omitempty"`
	ClientCert string `yaml:"client_cert,omitempty"`
	ClientKey  string `yaml:"client_key,omitempty"`
	// Timeouts; a zero takes the default named in gateway.
	FirstTokenMS    int64 `yaml:"first_token_ms,omitempty"`
	BetweenTokensMS int64 `yaml:"between_tokens_ms,omitempty"`
	TotalMS         int64 `yaml:"total_ms,omitempty"`
	// TTFTMS is the time to first token to expect before any was measured; it feeds the latency penalty.
	TTFTMS int64 `yaml:"ttft_ms,omitempty"`
}

// StandIn says that the pool's answers come from something else than it
// names. It is always said on screen.
type StandIn struct {
	Kind string `yaml:"kind"` // local_model or simulated
	Says string `yaml:"says"` // what answers, for people
	// ScalePPM scales the chip's table throughput for a simulated pool, in parts per million.
	ScalePPM int64 `yaml:"scale_ppm,omitempty"`
}

// Rates are prices per million tokens: of a sale in the alliance's currency, of
// a cost in that of the contract behind its pools.
type Rates struct {
	Input      money.Amount `yaml:"input"`
	CacheRead  money.Amount `yaml:"cache_read"`
	CacheWrite money.Amount `yaml:"cache_write"`
	Output     money.Amount `yaml:"output"`
	Reasoning  money.Amount `yaml:"reasoning"`
}

// Price is one dated version of what the operator pays for a model on a pool:
// the list price and, where one was agreed, the contracted price.
type Price struct {
	ID    PriceID  `yaml:"id"`
	Pools []PoolID `yaml:"pools"`
	Model ModelID  `yaml:"model"`
	Term  `yaml:",inline"`
	// Currency repeats that of the contract behind the pools, for readers; the
	// loader refuses another.
	Currency   money.Currency `yaml:"currency,omitempty"`
	List       Rates          `yaml:"list"`
	Contracted *Rates         `yaml:"contracted,omitempty"`
	Sourced    `yaml:",inline"`
}

// CurrencyOf returns the currency of a contract: its own, else the alliance's.
// A nil contract has the alliance's.
func (a *Alliance) CurrencyOf(c *Contract) money.Currency {
	if c == nil || c.Currency == "" {
		return a.Currency
	}
	return c.Currency
}
