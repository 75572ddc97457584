package sim_test

import (
	"crypto/sha256"
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/accordo-ai/accordo/examples"
	"github.com/accordo-ai/accordo/internal/alliance"
	"github.com/accordo-ai/accordo/internal/alliance/file"
	"github.com/accordo-ai/accordo/internal/ledger"
	"github.com/accordo-ai/accordo/internal/money"
	"github.com/accordo-ai/accordo/internal/record"
	"github.com/accordo-ai/accordo/internal/right"
	"github.com/accordo-ai/accordo/internal/sim"
)

// tape is a journal in memory that posts each batch at its mark.
type tape struct {
	t       *testing.T
	records []record.Record
	posted  int
	book    *ledger.Book
	terms   *ledger.Terms
}

func newTape(t *testing.T, a *alliance.Alliance) *tape {
	return &tape{t: t, terms: ledger.NewTerms(a), book: ledger.New(func(string) (*alliance.Alliance, error) { return a, nil })}
}

func (j *tape) add(at time.Time, r record.Record) uint64 {
	r.Sequence, r.At = uint64(len(j.records)+1), at.UnixNano()
	if n := len(j.records); n > 0 && r.At < j.records[n-1].At {
		j.t.Fatalf("record %d is of %s, before its predecessor", r.Sequence, at)
	}
	if err := r.Check(); err != nil {
		j.t.Fatalf("record %d: %v", r.Sequence, err)
	}
	j.records = append(j.records, r)
	return r.Sequence
}

func (j *tape) Start(at time.Time, terms string) error {
	j.add(at, record.Record{Kind: record.KindStart, Start: &record.Start{Version: "test", Terms: terms, Node: "node"}})
	return nil
}

func (j *tape) Intent(at time.Time, in *record.Intent) (uint64, error) {
	c := *in
	c.Considered = append([]record.Considered(nil), in.Considered...)
	return j.add(at, record.Record{Kind: record.KindIntent, Intent: &c}), nil
}

func (j *tape) Outcome(at time.Time, o *record.Outcome) error {
	j.add(at, record.Record{Kind: record.KindOutcome, Outcome: o})
	return nil
}

func (j *tape) Refusal(at time.Time, r *record.Refusal) error {
	c := *r
	c.Considered = append([]record.Considered(nil), r.Considered...)
	j.add(at, record.Record{Kind: record.KindRefusal, Refusal: &c})
	return nil
}

func (j *tape) Mark(at time.Time) error {
	j.add(at, record.Record{Kind: record.KindMark, Mark: &record.Mark{}})
	_, err := j.book.Post(j.records[j.posted:])
	j.posted = len(j.records)
	return err
}

func (j *tape) sum() string {
	h := sha256.New()
	var buf []byte
	for i := range j.records {
		buf = record.Append(buf[:0], &j.records[i])
		h.Write(buf)
	}
	return fmt.Sprintf("%x", h.Sum(nil))
}

func example(t *testing.T) *alliance.Alliance {
	t.Helper()
	a, _, err := file.LoadFS(examples.FS, "openai-amazon/alliance.yaml", "")
	if err != nil {
		t.Fatal(err)
	}
	return a
}

var january = time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)

// play plays days of the example, advanced in steps.
func play(t *testing.T, a *alliance.Alliance, seed uint64, perDay int64, days int, step time.Duration) (*tape, *sim.Simulator) {
	t.Helper()
	j := newTape(t, a)
	s, err := sim.New(a, sim.Options{
		From: january.AddDate(0, 5, 0), RequestsPerDay: perDay, Odds: sim.UsualOdds(), Random: rand.NewPCG(seed, 1).Uint64,
		Spent: func(id alliance.ContractID, at time.Time) money.Amount { return j.book.Spent(j.terms, id, at) },
	})
	if err != nil {
		t.Fatal(err)
	}
	end := s.Now().AddDate(0, 0, days)
	for at := s.Now(); at.Before(end); {
		at = at.Add(step)
		if err := s.Advance(at, j); err != nil {
			t.Fatal(err)
		}
	}
	return j, s
}

func TestAdvance_SameSeedGivesTheSameBytes(t *testing.T) {
	a := example(t)
	one, _ := play(t, a, 7, 2000, 3, 24*time.Hour)
	two, _ := play(t, a, 7, 2000, 3, 24*time.Hour)
	other, _ := play(t, a, 8, 2000, 3, 24*time.Hour)
	if len(one.records) < 2000 {
		t.Fatalf("three days made %d records", len(one.records))
	}
	if one.sum() != two.sum() || one.book.Head() != two.book.Head() {
		t.Error("two plays of one seed differ")
	}
	if one.sum() == other.sum() {
		t.Error("another seed gave the same records")
	}
}

func TestAdvance_DemandIsWhatWasAskedFor(t *testing.T) {
	_, s := play(t, example(t), 3, 3000, 14, 7*24*time.Hour)
	if got := s.Stats().Requests; got < 14*3000*85/100 || got > 14*3000*115/100 {
		t.Errorf("%d requests in 14 days, 3000 a day were asked for", got)
	}
	if st := s.Stats(); st.Served == 0 || st.Unserved == 0 || st.Suspense == 0 || st.Refused == 0 || st.Restarts == 0 {
		t.Errorf("something never happened: %+v", st)
	}
}

// Every record must be one that the live gateway could have written.
func TestAdvance_KeepsRightsTermsAndPairs(t *testing.T) {
	a := example(t)
	j, s := play(t, a, 5, 3000, 10, 36*time.Hour)
	rights, open, attempts := right.New(a), map[uint64]*record.Intent{}, map[record.AttemptID]bool{}
	outcomes := map[record.Status]int64{}
	for i := range j.records {
		r := &j.records[i]
		switch {
		case r.Intent != nil:
			in := r.Intent
			pool, plan := a.Pool(alliance.PoolID(in.Pool)), a.Plan(alliance.PlanID(in.Plan))
			model := alliance.ModelID(in.Model)
			for i := range a.Models {
				if m := &a.Models[i]; string(m.ID)+"@"+m.Version == in.Model {
					model = m.ID
				}
			}
			if in.Variant != "" {
				model = a.Variants[0].ID
			}
			v := rights.Evaluate(right.Query{
				Object: alliance.StatelessAPI, Model: model, Seller: plan.Seller, Channel: alliance.ChannelID(in.Channel), Host: pool.Provider,
				Region: pool.Region, Territory: alliance.Territory(in.Territory), At: time.Unix(0, r.At), Known: time.Unix(0, r.At),
			})
			if !v.Allowed || string(v.By.ID) != in.Right {
				t.Fatalf("record %d: no right for %s at %s", r.Sequence, in.Model, in.Pool)
			}
			if !pool.Residency.In(plan.Residency) || !a.Contract(pool.Contract).Holds(time.Unix(0, r.At)) {
				t.Fatalf("record %d: pool %s may not serve plan %s", r.Sequence, in.Pool, in.Plan)
			}
			if attempts[in.Attempt] {
				t.Fatalf("attempt %s twice", in.Attempt)
			}
			attempts[in.Attempt], open[r.Sequence] = true, in
		case r.Outcome != nil:
			in := open[r.Outcome.Intent]
			if in == nil || in.Attempt != r.Outcome.Attempt {
				t.Fatalf("record %d has no intent", r.Sequence)
			}
			delete(open, r.Outcome.Intent)
			outcomes[r.Outcome.Status]++
		}
	}
	st := s.Stats()
	if outcomes[record.Served] != st.Served || outcomes[record.Unserved] != st.Unserved || outcomes[record.Suspense]+outcomes[record.Abandoned] != st.Suspense {
		t.Errorf("records %v, counted %+v", outcomes, st)
	}
	for _, total := range ledger.TrialBalance(j.book.Balances()) {
		if total.Debits != total.Credits {
			t.Errorf("%s: debits %s, credits %s", total.Asset, total.Debits, total.Credits)
		}
	}
}

func TestNew_RefusesWhatCannotBePlayed(t *testing.T) {
	random := rand.NewPCG(1, 1).Uint64
	for _, row := range []struct {
		name string
		a    *alliance.Alliance
		o    sim.Options
	}{
		{"no instant", example(t), sim.Options{RequestsPerDay: 1, Random: random}},
		{"no randomness", example(t), sim.Options{From: january, RequestsPerDay: 1}},
		{"no requests", example(t), sim.Options{From: january, Random: random}},
		{"too many requests", example(t), sim.Options{From: january, Random: random, RequestsPerDay: sim.MaxRequestsPerDay + 1}},
		{"nobody to ask", (&alliance.Alliance{}).Build(), sim.Options{From: january, Random: random, RequestsPerDay: 1}},
	} {
		t.Run(row.name, func(t *testing.T) {
			if _, err := sim.New(row.a, row.o); err == nil {
				t.Error("it was accepted")
			}
		})
	}
}

func BenchmarkAdvance(b *testing.B) {
	a, _, err := file.LoadFS(examples.FS, "openai-amazon/alliance.yaml", "")
	if err != nil {
		b.Fatal(err)
	}
	j := &tape{t: &testing.T{}, terms: ledger.NewTerms(a), book: ledger.New(func(string) (*alliance.Alliance, error) { return a, nil })}
	s, err := sim.New(a, sim.Options{From: january, RequestsPerDay: 550, Odds: sim.UsualOdds(), Random: rand.NewPCG(1, 1).Uint64})
	if err != nil {
		b.Fatal(err)
	}
	for b.Loop() {
		if err := s.Advance(s.Now().Add(24*time.Hour), j); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(float64(s.Stats().Requests)/b.Elapsed().Seconds(), "requests/s")
	b.ReportMetric(0, "ns/op")
}
