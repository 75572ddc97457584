package file

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"testing"
	"testing/fstest"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/accordo-ai/accordo/internal/alliance"
)

// seeds adds every file under testdata and the canonical form of a good one.
func seeds(f *testing.F) {
	for _, pattern := range []string{"testdata/bad/*.yaml", "testdata/bad/base/*.yaml", "testdata/good/*.yaml", "testdata/good/split/*.yaml"} {
		paths, err := filepath.Glob(pattern)
		if err != nil || len(paths) == 0 {
			f.Fatalf("no seeds in %s: %v", pattern, err)
		}
		for _, path := range paths {
			data, err := os.ReadFile(path)
			if err != nil {
				f.Fatal(err)
			}
			f.Add(data)
		}
	}
	a, err := Load("testdata/good/small.yaml")
	if err != nil {
		f.Fatal(err)
	}
	f.Add(Canonical(a))
}

// sound checks what holds of every reading: faults with a place and a remedy,
// or terms whose canonical form is read back to the same terms.
func sound(t *testing.T, a *alliance.Alliance, err error) {
	var faults *Faults
	if errors.As(err, &faults) {
		if a != nil || len(faults.List) == 0 || faults.Error() == "" {
			t.Fatalf("faults %v with %v", faults, a)
		}
		for _, f := range faults.List {
			if f.Problem == "" || f.Remedy == "" || f.Line < 0 || f.Column < 0 {
				t.Fatalf("an empty fault %+v", f)
			}
		}
		var b bytes.Buffer
		if err := Report(&b, faults); err != nil || !utf8.Valid(b.Bytes()) {
			t.Fatalf("report %q: %v", b.Bytes(), err)
		}
		return
	}
	if err != nil {
		t.Fatal(err)
	}
	text := Canonical(a)
	again, err := Parse("canonical", text)
	if err != nil {
		t.Fatalf("%v in\n%s", err, text)
	}
	if d := cmp.Diff(a, again, cmpopts.IgnoreUnexported(alliance.Alliance{})); d != "" {
		t.Fatalf("canonical form differs: %s\n%s", d, text)
	}
}

func FuzzParse(f *testing.F) {
	seeds(f)
	f.Fuzz(func(t *testing.T, data []byte) {
		a, err := Parse("fuzz", data)
		sound(t, a, err)
	})
}

func FuzzLoad(f *testing.F) {
	seeds(f)
	small, err := os.ReadFile("testdata/good/small.yaml")
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		fsys := fstest.MapFS{
			"base/small.yaml": {Data: small},
			"part.yaml":       {Data: data},
			"root.yaml":       {Data: []byte("include: [base/small.yaml, part.yaml]\n")},
		}
		a, _, err := LoadFS(fsys, "root.yaml", "")
		sound(t, a, err)
		fsys["root.yaml"].Data = data
		a, _, err = LoadFS(fsys, "root.yaml", "")
		sound(t, a, err)
	})
}

func FuzzNearest(f *testing.F) {
	f.Add("pool-flor", "pool-floor")
	f.Fuzz(func(t *testing.T, a, b string) {
		const far = 1 << 20
		d := distance(a, b, far)
		if d != distance(b, a, far) || (d == 0) != (a == b) || d > max(len(a), len(b)) {
			t.Fatalf("distance of %q and %q is %d", a, b, d)
		}
	})
}
