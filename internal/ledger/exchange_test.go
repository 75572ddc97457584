package ledger_test

import (
	"errors"
	"math/big"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/accordo-ai/accordo/internal/alliance"
	"github.com/accordo-ai/accordo/internal/contract"
	"github.com/accordo-ai/accordo/internal/exchange"
	"github.com/accordo-ai/accordo/internal/ledger"
	"github.com/accordo-ai/accordo/internal/money"
	"github.com/accordo-ai/accordo/internal/record"
	"github.com/accordo-ai/accordo/internal/store/storetest"
	"github.com/accordo-ai/accordo/internal/usage"
)

// abroad are the terms of the histories with contracts in three currencies.
func abroad(hash string) (*alliance.Alliance, error) {
	a, err := storetest.Terms(hash)
	if err != nil {
		return nil, err
	}
	for i := range a.Contracts {
		switch c := &a.Contracts[i]; c.ID {
		case "floor", "rack":
			c.Currency = "EUR"
		case "reserved":
			c.Currency = "GBP"
		}
	}
	return a, nil
}

func rate(t interface{ Fatal(...any) }, base, quote, digits, on string) ledger.Event {
	d, err := exchange.ParseDecimal(digits)
	if err != nil {
		t.Fatal(err)
	}
	return ledger.Event{ExchangeRate: &exchange.Quote{Base: money.Currency(base), Quote: money.Currency(quote), Rate: d, On: on, Source: "ECB"}}
}

// quoted records a rate that is drawn, in either direction and of any day.
func (d *desk) quoted(t *rapid.T, code string) {
	days := []string{"2026-05-29", "2026-06-29", "2026-06-30", "2026-07-01"}
	text := exchange.Decimal{Digits: rapid.Int64Range(50_000, 200_000).Draw(t, "digits"), Scale: 5}.String()
	base, quote := code, "USD"
	if rapid.Bool().Draw(t, "other way") {
		base, quote = quote, base
	}
	ev := rate(t, base, quote, text, rapid.SampledFrom(days).Draw(t, "on"))
	if err := d.fact(ev); err != nil && !errors.Is(err, ledger.ErrFact) {
		t.Fatal(err)
	}
}

// livedAbroad posts a history with rates that become known in its midst, and
// closes June when every rate is known.
func livedAbroad(t *rapid.T, records []record.Record) (d *desk, closed bool) {
	d = &desk{book: ledger.New(abroad), records: records, documents: map[string][]byte{}}
	for _, batch := range storetest.Split(records) {
		for _, code := range []string{"EUR", "GBP"} {
			if d.book.Head().At != 0 && rapid.IntRange(0, 2).Draw(t, "rate") == 0 {
				d.quoted(t, code)
			}
		}
		step, err := d.book.Post(batch)
		if err != nil {
			t.Fatal(err)
		}
		d.steps = append(d.steps, step)
		if closed || d.book.Head().At < july || d.book.Head().Terms == "" {
			continue
		}
		for _, code := range []string{"EUR", "GBP"} {
			if err := d.fact(rate(t, code, "USD", "1.0842", "2026-06-01")); err != nil && !errors.Is(err, ledger.ErrFact) {
				t.Fatal(err)
			}
		}
		if err := d.fact(ledger.Event{PoolBilled: &ledger.PoolBilled{Pool: "aws-chips", Month: 202606, Amount: 1234, Reason: "invoice"}}); err != nil {
			t.Fatal(err)
		}
		if err := d.fact(closeMonth(202606)); err != nil {
			t.Fatal(err)
		}
		closed = true
		d.agrees(t)
	}
	return d, closed
}

// agrees checks, right after the close of June, that every position is worth
// its amount at the month's last rate.
func (d *desk) agrees(t *rapid.T) {
	for _, code := range []money.Currency{"EUR", "GBP"} {
		position, worth := money.Amount(0), money.Amount(0)
		for _, p := range d.book.State().Periods {
			switch {
			case p.Period > 202606:
			case p.Account == ledger.NewAccount("lab", contract.Equity, "exchange", string(code)):
				position += p.Amount
			case p.Account == ledger.NewAccount("lab", contract.Equity, "exchange", string(code), "USD"):
				worth += p.Amount
			}
		}
		r, ok := d.book.Rates().Find(code, "USD", "2026-06-30", exchange.Always)
		if !ok {
			t.Fatal("no rate of " + code)
		}
		if now, _ := r.Convert(position); now+worth != 0 {
			t.Fatalf("%s: the position %d is worth %d at %s, and the books say %d", code, position, now, r.ID(), -worth)
		}
	}
}

func TestExchange_EachCurrencyBalancesByItself(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		d, _ := livedAbroad(t, history(t))
		for _, total := range ledger.TrialBalance(d.book.Balances()) {
			if !total.Balanced() {
				t.Fatalf("%s: debits %d, credits %d", total.Asset, total.Debits, total.Credits)
			}
		}
		for _, b := range d.book.Balances() {
			if c := b.Account.Class(); (c == contract.Expense || c == contract.Revenue) && b.Asset != "USD" {
				t.Fatalf("%s is in %s", b.Account, b.Asset)
			}
			if party, code, ok := strings.Cut(b.Account.Ref(), ","); ok && party == "aws" && b.Account.Class() == contract.Liability && string(b.Asset) != code {
				t.Fatalf("%s is in %s", b.Account, b.Asset)
			}
		}
	})
}

func TestExchange_ReplayGivesTheSameBytes(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		records := history(t)
		d, _ := livedAbroad(t, records)
		again := &desk{book: ledger.New(abroad), records: records, documents: map[string][]byte{}}
		facts := d.facts
		post := func() {
			for len(facts) > 0 && facts[0].After == again.book.Head().Last {
				if _, err := again.book.PostFact(facts[0], again.evidence()); err != nil {
					t.Fatal(err)
				}
				facts = facts[1:]
			}
		}
		post()
		for _, batch := range storetest.Split(records) {
			if _, err := again.book.Post(batch); err != nil {
				t.Fatal(err)
			}
			post()
		}
		if a, b := d.book.Head(), again.book.Head(); a.Hash != b.Hash || len(facts) > 0 {
			t.Fatalf("%s after %d facts, again %s with %d left", a.Hash, a.Facts, b.Hash, len(facts))
		}
		if diff := cmp.Diff(d.book.Balances(), again.book.Balances()); diff != "" {
			t.Fatal(diff)
		}
	})
}

// TestExchange_LinesAddUpToEntriesAtTheRateThatWasKnown recomputes every entry
// from its requests with all rates that became known in the end: those that
// came later change nothing.
func TestExchange_LinesAddUpToEntriesAtTheRateThatWasKnown(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		records := history(t)
		d, _ := livedAbroad(t, records)
		versions := ledger.New(abroad)
		versions.Know(ledger.RatesOf(d.facts))
		for _, s := range d.steps {
			var of []ledger.Line
			for i := s.Batch.First; i <= s.Batch.Last; i++ {
				out := &records[i-1]
				if out.Outcome == nil {
					continue
				}
				in := &records[out.Outcome.Intent-1]
				if in.Intent == nil || in.Intent.Attempt != out.Outcome.Attempt || contains(s.Batch.Unmatched, i) {
					continue
				}
				terms, err := versions.Terms(in.Intent.Terms)
				if err != nil {
					t.Fatal(err)
				}
				line, err := ledger.LineOf(in, out, terms)
				if err != nil {
					t.Fatal(err)
				}
				of = append(of, line)
			}
			for i := range s.Batch.Entries {
				e := &s.Batch.Entries[i]
				if sum := ledger.SumOf(e.LineKey(), of); e.Lines > 0 && (sum.Digest != e.Digest || sum.Lines != e.Lines) {
					t.Fatalf("entry %+v has %d lines, its requests %d", e.Key, e.Lines, sum.Lines)
				}
			}
		}
	})
}

func contains(list []uint64, n uint64) bool {
	for _, v := range list {
		if v == n {
			return true
		}
	}
	return false
}

// euro is one contract in EUR at 2 EUR a million tokens of output.
func euro(shape alliance.Shape, edit func(*alliance.Contract)) func(string) (*alliance.Alliance, error) {
	from, _ := time.Parse(time.DateOnly, "2026-03-01")
	until := from.AddDate(0, 3, 0)
	term := alliance.Term{From: alliance.Date{Time: from}, Until: alliance.Date{Time: until}}
	return func(hash string) (*alliance.Alliance, error) {
		a := &alliance.Alliance{
			Hash: hash, Operator: "lab", Currency: "USD",
			Contracts: []alliance.Contract{{ID: "k", Provider: "ovh", Shape: shape, Term: term, Currency: "EUR"}},
			Pools:     []alliance.Pool{{ID: "p", Provider: "ovh", Contract: "k", BilledBy: alliance.BilledByToken}},
			Prices:    []alliance.Price{{ID: "c", Pools: []alliance.PoolID{"p"}, Model: "m", Term: term, List: alliance.Rates{Output: 2 * money.Micro}}},
			Plans:     []alliance.Plan{{ID: "sold", Seller: "lab", Price: &alliance.SalePrice{ID: "s", Rates: alliance.Rates{Output: 5 * money.Micro}}}},
		}
		if edit != nil {
			edit(&a.Contracts[0])
		}
		return a, nil
	}
}

// abroadDesk is a desk whose requests are posted one by one.
type abroadDesk struct {
	*desk
	t *testing.T
}

func newAbroad(t *testing.T, terms func(string) (*alliance.Alliance, error)) *abroadDesk {
	return &abroadDesk{&desk{book: ledger.New(terms)}, t}
}

// serve posts one request of output tokens on a day.
func (d *abroadDesk) serve(day string, tokens int64) (outcome uint64) {
	d.t.Helper()
	return d.serveOn("p", "c", day, tokens)
}

func (d *abroadDesk) serveOn(pool, price, day string, tokens int64) (outcome uint64) {
	d.t.Helper()
	at, err := time.Parse(time.DateOnly, day)
	if err != nil {
		d.t.Fatal(err)
	}
	n := uint64(len(d.records))
	id := record.AttemptID("a" + day)
	batch := []record.Record{
		{Kind: record.KindIntent, Intent: &record.Intent{Attempt: id, Terms: "t", Tenant: "x", Plan: "sold", SalePrice: "s", Model: "m", Pool: pool, CostPrice: price}},
		{Kind: record.KindOutcome, Outcome: &record.Outcome{Attempt: id, Intent: n + 1, Status: record.Served, Usage: usage.Vector{Output: tokens}}},
		{Kind: record.KindMark, Mark: &record.Mark{}},
	}
	for i := range batch {
		batch[i].Sequence, batch[i].At = n+uint64(i)+1, at.Add(time.Hour).UnixNano()
	}
	d.records = append(d.records, batch...)
	if _, err := d.book.Post(batch); err != nil {
		d.t.Fatal(err)
	}
	return n + 2
}

func (d *abroadDesk) do(ev ledger.Event) {
	d.t.Helper()
	f := factOf(d.book, ev)
	f.At = max(f.At, time.Date(2026, 9, 1, 0, 0, 0, 0, time.UTC).UnixNano())
	step, err := d.book.PostFact(f, d.evidence())
	if err != nil {
		d.t.Fatal(err)
	}
	d.facts, d.steps = append(d.facts, f), append(d.steps, step)
}

func (d *abroadDesk) want(balances map[string]string) {
	d.t.Helper()
	got := map[string]string{}
	for _, b := range d.book.Balances() {
		if path := strings.TrimPrefix(string(b.Account), "lab/"); !strings.HasPrefix(path, "memo/") && !strings.HasPrefix(path, "revenue/") && !strings.HasPrefix(path, "asset/receivable") && b.Amount != 0 {
			got[path] = b.Amount.String() + " " + string(b.Asset)
		}
	}
	if diff := cmp.Diff(balances, got); diff != "" {
		d.t.Errorf("-want +got:\n%s", diff)
	}
}

func TestExchange_OwesInOneCurrencyAndBooksInTheOther(t *testing.T) {
	d := newAbroad(t, euro(alliance.PayPerUse, nil))
	d.do(rate(t, "EUR", "USD", "1.0842", "2026-03-02"))
	d.serve("2026-03-02", 10*money.Micro)
	d.do(rate(t, "EUR", "USD", "1.1000", "2026-03-20"))
	d.serve("2026-03-21", 5*money.Micro)
	d.want(map[string]string{
		"liability/accrued/ovh,EUR": "-30.00 EUR", "equity/exchange/EUR": "30.00 EUR",
		"expense/compute/p": "32.684 USD", "equity/exchange/EUR,USD": "-32.684 USD",
	})
	d.do(closeMonth(202603))
	d.want(map[string]string{
		"liability/accrued/ovh,EUR": "-30.00 EUR", "equity/exchange/EUR": "30.00 EUR",
		"expense/compute/p": "32.684 USD", "expense/exchange_gain_loss/EUR": "0.316 USD", "equity/exchange/EUR,USD": "-33.00 USD",
	})
	d.do(rate(t, "USD", "EUR", "0.9600", "2026-04-30"))
	d.do(closeMonth(202604))
	d.want(map[string]string{
		"liability/accrued/ovh,EUR": "-30.00 EUR", "equity/exchange/EUR": "30.00 EUR",
		"expense/compute/p": "32.684 USD", "expense/exchange_gain_loss/EUR": "-1.434 USD", "equity/exchange/EUR,USD": "-31.25 USD",
	})
}

func TestExchange_CarriesWhatIsSmallerThanAMicroUnit(t *testing.T) {
	d := newAbroad(t, euro(alliance.PayPerUse, nil))
	d.do(rate(t, "EUR", "USD", "1.0842", "2026-03-02"))
	exact := new(big.Rat)
	for i, day := range []string{"2026-03-02", "2026-03-03", "2026-03-04", "2026-03-05", "2026-03-06", "2026-03-07", "2026-03-08"} {
		tokens := int64(1 + i)
		d.serve(day, tokens)
		exact.Add(exact, new(big.Rat).Mul(new(big.Rat).SetInt64(2*tokens), big.NewRat(10842, 10000)))
	}
	want := new(big.Int).Div(exact.Num(), exact.Denom())
	if got := d.book.Balance("lab/expense/compute/p"); int64(got) != want.Int64() {
		t.Errorf("%d micro-units, the exact sum is %s", got, exact)
	}
}

func TestExchange_WithoutARateARequestIsSuspenseAndClosesWithTheRate(t *testing.T) {
	d := newAbroad(t, euro(alliance.PayPerUse, nil))
	outcome := d.serve("2026-03-02", 10*money.Micro)
	d.want(map[string]string{"asset/suspense/ovh,EUR": "20.00 EUR", "liability/suspense/ovh,EUR": "-20.00 EUR"})
	terms, err := d.book.Terms("t")
	if err != nil {
		t.Fatal(err)
	}
	if line, err := ledger.LineOf(&d.records[0], &d.records[1], terms); err != nil || line.Suspense != ledger.NoRate {
		t.Errorf("suspense %q, %v", line.Suspense, err)
	}
	closing := ledger.Event{SuspenseClosed: &ledger.SuspenseClosed{
		Attempt: d.records[0].Intent.Attempt, Intent: outcome - 1, Outcome: outcome, By: ledger.ByEstimate, BillCustomer: true, Reason: "the rate came",
	}}
	d.do(rate(t, "EUR", "USD", "1.0842", "2026-03-03"))
	if err := d.fact(closing); !errors.Is(err, ledger.ErrFact) || !strings.Contains(err.Error(), "accordo record rate --base EUR --quote USD --rate RATE --on 2026-03-02") {
		t.Errorf("closed at a rate of the day after: %v", err)
	}
	d.do(rate(t, "EUR", "USD", "1.0800", "2026-02-27"))
	d.want(map[string]string{"asset/suspense/ovh,EUR": "20.00 EUR", "liability/suspense/ovh,EUR": "-20.00 EUR"})
	d.do(closing)
	d.want(map[string]string{
		"liability/accrued/ovh,EUR": "-20.00 EUR", "equity/exchange/EUR": "20.00 EUR", "expense/compute/p": "21.60 USD", "equity/exchange/EUR,USD": "-21.60 USD",
	})
	if got := d.book.Balance("lab/asset/receivable/x"); got != 50*money.Micro {
		t.Errorf("the customer owes %s", got)
	}
}

func TestExchange_CorrectedRateLeavesWhatIsPosted(t *testing.T) {
	d := newAbroad(t, euro(alliance.PayPerUse, nil))
	d.do(rate(t, "EUR", "USD", "1.1", "2026-03-02"))
	d.serve("2026-03-02", 10*money.Micro)
	d.do(rate(t, "EUR", "USD", "1.2", "2026-03-02"))
	if got := d.book.Balance("lab/expense/compute/p"); got != 22*money.Micro {
		t.Errorf("expense %s", got)
	}
	d.serve("2026-03-03", 10*money.Micro)
	if got := d.book.Balance("lab/expense/compute/p"); got != 46*money.Micro {
		t.Errorf("expense %s", got)
	}
}

func TestExchange_ShapesOweFeesFloorsCreditsAndSharesInTheirCurrency(t *testing.T) {
	term := func(c *alliance.Contract) alliance.Term { return c.Term }
	for _, row := range []struct {
		name  string
		shape alliance.Shape
		edit  func(*alliance.Contract)
		want  map[string]string
	}{
		{"a floor that is missed", alliance.SpendFloor, func(c *alliance.Contract) {
			c.Floors = []alliance.Floor{{Term: term(c), Amount: 120 * money.Micro}}
			c.Rollover = &alliance.Rollover{SharePPM: 500_000, Months: 12}
		}, map[string]string{
			"liability/accrued/ovh,EUR": "-20.00 EUR", "liability/payable/ovh,EUR": "-100.00 EUR", "asset/rollover_credit/k,2026-03-01": "50.00 EUR",
			"equity/exchange/EUR": "70.00 EUR", "expense/compute/p": "22.00 USD", "expense/shortfall/k": "60.00 USD", "expense/exchange_gain_loss/EUR": "2.00 USD", "equity/exchange/EUR,USD": "-84.00 USD",
		}},
		{"a fixed fee", alliance.TakeOrPay, func(c *alliance.Contract) {
			c.Fees = []alliance.Fee{{Term: term(c), Amount: 92 * money.Micro}}
		}, map[string]string{
			"liability/accrued/ovh,EUR": "-92.00 EUR", "equity/exchange/EUR": "92.00 EUR", "expense/unused_capacity/k": "109.366666 USD",
			"expense/exchange_gain_loss/EUR": "1.033334 USD", "equity/exchange/EUR,USD": "-110.40 USD",
		}},
		{"a credit that expires", alliance.PrepaidCredit, func(c *alliance.Contract) {
			c.Floors = []alliance.Floor{{Term: term(c), Amount: 120 * money.Micro}}
		}, map[string]string{
			"liability/payable/ovh,EUR": "-120.00 EUR", "equity/exchange/EUR": "120.00 EUR", "expense/compute/p": "22.00 USD", "expense/forfeiture/k": "120.00 USD",
			"expense/exchange_gain_loss/EUR": "2.00 USD", "equity/exchange/EUR,USD": "-144.00 USD",
		}},
		{"a share up to a cap in EUR", alliance.PayPerUse, func(c *alliance.Contract) {
			c.RevenueShare = &alliance.RevenueShare{RatePPM: 500_000, Base: alliance.ShareOfSales, Cap: new(money.Amount(15 * money.Micro)), Term: term(c)}
		}, map[string]string{
			"liability/accrued/ovh,EUR": "-20.00 EUR", "liability/revenue_share_payable/ovh,EUR": "-15.00 EUR", "equity/exchange/EUR": "35.00 EUR", "expense/compute/p": "22.00 USD",
			"expense/revenue_share/ovh": "17.499999 USD", "expense/exchange_gain_loss/EUR": "2.500001 USD", "equity/exchange/EUR,USD": "-42.00 USD",
		}},
	} {
		t.Run(row.name, func(t *testing.T) {
			d := newAbroad(t, euro(row.shape, row.edit))
			d.do(rate(t, "EUR", "USD", "1.10", "2026-03-01"))
			d.serve("2026-03-02", 10*money.Micro)
			d.do(rate(t, "EUR", "USD", "1.166666666", "2026-03-30"))
			d.do(rate(t, "EUR", "USD", "1.20", "2026-04-15"))
			d.do(closeMonth(202603))
			d.do(closeMonth(202604))
			d.do(closeMonth(202605))
			d.want(row.want)
		})
	}
}

func TestExchange_IsRefused(t *testing.T) {
	d := newAbroad(t, euro(alliance.PayPerUse, nil))
	if err := d.fact(rate(t, "EUR", "USD", "1.1", "1970-01-02")); !errors.Is(err, ledger.ErrFact) {
		t.Errorf("a rate of tomorrow: %v", err)
	}
	d.do(rate(t, "EUR", "USD", "1.1", "2026-03-02"))
	d.serve("2026-03-02", 1000)
	d.serve("2026-06-30", 1000)
	for _, row := range []struct {
		name string
		ev   ledger.Event
		says string
	}{
		{"again", rate(t, "EUR", "USD", "1.1", "2026-03-02"), "recorded before"},
		{"of neither", rate(t, "EUR", "CHF", "0.95", "2026-03-02"), "against USD"},
		{"of a currency that is none", rate(t, "EUX", "USD", "0.95", "2026-03-02"), "ISO 4217"},
	} {
		if err := d.fact(row.ev); !errors.Is(err, ledger.ErrFact) || !strings.Contains(err.Error(), row.says) {
			t.Errorf("%s: %v", row.name, err)
		}
	}
}

func TestExchange_AMonthWithoutARateDoesNotClose(t *testing.T) {
	d := newAbroad(t, euro(alliance.TakeOrPay, func(c *alliance.Contract) {
		c.Fees = []alliance.Fee{{Term: c.Term, Amount: 92 * money.Micro}}
	}))
	d.serve("2026-03-02", 1000)
	d.serve("2026-06-30", 1000)
	before := d.book.State()
	if err := d.fact(closeMonth(202603)); !errors.Is(err, ledger.ErrFact) || !strings.Contains(err.Error(), "accordo record rate --base EUR --quote USD --rate RATE --on 2026-03-31") {
		t.Errorf("closed: %v", err)
	}
	if diff := cmp.Diff(before, d.book.State()); diff != "" {
		t.Error(diff)
	}
}

func TestFits_RefusesTermsThatWouldStopTheBooks(t *testing.T) {
	terms := euro(alliance.TakeOrPay, func(c *alliance.Contract) {
		c.Fees = []alliance.Fee{{Term: c.Term, Amount: 92 * money.Micro}}
		c.Ramp = []alliance.RampStep{{From: c.From, Chips: 1}}
	})
	d := newAbroad(t, func(hash string) (*alliance.Alliance, error) {
		a, err := terms(hash)
		a.Pools[0].Models = []alliance.PoolModel{{Model: "m", OutputTokensPerChipSecond: 10}}
		return a, err
	})
	d.do(rate(t, "EUR", "USD", "1.1", "2026-03-01"))
	d.serve("2026-03-02", 1000)
	for _, row := range []struct {
		name string
		edit func(*alliance.Alliance)
		fits bool
	}{
		{"as they are", func(*alliance.Alliance) {}, true},
		{"the contract in another currency", func(a *alliance.Alliance) { a.Contracts[0].Currency = "" }, false},
		{"the pool under a contract in another", func(a *alliance.Alliance) {
			a.Contracts = append(a.Contracts, alliance.Contract{ID: "k2", Provider: "ovh", Shape: alliance.TakeOrPay})
			a.Pools[0].Contract = "k2"
		}, false},
		{"the alliance in another", func(a *alliance.Alliance) { a.Currency = "EUR" }, false},
		{"both under new ids", func(a *alliance.Alliance) {
			a.Contracts[0].ID, a.Contracts[0].Currency, a.Pools[0].ID, a.Pools[0].Contract = "k2", "GBP", "p2", "k2"
		}, true},
	} {
		a, _ := terms("t")
		row.edit(a)
		if err := ledger.NewTerms(a).Fits(d.book.Balances()); (err == nil) != row.fits {
			t.Errorf("%s: %v", row.name, err)
		}
	}
}

// TestExchange_InvariantsHoldUnderEveryClause lives through months of a floor,
// a credit and a reservation in EUR with clauses drawn at random, while rates
// become known, and holds every position to its worth after each close.
func TestExchange_InvariantsHoldUnderEveryClause(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		a := drawnTerms(t)
		for i := range a.Contracts {
			if a.Contracts[i].ID != "rack" {
				a.Contracts[i].Currency = "EUR"
			}
		}
		l := newLife(t, a)
		l.fact(rate(t, "EUR", "USD", "1.0842", "2025-12-31"))
		l.begins = func() {
			text := exchange.Decimal{Digits: rapid.Int64Range(70_000, 140_000).Draw(t, "digits"), Scale: 5}.String()
			back := time.Duration(rapid.IntRange(0, 20).Draw(t, "days back")) * 24 * time.Hour
			l.fact(rate(t, "EUR", "USD", text, l.now.Add(-back).Format(time.DateOnly)))
		}
		l.live()
		closed := l.book.Closed()
		last := time.Date(int(closed/100), time.Month(closed%100)+1, 0, 0, 0, 0, 0, time.UTC).Format(time.DateOnly)
		r, _ := l.book.Rates().Find("EUR", "USD", last, exchange.Always)
		position, worth := money.Amount(0), money.Amount(0)
		for account, amount := range months(l.book, closed) {
			switch account {
			case "lab/equity/exchange/EUR":
				position = amount
			case "lab/equity/exchange/EUR,USD":
				worth = amount
			}
		}
		if now, _ := r.Convert(position); now+worth != 0 {
			t.Fatalf("the position %d is worth %d at %s, and the books say %d", position, now, r.ID(), -worth)
		}
	})
}
