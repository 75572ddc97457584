package ledger_test

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/accordo-ai/accordo/internal/alliance"
	"github.com/accordo-ai/accordo/internal/invoice"
	"github.com/accordo-ai/accordo/internal/ledger"
	"github.com/accordo-ai/accordo/internal/money"
	"github.com/accordo-ai/accordo/internal/record"
	"github.com/accordo-ai/accordo/internal/store/storetest"
	"github.com/accordo-ai/accordo/internal/usage"
	"github.com/google/go-cmp/cmp"
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

// plantable are the kinds of error that an invoice of tokens and a fee can
// have; those of other charges are planted in books that have them.
func plantable() []string {
	return slices.DeleteFunc(invoice.Kinds(), func(kind string) bool {
		switch kind {
		case invoice.TotalDiffers: // of an Invoice Detail, which only FOCUS has
			return true
		case invoice.ShortfallDiffers, invoice.ShareDiffers, invoice.OverageDiffers, invoice.InterestDiffers, invoice.DiscountDiffers, invoice.MarketplaceDiffers:
			return true
		}
		return false
	})
}

func orderName(o invoice.Order) string {
	return fmt.Sprintf("%s %s attempts %v", o.Format, o.Grain, o.Attempts)
}

// importPlan imports a planned invoice of a provider for June 2026.
func (d *desk) importPlan(provider string, document []byte) error {
	sum := sha256.Sum256(document)
	hash := hex.EncodeToString(sum[:])
	d.documents[hash] = document
	return d.fact(ledger.Event{InvoiceImported: &ledger.InvoiceImported{Provider: provider, Month: 202606, Document: hash, ByGroup: true, Rules: invoice.Rules}})
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
var settled = map[string]ledger.AccountID{ledger.Tax: "lab/expense/tax/azure", ledger.FeeDiffers: "lab/expense/fee/reserved", ledger.MissingCharge: "lab/expense/fee/reserved"}

func TestPlanted_EachKindIsNamedInEachForm(t *testing.T) {
	for _, order := range orders {
		for _, kind := range plantable() {
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

// TestPlanted_AttemptsBelowAMicroUnitAreOfTheirGroup has errors in groups of
// which many of the attempts cost nothing that the books can write.
func TestPlanted_AttemptsBelowAMicroUnitAreOfTheirGroup(t *testing.T) {
	for _, order := range orders[1:7] {
		for _, kind := range []string{invoice.WrongTier, invoice.MissingLine} {
			t.Run(orderName(order)+" "+kind, func(t *testing.T) {
				records := june(storetest.History(storetest.Random(11), 900))
				for i := range records {
					if o := records[i].Outcome; o != nil {
						o.Tier = "standard"
						if i%5 < 3 && !o.Usage.IsZero() {
							o.Usage = usage.Vector{CacheRead: 1}
						}
					}
					if in := records[i].Intent; in != nil {
						in.Model = fmt.Sprintf("model-%d", i%11)
					}
				}
				d := newDesk(t, records)
				truth, err := d.book.Bill("azure", 202606, d.evidence())
				if err != nil {
					t.Fatal(err)
				}
				small := 0
				for i := range truth.Charges {
					if truth.Charges[i].Tokens == (usage.Vector{CacheRead: 1}) {
						small++
					}
				}
				if small == 0 {
					t.Fatal("no attempt costs less than a micro-unit")
				}
				order.Seed, order.Plant = 7, map[string]int{kind: 1}
				plan, err := invoice.Write(truth, order)
				if err != nil || len(plan.Planted) != 1 {
					t.Fatalf("planted %+v, %v", plan.Planted, err)
				}
				if err := d.importPlan("azure", plan.Document); err != nil {
					t.Fatal(err)
				}
				agreed, found := d.imported()
				if faults := plan.Reconcile(agreed, found); len(faults) > 0 {
					t.Fatal(strings.Join(faults, "\n"))
				}
				d.closeAll(t, "lab/liability/payable/azure", func() bool { return false })
			})
		}
	}
}

func TestPlanted_ErrorsOfEveryKindAreFoundToTheMicroUnit(t *testing.T) {
	planted := map[string]int{}
	for name, forms := range map[string][]invoice.Order{"csv by attempt": orders[:1], "csv aggregate": orders[1:4], "focus": orders[4:]} {
		t.Run(name, func(t *testing.T) {
			rapid.Check(t, func(t *rapid.T) {
				d := spread(t, 250)
				provider := rapid.SampledFrom([]string{"aws", "azure", "neo"}).Draw(t, "provider")
				truth, err := d.book.Bill(provider, 202606, d.evidence())
				if err != nil {
					t.Fatal(err)
				}
				o := rapid.SampledFrom(forms).Draw(t, "form")
				o.Seed, o.Plant = rapid.Uint64().Draw(t, "seed"), map[string]int{}
				for range 4 {
					o.Plant[rapid.SampledFrom(plantable()).Draw(t, "kind")] = rapid.IntRange(1, 2).Draw(t, "errors")
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
	for _, kind := range plantable() {
		if planted[kind] == 0 {
			t.Errorf("no %s was planted: %v", kind, planted)
		}
	}
}

func TestInvoiceDetail_ThatStatesAnotherTotalIsADifference(t *testing.T) {
	for _, row := range []struct {
		name   string
		stated money.Amount // more than the lines come to
		kind   string
	}{
		{"nothing more", 0, ""},
		{"what FOCUS lets rounding explain", 900_000, ledger.Rounding},
		{"more than that", 2_500_000, ledger.TotalDiffers},
		{"less", -2_500_000, ledger.TotalDiffers},
	} {
		t.Run(row.name, func(t *testing.T) {
			d := newDesk(t, june(storetest.History(storetest.Random(11), 300)))
			truth, err := d.book.Bill("azure", 202606, d.evidence())
			if err != nil {
				t.Fatal(err)
			}
			plan, err := invoice.Write(truth, invoice.Order{Format: invoice.Focus14, Grain: invoice.Monthly})
			if err != nil {
				t.Fatal(err)
			}
			detail := fmt.Sprintf("InvoiceDetailId,InvoiceId,InvoiceIssuerName,BillingCurrency,ChargeCategory,BilledCost\n1,i,azure,USD,Usage,%s\n2,i,azure,USD,Tax,1.50\n", plan.Total+row.stated)
			hash := func(text []byte) string {
				sum := sha256.Sum256(text)
				d.documents[hex.EncodeToString(sum[:])] = text
				return hex.EncodeToString(sum[:])
			}
			err = d.fact(ledger.Event{InvoiceImported: &ledger.InvoiceImported{
				Provider: "azure", Month: 202606, Document: hash(plan.Document), Detail: hash([]byte(detail)), Issuer: "azure", ByGroup: true,
			}})
			if err != nil {
				t.Fatal(err)
			}
			agreed, found := d.imported()
			sum := agreed
			for _, f := range found {
				sum += f.Amount
			}
			if want := plan.Total + row.stated + 1_500_000; sum != want {
				t.Errorf("payable grew by %s, stated with its tax are %s", sum, want)
			}
			kinds := d.kinds()
			if kinds[ledger.Tax] != 1 || row.kind != "" && kinds[row.kind] != 1 || row.kind != ledger.TotalDiffers && kinds[ledger.TotalDiffers] != 0 {
				t.Errorf("found %+v", found)
			}
			d.closeAll(t, "lab/liability/payable/azure", func() bool { return false })
		})
	}
}

func TestFeeLine_AgreesWithWhatTheCloseAccruesBeforeAndAfterIt(t *testing.T) {
	for _, closeFirst := range []bool{false, true} {
		t.Run(fmt.Sprintf("closed first %v", closeFirst), func(t *testing.T) {
			d := opened(t, []alliance.Contract{rack(alliance.AbatesFees)})
			d.records, d.documents = []record.Record{{Sequence: 1}, {Sequence: 2}}, map[string][]byte{}
			steps := []func() error{
				func() error {
					return d.importFee("kind,model,contract,amount\nfee,,rack,23.25\nfee,,rack,23.25\nfee,,other,1\n")
				},
				func() error { return d.fact(closeMonth(202601)) },
			}
			if closeFirst {
				steps[0], steps[1] = steps[1], steps[0]
			}
			for _, f := range append([]func() error{
				func() error { return d.fact(deliveredBy("rack", "2026-01-01", 6)) }, func() error { return d.fact(deliveredBy("rack", "2026-02-01", 8)) },
			}, steps...) {
				if err := f(); err != nil {
					t.Fatal(err)
				}
			}
			want := map[string]string{
				"expense/unused_capacity/rack": "23.25", "liability/payable/neo": "-47.50",
				"asset/difference/neo,double_line": "23.25", "asset/difference/neo,unknown_charge": "1.00",
			}
			if diff := cmp.Diff(want, stands(d.book)); diff != "" {
				t.Errorf("-want +got:\n%s", diff)
			}
		})
	}
}

func (d *desk) importFee(text string) error {
	sum := sha256.Sum256([]byte(text))
	hash := hex.EncodeToString(sum[:])
	d.documents[hash] = []byte(text)
	return d.fact(ledger.Event{InvoiceImported: &ledger.InvoiceImported{Provider: "neo", Month: 202601, Document: hash, ByGroup: true, Rules: invoice.Rules}})
}
