package app

import (
	"bytes"
	"log/slog"
	"testing"
	"time"

	"github.com/accordo-ai/accordo/internal/datadir"
)

// A start that fails after the keys were made must not leave the hash of a key
// that nobody has seen: the next start would print none.
func TestKeyBecomesAFactOnlyWhenItIsShown(t *testing.T) {
	t.Parallel()
	dir, err := datadir.Open(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = dir.Close() })
	a, err := loadTerms("../../examples/two-reservations/alliance.yaml")
	if err != nil {
		t.Fatal(err)
	}
	var out bytes.Buffer
	s := &server{dir: dir, o: UpOptions{File: "alliance.yaml", Out: &out, Log: slog.New(slog.DiscardHandler)}}

	for _, shown := range []bool{false, true, false} {
		_, fresh, err := issueKeys(a, dir, s.o)
		if err != nil {
			t.Fatal(err)
		}
		s.fresh = fresh
		if shown {
			s.showKeys()
			if len(fresh) != 1 || !bytes.Contains(out.Bytes(), []byte(fresh[0].Secret)) {
				t.Fatalf("showed %q, want the one key of the file", out.String())
			}
		}
	}
	if len(s.fresh) != 0 {
		t.Errorf("a key that was shown is made again: %v", s.fresh[0].ID)
	}
	facts, err := dir.Facts()
	if err != nil || len(facts) != 1 {
		t.Errorf("%d facts, %v; want the one of the key that was shown", len(facts), err)
	}
}

func TestRevokeKey_TheNextStartIssuesAnother(t *testing.T) {
	t.Parallel()
	data := t.TempDir()
	a, err := loadTerms("../../examples/two-reservations/alliance.yaml")
	if err != nil {
		t.Fatal(err)
	}
	var out bytes.Buffer
	start := func() (id string) {
		dir, err := datadir.Open(data)
		if err != nil {
			t.Fatal(err)
		}
		defer dir.Close()
		s := &server{dir: dir, o: UpOptions{File: "alliance.yaml", Out: &out, Log: slog.New(slog.DiscardHandler)}}
		if _, s.fresh, err = issueKeys(a, dir, s.o); err != nil {
			t.Fatal(err)
		}
		s.showKeys()
		if len(s.fresh) == 0 {
			return ""
		}
		return string(s.fresh[0].ID)
	}
	id := start()
	if id == "" || start() != "" {
		t.Fatalf("the first start issues %q, and the second one must issue none", id)
	}
	if err := RevokeKey(&out, data, id, "lost", time.Now()); err != nil {
		t.Fatal(err)
	}
	if err := RevokeKey(&out, data, id, "lost", time.Now()); err == nil {
		t.Error("a revoked key is revoked again")
	}
	if start() != id {
		t.Error("the start after a revocation issues no other key")
	}
}
