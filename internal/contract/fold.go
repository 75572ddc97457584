package contract

import (
	"slices"
	"time"

	"github.com/accordo-ai/accordo/internal/alliance"
)

// Change is a fact that changes what the terms of one contract come to.
// Exactly one of its parts is set.
type Change struct {
	Contract alliance.ContractID
	Delivery *alliance.Delivery
	// Exercised is the instant at which the option was exercised.
	Exercised *alliance.Date
}

// Fold returns the terms with the changes applied in order: the same terms
// where nothing changes, else a copy with the same hash that shares all but
// its contracts. Changes of contracts that the terms do not have are left out.
func Fold(a *alliance.Alliance, changes []Change) *alliance.Alliance {
	var b *alliance.Alliance
	for i := range changes {
		at := slices.IndexFunc(a.Contracts, func(c alliance.Contract) bool { return c.ID == changes[i].Contract })
		if at < 0 {
			continue
		}
		if b == nil {
			folded := *a
			folded.Contracts = slices.Clone(a.Contracts)
			b = &folded
		}
		b.Contracts[at] = *changes[i].apply(&b.Contracts[at])
	}
	if b == nil {
		return a
	}
	return b.Build()
}

// apply returns the contract with one change; c itself is left as it is.
func (x *Change) apply(c *alliance.Contract) *alliance.Contract {
	changed := *c
	if d := x.Delivery; d != nil {
		changed.Delivered = deliver(c.Delivered, *d)
	}
	if x.Exercised != nil {
		return exercise(&changed, *x.Exercised)
	}
	return &changed
}

// cuts are the instants in [from, until] between which capacity is constant,
// both ends among them.
func cuts(c *alliance.Contract, from, until time.Time) []time.Time {
	if !from.Before(until) {
		return nil
	}
	list := []time.Time{from, until}
	add := func(d alliance.Date) {
		if d.After(from) && d.Before(until) {
			list = append(list, d.Time)
		}
	}
	for _, s := range c.Ramp {
		add(s.From)
	}
	for _, d := range c.Delivered {
		add(d.From)
	}
	slices.SortFunc(list, time.Time.Compare)
	return slices.CompactFunc(list, time.Time.Equal)
}
