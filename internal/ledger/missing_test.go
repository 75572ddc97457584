package ledger_test

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/accordo-ai/accordo/internal/invoice"
	"github.com/accordo-ai/accordo/internal/ledger"
	"github.com/accordo-ai/accordo/internal/money"
)

// leftOut is a document of the header and the rows that only the first has.
func leftOut(all, some []byte) []byte {
	has := map[string]bool{}
	for line := range strings.Lines(string(some)) {
		has[line] = true
	}
	var text strings.Builder
	for line := range strings.Lines(string(all)) {
		if text.Len() == 0 || !has[line] {
			text.WriteString(line)
		}
	}
	return []byte(text.String())
}

// newLeftOut returns books, an invoice that leaves a line out, and that line.
func newLeftOut(t *testing.T, o invoice.Order) (d *desk, some, late []byte) {
	t.Helper()
	d, o.Seed = newCharged(t, true), 5
	all := d.plan(t, o)
	o.Plant = map[string]int{invoice.MissingLine: 1}
	plan := d.plan(t, o)
	if len(plan.Planted) != 1 {
		t.Fatalf("planted %+v", plan.Planted)
	}
	return d, plan.Document, leftOut(all.Document, plan.Document)
}

// TestMissingLine_IsNamedOnceAndNotWrittenOffOnceItIsBilled leaves a line out,
// bills something else, then bills it.
func TestMissingLine_IsNamedOnceAndNotWrittenOffOnceItIsBilled(t *testing.T) {
	for _, o := range orders {
		t.Run(orderName(o), func(t *testing.T) {
			d, some, late := newLeftOut(t, o)
			if err := d.importPlan("cloud", some); err != nil {
				t.Fatal(err)
			}
			missing := func() (ids []string) {
				for _, e := range d.book.State().Differences {
					if ledger.DifferenceKind(&e) == ledger.MissingLine {
						ids = append(ids, e.Ref)
					}
				}
				return ids
			}
			first := missing()
			if len(first) != 1 {
				t.Fatalf("missing: %v", first)
			}
			if err := d.importPlan("cloud", []byte("attempt_id,model,output,amount\nnobody,m,1,1\n")); err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(first, missing()); diff != "" {
				t.Errorf("what is missing, after another invoice:\n%s", diff)
			}
			if err := d.importPlan("cloud", late); err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(map[string]int{ledger.MissingLine: 1, ledger.UnknownAttempt: 1}, kindsBut(d, ledger.Rounding)); diff != "" {
				t.Fatal(diff)
			}
			err := d.fact(ledger.Event{DifferenceClosed: &ledger.DifferenceClosed{ID: first[0], By: ledger.Accepted, Reason: "waived"}})
			if !errors.Is(err, ledger.ErrFact) || !strings.Contains(err.Error(), "reject the difference") {
				t.Errorf("it is written off though a later invoice bills it: %v", err)
			}
			if err := d.fact(ledger.Event{DifferenceClosed: &ledger.DifferenceClosed{ID: first[0], By: ledger.Rejected, Reason: "billed since"}}); err != nil {
				t.Fatal(err)
			}
			if got := d.book.Balance("lab/liability/accrued/cloud"); got != 0 {
				t.Errorf("%s stays accrued", got)
			}
		})
	}
}

// TestMissingLine_ThatWasWrittenOffIsBilledAsMoreThanTheBooksHave accepts it,
// then bills it after all.
func TestMissingLine_ThatWasWrittenOffIsBilledAsMoreThanTheBooksHave(t *testing.T) {
	for _, o := range orders {
		t.Run(orderName(o), func(t *testing.T) {
			d, some, late := newLeftOut(t, o)
			if err := d.importPlan("cloud", some); err != nil {
				t.Fatal(err)
			}
			d.acceptAll(t)
			payable := d.book.Balance("lab/liability/payable/cloud")
			if err := d.importPlan("cloud", late); err != nil {
				t.Fatal(err)
			}
			apart := money.Amount(0)
			for _, e := range d.book.State().Differences {
				apart += e.Amount
			}
			if got := payable - d.book.Balance("lab/liability/payable/cloud"); apart == 0 || got != apart {
				t.Errorf("%s is owed, %s of it in question (%v)\n%s", got, apart, d.kinds(), late)
			}
		})
	}
}

// TestMissingCharge_OfEveryKindIsFoundToTheMicroUnitAndTakenBack leaves out
// one charge after another, also those that are owed without an invoice.
func TestMissingCharge_OfEveryKindIsFoundToTheMicroUnitAndTakenBack(t *testing.T) {
	truth, err := newCharged(t, true).book.Bill("cloud", 202606, newCharged(t, true).evidence())
	if err != nil {
		t.Fatal(err)
	}
	owedAhead := 0
	for n, f := range truth.Fees {
		kind := f.Kind
		if kind == invoice.Use {
			kind = invoice.Fee
		}
		if kind == invoice.Overage {
			continue // what of it is use beyond a commitment stands in the attempts' lines
		}
		if f.Payable {
			owedAhead++
		}
		t.Run(fmt.Sprint(kind, " of ", f.Contract), func(t *testing.T) {
			d := newCharged(t, true)
			without := *truth
			without.Fees = append(append([]invoice.FixedFee{}, truth.Fees[:n]...), truth.Fees[n+1:]...)
			plan, err := invoice.Write(&without, invoice.Order{Format: invoice.ByAttempt, Seed: 5})
			if err != nil {
				t.Fatal(err)
			}
			if err := d.importPlan("cloud", plan.Document); err != nil {
				t.Fatal(err)
			}
			_, found := d.imported()
			found = slices.DeleteFunc(found, func(f invoice.Found) bool { return f.Kind == ledger.Rounding })
			want := []invoice.Found{{Kind: ledger.MissingCharge, Place: invoice.ChargePlace(kind, f.Contract), Amount: -f.Amount}}
			if diff := cmp.Diff(want, found); diff != "" {
				t.Fatalf("-want +found:\n%s", diff)
			}
			d.acceptAll(t)
			if got, want := d.owed(), d.stated(plan); got != want {
				t.Errorf("owed %s, the invoice says %s", got, want)
			}
			if got := d.book.Balance("lab/liability/accrued/cloud"); got != 0 {
				t.Errorf("%s stays accrued", got)
			}
		})
	}
	if owedAhead < 3 { // a credit that is paid ahead, a shortfall, a share
		t.Errorf("%d charges that are owed without an invoice were left out", owedAhead)
	}
}
