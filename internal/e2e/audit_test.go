package e2e

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/accordo-ai/accordo/internal/alliance/file"
	"github.com/accordo-ai/accordo/internal/datadir"
	"github.com/accordo-ai/accordo/internal/journal"
	"github.com/accordo-ai/accordo/internal/ledger"
	"github.com/accordo-ai/accordo/internal/provider/upstreamsim"
	"github.com/accordo-ai/accordo/internal/record"
	"github.com/accordo-ai/accordo/internal/store/sqlite"
	"github.com/accordo-ai/accordo/internal/usage"
)

// account is the journal and the books of a stopped program, joined by
// attempt.
type account struct {
	t       *testing.T
	intents map[record.AttemptID]*record.Record
	ends    map[record.AttemptID]*record.Outcome
	// requests are the attempts of each request, in order.
	requests map[string][]record.AttemptID
	// served are the lines in the books of what was served, suspended the
	// suspense entries, by attempt.
	served    map[record.AttemptID]ledger.Line
	suspended map[record.AttemptID]ledger.Entry
	terms     map[string]int // entries by the hash of the terms that they cite
	// lines are those of all outcomes, exactly, as the books sum them up.
	lines map[record.AttemptID]ledger.Line
}

// audited is what an audit counted.
type audited struct {
	served, suspense, unserved int
	// suspendedWithout are suspense entries without an invoice line, by reason.
	suspendedWithout map[string]int
	suspendedWith    map[string]int
	abandoned        int
	invoice          map[string]int // lines by status
	complete         int            // requests that a client saw complete
	requests         int
}

func (a *audited) String() string {
	return fmt.Sprintf("%d requests sent, %d seen complete; outcomes: %d served, %d suspense (%d abandoned), %d unserved; invoice lines %v; suspense with a line %v, without %v",
		a.requests, a.complete, a.served, a.suspense, a.abandoned, a.unserved, a.invoice, a.suspendedWith, a.suspendedWithout)
}

// verified runs the program's own verification of a stopped deployment.
func (d *deployment) verified() (v struct {
	Batches  uint64
	Served   int64
	Suspense int64
	Open     int
	Trial    []ledger.Total
	Fault    any
},
) {
	d.t.Helper()
	out, code := d.command("ledger", "verify", "--json", "--data", d.data)
	if err := json.Unmarshal([]byte(out), &v); err != nil || code != 0 || v.Fault != nil || v.Open != 0 {
		d.t.Errorf("ledger verify: exit code %d, %v\n%s", code, err, out)
	}
	if len(v.Trial) == 0 {
		d.t.Error("the trial balance is empty")
	}
	for _, total := range v.Trial {
		if !total.Balanced() {
			d.t.Errorf("trial balance of %s: %d debits, %d credits", total.Asset, total.Debits, total.Credits)
		}
	}
	return v
}

// readAccount reads journal and books of a stopped deployment. It refuses
// second outcomes, second entries, and outcomes that are not in the books.
func readAccount(t *testing.T, data string) *account {
	t.Helper()
	dir, err := datadir.OpenReadOnly(data)
	if err != nil {
		t.Fatal(err)
	}
	defer dir.Close()
	a := &account{
		t: t, intents: map[record.AttemptID]*record.Record{}, ends: map[record.AttemptID]*record.Outcome{},
		requests: map[string][]record.AttemptID{}, served: map[record.AttemptID]ledger.Line{},
		suspended: map[record.AttemptID]ledger.Entry{}, terms: map[string]int{}, lines: map[record.AttemptID]ledger.Line{},
	}
	records := a.readJournal(data)
	for id := range a.intents {
		if a.ends[id] == nil {
			t.Errorf("attempt %s has no outcome", id)
		}
	}
	store, err := sqlite.OpenReader(context.Background(), dir.Books())
	if err != nil {
		t.Fatal(err)
	}
	defer store.Close()
	terms := map[string]*ledger.Terms{}
	for batch, err := range store.Batches(context.Background(), 1) {
		if err != nil {
			t.Fatal(err)
		}
		a.batch(&batch, records, func(hash string) *ledger.Terms {
			if terms[hash] == nil {
				text, err := dir.Terms(hash)
				if err != nil {
					t.Fatal(err)
				}
				parsed, err := file.Parse(hash, text)
				if err != nil {
					t.Fatal(err)
				}
				terms[hash] = ledger.NewTerms(parsed)
			}
			return terms[hash]
		})
	}
	return a
}

// readJournal takes the records, also beside a serving program.
func (a *account) readJournal(data string) (records []record.Record) {
	a.t.Helper()
	for r, err := range journal.Read(filepath.Join(data, "journal"), 1) {
		if err != nil {
			a.t.Fatal(err)
		}
		records = append(records, r)
		a.record(&r)
	}
	return records
}

func (a *account) record(r *record.Record) {
	switch {
	case r.Intent != nil:
		id := r.Intent.Attempt
		if a.intents[id] != nil {
			a.t.Errorf("attempt %s has two intents", id)
		}
		a.intents[id] = r
		a.requests[r.Intent.Request] = append(a.requests[r.Intent.Request], id)
	case r.Outcome != nil:
		id := r.Outcome.Attempt
		if a.ends[id] != nil {
			a.t.Errorf("attempt %s has two outcomes", id)
		}
		if in := a.intents[id]; in == nil || in.Sequence != r.Outcome.Intent {
			a.t.Errorf("the outcome of attempt %s is not of its intent", id)
		}
		a.ends[id] = r.Outcome
	}
}

// batch recomputes the lines of a stored batch and takes from its entries
// which attempts are booked.
func (a *account) batch(b *ledger.Batch, records []record.Record, terms func(string) *ledger.Terms) {
	if len(b.Unmatched) > 0 {
		a.t.Errorf("batch %d has outcomes without an intent: %v", b.Sequence, b.Unmatched)
	}
	var lines []ledger.Line
	for i := b.First; i <= b.Last; i++ {
		r := &records[i-1]
		if r.Outcome == nil || a.intents[r.Outcome.Attempt] == nil {
			continue
		}
		in := a.intents[r.Outcome.Attempt]
		l, err := ledger.LineOf(in, r, terms(in.Intent.Terms))
		if err != nil {
			a.t.Fatal(err)
		}
		lines = append(lines, l)
		a.lines[l.Attempt] = l
	}
	for _, e := range b.Entries {
		a.terms[e.Terms]++
		switch e.Kind {
		case ledger.Suspense:
			id := record.AttemptID(e.Ref)
			if _, twice := a.suspended[id]; twice {
				a.t.Errorf("attempt %s has two suspense entries", id)
			}
			a.suspended[id] = e
		case ledger.Tokens:
			sum := ledger.SumOf(e.Key, lines)
			if sum.Digest != e.Digest || sum.Lines != e.Lines || sum.Tokens != e.Tokens {
				a.t.Errorf("batch %d: the lines of %s do not come to the entry", b.Sequence, e.Credit)
			}
			for _, l := range lines {
				if slices.ContainsFunc(l.Postings, func(p ledger.Posting) bool { return p.Key == e.Key }) {
					if _, twice := a.served[l.Attempt]; twice {
						a.t.Errorf("attempt %s is booked twice", l.Attempt)
					}
					a.served[l.Attempt] = l
				}
			}
		}
	}
}

// upstreamNames are the names of the models of testdata/alliance.yaml where
// they differ at the provider.
func upstreamName(pool, model string) string {
	model, _, _ = strings.Cut(model, "@")
	if pool == "north-floor-a" && model == "chat-1" {
		return "chat-1-north"
	}
	return model
}

// audit compares a stopped deployment with the invoices of its providers and
// with what clients saw.
func audit(t *testing.T, d *deployment, lines []upstreamsim.Line, results []seen) *audited {
	t.Helper()
	d.verified()
	a := readAccount(t, d.data)
	sum := &audited{invoice: map[string]int{}, suspendedWith: map[string]int{}, suspendedWithout: map[string]int{}, requests: len(results)}
	billed := a.invoice(lines, sum)
	for id, o := range a.ends {
		_, served := a.served[id]
		_, suspended := a.suspended[id]
		want := [2]bool{o.Status == record.Served, o.Status == record.Suspense || o.Status == record.Abandoned}
		if got := [2]bool{served, suspended}; got != want {
			t.Errorf("attempt %s, status %d, reason %s: served and suspense in the books are %v", id, o.Status, o.Reason, got)
		}
		switch {
		case served:
			sum.served++
			if !billed[id] {
				t.Errorf("attempt %s is booked as served, and no invoice line has it", id)
			}
		case suspended:
			a.suspense(id, billed[id], sum)
		default:
			sum.unserved++
			if billed[id] {
				t.Errorf("attempt %s, reason %s, is billed and not in the books", id, o.Reason)
			}
		}
	}
	for _, id := range slices.Concat(slices.Collect(maps.Keys(a.served)), slices.Collect(maps.Keys(a.suspended))) {
		if a.ends[id] == nil {
			t.Errorf("the books have attempt %s, the journal has no outcome of it", id)
		}
	}
	for i := range results {
		a.client(&results[i], sum)
	}
	return sum
}

// invoice compares every line with the books.
func (a *account) invoice(lines []upstreamsim.Line, sum *audited) map[record.AttemptID]bool {
	billed := map[record.AttemptID]bool{}
	for _, l := range lines {
		id := record.AttemptID(l.AttemptID)
		if id == "" {
			continue // a call of the test itself
		}
		sum.invoice[l.Status]++
		if billed[id] {
			a.t.Errorf("the invoice has attempt %s twice", id)
		}
		billed[id] = true
		in := a.intents[id]
		if in == nil {
			a.t.Errorf("the invoice has attempt %s, the journal has no intent of it", id)
			continue
		}
		if in.Intent.Pool != l.Pool || upstreamName(in.Intent.Pool, in.Intent.Model) != l.Model {
			a.t.Errorf("attempt %s was sent to %s for %s, and is billed by %s for %s", id, in.Intent.Pool, in.Intent.Model, l.Pool, l.Model)
		}
		line, ok := a.served[id]
		if !ok {
			continue // its suspense entry is looked for with the outcomes
		}
		want := usage.Vector{UncachedInput: l.UncachedInput, CacheRead: l.CacheRead, CacheWrite: l.CacheWrite, Output: l.Output, Reasoning: l.Reasoning}
		if line.Tokens != want {
			a.t.Errorf("attempt %s is booked with %+v, and billed with %+v (%s)", id, line.Tokens, want, l.Status)
		}
		if tier := a.ends[id].Tier; tier != "" && l.Tier != "" && tier != l.Tier {
			a.t.Errorf("attempt %s is booked in tier %s, and billed in %s", id, tier, l.Tier)
		}
	}
	return billed
}

// servedNothing are the reasons for which an attempt may be suspense though
// the provider served, and so bills, nothing: the call broke or the process
// ended before the provider had the request or began its answer.
var servedNothing = map[string]bool{"process ended": true, "reset": true, "cut": true, "client_left": true, "gateway_stopping": true, "first_token_timeout": true}

func (a *account) suspense(id record.AttemptID, billed bool, sum *audited) {
	o := a.ends[id]
	sum.suspense++
	if o.Status == record.Abandoned {
		sum.abandoned++
	}
	if a.suspended[id].Tokens.IsZero() {
		a.t.Errorf("attempt %s is suspense without an estimate", id)
	}
	if billed {
		sum.suspendedWith[o.Reason]++
		return
	}
	sum.suspendedWithout[o.Reason]++
	if !servedNothing[o.Reason] {
		a.t.Errorf("attempt %s is suspense for %s, and no invoice line has it", id, o.Reason)
	}
}

// client checks that what a client saw is in the books once.
func (a *account) client(s *seen, sum *audited) {
	whole := 0
	for _, id := range a.requests[s.id] {
		o := a.ends[id]
		if o == nil {
			continue
		}
		if o.Status != record.Served && o.Reason != "usage_missing" && o.Reason != "usage_contradicts" {
			continue
		}
		whole++
		u := o.Usage
		if s.complete && s.usage && o.Status == record.Served && (u.Input() != s.input || u.AllOutput() != s.output) {
			a.t.Errorf("request %s: the client was told %d and %d tokens, the books have %+v", s.id, s.input, s.output, u)
		}
	}
	if whole > 1 {
		a.t.Errorf("request %s (%s) was answered whole %d times", s.id, s.kind, whole)
	}
	if !s.complete {
		return
	}
	sum.complete++
	if whole != 1 {
		a.t.Errorf("request %s (%s): the client saw it complete, and no outcome says so", s.id, s.kind)
	}
}
