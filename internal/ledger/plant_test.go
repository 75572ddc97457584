package ledger_test

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/accordo-ai/accordo/internal/invoice"
	"github.com/accordo-ai/accordo/internal/ledger"
	"github.com/accordo-ai/accordo/internal/money"
	"github.com/accordo-ai/accordo/internal/store/storetest"
)

// orders are the forms in which invoices with errors are written.
var orders = []invoice.Order{
	{Format: invoice.ByAttempt},
	{Format: invoice.Aggregate, Grain: invoice.Hourly},
	{Format: invoice.Aggregate, Grain: invoice.Daily},
	{Format: invoice.Aggregate, Grain: invoice.Monthly},
	{Format: invoice.Focus12, Grain: invoice.Hourly},
	{Format: invoice.Focus14, Grain: invoice.Daily},
	{Format: invoice.Focus14, Grain: invoice.Monthly},
	{Format: invoice.Focus12, Attempts: true},
	{Format: invoice.Focus14, Attempts: true},
}

func orderName(o invoice.Order) string {
	return fmt.Sprintf("%s %s attempts %v", o.Format, o.Grain, o.Attempts)
}

// importPlan imports a planned invoice of a provider for June 2026.
func (d *desk) importPlan(provider string, document []byte) error {
	sum := sha256.Sum256(document)
	hash := hex.EncodeToString(sum[:])
	d.documents[hash] = document
	return d.fact(ledger.Event{InvoiceImported: &ledger.InvoiceImported{Provider: provider, Month: 202606, Document: hash, ByGroup: true}})
}

// imported returns what the last step made payable as agreeing, and the
// differences that it found.
func (d *desk) imported() (agreed money.Amount, found []invoice.Found) {
	for _, e := range d.steps[len(d.steps)-1].Batch.Entries {
		switch e.Kind {
		case ledger.Invoice:
			agreed += e.Amount
		case ledger.Difference:
			_, place, _ := strings.Cut(e.Ref, ".")
			found = append(found, invoice.Found{Kind: ledger.DifferenceKind(&e), Place: place, Amount: e.Amount})
		}
	}
	return agreed, found
}

// spread gives the outcomes of a history tiers, and its requests hours of
// three days of June.
func spread(t *rapid.T, n int) *desk {
	records := june(storetest.History(draw(t), n))
	tiers, models := []string{"", "standard", "priority"}, []string{"m1@2026-01", "m2", "m3@b", "m4", "m5", "m6@1"}
	for i := range records {
		records[i].At += int64(i) * int64(rapid.IntRange(1, 800).Draw(t, "pause")) * 1e9
		if i > 0 {
			records[i].At = max(records[i].At, records[i-1].At)
		}
		if o := records[i].Outcome; o != nil {
			o.Tier = tiers[rapid.IntRange(0, 2).Draw(t, "tier")]
		}
		if in := records[i].Intent; in != nil {
			in.Model = models[rapid.IntRange(0, len(models)-1).Draw(t, "model")]
		}
	}
	return newDesk(t, records)
}

// closeAll closes every open difference and demands that the books are whole
// afterwards, and the same when they are made again.
func (d *desk) closeAll(t interface {
	Helper()
	Fatal(...any)
	Fatalf(string, ...any)
}, payableTo ledger.AccountID, reject func() bool,
) {
	t.Helper()
	want := d.book.Balance(payableTo)
	for _, e := range d.book.State().Differences {
		by := ledger.Accepted
		if reject() {
			by = ledger.Rejected
			if e.Credit == payableTo {
				want += e.Amount
			}
		}
		if err := d.fact(ledger.Event{DifferenceClosed: &ledger.DifferenceClosed{ID: e.Ref, By: by, Reason: "looked at it"}}); err != nil {
			t.Fatalf("close %s: %v", e.Ref, err)
		}
	}
	if kinds := d.kinds(); len(kinds) > 0 {
		t.Fatalf("still open: %v", kinds)
	}
	if got := d.book.Balance(payableTo); got != want {
		t.Fatalf("payable %s, want %s", got, want)
	}
	for _, b := range d.book.Balances() {
		if b.Account.Kind() == "difference" && b.Amount != 0 {
			t.Fatalf("%s: %s", b.Account, b.Amount)
		}
	}
	for _, total := range ledger.TrialBalance(d.book.Balances()) {
		if !total.Balanced() {
			t.Fatalf("%s: %d and %d", total.Asset, total.Debits, total.Credits)
		}
	}
	again := newDesk(t, d.records)
	again.documents = d.documents
	for i, f := range d.facts {
		step, err := again.book.PostFact(f, again.evidence())
		if err != nil || step.Batch.Hash != d.steps[i].Batch.Hash {
			t.Fatalf("fact %d posted again: %v", i+1, err)
		}
	}
}

// settled are the accounts against which an accepted difference of a kind is
// cleared.
var settled = map[string]ledger.AccountID{ledger.Tax: "lab/expense/tax/azure", ledger.FeeDiffers: "lab/expense/fee/reserved"}

func TestPlanted_EachKindIsNamedInEachForm(t *testing.T) {
	for _, order := range orders {
		for _, kind := range invoice.Kinds() {
			if kind == invoice.TotalDiffers {
				continue // of an Invoice Detail, which only FOCUS has
			}
			t.Run(orderName(order)+" "+kind, func(t *testing.T) {
				records := june(storetest.History(storetest.Random(11), 900))
				for i := range records {
					if o := records[i].Outcome; o != nil {
						o.Tier = []string{"standard", "priority"}[i%2]
					}
					if in := records[i].Intent; in != nil {
						in.Model = fmt.Sprintf("model-%d", i%40)
					}
				}
				d := newDesk(t, records)
				truth, err := d.book.Bill("azure", 202606, d.evidence())
				if err != nil {
					t.Fatal(err)
				}
				o := order
				o.Seed, o.Plant = 7, map[string]int{kind: 1}
				plan, err := invoice.Write(truth, o)
				if err != nil {
					t.Fatal(err)
				}
				if len(plan.Planted) != 1 || plan.Planted[0].Kind != kind || plan.Planted[0].Place == "" {
					t.Fatalf("planted %+v", plan.Planted)
				}
				if err := d.importPlan("azure", plan.Document); err != nil {
					t.Fatal(err)
				}
				agreed, found := d.imported()
				if faults := plan.Reconcile(agreed, found); len(faults) > 0 {
					t.Fatal(strings.Join(faults, "\n"))
				}
				if d.kinds()[kind] != 1 {
					t.Fatalf("found %v", d.kinds())
				}
				d.closeAll(t, "lab/liability/payable/azure", func() bool { return false })
				if a := settled[kind]; a != "" && d.book.Balance(a) != plan.Planted[0].Amount {
					t.Errorf("%s: %s, want %s", a, d.book.Balance(a), plan.Planted[0].Amount)
				}
			})
		}
	}
}

func TestPlanted_ErrorsOfEveryKindAreFoundToTheMicroUnit(t *testing.T) {
	planted := map[string]int{}
	for _, order := range orders {
		t.Run(orderName(order), func(t *testing.T) {
			rapid.Check(t, func(t *rapid.T) {
				d := spread(t, 250)
				provider := rapid.SampledFrom([]string{"aws", "azure", "neo"}).Draw(t, "provider")
				truth, err := d.book.Bill(provider, 202606, d.evidence())
				if err != nil {
					t.Fatal(err)
				}
				o := order
				o.Seed, o.Plant = rapid.Uint64().Draw(t, "seed"), map[string]int{}
				for range 4 {
					o.Plant[rapid.SampledFrom(invoice.Kinds()).Draw(t, "kind")] = rapid.IntRange(1, 2).Draw(t, "errors")
				}
				plan, err := invoice.Write(truth, o)
				if err != nil {
					t.Fatal(err)
				}
				payableTo := ledger.AccountID("lab/liability/payable/" + provider)
				was := d.book.Balance(payableTo)
				if err := d.importPlan(provider, plan.Document); err != nil {
					t.Fatalf("%v\n%s", err, plan.Document)
				}
				for _, x := range plan.Planted {
					planted[x.Kind]++
				}
				agreed, found := d.imported()
				if faults := plan.Reconcile(agreed, found); len(faults) > 0 {
					t.Fatalf("%s\nplanted %+v\nfound %+v\n%s", strings.Join(faults, "\n"), plan.Planted, found, plan.Document)
				}
				if got := was - d.book.Balance(payableTo); got != plan.Total {
					t.Fatalf("payable grew by %s, the invoice is %s", got, plan.Total)
				}
				d.closeAll(t, payableTo, func() bool { return rapid.Bool().Draw(t, "reject") })
			})
		})
	}
	for _, kind := range invoice.Kinds() {
		if planted[kind] == 0 && kind != invoice.TotalDiffers {
			t.Errorf("no %s was planted: %v", kind, planted)
		}
	}
}
