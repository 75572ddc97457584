package contract_test

import (
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// shapes are the names that only this package may compare with. The terms
// declare them; their loader, a ring further in, checks which fields a shape
// takes, and may.
var (
	shapes  = []string{"PayPerUse", "SpendFloor", "TakeOrPay", "ThroughputReserved", "PrepaidCredit", "HourlyRate", "OptionShape"}
	allowed = []string{"internal/contract", "internal/alliance", "internal/alliance/file"}
)

func isShape(e ast.Expr) bool {
	s, ok := e.(*ast.SelectorExpr)
	if !ok {
		return false
	}
	pkg, ok := s.X.(*ast.Ident)
	return ok && pkg.Name == "alliance" && slices.Contains(shapes, s.Sel.Name)
}

// isShapeField reports an expression that ends in .Shape.
func isShapeField(e ast.Expr) bool {
	s, ok := e.(*ast.SelectorExpr)
	return ok && s.Sel.Name == "Shape"
}

// switches lists where a file tells shapes apart.
func switches(fset *token.FileSet, f *ast.File) (places []string) {
	found := func(n ast.Node) { places = append(places, fset.Position(n.Pos()).String()) }
	ast.Inspect(f, func(n ast.Node) bool {
		switch n := n.(type) {
		case *ast.SwitchStmt:
			if n.Tag != nil && isShapeField(n.Tag) {
				found(n)
			}
		case *ast.CaseClause:
			if slices.ContainsFunc(n.List, isShape) {
				found(n)
			}
		case *ast.BinaryExpr:
			if (n.Op == token.EQL || n.Op == token.NEQ) && (isShape(n.X) || isShape(n.Y) || isShapeField(n.X) || isShapeField(n.Y)) {
				found(n)
			}
		case *ast.KeyValueExpr:
			if isShape(n.Key) { // a map by shape is a switch in disguise
				found(n)
			}
		}
		return true
	})
	return places
}

func TestNoOtherPackage_TellsShapesApart(t *testing.T) {
	root := filepath.Join("..", "..")
	files := 0
	err := filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if d.IsDir() && path != root && (strings.HasPrefix(d.Name(), ".") || d.Name() == "testdata" || d.Name() == "node_modules") {
			return fs.SkipDir
		}
		dir, _ := filepath.Rel(root, filepath.Dir(path))
		if d.IsDir() || !strings.HasSuffix(path, ".go") || strings.HasSuffix(path, "_test.go") || slices.Contains(allowed, filepath.ToSlash(dir)) {
			return nil
		}
		files++
		fset := token.NewFileSet()
		f, err := parser.ParseFile(fset, path, nil, 0)
		if err != nil {
			return err
		}
		for _, place := range switches(fset, f) {
			t.Errorf("%s tells shapes apart: ask package contract instead", place)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if files < 20 {
		t.Fatalf("found only %d files", files)
	}
}

func TestSwitches_AreFound(t *testing.T) {
	for _, code := range []string{
		"func f(c C) { switch c.Shape { } }",
		"func f(s S) { switch s { case alliance.TakeOrPay: } }",
		"func f(s S) bool { return s == alliance.SpendFloor }",
		"func f(c C) bool { return c.Shape != x }",
		"var m = map[alliance.Shape]int{alliance.PayPerUse: 1}",
	} {
		fset := token.NewFileSet()
		f, err := parser.ParseFile(fset, "x.go", "package p\n"+code, 0)
		if err != nil {
			t.Fatal(err)
		}
		if len(switches(fset, f)) == 0 {
			t.Errorf("not found: %s", code)
		}
	}
}
