package record

import (
	"bytes"
	"encoding/hex"
	"errors"
	"flag"
	"fmt"
	"math"
	"os"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/accordo-ai/accordo/internal/usage"
)

var update = flag.Bool("update", false, "append missing golden records")

// samples are one record of each kind, and of each kind at its extremes.
func samples() map[string]Record {
	full := Record{Sequence: 7, At: 1_790_000_000_123_456_789, Kind: KindIntent, Intent: &Intent{
		Attempt: "0f1e2d3c4b5a69780011223344556677", Request: "req-1", Number: 2, Decision: 41,
		Terms: strings.Repeat("ab", 32), Tenant: "acme", Key: "key-1", Plan: "api", Channel: "openai-api",
		Territory: "US", EndUser: "user 9", Model: "openai-frontier@2026-04", Variant: "assistant-custom@deadbeef",
		Pool: "aws-gb200", Contract: "aws-38bn", Right: "r-api", CostPrice: "p-1", SalePrice: "s-1",
		Estimate: usage.Vector{UncachedInput: 100, CacheRead: 1, CacheWrite: 2, Output: 300, Reasoning: 4}, Stream: true,
		Considered: []Considered{
			{Pool: "aws-gb200", Verdict: Chosen, Cost: 12, Price: 10, Scarcity: 1, Latency: 1, LambdaPPM: 250_000},
			{Pool: "azure", Verdict: Dearer, Cost: math.MaxInt64, Price: math.MinInt64},
		},
	}}
	return map[string]Record{
		"intent":       full,
		"intent empty": {Kind: KindIntent, Intent: &Intent{}},
		"outcome": {Sequence: 8, At: 1_790_000_001_000_000_000, Kind: KindOutcome, Outcome: &Outcome{
			Attempt: "0f1e2d3c4b5a69780011223344556677", Intent: 7, Observation: 42, Status: Served,
			Usage: usage.Vector{UncachedInput: 90, CacheRead: 11, Output: 222}, Tier: "default", Upstream: "chatcmpl-1",
			Version: "2026-04-14", TTFT: 250_000_000, Duration: 876_543_211,
		}},
		"outcome suspense": {Sequence: math.MaxUint64, At: math.MinInt64, Kind: KindOutcome, Outcome: &Outcome{Status: Suspense, Reason: "client left", Duration: -1}},
		"mark":             {Sequence: 9, At: 1_790_000_002_000_000_000, Kind: KindMark, Mark: &Mark{}},
		"start":            {Sequence: 1, At: 1, Kind: KindStart, Start: &Start{Version: "v0.1.0", Terms: strings.Repeat("01", 32), Node: "n1"}},
		"refusal": {Sequence: 10, At: 2, Kind: KindRefusal, Refusal: &Refusal{
			Request: "req-2", Tenant: "acme", Key: "key-1", Plan: "free",
			Channel: "app", Territory: "CA", EndUser: "u", Terms: strings.Repeat("ff", 32), Model: "openai-frontier",
			Code: "model_not_found", Reason: "no right", Considered: []Considered{{Pool: "p", Verdict: Expired}},
		}},
	}
}

const golden = "testdata/v1.golden"

// TestCodec_ReadsGoldenRecords holds every later version of the program to the
// bytes that this one writes.
func TestCodec_ReadsGoldenRecords(t *testing.T) {
	data, err := os.ReadFile(golden)
	if err != nil && !*update {
		t.Fatal(err)
	}
	kept := map[string]string{}
	for line := range strings.Lines(string(data)) {
		if name, text, ok := strings.Cut(strings.TrimSpace(line), ": "); ok && !strings.HasPrefix(line, "#") {
			kept[name] = text
		}
	}
	for name, want := range samples() {
		enc := Append(nil, &want)
		if *update && kept[name] == "" {
			data = fmt.Appendf(data, "%s: %x\n", name, enc)
			continue
		}
		b, err := hex.DecodeString(kept[name])
		if err != nil || len(b) == 0 {
			t.Errorf("%s: no golden bytes (%v)", name, err)
			continue
		}
		got, err := Decode(b)
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		if d := cmp.Diff(want, got); d != "" {
			t.Errorf("%s: golden bytes read differently (-want +got):\n%s", name, d)
		}
		if !bytes.Equal(enc, b) {
			t.Errorf("%s: written as\n%x\nwant\n%x", name, enc, b)
		}
	}
	if *update {
		if err := os.WriteFile(golden, data, 0o644); err != nil {
			t.Fatal(err)
		}
	}
}

func genText() *rapid.Generator[string] {
	return rapid.OneOf(rapid.StringN(0, 40, -1), rapid.StringMatching(`[0-9a-f]{0,70}`),
		rapid.Map(rapid.SliceOfN(rapid.Byte(), 0, 50), func(b []byte) string { return string(b) }),
		rapid.Just(strings.Repeat("x", MaxText)), rapid.Just(strings.Repeat("a", MaxText)))
}

func genUsage(t *rapid.T) usage.Vector {
	n := rapid.Int64()
	return usage.Vector{UncachedInput: n.Draw(t, "i"), CacheRead: n.Draw(t, "r"), CacheWrite: n.Draw(t, "w"), Output: n.Draw(t, "o"), Reasoning: n.Draw(t, "g")}
}

func genConsidered(t *rapid.T) []Considered {
	n := rapid.IntRange(0, 5).Draw(t, "candidates")
	var cs []Considered
	i64 := rapid.Int64()
	for range n {
		cs = append(cs, Considered{
			Pool: genText().Draw(t, "pool"), Verdict: Verdict(rapid.IntRange(1, 7).Draw(t, "verdict")),
			Cost: i64.Draw(t, "c"), Price: i64.Draw(t, "p"), Scarcity: i64.Draw(t, "s"), Latency: i64.Draw(t, "l"), LambdaPPM: i64.Draw(t, "ppm"),
		})
	}
	return cs
}

func genRecord(t *rapid.T) Record {
	r := Record{Sequence: rapid.Uint64().Draw(t, "sequence"), At: rapid.Int64().Draw(t, "at"), Kind: Kind(rapid.IntRange(1, 5).Draw(t, "kind"))}
	switch r.Kind {
	case KindIntent:
		r.Intent = &Intent{
			Number: rapid.Int32().Draw(t, "number"), Decision: rapid.Uint64().Draw(t, "decision"),
			Estimate: genUsage(t), Stream: rapid.Bool().Draw(t, "stream"), Considered: genConsidered(t),
		}
	case KindOutcome:
		r.Outcome = &Outcome{
			Intent: rapid.Uint64().Draw(t, "intent"), Observation: rapid.Uint64().Draw(t, "obs"),
			Status: Status(rapid.IntRange(1, 4).Draw(t, "status")), Usage: genUsage(t), TTFT: rapid.Int64().Draw(t, "ttft"), Duration: rapid.Int64().Draw(t, "dur"),
		}
	case KindMark:
		r.Mark = &Mark{}
	case KindStart:
		r.Start = &Start{}
	case KindRefusal:
		r.Refusal = &Refusal{Considered: genConsidered(t)}
	}
	for _, s := range r.texts(nil) {
		*s = genText().Draw(t, "text")
	}
	return r
}

func TestCodec_RoundTrips(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		want := genRecord(t)
		if err := want.Check(); err != nil {
			t.Fatal(err)
		}
		prefix := []byte("before")
		b := Append(prefix, &want)
		if !bytes.HasPrefix(b, prefix) {
			t.Fatal("Append changed what was there")
		}
		got, err := Decode(b[len(prefix):])
		if err != nil {
			t.Fatal(err)
		}
		if d := cmp.Diff(want, got); d != "" {
			t.Fatal(d)
		}
	})
}

// TestCodec_EveryTextIsWritten sets one text after the other and expects
// other bytes each time, so that a new field cannot be forgotten.
func TestCodec_EveryTextIsWritten(t *testing.T) {
	for name, r := range samples() {
		for i := range r.texts(nil) {
			before := Append(nil, &r)
			s := r.texts(nil)[i]
			old := *s
			*s += "!"
			if bytes.Equal(before, Append(nil, &r)) {
				t.Errorf("%s: text %d is not written", name, i)
			}
			*s = old
		}
	}
}

func TestDecode_RefusesEveryCutAndEveryExtension(t *testing.T) {
	for name, r := range samples() {
		b := Append(nil, &r)
		for n := range b {
			if _, err := Decode(b[:n]); !errors.Is(err, ErrMalformed) {
				t.Errorf("%s cut to %d of %d bytes: error %v", name, n, len(b), err)
			}
		}
		if _, err := Decode(append(b, 0)); !errors.Is(err, ErrMalformed) {
			t.Errorf("%s with a byte more: error %v", name, err)
		}
	}
}

func TestDecode_Refuses(t *testing.T) {
	head := func(kind byte) []byte { return []byte{1, kind, 5, 0, 0, 0, 0, 0, 0, 0, 0} }
	rows := []struct {
		name string
		b    []byte
		want error
	}{
		{"nothing", nil, ErrMalformed},
		{"version zero", []byte{0, 3, 5, 0, 0, 0, 0, 0, 0, 0, 0}, ErrMalformed},
		{"a newer version", []byte{2, 3, 5, 0, 0, 0, 0, 0, 0, 0, 0}, ErrNewer},
		{"an unknown kind", head(6), ErrMalformed},
		{"a sequence longer than it need be", []byte{1, 3, 0x85, 0, 0, 0, 0, 0, 0, 0, 0, 0}, ErrMalformed},
		{"a sequence beyond 64 bits", append([]byte{1, 3, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 2}, make([]byte, 8)...), ErrMalformed},
		{"a text beyond its limit", append(head(4), 0x82, 0x40), ErrMalformed},
		{"a text that had to be packed", append(head(4), append([]byte{16}, "deadbeef\x00\x00"...)...), ErrMalformed},
		{"a packed text too short to pack", append(head(4), 7, 1, 2, 3, 0, 0), ErrMalformed},
		{"a huge count of candidates", append(append(head(5), make([]byte, 11)...), 0xff, 0x07), ErrMalformed},
		{"more than the largest record", make([]byte, MaxBytes+1), ErrMalformed},
	}
	for _, row := range rows {
		t.Run(row.name, func(t *testing.T) {
			if r, err := Decode(row.b); !errors.Is(err, row.want) {
				t.Errorf("got %+v, %v, want %v", r, err, row.want)
			}
		})
	}
	ok := append(head(4), append([]byte{9, 0xde, 0xad, 0xbe, 0xef}, 0, 0)...)
	if r, err := Decode(ok); err != nil || r.Start.Version != "deadbeef" {
		t.Errorf("the accepted neighbour of these rows: %+v, %v", r, err)
	}
}

func TestCheck_Refuses(t *testing.T) {
	rows := []struct {
		name string
		r    Record
	}{
		{"no body", Record{Kind: KindMark}},
		{"two bodies", Record{Kind: KindMark, Mark: &Mark{}, Start: &Start{}}},
		{"another body than the kind", Record{Kind: KindMark, Start: &Start{}}},
		{"an unknown kind", Record{Kind: 9, Mark: &Mark{}}},
		{"an unknown status", Record{Kind: KindOutcome, Outcome: &Outcome{}}},
		{"an unknown verdict", Record{Kind: KindIntent, Intent: &Intent{Considered: []Considered{{}}}}},
		{"too many candidates", Record{Kind: KindIntent, Intent: &Intent{Considered: make([]Considered, MaxConsidered+1)}}},
		{"a text beyond the limit", Record{Kind: KindRefusal, Refusal: &Refusal{Reason: strings.Repeat("x", MaxText+1)}}},
		{"a pool beyond the limit", Record{Kind: KindRefusal, Refusal: &Refusal{Considered: []Considered{{Verdict: Chosen, Pool: strings.Repeat("x", MaxText+1)}}}}},
	}
	for _, row := range rows {
		t.Run(row.name, func(t *testing.T) {
			if err := row.r.Check(); !errors.Is(err, ErrInvalid) {
				t.Errorf("error %v", err)
			}
		})
	}
}

func TestAppend_AllocatesNothing(t *testing.T) {
	r := samples()["intent"]
	buf := make([]byte, 0, 4096)
	if n := testing.AllocsPerRun(100, func() { buf = Append(buf[:0], &r) }); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

func FuzzDecode(f *testing.F) {
	for _, r := range samples() {
		f.Add(Append(nil, &r))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		r, err := Decode(b)
		if err != nil {
			if !errors.Is(err, ErrMalformed) && !errors.Is(err, ErrNewer) {
				t.Fatalf("an error of another kind: %v", err)
			}
			return
		}
		if err := r.Check(); err != nil {
			t.Fatalf("decoded what may not be written: %v", err)
		}
		if again := Append(nil, &r); !bytes.Equal(again, b) {
			t.Fatalf("not canonical:\n%x\n%x", b, again)
		}
	})
}

func BenchmarkAppend(b *testing.B) {
	r := samples()["intent"]
	var buf []byte
	for b.Loop() {
		buf = Append(buf[:0], &r)
	}
	b.SetBytes(int64(len(buf)))
}

func BenchmarkDecode(b *testing.B) {
	r := samples()["intent"]
	buf := Append(nil, &r)
	b.SetBytes(int64(len(buf)))
	for b.Loop() {
		if _, err := Decode(buf); err != nil {
			b.Fatal(err)
		}
	}
}

// TestMemory_DecodesWhatDecodeDoes reads many records into one memory, of
// which those since the last reset must all stay as they are.
func TestMemory_DecodesWhatDecodeDoes(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var m Memory
		for range rapid.IntRange(1, 4).Draw(t, "batches") {
			var got, want []Record
			for range rapid.IntRange(0, 6).Draw(t, "records") {
				r := genRecord(t)
				b := Append(nil, &r)
				decoded, err := m.Decode(b)
				if err != nil {
					t.Fatal(err)
				}
				alone, err := Decode(b)
				if err != nil {
					t.Fatal(err)
				}
				got, want = append(got, decoded), append(want, alone)
			}
			if diff := cmp.Diff(want, got); diff != "" {
				t.Fatal(diff)
			}
			m.Reset()
		}
	})
}
