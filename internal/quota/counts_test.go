package quota

import (
	"errors"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/accordo-ai/accordo/internal/alliance"
	"github.com/accordo-ai/accordo/internal/money"
)

// TestCounts_GoOnWhereTheyWereKept counts use into one book, and into another
// that was kept and restored in between: nobody can tell them apart.
func TestCounts_GoOnWhereTheyWereKept(t *testing.T) {
	l := alliance.Limits{TokensPerDay: 1 << 40, TokensPerMonth: 1 << 40, SpendPerDay: 1 << 40, SpendPerMonth: 1 << 40}
	subjects := []string{"a", "b", "c"}
	rapid.Check(t, func(t *rapid.T) {
		whole, kept := New(Options{}), New(Options{})
		now := start
		for range rapid.IntRange(0, 20).Draw(t, "steps") {
			now = now.Add(time.Duration(rapid.SampledFrom([]int{1, 60, 7200, 86400}).Draw(t, "seconds")) * time.Second)
			subject := rapid.SampledFrom(subjects).Draw(t, "subject")
			tokens, spend := rapid.Int64Range(0, 1000).Draw(t, "tokens"), money.Amount(rapid.Int64Range(0, 1000).Draw(t, "spend"))
			whole.Restore(now, subject, l, tokens, spend)
			kept.Restore(now, subject, l, tokens, spend)
			if rapid.Bool().Draw(t, "keep") {
				b := kept.AppendCounts(nil, now)
				kept = New(Options{})
				if err := kept.RestoreCounts(b); err != nil {
					t.Fatal(err)
				}
			}
		}
		for _, subject := range subjects {
			if d := cmp.Diff(whole.State(now, subject, l), kept.State(now, subject, l)); d != "" {
				t.Fatal(d)
			}
		}
	})
}

func TestRestoreCounts_Refuses(t *testing.T) {
	b := New(Options{})
	b.Restore(start, "a", alliance.Limits{TokensPerDay: 10}, 3, 4)
	whole := b.AppendCounts(nil, start)
	one := whole[1:]
	cases := map[string][]byte{
		"nothing":         nil,
		"another version": append([]byte{countsVersion + 1}, one...),
		"a subject twice": append(append([]byte(nil), whole...), one...),
		"a wrong flag":    append(append([]byte(nil), whole[:len(whole)-1]...), 2),
	}
	for n := 2; n < len(whole); n++ {
		cases["cut at "+string(rune('0'+n%10))+string(rune('a'+n/10))] = whole[:n]
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			if err := New(Options{}).RestoreCounts(c); !errors.Is(err, ErrCounts) {
				t.Errorf("got %v", err)
			}
		})
	}
	t.Run("more subjects than fit", func(t *testing.T) {
		b.Restore(start, "b", alliance.Limits{}, 3, 4)
		if err := New(Options{MaxSubjects: 1}).RestoreCounts(b.AppendCounts(nil, start)); !errors.Is(err, ErrCounts) {
			t.Errorf("got %v", err)
		}
	})
}

func FuzzRestoreCounts(f *testing.F) {
	b := New(Options{})
	b.Restore(start, "a", alliance.Limits{TokensPerMonth: 10}, 3, 4)
	f.Add(b.AppendCounts(nil, start))
	f.Fuzz(func(t *testing.T, src []byte) {
		b := New(Options{MaxSubjects: 100})
		if err := b.RestoreCounts(src); err != nil {
			return
		}
		again := New(Options{MaxSubjects: 100})
		if err := again.RestoreCounts(b.AppendCounts(nil, time.Unix(0, 0))); err != nil {
			t.Error(err)
		}
	})
}
