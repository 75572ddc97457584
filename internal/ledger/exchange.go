package ledger

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/accordo-ai/accordo/internal/alliance"
	"github.com/accordo-ai/accordo/internal/contract"
	"github.com/accordo-ai/accordo/internal/exchange"
	"github.com/accordo-ai/accordo/internal/money"
)

// What is owed to a provider in another currency is owed in it; what it cost
// is expense in the alliance's currency. No entry has two assets, so such a
// cost is two entries that meet in equity: the debt against the position in
// that currency ("equity/exchange/EUR"), and the expense against what the
// position is worth ("equity/exchange/EUR,USD"). So each currency balances by
// itself, and the two accounts say what is open and at which rates.

// exchangeKind is the kind of the two accounts of a currency, and
// gainLossKind that of the account for what its rate does to debts.
const (
	exchangeKind = "exchange"
	gainLossKind = "exchange_gain_loss"
)

// With returns the terms with the rates of exchange that are known.
func (t *Terms) With(rates *exchange.Table) *Terms {
	u := *t
	u.rates = rates
	return &u
}

// MoneyOf returns the currency in which a contract's amounts are.
func (t *Terms) MoneyOf(id alliance.ContractID) money.Currency {
	return t.alliance.CurrencyOf(t.contracts[id])
}

func (t *Terms) moneyOf(c *alliance.Contract) Asset { return Asset(t.alliance.CurrencyOf(c)) }

// held is the account of what is owed in a currency: accounts kept for a party
// have a currency other than the alliance's as the last part of their ref,
// because one party may be owed in several. Accounts of contracts and pools
// have the contract's and need no other path.
func (t *Terms) held(a AccountID, asset Asset) AccountID {
	if result(a) || asset == Asset(t.alliance.Currency) || strings.HasSuffix(string(a), ","+string(asset)) {
		return a
	}
	first, _, _ := strings.Cut(a.Ref(), ",")
	if t.contracts[alliance.ContractID(first)] != nil || t.pools[alliance.PoolID(first)] != nil {
		return a
	}
	return a + AccountID(","+string(asset))
}

// position and worth are the two accounts of a currency.
func (t *Terms) position(asset Asset) AccountID {
	return NewAccount(string(t.alliance.Operator), contract.Equity, exchangeKind, string(asset))
}

func (t *Terms) worth(asset Asset) AccountID {
	return NewAccount(string(t.alliance.Operator), contract.Equity, exchangeKind, string(asset), string(t.alliance.Currency))
}

// result reports whether an account is one of expense or revenue, which are
// always in the alliance's currency.
func result(a AccountID) bool {
	c := a.Class()
	return c == contract.Expense || c == contract.Revenue
}

// parted is an entry in another currency as two: what is owed, and the same in
// the alliance's currency where a result is touched.
type parted struct {
	owed, booked   Key
	owes, converts bool
}

func (t *Terms) part(k Key, asset Asset) (p parted) {
	debit, credit := result(k.Debit), result(k.Credit)
	p.owed, p.booked = k, k
	p.owes, p.converts = !debit || !credit, debit || credit
	p.owed.Asset = asset
	p.owed.Debit, p.owed.Credit = t.held(k.Debit, asset), t.held(k.Credit, asset)
	p.booked.Kind, p.booked.Asset = Converted, Asset(t.alliance.Currency)
	if debit {
		p.owed.Debit = t.position(asset)
	} else {
		p.booked.Debit = t.worth(asset)
	}
	if credit {
		p.owed.Credit = t.position(asset)
	} else {
		p.booked.Credit = t.worth(asset)
	}
	return p
}

// exchange finds the rate of the request's day. It reports false when the
// contract's currency has none.
func (r *resolver) exchange() bool {
	owed := r.t.moneyOf(r.contract)
	if owed == r.currency() {
		return true
	}
	rate, ok := r.t.rates.Find(money.Currency(owed), r.t.alliance.Currency, r.at.Format(time.DateOnly), r.known)
	r.rate = rate
	until := alliance.Date{}
	if day, err := time.Parse(time.DateOnly, rate.Until); err == nil {
		until.Time = day
	}
	if on, err := time.Parse(time.DateOnly, rate.On); err == nil {
		r.narrow(alliance.Term{From: alliance.Date{Time: on}, Until: until})
	}
	if !ok { // it may be known of the next day
		day := r.at.Truncate(24 * time.Hour)
		r.narrow(alliance.Term{From: alliance.Date{Time: day}, Until: alliance.Date{Time: day.AddDate(0, 0, 1)}})
	}
	return ok
}

// foreign reports whether an entry of the contract's is in its own currency:
// a cost is, a sale is not.
func (r *resolver) foreign(k Key) bool {
	return k.Asset == r.currency() && k.Contract != "" && r.t.moneyOf(r.contract) != k.Asset
}

// addForeign adds a rule of another currency and, where it is a result, the
// same in the alliance's.
func (r *resolver) addForeign(ru rule) {
	p := r.t.part(ru.key, r.t.moneyOf(r.contract))
	if p.owes {
		owed := ru
		owed.key = p.owed
		r.flow.served = append(r.flow.served, owed)
	}
	if p.converts {
		ru.key = p.booked
		ru.key.Price += "," + r.rate.ID()
		r.flow.served = append(r.flow.served, ru.times(r.rate))
	}
}

// times returns the rule in another currency, exactly.
func (r rule) times(rate exchange.Rate) rule {
	if r.basis == byStandard {
		r.std = r.std.Times(rate.Num, rate.Den)
		r.divisor = r.std.Divisor()
		return r
	}
	r.scale = rate.Num
	r.divisor *= rate.Den
	return r
}

// Rates returns the rates of exchange that the facts in the books state.
func (b *Book) Rates() *exchange.Table { return b.rates }

// Know gives a book rates of exchange, for the lines of requests that are
// posted already.
func (b *Book) Know(rates *exchange.Table) {
	b.rates = rates
	for hash, t := range b.terms {
		b.terms[hash] = t.With(rates)
	}
}

// learn takes a rate over: requests that are posted from now on have it.
func (b *Book) learn(k exchange.Known) {
	b.Know(b.rates.With(k))
	clear(b.flows)
}

// RatesOf returns the rates of exchange among facts.
func RatesOf(facts []Fact) *exchange.Table {
	var t *exchange.Table
	for i := range facts {
		if f := &facts[i]; f.ExchangeRate != nil {
			t = t.With(exchange.Known{Quote: *f.ExchangeRate, At: f.At, After: f.After})
		}
	}
	return t
}

// quote checks a rate against what is known. It posts nothing: entries that
// are made later use it, those that are made stay.
func (p *factPosting) quote(q *exchange.Quote) error {
	if today := time.Unix(0, p.fact.At).UTC().Format(time.DateOnly); q.On > today {
		return refuse("%s has not come: a rate is recorded once it was quoted", q.On)
	}
	for _, k := range p.b.rates.All() {
		if k.Quote == *q {
			return refuse("%s by %s was recorded before: nothing changes", q.ID(), q.Source)
		}
	}
	if p.b.head.Terms == "" {
		return nil
	}
	t, err := p.headTerms()
	if err != nil {
		return err
	}
	if c := t.alliance.Currency; q.Base != c && q.Quote != c {
		return refuse("%s/%s: rates pass through no third currency; record %s or %s against %s, the alliance's currency: %s", q.Base, q.Quote, q.Base, q.Quote, c, RecordRate(q.Base, c, q.On))
	}
	return nil
}

// RecordRate is the command that records a rate which is missing.
func RecordRate(base, quote money.Currency, day string) string {
	return fmt.Sprintf("accordo record rate --base %s --quote %s --rate RATE --on %s --source WHO", base, quote, day)
}

// moneyOf returns the currency of an entry of the close: that of its contract,
// else that which its accounts hold already.
func (p *monthPosting) moneyOf(id string, accounts ...AccountID) Asset {
	if c := p.t.contracts[alliance.ContractID(id)]; c != nil {
		return p.t.moneyOf(c)
	}
	for _, a := range accounts {
		if c := p.t.contracts[alliance.ContractID(a.Ref())]; c != nil {
			return p.t.moneyOf(c)
		}
		if v, ok := p.b.balances[a]; ok && v.Asset.IsCurrency() && !v.Asset.IsCommitment() && v.Asset != p.currency() {
			return v.Asset
		}
	}
	return p.currency()
}

// rateOf returns the last rate of the month from a currency to the alliance's.
func (p *monthPosting) rateOf(asset Asset) (exchange.Rate, error) {
	last := p.end.AddDate(0, 0, -1).Format(time.DateOnly)
	rate, ok := p.b.rates.Find(money.Currency(asset), p.t.alliance.Currency, last, exchange.Always)
	if !ok {
		return rate, refuse("the rate of %s on %s is not known: %s", asset, last, RecordRate(money.Currency(asset), p.t.alliance.Currency, last))
	}
	return rate, nil
}

// postForeign adds an entry in another currency and, where it is a result, the
// same in the alliance's.
func (p *monthPosting) postForeign(kind Kind, debit, credit AccountID, asset Asset, c string, amount money.Amount) {
	parts := p.t.part(Key{Kind: kind, Debit: debit, Credit: credit, Contract: c}, asset)
	if parts.owes {
		p.entry(parts.owed, amount)
	}
	if parts.converts {
		p.convert(parts.booked, asset, amount)
	}
}

// convert adds an entry in the alliance's currency about an amount of another,
// at the month's last rate, rounded down once.
func (p *monthPosting) convert(k Key, asset Asset, amount money.Amount) {
	if amount == 0 {
		return
	}
	rate, err := p.rateOf(asset)
	if err != nil {
		p.fail(err)
		return
	}
	booked, ok := rate.Convert(amount)
	if !ok {
		p.fail(money.ErrRange)
		return
	}
	k.Price = rate.ID()
	p.entry(k, booked)
}

func (p *factPosting) fail(err error) {
	if p.failed == nil {
		p.failed = err
	}
}

// inMoneyOf returns an amount of the alliance's currency in a contract's, at
// the month's last rate.
func (p *monthPosting) inMoneyOf(c *alliance.Contract, amount money.Amount) (money.Amount, error) {
	asset := p.t.moneyOf(c)
	if asset == p.currency() || amount == 0 {
		return amount, nil
	}
	rate, err := p.rateOf(asset)
	if err != nil {
		return 0, err
	}
	converted, ok := rate.Inverse().Convert(amount)
	if !ok {
		return 0, money.ErrRange
	}
	return converted, nil
}

// revalue brings what each position is worth to the month's last rate. The
// difference is gain or loss on exchange: above zero a loss, below a gain.
func (p *monthPosting) revalue() error {
	assets := map[Asset]bool{}
	for i := range p.t.alliance.Contracts {
		assets[p.t.moneyOf(&p.t.alliance.Contracts[i])] = true
	}
	for a := range p.b.balances {
		if a.Class() == contract.Equity && a.Kind() == exchangeKind {
			code, _, _ := strings.Cut(a.Ref(), ",")
			assets[Asset(code)] = true
		}
	}
	delete(assets, p.currency())
	for _, asset := range slices.Sorted(maps.Keys(assets)) {
		open, worth := p.withPending(p.t.position(asset)), p.withPending(p.t.worth(asset))
		if open == 0 && worth == 0 {
			continue
		}
		rate, err := p.rateOf(asset)
		if err != nil {
			return err
		}
		now, ok := rate.Convert(open)
		if !ok {
			return money.ErrRange
		}
		loss := p.account(contract.Expense, gainLossKind, string(asset))
		p.entry(Key{Kind: Revaluation, Debit: loss, Credit: p.t.worth(asset), Asset: p.currency(), Price: rate.ID()}, worth+now)
	}
	return nil
}

// withPending is upTo with what this close is about to post, which is rounded.
func (p *monthPosting) withPending(a AccountID) money.Amount { return p.upTo(a) + p.pending(a) }

// pending is what this close is about to post to an account.
func (p *monthPosting) pending(a AccountID) (sum money.Amount) {
	for i := range p.list {
		e := &p.list[i]
		amount := floor(e.n, e.Divisor)
		if e.Divisor > 1 {
			amount = floor(e.n.Add(money.WideOf(p.b.carries[CarryKey{e.Debit, e.Credit, e.Price, e.Divisor}])), e.Divisor)
		}
		if e.Debit == a {
			sum += amount
		}
		if e.Credit == a {
			sum -= amount
		}
	}
	return sum
}
