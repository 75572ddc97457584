package journal

import (
	"bytes"
	"encoding/binary"
	"errors"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/accordo-ai/accordo/internal/record"
)

// safeAt says that up to which record a caller was told that it is safe, at
// an instant of the file system's log.
type safeAt struct {
	instant int
	seq     uint64
}

// recorded runs a journal over several segments and returns the log of its
// disk, the records and when each was called safe.
func recorded(t *testing.T, durability string) ([]op, []record.Record, []safeAt) {
	m := newMemFS()
	o := options(m)
	o.Durability = durability
	j, _ := mustOpen(t, o)
	var safe []safeAt
	note := func(seq uint64, err error) uint64 {
		must(t)(seq, err)
		safe = append(safe, safeAt{m.instants(), seq})
		return seq
	}
	ctx := t.Context()
	note(j.Start(ctx, "v1", strings.Repeat("ab", 32)))
	a := note(j.Intent(ctx, intent(1)))
	for n := 2; n < 14; n++ {
		b := note(j.Intent(ctx, intent(n)))
		if n%4 != 0 {
			note(j.Outcome(ctx, outcome(a, n-1)))
			a = b
		}
		if n%5 == 0 {
			note(j.Mark(ctx))
		}
	}
	return m.log(), mustAll(t, j.Read(1)), safe
}

// openOf is the intents of rs without an outcome.
func openOf(rs []record.Record) []uint64 {
	var open []uint64
	for _, r := range rs {
		switch {
		case r.Intent != nil:
			open = append(open, r.Sequence)
		case r.Outcome != nil:
			open = slices.DeleteFunc(open, func(s uint64) bool { return s == r.Outcome.Intent })
		}
	}
	return open
}

// checkRestart opens what a crash left, and demands: a prefix of want, of at
// least safe records, whose open intents are found; then it closes them,
// starts, and demands that all is whole.
func checkRestart(t *testing.T, what any, disk *memFS, want []record.Record, safe uint64) {
	t.Helper()
	for _, durability := range []string{Crash, Disk} {
		o := options(disk.clone())
		o.Durability = durability
		checkRestartWith(t, []any{what, durability}, o, want, safe)
	}
}

func checkRestartWith(t *testing.T, what any, o Options, want []record.Record, safe uint64) {
	t.Helper()
	disk := o.FS
	before := mustAll(t, ReadFS(disk, dir, 1))
	j, rec, err := Open(dir, o)
	if err != nil {
		t.Fatalf("%v: %v", what, err)
	}
	got := mustAll(t, j.Read(1))
	if uint64(len(got)) < safe || len(got) > len(want) || rec.Last != uint64(len(got)) {
		t.Fatalf("%v: %d records, %d were safe, last %d", what, len(got), safe, rec.Last)
	}
	if d := diff(want[:len(got)], got); d != "" {
		t.Fatalf("%v: %s", what, d)
	}
	if d := diff(got, before); d != "" {
		t.Fatalf("%v: a reader before the repair saw something else: %s", what, d)
	}
	var open []uint64
	for _, o := range rec.Open {
		open = append(open, o.Sequence)
	}
	if d := diff(openOf(got), open); d != "" {
		t.Fatalf("%v: open intents: %s", what, d)
	}
	if n, err := j.Abandon(t.Context(), rec.Open); err != nil || n != len(open) {
		t.Fatalf("%v: abandoned %d of %d: %v", what, n, len(open), err)
	}
	if n, err := j.Abandon(t.Context(), rec.Open); err != nil || n != 0 {
		t.Fatalf("%v: abandoned again: %d, %v", what, n, err)
	}
	must(t)(j.Start(t.Context(), "v2", ""))
	if err := j.Close(); err != nil {
		t.Fatal(err)
	}
	reopened, rec, err := Open(dir, o)
	if err != nil || rec.Open != nil || rec.Repairs != nil {
		t.Fatalf("%v: opened again: %+v, %v", what, rec, err)
	}
	must(t)(0, reopened.Close())
	final := mustAll(t, ReadFS(disk, dir, 1))
	checkWhole(t, final)
	if len(final) != len(got)+len(open)+1 {
		t.Fatalf("%v: %d records at the end, want %d", what, len(final), len(got)+len(open)+1)
	}
	for _, r := range final[len(got) : len(final)-1] {
		in := final[r.Outcome.Intent-1].Intent
		if r.Outcome.Status != record.Abandoned || r.Outcome.Usage != in.Estimate || r.Outcome.Attempt != in.Attempt || r.Outcome.Reason != "process ended" {
			t.Fatalf("%v: abandoned as %+v", what, r.Outcome)
		}
	}
}

func safeBy(safe []safeAt, instant int) (seq uint64) {
	for _, s := range safe {
		if s.instant <= instant {
			seq = s.seq
		}
	}
	return seq
}

func TestCrash_AtEveryByteKeepsWhatWasSafe(t *testing.T) {
	for _, durability := range []string{Crash, Disk} {
		ops, want, safe := recorded(t, durability)
		total := 0
		for _, o := range ops {
			total += o.steps()
		}
		for n := range total + 1 {
			o := options(after(ops, n))
			o.Durability = []string{Crash, Disk}[n%2]
			checkRestartWith(t, n, o, want, safeBy(safe, n))
		}
	}
}

// TestPowerLoss_AfterEveryOperationKeepsWhatWasSynced: with Disk an outcome or
// mark that was called safe is there; with Crash, a mark.
func TestPowerLoss_AfterEveryOperationKeepsWhatWasSynced(t *testing.T) {
	for _, durability := range []string{Crash, Disk} {
		ops, want, safe := recorded(t, durability)
		instant := 0
		for n, o := range ops {
			instant += o.steps()
			var durable uint64
			for _, s := range safe {
				r := want[s.seq-1]
				if s.instant <= instant && (r.Mark != nil || r.Outcome != nil && durability == Disk) {
					durable = s.seq
				}
			}
			for _, zeros := range []bool{false, true} {
				disk := afterPowerLoss(ops[:n+1], zeros)
				checkRestart(t, []any{durability, n, zeros}, disk, want, durable)
			}
		}
	}
}

// TestCrash_DuringTheRestart kills the process at every step of the repair and
// of what is written at restart.
func TestCrash_DuringTheRestart(t *testing.T) {
	for _, durability := range []string{Crash, Disk} {
		t.Run(durability, func(t *testing.T) { crashDuringTheRestart(t, durability) })
	}
}

func crashDuringTheRestart(t *testing.T, durability string) {
	ops, _, safe := recorded(t, durability)
	total := 0
	for _, o := range ops {
		total += o.steps()
	}
	for n := total - 200; n < total; n += 29 {
		first := after(ops, n)
		second := first.clone()
		o := options(second)
		o.Durability = durability
		j, rec := mustOpen(t, o)
		kept := mustAll(t, j.Read(1))
		if _, err := j.Abandon(t.Context(), rec.Open); err != nil {
			t.Fatal(err)
		}
		must(t)(j.Start(t.Context(), "v2", ""))
		wanted := mustAll(t, j.Read(1))
		steps := second.instants()
		for k := 0; k <= steps; k += 1 + k%2 { // writing ahead has many steps that are alike
			third := first.clone()
			left := k
			for _, o := range second.log() {
				if left < o.steps() {
					o.data = o.data[:min(left, len(o.data))]
					if o.kind == "write" {
						third.apply(o)
					}
					break
				}
				left -= o.steps()
				third.apply(o)
			}
			k, rec, err := Open(dir, options(third))
			if err != nil {
				t.Fatal(err)
			}
			got := mustAll(t, k.Read(1))
			if len(got) < len(kept) || uint64(len(got)) < safeBy(safe, n) {
				t.Fatalf("%d records of %d", len(got), len(kept))
			}
			if d := diff(wanted[:len(got)], got); d != "" {
				t.Fatal(d)
			}
			if len(openOf(got)) != len(rec.Open) {
				t.Fatalf("%d open intents, want %d", len(rec.Open), len(openOf(got)))
			}
		}
	}
}

// checkDamaged demands of a damaged journal: an error, or the records as they
// were written, of which Open may have cut off an end and said so.
func checkDamaged(t *testing.T, what any, disk *memFS, want []record.Record) {
	t.Helper()
	rs, err := all(ReadFS(disk, dir, 1))
	if len(rs) > len(want) {
		t.Fatalf("%v: a reader invented records", what)
	}
	if d := diff(want[:len(rs)], rs); d != "" {
		t.Fatalf("%v: a reader saw a wrong record: %s", what, d)
	}
	untouched := disk.clone()
	j, rec, oerr := Open(dir, options(disk))
	if oerr != nil {
		var c *CorruptionError
		if !errors.As(oerr, &c) && !errors.Is(oerr, ErrNewer) {
			t.Fatalf("%v: an error that does not say where: %v", what, oerr)
		}
		if !disk.equal(untouched) {
			t.Fatalf("%v: Open refused and changed the files", what)
		}
		if err == nil {
			t.Fatalf("%v: a reader saw nothing of %v", what, oerr)
		}
		return
	}
	got, gerr := all(j.Read(1))
	if gerr == nil && err == nil {
		if d := diff(rs, got); d != "" {
			t.Fatalf("%v: after Open: %s", what, d)
		}
		if len(got) < len(want) && len(rec.Repairs) != 1 {
			t.Fatalf("%v: %d of %d records and nothing reported: %+v", what, len(got), len(want), rec.Repairs)
		}
		if len(got) < len(want)-1 {
			t.Fatalf("%v: one damage lost %d records in silence", what, len(want)-len(got))
		}
		return
	}
	if gerr == nil || err == nil {
		t.Fatalf("%v: reader says %v, journal says %v", what, err, gerr)
	}
}

func TestDamage_AFlippedByteIsAnErrorOrARepairNeverAWrongRecord(t *testing.T) {
	_, want, _ := recorded(t, Crash)
	m := newMemFS()
	ops, _, _ := recorded(t, Crash)
	for _, o := range ops {
		m.apply(o)
	}
	repaired := 0
	for _, name := range m.names() {
		for at := range *m.files[name] {
			for _, flip := range []byte{0x01, 0x80, 0xff} {
				disk := m.clone()
				(*disk.files[name])[at] ^= flip
				checkDamaged(t, []any{name, at, flip}, disk, want)
				if len(mustAllOrNone(disk)) == len(want)-1 {
					repaired++
				}
			}
		}
	}
	if repaired == 0 {
		t.Error("no flip hit the last record: the test does not test what it says")
	}
}

func mustAllOrNone(m *memFS) []record.Record {
	rs, err := all(ReadFS(m, dir, 1))
	if err != nil {
		return nil
	}
	return rs
}

func TestDamage_MissingSegmentsAndCutSegmentsAreErrors(t *testing.T) {
	ops, want, _ := recorded(t, Crash)
	whole := newMemFS()
	for _, o := range ops {
		whole.apply(o)
	}
	names := whole.names()
	if len(names) < 4 {
		t.Fatalf("%d segments", len(names))
	}
	for k, name := range names[:len(names)-1] {
		for cut := range *whole.files[name] {
			disk := whole.clone()
			b := (*disk.files[name])[:cut]
			disk.files[name] = &b
			rs, err := all(ReadFS(disk, dir, 1))
			var c *CorruptionError
			if !errors.As(err, &c) || c.File != name || c.Last {
				t.Fatalf("segment %d cut to %d bytes: %d records, %v", k, cut, len(rs), err)
			}
			if d := diff(want[:len(rs)], rs); d != "" {
				t.Fatal(d)
			}
		}
		disk := whole.clone()
		delete(disk.files, name)
		if rs, err := all(ReadFS(disk, dir, 1)); err == nil {
			t.Errorf("segment %d removed: %d records and no error", k, len(rs))
		}
	}
}

// TestRead_RefusesSoundFramesThatDoNotContinueTheJournal writes segments by
// hand, each sound in itself.
func TestRead_RefusesSoundFramesThatDoNotContinueTheJournal(t *testing.T) {
	mark := func(seq uint64, at int64) []byte {
		b, err := appendFrame(nil, &record.Record{Sequence: seq, At: at, Kind: record.KindMark, Mark: &record.Mark{}})
		if err != nil {
			t.Fatal(err)
		}
		return b
	}
	join := func(parts ...[]byte) []byte { return slices.Concat(parts...) }
	frame := func(body ...byte) []byte {
		b := append(make([]byte, frameHead), body...)
		b[0] = byte(len(body))
		binary.LittleEndian.PutUint32(b[4:], frameSum(b[:4], body))
		return b
	}
	one := join(appendHeader(nil, header{first: 1, at: 5, oldest: 1, node: "n1"}), mark(1, 10), mark(2, 10))
	two := header{first: 3, at: 10, oldest: 3, previous: update(0, one), node: "n1"}
	with := func(change func(*header)) []byte {
		h := two
		change(&h)
		return join(appendHeader(nil, h), mark(3, 11))
	}
	rows := []struct {
		name   string
		one    []byte
		two    []byte
		want   error
		before int // records that are read
	}{
		{"a sound journal", one, with(func(*header) {}), nil, 3},
		{"a sequence that repeats", join(one, mark(2, 11)), nil, errOrder, 2},
		{"a sequence that leaps", join(one, mark(4, 11)), nil, errOrder, 2},
		{"a clock that falls", join(one, mark(3, 9)), nil, errClock, 2},
		{"a record of an unknown kind", join(one, frame(1, 9, 3, 0, 0, 0, 0, 0, 0, 0, 0)), nil, record.ErrMalformed, 2},
		{"a record of a newer version", join(one, frame(2, 9, 3, 0, 0, 0, 0, 0, 0, 0, 0)), nil, record.ErrNewer, 2},
		{"a segment of another node", one, with(func(h *header) { h.node = "n2" }), errNode, 2},
		{"a segment that continues another", one, with(func(h *header) { h.previous++ }), errChain, 2},
		{"a segment that is older than the one before", one, with(func(h *header) { h.at = 9 }), errClock, 2},
		{"a segment under another name", one, with(func(h *header) { h.first = 4 }), errHeader, 2},
		{"a segment too late", one[:len(one)-len(mark(2, 10))], with(func(*header) {}), errGap, 1},
	}
	for _, row := range rows {
		t.Run(row.name, func(t *testing.T) {
			m := newMemFS()
			m.files[segmentPath(dir, 1)] = &row.one
			if row.two != nil {
				m.files[segmentPath(dir, 3)] = &row.two
			}
			rs, err := all(ReadFS(m, dir, 1))
			if len(rs) != row.before || !errors.Is(err, row.want) {
				t.Errorf("%d records, error %v", len(rs), err)
			}
		})
	}
}

// TestDamage_ASegmentReplacedWithAnotherValidOneIsNoticed: it is noticed at the next
// segment, which knows the checksum of the one before.
func TestDamage_ASegmentReplacedWithAnotherValidOneIsNoticed(t *testing.T) {
	ops, _, _ := recorded(t, Crash)
	m := newMemFS()
	for _, o := range ops {
		m.apply(o)
	}
	name := m.names()[0]
	h, n, err := parseHeader(*m.files[name])
	if err != nil {
		t.Fatal(err)
	}
	h.at--
	b := append(appendHeader(nil, h), (*m.files[name])[n:]...)
	m.files[name] = &b
	_, err = all(ReadFS(m, dir, 1))
	if !errors.Is(err, errChain) {
		t.Errorf("error %v", err)
	}
}

func TestCorruptionError_NamesFileOffsetAndRemedy(t *testing.T) {
	m := newMemFS()
	o := options(m)
	o.SegmentBytes = 0
	j, _ := mustOpen(t, o)
	work(t, j, 5)
	name := m.names()[0]
	_, n, _ := parseHeader(*m.files[name])
	(*m.files[name])[n+20] ^= 1
	_, _, err := Open(dir, o)
	if err == nil {
		t.Fatal("opened")
	}
	want := "journal is damaged: /j/00000000000000000001.seg, byte 54, where record 1 should stand: the checksum does not match, and valid records follow. " +
		"Restore this file from a copy. If there is none: copy the directory, run `truncate -s 54 /j/00000000000000000001.seg`, and rebuild the books; " +
		"the records from 1 on are lost, and what they cost must be booked from the providers' invoices"
	if d := diff(want, err.Error()); d != "" {
		t.Error(d)
	}
}

func TestRead_OfANewerJournalSaysSo(t *testing.T) {
	m := newMemFS()
	j, _ := mustOpen(t, options(m))
	must(t)(j.Mark(t.Context()))
	name := m.names()[0]
	(*m.files[name])[8] = 2
	if _, err := all(ReadFS(m, dir, 1)); !errors.Is(err, ErrNewer) {
		t.Errorf("read: %v", err)
	}
	if _, _, err := Open(dir, options(m)); !errors.Is(err, ErrNewer) {
		t.Errorf("open: %v", err)
	}
}

// TestProperty_WhatWasSafeIsReadBack drives a journal with random records,
// faults, crashes and restarts against a list of what callers were told.
func TestProperty_WhatWasSafeIsReadBack(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		m := newMemFS()
		o := options(m)
		o.SegmentBytes = rapid.Int64Range(256, 2000).Draw(rt, "segment")
		o.Durability = rapid.SampledFrom([]string{Crash, Disk}).Draw(rt, "durability")
		j, _ := mustOpen(t, o)
		var told []record.Record // sequence and body
		var open []uint64
		ctx := t.Context()
		for range rapid.IntRange(1, 60).Draw(rt, "steps") {
			if rapid.IntRange(0, 5).Draw(rt, "fault?") == 0 {
				written, after := rapid.IntRange(0, 200).Draw(rt, "written"), rapid.IntRange(0, 3).Draw(rt, "after")
				m.setFail(func(o op) (int, error) {
					if o.kind == "truncate" {
						return 0, nil // see TestCrash_AfterARefusalThatCouldNotBeTakenBack
					}
					if o.kind == "sync" {
						return 0, nil // see TestJournal_FailedSyncIsFinal
					}
					if after--; after < 0 {
						return written, errors.New("injected")
					}
					return 0, nil
				})
			}
			var seq uint64
			var err error
			r := record.Record{}
			switch k := rapid.IntRange(0, 3).Draw(rt, "what"); {
			case k == 0 && len(open) > 0:
				in := open[rapid.IntRange(0, len(open)-1).Draw(rt, "which")]
				r.Kind, r.Outcome = record.KindOutcome, outcome(in, int(in))
				if seq, err = j.Outcome(ctx, r.Outcome); err == nil {
					open = slices.DeleteFunc(open, func(s uint64) bool { return s == in })
				}
			case k == 1:
				r.Kind, r.Mark = record.KindMark, &record.Mark{}
				seq, err = j.Mark(ctx)
			default:
				r.Kind, r.Intent = record.KindIntent, intent(len(told))
				if seq, err = j.Intent(ctx, r.Intent); err == nil {
					open = append(open, seq)
				}
			}
			m.setFail(nil)
			if err == nil {
				r.Sequence, r.At = seq, j.State().At
				told = append(told, r)
			}
			if rapid.IntRange(0, 9).Draw(rt, "crash?") == 0 {
				m = m.clone()
				o.FS = m
				var rec Recovery
				if j, rec, err = Open(dir, o); err != nil {
					rt.Fatal(err)
				}
				if len(rec.Open) != len(open) {
					rt.Fatalf("%d open intents, want %d", len(rec.Open), len(open))
				}
			}
		}
		for name, seq := range map[string]func() ([]record.Record, error){
			"journal": func() ([]record.Record, error) { return all(j.Read(1)) },
			"files":   func() ([]record.Record, error) { return all(ReadFS(m, dir, 1)) },
		} {
			got, err := seq()
			if err != nil {
				rt.Fatalf("%s: %v", name, err)
			}
			if d := diff(told, got); d != "" {
				rt.Fatalf("%s: %s", name, d)
			}
		}
	})
}

// TestCrash_AfterARefusalThatCouldNotBeTakenBack: the disk took the bytes,
// reported an error, refused to take them back, and the process ended. The
// record that its caller was refused is then there, as an intent in flight.
func TestCrash_AfterARefusalThatCouldNotBeTakenBack(t *testing.T) {
	for written := range 100 {
		m := newMemFS()
		j, _ := mustOpen(t, options(m))
		must(t)(j.Intent(t.Context(), intent(1)))
		m.setFail(func(o op) (int, error) { return written, errors.New("injected") })
		if _, err := j.Intent(t.Context(), intent(2)); !errors.Is(err, ErrWrite) {
			t.Fatal(err)
		}
		j, rec := mustOpen(t, options(m.clone()))
		rs := mustAll(t, j.Read(1))
		checkWhole(t, rs)
		if len(rs) > 2 || len(rec.Open) != len(rs) {
			t.Fatalf("%d records, %+v", len(rs), rec)
		}
	}
}

// FuzzSegment reads arbitrary bytes as the last of two segments.
func FuzzSegment(f *testing.F) {
	m := newMemFS()
	o := options(m)
	j, _ := mustOpen(f, o)
	for n := 0; len(m.names()) < 2; n++ {
		must(f)(j.Intent(f.Context(), intent(n)))
	}
	first, second := m.names()[0], m.names()[1]
	for n := range 3 {
		must(f)(j.Intent(f.Context(), intent(n)))
	}
	want := mustAll(f, j.Read(1))
	seed := *m.files[second]
	f.Add(seed)
	f.Add(seed[:len(seed)-5])
	f.Add(append(slices.Clone(seed), 0, 0, 0, 0, 0, 0, 0, 0, 0))
	f.Add([]byte{})
	fill := fillerOf(headerSumIn(seed))
	f.Add(append(slices.Clone(seed), fill.of(int64(len(seed)), 2*sectorBytes)...))
	hole := append(slices.Clone(seed), make([]byte, 2*sectorBytes)...)
	copy(hole[sectorBytes/2:], fill.of(sectorBytes/2, sectorBytes/2))
	f.Add(hole)
	cut := bytes.Index(seed, []byte("attempt"))
	f.Add(append(slices.Clone(seed[:cut]), seed[cut+1:]...))
	base := *m.files[first]
	before := 0
	for _, r := range want {
		if segmentName(r.Sequence) == second[len(dir)+1:] {
			before = int(r.Sequence) - 1
		}
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		disk := newMemFS()
		disk.files[first], disk.files[second] = &base, &b
		rs, err := all(ReadFS(disk, dir, 1))
		if len(rs) < before {
			t.Fatalf("%d records of a sound segment of %d: %v", len(rs), before, err)
		}
		checkWhole(t, rs)
		untouched := slices.Clone(b)
		j, rec, oerr := Open(dir, options(disk))
		if oerr != nil {
			if now := disk.files[second]; now == nil || !bytes.Equal(*now, untouched) {
				t.Fatal("refused and changed")
			}
			return
		}
		if err != nil && !errors.Is(err, errChain) {
			t.Fatalf("opened what a reader refuses: %v, %+v", err, rec)
		}
		must(t)(j.Mark(t.Context()))
		if err == nil && len(mustAll(t, ReadFS(disk, dir, 1))) != len(rs)+1 {
			t.Fatal("not continued where the reader ended")
		}
	})
}
