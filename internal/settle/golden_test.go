package settle_test

import (
	"bytes"
	"compress/gzip"
	"encoding/json"
	"io"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/accordo-ai/accordo/internal/alliance"
	"github.com/accordo-ai/accordo/internal/alliance/file"
	"github.com/accordo-ai/accordo/internal/datadir"
	"github.com/accordo-ai/accordo/internal/journal"
	"github.com/accordo-ai/accordo/internal/ledger"
	"github.com/accordo-ai/accordo/internal/settle"
	"github.com/accordo-ai/accordo/internal/store/sqlite"
)

// goldens are the frozen data directories below testdata, each made by the
// version of the program that its formats belong to. A test that fails on one
// says that books which people keep would change: the remedy is a version
// step (docs/format/books.md), never a new golden.json.
var goldens = []string{"golden-1"}

// goldenBooks is golden.json: what journal, facts and terms of the directory
// come to.
type goldenBooks struct {
	Head     ledger.Head            `json:"head"`
	Served   int64                  `json:"served"`
	Unserved int64                  `json:"unserved"`
	Suspense int64                  `json:"suspense"`
	Unposted uint64                 `json:"unposted"`
	Kinds    map[string]int         `json:"kinds"` // entries by kind
	Balances []goldenBalance        `json:"balances"`
	Periods  []ledger.PeriodBalance `json:"periods"`
	Open     []uint64               `json:"open"`
	Suspends []uint64               `json:"suspended"`
	Differs  []string               `json:"differences"`
}

// goldenBalance is a balance in units of its asset, as integers.
type goldenBalance struct {
	Account ledger.AccountID `json:"account"`
	Asset   ledger.Asset     `json:"asset"`
	Units   int64            `json:"units"`
}

// thaw copies a golden directory to a place where it may be changed.
func thaw(t *testing.T, name string) string {
	t.Helper()
	from, to := filepath.Join("testdata", name), t.TempDir()
	err := filepath.WalkDir(from, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		rel, err := filepath.Rel(from, path)
		if err != nil {
			return err
		}
		data, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		if filepath.Ext(rel) == ".gz" {
			z, err := gzip.NewReader(bytes.NewReader(data))
			if err != nil {
				return err
			}
			if data, err = io.ReadAll(z); err != nil {
				return err
			}
			rel = rel[:len(rel)-len(".gz")]
		}
		if err := os.MkdirAll(filepath.Dir(filepath.Join(to, rel)), 0o700); err != nil {
			return err
		}
		return os.WriteFile(filepath.Join(to, rel), data, 0o600)
	})
	if err != nil {
		t.Fatal(err)
	}
	return to
}

func goldenTerms(d *datadir.Dir) settle.TermsFunc {
	return func(hash string) (*alliance.Alliance, error) {
		text, err := d.Terms(hash)
		if err != nil {
			return nil, err
		}
		return file.Parse("terms/"+hash, text)
	}
}

// goldenNode is a golden directory opened by this version.
type goldenNode struct {
	dir     *datadir.Dir
	journal *journal.Journal
	store   *sqlite.Store
	settler *settle.Settler
}

// openGolden opens the directory as a serving process does, but for what that
// would append to the journal, and posts what is not posted.
func openGolden(t *testing.T, place string) *goldenNode {
	t.Helper()
	d, err := datadir.Open(place)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { d.Close() })
	j, _, err := journal.Open(d.Journal(), journal.Options{Node: d.Node()})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { j.Close() })
	store, err := sqlite.Open(t.Context(), d.Books())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { store.Close() })
	s, err := settle.New(t.Context(), j, store, goldenTerms(d), slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	if err := s.UseFacts(d); err != nil {
		t.Fatal(err)
	}
	if err := s.CatchUp(t.Context()); err != nil {
		t.Fatal(err)
	}
	return &goldenNode{d, j, store, s}
}

// tell reads the books whole.
func (n *goldenNode) tell(t *testing.T) (g goldenBooks) {
	t.Helper()
	v, err := settle.Verify(t.Context(), n.store, n.journal.Read, goldenTerms(n.dir), n.dir)
	if err != nil {
		t.Fatal(err)
	}
	if v.Fault != nil {
		t.Fatalf("the golden books do not verify: %v", v.Fault)
	}
	st, err := n.store.State(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	g = goldenBooks{Head: st.Head, Served: v.Served, Unserved: v.Unserved, Suspense: v.Suspense, Unposted: v.Unposted, Kinds: map[string]int{}, Periods: st.Periods, Suspends: st.Suspended}
	for _, b := range st.Balances {
		g.Balances = append(g.Balances, goldenBalance{b.Account, b.Asset, int64(b.Amount)})
	}
	for _, o := range st.Open {
		g.Open = append(g.Open, o.Sequence)
	}
	for _, d := range st.Differences {
		g.Differs = append(g.Differs, d.Ref)
	}
	for b, err := range n.store.Batches(t.Context(), 1) {
		if err != nil {
			t.Fatal(err)
		}
		for i := range b.Entries {
			g.Kinds[b.Entries[i].Kind.String()]++
		}
	}
	return g
}

func wantGolden(t *testing.T, place string) (g goldenBooks) {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(place, "golden.json"))
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(text, &g); err != nil {
		t.Fatal(err)
	}
	return g
}

func removeBooks(t *testing.T, place string) {
	t.Helper()
	for _, name := range []string{"books.sqlite", "books.sqlite-wal", "books.sqlite-shm"} {
		if err := os.Remove(filepath.Join(place, name)); err != nil && !os.IsNotExist(err) {
			t.Fatal(err)
		}
	}
}

func TestGolden_AJournalOfAnOlderVersionComesToTheSameBooks(t *testing.T) {
	for _, name := range goldens {
		t.Run(name, func(t *testing.T) {
			place := thaw(t, name)
			removeBooks(t, place)
			got := openGolden(t, place).tell(t)
			if diff := cmp.Diff(wantGolden(t, place), got); diff != "" {
				t.Errorf("-kept +posted anew:\n%s", diff)
			}
		})
	}
}

func TestGolden_TheBooksOfAnOlderVersionGoOn(t *testing.T) {
	for _, name := range goldens {
		t.Run(name, func(t *testing.T) {
			place := thaw(t, name)
			old := openGolden(t, place)
			if diff := cmp.Diff(wantGolden(t, place), old.tell(t)); diff != "" {
				t.Fatalf("-kept +opened:\n%s", diff)
			}
			// What comes next is the same batch in the old books, brought up to
			// date, and in new ones.
			if _, err := old.journal.Mark(t.Context()); err != nil {
				t.Fatal(err)
			}
			if err := old.settler.CatchUp(t.Context()); err != nil {
				t.Fatal(err)
			}
			went := old.tell(t)
			if want := wantGolden(t, place); went.Head.Batch != want.Head.Batch+1 || went.Unposted != 0 {
				t.Errorf("the next batch is %d with %d records not posted, after batch %d", went.Head.Batch, went.Unposted, want.Head.Batch)
			}
			old.close(t)
			removeBooks(t, place)
			if diff := cmp.Diff(went, openGolden(t, place).tell(t)); diff != "" {
				t.Errorf("-went on +posted anew:\n%s", diff)
			}
		})
	}
}

func (n *goldenNode) close(t *testing.T) {
	t.Helper()
	for _, c := range []io.Closer{n.store, n.journal, n.dir} {
		if err := c.Close(); err != nil {
			t.Fatal(err)
		}
	}
}
