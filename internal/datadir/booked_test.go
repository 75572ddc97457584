package datadir

import (
	"errors"
	"os"
	"path/filepath"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/accordo-ai/accordo/internal/ledger"
)

func closing(reason string) ledger.Event {
	return ledger.Event{SuspenseClosed: &ledger.SuspenseClosed{Attempt: "a", Intent: 1, Outcome: 2, By: ledger.ByWaiver, Reason: reason}}
}

func TestBooked_NumbersOnlyFactsThatMoveTheBooks(t *testing.T) {
	dir := t.TempDir()
	d := mustOpen(t, dir)
	var want []ledger.Fact
	for i, after := range []uint64{0, 7, 7} {
		if err := d.AppendFact(issued("k")); err != nil {
			t.Fatal(err)
		}
		f, err := d.Seal(ledger.Fact{Number: uint64(i + 1), After: after, At: int64(100 + i), Event: closing("why")})
		if err != nil {
			t.Fatal(err)
		}
		if err := d.AppendBooked(f); err != nil {
			t.Fatal(err)
		}
		want = append(want, f)
	}
	d.Close()
	d = mustOpen(t, dir)
	defer d.Close()
	got, err := d.Booked()
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("-sealed +read:\n%s", diff)
	}
}

func TestBooked_RefusesWhatIsIncomplete(t *testing.T) {
	d := mustOpen(t, t.TempDir())
	defer d.Close()
	after := uint64(3)
	for name, f := range map[string]Fact{
		"no place":         {At: 1, Event: closing("r")},
		"a place of a key": {At: 1, After: &after, KeyRevoked: &KeyRevoked{ID: "k"}},
		"two things":       {At: 1, After: &after, Event: closing("r"), KeyRevoked: &KeyRevoked{ID: "k"}},
		"no reason":        {At: 1, After: &after, Event: closing("")},
	} {
		if err := d.AppendFact(f); !errors.Is(err, ErrFact) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestDocuments_AreKeptByHash(t *testing.T) {
	dir := t.TempDir()
	d := mustOpen(t, dir)
	defer d.Close()
	hash, err := d.SaveDocument([]byte("invoice"))
	if err != nil {
		t.Fatal(err)
	}
	if again, err := d.SaveDocument([]byte("invoice")); err != nil || again != hash {
		t.Errorf("kept again: %s, %v", again, err)
	}
	if b, err := d.Document(hash); err != nil || string(b) != "invoice" {
		t.Errorf("read back %q, %v", b, err)
	}
	if err := os.WriteFile(filepath.Join(dir, "documents", hash), []byte("changed"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := d.Document(hash); !errors.Is(err, ErrDocument) {
		t.Errorf("a changed document: %v", err)
	}
	if _, err := d.Document("../facts.jsonl"); !errors.Is(err, ErrDocument) {
		t.Errorf("no hash: %v", err)
	}
}
