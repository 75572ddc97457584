package alliance

import "github.com/accordo-ai/accordo/internal/money"

// Overage says what usage beyond a commitment costs.
type Overage struct {
	// At is one of OverageAtList, OverageAtContract, OverageAtPremium and OverageStops.
	At string `yaml:"at"`
	// FactorPPM is what a premium is of the contract's price, where Rates do
	// not name the model.
	FactorPPM int64          `yaml:"factor_ppm,omitempty"`
	Rates     []OverageRates `yaml:"rates,omitempty"`
	// Tiers are the service tiers by which the provider of a throughput
	// reservation says that it served beyond it.
	Tiers   []string `yaml:"tiers,omitempty"`
	Sourced `yaml:",inline"`
}

// OverageRates are the premium prices of one model.
type OverageRates struct {
	Model ModelID `yaml:"model"`
	Rates `yaml:",inline"`
}

// What usage beyond a commitment costs.
const (
	OverageAtList     = "list"      // the list price
	OverageAtContract = "contract"  // the contract's price, as before
	OverageAtPremium  = "premium"   // prices of its own, or a factor of the contract's
	OverageStops      = "hard_stop" // nothing is sent any more
)

// Eligibility says which charges retire a floor or draw on a credit. Models
// and Pools name all that do, empty meaning any; the others take out of that.
type Eligibility struct {
	Models       []ModelID `yaml:"models,omitempty"`
	ExceptModels []ModelID `yaml:"except_models,omitempty"`
	Pools        []PoolID  `yaml:"pools,omitempty"`
	ExceptPools  []PoolID  `yaml:"except_pools,omitempty"`
	// Base is EligibleNet, also when it is empty, or EligibleGross.
	Base string `yaml:"base,omitempty"`
	// MarketplaceCapPPM is the share of an interval's floor that charges of the
	// provider's marketplace may retire; 0: none of it.
	MarketplaceCapPPM int64 `yaml:"marketplace_cap_ppm,omitempty"`
	// Fees says that the contract's fees draw on its credit, too; false: they
	// are owed beside it.
	Fees    bool `yaml:"fees,omitempty"`
	Sourced `yaml:",inline"`
}

// The prices at which usage retires a floor.
const (
	EligibleNet   = "net"   // what is paid
	EligibleGross = "gross" // the list price, before discounts
)

// TrueUp is the right to raise a floor, for a discount on what retires it.
type TrueUp struct {
	Tiers   []DiscountTier `yaml:"tiers"`
	Sourced `yaml:",inline"`
}

// DiscountTier is the discount that a floor earns, month by month, once it is
// this high.
type DiscountTier struct {
	Floor       money.Amount `yaml:"floor"`
	DiscountPPM int64        `yaml:"discount_ppm"` // of what usage retires of the floor
}

// TrueDown is the right to cut each interval's floor once.
type TrueDown struct {
	MaxPPM  int64 `yaml:"max_ppm"` // of the interval's floor
	Sourced `yaml:",inline"`
}
