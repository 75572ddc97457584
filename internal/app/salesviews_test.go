package app

import (
	"context"
	"errors"
	"slices"
	"testing"

	"github.com/accordo-ai/accordo/internal/admin"
	"github.com/accordo-ai/accordo/internal/settle"
)

// Margins of closed months are made once and kept, up to a limit; those of
// open months are made again; one is made at a time.
func TestMargins_AreMadeOneAtATime(t *testing.T) {
	m, made := newMargins(), 0
	of := func(q marginOf, closed bool) {
		t.Helper()
		v, err := m.of(t.Context(), q, func() (*settle.Margin, error) {
			made++
			return &settle.Margin{By: q.by, Month: q.month, Closed: closed}, nil
		})
		if err != nil || v.By != q.by || v.Month != q.month {
			t.Fatalf("%+v, %v", v, err)
		}
	}
	of(marginOf{"plan", 202606}, true)
	of(marginOf{"plan", 202606}, true)
	of(marginOf{"model", 202606}, true)
	of(marginOf{"plan", 202607}, false)
	of(marginOf{"plan", 202607}, false)
	if made != 4 {
		t.Errorf("%d were made, want 4", made)
	}
	if _, err := m.of(t.Context(), marginOf{"tenant", 202606}, func() (*settle.Margin, error) { return nil, errors.New("disk") }); err == nil {
		t.Error("an error was kept from the one who asks")
	}
	for i := range int32(200) {
		of(marginOf{"plan", i}, true)
	}
	if len(m.kept) > keptMargins {
		t.Errorf("%d are kept", len(m.kept))
	}

	gone, leave := context.WithCancel(t.Context())
	leave()
	m.turn <- struct{}{} // somebody else's is being made
	if _, err := m.of(gone, marginOf{"plan", 209901}, nil); !errors.Is(err, context.Canceled) {
		t.Errorf("who left still waits: %v", err)
	}
	of(marginOf{"plan", 199}, true) // what is kept needs no turn
}

func TestMarginsBy_AreTheSameInPagesAndBooks(t *testing.T) {
	if !slices.Equal(admin.MarginsBy[:], settle.MarginsBy[:]) {
		t.Errorf("the pages ask by %v, the books answer by %v", admin.MarginsBy, settle.MarginsBy)
	}
}
