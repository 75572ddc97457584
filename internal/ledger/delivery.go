package ledger

import (
	"strconv"
	"strings"
	"time"

	"github.com/accordo-ai/accordo/internal/alliance"
	"github.com/accordo-ai/accordo/internal/contract"
	"github.com/accordo-ai/accordo/internal/money"
)

// Delivered says how much of a ramp can really be used from a day on, until a
// later fact says otherwise. Without such a fact all is delivered as
// contracted.
type Delivered struct {
	Contract        string `json:"contract"`
	From            string `json:"from"` // the first day
	Chips           int64  `json:"chips,omitempty"`
	TokensPerMinute int64  `json:"tokens_per_minute,omitempty"`
	Reason          string `json:"reason"` // what shows it
}

func (d *Delivered) check() error {
	if d.Contract == "" || d.Chips < 0 || d.TokensPerMinute < 0 {
		return refuse("a delivery names the contract, and states chips or tokens per minute of 0 or more")
	}
	if _, err := d.day(); err != nil {
		return refuse("a delivery names its first day: %v", err)
	}
	return checkReason(d.Reason)
}

func (d *Delivered) day() (day alliance.Date, err error) {
	err = day.UnmarshalText([]byte(d.From))
	return day, err
}

// change is a fact that changes what a contract means, with its place.
type change struct {
	after uint64 // the last record that was posted before it
	contract.Change
}

// termsKey names a version of the terms with the first changes by facts.
type termsKey struct {
	hash    string
	changes int
}

// changeOf returns what a fact changes of a contract, if it does.
func changeOf(f *Fact) (c contract.Change, ok bool) {
	if d := f.Delivered; d != nil {
		day, err := d.day()
		return contract.Change{
			Contract: alliance.ContractID(d.Contract),
			Delivery: &alliance.Delivery{From: day, Chips: d.Chips, TokensPerMinute: d.TokensPerMinute, Fact: f.Number},
		}, err == nil
	}
	if x := f.OptionExercised; x != nil {
		at := alliance.Date{Time: time.Unix(0, f.At).UTC()}
		return contract.Change{Contract: alliance.ContractID(x.Contract), Exercised: &at}, true
	}
	return contract.Change{}, false
}

// change remembers what a fact changes of a contract: from here on requests
// are posted by it.
func (b *Book) change(f *Fact) {
	if c, ok := changeOf(f); ok {
		b.changes = append(b.changes, change{f.After, c})
		clear(b.flows)
	}
}

func (b *Book) changed(n int) []contract.Change {
	list := make([]contract.Change, n)
	for i := range list {
		list[i] = b.changes[i].Change
	}
	return list
}

// Changes returns what the facts change of contracts, in their order: the
// terms of now are contract.Fold of the file's and these.
func (b *Book) Changes() []contract.Change { return b.changed(len(b.changes)) }

// Terms returns the version of the terms that has the hash, with what all
// facts so far change of its contracts.
func (b *Book) Terms(hash string) (*Terms, error) { return b.version(hash, len(b.changes)) }

// TermsAt returns the terms by which a record of the journal is posted: with
// the changes that the books knew before it.
func (b *Book) TermsAt(hash string, record uint64) (*Terms, error) {
	n := 0
	for n < len(b.changes) && b.changes[n].after < record {
		n++
	}
	return b.version(hash, n)
}

// standardPrice names the standard rate of a fee: contract@interval, and +N
// where it follows from deliveries up to fact N.
func standardPrice(c *alliance.Contract, from alliance.Date) string {
	id, last := string(c.ID)+"@"+from.String(), uint64(0)
	for i := range c.Delivered {
		last = max(last, c.Delivered[i].Fact)
	}
	if last > 0 {
		id += "+" + strconv.FormatUint(last, 10)
	}
	return id
}

// FeeInterval returns the first day of the fee's interval that a standard
// rate is of, empty for a price of another kind.
func FeeInterval(price string) string {
	_, from, _ := strings.Cut(price, "@")
	from, _, _ = strings.Cut(from, "+")
	return from
}

// abate takes off the month's fee what late delivery abates.
func (p *monthPosting) abate(c *alliance.Contract, fees map[AccountID]money.Amount) error {
	legs := contract.Legs(c, alliance.BilledByFixed, contract.FeeAbated)
	if len(legs) == 0 {
		return nil
	}
	before, until, err := p.abatement(c)
	if err != nil || until == before {
		return err
	}
	parts, err := p.overPools(c, before, until)
	if err != nil {
		return err
	}
	for _, part := range parts {
		for _, leg := range legs {
			credit := p.of(leg.Credit, c, part.pool)
			fees[credit] -= part.amount
			p.post(LateDelivery, p.of(leg.Debit, c, part.pool), credit, p.currency(), string(c.ID), part.amount)
		}
	}
	return nil
}

// abatement is what late delivery takes off the fees before the month and
// until its end.
func (p *monthPosting) abatement(c *alliance.Contract) (before, until money.Amount, err error) {
	if until, err = contract.AbatedUpTo(c, p.end); err != nil {
		return 0, 0, err
	}
	before, err = contract.AbatedUpTo(c, p.start)
	return before, until, err
}

// deliver posts nothing while the months that a delivery is about are open:
// their close does. What it changes of closed months is a credit, or its
// reversal, in the first open one.
func (p *factPosting) deliver(d *Delivered) error {
	t, err := p.headTerms()
	if err != nil {
		return err
	}
	c := t.contracts[alliance.ContractID(d.Contract)]
	switch tokens := c != nil && contract.CountsTokens(c.Shape); {
	case c == nil:
		return refuse("there is no contract %s", d.Contract)
	case len(c.Ramp) == 0:
		return refuse("contract %s has no ramp: nothing is delivered by it", d.Contract)
	case tokens && d.Chips != 0:
		return refuse("the ramp of contract %s counts tokens per minute", d.Contract)
	case !tokens && d.TokensPerMinute != 0:
		return refuse("the ramp of contract %s counts chips", d.Contract)
	}
	if day, _ := d.day(); !c.Holds(day.Time) {
		return refuse("%s is out of the term of contract %s", d.From, d.Contract)
	}
	change, _ := changeOf(p.fact)
	return p.restate(t, c, change)
}

// restate corrects the closed months of a contract whose abatement a fact
// changes.
func (p *factPosting) restate(t *Terms, c *alliance.Contract, change contract.Change) error {
	if p.b.closedMonth == 0 {
		return nil
	}
	after := contract.Fold(t.alliance, []contract.Change{change}).Contract(c.ID)
	legs := contract.Legs(c, alliance.BilledByFixed, contract.AbatedLate)
	for month := p.b.firstMonth; month <= p.b.closedMonth; month = nextMonth(month) {
		mp := p.monthOf(t, month)
		wasBefore, was, err := mp.abatement(c)
		if err != nil {
			return err
		}
		isBefore, is, err := mp.abatement(after)
		if err != nil {
			return err
		}
		parts, err := mp.overPools(c, was-wasBefore, is-isBefore)
		if err != nil {
			return err
		}
		for _, part := range parts {
			for _, leg := range legs {
				mp.post(LateDelivery, mp.of(leg.Debit, c, part.pool), mp.of(leg.Credit, c, part.pool), mp.currency(), string(c.ID), part.amount)
			}
		}
	}
	return nil
}
