package ledger_test

import (
	"math/big"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/accordo-ai/accordo/internal/alliance"
	"github.com/accordo-ai/accordo/internal/invoice"
	"github.com/accordo-ai/accordo/internal/ledger"
	"github.com/accordo-ai/accordo/internal/money"
	"github.com/accordo-ai/accordo/internal/record"
	"github.com/accordo-ai/accordo/internal/store/storetest"
	"github.com/accordo-ai/accordo/internal/usage"
)

// hoursOf draws on hours anew: one outcome after another, one token after
// another.
type hoursOf struct {
	used            map[int64]int64
	covered, beyond *big.Int // micro-units × 1,000,000
}

func (h *hoursOf) take(t *rapid.T, in *record.Intent, at int64, u usage.Vector) {
	a, err := storetest.SalesTerms(in.Terms)
	if err != nil {
		t.Fatal(err)
	}
	c, p := a.Contract("saver"), a.Price("cost-saver")
	hour := time.Unix(0, at).UTC().Truncate(time.Hour)
	var limit int64
	for _, r := range c.Rates {
		if r.Holds(hour) {
			limit = int64(r.PerHour) * 1_000_000
		}
	}
	agreed := [5]int64{int64(p.Contracted.Input), int64(p.Contracted.CacheRead), int64(p.Contracted.CacheWrite), int64(p.Contracted.Output), int64(p.Contracted.Reasoning)}
	list := [5]int64{int64(p.List.Input), int64(p.List.CacheRead), int64(p.List.CacheWrite), int64(p.List.Output), int64(p.List.Reasoning)}
	for k, n := range [5]int64{u.UncachedInput, u.CacheRead, u.CacheWrite, u.Output, u.Reasoning} {
		for range n {
			if h.used[hour.Unix()]+agreed[k] <= limit {
				h.used[hour.Unix()] += agreed[k]
				h.covered.Add(h.covered, big.NewInt(agreed[k]))
			} else {
				h.beyond.Add(h.beyond, big.NewInt(list[k]))
			}
		}
	}
}

// TestHourly_IsPartedTokenByTokenInPostingOrder compares what is covered and
// what is owed with a count of one token after another, however batches are
// cut.
func TestHourly_IsPartedTokenByTokenInPostingOrder(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		records := salesHistory(t)
		d, _ := postSales(t, records)
		h := hoursOf{used: map[int64]int64{}, covered: new(big.Int), beyond: new(big.Int)}
		done := map[uint64]bool{}
		for i := range records {
			out := records[i].Outcome
			if out == nil || done[out.Intent] {
				continue
			}
			done[out.Intent] = true
			in := records[out.Intent-1].Intent
			if in.Pool == "saver" && out.Status == record.Served && out.Usage.Check() == nil && in.Plan != "gone" {
				h.take(t, in, records[out.Intent-1].At, out.Usage)
			}
		}
		covered, beyond, drawn := new(big.Int), new(big.Int), new(big.Int)
		carried := map[ledger.CarryKey]int64{}
		for _, s := range d.steps {
			for _, e := range s.Batch.Entries {
				if e.Contract != "saver" || e.Kind == ledger.Suspense {
					continue
				}
				k := ledger.CarryKey{Debit: e.Debit, Credit: e.Credit, Price: e.Price, Divisor: e.Divisor}
				n := new(big.Int).Mul(big.NewInt(int64(e.Amount)), big.NewInt(e.Divisor))
				n.Add(n, big.NewInt(e.Remainder-carried[k]))
				carried[k] = e.Remainder
				switch {
				case e.Kind == ledger.Commitment:
					drawn.Add(drawn, n)
				case e.Credit.Kind() == "capacity_clearing":
					covered.Add(covered, n)
				case e.Credit.Kind() == "accrued":
					beyond.Add(beyond, n)
				default:
					t.Fatalf("unexpected entry %+v", e.Key)
				}
			}
		}
		if covered.Cmp(h.covered) != 0 || drawn.Cmp(h.covered) != 0 || beyond.Cmp(h.beyond) != 0 {
			t.Fatalf("covered %s, drawn %s, beyond %s; one token after another gives %s and %s", covered, drawn, beyond, h.covered, h.beyond)
		}
	})
}

// hourlyTerms commits 1 unit an hour of 2026; a million tokens cost 2 units as
// contracted and 3 by the list.
func hourlyTerms(hash string) (*alliance.Alliance, error) {
	year := termOf("2026-01-01", "2027-01-01")
	return &alliance.Alliance{
		Hash: hash, Operator: "lab", Currency: "USD",
		Contracts: []alliance.Contract{{ID: "saver", Provider: "aws", Shape: alliance.HourlyRate, Term: year, Rates: []alliance.HourRate{{Term: year, PerHour: units(1)}}}},
		Pools:     []alliance.Pool{{ID: "p", Provider: "aws", Contract: "saver", BilledBy: alliance.BilledByToken, Models: []alliance.PoolModel{{Model: "m"}}}},
		Prices: []alliance.Price{{
			ID: "price", Pools: []alliance.PoolID{"p"}, Model: "m", Term: year,
			List: alliance.Rates{Input: units(3), Output: units(3)}, Contracted: &alliance.Rates{Input: units(2), Output: units(2)},
		}},
		Plans: []alliance.Plan{{ID: "free", Seller: "lab"}},
	}, nil
}

// use is tokens of one request in an hour of 2026-01-01, 0 for the first.
type use struct {
	hour   int
	tokens int64
	late   bool // its answer is posted after January was closed
}

func hourlyBooks(t testing.TB, uses []use) *desk {
	t.Helper()
	d := &desk{book: ledger.New(hourlyTerms)}
	begin := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	add := func(at time.Time, r record.Record) uint64 {
		r.Sequence, r.At = uint64(len(d.records)+1), at.UnixNano()
		d.records = append(d.records, r)
		return r.Sequence
	}
	post := func(at time.Time) {
		t.Helper()
		from := d.book.Head().Last
		add(at, record.Record{Kind: record.KindMark, Mark: &record.Mark{}})
		if _, err := d.book.Post(d.records[from:]); err != nil {
			t.Fatal(err)
		}
	}
	var late []record.Record
	for i, u := range uses {
		id := record.AttemptID([]byte{'a' + byte(i)})
		at := begin.Add(time.Duration(u.hour)*time.Hour + time.Duration(i)*time.Second)
		n := add(at, record.Record{Kind: record.KindIntent, Intent: &record.Intent{Attempt: id, Request: string(id), Terms: "t", Tenant: "x", Plan: "free", Model: "m@1", Pool: "p", CostPrice: "price"}})
		out := record.Record{Kind: record.KindOutcome, Outcome: &record.Outcome{Attempt: id, Intent: n, Status: record.Served, Usage: usage.Vector{UncachedInput: u.tokens}}}
		if u.late {
			late = append(late, out)
			continue
		}
		add(at, out)
		if i%2 == 1 {
			post(at)
		}
	}
	post(begin.AddDate(0, 1, 1))
	if err := d.fact(closeMonth(202601)); err != nil {
		t.Fatal(err)
	}
	for _, r := range late {
		add(begin.AddDate(0, 1, 2), r)
	}
	post(begin.AddDate(0, 2, 1))
	if err := d.fact(closeMonth(202602)); err != nil {
		t.Fatal(err)
	}
	return d
}

func TestHourly_CoversAnHourAndOwesTheListBeyondIt(t *testing.T) {
	// January has 744 hours and February 672: 1416 units are committed.
	rows := []struct {
		name string
		uses []use
		want map[string]string
	}{
		{"nothing is used", []use{{0, 0, false}}, map[string]string{"liability/accrued/aws": "-1416.00", "expense/unused_capacity/saver": "1416.00"}},
		{
			"inside the hour nothing more is owed",
			[]use{{0, 400_000, false}, {0, 100_000, false}},
			map[string]string{"liability/accrued/aws": "-1416.00", "expense/compute/p": "1.00", "expense/unused_capacity/saver": "1415.00"},
		},
		{
			"beyond it the list",
			[]use{{0, 400_000, false}, {0, 200_000, false}, {0, 50_000, false}},
			map[string]string{"liability/accrued/aws": "-1416.45", "expense/compute/p": "1.45", "expense/unused_capacity/saver": "1415.00"},
		},
		{
			"what one hour leaves is no other's",
			[]use{{0, 100_000, false}, {1, 600_000, false}},
			map[string]string{"liability/accrued/aws": "-1416.30", "expense/compute/p": "1.50", "expense/unused_capacity/saver": "1414.80"},
		},
		{
			"an answer that is posted after the close draws on its own hour",
			[]use{{0, 400_000, false}, {0, 200_000, true}},
			map[string]string{"liability/accrued/aws": "-1416.30", "expense/compute/p": "1.30", "expense/unused_capacity/saver": "1415.00"},
		},
	}
	for _, row := range rows {
		t.Run(row.name, func(t *testing.T) {
			d := hourlyBooks(t, row.uses)
			if diff := cmp.Diff(row.want, stands(d.book)); diff != "" {
				t.Errorf("-want +got:\n%s", diff)
			}
			at := func(kind string) money.Amount {
				return d.book.Balance(ledger.NewAccount("lab", "memo", kind, "saver", "2026-01-01"))
			}
			if floor := -at("commit_floor"); floor != units(1416) || at("commit_open") != 0 || at("commit_used")+at("commit_lapsed") != floor {
				t.Errorf("committed %d, used %d, lapsed %d, open %d", floor, at("commit_used"), at("commit_lapsed"), at("commit_open"))
			}
		})
	}
}

func TestHourly_AnInvoiceOwesOnlyWhatIsBeyondTheHour(t *testing.T) {
	line := func(attempt string, tokens int64, amount string) string {
		return attempt + ",m," + strconv.FormatInt(tokens, 10) + ",0,0,0,0,,," + amount + ",\n"
	}
	rows := []struct {
		name  string
		lines string
		want  map[string]int // open differences by kind
	}{
		{"it states what is beyond", line("b", 100_000, "0.30") + line("c", 50_000, "0.15"), map[string]int{}},
		{"it states all tokens and what is owed for them", line("a", 400_000, "0") + line("b", 200_000, "0.30") + line("c", 50_000, "0.15"), map[string]int{}},
		{"it bills what is covered", line("a", 400_000, "1.20") + line("b", 200_000, "0.30") + line("c", 50_000, "0.15"), map[string]int{ledger.PriceDiffers: 1}},
		{"a line is missing", line("b", 200_000, "0.30"), map[string]int{ledger.MissingLine: 1}},
	}
	for _, row := range rows {
		t.Run(row.name, func(t *testing.T) {
			d := hourlyBooks(t, []use{{0, 400_000, false}, {0, 200_000, false}, {0, 50_000, false}})
			hash := strings.Repeat("ab", 32)
			d.documents = map[string][]byte{hash: []byte(billHeader + row.lines)}
			if err := d.fact(ledger.Event{InvoiceImported: &ledger.InvoiceImported{Provider: "aws", Month: 202601, Document: hash}}); err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(row.want, d.kinds()); diff != "" {
				t.Errorf("-want +got:\n%s", diff)
			}
		})
	}
}

// heldHour returns books of one hour: 300,000 tokens in suspense, then 400,000
// that were served and are inside.
func heldHour(t *testing.T) *desk {
	t.Helper()
	at := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	intent := func(n uint64, id record.AttemptID) record.Record {
		return record.Record{Sequence: n, At: at.UnixNano(), Kind: record.KindIntent, Intent: &record.Intent{Attempt: id, Request: string(id), Terms: "t", Tenant: "x", Plan: "free", Model: "m@1", Pool: "p", CostPrice: "price"}}
	}
	outcome := func(n uint64, id record.AttemptID, tokens int64, s record.Status) record.Record {
		return record.Record{Sequence: n, At: at.UnixNano(), Kind: record.KindOutcome, Outcome: &record.Outcome{Attempt: id, Intent: n - 1, Status: s, Usage: usage.Vector{UncachedInput: tokens}}}
	}
	records := []record.Record{
		intent(1, "a"), outcome(2, "a", 300_000, record.Suspense), intent(3, "b"), outcome(4, "b", 400_000, record.Served),
		{Sequence: 5, At: at.AddDate(0, 3, 1).UnixNano(), Kind: record.KindMark, Mark: &record.Mark{}},
	}
	d := &desk{book: ledger.New(hourlyTerms), records: records, documents: map[string][]byte{}}
	if _, err := d.book.Post(records); err != nil {
		t.Fatal(err)
	}
	return d
}

// TestHourly_ALineThatBillsSuspenseIsOwedAsItStands accepts a line of what is
// beyond the hour: it draws on nothing, and is owed to the micro-unit.
func TestHourly_ALineThatBillsSuspenseIsOwedAsItStands(t *testing.T) {
	for _, row := range []struct{ name, line, owed string }{
		{"what is beyond, at the list price", "a,m,200000,0,0,0,0,,,0.60,\n", "-0.60"},
		{"what is beyond, without an amount", "a,m,200000,0,0,0,0,,,,\n", "-0.60"},
		{"all tokens, and what is owed for them", "a,m,300000,0,0,0,0,,,0.60,\n", "-0.60"},
	} {
		t.Run(row.name, func(t *testing.T) {
			d := heldHour(t)
			hash := strings.Repeat("ab", 32)
			d.documents[hash] = []byte(billHeader + row.line)
			d.must(t, ledger.Event{InvoiceImported: &ledger.InvoiceImported{Provider: "aws", Month: 202601, Document: hash, Rules: invoice.Rules}})
			for _, e := range d.book.State().Differences {
				by := ledger.Rejected // the fee is billed later
				if ledger.DifferenceKind(&e) == ledger.MissingUsage {
					by = ledger.Accepted
				}
				d.must(t, ledger.Event{DifferenceClosed: &ledger.DifferenceClosed{ID: e.Ref, By: by, Reason: "looked at it"}})
			}
			got := stands(d.book)
			if got["liability/payable/aws"] != row.owed || got["liability/accrued/aws"] != "" || len(d.book.State().Suspended) != 0 {
				t.Errorf("books hold %v, want %s payable", got, row.owed)
			}
			if used := d.book.Balance(ledger.NewAccount("lab", "memo", "commit_used", "saver", "2026-01-01")); used != units(4)/5 {
				t.Errorf("%s of the hour is used, want what was served", used)
			}
		})
	}
}

// TestHourly_SuspenseThatIsClosedDrawsOnWhatItsHourHasLeft closes 300,000
// tokens of an hour of which 400,000 were drawn: 100,000 are inside.
func TestHourly_SuspenseThatIsClosedDrawsOnWhatItsHourHasLeft(t *testing.T) {
	for _, row := range []struct {
		name   string
		closed []int32 // months before it
		rules  int32
		want   map[string]string
	}{
		{"in its month", nil, ledger.SuspenseRules, map[string]string{"expense/compute/p": "1.60"}},
		{"after the close of its month", []int32{202601}, ledger.SuspenseRules, map[string]string{"expense/compute/p": "1.60"}},
		{"after the next month's its hour is forgotten", []int32{202601, 202602}, ledger.SuspenseRules, map[string]string{"expense/compute/p": "1.70"}},
		{"by the rules before", nil, 0, map[string]string{"expense/compute/p": "1.70"}},
	} {
		t.Run(row.name, func(t *testing.T) {
			d := heldHour(t)
			for _, m := range row.closed {
				d.must(t, closeNow(m))
			}
			d.must(t, ledger.Event{SuspenseClosed: &ledger.SuspenseClosed{Attempt: "a", Intent: 1, Outcome: 2, By: ledger.ByEstimate, Reason: "billed", Rules: row.rules}})
			for m := int32(202601 + len(row.closed)); m <= 202603; m++ {
				d.must(t, closeNow(m))
			}
			got := stands(d.book)
			for account, want := range row.want {
				if got[account] != want {
					t.Errorf("%s holds %s, want %s", account, got[account], want)
				}
			}
			at2 := func(kind string) money.Amount {
				return d.book.Balance(ledger.NewAccount("lab", "memo", kind, "saver", "2026-01-01"))
			}
			if floor := -at2("commit_floor"); at2("commit_open") != 0 || at2("commit_used")+at2("commit_lapsed") != floor {
				t.Errorf("committed %d, used %d, lapsed %d, open %d", floor, at2("commit_used"), at2("commit_lapsed"), at2("commit_open"))
			}
		})
	}
}
