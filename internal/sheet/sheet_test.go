package sheet_test

import (
	"bytes"
	"encoding/csv"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/accordo-ai/accordo/internal/sheet"
)

func TestCell_IsNoFormula(t *testing.T) {
	for in, want := range map[string]string{
		"": "", "plain": "plain", "a=b": "a=b", "12": "12", "-12.50": "-12.50", "0.000001": "0.000001",
		"=1+1": "'=1+1", "+1": "'+1", "-1+1": "'-1+1", "-": "'-", "@SUM(A1)": "'@SUM(A1)", "=cmd|' /C calc'!A0": "'=cmd|' /C calc'!A0",
		"\t=1": "'\t=1", "\r=1": "'\r=1", " =1": "' =1", "\u00a0=1": "'\u00a0=1", "\tx": "'\tx", "－1＋1": "'－1＋1", "-1e9": "'-1e9", "--1": "'--1", "-1.": "'-1.",
		"openai/expense/compute/x": "openai/expense/compute/x", "2026-06-01": "2026-06-01",
	} {
		if got := sheet.Cell(in); got != want {
			t.Errorf("%q becomes %q, want %q", in, got, want)
		}
	}
}

func TestWrite_QuotesWhatNeedsIt(t *testing.T) {
	rows := [][]string{{"name", "amount"}, {"a, \"b\"\nc", "-1.50"}, {"", "0"}}
	var b bytes.Buffer
	if err := sheet.Write(&b, rows); err != nil {
		t.Fatal(err)
	}
	got, err := csv.NewReader(&b).ReadAll()
	if diff := cmp.Diff(rows, got); diff != "" || err != nil {
		t.Errorf("read back (-want +got):\n%s %v", diff, err)
	}
}

func FuzzCell_NeverBeginsAFormula(f *testing.F) {
	for _, s := range []string{"=1", "-1", "\t@x", " +1", "a"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, in string) {
		got := sheet.Cell(in)
		if !strings.HasSuffix(got, in) {
			t.Fatalf("%q becomes %q", in, got)
		}
		if first := strings.TrimLeft(got, " \t\r\n"); first != "" && strings.ContainsAny(first[:1], "=+@") || strings.HasPrefix(first, "-") && strings.ContainsAny(first[1:], "=+@(!|") {
			t.Fatalf("%q becomes %q, which a spreadsheet may run", in, got)
		}
	})
}
