// Package archtest holds the tests of the code's shape: imports point inward
// over the rings of docs/ARCHITECTURE.md, the inner rings are pure, files stay
// short and every package says what it is for. It tests nothing at run time.
package archtest

import (
	"bufio"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
)

const module = "github.com/accordo-ai/accordo/"

// rings lists every package with its ring; a package that is not here fails
// the test, so that adding one is a decision.
var rings = map[string]int{
	"internal/money": 1, "internal/usage": 1, "internal/record": 1,
	"internal/alliance": 1, "internal/alliance/file": 1,
	"internal/dialect/openai": 1, "internal/variant": 1, "internal/sheet": 1,

	"internal/right": 2, "internal/quota": 2, "internal/rating": 2, "internal/exchange": 2,
	"internal/contract": 2, "internal/route": 2, "internal/ledger": 2,
	"internal/story": 2, "internal/invoice": 2, "internal/focus": 2,
	"internal/request": 2, "internal/sim": 2,

	"internal/gateway": 3, "internal/provider/upstream": 3, "internal/provider/upstreamsim": 3,
	"internal/provider/llama": 3, "internal/provider/llama/tinymodel": 3, "internal/artifact": 3, "internal/journal": 3,
	"internal/datadir": 3, "internal/store/sqlite": 3, "internal/settle": 3,
	"internal/admin": 3, "internal/console": 3, "internal/focusfile": 3, "internal/paper": 3,
	"internal/store/storetest": 3, "internal/top": 3, "internal/requestlog": 3,

	"internal/app": 4, "cmd/accordo": 4, "examples": 1, "internal/archtest": 4,
	"internal/e2e": 4, "bench/speed": 4, "bench/books": 4,
}

// edgePairs are the imports between packages of ring 3 that are allowed.
var edgePairs = map[string]string{
	"internal/console":         "internal/admin",
	"internal/store/storetest": "internal/settle",
	"internal/store/sqlite":    "internal/settle",
}

// withFiles are the packages of the inner rings that read files.
var withFiles = map[string]bool{"internal/alliance/file": true}

// impure are the imports that ring 1 and 2 may not have.
var impure = []string{"os", "net", "net/http", "sync", "sync/atomic", "math/rand", "math/rand/v2", "crypto/rand", "log", "log/slog", "context", "database/sql", "os/exec", "syscall"}

const maxLines = 800

type source struct {
	dir  string // slash path from the module's root
	name string
	file *ast.File
	fset *token.FileSet
}

func sources(t *testing.T) []source {
	t.Helper()
	root := filepath.Join("..", "..")
	var all []source
	err := filepath.WalkDir(root, func(p string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		rel, _ := filepath.Rel(root, p)
		rel = filepath.ToSlash(rel)
		if d.IsDir() {
			if _, statErr := os.Stat(filepath.Join(p, "go.mod")); rel != "." && (statErr == nil || strings.HasPrefix(d.Name(), ".") || d.Name() == "testdata" || d.Name() == "node_modules" || rel == "build") {
				return fs.SkipDir
			}
			return nil
		}
		if !strings.HasSuffix(p, ".go") {
			return nil
		}
		fset := token.NewFileSet()
		f, err := parser.ParseFile(fset, p, nil, parser.ParseComments)
		if err != nil {
			return err
		}
		all = append(all, source{path.Dir(rel), d.Name(), f, fset})
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if len(all) < 50 {
		t.Fatalf("found only %d source files below %s", len(all), root)
	}
	return all
}

func TestImports_PointInward(t *testing.T) {
	for _, s := range sources(t) {
		if strings.HasSuffix(s.name, "_test.go") {
			continue
		}
		ring, ok := rings[s.dir]
		if !ok {
			t.Errorf("%s/%s: package is not in the list of rings", s.dir, s.name)
			continue
		}
		for _, spec := range s.file.Imports {
			imported, _ := strconv.Unquote(spec.Path.Value)
			if !strings.HasPrefix(imported, module) {
				continue
			}
			to := strings.TrimPrefix(imported, module)
			switch {
			case rings[to] > ring:
				t.Errorf("%s/%s (ring %d) imports %s (ring %d): imports point inward", s.dir, s.name, ring, to, rings[to])
			case ring == 3 && rings[to] == 3 && edgePairs[s.dir] != to:
				t.Errorf("%s/%s imports %s: edges meet in app through small interfaces", s.dir, s.name, to)
			}
		}
	}
}

func TestInnerRings_ArePure(t *testing.T) {
	for _, s := range sources(t) {
		if strings.HasSuffix(s.name, "_test.go") || rings[s.dir] > 2 || withFiles[s.dir] || s.dir == "examples" {
			continue
		}
		for _, spec := range s.file.Imports {
			imported, _ := strconv.Unquote(spec.Path.Value)
			if slices.Contains(impure, imported) {
				t.Errorf("%s/%s imports %s: rings 1 and 2 are pure", s.dir, s.name, imported)
			}
		}
		ast.Inspect(s.file, func(n ast.Node) bool {
			switch n := n.(type) {
			case *ast.GoStmt:
				t.Errorf("%s: rings 1 and 2 start no goroutine", s.fset.Position(n.Pos()))
			case *ast.SelectorExpr:
				if pkg, ok := n.X.(*ast.Ident); ok && pkg.Name == "time" && slices.Contains([]string{"Now", "Since", "Sleep", "After", "NewTimer", "Tick"}, n.Sel.Name) {
					t.Errorf("%s: time is an argument in rings 1 and 2", s.fset.Position(n.Pos()))
				}
			}
			return true
		})
	}
}

func TestFiles_AreShortAndHaveNoInit(t *testing.T) {
	for _, s := range sources(t) {
		full := filepath.Join("..", "..", filepath.FromSlash(s.dir), s.name)
		if n := countLines(t, full); n > maxLines && !strings.HasSuffix(s.name, "_gen.go") {
			t.Errorf("%s has %d lines; %d is the limit", full, n, maxLines)
		}
		for _, d := range s.file.Decls {
			if f, ok := d.(*ast.FuncDecl); ok && f.Recv == nil && f.Name.Name == "init" {
				t.Errorf("%s: no init functions", s.fset.Position(f.Pos()))
			}
		}
	}
}

func TestPackages_SayWhatTheyAreFor(t *testing.T) {
	documented := map[string]bool{}
	for _, s := range sources(t) {
		if strings.HasSuffix(s.name, "_test.go") && s.dir != "internal/archtest" && s.dir != "internal/e2e" {
			continue
		}
		documented[s.dir] = documented[s.dir] || s.file.Doc != nil
	}
	for dir, ok := range documented {
		if !ok {
			t.Errorf("%s has no package comment", dir)
		}
	}
}

func TestExportedNames_HaveASentence(t *testing.T) {
	for _, s := range sources(t) {
		if strings.HasSuffix(s.name, "_test.go") {
			continue
		}
		for _, d := range s.file.Decls {
			switch d := d.(type) {
			case *ast.FuncDecl:
				if d.Name.IsExported() && d.Doc == nil && receiverExported(d) {
					t.Errorf("%s: %s has no comment", s.fset.Position(d.Pos()), d.Name.Name)
				}
			case *ast.GenDecl:
				for _, spec := range d.Specs {
					if ts, ok := spec.(*ast.TypeSpec); ok && ts.Name.IsExported() && ts.Doc == nil && d.Doc == nil {
						t.Errorf("%s: %s has no comment", s.fset.Position(ts.Pos()), ts.Name.Name)
					}
				}
			}
		}
	}
}

func receiverExported(d *ast.FuncDecl) bool {
	if d.Recv == nil {
		return true
	}
	expr := d.Recv.List[0].Type
	if star, ok := expr.(*ast.StarExpr); ok {
		expr = star.X
	}
	if index, ok := expr.(*ast.IndexExpr); ok {
		expr = index.X
	}
	id, ok := expr.(*ast.Ident)
	return ok && id.IsExported()
}

func countLines(t *testing.T, name string) int {
	t.Helper()
	f, err := os.Open(name)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	n := 0
	for sc := bufio.NewScanner(f); sc.Scan(); {
		n++
	}
	return n
}
