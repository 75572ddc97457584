package settle

import (
	"context"
	"maps"
	"slices"

	"github.com/accordo-ai/accordo/internal/alliance"
	"github.com/accordo-ai/accordo/internal/ledger"
	"github.com/accordo-ai/accordo/internal/money"
)

// Total is what a party or tenant owes the operator at the end of a month,
// below zero what it is owed. A tenant of a party counts in its party too.
type Total struct {
	Party  string       `json:"party"`
	Name   string       `json:"name"`
	Kind   string       `json:"kind"` // party or tenant
	Asset  ledger.Asset `json:"asset"`
	Moved  money.Amount `json:"moved"`
	Amount money.Amount `json:"amount"`
}

// Totals lists who stands in the books at the end of a month, or now for
// month 0, in the order of the terms, currency by currency. Who never stood in
// them is left out.
func Totals(ctx context.Context, books Reader, t *ledger.Terms, month int32) ([]Total, error) {
	a := t.Alliance()
	periods, err := books.Periods(ctx, string(a.Operator)+"/")
	if err != nil {
		return nil, err
	}
	assets, err := assetsOf(ctx, books)
	if err != nil {
		return nil, err
	}
	type sums struct{ moved, amount money.Amount }
	byRef := map[string]map[ledger.Asset]sums{}
	for i := range periods {
		p := &periods[i]
		if !between(p.Account) || month != 0 && p.Period > month {
			continue
		}
		ref, asset := firstRef(p.Account), assets[p.Account]
		if byRef[ref] == nil {
			byRef[ref] = map[ledger.Asset]sums{}
		}
		s := byRef[ref][asset]
		s.amount += p.Amount
		if month == 0 || p.Period == month {
			s.moved += p.Amount
		}
		byRef[ref][asset] = s
	}
	list := []Total{}
	add := func(id, kind string) {
		if id == string(a.Operator) {
			return
		}
		owns, name := refsOf(a, id)
		own := map[ledger.Asset]sums{}
		for ref := range owns {
			for asset, s := range byRef[ref] {
				own[asset] = sums{own[asset].moved + s.moved, own[asset].amount + s.amount}
			}
		}
		for _, asset := range slices.Sorted(maps.Keys(own)) {
			list = append(list, Total{id, name, kind, asset, own[asset].moved, own[asset].amount})
		}
	}
	parties := map[alliance.PartyID]bool{}
	for i := range a.Parties {
		parties[a.Parties[i].ID] = true
		add(string(a.Parties[i].ID), "party")
	}
	for i := range a.Tenants {
		if !parties[alliance.PartyID(a.Tenants[i].ID)] {
			add(string(a.Tenants[i].ID), "tenant")
		}
	}
	return list, nil
}
