package journal

import (
	"bytes"
	"errors"
	"math/rand/v2"
	"slices"
	"strings"
	"syscall"
	"testing"

	"github.com/accordo-ai/accordo/internal/record"
)

// aheadOptions are of a journal that writes ahead over several sectors.
func aheadOptions(m *memFS) Options {
	o := options(m)
	o.Durability, o.SegmentBytes = Disk, 6*sectorBytes
	return o
}

// wide is an intent that is longer than a sector.
func wide(n int) *record.Intent {
	in := intent(n)
	in.EndUser = strings.Repeat("wide ", sectorBytes/4)
	return in
}

func TestAhead_ASyncFindsTheLengthAsItWas(t *testing.T) {
	m := newMemFS()
	j, _ := mustOpen(t, aheadOptions(m))
	size := func() int { return len(*m.files[m.names()[0]]) }
	must(t)(j.Intent(t.Context(), intent(0)))
	before, end := size(), j.State().SegmentBytes
	for n := range 8 {
		seq := must(t)(j.Intent(t.Context(), intent(n)))
		must(t)(j.Outcome(t.Context(), outcome(seq, n)))
	}
	if got := j.State().SegmentBytes; got <= end || len(m.names()) != 1 {
		t.Fatalf("%d bytes in %d segments", got, len(m.names()))
	}
	if before != 6*sectorBytes || size() != before {
		t.Errorf("the file had %d bytes and has %d, want %d", before, size(), 6*sectorBytes)
	}
}

func TestAhead_IsForTheDurabilityDiskAndWithinItsLimits(t *testing.T) {
	for _, row := range []struct {
		name, durability string
		want             int64 // written ahead by the first record
	}{
		{"crash", Crash, 0},
		{"disk", Disk, aheadBytes},
	} {
		t.Run(row.name, func(t *testing.T) {
			m := newMemFS()
			j, _ := mustOpen(t, Options{Node: "n1", FS: m, Durability: row.durability})
			longest := int64(0)
			for n := 0; j.State().SegmentBytes < 2*aheadBytes; n++ {
				must(t)(j.Intent(t.Context(), wide(n)))
				ahead := int64(len(*m.files[m.names()[0]])) - j.State().SegmentBytes
				if n == 0 && ahead != row.want {
					t.Fatalf("%d bytes ahead, want %d", ahead, row.want)
				}
				longest = max(longest, ahead)
			}
			if most := row.want + min(row.want, aheadLeast); longest > most {
				t.Errorf("%d bytes ahead, at most %d", longest, most)
			}
		})
	}
}

func TestAhead_AFinishedOrClosedSegmentHoldsRecordsOnly(t *testing.T) {
	written := func(durability string) *memFS {
		m := newMemFS()
		o := aheadOptions(m)
		o.Durability = durability
		j, _ := mustOpen(t, o)
		work(t, j, 100)
		for _, name := range m.names()[:len(m.names())-1] {
			if bytes.Contains(*m.files[name], []byte("ahead ")) {
				t.Errorf("%s is finished and written ahead", name)
			}
		}
		if err := j.Close(); err != nil {
			t.Fatal(err)
		}
		return m
	}
	disk := written(Disk)
	if len(disk.names()) < 3 || !disk.equal(written(Crash)) {
		t.Errorf("%d segments, or not the bytes that a journal has without writing ahead", len(disk.names()))
	}
}

// TestAhead_WhatAKilledProcessLeavesIsNoRepair: neither for a reader nor for
// the next process, of whichever durability.
func TestAhead_WhatAKilledProcessLeavesIsNoRepair(t *testing.T) {
	for n := range 40 {
		m := newMemFS()
		j, _ := mustOpen(t, aheadOptions(m))
		for k := range n {
			must(t)(j.Intent(t.Context(), intent(k)))
		}
		for _, durability := range []string{Crash, Disk} {
			o := aheadOptions(m.clone())
			o.Durability = durability
			if got := len(mustAll(t, ReadFS(o.FS, dir, 1))); got != n {
				t.Fatalf("%d records, want %d", got, n)
			}
			_, rec := mustOpen(t, o)
			if rec.Repairs != nil || rec.Last != uint64(n) {
				t.Fatalf("%s, %d records: %+v", durability, n, rec)
			}
		}
	}
}

// TestAhead_ARepairCountsTheUnfinishedWrite and not what is written ahead.
func TestAhead_ARepairCountsTheUnfinishedWrite(t *testing.T) {
	m := newMemFS()
	j, _ := mustOpen(t, aheadOptions(m))
	must(t)(j.Intent(t.Context(), intent(1)))
	end := j.State().SegmentBytes
	b := *m.files[m.names()[0]]
	frame, err := appendFrame(nil, &record.Record{Kind: record.KindIntent, Sequence: 2, At: j.State().At, Intent: wide(2)})
	if err != nil {
		t.Fatal(err)
	}
	for _, n := range []int{1, 7, 8, 100, sectorBytes, len(frame) - 1} {
		disk := m.clone()
		copy((*disk.files[m.names()[0]])[end:], frame[:n])
		_, rec := mustOpen(t, aheadOptions(disk))
		if rec.Last != 1 || len(rec.Repairs) != 1 || rec.Repairs[0].Offset != end || rec.Repairs[0].Bytes != int64(n) {
			t.Errorf("%d bytes of %d: %+v", n, len(b), rec)
		}
	}
}

func TestAhead_AFullDiskFailsNoRecord(t *testing.T) {
	for written := range 40 {
		m := newMemFS()
		j, _ := mustOpen(t, aheadOptions(m))
		tries := 0
		m.setFail(func(o op) (int, error) {
			if o.kind == "write" && bytes.Contains(o.data, []byte("ahead ")) {
				tries++
				return written, syscall.ENOSPC
			}
			return 0, nil
		})
		ctx := t.Context()
		for n := range 20 {
			seq := must(t)(j.Intent(ctx, intent(n)))
			must(t)(j.Outcome(ctx, outcome(seq, n)))
		}
		if tries == 0 || tries > len(m.names()) || j.State().Fault != nil {
			t.Fatalf("%d tries over %d segments, fault %v", tries, len(m.names()), j.State().Fault)
		}
		checkWhole(t, mustAll(t, ReadFS(m, dir, 1)))
		if _, rec := mustOpen(t, aheadOptions(m.clone())); rec.Last != 40 || rec.Repairs != nil {
			t.Fatalf("%+v", rec)
		}
		if err := j.Close(); err != nil {
			t.Fatal(err)
		}
	}
}

// TestPowerLoss_SectorsInAnyOrder: after each operation the power fails, and
// of what was not synced each sector holds what it held at some time since.
func TestPowerLoss_SectorsInAnyOrder(t *testing.T) {
	m := newMemFS()
	j, _ := mustOpen(t, aheadOptions(m))
	var safe []safeAt
	ctx := t.Context()
	var open []uint64
	for n := range 40 {
		in := intent(n)
		if n%3 == 2 {
			in = wide(n)
		}
		open = append(open, must(t)(j.Intent(ctx, in)))
		switch {
		case n%9 == 8:
			safe = append(safe, safeAt{seq: must(t)(j.Outcome(ctx, outcome(open[0], n))), instant: len(m.log())})
			open = open[1:]
		case n%13 == 12:
			safe = append(safe, safeAt{seq: must(t)(j.Mark(ctx)), instant: len(m.log())})
		}
	}
	ops, want := m.log(), mustAll(t, j.Read(1))
	random := rand.New(rand.NewPCG(3, 4))
	holes := 0
	for n := range ops {
		for try := range 6 {
			disk := afterPowerLossInAnyOrder(ops[:n+1], random)
			if _, rec := mustOpen(t, aheadOptions(disk.clone())); rec.Repairs != nil {
				_, behind := newestRecord(t, disk)
				if behind > rec.Last {
					holes++
				}
			}
			checkRestart(t, []any{n, try}, disk, want, safeBy(safe, n+1))
		}
	}
	if holes < 10 {
		t.Errorf("%d losses of power left records behind a hole: the test does not test what it says", holes)
	}
}

// newestRecord is the greatest sequence number of any valid frame in the last
// segment, and of the segment's first record.
func newestRecord(t *testing.T, disk *memFS) (first, newest uint64) {
	t.Helper()
	firsts, err := segments(disk, dir)
	if err != nil || len(firsts) == 0 {
		return 0, 0
	}
	first = firsts[len(firsts)-1]
	f, err := disk.OpenRead(segmentPath(dir, first))
	if err != nil {
		t.Fatal(err)
	}
	size, _ := f.Size()
	for at := int64(1); ; at++ {
		seq, found, err := frameBehind(f, at, size, first)
		if err != nil || seq == 0 {
			return first, newest
		}
		newest, at = max(newest, seq), found
	}
}

// TestAhead_DamageIsNoHole: bytes that are not the filler, or of which valid
// records show that they were on the disk, end no journal.
func TestAhead_DamageIsNoHole(t *testing.T) {
	m := newMemFS()
	j, _ := mustOpen(t, aheadOptions(m))
	for n := range 3 {
		must(t)(j.Intent(t.Context(), wide(n)))
		seq := must(t)(j.Intent(t.Context(), intent(n)))
		must(t)(j.Outcome(t.Context(), outcome(seq, n)))
	}
	want := mustAll(t, j.Read(1))
	name, end := m.names()[0], int(j.State().SegmentBytes)
	head, n, err := parseHeader(*m.files[name])
	if err != nil || len(*m.files[name]) <= end || len(m.names()) != 1 {
		t.Fatal(n, err, len(m.names()))
	}
	t.Run("a flipped byte", func(t *testing.T) {
		for at := range *m.files[name] {
			for _, flip := range []byte{0x01, 0x04, 0x80, 0xff} {
				disk := m.clone()
				(*disk.files[name])[at] ^= flip
				checkDamaged(t, []any{at, flip}, disk, want)
			}
		}
	})
	other := fillerOf(headerSumIn(*m.files[name]) + 1)
	for what, bytes := range map[string]func(from, n int64) []byte{
		"a sector of zeros":                     func(_, n int64) []byte { return make([]byte, n) },
		"the filler of another segment":         other.of,
		"the filler at another place":           func(from, n int64) []byte { return head.filler.of(from+1, n) },
		"the filler in the middle of a sector":  func(from, n int64) []byte { return slices.Concat(head.filler.of(from, n-1), []byte{0}) },
		"less of the filler than proves a hole": func(from, n int64) []byte { return slices.Concat(make([]byte, n-7), head.filler.of(from+n-7, 7)) },
	} {
		t.Run(what, func(t *testing.T) {
			for from := int64(0); from < int64(end)-2*sectorBytes; from += sectorBytes {
				disk := m.clone()
				copy((*disk.files[name])[from:], bytes(from, sectorBytes))
				_, err := all(ReadFS(disk, dir, 1))
				var c *CorruptionError
				if !errors.As(err, &c) {
					t.Fatalf("sector at %d: %v", from, err)
				}
				if _, _, err := Open(dir, aheadOptions(disk)); !errors.As(err, &c) {
					t.Fatalf("sector at %d: opened with %v", from, err)
				}
			}
		})
	}
}

// TestAhead_NoTextOfARecordIsAHole: whoever chooses one knows the filler but
// for the checksum, and may put it at any place.
func TestAhead_NoTextOfARecordIsAHole(t *testing.T) {
	for shift := range fillerBytes {
		m := newMemFS()
		o := aheadOptions(m)
		o.SegmentBytes = 1 << 20
		j, _ := mustOpen(t, o)
		in := intent(1)
		in.EndUser = strings.Repeat("-", shift) + strings.Repeat("ahead 00000000 \n", 3*sectorBytes/fillerBytes)
		must(t)(j.Intent(t.Context(), in))
		end := j.State().SegmentBytes
		must(t)(j.Mark(t.Context()))
		(*m.files[m.names()[0]])[end-1] ^= 1
		var c *CorruptionError
		if _, _, err := Open(dir, o); !errors.As(err, &c) || c.Sequence != 1 {
			t.Errorf("text at byte %d: a damaged record is opened with %v", shift, err)
		}
	}
}

// TestRead_BesideAWriterThatWritesAhead reads with every number of records and
// finds none missing: what stands behind the last is no damage.
func TestRead_BesideAWriterThatWritesAhead(t *testing.T) {
	m := newMemFS()
	j, _ := mustOpen(t, aheadOptions(m))
	for n := range uint64(60) {
		must(t)(j.Intent(t.Context(), intent(int(n))))
		for _, from := range []uint64{1, n/2 + 1, n + 1, n + 2} {
			want := int(n+2) - int(from)
			if got := mustAll(t, ReadFS(m, dir, from)); len(got) != want {
				t.Fatalf("%d records from %d of %d", len(got), from, n+1)
			}
			if got := mustAll(t, j.Read(from)); len(got) != want {
				t.Fatalf("%d records from %d of %d by the journal", len(got), from, n+1)
			}
		}
	}
}

// TestAhead_DamageBeforeAHoleIsDamage: a hole says nothing of the record before
// it, which may be acknowledged.
func TestAhead_DamageBeforeAHoleIsDamage(t *testing.T) {
	m := newMemFS()
	j, _ := mustOpen(t, aheadOptions(m))
	must(t)(j.Mark(t.Context()))
	end := j.State().SegmentBytes
	must(t)(j.Intent(t.Context(), wide(1)))
	must(t)(j.Intent(t.Context(), wide(2)))
	name := m.names()[0]
	b := *m.files[name]
	fill := fillerOf(headerSumIn(b))
	copy(b[end:], fill.of(end, sectorBytes-end))
	if rs := mustAll(t, ReadFS(m, dir, 1)); len(rs) != 1 {
		t.Fatalf("%d records before the hole, want 1", len(rs))
	}
	_, rec := mustOpen(t, aheadOptions(m.clone()))
	if rec.Last != 1 || len(rec.Repairs) != 1 || rec.Repairs[0].Offset != end {
		t.Errorf("%+v", rec)
	}
	b[end-1] ^= 1
	var c *CorruptionError
	if _, _, err := Open(dir, aheadOptions(m)); !errors.As(err, &c) || c.Sequence != 1 {
		t.Errorf("opened with %v", err)
	}
}

// TestAhead_GoesOnAfterAWriteThatWasTakenBack with the filler and nothing else
// behind the last record.
func TestAhead_GoesOnAfterAWriteThatWasTakenBack(t *testing.T) {
	for _, stuck := range []bool{false, true} {
		m := newMemFS()
		j, _ := mustOpen(t, aheadOptions(m))
		must(t)(j.Intent(t.Context(), intent(1)))
		m.setFail(func(o op) (int, error) {
			if o.kind == "write" {
				return 20, syscall.ENOSPC
			}
			if stuck && o.kind == "truncate" {
				return 0, syscall.EIO
			}
			return 0, nil
		})
		if _, err := j.Intent(t.Context(), intent(2)); !errors.Is(err, ErrWrite) {
			t.Fatalf("error %v", err)
		}
		m.setFail(nil)
		must(t)(j.Intent(t.Context(), intent(2)))
		b, end := *m.files[m.names()[0]], j.State().SegmentBytes
		if len(b) != 6*sectorBytes || j.filler.after(b[end:], end) != len(b[end:]) {
			t.Errorf("stuck %v: %d bytes, of which %d are filler behind byte %d", stuck, len(b), j.filler.after(b[end:], end), end)
		}
	}
}

// TestPowerLoss_AfterAProcessThatWasKilled: what it had not synced is on the
// disk before the next process makes a segment behind it.
func TestPowerLoss_AfterAProcessThatWasKilled(t *testing.T) {
	for _, durability := range []string{Crash, Disk} {
		m := newMemFS()
		o := aheadOptions(m)
		o.Durability = durability
		j, _ := mustOpen(t, o)
		for n := 0; j.State().SegmentBytes < o.SegmentBytes; n++ {
			must(t)(j.Intent(t.Context(), intent(n)))
		}
		last := j.Last()
		j, _ = mustOpen(t, o)
		must(t)(j.Intent(t.Context(), intent(0)))
		if len(m.names()) != 2 {
			t.Fatalf("%d segments", len(m.names()))
		}
		if got := mustAll(t, ReadFS(afterPowerLoss(m.log(), false), dir, 1)); uint64(len(got)) < last {
			t.Errorf("%s: %d records of %d", durability, len(got), last)
		}
	}
}
