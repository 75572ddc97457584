package settle_test

import (
	"compress/gzip"
	"context"
	"database/sql"
	"encoding/json"
	"flag"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/accordo-ai/accordo/internal/alliance/file"
	"github.com/accordo-ai/accordo/internal/datadir"
	"github.com/accordo-ai/accordo/internal/journal"
	"github.com/accordo-ai/accordo/internal/ledger"
	"github.com/accordo-ai/accordo/internal/record"
	"github.com/accordo-ai/accordo/internal/settle"
	"github.com/accordo-ai/accordo/internal/store/sqlite"
	"github.com/accordo-ai/accordo/internal/store/storetest"
	"github.com/accordo-ai/accordo/internal/usage"
)

// freeze names a golden directory to make. A frozen one is never made again:
// it says what the program of its day kept.
var freeze = flag.String("freeze", "", "make the golden directory testdata/NAME, which must not exist")

// freezer serves made-up traffic into a data directory, on a clock of its own.
type freezer struct {
	t       *testing.T
	n       *goldenNode
	pick    storetest.Picker
	made    int
	terms   string
	open    map[uint64]*record.Intent
	waiting []uint64
	late    uint64 // an intent of the first month that is answered in the second
}

func TestGolden_Freeze(t *testing.T) {
	if *freeze == "" {
		t.Skip("run with -freeze NAME to make a golden directory for formats that have none")
	}
	place := filepath.Join("testdata", *freeze)
	if _, err := os.Stat(place); err == nil {
		t.Fatalf("%s exists: a golden directory is frozen", place)
	}
	synctest.Test(t, func(t *testing.T) { freezeInto(t, place) })
}

func freezeInto(t *testing.T, place string) {
	if err := os.MkdirAll(place, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(place, "node"), []byte("601d000000000000000000000000601d\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	time.Sleep(time.Until(time.Date(2026, 1, 3, 0, 0, 0, 0, time.UTC)))
	f := &freezer{t: t, pick: storetest.Random(601), open: map[uint64]*record.Intent{}}
	f.start(place)
	f.keys()
	for range 3 {
		f.traffic(14)
	}
	f.late = f.intent()
	f.traffic(6)
	f.restart(place) // the process died: what was in flight is abandoned, but for the late one, which comes after
	f.month("2026-02-02T00:00:00Z", "a-chips", 202601, 3_250_000)
	f.january()
	f.amend()
	for range 2 {
		f.traffic(14)
	}
	f.month("2026-03-05T00:00:00Z", "a-chips", 202602, 4_100_001)
	f.february()
	f.traffic(20)
	f.month("2026-04-02T00:00:00Z", "a-chips", 202603, 1)
	f.fact(ledger.Event{ShortfallWaived: &ledger.ShortfallWaived{Contract: "floor", From: "2026-03-01", Reason: "the region was down for a week"}})
	f.fact(ledger.Event{MonthClosed: &ledger.MonthClosed{Month: 202603}})
	f.traffic(5)
	f.intent()  // in flight
	f.outcome() // not posted
	f.finish(place)
}

func (f *freezer) must(err error) {
	f.t.Helper()
	if err != nil {
		f.t.Fatal(err)
	}
}

func (f *freezer) start(place string) {
	d, err := datadir.Open(place)
	f.must(err)
	f.terms = f.save(d, "title: The golden terms", "title: The golden terms")
	j, found, err := journal.Open(d.Journal(), journal.Options{Node: d.Node(), SegmentBytes: 16 << 10, Now: time.Now})
	f.must(err)
	_, err = j.Abandon(f.t.Context(), found.Open)
	f.must(err)
	_, err = j.Start(f.t.Context(), "golden", f.terms)
	f.must(err)
	store, err := sqlite.Open(f.t.Context(), d.Books())
	f.must(err)
	s, err := settle.New(f.t.Context(), j, store, goldenTerms(d), slog.New(slog.DiscardHandler))
	f.must(err)
	f.must(s.UseFacts(d))
	f.n = &goldenNode{d, j, store, s}
	f.post()
}

// save keeps the golden terms with one change, and returns their hash.
func (f *freezer) save(d *datadir.Dir, old, changed string) string {
	text, err := os.ReadFile(filepath.Join("testdata", "golden.yaml"))
	f.must(err)
	a, err := file.Parse("golden.yaml", []byte(strings.Replace(string(text), old, changed, 1)))
	f.must(err)
	f.must(d.SaveTerms(a.Hash, file.Canonical(a)))
	return a.Hash
}

// amend raises a floor that has begun and lowers a price.
func (f *freezer) amend() {
	f.terms = f.save(f.n.dir, "{from: 2026-02-01, until: 2026-03-01, amount: 55}", "{from: 2026-02-01, until: 2026-03-01, amount: 61}")
}

func (f *freezer) keys() {
	at := time.Now().UnixNano()
	f.must(f.n.dir.AppendFact(datadir.Fact{At: at, KeyIssued: &datadir.KeyIssued{
		ID: "k3", SHA256: strings.Repeat("0f", 32), Tenant: "t1", Plan: "direct", Channel: "api", Territory: "US", Trusted: true, Territories: []string{"US", "FR"},
	}}))
	f.must(f.n.dir.AppendFact(datadir.Fact{At: at + 1, KeyRevoked: &datadir.KeyRevoked{ID: "k3", Reason: "leaked"}}))
}

// traffic serves n attempts in every state, and closes the batch.
func (f *freezer) traffic(n int) {
	for i := range n {
		f.intent()
		if i%7 == 3 {
			f.n.journal.Refusal(&record.Refusal{Request: fmt.Sprintf("g-refused-%d", f.made), Tenant: "t1", Key: "k1", Plan: "direct", Terms: f.terms, Model: "m1", Code: "insufficient_quota", Reason: "no tokens are left today"})
		}
		for len(f.waiting) > 2 {
			f.outcome()
		}
		time.Sleep(time.Duration(1+f.pick("pause", 40)) * time.Hour / 4)
	}
	_, err := f.n.journal.Mark(f.t.Context())
	f.must(err)
	f.post()
}

func (f *freezer) post() { f.must(f.n.settler.CatchUp(f.t.Context())) }

func (f *freezer) intent() uint64 {
	f.made++
	pools := [...][2]string{{"a-east", "cost-a"}, {"a-chips", "cost-a"}, {"b-spill", "cost-b"}, {"b-paid", "cost-b"}, {"b-reserved", ""}, {"neo-rack", ""}, {"a-east", "no-such-price"}, {"gone", "cost-a"}}
	plans := [...][3]string{{"direct", "sale-direct", "t1"}, {"free", "", "t1"}, {"partner", "", "t2"}, {"partner-free", "", "t2"}}
	at := f.pick("pool", 20)
	if at >= len(pools) {
		at %= 6
	}
	pool, plan := pools[at], plans[f.pick("plan", len(plans))]
	in := &record.Intent{
		Attempt: record.AttemptID(fmt.Sprintf("g%d", f.made)), Request: fmt.Sprintf("golden-%d", f.made-f.pick("retry", 5)/4), Number: 1, Decision: uint64(f.made),
		Terms: f.terms, Tenant: plan[2], Key: "k1", Plan: plan[0], SalePrice: plan[1], Channel: "api", Territory: "US", Model: "m1@2026-01", Pool: pool[0], Contract: "floor",
		Right: "own", CostPrice: pool[1], Estimate: usage.Vector{UncachedInput: 1000, Output: 500}, Stream: f.pick("stream", 2) == 0,
		Considered: []record.Considered{{Pool: pool[0], Verdict: record.Chosen, Cost: 1200}},
	}
	seq, err := f.n.journal.Intent(f.t.Context(), in)
	f.must(err)
	f.open[seq] = in
	f.waiting = append(f.waiting, seq)
	return seq
}

// outcome answers one of the intents in flight, in no order.
func (f *freezer) outcome() {
	i := f.pick("which", len(f.waiting))
	if f.waiting[i] == f.late {
		i = (i + 1) % len(f.waiting)
	}
	seq := f.waiting[i]
	f.waiting = append(f.waiting[:i:i], f.waiting[i+1:]...)
	f.answer(seq)
}

func (f *freezer) answer(seq uint64) {
	in := f.open[seq]
	o := &record.Outcome{
		Attempt: in.Attempt, Intent: seq, Status: record.Served, Tier: "default", Upstream: "up-" + string(in.Attempt), Version: "m1-2026-01", TTFT: 210_000_000, Duration: 1_900_000_000,
		Usage: usage.Vector{UncachedInput: int64(f.pick("input", 400_000)), CacheRead: int64(f.pick("read", 30_000)), CacheWrite: int64(f.pick("write", 4_000)), Output: int64(f.pick("output", 300_000)), Reasoning: int64(f.pick("reasoning", 9_000))},
	}
	switch f.pick("status", 10) {
	case 0:
		o.Status, o.Usage, o.Reason = record.Unserved, usage.Vector{}, "connection_refused"
	case 1, 2:
		o.Status, o.Usage, o.Reason = record.Suspense, usage.Vector{}, "client_left"
	case 3:
		o.Tier = "priority"
	}
	_, err := f.n.journal.Outcome(f.t.Context(), o)
	f.must(err)
	delete(f.open, seq)
}

// restart ends the process with attempts in flight.
func (f *freezer) restart(place string) {
	f.n.close(f.t)
	f.waiting, f.open = nil, map[uint64]*record.Intent{}
	time.Sleep(time.Hour)
	f.start(place)
}

func (f *freezer) fact(e ledger.Event) ledger.Step {
	f.t.Helper()
	step, err := f.n.settler.Record(f.t.Context(), e, false)
	f.must(err)
	time.Sleep(time.Minute)
	return step
}

// month moves the clock on and records the bill by the chip-second.
func (f *freezer) month(at, pool string, month int32, amount int64) {
	f.t.Helper()
	when, err := time.Parse(time.RFC3339, at)
	f.must(err)
	if late := time.Until(when); late < 0 {
		f.t.Fatalf("traffic went on until %v", time.Now())
	}
	f.intent() // answered in the next month
	f.waiting = f.waiting[len(f.waiting)-1:]
	_, err = f.n.journal.Mark(f.t.Context())
	f.must(err)
	f.post()
	time.Sleep(time.Until(when))
	bill := &ledger.PoolBilled{Pool: pool, Month: month, ChipSeconds: 1234, Reason: "bill"}
	f.must(bill.Amount.UnmarshalText(fmt.Appendf(nil, "%d.%06d", amount/1_000_000, amount%1_000_000)))
	f.fact(ledger.Event{PoolBilled: bill})
}

// january imports an invoice by attempt with planted errors, closes suspense
// and differences in every way, and closes the month.
func (f *freezer) january() {
	f.invoice("cloud-b", 202601, f.byAttempt("b-", 202601))
	f.differences(2)
	f.suspense()
	f.fact(ledger.Event{MonthClosed: &ledger.MonthClosed{Month: 202601}})
	for _, seq := range f.waiting { // begun in January, answered when it is closed
		f.answer(seq)
	}
	f.waiting = nil
}

// february imports an invoice by aggregates and one by attempts that credits.
func (f *freezer) february() {
	f.invoice("cloud-a", 202602, f.byAggregate("a-", 202602))
	f.invoice("cloud-b", 202602, f.byAttempt("b-", 202602)+"credit,m1,,,,0,0,0,0,0,-0.75,2026-01-20\n")
	f.differences(3)
	f.fact(ledger.Event{MonthClosed: &ledger.MonthClosed{Month: 202602}})
	f.suspense()
}

const invoiceHeader = "kind,model,attempt_id,tier,pool,uncached_input,cache_read,cache_write,output,reasoning,amount,day\n"

// attempts yields the posted attempts of a month on pools with a prefix.
func (f *freezer) attempts(prefix string, month int32, do func(in *record.Record, out *record.Record)) {
	intents := map[uint64]record.Record{}
	for r, err := range f.n.journal.Read(1) {
		f.must(err)
		at := time.Unix(0, r.At).UTC()
		if r.Intent != nil && strings.HasPrefix(r.Intent.Pool, prefix) && int32(at.Year()*100+int(at.Month())) == month {
			intents[r.Sequence] = r
		}
		if r.Outcome != nil {
			if in, ok := intents[r.Outcome.Intent]; ok {
				do(&in, &r)
			}
		}
	}
}

// byAttempt is an invoice with a wrong tier, a double line, a missing line, an
// attempt that nobody made, other tokens and missing usage.
func (f *freezer) byAttempt(prefix string, month int32) string {
	var b strings.Builder
	b.WriteString(invoiceHeader)
	n := 0
	f.attempts(prefix, month, func(in, out *record.Record) {
		u, tier := out.Outcome.Usage, out.Outcome.Tier
		if out.Outcome.Status == record.Unserved {
			return
		}
		if u.IsZero() {
			u = usage.Vector{UncachedInput: 900, Output: 333}
		}
		n++
		switch n {
		case 2:
			return
		case 3:
			tier = "priority"
		case 4:
			u.Output += 1000
		}
		line := fmt.Sprintf("usage,model-one,%s,%s,%s,%d,%d,%d,%d,%d,,\n", in.Intent.Attempt, tier, in.Intent.Pool, u.UncachedInput, u.CacheRead, u.CacheWrite, u.Output, u.Reasoning)
		b.WriteString(line)
		if n == 5 {
			b.WriteString(line)
		}
	})
	b.WriteString("usage,m1,nobody-made-it,,b-spill,5000,0,0,700,0,,\n")
	return b.String()
}

// byAggregate is an invoice by day, with one day too dear and one forgotten.
func (f *freezer) byAggregate(prefix string, month int32) string {
	days, order := map[string]usage.Vector{}, []string{}
	f.attempts(prefix, month, func(in, out *record.Record) {
		if out.Outcome.Status != record.Served || in.Intent.CostPrice != "cost-a" || in.Intent.Pool != "a-east" {
			return
		}
		day := time.Unix(0, in.At).UTC().Format(time.DateOnly)
		if _, ok := days[day]; !ok {
			order = append(order, day)
		}
		days[day] = days[day].Add(out.Outcome.Usage)
	})
	var b strings.Builder
	b.WriteString(invoiceHeader)
	for i, day := range order {
		u := days[day]
		if i == 1 {
			continue
		}
		if i == 2 {
			u.UncachedInput += 777
		}
		fmt.Fprintf(&b, "usage,model-one,,,,%d,%d,%d,%d,%d,,%s\n", u.UncachedInput, u.CacheRead, u.CacheWrite, u.Output, u.Reasoning, day)
	}
	return b.String()
}

func (f *freezer) invoice(provider string, month int32, text string) {
	f.t.Helper()
	hash, err := f.n.dir.SaveDocument([]byte(text))
	f.must(err)
	f.fact(ledger.Event{InvoiceImported: &ledger.InvoiceImported{Provider: provider, Month: month, Document: hash, Name: provider + ".csv"}})
}

// differences closes all open differences but some, in both ways.
func (f *freezer) differences(but int) {
	open, err := f.n.store.Differences(f.t.Context())
	f.must(err)
	for i := range open[:max(0, len(open)-but)] {
		by := ledger.Accepted
		if i%3 == 2 {
			by = ledger.Rejected
		}
		f.fact(ledger.Event{DifferenceClosed: &ledger.DifferenceClosed{ID: open[i].Ref, By: by, Reason: "looked at it"}})
	}
}

// suspense closes the open suspense but some, in every way.
func (f *freezer) suspense() {
	open, err := f.n.store.Suspended(f.t.Context())
	f.must(err)
	for i := range open[:max(0, len(open)-2)] {
		e := &open[i]
		s := &ledger.SuspenseClosed{Attempt: record.AttemptID(e.Ref), Outcome: e.First, By: ledger.ByEstimate, Reason: "looked at it"}
		for r, err := range f.n.journal.Read(e.First) {
			f.must(err)
			s.Intent = r.Outcome.Intent
			break
		}
		switch i % 4 {
		case 0:
			s.By = ledger.ByWaiver
		case 1:
			s.BillCustomer = true
		case 2:
			s.By, s.Usage = ledger.ByInvoice, &usage.Vector{UncachedInput: 4242, Output: 24}
		}
		if _, err := f.n.settler.Record(f.t.Context(), ledger.Event{SuspenseClosed: s}, true); err != nil {
			s.By, s.Usage, s.BillCustomer = ledger.ByWaiver, nil, false // the terms do not rate it
		}
		f.fact(ledger.Event{SuspenseClosed: s})
	}
}

// finish writes golden.json and packs the books.
func (f *freezer) finish(place string) {
	told := f.n.tell(f.t)
	f.n.close(f.t)
	text, err := json.MarshalIndent(told, "", "\t")
	f.must(err)
	f.must(os.WriteFile(filepath.Join(place, "golden.json"), append(text, '\n'), 0o600))
	db, err := sql.Open("sqlite", filepath.Join(place, "books.sqlite"))
	f.must(err)
	_, err = db.ExecContext(context.WithoutCancel(f.t.Context()), "PRAGMA journal_mode=DELETE")
	f.must(err)
	f.must(db.Close())
	books, err := os.ReadFile(filepath.Join(place, "books.sqlite"))
	f.must(err)
	packed, err := os.Create(filepath.Join(place, "books.sqlite.gz"))
	f.must(err)
	z, err := gzip.NewWriterLevel(packed, gzip.BestCompression)
	f.must(err)
	_, err = z.Write(books)
	f.must(err)
	f.must(z.Close())
	f.must(packed.Close())
	for _, name := range []string{"books.sqlite", "LOCK", "run"} {
		f.must(os.Remove(filepath.Join(place, name)))
	}
}
