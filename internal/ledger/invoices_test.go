package ledger_test

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/accordo-ai/accordo/internal/ledger"
	"github.com/accordo-ai/accordo/internal/money"
	"github.com/accordo-ai/accordo/internal/record"
	"github.com/accordo-ai/accordo/internal/store/storetest"
	"github.com/accordo-ai/accordo/internal/usage"
)

// billLine is a line of a provider that bills right.
type billLine struct {
	attempt string
	tier    string
	tokens  usage.Vector
	amount  money.Amount
	held    bool // the books hold suspense
}

func (l *billLine) csv(amounts bool) string {
	amount := ""
	if amounts {
		amount = l.amount.String()
	}
	u := l.tokens
	return fmt.Sprintf("%s,m1,%d,%d,%d,%d,%d,%s,,%s,\n", l.attempt, u.UncachedInput, u.CacheRead, u.CacheWrite, u.Output, u.Reasoning, l.tier, amount)
}

const billHeader = "attempt_id,model,uncached_input,cache_read,cache_write,output,reasoning,tier,day,amount,kind\n"

// bill makes the invoice of aws for June 2026 as the journal has it.
func bill(t interface {
	Helper()
	Fatal(...any)
}, records []record.Record,
) (list []billLine) {
	t.Helper()
	for _, l := range lines(t, records) {
		if month := time.Unix(0, l.At).UTC().Month(); month != time.June {
			continue
		}
		in := records[l.Intent-1].Intent
		if in.Pool != "aws-east" || len(l.Postings) == 0 {
			continue
		}
		b := billLine{attempt: string(l.Attempt), tokens: l.Tokens, held: l.Suspense != ""}
		b.amount = l.Postings[0].Amount()
		for _, p := range l.Postings {
			if p.Kind == ledger.Cost {
				b.amount = p.Amount()
			}
		}
		list = append(list, b)
	}
	return list
}

// desk imports invoices into books.
type desk struct {
	book      *ledger.Book
	records   []record.Record
	documents map[string][]byte
	facts     []ledger.Fact
	steps     []ledger.Step
}

func (d *desk) evidence() ledger.Evidence {
	return ledger.Evidence{Records: reader(d.records), Document: func(hash string) ([]byte, error) { return d.documents[hash], nil }}
}

func (d *desk) fact(ev ledger.Event) error {
	f := factOf(d.book, ev)
	step, err := d.book.PostFact(f, d.evidence())
	if err == nil {
		d.facts, d.steps = append(d.facts, f), append(d.steps, step)
	}
	return err
}

func (d *desk) importCSV(text string) error {
	sum := sha256.Sum256([]byte(text))
	hash := hex.EncodeToString(sum[:])
	d.documents[hash] = []byte(text)
	return d.fact(ledger.Event{InvoiceImported: &ledger.InvoiceImported{Provider: "aws", Month: 202606, Document: hash}})
}

// kinds counts the open differences.
func (d *desk) kinds() map[string]int {
	kinds := map[string]int{}
	for _, e := range d.book.State().Differences {
		kinds[ledger.DifferenceKind(&e)]++
	}
	return kinds
}

func newDesk(t interface {
	Helper()
	Fatal(...any)
}, records []record.Record,
) *desk {
	t.Helper()
	book, _ := post(t, records)
	return &desk{book: book, records: records, documents: map[string][]byte{}}
}

const payable, accrued = ledger.AccountID("lab/liability/payable/aws"), ledger.AccountID("lab/liability/accrued/aws")

func TestInvoice_ThatIsRightLeavesNothingAccrued(t *testing.T) {
	for _, amounts := range []bool{false, true} {
		t.Run(fmt.Sprintf("amounts %v", amounts), func(t *testing.T) {
			records := june(storetest.History(storetest.Random(3), 400))
			d := newDesk(t, records)
			text, total := billHeader, money.Amount(0)
			owed := -d.book.Balance(accrued)
			for _, l := range bill(t, records) {
				if !l.held {
					text += l.csv(amounts)
					total += l.amount
				}
			}
			if err := d.importCSV(text); err != nil {
				t.Fatal(err)
			}
			if got := d.book.Balance(accrued); got != 0 {
				t.Errorf("%d stays accrued", got)
			}
			want := map[string]int{}
			if amounts {
				want[ledger.Rounding] = 1
				if got := -d.book.Balance(payable); got != total {
					t.Errorf("payable %d, the invoice is %d", got, total)
				}
			} else if got := -d.book.Balance(payable); got != owed {
				t.Errorf("payable %d, accrued was %d", got, owed)
			}
			if diff := cmp.Diff(want, d.kinds()); diff != "" {
				t.Error(diff)
			}
			if err := d.importCSV(text); !errors.Is(err, ledger.ErrFact) {
				t.Errorf("imported again: %v", err)
			}
		})
	}
}

// june moves all intents of a history into June.
func june(records []record.Record) []record.Record {
	back := time.Date(2026, 6, 10, 0, 0, 0, 0, time.UTC).UnixNano() - records[0].At
	for i := range records {
		records[i].At += back
	}
	return records
}

// TestInvoice_PlantedErrorsAreFoundAndClosed plants one error of each kind.
func TestInvoice_PlantedErrorsAreFoundAndClosed(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		records := june(storetest.History(draw(t), 200))
		for i := range records {
			if o := records[i].Outcome; o != nil {
				o.Tier = "standard"
			}
		}
		d := newDesk(t, records)
		all := bill(t, records)
		var right, held []billLine
		for _, l := range all {
			l.tier = "standard"
			if l.held {
				held = append(held, l)
			} else if l.amount > 0 {
				right = append(right, l)
			}
		}
		amounts := rapid.Bool().Draw(t, "amounts")
		if len(right) < 5 {
			return
		}
		text, total, want := billHeader, money.Amount(0), map[string]int{}
		line := func(l billLine) {
			text += l.csv(amounts)
			total += l.amount
		}
		for i, l := range right {
			switch i {
			case 0:
				want[ledger.MissingLine]++
				continue
			case 1:
				want[ledger.WrongTier]++
				l.tier = "priority"
			case 2:
				want[ledger.UsageDiffers]++
				l.tokens.Output += 1000
				l.amount += 10_000
			case 3:
				want[ledger.DoubleLine]++
				line(l)
			case 4:
				if amounts {
					want[ledger.PriceDiffers]++
					l.amount += 20_000
				}
			}
			line(l)
		}
		for i, l := range held {
			if i == 0 {
				want[ledger.MissingUsage]++
				line(l)
			}
		}
		want[ledger.UnknownAttempt]++
		line(billLine{attempt: "nobody", tokens: usage.Vector{Output: 1}, amount: 77})
		want[ledger.LateCredit]++
		text += ",m1,,,,,,,,-5,credit\n"
		total -= 5 * money.Micro
		if err := d.importCSV(text); err != nil {
			t.Fatal(err)
		}
		found := d.kinds()
		delete(found, ledger.Rounding)
		if diff := cmp.Diff(want, found); diff != "" {
			t.Fatalf("-planted +found:\n%s", diff)
		}
		if amounts && -d.book.Balance(payable) != total {
			t.Fatalf("payable %d, the invoice is %d", -d.book.Balance(payable), total)
		}
		was := d.book.Balance(payable)
		rejected := money.Amount(0)
		for _, e := range d.book.State().Differences {
			by := ledger.Accepted
			if rapid.Bool().Draw(t, "reject") {
				by = ledger.Rejected
				if e.Credit == payable {
					rejected += e.Amount
				}
			}
			if err := d.fact(ledger.Event{DifferenceClosed: &ledger.DifferenceClosed{ID: e.Ref, By: by, Reason: "test"}}); err != nil {
				t.Fatal(err)
			}
			if err := d.fact(ledger.Event{DifferenceClosed: &ledger.DifferenceClosed{ID: e.Ref, By: by, Reason: "test"}}); !errors.Is(err, ledger.ErrFact) {
				t.Fatalf("closed again: %v", err)
			}
		}
		if len(d.kinds()) > 0 {
			t.Fatalf("still open: %v", d.kinds())
		}
		for _, b := range d.book.Balances() {
			if b.Account.Kind() == "difference" && b.Amount != 0 {
				t.Fatalf("%s: %d", b.Account, b.Amount)
			}
		}
		if got := d.book.Balance(payable); got != was+rejected {
			t.Fatalf("payable %d, was %d, rejected %d", got, was, rejected)
		}
		for _, total := range ledger.TrialBalance(d.book.Balances()) {
			if !total.Balanced() {
				t.Fatalf("%s: %d and %d", total.Asset, total.Debits, total.Credits)
			}
		}
		again := newDesk(t, records)
		again.documents = d.documents
		for i, f := range d.facts {
			step, err := again.book.PostFact(f, again.evidence())
			if err != nil || step.Batch.Hash != d.steps[i].Batch.Hash {
				t.Fatalf("fact %d posted again: %v", i+1, err)
			}
		}
	})
}

func TestInvoice_ByDayAndModel(t *testing.T) {
	records := june(storetest.History(storetest.Random(3), 400))
	d := newDesk(t, records)
	var sum usage.Vector
	for _, l := range bill(t, records) {
		if !l.held {
			sum = sum.Add(l.tokens)
		}
	}
	text := billHeader + fmt.Sprintf(",m1,%d,%d,%d,%d,%d,,2026-06-10,,\n", sum.UncachedInput, sum.CacheRead, sum.CacheWrite, sum.Output, sum.Reasoning)
	if err := d.importCSV(text); err != nil {
		t.Fatal(err)
	}
	if got := d.book.Balance(accrued); got != 0 || len(d.kinds()) > 0 {
		t.Errorf("%d stays accrued, differences %v", got, d.kinds())
	}
	if err := d.importCSV(strings.Replace(text, "2026-06-10", "2026-06-11", 1)); err != nil {
		t.Fatal(err)
	}
	if err := d.importCSV(text + "\n"); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(map[string]int{ledger.UnknownAttempt: 1, ledger.DoubleLine: 1}, d.kinds()); diff != "" {
		t.Error(diff)
	}
}

func TestInvoice_LaterInvoicesOfAMonthBillWhatTheFirstLeftOut(t *testing.T) {
	records := june(storetest.History(storetest.Random(3), 400))
	d := newDesk(t, records)
	all := slices.DeleteFunc(bill(t, records), func(l billLine) bool { return l.held })
	first, second := billHeader, billHeader
	for i, l := range all {
		if i%2 == 0 {
			first += l.csv(false)
		} else {
			second += l.csv(false)
		}
	}
	if err := d.importCSV(first); err != nil {
		t.Fatal(err)
	}
	if d.kinds()[ledger.MissingLine] == 0 {
		t.Fatal("nothing is missing")
	}
	for _, e := range d.book.State().Differences {
		if err := d.fact(ledger.Event{DifferenceClosed: &ledger.DifferenceClosed{ID: e.Ref, By: ledger.Rejected, Reason: "billed later"}}); err != nil {
			t.Fatal(err)
		}
	}
	if err := d.importCSV(second); err != nil {
		t.Fatal(err)
	}
	if got := d.book.Balance(accrued); got != 0 || len(d.kinds()) > 0 {
		t.Errorf("%d stays accrued, differences %v", got, d.kinds())
	}
}
