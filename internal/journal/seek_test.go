package journal

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/accordo-ai/accordo/internal/record"
)

// TestRead_FromAnywhereInALongSegment reads single records of a segment that
// is much longer than what a search looks at, where every text claims to be
// other records.
func TestRead_FromAnywhereInALongSegment(t *testing.T) {
	const records = 2500
	random := rand.New(rand.NewPCG(5, 5))
	dir := t.TempDir()
	j, _, err := Open(dir, Options{Node: "n1"})
	if err != nil {
		t.Fatal(err)
	}
	defer j.Close()
	for n := 1; n <= records; n++ {
		in := &record.Intent{Attempt: record.AttemptID(fmt.Sprintf("a%d", n)), Request: fmt.Sprintf("r%d", n), Terms: "t", Pool: strings.Repeat("p", random.IntN(900))}
		in.EndUser = lies(t, uint64(1+random.IntN(records)))
		in.Key = lies(t, uint64(1+random.IntN(records)))
		if _, err := j.Intent(t.Context(), in); err != nil {
			t.Fatal(err)
		}
	}
	if size := j.State().SegmentBytes; size < 8*seekMargin {
		t.Fatalf("the segment has only %d bytes", size)
	}
	for range 120 {
		from := uint64(1 + random.IntN(records))
		next := from
		for r, err := range Read(dir, from) {
			if err != nil {
				t.Fatalf("from record %d: %v", from, err)
			}
			if r.Sequence != next || r.Intent == nil || r.Intent.Request != fmt.Sprintf("r%d", next) {
				t.Fatalf("from record %d: read %d with %+v, want %d", from, r.Sequence, r.Intent, next)
			}
			if next++; next > from+3 {
				break
			}
		}
		if next == from {
			t.Fatalf("record %d was not found", from)
		}
	}
}

// lies is a text of frames with sequence numbers from n on.
func lies(t *testing.T, n uint64) string {
	t.Helper()
	var b []byte
	for len(b) < 2000 {
		r := record.Record{Sequence: n, At: 1, Kind: record.KindIntent, Intent: &record.Intent{Attempt: "lie", Request: "lie", Terms: "t"}}
		var err error
		if b, err = appendFrame(b, &r); err != nil {
			t.Fatal(err)
		}
		n++
	}
	return string(b)
}
