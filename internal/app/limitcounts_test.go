package app

import (
	"bytes"
	"errors"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"testing"
	"time"
)

// TestStart_GoesOnFromTheLimitsThatWereKept starts on a month of books twice:
// the first start keeps what it counted, the second goes on from it, and a third
// one, from which it is taken away, counts the same.
func TestStart_GoesOnFromTheLimitsThatWereKept(t *testing.T) {
	now := time.Now().UTC()
	data, _ := simulate(t, SimulateOrder{From: now.Format("2006-01"), Months: 1, RequestsPerDay: keepLimitsFrom / 30, Seed: 5})
	file := filepath.Join(data, limitCounts)
	serve := func() *server {
		t.Helper()
		s, err := newServer(t.Context(), UpOptions{
			Data: data, NoModel: true, Version: "test",
			Out: io.Discard, Progress: io.Discard, ModelLog: io.Discard, Log: slog.New(slog.DiscardHandler),
		})
		if err != nil {
			t.Fatal(err)
		}
		return s
	}
	count := func(from func(first uint64) bool) []byte {
		t.Helper()
		s := serve()
		defer s.close()
		c, err := s.keptLimits(t.Context(), now, s.settler.Status().Stored.Last)
		if err != nil {
			t.Fatal(err)
		}
		if !from(c.From()) {
			t.Errorf("counting begins at record %d of %d", c.From(), s.journal.Last())
		}
		if c, err = s.countLimits(t.Context(), now); err != nil {
			t.Fatal(err)
		}
		return c.Book().AppendCounts(nil, now)
	}
	one := count(func(first uint64) bool { return first > keepLimitsFrom }) // the start itself has kept them
	two := count(func(first uint64) bool { return first > keepLimitsFrom })
	if err := os.WriteFile(file, []byte("damaged"), 0o600); err != nil {
		t.Fatal(err)
	}
	three := count(func(first uint64) bool { return first > keepLimitsFrom }) // counted anew at the start, and kept
	if len(one) < 100 || !bytes.Equal(one, two) || !bytes.Equal(one, three) {
		t.Errorf("%d, %d and %d bytes of counts, which differ", len(one), len(two), len(three))
	}
	s := serve()
	defer s.close()
	if c, err := s.keptLimits(t.Context(), now, keepLimitsFrom); err != nil || c.Last() != 0 {
		t.Errorf("counts that are ahead of the books are gone on from: %v", err)
	}
	if _, err := os.Stat(file); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("counts that are ahead of the books are kept: %v", err)
	}
}
