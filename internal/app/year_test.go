package app

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/accordo-ai/accordo/internal/alliance"
	"github.com/accordo-ai/accordo/internal/contract"
	"github.com/accordo-ai/accordo/internal/invoice"
	"github.com/accordo-ai/accordo/internal/ledger"
	"github.com/accordo-ai/accordo/internal/money"
	"github.com/accordo-ai/accordo/internal/settle"
)

// yearScale multiplies the requests of the year: `make test` runs with the race
// detector, and has a machine's other work beside it.
func yearScale(t *testing.T) int64 {
	t.Helper()
	n, err := strconv.ParseInt(cmp.Or(os.Getenv("ACCORDO_YEAR"), "1"), 10, 64)
	if err != nil || n < 1 {
		t.Fatal("ACCORDO_YEAR is how often as many requests are played, 1 or more")
	}
	return n
}

// A year of traffic through the live decision and ledger code, closed month by
// month. Whatever the terms hold, the same must be true of the books at every
// close, of the invoices that reconcile, and of all parties' statements.
func TestYear(t *testing.T) {
	scale := yearScale(t)
	for _, row := range []struct {
		name   string
		o      SimulateOrder
		served int64  // at least
		facts  string // kinds that must have been made up
		posted string // kinds of entries that must be in the books
	}{
		{
			"the built-in example",
			SimulateOrder{From: "2026-01", Months: 12, RequestsPerDay: 36, Seed: 2026, InvoiceErrors: 1},
			10_000,
			"delivery exercise waiver", "commitment capacity fee unused shortfall lapse share loan interest wholesale suspense invoice difference expected",
		},
		{
			"every shape and clause",
			SimulateOrder{File: "testdata/year/clauses.yaml", Facts: "testdata/year/facts.jsonl", From: "2026-01", Months: 12, RequestsPerDay: 26, Seed: 4, InvoiceErrors: 1},
			7_000,
			"delivery exercise", "late_delivery rollover forfeiture prepayment share converted revaluation subscriber grant included subscription commission",
		},
		{
			"commitments, each clause once",
			SimulateOrder{File: "../../examples/commitments/alliance.yaml", From: "2026-01", Months: 12, RequestsPerDay: 18, Seed: 1, InvoiceErrors: 1},
			5_000,
			"delivery exercise marketplace true-up true-down", "marketplace true_up true_down discount surcharge turn late_delivery loan interest prepayment overage expected",
		},
	} {
		t.Run(row.name, func(t *testing.T) {
			t.Parallel()
			o := row.o
			o.RequestsPerDay *= scale
			kinds := invoice.Kinds()
			if raceEnabled || testing.Short() { // the first quarter: not every kind of error finds a line
				o.Months, row.served, row.facts, row.posted, kinds = 3, row.served/5, "", "", nil
			}
			y := &year{t: t, closed: map[ledger.PeriodBalance]bool{}}
			o.OnClose = y.atClose
			y.data, y.result = y.play(o)
			if y.result.Stats.Served < row.served || len(y.months) != o.Months {
				t.Fatalf("%d served, %d months closed", y.result.Stats.Served, len(y.months))
			}
			y.verify()
			y.facts(row.facts, row.posted)
			y.invoices(kinds)
			y.statements()
			y.focus()
		})
	}
}

// year is one play under test.
type year struct {
	t      *testing.T
	data   string
	result *Simulated
	months []int32
	closed map[ledger.PeriodBalance]bool // of closed months, as they stood at the last close
}

func (y *year) play(o SimulateOrder) (string, *Simulated) {
	y.t.Helper()
	y.data = filepath.Join(y.t.TempDir(), "data")
	o.Data, o.JSON, o.Version = y.data, true, "test"
	var out bytes.Buffer
	if err := Simulate(y.t.Context(), &out, o); err != nil {
		y.t.Fatal(err)
	}
	r := new(Simulated)
	if err := json.Unmarshal(out.Bytes(), r); err != nil {
		y.t.Fatal(err)
	}
	return y.data, r
}

// reading opens the books beside the play, or after it.
func (y *year) reading(do func(ctx context.Context, b *books) error) {
	y.t.Helper()
	b, err := openReading(y.t.Context(), y.data)
	if err != nil {
		y.t.Fatal(err)
	}
	defer b.Close()
	if err := do(y.t.Context(), b); err != nil {
		y.t.Fatal(err)
	}
}

// atClose holds the books to the invariants of a ledger.
func (y *year) atClose(month int32) error {
	y.months = append(y.months, month)
	y.reading(func(ctx context.Context, b *books) error {
		balances, err := b.store.Balances(ctx)
		if err != nil {
			return err
		}
		periods, err := b.store.Periods(ctx, "")
		if err != nil {
			return err
		}
		terms, closed, err := b.lastTerms(ctx)
		if err != nil {
			return err
		}
		if closed != month {
			y.t.Errorf("%d: the last closed month is %d", month, closed)
		}
		y.balanced(month, balances)
		y.unchanged(month, periods)
		y.cleared(month, periods)
		y.commitments(month, balances)
		y.shares(month, terms.Alliance(), balances)
		open, err := b.store.Differences(ctx)
		if err != nil {
			return err
		}
		if len(open) > 0 {
			y.t.Errorf("%d: %d differences are open", month, len(open))
		}
		return nil
	})
	return nil
}

// balanced: the trial balance is zero per asset, and so is each currency.
func (y *year) balanced(month int32, balances []ledger.Balance) {
	totals := ledger.TrialBalance(balances)
	if len(totals) == 0 {
		y.t.Errorf("%d: the books are empty", month)
	}
	for _, total := range totals {
		if total.Debits != total.Credits {
			y.t.Errorf("%d: %s: debits %s, credits %s", month, total.Asset, total.Debits, total.Credits)
		}
	}
}

// unchanged: what earlier closes left of a closed month stands as it was.
func (y *year) unchanged(month int32, periods []ledger.PeriodBalance) {
	now := map[ledger.PeriodBalance]bool{}
	for _, p := range periods {
		if p.Period <= month && p.Account.Class() != contract.Memo {
			now[p] = true
		}
	}
	for p := range y.closed {
		if !now[p] {
			y.t.Errorf("%d: %s of the closed month %d changed", month, p.Account, p.Period)
		}
	}
	for p := range now {
		if p.Period < month && !y.closed[p] {
			y.t.Errorf("%d: %s of the closed month %d is new", month, p.Account, p.Period)
		}
	}
	y.closed = now
}

// cleared: nothing is left on a clearing account once its month is closed.
func (y *year) cleared(month int32, periods []ledger.PeriodBalance) {
	left := map[ledger.AccountID]money.Amount{}
	for _, p := range periods {
		if p.Account.Kind() == "capacity_clearing" && p.Period <= month {
			left[p.Account] += p.Amount
		}
	}
	for account, amount := range left {
		if amount != 0 {
			y.t.Errorf("%d: %s holds %s after the close", month, account, amount)
		}
	}
}

// commitments: of every interval, used + open + lapsed = floor, as it was raised
// and cut.
func (y *year) commitments(month int32, balances []ledger.Balance) {
	floors, parts := map[string]money.Amount{}, map[string]money.Amount{}
	for _, b := range balances {
		switch b.Account.Kind() {
		case "commit_floor", "commit_raised", "commit_cut":
			floors[b.Account.Ref()] -= b.Amount
		case "commit_open", "commit_used", "commit_lapsed":
			parts[b.Account.Ref()] += b.Amount
		}
	}
	for interval, floor := range floors {
		if parts[interval] != floor {
			y.t.Errorf("%d: used, open and lapsed of %s come to %s, its floor is %s", month, interval, parts[interval], floor)
		}
	}
	// Hours that are paid for are opened by the close of their month: what the
	// days since then used stands alone until theirs.
	end := fmt.Sprintf("%04d-%02d-32", month/100, month%100)
	for interval := range parts {
		_, from, _ := strings.Cut(interval, ",")
		if _, ok := floors[interval]; !ok && from < end {
			y.t.Errorf("%d: %s has no floor", month, interval)
		}
	}
}

// shares: no revenue share passes its cap.
func (y *year) shares(month int32, a *alliance.Alliance, balances []ledger.Balance) {
	for i := range a.Contracts {
		c := &a.Contracts[i]
		if c.RevenueShare == nil || c.RevenueShare.Cap == nil {
			continue
		}
		used := ledger.NewAccount(string(a.Operator), contract.Memo, "share_used", string(c.ID))
		for _, b := range balances {
			if b.Account == used && b.Amount > *c.RevenueShare.Cap {
				y.t.Errorf("%d: %s has shared %s of %s", month, c.ID, b.Amount, *c.RevenueShare.Cap)
			}
		}
	}
}

// verify: journal, facts and terms give the same bytes again.
func (y *year) verify() {
	y.t.Helper()
	var out bytes.Buffer
	if err := VerifyBooks(y.t.Context(), &out, y.data, false); err != nil {
		y.t.Fatalf("%v\n%s", err, &out)
	}
}

// facts: what was made up is in the books, all of it, and every clause that the
// row names has moved them.
func (y *year) facts(made, posted string) {
	y.t.Helper()
	kinds, entries := map[string]bool{}, map[string]bool{}
	for _, f := range y.result.MadeUp {
		kinds[f.Kind] = true
		if f.Refused != "" {
			y.t.Errorf("%s: %s of %s, %s, was refused: %s", f.At, f.Kind, f.Contract, f.Says, f.Refused)
		}
	}
	y.reading(func(ctx context.Context, b *books) error {
		for batch, err := range b.store.Batches(ctx, 1) {
			if err != nil {
				return err
			}
			for i := range batch.Entries {
				entries[batch.Entries[i].Kind.String()] = true
			}
		}
		return nil
	})
	for _, kind := range strings.Fields(made) {
		if !kinds[kind] {
			y.t.Errorf("no %s was made up: %v", kind, kinds)
		}
	}
	for _, kind := range strings.Fields(posted) {
		if !entries[kind] {
			y.t.Errorf("no %s was posted: %v", kind, slices.Sorted(maps.Keys(entries)))
		}
	}
}

// invoices: the play stops at an error that is not found in its place, by its
// kind and to the micro-unit. Here every kind must have been planted, and what
// each provider's statement says was invoiced must be what it billed less what
// was rejected.
func (y *year) invoices(planted []string) {
	y.t.Helper()
	kinds, rejected := map[string]int{}, map[string]money.Amount{}
	for _, x := range y.result.Planted {
		kinds[x.Kind]++
		if x.Closed == ledger.Rejected {
			rejected[fmt.Sprint(x.Provider, x.Month, x.Currency)] += x.Amount
		}
	}
	for _, kind := range planted {
		switch kind {
		case invoice.TotalDiffers: // a total that is not that of the lines is no line: Write plants none
			continue
		case invoice.ShortfallDiffers, invoice.ShareDiffers, invoice.OverageDiffers, invoice.DiscountDiffers, invoice.InterestDiffers, invoice.MarketplaceDiffers:
			continue // not every play's terms have such charges, and providers bill before the close that decides most
		}
		if kinds[kind] == 0 {
			y.t.Errorf("no %s was planted: %v", kind, kinds)
		}
	}
	y.reading(func(ctx context.Context, b *books) error {
		terms, last, err := b.lastTerms(ctx)
		if err != nil {
			return err
		}
		for _, m := range y.result.Months {
			for _, billed := range m.Billed {
				s, err := settle.MakeStatement(ctx, b.store, terms, billed.Provider, m.Month, last)
				if err != nil {
					return err
				}
				var owed money.Amount
				for _, account := range s.Accounts {
					for _, v := range account.Movements {
						if account.Account.Kind() == "payable" && string(account.Currency) == string(billed.Currency) && (v.Kind == ledger.Invoice || v.Kind == ledger.Difference) {
							owed -= v.Amount
						}
					}
				}
				if want := billed.Amount - rejected[fmt.Sprint(billed.Provider, m.Month, billed.Currency)]; owed != want {
					y.t.Errorf("%d: %s billed %s, of which %s stand: the statement says %s", m.Month, billed.Provider, billed.Amount, want, owed)
				}
			}
		}
		return nil
	})
}

// parties are all who may have a statement: the parties but the operator, and
// tenants that belong to none.
func parties(a *alliance.Alliance) (list []string) {
	for i := range a.Parties {
		if p := &a.Parties[i]; p.ID != a.Operator {
			list = append(list, string(p.ID))
		}
	}
	for i := range a.Tenants {
		if t := &a.Tenants[i]; t.Party == "" || t.Party == a.Operator {
			list = append(list, string(t.ID))
		}
	}
	return list
}

// statements: those of all parties add up to what the books hold between them
// and the operator, month by month, and each pair agrees. The last month's are
// also asked for as people do.
func (y *year) statements() {
	y.t.Helper()
	carried, moves := map[string]map[ledger.Asset]money.Amount{}, 0
	var list []string
	y.reading(func(ctx context.Context, b *books) error {
		terms, last, err := b.lastTerms(ctx)
		if err != nil {
			return err
		}
		periods, err := b.store.Periods(ctx, "")
		if err != nil {
			return err
		}
		list = parties(terms.Alliance())
		for _, month := range y.months {
			stated, closing := map[ledger.AccountID]string{}, map[ledger.AccountID]money.Amount{}
			for _, party := range list {
				s, err := settle.MakeStatement(ctx, b.store, terms, party, month, last)
				if err != nil {
					return err
				}
				y.mirror(s, s.Mirror())
				closed := map[ledger.Asset]money.Amount{}
				for _, total := range s.Totals {
					if closed[total.Currency] = total.Closing; total.Opening != carried[party][total.Currency] || !s.Closed {
						y.t.Errorf("%d: the statement of %s opens with %s %s, the month before closed with %s (closed: %v)", month, party, total.Opening, total.Currency, carried[party][total.Currency], s.Closed)
					}
				}
				carried[party] = closed
				for i := range s.Accounts {
					v := &s.Accounts[i]
					if other := stated[v.Account]; other != "" {
						y.t.Errorf("%d: %s stands in the statements of %s and of %s", month, v.Account, other, party)
					}
					stated[v.Account], closing[v.Account] = party, v.Closing
					moves += len(v.Movements)
				}
			}
			y.addUp(terms.Alliance(), month, periods, closing)
		}
		return nil
	})
	if moves == 0 {
		y.t.Error("no statement has a movement")
	}
	for _, party := range list {
		month := y.months[len(y.months)-1]
		s := y.statement(party, month, false)
		y.mirror(s, y.statement(party, month, true))
		if s.Closing != carried[party][ledger.Asset(s.Currency)] || !s.Closed || !strings.Contains(s.SimulatedSays, "were simulated") {
			y.t.Errorf("the command states %s for %s, closed %v, %q", s.Closing, party, s.Closed, s.SimulatedSays)
		}
	}
}

// addUp: every account between the operator and somebody stands in a
// statement, with its balance. The operator's cash, and what it keeps for
// capacity of its own, stand between nobody.
func (y *year) addUp(a *alliance.Alliance, month int32, periods []ledger.PeriodBalance, closing map[ledger.AccountID]money.Amount) {
	own := map[string]bool{string(a.Operator): true}
	for i := range a.Contracts {
		if c := &a.Contracts[i]; c.Provider == a.Operator {
			own[string(c.ID)] = true
		}
	}
	held := map[ledger.AccountID]money.Amount{}
	for _, p := range periods {
		of, _, _ := strings.Cut(p.Account.Ref(), ",")
		if class, kind := p.Account.Class(), p.Account.Kind(); p.Period <= month && (class == contract.Asset || class == contract.Liability) && kind != "capacity_clearing" && kind != "cash" && kind != ledger.ExpectedKind && !own[of] {
			held[p.Account] += p.Amount
		}
	}
	for account, amount := range held {
		if closing[account] != amount {
			y.t.Errorf("%d: %s holds %s, the statements say %s", month, account, amount, closing[account])
		}
	}
	for account, amount := range closing {
		if _, ok := held[account]; !ok && amount != 0 {
			y.t.Errorf("%d: %s is in a statement and not in the books", month, account)
		}
	}
}

func (y *year) statement(party string, month int32, mirror bool) *settle.Statement {
	y.t.Helper()
	var out bytes.Buffer
	q := StatementQuestion{Party: party, Month: fmt.Sprintf("%04d-%02d", month/100, month%100), Mirror: mirror, JSON: true}
	if err := Statement(y.t.Context(), &out, y.data, q); err != nil {
		y.t.Fatalf("statement of %s for %d: %v", party, month, err)
	}
	s := new(settle.Statement)
	if err := json.Unmarshal(out.Bytes(), s); err != nil {
		y.t.Fatal(err)
	}
	return s
}

// mirror: what one side owes is what the other claims, line by line.
func (y *year) mirror(s, m *settle.Statement) {
	y.t.Helper()
	if s.Mirrored || !m.Mirrored || s.Opening != -m.Opening || s.Closing != -m.Closing || len(s.Accounts) != len(m.Accounts) {
		y.t.Fatalf("%s in %d: %s and %s, mirrored %s and %s", s.Party, s.Month, s.Opening, s.Closing, m.Opening, m.Closing)
	}
	closing := map[ledger.Asset]money.Amount{}
	for i := range s.Accounts {
		v, w := &s.Accounts[i], &m.Accounts[i]
		if v.Account != w.Account || v.Opening != -w.Opening || v.Closing != -w.Closing || len(v.Movements) != len(w.Movements) {
			y.t.Errorf("%s in %d: %s is not mirrored", s.Party, s.Month, v.Account)
			continue
		}
		sum := v.Opening
		for j := range v.Movements {
			sum += v.Movements[j].Amount
			if v.Movements[j].Amount != -w.Movements[j].Amount {
				y.t.Errorf("%s in %d: a movement of %s is not mirrored", s.Party, s.Month, v.Account)
			}
		}
		if sum != v.Closing {
			y.t.Errorf("%s in %d: the lines of %s come to %s, it closes with %s", s.Party, s.Month, v.Account, sum, v.Closing)
		}
		closing[v.Currency] += v.Closing
	}
	for _, total := range s.Totals {
		if closing[total.Currency] != total.Closing {
			y.t.Errorf("%s in %d: the accounts come to %s, the statement to %s %s", s.Party, s.Month, closing[total.Currency], total.Closing, total.Currency)
		}
		delete(closing, total.Currency)
	}
	if len(closing) > 0 {
		y.t.Errorf("%s in %d: no total of %v", s.Party, s.Month, closing)
	}
}

// focus: what was billed comes to what it was effectively spent on, over the
// year and over a window that cuts two months.
func (y *year) focus() {
	y.t.Helper()
	last := y.months[len(y.months)-1]
	end := time.Date(int(last/100), time.Month(last%100)+1, 1, 0, 0, 0, 0, time.UTC)
	for _, window := range [][2]time.Time{{{}, end}, {end.AddDate(0, -4, 9), end.AddDate(0, -1, 16)}} {
		o := FocusOrder{Dataset: "cost-and-usage", FocusVersion: "1.4", Format: "csv", Out: y.t.TempDir(), Until: window[1].Format(time.DateOnly), JSON: true, Version: "test", Now: end}
		if !window[0].IsZero() {
			o.From = window[0].Format(time.DateOnly)
		}
		var out bytes.Buffer
		if err := ExportFocus(y.t.Context(), &out, y.data, o); err != nil {
			y.t.Errorf("export of FOCUS from %s until %s: %v\n%s", o.From, o.Until, err, &out)
			continue
		}
		var got exported
		if err := json.Unmarshal(out.Bytes(), &got); err != nil {
			y.t.Fatal(err)
		}
		// A window, or a play, that cuts a credit's term holds its use without its
		// purchase or the other way round: there the identities by commitment
		// are all that must hold.
		whole := o.From == "" && len(y.months) == 12
		if got.Rows == 0 || len(got.Own.Identities) > 0 || whole && got.Totals.Billed != got.Totals.Effective {
			y.t.Errorf("from %q until %s: %d rows, billed %s, effective %s", o.From, o.Until, got.Rows, got.Totals.Billed, got.Totals.Effective)
		}
	}
}
