package gateway

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/accordo-ai/accordo/internal/alliance"
	"github.com/accordo-ai/accordo/internal/record"
	"github.com/accordo-ai/accordo/internal/request"
	"github.com/accordo-ai/accordo/internal/usage"
)

// countedTerms have a plan that counts keys and one that counts end users.
func countedTerms() *alliance.Alliance {
	l := alliance.Limits{TokensPerDay: 1 << 30, TokensPerMonth: 1 << 30, SpendPerDay: 1 << 30, SpendPerMonth: 1 << 30}
	a := &alliance.Alliance{Hash: "terms", Plans: []alliance.Plan{
		{ID: "api", Limits: l, Price: &alliance.SalePrice{Rates: alliance.Rates{Input: 1_000_000, Output: 3_000_000}}},
		{ID: "app", Limits: l, Subject: "end_user"},
	}}
	a.Build()
	return a
}

// drawJournal draws intents and their outcomes, in any order that a journal
// can have them.
func drawJournal(t *rapid.T) (list []record.Record) {
	at := time.Date(2026, 5, 30, 22, 0, 0, 0, time.UTC)
	var open []uint64
	for range rapid.IntRange(0, 40).Draw(t, "records") {
		at = at.Add(time.Duration(rapid.IntRange(0, 7200).Draw(t, "seconds")) * time.Second)
		r := record.Record{Sequence: uint64(len(list) + 1), At: at.UnixNano()}
		if i := rapid.IntRange(-2, len(open)-1).Draw(t, "outcome"); i >= 0 {
			r.Kind, r.Outcome = record.KindOutcome, &record.Outcome{
				Intent: open[i], Status: record.Status(rapid.IntRange(1, 4).Draw(t, "status")),
				Usage:  usage.Vector{UncachedInput: rapid.Int64Range(0, 500).Draw(t, "in"), Output: rapid.Int64Range(0, 500).Draw(t, "out")},
				Reason: rapid.SampledFrom([]string{"", request.ReasonNoUsage, request.ReasonCut}).Draw(t, "reason"), TTFT: rapid.Int64Range(0, 1).Draw(t, "ttft"),
			}
			open = append(open[:i], open[i+1:]...)
		} else {
			r.Kind, r.Intent = record.KindIntent, &record.Intent{
				Plan: rapid.SampledFrom([]string{"api", "app", "gone"}).Draw(t, "plan"), Tenant: "t", Key: "k",
				EndUser: rapid.SampledFrom([]string{"", "u", "v"}).Draw(t, "user"), Stream: rapid.Bool().Draw(t, "stream"),
			}
			open = append(open, r.Sequence)
		}
		list = append(list, r)
	}
	return list
}

// TestCounts_GoOnFromWhereTheyWereKept compares counts that were kept at some
// records, with intents open, and gone on from with those of the whole journal.
func TestCounts_GoOnFromWhereTheyWereKept(t *testing.T) {
	a := countedTerms()
	rapid.Check(t, func(t *rapid.T) {
		list := drawJournal(t)
		whole, kept := NewCounts(a, 1), NewCounts(a, 1)
		now := time.Date(2026, 5, 30, 22, 0, 0, 0, time.UTC)
		for i := range list {
			whole.Take(&list[i])
			kept.Take(&list[i])
			now = time.Unix(0, list[i].At)
			if !rapid.Bool().Draw(t, "keep") {
				continue
			}
			var err error
			if kept, err = ResumeCounts(a, kept.Keep(now)); err != nil {
				t.Fatal(err)
			}
			if kept.Last() != list[i].Sequence {
				t.Fatalf("kept at record %d, goes on after %d", list[i].Sequence, kept.Last())
			}
			for j := kept.From(); j <= kept.Last(); j++ {
				kept.Take(&list[j-1])
			}
		}
		for i := range a.Plans {
			p := &a.Plans[i]
			for _, user := range []string{"", "u", "v"} {
				subject := request.Subject(p, "t", "k", user)
				if d := cmp.Diff(whole.Book().State(now, subject, p.Bounds()), kept.Book().State(now, subject, p.Bounds())); d != "" {
					t.Fatalf("%s: %s", subject, d)
				}
			}
		}
	})
}

// TestCounts_AClockThatIsAheadTakesNothingAway keeps counts by a clock that is a
// year ahead of the records.
func TestCounts_AClockThatIsAheadTakesNothingAway(t *testing.T) {
	a, at := countedTerms(), time.Date(2026, 5, 30, 22, 0, 0, 0, time.UTC)
	c := NewCounts(a, 1)
	c.Take(&record.Record{Sequence: 1, At: at.UnixNano(), Kind: record.KindIntent, Intent: &record.Intent{Plan: "api", Key: "k"}})
	c.Take(&record.Record{Sequence: 2, At: at.UnixNano(), Kind: record.KindOutcome, Outcome: &record.Outcome{Intent: 1, Status: record.Served, Usage: usage.Vector{Output: 5}}})
	again, err := ResumeCounts(a, c.Keep(at.AddDate(1, 0, 0)))
	if err != nil {
		t.Fatal(err)
	}
	if s := again.Book().State(at, "key:k", a.Plan("api").Bounds()); s[0].Used != 5 {
		t.Errorf("%d tokens are counted after the start", s[0].Used)
	}
}

func TestResumeCounts_Refuses(t *testing.T) {
	a := countedTerms()
	c := NewCounts(a, 1)
	c.Take(&record.Record{Sequence: 1, Kind: record.KindIntent, Intent: &record.Intent{Plan: "api", Key: "k"}})
	c.Take(&record.Record{Sequence: 2, Kind: record.KindOutcome, Outcome: &record.Outcome{Intent: 1, Status: record.Served, Usage: usage.Vector{Output: 5}}})
	good := string(c.Keep(time.Unix(0, 0)))
	if _, err := ResumeCounts(a, []byte(good)); err != nil {
		t.Fatal(err)
	}
	for name, kept := range map[string]string{
		"nothing":         "",
		"no head":         "counts",
		"another version": strings.Replace(good, `"version":1`, `"version":2`, 1),
		"other terms":     strings.Replace(good, `"terms":"terms"`, `"terms":"others"`, 1),
		"a false place":   strings.Replace(good, `"from":3`, `"from":4`, 1),
		"no place":        strings.Replace(good, `"from":3`, `"from":0`, 1),
		"a cut":           good[:len(good)-1],
		"a changed count": good[:len(good)-2] + fmt.Sprint(7) + good[len(good)-1:],
	} {
		t.Run(name, func(t *testing.T) {
			if _, err := ResumeCounts(a, []byte(kept)); !errors.Is(err, ErrCounts) {
				t.Errorf("got %v", err)
			}
		})
	}
}
