package alliance

import "github.com/accordo-ai/accordo/internal/money"

// HourRate is what is paid for every hour of one interval, whether it is used
// or not.
type HourRate struct {
	Term    `yaml:",inline"`
	PerHour money.Amount `yaml:"per_hour"`
	Sourced `yaml:",inline"`
}

// MaxPerHour bounds the commitment of one hour, in micro-units: what was used
// of it is counted in millionths of a micro-unit, in 64 bits.
const MaxPerHour = 9_000_000 * money.Micro

// Option is a right of the operator to more capacity, or to a contract, which
// it may exercise within a window and has to announce some days before its end.
type Option struct {
	Term       `yaml:",inline"` // in which it may be exercised
	NoticeDays int64            `yaml:"notice_days,omitempty"` // before the window's end
	Becomes    Shape            `yaml:"becomes,omitempty"`     // of a contract of the shape option: its shape once it is exercised
	// What exercise adds: capacity on top of the contract's, floors and fees on
	// top of those of the same interval, or further intervals.
	Ramp   []RampStep `yaml:"ramp,omitempty"`
	Floors []Floor    `yaml:"floors,omitempty"`
	Fees   []Fee      `yaml:"fees,omitempty"`
	// Price is the formula of the fees that the added capacity costs, in the
	// place of Fees.
	Price   *OptionPrice `yaml:"price,omitempty"`
	Sourced `yaml:",inline"`
}

// OptionPrice says what the capacity that an option adds costs: a factor, in
// parts per million, of what the contract's own costs for as much in the same
// interval.
type OptionPrice struct {
	FactorPPM int64 `yaml:"factor_ppm"`
}

// MaxOptionFactorPPM bounds the factor of an option's price: ten times.
const MaxOptionFactorPPM = 10_000_000

// MaxNoticeDays bounds the notice of an option.
const MaxNoticeDays = 3650

// Loan is money that the operator lends to a provider and gets back with
// simple interest.
type Loan struct {
	Term    `yaml:",inline"` // from the day on which it is paid out to that on which it is paid back
	Amount  money.Amount     `yaml:"amount"`
	RatePPM int64            `yaml:"rate_ppm"` // a year of 365 days
	Sourced `yaml:",inline"`
}

// LateDelivery says what it is worth that a provider delivers less capacity
// than the ramp contracts.
type LateDelivery struct {
	Abates  string `yaml:"abates"` // fees or nothing
	Sourced `yaml:",inline"`
}

// What late delivery abates.
const (
	AbatesFees    = "fees"    // the part of each second's fee that buys what was not delivered
	AbatesNothing = "nothing" // the fee is owed all the same
)

// Delivery is the capacity that can really be used from a date on: a fact of
// the data directory, never a term. Chips or tokens per minute, as the ramp
// counts.
type Delivery struct {
	From            Date
	Chips           int64
	TokensPerMinute int64
	// Fact is the number of the fact that says so.
	Fact uint64
}
