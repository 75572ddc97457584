package ledger_test

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/accordo-ai/accordo/internal/alliance"
	"github.com/accordo-ai/accordo/internal/invoice"
	"github.com/accordo-ai/accordo/internal/ledger"
	"github.com/accordo-ai/accordo/internal/money"
	"github.com/accordo-ai/accordo/internal/record"
	"github.com/accordo-ai/accordo/internal/usage"
)

// chargeTerms are contracts with one provider that make owed whatever a
// contract can in June 2026: edp passes its floor, macc misses its own, uc
// passes its credit, rack has a fee of which an option added a part, lend is
// metered, lends and shares revenue.
func chargeTerms(hash string) (*alliance.Alliance, error) {
	term, june := termOf("2026-06-01", "2027-06-01"), termOf("2026-06-01", "2026-07-01")
	contract := func(id alliance.ContractID, shape alliance.Shape) alliance.Contract {
		return alliance.Contract{ID: id, Provider: "cloud", Shape: shape, Term: term}
	}
	edp, macc, uc, rack, lend := contract("edp", alliance.SpendFloor), contract("macc", alliance.SpendFloor), contract("uc", alliance.PrepaidCredit), contract("rack", alliance.TakeOrPay), contract("lend", alliance.PayPerUse)
	edp.Floors = []alliance.Floor{{Term: june, Amount: units(10)}}
	edp.Overage = &alliance.Overage{At: alliance.OverageAtPremium, FactorPPM: 1_500_000}
	edp.Eligibility = &alliance.Eligibility{MarketplaceCapPPM: 100_000}
	edp.TrueUp = &alliance.TrueUp{Tiers: []alliance.DiscountTier{{Floor: 0, DiscountPPM: 30_000}}}
	macc.Floors = []alliance.Floor{{Term: june, Amount: units(500)}}
	uc.Floors = []alliance.Floor{{Term: june, Amount: units(20)}}
	uc.Overage = &alliance.Overage{At: alliance.OverageAtPremium, FactorPPM: 2_000_000}
	rack.Fees, rack.Ramp = []alliance.Fee{{Term: term, Amount: units(365)}}, []alliance.RampStep{{From: term.From, Chips: 8}}
	rack.Option = &alliance.Option{Term: termOf("2026-01-01", "2026-06-01"), Fees: []alliance.Fee{{Term: term, Amount: units(730)}}}
	lend.Loan = &alliance.Loan{Term: term, Amount: units(1000), RatePPM: 60_000}
	lend.RevenueShare = &alliance.RevenueShare{RatePPM: 200_000, Base: alliance.ShareOfSales, Term: term}
	a := &alliance.Alliance{
		Hash: hash, Operator: "lab", Currency: "USD",
		Parties:   []alliance.Party{{ID: "cloud", Name: "Cloud"}},
		Contracts: []alliance.Contract{edp, macc, uc, rack, lend},
		Plans:     []alliance.Plan{{ID: "api", Seller: "lab", Price: &alliance.SalePrice{ID: "s", Rates: alliance.Rates{Input: units(9), Output: units(9)}}}},
		Prices:    []alliance.Price{{ID: "c", Pools: []alliance.PoolID{"edp", "macc", "uc", "lend"}, Term: termOf("2026-01-01", "2027-06-01"), Model: "m", List: alliance.Rates{Input: 1_000_003, CacheRead: 300_007, CacheWrite: 1_000_003, Output: 3_000_011, Reasoning: 3_000_011}}},
	}
	for _, c := range a.Contracts {
		pool := alliance.Pool{ID: alliance.PoolID(c.ID), Provider: "cloud", Contract: c.ID, BilledBy: alliance.BilledByToken, Models: []alliance.PoolModel{{Model: "m"}}}
		if c.ID == "rack" {
			pool.BilledBy, pool.Chips = alliance.BilledByFixed, 16
		}
		a.Pools = append(a.Pools, pool)
	}
	return a, nil
}

// newCharged returns books of June with attempts on all contracts, some of
// them in suspense, and with the month closed if asked.
func newCharged(t fataler, closed bool) *desk {
	t.Helper()
	d := &desk{book: ledger.New(chargeTerms), documents: map[string][]byte{}}
	add := func(at time.Time, r record.Record) uint64 {
		r.Sequence, r.At = uint64(len(d.records)+1), at.UnixNano()
		d.records = append(d.records, r)
		return r.Sequence
	}
	post := func(from int) {
		if _, err := d.book.Post(d.records[from:]); err != nil {
			t.Fatal(err)
		}
	}
	fact := func(ev ledger.Event) {
		if err := d.fact(ev); err != nil {
			t.Fatal(err)
		}
	}
	before := dayOf("2026-05-01").Time
	add(before, record.Record{Kind: record.KindIntent, Intent: &record.Intent{Attempt: "first", Terms: "t", Pool: "lend", Model: "m", CostPrice: "c"}})
	add(before, record.Record{Kind: record.KindMark, Mark: &record.Mark{}})
	post(0)
	fact(exercise("rack"))
	begin := len(d.records)
	pools, versions, tiers := []string{"edp", "macc", "uc", "lend"}, []string{"m@1", "m@2", "m@3"}, []string{"standard", "priority"}
	for i := range 96 {
		at := dayOf("2026-06-02").Add(time.Duration(i/12)*24*time.Hour + time.Duration(i%12)*time.Minute)
		id := record.AttemptID(fmt.Sprintf("a%d", i))
		u := usage.Vector{UncachedInput: 400_000 + int64(i)*7919, CacheRead: int64(i) * 1009, Output: 200_000 + int64(i)*4057}
		in := add(at, record.Record{Kind: record.KindIntent, Intent: &record.Intent{
			Attempt: id, Terms: "t", Tenant: "x", Plan: "api", Model: versions[i%3], Pool: pools[i%4], CostPrice: "c", SalePrice: "s", Estimate: u,
		}})
		out := &record.Outcome{Attempt: id, Intent: in, Status: record.Served, Usage: u, Tier: tiers[i/6%2]}
		if i/12 >= 5 && i%3 == 0 && (i%4 == 0 || i%4 == 3) { // two a day, of one model
			out.Status, out.Usage, out.Reason, out.Tier = record.Suspense, usage.Vector{}, "usage_missing", ""
		}
		add(at, record.Record{Kind: record.KindOutcome, Outcome: out})
	}
	add(dayOf("2026-07-05").Time, record.Record{Kind: record.KindMark, Mark: &record.Mark{}})
	post(begin)
	fact(ledger.Event{MarketplaceCharge: &ledger.MarketplaceCharge{Contract: "edp", Month: 202606, Amount: 1_234_567, Reason: "a tool"}})
	if closed {
		fact(closeMonth(202606))
	}
	return d
}

// chargeForms are the forms of invoices, each with and without lines of their
// own for what goes beyond a commitment and for what an option added.
func chargeForms() (forms []invoice.Order) {
	for _, o := range orders {
		for _, apart := range []bool{false, true} {
			o.Apart, o.Seed = apart, 5
			forms = append(forms, o)
		}
	}
	return forms
}

func (d *desk) plan(t fataler, o invoice.Order) *invoice.Plan {
	t.Helper()
	truth, err := d.book.Bill("cloud", 202606, d.evidence())
	if err != nil {
		t.Fatal(err)
	}
	plan, err := invoice.Write(truth, o)
	if err != nil {
		t.Fatal(err)
	}
	return plan
}

// owed is what all accounts between the operator and the provider hold, but
// for suspense.
func (d *desk) owed() (sum money.Amount) {
	for _, kind := range []string{"liability/payable", "liability/accrued", "liability/revenue_share_payable", "asset/receivable"} {
		sum -= d.book.Balance(ledger.AccountID("lab/" + kind + "/cloud"))
	}
	return sum
}

func TestCharges_ThatAgreeLeaveNothingAccruedAndNoDifference(t *testing.T) {
	for _, o := range chargeForms() {
		t.Run(fmt.Sprint(orderName(o), " apart ", o.Apart), func(t *testing.T) {
			d := newCharged(t, true)
			owed := d.owed()
			plan := d.plan(t, o)
			if err := d.importPlan("cloud", plan.Document); err != nil {
				t.Fatalf("%v\n%s", err, plan.Document)
			}
			if diff := cmp.Diff(map[string]int{}, kindsBut(d, ledger.Rounding)); diff != "" {
				t.Errorf("differences:\n%s\n%s", diff, plan.Document)
			}
			rounded := money.Amount(0)
			for _, e := range d.book.State().Differences {
				rounded += e.Amount
			}
			if got := d.owed(); got != owed+rounded || max(rounded, -rounded) > money.Amount(plan.Roundings) {
				t.Errorf("owed %s, was %s, rounding %s", got, owed, rounded)
			}
			if got := d.book.Balance("lab/liability/accrued/cloud"); got != 0 {
				t.Errorf("%s stays accrued", got)
			}
		})
	}
}

func kindsBut(d *desk, kind string) map[string]int {
	kinds := d.kinds()
	delete(kinds, kind)
	return kinds
}

// TestCharges_ErrorsOfEveryKindAreNamedInEveryForm plants one error of each
// kind in each form of invoice, finds it by its name and to the micro-unit,
// and accepts all: then the provider is owed the invoice, nothing stands
// apart, and what it billed is no suspense any more.
func TestCharges_ErrorsOfEveryKindAreNamedInEveryForm(t *testing.T) {
	planted := map[string]int{}
	for _, o := range chargeForms() {
		for _, kind := range invoice.Kinds() {
			if kind == invoice.TotalDiffers {
				continue // of an Invoice Detail, which only FOCUS has
			}
			t.Run(fmt.Sprint(orderName(o), " apart ", o.Apart, " ", kind), func(t *testing.T) {
				d := newCharged(t, true)
				o.Plant = map[string]int{kind: 1}
				plan := d.plan(t, o)
				if len(plan.Planted) != 1 || plan.Planted[0].Kind != kind || plan.Planted[0].Place == "" {
					if kind == invoice.OverageDiffers && len(plan.Planted) == 0 {
						return
					}
					t.Fatalf("planted %+v", plan.Planted)
				}
				planted[kind]++
				if err := d.importPlan("cloud", plan.Document); err != nil {
					t.Fatalf("%v\n%s", err, plan.Document)
				}
				agreed, found := d.imported()
				if faults := plan.Reconcile(agreed, found); len(faults) > 0 {
					t.Fatalf("%s\nplanted %+v\nfound %+v\n%s", strings.Join(faults, "\n"), plan.Planted, found, plan.Document)
				}
				held := -d.book.Balance("lab/liability/suspense/cloud")
				d.acceptAll(t)
				// What is left out is rounded down by itself: the fraction stays.
				if got := -d.book.Balance("lab/liability/accrued/cloud"); got != 0 && (got != 1 || kind != ledger.MissingLine) {
					t.Errorf("%s stays accrued", got)
				}
				if got, want := d.owed(), d.stated(plan); got != want && (got != want+1 || kind != ledger.MissingLine) {
					t.Errorf("owed %s, the invoice says %s", got, want)
				}
				if left := -d.book.Balance("lab/liability/suspense/cloud"); kind == ledger.MissingUsage && left >= held || kind != ledger.MissingUsage && left != held {
					t.Errorf("suspense %s, was %s", left, held)
				}
			})
		}
	}
	for _, kind := range invoice.Kinds() {
		if planted[kind] == 0 && kind != invoice.TotalDiffers {
			t.Errorf("no %s was planted", kind)
		}
	}
}

// acceptAll accepts every difference.
func (d *desk) acceptAll(t fataler) {
	t.Helper()
	for _, e := range d.book.State().Differences {
		if err := d.fact(ledger.Event{DifferenceClosed: &ledger.DifferenceClosed{ID: e.Ref, By: ledger.Accepted, Reason: "looked at it"}}); err != nil {
			t.Fatal(err)
		}
	}
	for _, b := range d.book.Balances() {
		if b.Account.Kind() == "difference" && b.Amount != 0 {
			t.Fatal(b.Account, b.Amount)
		}
	}
	if kinds := d.kinds(); len(kinds) > 0 {
		t.Fatal("still open: ", kinds)
	}
}

// stated is what the lines of a plan come to.
func (d *desk) stated(plan *invoice.Plan) money.Amount {
	v, err := invoice.Parse(plan.Document, invoice.Options{Month: 202606, Rules: invoice.Rules})
	if err != nil {
		return -1
	}
	sum := v.Rest
	for i := range v.Lines {
		sum += *v.Lines[i].Amount
	}
	return sum
}

// TestCharges_AreNamedByContractOrAreTheOnlyOnesOfTheirKind bills what a person
// may write, line by line.
func TestCharges_AreNamedByContractOrAreTheOnlyOnesOfTheirKind(t *testing.T) {
	const header = "kind,model,contract,text,amount\n"
	of := map[string]money.Amount{}
	truth, err := newCharged(t, true).book.Bill("cloud", 202606, newCharged(t, true).evidence())
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range truth.Fees {
		of[f.Kind.String()+" "+f.Contract] = f.Amount
	}
	for _, row := range []struct {
		name, lines string
		want        map[string]string // differences without what is missing
	}{
		{"a shortfall that agrees", "shortfall,,macc,," + of["shortfall macc"].String() + "\n", nil},
		{"a true-up is a shortfall", "true_up,,macc,," + of["shortfall macc"].String() + "\n", nil},
		{"a shortfall without a contract", "shortfall,,,," + of["shortfall macc"].String() + "\n", nil},
		{"a shortfall twice", "shortfall,,macc,," + of["shortfall macc"].String() + "\nshortfall,,macc,again," + of["shortfall macc"].String() + "\n", map[string]string{ledger.DoubleLine: of["shortfall macc"].String()}},
		{"a shortfall of a floor that was passed", "shortfall,,edp,,5\n", map[string]string{ledger.ShortfallDiffers: "5.00"}},
		{"a shortfall of a contract that is not there", "shortfall,,nobody,," + of["shortfall macc"].String() + "\n", nil},
		{"a share that is too high", "revenue_share,,lend,," + (of["revenue_share lend"] + 1).String() + "\n", map[string]string{ledger.ShareDiffers: "0.000001"}},
		{"a share that is too low", "revenue_share,,lend,," + (of["revenue_share lend"] - 1).String() + "\n", map[string]string{ledger.ShareDiffers: "-0.000001"}},
		{"marketplace in two lines", "marketplace,,edp,a,1.000000\nmarketplace,,edp,b,0.234567\n", nil},
		{"marketplace twice", "marketplace,,edp,a,1.234567\nmarketplace,,edp,a,1.234567\n", map[string]string{ledger.DoubleLine: "1.234567"}},
		{"interest that was forgotten in part", "interest,,lend,,-1\n", map[string]string{ledger.InterestDiffers: (-units(1) - of["interest lend"]).String()}},
		{"a discount too small", "discount,,edp,,-0.01\n", map[string]string{ledger.DiscountDiffers: (-10_000 - of["discount edp"]).String()}},
		{"the option's part of a fee alone", "option_fee,,rack,," + feeOf(truth, "rack").Option.String() + "\n", nil},
		{"both parts", "option_fee,,rack,," + feeOf(truth, "rack").Option.String() + "\nfee,,rack,," + (feeOf(truth, "rack").Amount - feeOf(truth, "rack").Option).String() + "\n", nil},
		{"a charge of another provider's kind", "shortfall,,lend,,3\n", map[string]string{ledger.ShortfallDiffers: "3.00"}},
	} {
		t.Run(row.name, func(t *testing.T) {
			d := newCharged(t, true)
			if err := d.importPlan("cloud", []byte(header+row.lines)); err != nil {
				t.Fatal(err)
			}
			got := map[string]string{}
			_, found := d.imported()
			for _, f := range found {
				if f.Kind != ledger.MissingLine && f.Kind != ledger.MissingCharge {
					got[f.Kind] = f.Amount.String()
				}
			}
			if len(got) > 0 || len(row.want) > 0 {
				if diff := cmp.Diff(row.want, got); diff != "" {
					t.Errorf("-want +got:\n%s", diff)
				}
			}
		})
	}
}

func feeOf(truth *invoice.Truth, id string) *invoice.FixedFee {
	return &truth.Fees[slices.IndexFunc(truth.Fees, func(f invoice.FixedFee) bool { return f.Contract == id })]
}

func TestCharges_ThatTheCloseDecidesWaitForIt(t *testing.T) {
	d := newCharged(t, false)
	for _, line := range []string{"shortfall,,macc,100", "revenue_share,,lend,1", "overage,,uc,1", "discount,,edp,-1"} {
		err := d.importPlan("cloud", []byte("kind,model,contract,amount\n"+line+"\n"))
		if !errors.Is(err, ledger.ErrFact) || !strings.Contains(err.Error(), "accordo close 2026-06 first") {
			t.Errorf("%s before the close: %v", line, err)
		}
	}
	// What the terms decide is matched before the close, which books the same.
	if err := d.importPlan("cloud", d.plan(t, invoice.Order{Format: invoice.ByAttempt}).Document); err != nil {
		t.Fatal(err)
	}
	if kinds := kindsBut(d, ledger.Rounding); len(kinds) > 0 {
		t.Errorf("differences %v", kinds)
	}
	d.acceptAll(t)
	if err := d.fact(closeMonth(202606)); err != nil {
		t.Fatal(err)
	}
	truth, err := d.book.Bill("cloud", 202606, d.evidence())
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range truth.Fees {
		if f.Kind == invoice.Discount || f.Kind == invoice.Overage { // they accrued since
			if got := d.book.Balance("lab/liability/accrued/cloud"); got == 0 {
				t.Errorf("%s of %s accrued nothing", f.Kind, f.Contract)
			}
		}
	}
}

func TestMissingCharge_IsNamedOnceAndNotWrittenOffOnceItIsBilled(t *testing.T) {
	const header = "kind,model,contract,amount\n"
	d := newCharged(t, true)
	missing := func() (ids []string) {
		for _, e := range d.book.State().Differences {
			if ledger.DifferenceKind(&e) == ledger.MissingCharge {
				ids = append(ids, e.Ref)
			}
		}
		return ids
	}
	shortfall := -d.book.State().Due[slices.IndexFunc(d.book.State().Due, func(v ledger.Due) bool { return v.Kind == invoice.Shortfall })].Amount
	if err := d.importPlan("cloud", []byte(header+"tax,,,1\n")); err != nil {
		t.Fatal(err)
	}
	first := missing()
	if len(first) != 8 { // two fees, shortfall, share, overage, interest, discount, marketplace
		t.Fatalf("%d charges are missing: %v", len(first), first)
	}
	if err := d.importPlan("cloud", []byte(header+"tax,,,2\n")); err != nil {
		t.Fatal(err)
	}
	if again := missing(); len(again) != len(first) {
		t.Fatalf("named again: %v", again)
	}
	if err := d.importPlan("cloud", []byte(header+"shortfall,,macc,"+(-shortfall).String()+"\n")); err != nil {
		t.Fatal(err)
	}
	for _, id := range first {
		err := d.fact(ledger.Event{DifferenceClosed: &ledger.DifferenceClosed{ID: id, By: ledger.Accepted, Reason: "waived"}})
		if strings.HasSuffix(id, ".shortfall-macc") {
			if !errors.Is(err, ledger.ErrFact) || !strings.Contains(err.Error(), "reject the difference") {
				t.Errorf("%s is written off though a later invoice bills it: %v", id, err)
			}
			err = d.fact(ledger.Event{DifferenceClosed: &ledger.DifferenceClosed{ID: id, By: ledger.Rejected, Reason: "billed since"}})
		}
		if err != nil {
			t.Errorf("%s: %v", id, err)
		}
	}
	if got := d.book.Balance("lab/liability/payable/cloud"); got != shortfall-units(3) { // the credit that was paid ahead is waived, two taxes
		t.Errorf("payable %s, want %s", got, shortfall-units(3))
	}
	if err := d.importPlan("cloud", []byte(header+"tax,,,3\n")); err != nil {
		t.Fatal(err)
	}
	if again := missing(); len(again) != 0 {
		t.Errorf("what was written off is missing again: %v", again)
	}
	if err := d.importPlan("cloud", []byte(header+"marketplace,,edp,1.234567\n")); err != nil {
		t.Fatal(err)
	}
	if d.kinds()[ledger.MarketplaceDiffers] != 1 {
		t.Errorf("a charge that was written off is billed and found as %v", d.kinds())
	}
}

// TestMissingUsage_OfAnAggregateIsCountedOnce bills all that is in suspense.
func TestMissingUsage_OfAnAggregateIsCountedOnce(t *testing.T) {
	for _, byGrain := range []invoice.Grain{invoice.Hourly, invoice.Daily, invoice.Monthly} {
		for _, by := range []string{ledger.Accepted, ledger.Rejected} {
			t.Run(fmt.Sprint(byGrain, " ", by), func(t *testing.T) {
				d := newCharged(t, true)
				plan := d.plan(t, invoice.Order{Format: invoice.Aggregate, Grain: byGrain, Plant: map[string]int{ledger.MissingUsage: 9}})
				if err := d.importPlan("cloud", plan.Document); err != nil {
					t.Fatal(err)
				}
				if d.kinds()[ledger.MissingUsage] != len(plan.Planted) || len(plan.Planted) == 0 {
					t.Fatalf("planted %d, found %v", len(plan.Planted), d.kinds())
				}
				suspended := d.book.State().Suspended
				for _, outcome := range suspended {
					out := d.records[outcome-1].Outcome
					err := d.fact(ledger.Event{SuspenseClosed: &ledger.SuspenseClosed{Attempt: out.Attempt, Intent: out.Intent, Outcome: outcome, By: ledger.ByEstimate, Reason: "old"}})
					if !errors.Is(err, ledger.ErrFact) || !strings.Contains(err.Error(), "close the difference") {
						t.Fatalf("suspense of %s is closed beside the difference that stands for it: %v", out.Attempt, err)
					}
				}
				for _, e := range d.book.State().Differences {
					if err := d.fact(ledger.Event{DifferenceClosed: &ledger.DifferenceClosed{ID: e.Ref, By: by, Reason: "looked at it"}}); err != nil {
						t.Fatal(err)
					}
				}
				left := d.book.State().Suspended
				switch {
				case by == ledger.Accepted && (len(left) != 0 || d.book.Balance("lab/asset/suspense/cloud") != 0 || d.owed() != d.stated(plan)):
					t.Errorf("%d attempts stay in suspense, owed %s, the invoice is %s", len(left), d.owed(), d.stated(plan))
				case by == ledger.Rejected && len(left) != len(suspended):
					t.Errorf("%d attempts are in suspense, %d were", len(left), len(suspended))
				}
			})
		}
	}
}
