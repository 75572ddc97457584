// Package alliance holds the terms: parties, claims, contracts, chips, pools,
// models, rights, prices, plans, variants and tenants, as one immutable value.
// Its loader is alliance/file. It refuses to hold facts (what happened), to do
// I/O and to decide anything: right, contract, rating and route do.
//
// A field is here because code reads it. Objects that state a number carry
// Sourced: the claims behind it, or the word that it is an assumption.
package alliance

import (
	"time"

	"github.com/accordo-ai/accordo/internal/money"
)

// Ids are global within one alliance: no two objects of any kind share one.
type (
	// PartyID names an organisation.
	PartyID string
	// ClaimID names a sourced statement.
	ClaimID string
	// ContractID names a contract.
	ContractID string
	// ChipID names a chip type.
	ChipID string
	// PoolID names a pool.
	PoolID string
	// ModelID names a model, a family or a variant.
	ModelID string
	// RightID names a right.
	RightID string
	// ChannelID names a channel.
	ChannelID string
	// PriceID names one version of a price.
	PriceID string
	// PlanID names a plan.
	PlanID string
	// TenantID names a tenant.
	TenantID string
	// KeyID names an API key, never its secret.
	KeyID string
	// Territory is where the customer is: an ISO 3166 country code, "EU", or
	// "*" for anywhere.
	Territory string
	// Region is where a pool runs, as its provider names it.
	Region string
)

// Alliance is one version of the terms. It is never changed after the loader
// returned it.
type Alliance struct {
	Version  int            `yaml:"version"`
	Title    string         `yaml:"title"`
	Operator PartyID        `yaml:"operator"`
	Currency money.Currency `yaml:"currency"`
	// Notice is shown on every page and statement, such as a disclaimer.
	Notice    string     `yaml:"notice"`
	Parties   []Party    `yaml:"parties"`
	Claims    []Claim    `yaml:"claims"`
	Deals     []Deal     `yaml:"deals"`
	Contracts []Contract `yaml:"contracts"`
	Chips     []Chip     `yaml:"chips"`
	Pools     []Pool     `yaml:"pools"`
	Models    []Model    `yaml:"models"`
	Families  []Family   `yaml:"families"`
	Channels  []Channel  `yaml:"channels"`
	Rights    []Right    `yaml:"rights"`
	Prices    []Price    `yaml:"prices"`
	Plans     []Plan     `yaml:"plans"`
	Variants  []Variant  `yaml:"variants"`
	Tenants   []Tenant   `yaml:"tenants"`

	// Hash is the SHA-256, in hex, of the canonical form of the terms: the
	// same terms have the same hash however they are split over files.
	Hash string `yaml:"-"`

	index *index
}

// Sourced says where the numbers of an object come from. One of the two must
// be set on the object or on the object that contains it.
type Sourced struct {
	Claim      []ClaimID `yaml:"claim,omitempty"`
	Assumption bool      `yaml:"assumption,omitempty"`
}

// Party is an organisation.
type Party struct {
	ID    PartyID  `yaml:"id"`
	Name  string   `yaml:"name"`
	Kinds []string `yaml:"kinds"` // lab, cloud, neocloud, chipmaker, investor, customer
}

// Claim is one sourced statement. Claims are appended, never changed: a later
// one supersedes an earlier one by id.
type Claim struct {
	ID   ClaimID `yaml:"id"`
	Says string  `yaml:"says"` // in our own words
	Mood string  `yaml:"mood"` // how firmly the source speaks, in our own words
	// Status is one of Statuses.
	Status string `yaml:"status"`
	// Bound is exact, about, floor, ceiling or range, and empty when the claim states no figure.
	Bound string `yaml:"bound,omitempty"`
	// Low and High are the figure in Unit: Low alone for exact, about and
	// floor, High alone for a ceiling, both for a range.
	Low  *money.Amount `yaml:"low,omitempty"`
	High *money.Amount `yaml:"high,omitempty"`
	Unit string        `yaml:"unit,omitempty"` // "USD", "EUR", "chips", "years", "GW", ...
	// Also is the same figure in other currencies, as the source gives it: it is
	// never computed, and converts nothing.
	Also []Figure `yaml:"also,omitempty"`
	// AsOf is the date that the claim speaks of, as precisely as known ("2025-11", "until the 2030s").
	AsOf string `yaml:"as_of,omitempty"`
	// Known is the day on which it became known.
	Known      Date      `yaml:"known"`
	Source     Source    `yaml:"source"`
	Supersedes []ClaimID `yaml:"supersedes,omitempty"`
	Conflicts  []ClaimID `yaml:"conflicts,omitempty"`
	Contains   []ClaimID `yaml:"contains,omitempty"`
	Systems    []string  `yaml:"systems,omitempty"` // ids of the story's cards, S01 to S40
	Review     string    `yaml:"review,omitempty"`  // what is open about it
}

// Figure is a claim's figure in one more unit; its bound is the claim's.
type Figure struct {
	Low  *money.Amount `yaml:"low,omitempty"`
	High *money.Amount `yaml:"high,omitempty"`
	Unit string        `yaml:"unit"`
}

// Source is where a claim was read.
type Source struct {
	Kind  string `yaml:"kind"` // filing, company, press_named, press_anonymous, analyst, estimate, own_records
	File  string `yaml:"file,omitempty"`
	Title string `yaml:"title,omitempty"`
	URL   string `yaml:"url,omitempty"`
	Grade string `yaml:"grade"` // A, B, C or D
}

// Deal is what two parties agreed, told as legs: directed flows.
type Deal struct {
	ID    string  `yaml:"id"`
	Title string  `yaml:"title"`
	Kind  string  `yaml:"kind"` // equity, compute_commitment, chip_supply, revenue_share, licence, distribution, loan, backstop, warrant
	From  PartyID `yaml:"from"`
	To    PartyID `yaml:"to"`
	Legs  []Leg   `yaml:"legs,omitempty"`
	// Contains lists deals whose amounts are part of this one's: never add them.
	Contains []string  `yaml:"contains,omitempty"`
	Claim    []ClaimID `yaml:"claim"`
}

// Leg is one directed flow of a deal.
type Leg struct {
	Payer     PartyID       `yaml:"payer"`
	Payee     PartyID       `yaml:"payee"`
	Asset     string        `yaml:"asset"`            // a currency, "compute", "equity", "licence", ...
	Amount    *money.Amount `yaml:"amount,omitempty"` // absent: unknown
	Condition string        `yaml:"condition,omitempty"`
	Sourced   `yaml:",inline"`
}

// Channel is a way by which models reach customers: a cloud's API for
// developers, a first-party product, a partner's assistant.
type Channel struct {
	ID    ChannelID `yaml:"id"`
	Name  string    `yaml:"name"`
	Party PartyID   `yaml:"party"` // who runs it
	// Presentation says whose sale it is when the channel bills the customers
	// of the operator's plans and keeps a commission: Principal books the
	// whole price as revenue and the commission as expense, Agent the price
	// less the commission as revenue. What the channel owes is the same.
	// Empty: the operator bills its customers itself.
	Presentation  string `yaml:"presentation,omitempty"`
	CommissionPPM int64  `yaml:"commission_ppm,omitempty"` // of the price
	Sourced       `yaml:",inline"`
}

// The presentations of a sale through a channel.
const (
	Principal = "principal"
	Agent     = "agent"
)

// Model is what a lab owns: one dated version that a pool can serve.
type Model struct {
	ID      ModelID   `yaml:"id"`
	Name    string    `yaml:"name"`
	Owner   PartyID   `yaml:"owner"`
	Version string    `yaml:"version"`
	Weights string    `yaml:"weights"` // open or closed
	Kind    string    `yaml:"kind"`    // chat or embedding
	Claim   []ClaimID `yaml:"claim,omitempty"`
}

// Family is a dated line of models. A request for it is served by the member
// with the latest From that has begun.
type Family struct {
	ID      ModelID        `yaml:"id"`
	Name    string         `yaml:"name"`
	Members []FamilyMember `yaml:"members"`
}

// FamilyMember puts a model into a family from a date on.
type FamilyMember struct {
	Model ModelID `yaml:"model"`
	From  Date    `yaml:"from"`
}

// Date is an instant written as a civil day ("2026-04-28", midnight UTC) or
// in RFC 3339. The zero Date is "not set".
type Date struct{ time.Time }

// UnmarshalText reads a civil day or an RFC 3339 instant.
func (d *Date) UnmarshalText(b []byte) error {
	t, err := time.Parse(time.DateOnly, string(b))
	if err != nil {
		if t, err = time.Parse(time.RFC3339, string(b)); err != nil {
			return err
		}
	}
	d.Time = t.UTC()
	return nil
}

// MarshalText renders a civil day where the instant is one, else RFC 3339.
func (d Date) MarshalText() ([]byte, error) { return []byte(d.String()), nil }

// String renders as MarshalText does, and "" for the zero Date.
func (d Date) String() string {
	switch {
	case d.IsZero():
		return ""
	case d.Equal(d.Truncate(24 * time.Hour)):
		return d.Format(time.DateOnly)
	}
	return d.Format(time.RFC3339)
}

// Term is a half-open interval [From, Until); a zero end is open.
type Term struct {
	From  Date `yaml:"from"`
	Until Date `yaml:"until,omitempty"`
}

// Holds reports whether t lies in the term.
func (t Term) Holds(at time.Time) bool {
	return !at.Before(t.From.Time) && (t.Until.IsZero() || at.Before(t.Until.Time))
}
