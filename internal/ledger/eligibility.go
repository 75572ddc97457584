package ledger

import (
	"cmp"
	"time"

	"github.com/accordo-ai/accordo/internal/alliance"
	"github.com/accordo-ai/accordo/internal/contract"
	"github.com/accordo-ai/accordo/internal/money"
)

// MarketplaceCharge is something that the provider's marketplace charged and
// that is no usage of a pool. Where the contract lets it, it retires the floor
// up to a share of it.
type MarketplaceCharge struct {
	Contract string       `json:"contract"`
	Month    int32        `json:"month"`  // that it is of, YYYYMM
	Amount   money.Amount `json:"amount"` // in micro-units of the contract's currency
	Reason   string       `json:"reason"` // such as what was bought
}

func (m *MarketplaceCharge) check() error {
	if m.Contract == "" || m.Amount <= 0 {
		return refuse("a marketplace charge names the contract and states an amount above 0")
	}
	return cmp.Or(checkMonth(m.Month), checkReason(m.Reason))
}

// marketplace books a charge: what is owed, and what of it retires the floor,
// which stops exactly at the cap.
func (p *factPosting) marketplace(m *MarketplaceCharge) error {
	t, err := p.headTerms()
	if err != nil {
		return err
	}
	c := t.contracts[alliance.ContractID(m.Contract)]
	if c == nil || len(contract.Legs(c, "", contract.MarketCharge)) == 0 {
		return refuse("there is no contract %s with a floor that a marketplace could retire", m.Contract)
	}
	mp := p.monthOf(t, m.Month)
	if mp.start.UnixNano() > p.fact.At {
		return refuse("%d has not begun", m.Month)
	}
	f, ok := contract.FloorAt(c, mp.start)
	if !ok {
		f, ok = contract.FloorAt(c, mp.end.Add(-time.Nanosecond))
	}
	retired := money.Amount(0)
	if ok && !p.b.settled(&f) {
		retired = mp.marketRoom(c, &f, m.Amount)
	}
	for _, leg := range contract.Legs(c, "", contract.MarketCharge) {
		switch leg.Basis {
		case contract.AtFee:
			mp.post(Marketplace, mp.of(leg.Debit, c, ""), mp.of(leg.Credit, c, ""), mp.currency(), m.Contract, m.Amount)
		case contract.AtCommitment:
			mp.post(Commitment, interval(t, leg.Debit, c, f), interval(t, leg.Credit, c, f), commitAsset(t, c), m.Contract, retired)
		default:
			mp.post(Marketplace, interval(t, leg.Debit, c, f), interval(t, leg.Credit, c, f), commitAsset(t, c), m.Contract, retired)
		}
	}
	return nil
}

// marketRoom is how much of a charge retires the floor. What marketplace
// charges may retire of it comes into the books with the first that does, and
// follows the floor when that is raised or cut.
func (p *monthPosting) marketRoom(c *alliance.Contract, f *alliance.Floor, amount money.Amount) money.Amount {
	raised, cut := p.b.moved(p.t, c, f)
	most := contract.MarketplaceCap(c, f.Amount+raised-cut)
	var used money.Amount
	for _, leg := range contract.Legs(c, "", contract.MarketCharge) {
		if leg.Basis == contract.AtRest {
			used = p.b.balances[interval(p.t, leg.Debit, c, *f)].Amount
		}
	}
	room := max(0, min(amount, most-used))
	if room == 0 {
		return 0
	}
	for _, leg := range contract.Legs(c, "", contract.MarketOpened) {
		debit, credit := interval(p.t, leg.Debit, c, *f), interval(p.t, leg.Credit, c, *f)
		p.post(Opening, debit, credit, commitAsset(p.t, c), string(c.ID), most+p.b.balances[credit].Amount)
	}
	return room
}

// settled reports whether an interval's last month is closed.
func (b *Book) settled(f *alliance.Floor) bool {
	return b.closedMonth > 0 && !f.Until.After(monthStart(nextMonth(b.closedMonth)))
}
