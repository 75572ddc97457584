package admin

import (
	"github.com/accordo-ai/accordo/internal/alliance"
	"github.com/accordo-ai/accordo/internal/money"
)

// What a partner sees is copied field by field into types of its own, so that
// a field that is added for the operator is not the partner's by accident.

// ForPartner is the head of a partner's pages: nothing of routing, load,
// faults or addresses, and not the title, which may name other parties.
func (o Overview) ForPartner() Overview {
	p := Overview{Title: "With " + o.Operator, Notice: o.Notice, Operator: o.Operator, Currency: o.Currency, Version: o.Version, StandIns: []string{}}
	if len(o.StandIns) > 0 {
		p.StandIns = []string{"Stand-ins answer for pools of these terms."}
	}
	return p
}

// PartnerContract is a contract as its provider sees it: what was promised
// and how much of it was used, and no shadow price, forecast or pool.
type PartnerContract struct {
	ID            string        `json:"id"`
	Title         string        `json:"title"`
	Shape         string        `json:"shape"`
	ShapeSays     string        `json:"shape_says"`
	From          alliance.Date `json:"from"`
	Until         alliance.Date `json:"until"`
	Headline      *money.Amount `json:"headline,omitempty"`
	IntervalFrom  alliance.Date `json:"interval_from"`
	IntervalUntil alliance.Date `json:"interval_until"`
	Floor         money.Amount  `json:"floor"`
	Fee           money.Amount  `json:"fee"`
	Burnt         money.Amount  `json:"burnt"`
	FeesAccrued   money.Amount  `json:"fees_accrued"`
	Schedule      []PartnerStep `json:"schedule,omitempty"`
	Ramp          []PartnerRamp `json:"ramp,omitempty"`
}

// PartnerStep is one interval of a contract's floors or fees.
type PartnerStep struct {
	From   alliance.Date `json:"from"`
	Until  alliance.Date `json:"until"`
	Amount money.Amount  `json:"amount"`
	Fee    bool          `json:"fee"`
}

// PartnerRamp is the capacity contracted from a day on.
type PartnerRamp struct {
	From            alliance.Date `json:"from"`
	Chips           int64         `json:"chips,omitempty"`
	TokensPerMinute int64         `json:"tokens_per_minute,omitempty"`
}

// PartnerContracts are the contracts of which a party is the provider.
func PartnerContracts(all []Contract, party string) []PartnerContract {
	list := []PartnerContract{}
	for i := range all {
		if k := &all[i]; party != "" && k.Party == party {
			list = append(list, partnerContract(k))
		}
	}
	return list
}

func partnerContract(k *Contract) PartnerContract {
	v := PartnerContract{
		ID: k.ID, Title: k.Title, Shape: k.Shape, ShapeSays: k.ShapeSays, From: k.From, Until: k.Until, Headline: k.Headline,
		IntervalFrom: k.IntervalFrom, IntervalUntil: k.IntervalUntil, Floor: k.Floor, Fee: k.Fee, Burnt: k.Burnt, FeesAccrued: k.FeesSinceStart,
	}
	for _, s := range k.Schedule {
		v.Schedule = append(v.Schedule, PartnerStep{s.From, s.Until, s.Amount, s.Fee})
	}
	for _, r := range k.Ramp {
		v.Ramp = append(v.Ramp, PartnerRamp{r.From, r.Chips, r.TokensPerMinute})
	}
	return v
}
