// Package right decides who may offer which model where, at one instant and
// as known at another. It is pure: it refuses to read clocks, to do I/O and to
// guess; what no right allows is refused.
package right

import (
	"time"

	"github.com/accordo-ai/accordo/internal/alliance"
)

// Query asks whether a model may be offered. At is the instant of the offer,
// Known the instant whose knowledge judges it. An empty Host or Region asks
// whether some host or region would do.
type Query struct {
	Object    string
	Model     alliance.ModelID // a model, a family or a variant
	Seller    alliance.PartyID
	Channel   alliance.ChannelID
	Host      alliance.PartyID
	Region    alliance.Region
	Territory alliance.Territory
	At, Known time.Time
}

// Refusal names a right that stands against a query, and why, for people.
type Refusal struct {
	Right *alliance.Right
	Why   string
}

// Verdict is the answer to a query. By is the right that allows it; Reason is
// a sentence for people; Conflicts are the claims that contradict the claims
// behind the verdict and were known at the query's Known.
type Verdict struct {
	Allowed   bool
	By        *alliance.Right
	Refusals  []Refusal
	Reason    string
	Conflicts []*alliance.Claim
}

// Register answers queries over the rights of one version of the terms.
type Register struct {
	a *alliance.Alliance
}

// New indexes the rights of a, which must not change afterwards.
func New(a *alliance.Alliance) *Register { return &Register{a: a} }

// Evaluate judges q.
func (r *Register) Evaluate(q Query) Verdict { return Verdict{} }

// NextChange returns the first instant after the given one at which a verdict
// could change because a right begins, ends or becomes known, and the zero
// time when there is none.
func (r *Register) NextChange(after time.Time) time.Time { return time.Time{} }
