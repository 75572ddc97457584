package ledger_test

import (
	"fmt"
	"iter"
	"strings"
	"testing"
	"time"

	"github.com/accordo-ai/accordo/internal/invoice"
	"github.com/accordo-ai/accordo/internal/ledger"
	"github.com/accordo-ai/accordo/internal/record"
	"github.com/accordo-ai/accordo/internal/usage"
)

// longDesk are books of a year with 40 attempts a day, the last of each month
// answered in the next.
func longDesk(t *testing.T) *desk {
	t.Helper()
	d := &desk{book: ledger.New(chargeTerms), documents: map[string][]byte{}}
	add := func(at time.Time, r record.Record) uint64 {
		r.Sequence, r.At = uint64(len(d.records)+1), at.UnixNano()
		d.records = append(d.records, r)
		return r.Sequence
	}
	type late struct {
		id record.AttemptID
		in uint64
	}
	var waiting []late
	answer := func(at time.Time) {
		for _, l := range waiting {
			add(at, record.Record{Kind: record.KindOutcome, Outcome: &record.Outcome{Attempt: l.id, Intent: l.in, Status: record.Served, Usage: usage.Vector{Output: 1_000_000}}})
		}
		waiting = nil
	}
	for day := dayOf("2026-01-01").Time; day.Before(dayOf("2027-01-01").Time); day = day.AddDate(0, 0, 1) {
		for i := range 40 {
			id := record.AttemptID(fmt.Sprintf("%s-%d", day.Format(time.DateOnly), i))
			in := add(day, record.Record{Kind: record.KindIntent, Intent: &record.Intent{Attempt: id, Terms: "t", Tenant: "x", Plan: "api", Model: "m@1", Pool: "lend", CostPrice: "c", SalePrice: "s"}})
			if waiting = append(waiting, late{id, in}); day.AddDate(0, 0, 1).Day() != 1 || i < 39 {
				answer(day)
			}
		}
	}
	add(dayOf("2027-01-02").Time, record.Record{Kind: record.KindMark, Mark: &record.Mark{}})
	if _, err := d.book.Post(d.records); err != nil {
		t.Fatal(err)
	}
	return d
}

// TestImport_ReadsTheMonthsRangeOfTheJournal counts the records that matching
// an invoice takes from a journal of a year.
func TestImport_ReadsTheMonthsRangeOfTheJournal(t *testing.T) {
	d := longDesk(t)
	read := 0
	ev := d.evidence()
	all := ev.Records
	ev.Records = func(from uint64) iter.Seq2[record.Record, error] {
		return func(yield func(record.Record, error) bool) {
			for r, err := range all(from) {
				read++
				if !yield(r, err) {
					return
				}
			}
		}
	}
	for _, row := range []struct {
		name  string
		lines string // by attempt, a million output tokens each
		kinds map[string]int
		most  int
	}{
		{"of the month", "2026-06-01-0", nil, 3000},
		{"whose outcome came in the next month", "2026-06-30-39", nil, 3000},
		{"of an earlier month", "2026-03-05-3", nil, 35_000},
		{"that nobody made", "nobody", map[string]int{ledger.UnknownAttempt: 1}, 35_000},
	} {
		t.Run(row.name, func(t *testing.T) {
			text := []byte("attempt_id,model,output\n" + row.lines + ",m,1000000\n")
			d.documents["x"] = text
			f := factOf(d.book, ledger.Event{InvoiceImported: &ledger.InvoiceImported{Provider: "cloud", Month: 202606, Document: strings.Repeat("0", 64), Rules: invoice.Rules}})
			ev.Document = func(string) ([]byte, error) { return text, nil }
			read = 0
			step, err := d.book.Prepare(f, ev)
			if err != nil {
				t.Fatal(err)
			}
			found, agreed := map[string]int{}, 0
			for _, e := range step.Batch.Entries {
				switch kind := ledger.DifferenceKind(&e); {
				case e.Kind == ledger.Invoice:
					agreed++
				case kind != ledger.MissingLine && kind != ledger.MissingCharge:
					found[kind]++
				}
			}
			if len(found) != len(row.kinds) || agreed != 1-len(row.kinds) {
				t.Errorf("found %v, %d agree", found, agreed)
			}
			if read > row.most || read < 1200 {
				t.Errorf("%d records of %d were read, at most %d are needed", read, len(d.records), row.most)
			}
		})
	}
}
