// Package quota admits requests under the limits of a plan by holds: a hold
// has a subject, an amount and an expiry, and what is held plus what was
// spent never exceeds a hard limit. It is pure and single-threaded: callers
// serialise, and time is an argument. It refuses to store anything on disk.
package quota

import (
	"time"

	"github.com/accordo-ai/accordo/internal/alliance"
	"github.com/accordo-ai/accordo/internal/money"
)

// HoldID names a hold. The zero HoldID is no hold: settling or releasing it
// does nothing, as does settling one that is settled, released or expired.
type HoldID uint64

// Ask is what a request needs. Tokens and Spend are upper bounds, held
// against the limits per day and month; EstimateTokens is held against the
// rate per minute and corrected at settlement.
type Ask struct {
	Tokens         int64
	EstimateTokens int64
	Spend          money.Amount
	Expires        time.Time
}

// Refusal says which limit stood in the way, what is left of it, and after
// how long the same ask can succeed if nothing else happens. Max and Left are
// in the limit's unit: requests, tokens or micro-units of the currency.
type Refusal struct {
	Limit      string
	Max, Left  int64
	RetryAfter time.Duration
}

// The names of limits in a Refusal and a State.
const (
	LimitRequestsPerMinute = "requests_per_minute"
	LimitTokensPerMinute   = "tokens_per_minute"
	LimitTokensPerDay      = "tokens_per_day"
	LimitSpendPerDay       = "spend_per_day"
	LimitSpendPerMonth     = "spend_per_month"
	LimitSubjects          = "subjects" // the book is full of subjects with something counted
	LimitHolds             = "holds"    // the book is full of open holds
)

// Options bound a book. A zero takes the default.
type Options struct {
	MaxSubjects int // subjects with something held or counted; default DefaultMaxSubjects
	MaxHolds    int // open holds over all subjects; default DefaultMaxHolds
}

// The defaults of Options.
const (
	DefaultMaxSubjects = 20_000_000
	DefaultMaxHolds    = 1_000_000
)

// LimitState is one limit of a subject. Reset is when the counting window ends.
type LimitState struct {
	Limit                 string
	Max, Used, Held, Left int64
	Reset                 time.Time
}

// Book counts holds and spend per subject.
type Book struct{}

// New returns an empty book.
func New(o Options) *Book { return &Book{} }

// Hold admits a under l for the subject, or says what refuses it.
func (b *Book) Hold(now time.Time, subject string, l alliance.Limits, a Ask) (HoldID, *Refusal) {
	return 0, nil
}

// Settle replaces a hold by what was used; overshoot reports that the use
// exceeded the hold. What was used is counted in full either way.
func (b *Book) Settle(now time.Time, id HoldID, tokens int64, spend money.Amount) (overshoot bool) {
	return false
}

// Release drops a hold of which nothing was used.
func (b *Book) Release(now time.Time, id HoldID) {}

// Expire drops the holds whose expiry has passed and returns their number.
func (b *Book) Expire(now time.Time) (released int) { return 0 }

// Restore counts use that the journal knows of, at the time it happened.
func (b *Book) Restore(at time.Time, subject string, tokens int64, spend money.Amount) {}

// State returns the limits of l that are set, with what the subject used,
// holds and has left.
func (b *Book) State(now time.Time, subject string, l alliance.Limits) []LimitState { return nil }

// Len returns the number of subjects with state, and of open holds.
func (b *Book) Len() (subjects, holds int) { return 0, 0 }
