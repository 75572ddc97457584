package datadir

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// holdDir makes the test binary hold a data directory until its input ends.
const holdDir = "ACCORDO_TEST_HOLD_DIR"

func TestMain(m *testing.M) {
	if dir := os.Getenv(holdDir); dir != "" {
		if _, err := Open(dir); err != nil {
			fmt.Println(err)
			os.Exit(1)
		}
		fmt.Println("held")
		_, _ = os.Stdin.Read(make([]byte, 1))
		os.Exit(0)
	}
	os.Exit(m.Run())
}

func mustOpen(t *testing.T, dir string) *Dir {
	t.Helper()
	d, err := Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { d.Close() })
	return d
}

func issued(id string) Fact {
	return Fact{At: 1_790_000_000_000_000_000, KeyIssued: &KeyIssued{ID: id, SHA256: strings.Repeat("ab", 32), Tenant: "acme", Plan: "api", Channel: "openai-api"}}
}

func TestOpen_KeepsNodeAndIsForItsOwnerOnly(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "new", "data")
	d := mustOpen(t, dir)
	node := d.Node()
	if len(node) != 32 {
		t.Errorf("node %q", node)
	}
	if err := d.SaveTerms(hash("x"), []byte("x")); err != nil {
		t.Fatal(err)
	}
	if err := d.WriteFile("route.json", []byte("{}")); err != nil {
		t.Fatal(err)
	}
	err := filepath.WalkDir(dir, func(path string, e fs.DirEntry, walkErr error) error {
		if walkErr != nil {
			return walkErr
		}
		info, err := e.Info()
		if err != nil {
			return err
		}
		if want := fs.FileMode(0o600); e.IsDir() {
			if info.Mode().Perm() != 0o700 {
				t.Errorf("%s has %o", path, info.Mode().Perm())
			}
		} else if info.Mode().Perm() != want {
			t.Errorf("%s has %o", path, info.Mode().Perm())
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	d.Close()
	if again := mustOpen(t, dir).Node(); again != node {
		t.Errorf("node %s became %s", node, again)
	}
}

func TestOpen_RefusesASecondServerAndNamesTheFirst(t *testing.T) {
	dir := t.TempDir()
	first := exec.Command(os.Args[0])
	first.Env = append(os.Environ(), holdDir+"="+dir)
	in, err := first.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := first.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := first.Start(); err != nil {
		t.Fatal(err)
	}
	line := make([]byte, 4)
	if _, err := out.Read(line); err != nil || string(line) != "held" {
		t.Fatalf("%q, %v", line, err)
	}
	_, err = Open(dir)
	want := fmt.Sprintf("data directory is in use: process %d serves from %s: stop it, or give another directory with --data", first.Process.Pid, dir)
	if !errors.Is(err, ErrLocked) || err.Error() != want {
		t.Errorf("error %v\nwant  %s", err, want)
	}
	r, err := OpenReadOnly(dir)
	if err != nil || r.Node() == "" {
		t.Errorf("a reader beside it: %v", err)
	}
	if err := first.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = first.Wait() // killed: the error is expected
	in.Close()
	mustOpen(t, dir)
}

func TestOpen_RefusesAnUnreadableNode(t *testing.T) {
	dir := t.TempDir()
	for _, text := range []string{"", "n1\n", strings.Repeat("AB", 16)} {
		if err := os.WriteFile(filepath.Join(dir, "node"), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		for name, open := range map[string]func(string) (*Dir, error){"write": Open, "read": OpenReadOnly} {
			if _, err := open(dir); err == nil || !strings.Contains(err.Error(), "32 hexadecimal digits") {
				t.Errorf("%s with %q: %v", name, text, err)
			}
		}
	}
}

func TestReadOnly_WritesNothing(t *testing.T) {
	dir := t.TempDir()
	if _, err := OpenReadOnly(dir); !errors.Is(err, ErrNone) {
		t.Errorf("an empty directory: %v", err)
	}
	mustOpen(t, dir)
	r, err := OpenReadOnly(dir)
	if err != nil {
		t.Fatal(err)
	}
	for name, err := range map[string]error{"fact": r.AppendFact(issued("k")), "terms": r.SaveTerms(hash(""), nil), "file": r.WriteFile("x", nil)} {
		if !errors.Is(err, ErrReadOnly) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if fs, err := r.Facts(); err != nil || fs != nil {
		t.Errorf("facts %v, %v", fs, err)
	}
	if err := r.Close(); err != nil {
		t.Error(err)
	}
}

func TestClose_EndsWritingAndGivesTheLockBack(t *testing.T) {
	dir := t.TempDir()
	d := mustOpen(t, dir)
	for range 2 {
		if err := d.Close(); err != nil {
			t.Fatal(err)
		}
	}
	if err := d.AppendFact(issued("k")); !errors.Is(err, os.ErrClosed) {
		t.Errorf("error %v", err)
	}
	mustOpen(t, dir)
}

func hash(s string) string {
	sum := sha256.Sum256([]byte(s))
	return hex.EncodeToString(sum[:])
}

func TestTerms_AreKeptByHashAndChecked(t *testing.T) {
	d := mustOpen(t, t.TempDir())
	one, two := "operator: a\n", "operator: b\n"
	for _, text := range []string{one, two, one} {
		if err := d.SaveTerms(hash(text), []byte(text)); err != nil {
			t.Fatal(err)
		}
	}
	if b, err := d.Terms(hash(two)); err != nil || string(b) != two {
		t.Errorf("%q, %v", b, err)
	}
	got, err := d.TermsHashes()
	if err != nil || len(got) != 2 || got[0] > got[1] {
		t.Errorf("hashes %v, %v", got, err)
	}
	if err := d.SaveTerms(hash(one), []byte(two)); !errors.Is(err, ErrTerms) {
		t.Errorf("terms under another hash: %v", err)
	}
	if _, err := d.Terms(hash("none")); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("terms that are not kept: %v", err)
	}
	if _, err := d.Terms("../node"); !errors.Is(err, ErrTerms) {
		t.Errorf("a path as hash: %v", err)
	}
	if err := os.WriteFile(filepath.Join(d.Path(), "terms", hash(one)+".yaml"), []byte("changed"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := d.Terms(hash(one)); !errors.Is(err, ErrTerms) {
		t.Errorf("changed terms: %v", err)
	}
}

func TestWriteFile_ReplacesWholeAndOnlyItsOwn(t *testing.T) {
	d := mustOpen(t, t.TempDir())
	for _, text := range []string{"one", "two"} {
		if err := d.WriteFile("route.json", []byte(text)); err != nil {
			t.Fatal(err)
		}
	}
	if b, err := os.ReadFile(d.RouteCheckpoint()); err != nil || string(b) != "two" {
		t.Errorf("%q, %v", b, err)
	}
	for _, name := range []string{"", ".", "..", "a/b", "/etc/x", "LOCK", "node", "facts.jsonl", "x.new"} {
		if err := d.WriteFile(name, nil); err == nil {
			t.Errorf("wrote %q", name)
		}
	}
}

func TestOpen_RemovesUnfinishedFiles(t *testing.T) {
	dir := t.TempDir()
	mustOpen(t, dir).Close()
	left := filepath.Join(dir, "route.json.123.new")
	if err := os.WriteFile(left, []byte("half"), 0o600); err != nil {
		t.Fatal(err)
	}
	mustOpen(t, dir)
	if _, err := os.Stat(left); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("it is still there: %v", err)
	}
}

func TestFacts_AreReadBackInOrder(t *testing.T) {
	dir := t.TempDir()
	d := mustOpen(t, dir)
	want := []Fact{issued("k1"), {At: 2, KeyRevoked: &KeyRevoked{ID: "k1", Reason: "lost"}}, issued("k2")}
	want[2].KeyIssued.Trusted, want[2].KeyIssued.Territories, want[2].KeyIssued.OptIn = true, []string{"US", "CA"}, []string{"assistant"}
	for _, f := range want {
		if err := d.AppendFact(f); err != nil {
			t.Fatal(err)
		}
	}
	d.Close()
	d = mustOpen(t, dir)
	got, err := d.Facts()
	if err != nil || d.Repairs() != nil {
		t.Fatal(err, d.Repairs())
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}

func TestFacts_ManyWriters(t *testing.T) {
	d := mustOpen(t, t.TempDir())
	var wg sync.WaitGroup
	for n := range 8 {
		wg.Go(func() {
			for k := range 5 {
				if err := d.AppendFact(issued(fmt.Sprintf("k%d-%d", n, k))); err != nil {
					t.Error(err)
				}
			}
		})
	}
	wg.Wait()
	ids := map[string]bool{}
	fs, err := d.Facts()
	for _, f := range fs {
		ids[f.KeyIssued.ID] = true
	}
	if err != nil || len(fs) != 40 || len(ids) != 40 {
		t.Errorf("%d facts, %d ids, %v", len(fs), len(ids), err)
	}
}

// TestFacts_TornAtEveryByte cuts the file everywhere: whole lines stay, the
// rest is repaired and reported, and what is appended next is read back.
func TestFacts_TornAtEveryByte(t *testing.T) {
	dir := t.TempDir()
	d := mustOpen(t, dir)
	for _, id := range []string{"k1", "k2", "k3"} {
		if err := d.AppendFact(issued(id)); err != nil {
			t.Fatal(err)
		}
	}
	d.Close()
	name := filepath.Join(dir, "facts.jsonl")
	whole, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	for n := range len(whole) + 1 {
		if err := os.WriteFile(name, whole[:n], 0o600); err != nil {
			t.Fatal(err)
		}
		lines := bytes.Count(whole[:n], []byte("\n"))
		r, err := OpenReadOnly(dir)
		if err != nil {
			t.Fatal(err)
		}
		if fs, err := r.Facts(); err != nil || len(fs) != lines {
			t.Fatalf("cut to %d: a reader sees %d facts of %d, %v", n, len(fs), lines, err)
		}
		d := mustOpen(t, dir)
		torn := n - (bytes.LastIndexByte(whole[:n], '\n') + 1)
		var want []Repair
		if torn > 0 {
			want = []Repair{{File: name, Offset: int64(n - torn), Bytes: int64(torn)}}
		}
		if diff := cmp.Diff(want, d.Repairs()); diff != "" {
			t.Fatal(diff)
		}
		if err := d.AppendFact(issued("next")); err != nil {
			t.Fatal(err)
		}
		if fs, err := d.Facts(); err != nil || len(fs) != lines+1 || fs[lines].KeyIssued.ID != "next" {
			t.Fatalf("cut to %d: %d facts, %v", n, len(fs), err)
		}
		d.Close()
	}
}

func TestFacts_RefuseWhatIsNone(t *testing.T) {
	bad := issued("k")
	bad.KeyIssued.SHA256 = "abc"
	empty := issued("")
	long := issued(strings.Repeat("k", MaxFactBytes))
	both := issued("k")
	both.KeyRevoked = &KeyRevoked{ID: "k"}
	timeless := issued("k")
	timeless.At = 0
	d := mustOpen(t, t.TempDir())
	for name, f := range map[string]Fact{
		"a bad hash": bad, "no id": empty, "too long": long, "two facts": both, "no time": timeless,
		"nothing": {At: 1}, "a revocation of nothing": {At: 1, KeyRevoked: &KeyRevoked{}},
	} {
		if err := d.AppendFact(f); !errors.Is(err, ErrFact) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if fs, err := d.Facts(); err != nil || len(fs) != 0 {
		t.Errorf("facts %v, %v", fs, err)
	}
}

func TestFacts_DamagedLineIsAnErrorWithItsPlace(t *testing.T) {
	good := `{"at":1,"key_revoked":{"id":"k","reason":"r"}}` + "\n"
	rows := []struct{ name, line string }{
		{"no JSON", "{\"at\":1,\n"},
		{"an empty line", "\n"},
		{"an unknown field", `{"at":1,"key_revoked":{"id":"k","reason":"r","why":1}}` + "\n"},
		{"an unknown kind", `{"at":1,"key_lent":{"id":"k"}}` + "\n"},
		{"two values", `{"at":1,"key_revoked":{"id":"k","reason":"r"}} 2` + "\n"},
		{"zeros", "\x00\x00\x00\n"},
	}
	for _, row := range rows {
		t.Run(row.name, func(t *testing.T) {
			dir := t.TempDir()
			mustOpen(t, dir).Close()
			name := filepath.Join(dir, "facts.jsonl")
			if err := os.WriteFile(name, []byte(good+row.line+good), 0o600); err != nil {
				t.Fatal(err)
			}
			if _, err := Open(dir); !errors.Is(err, ErrFact) || !strings.HasPrefix(err.Error(), name+":2: ") {
				t.Errorf("open: %v", err)
			}
			r, err := OpenReadOnly(dir)
			if err != nil {
				t.Fatal(err)
			}
			if _, err := r.Facts(); !errors.Is(err, ErrFact) {
				t.Errorf("facts: %v", err)
			}
		})
	}
}

func FuzzFacts(f *testing.F) {
	f.Add([]byte(`{"at":1,"key_revoked":{"id":"k","reason":"r"}}` + "\n"))
	f.Add([]byte(`{"at":1,"key_issued":{"id":"k","sha256":"` + strings.Repeat("ab", 32) + `","tenant":"t","plan":"p","channel":"c"}}` + "\n"))
	f.Add([]byte("\n\x00"))
	f.Fuzz(func(t *testing.T, b []byte) {
		facts, err := parseFacts("facts.jsonl", b)
		if err != nil {
			if !errors.Is(err, ErrFact) {
				t.Fatal(err)
			}
			return
		}
		for i := range facts {
			if err := facts[i].Check(); err != nil {
				t.Fatal(err)
			}
		}
	})
}
