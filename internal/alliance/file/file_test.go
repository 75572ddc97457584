package file

import (
	"bytes"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/accordo-ai/accordo/internal/alliance"
)

var update = flag.Bool("update", false, "write the reports of bad files anew")

func TestCheck_ReportsEveryBadFile(t *testing.T) {
	paths, err := filepath.Glob("testdata/bad/*.yaml")
	if err != nil || len(paths) < 50 {
		t.Fatalf("only %d bad files: %v", len(paths), err)
	}
	for _, path := range paths {
		name := strings.TrimSuffix(filepath.Base(path), ".yaml")
		t.Run(name, func(t *testing.T) {
			got := report(t, path)
			golden := strings.TrimSuffix(path, ".yaml") + ".txt"
			if *update {
				if err := os.WriteFile(golden, []byte(got), 0o644); err != nil {
					t.Fatal(err)
				}
			}
			want, err := os.ReadFile(golden)
			if err != nil {
				t.Fatal(err)
			}
			if d := cmp.Diff(string(want), got); d != "" {
				t.Errorf("report differs (-want +got), run with -update to accept:\n%s", d)
			}
		})
	}
}

// report is what a person reads about a bad file, with / in file names.
func report(t *testing.T, path string) string {
	t.Helper()
	a, err := Load(path)
	var faults *Faults
	if !errors.As(err, &faults) {
		t.Fatalf("no faults: %v", err)
	}
	if a != nil {
		t.Error("an alliance came with the faults")
	}
	for _, f := range faults.List {
		if f.Problem == "" || f.Remedy == "" {
			t.Errorf("a fault without problem or remedy: %+v", f)
		}
	}
	var b bytes.Buffer
	if err := Report(&b, faults); err != nil {
		t.Fatal(err)
	}
	return filepath.ToSlash(b.String())
}

func equal(t *testing.T, want, got *alliance.Alliance) {
	t.Helper()
	if d := cmp.Diff(want, got, cmpopts.IgnoreUnexported(alliance.Alliance{})); d != "" {
		t.Errorf("terms differ (-want +got):\n%s", d)
	}
}

func load(t *testing.T, path string) *alliance.Alliance {
	t.Helper()
	a, warnings, err := Check(path)
	if err != nil {
		var faults *Faults
		if errors.As(err, &faults) {
			_ = Report(os.Stderr, faults)
		}
		t.Fatal(err)
	}
	if len(warnings) > 0 {
		t.Errorf("warnings: %+v", warnings)
	}
	return a
}

func TestLoad_DoesNotDependOnHowTermsAreSplitOrOrdered(t *testing.T) {
	want := load(t, "testdata/good/small.yaml")
	if !regexp.MustCompile(`^[0-9a-f]{64}$`).MatchString(want.Hash) {
		t.Fatalf("hash %q", want.Hash)
	}
	for _, path := range []string{"testdata/good/split/alliance.yaml", "testdata/bad/base/small.yaml"} {
		t.Run(path, func(t *testing.T) { equal(t, want, load(t, path)) })
	}
}

func TestCanonical_IsReadBackAsItWas(t *testing.T) {
	for _, path := range []string{"testdata/good/small.yaml", "testdata/good/clauses.yaml", "../../../examples/two-reservations/alliance.yaml", "../../../examples/openai-amazon/alliance.yaml"} {
		t.Run(path, func(t *testing.T) {
			want := load(t, path)
			text := Canonical(want)
			got, err := Parse("canonical", text)
			if err != nil {
				t.Fatalf("%v\n%s", err, text)
			}
			equal(t, want, got)
			if !bytes.Equal(text, Canonical(got)) {
				t.Error("the canonical form of the canonical form differs")
			}
		})
	}
}

func TestLoad_FillsTheRatesThatAreNotStated(t *testing.T) {
	a := load(t, "testdata/good/small.yaml")
	want := alliance.Rates{Input: 2_750_000, CacheRead: 0, CacheWrite: 2_750_000, Output: 11_000_000, Reasoning: 11_000_000}
	if d := cmp.Diff(want, a.Price("P1").List); d != "" {
		t.Error(d)
	}
	want = alliance.Rates{Input: 2_000_000, CacheRead: 2_000_000, CacheWrite: 2_000_000, Output: 8_000_000, Reasoning: 9_000_000}
	if d := cmp.Diff(want, a.Price("P2").List); d != "" {
		t.Error(d)
	}
	want = alliance.Rates{Input: 5_000_000, CacheRead: 5_000_000, CacheWrite: 5_000_000, Output: 20_000_000, Reasoning: 20_000_000}
	if d := cmp.Diff(want, a.SalePrice("api-price").Rates); d != "" {
		t.Error(d)
	}
}

func TestLoad_TakesAmountsAsWritten(t *testing.T) {
	for _, row := range []struct {
		name, text string
		want       int64
	}{
		{"underscores", "5_430_000_000", 5_430_000_000_000_000},
		{"quoted", `"5_430_000_000"`, 5_430_000_000_000_000},
		{"decimals", "2.75", 2_750_000},
		{"a micro-unit beside a large number that a float would lose", "9007199254.740993", 9_007_199_254_740_993},
		{"leading zeros are decimal", "010", 10_000_000},
	} {
		t.Run(row.name, func(t *testing.T) {
			a, err := Parse("x", minimal("claims: [{id: C, says: s, mood: m, status: signed, bound: exact, low: "+row.text+", unit: USD, known: 2026-01-01, source: {kind: filing, grade: A}}]"))
			if err != nil {
				t.Fatal(err)
			}
			if got := int64(*a.Claims[0].Low); got != row.want {
				t.Errorf("got %d, want %d", got, row.want)
			}
		})
	}
}

// minimal is the smallest good file and what comes after it.
func minimal(more string) []byte {
	return []byte("version: 1\ntitle: T\noperator: lab\ncurrency: USD\nparties: [{id: lab, name: Lab, kinds: [lab]}]\n" + more + "\n")
}

func TestCanonical_KeepsOddTexts(t *testing.T) {
	for _, row := range []struct{ name, text string }{
		{"quotes and backslashes", `a "b" 'c' \d\n`},
		{"line ends and tabs", "a\n\n\tb\n"},
		{"looks like YAML", "- {a: [b, c]} # d: &e *f !g %h"},
		{"looks like another type", "true"},
		{"no word", "null"},
		{"a number", "0x10"},
		{"separators that editors take for line ends", "a\u2028b\u2029c"},
		{"a mark that is not shown", "a\ufeffb\u200b"},
		{"beyond the basic plane", "\U0001f600 \U000e0001"},
		{"blanks around", "  a  "},
		{"wide blanks", "\u00a0a\u3000"},
	} {
		t.Run(row.name, func(t *testing.T) {
			want, err := Parse("x", minimal(""))
			if err != nil {
				t.Fatal(err)
			}
			want.Notice = row.text
			got, err := Parse("canonical", Canonical(want))
			if err != nil {
				t.Fatalf("%v in\n%s", err, Canonical(want))
			}
			if got.Notice != row.text {
				t.Errorf("%q became %q", row.text, got.Notice)
			}
		})
	}
}

func TestParse_HashChangesWithTheTermsOnly(t *testing.T) {
	hash := func(more string) string {
		a, err := Parse("x", minimal(more))
		if err != nil {
			t.Fatal(err)
		}
		return a.Hash
	}
	plain := hash("")
	if hash("# a comment\n\nmodels: []") != plain {
		t.Error("a comment or an empty list changes the hash")
	}
	if hash("notice: n") == plain {
		t.Error("a notice does not change the hash")
	}
}

func TestLoad_VersionOfAVariantFollowsItsDefinitionOnly(t *testing.T) {
	text, err := os.ReadFile("testdata/good/small.yaml")
	if err != nil {
		t.Fatal(err)
	}
	version := func(old, new string) string {
		a, err := Parse("x", bytes.Replace(text, []byte(old), []byte(new), 1))
		if err != nil {
			t.Fatal(err)
		}
		return a.Variants[0].Version
	}
	first := version("", "")
	if !regexp.MustCompile(`^[0-9a-f]{12}$`).MatchString(first) {
		t.Fatalf("version %q", first)
	}
	if version("style: [warm]", "style: [terse]") == first {
		t.Error("another style has the same version")
	}
	if version("name: The Shop, kinds", "name: The Store, kinds") != first {
		t.Error("the name of a party changes the version")
	}
}

func TestCheck_WarnsOfAGapInPricesAndServes(t *testing.T) {
	fsys := overlay(t, "set: {P2: {from: 2026-08-01}}")
	a, warnings, err := LoadFS(fsys, "root.yaml", "")
	if err != nil || a == nil {
		t.Fatal(err)
	}
	if len(warnings) != 1 || !warnings[0].Warning || warnings[0].Line != 2 {
		t.Errorf("warnings %+v", warnings)
	}
}

// overlay is a file system with the small alliance and a root file over it.
func overlay(t *testing.T, text string) fstest.MapFS {
	t.Helper()
	small, err := os.ReadFile("testdata/good/small.yaml")
	if err != nil {
		t.Fatal(err)
	}
	return fstest.MapFS{
		"small.yaml": {Data: small},
		"root.yaml":  {Data: []byte("include: [small.yaml]\n" + text + "\n")},
	}
}

func TestLoad_ReportsAllFaultsAtOnceInTheFileThatHasThem(t *testing.T) {
	fsys := overlay(t, "set:\n  pool-floor: {chips: 9}\n  K-floor: {headline: 5}\n  nobody: {name: x}\n  R1: {mode: sole}\nprices:\n  - {id: P9}")
	fsys["small.yaml"].Data = bytes.Replace(fsys["small.yaml"].Data, []byte("kinds: [chipmaker]"), []byte("kinds: [chip]"), 1)
	_, _, err := LoadFS(fsys, "root.yaml", "dir")
	var faults *Faults
	if !errors.As(err, &faults) {
		t.Fatal(err)
	}
	var got []string
	for _, f := range faults.List {
		got = append(got, fmt.Sprintf("%s:%d:%d", filepath.ToSlash(f.File), f.Line, f.Column))
	}
	want := []string{
		"dir/root.yaml:3:23", "dir/root.yaml:4:23", "dir/root.yaml:5:3", "dir/root.yaml:6:14",
		"dir/root.yaml:8:5", "dir/root.yaml:8:5", "dir/root.yaml:8:5", "dir/root.yaml:8:5",
		"dir/small.yaml:11:46",
	}
	if d := cmp.Diff(want, got); d != "" {
		t.Errorf("places (-want +got):\n%s\n%v", d, err)
	}
}

func TestLoad_StaysInsideTheDirectoryThroughLinks(t *testing.T) {
	outside, dir := t.TempDir(), t.TempDir()
	if err := os.WriteFile(filepath.Join(outside, "secret.yaml"), []byte("title: secret\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(filepath.Join(outside, "secret.yaml"), filepath.Join(dir, "part.yaml")); err != nil {
		t.Skip("no symbolic links here:", err)
	}
	root := filepath.Join(dir, "root.yaml")
	if err := os.WriteFile(root, []byte("include: [part.yaml]\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if got := report(t, root); !strings.Contains(got, "cannot be read") || strings.Contains(got, "title: secret") {
		t.Error(got)
	}
}

func TestLoad_SaysWhichFileIsMissing(t *testing.T) {
	_, err := Load(filepath.Join(t.TempDir(), "none.yaml"))
	if !errors.Is(err, os.ErrNotExist) || !strings.Contains(err.Error(), "none.yaml") {
		t.Error(err)
	}
}

func TestLoad_KeepsItsLimits(t *testing.T) {
	chain := fstest.MapFS{}
	for i := range MaxIncludeDepth + 1 {
		chain[fmt.Sprintf("%d.yaml", i)] = &fstest.MapFile{Data: fmt.Appendf(nil, "include: [%d.yaml]\n", i+1)}
	}
	many := fstest.MapFS{}
	var list []string
	for i := range MaxFiles {
		name := fmt.Sprintf("part%d.yaml", i)
		list = append(list, name)
		many[name] = &fstest.MapFile{Data: []byte("parties: []\n")}
	}
	many["0.yaml"] = &fstest.MapFile{Data: []byte("include: [" + strings.Join(list, ", ") + "]\n")}
	one := func(text string) fstest.MapFS { return fstest.MapFS{"0.yaml": {Data: []byte(text)}} }
	for _, row := range []struct {
		name string
		fsys fstest.MapFS
		want string
	}{
		{"includes nest too deep", chain, "includes nest deeper"},
		{"too many files", many, "files are included"},
		{"a file is too large", one("title: x\n#" + strings.Repeat("x", MaxFileBytes)), "the file is too large"},
		{"too many separators", one("title: x\n#" + strings.Repeat(",", MaxMarks+1)), "separators"},
		{"too many keys", one("set:\n" + keys(MaxKeys+1)), "more than 2000 keys"},
		{"lists nest too deep in a line", one("title: " + strings.Repeat("[", MaxNesting+1)), "nests deeper"},
		{"lists nest too deep over dashes", one(strings.Repeat("- ", MaxNesting+1) + "a"), "nests deeper"},
		{"objects nest too deep", one(steps(MaxNesting + 1)), "nests deeper"},
		{"a text is too long", one("title: " + strings.Repeat("x", MaxTextBytes+1)), "this text has"},
		{"bytes are not UTF-8", one("title: a\n  b\xff"), "not UTF-8"},
		{"a control character", one("title: a\x00"), "control character"},
	} {
		t.Run(row.name, func(t *testing.T) {
			_, _, err := LoadFS(row.fsys, "0.yaml", "")
			var faults *Faults
			if !errors.As(err, &faults) {
				t.Fatalf("no faults: %v", err)
			}
			if !strings.Contains(faults.Error()+fmt.Sprint(faults.List[len(faults.List)-1].Problem), row.want) {
				t.Errorf("no %q in %v", row.want, err)
			}
		})
	}
}

func TestLoad_BoundsAllFilesTogether(t *testing.T) {
	for _, row := range []struct {
		name  string
		read  int // bytes of other files
		wrong bool
	}{
		{"up to the limit", MaxTotalBytes - len(minimal("")), false},
		{"a byte above it", MaxTotalBytes - len(minimal("")) + 1, true},
	} {
		t.Run(row.name, func(t *testing.T) {
			l := &loader{log: &faultLog{}, seen: map[string]*node{"x": nil}, total: row.read}
			l.document("x", minimal(""))
			if _, _, err := build(l); (err != nil) != row.wrong {
				t.Error(err)
			}
		})
	}
}

func keys(n int) string {
	var b strings.Builder
	for i := range n {
		fmt.Fprintf(&b, "  k%d: 1\n", i)
	}
	return b.String()
}

func steps(n int) string {
	var b strings.Builder
	for i := range n {
		fmt.Fprintf(&b, "%sa:\n", strings.Repeat(" ", i))
	}
	return b.String()
}

func TestLoad_CountsFaultsBeyondTheLimit(t *testing.T) {
	var b strings.Builder
	b.WriteString("parties:\n")
	for i := range MaxFaults + 50 {
		fmt.Fprintf(&b, "  - {id: p%d, name: P, kinds: [nothing-known]}\n", i)
	}
	_, err := Parse("x", []byte("version: 1\ntitle: T\noperator: p0\ncurrency: USD\n"+b.String()))
	var faults *Faults
	if !errors.As(err, &faults) || len(faults.List) != MaxFaults || faults.Omitted != 50 {
		t.Fatalf("%d faults, %d omitted", len(faults.List), faults.Omitted)
	}
	var text bytes.Buffer
	if err := Report(&text, faults); err != nil || !strings.HasSuffix(text.String(), "... and 50 more faults\n\n1050 faults\n") {
		t.Errorf("%q, %v", text.String()[text.Len()-60:], err)
	}
}

func TestReportJSON_HoldsEveryFault(t *testing.T) {
	_, err := Load("testdata/bad/claim_circle.yaml")
	var faults *Faults
	if !errors.As(err, &faults) {
		t.Fatal(err)
	}
	var b bytes.Buffer
	if err := ReportJSON(&b, faults); err != nil {
		t.Fatal(err)
	}
	var got Faults
	if err := json.Unmarshal(b.Bytes(), &got); err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff(*faults, got); d != "" {
		t.Error(d)
	}
}

func TestReport_NeverRepeatsASecret(t *testing.T) {
	for _, row := range []struct{ name, field string }{
		{"secret", `secret: sk-123`},
		{"user and password in an address", `url: "https://u:sk-123@host/v1"`},
		{"escaped", `secret: "sk-12\u0033"`},
		{"beside another fault", `secret: sk-123, total: 5`},
	} {
		t.Run(row.name, func(t *testing.T) {
			_, _, err := LoadFS(overlay(t, "set: {pool-floor: {endpoint: {dialect: oops, "+row.field+"}}}"), "root.yaml", "")
			var faults *Faults
			if !errors.As(err, &faults) {
				t.Fatal(err)
			}
			var b bytes.Buffer
			_ = Report(&b, faults)
			_ = ReportJSON(&b, faults)
			if strings.Contains(b.String(), "sk-12") {
				t.Error(b.String())
			}
		})
	}
}

// TestRules_NameFieldsThatExist keeps the table of rules and the types together.
func TestRules_NameFieldsThatExist(t *testing.T) {
	d := newDecoder(newMerge(&faultLog{}))
	var walk func(reflect.Type)
	exists := map[string]bool{}
	walk = func(typ reflect.Type) {
		for typ.Kind() == reflect.Pointer || typ.Kind() == reflect.Slice {
			typ = typ.Elem()
		}
		if typ.Kind() != reflect.Struct || typ == reflect.TypeFor[alliance.Date]() {
			return
		}
		for _, f := range fields(typ) {
			exists[typ.Name()+"."+f.key] = true
			walk(f.typ)
		}
	}
	walk(reflect.TypeFor[alliance.Alliance]())
	for name := range d.rules {
		if !exists[name] {
			t.Errorf("a rule for %s, which does not exist", name)
		}
	}
	doc, err := os.ReadFile("../../../docs/alliance-file.md")
	if err != nil {
		t.Fatal(err)
	}
	for name := range exists {
		if _, key, _ := strings.Cut(name, "."); !bytes.Contains(doc, []byte("`"+key+"`")) {
			t.Errorf("docs/alliance-file.md does not explain %s", name)
		}
	}
}
