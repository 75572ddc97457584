package focus_test

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"iter"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/accordo-ai/accordo/internal/focus"
	"github.com/accordo-ai/accordo/internal/focusfile"
	"github.com/accordo-ai/accordo/internal/invoice"
	"github.com/accordo-ai/accordo/internal/ledger"
	"github.com/accordo-ai/accordo/internal/money"
	"github.com/accordo-ai/accordo/internal/record"
	"github.com/accordo-ai/accordo/internal/store/storetest"
)

// TestRoundTrip_OurOwnExportHasNoDifference imports what the books export of
// each provider as that provider's invoice, month by month. Where requests of
// two months were posted in turns, the fraction that the books carried from
// one into the other may be a micro-unit of rounding in both: it cancels.
func TestRoundTrip_OurOwnExportHasNoDifference(t *testing.T) {
	for _, version := range []focus.Version{focus.V12, focus.V14} {
		t.Run(string(version), func(t *testing.T) {
			rapid.Check(t, func(t *rapid.T) {
				pick := func(label string, n int) int { return rapid.IntRange(0, n-1).Draw(t, label) }
				records := storetest.History(pick, rapid.IntRange(5, 200).Draw(t, "steps"))
				for i := range records {
					if o := records[i].Outcome; o != nil {
						o.Tier = []string{"", "standard", "priority"}[pick("tier", 3)]
					}
					// A pool by the chip-second is billed by its bill, not by its requests.
					if in := records[i].Intent; in != nil && in.Pool == "aws-chips" {
						in.Pool = "aws-east"
					}
				}
				books, ledgerBook, _ := gathered(t, records)
				if ledgerBook.Head().Terms == "" {
					return
				}
				table, err := books.CostAndUsage(terms(t, "5ec0nd"), version, focus.Window{From: day("2026-06-01"), AsOf: day("2026-08-01")})
				if err != nil {
					t.Fatal(err)
				}
				var file bytes.Buffer
				if err := focusfile.WriteCSV(&file, &table); err != nil {
					t.Fatal(err)
				}
				sum := sha256.Sum256(file.Bytes())
				evidence := ledger.Evidence{
					Records: func(from uint64) iter.Seq2[record.Record, error] {
						return func(yield func(record.Record, error) bool) {
							for _, r := range records[from-1:] {
								if !yield(r, nil) {
									return
								}
							}
						}
					},
					Document: func(string) ([]byte, error) { return file.Bytes(), nil },
				}
				for _, provider := range []string{"aws", "azure", "neo"} {
					var rounding money.Amount
					for _, month := range []int32{202606, 202607} {
						if !billed(&table, provider, month) {
							continue
						}
						fact := ledger.Fact{Number: ledgerBook.Head().Facts + 1, After: ledgerBook.Head().Last, At: ledgerBook.Head().At + 1, Event: ledger.Event{InvoiceImported: &ledger.InvoiceImported{
							Provider: provider, Month: month, Document: hex.EncodeToString(sum[:]), Issuer: provider, ByGroup: true, Rules: invoice.Rules,
						}}}
						step, err := ledgerBook.PostFact(fact, evidence)
						if err != nil {
							t.Fatalf("%s %d: %v", provider, month, err)
						}
						for _, e := range step.Batch.Entries {
							if kind := ledger.DifferenceKind(&e); e.Kind == ledger.Difference && kind == ledger.Rounding && max(e.Amount, -e.Amount) <= 1 {
								rounding += e.Amount
							} else if e.Kind == ledger.Difference {
								t.Fatalf("%s %d: %s of %s at %s", provider, month, ledger.DifferenceKind(&e), e.Amount, e.Ref)
							}
						}
					}
					if rounding != 0 {
						t.Fatalf("%s: rounding of %s over all months", provider, rounding)
					}
				}
			})
		})
	}
}

// billed reports whether a table has rows of a provider in a month.
func billed(t *focus.Table, provider string, month int32) bool {
	start := time.Date(int(month/100), time.Month(month%100), 1, 0, 0, 0, 0, time.UTC).Format(time.RFC3339)
	for i := range t.Rows {
		if t.At(i, "InvoiceIssuerName").Text == provider && t.At(i, "BillingPeriodStart").Text == start {
			return true
		}
	}
	return false
}
