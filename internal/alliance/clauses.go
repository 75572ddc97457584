package alliance

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
