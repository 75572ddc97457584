package invoice_test

import (
	"errors"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/accordo-ai/accordo/internal/invoice"
	"github.com/accordo-ai/accordo/internal/money"
	"github.com/accordo-ai/accordo/internal/usage"
)

func TestParse_ReadsAttemptsAggregatesAndCredits(t *testing.T) {
	parsed, err := invoice.Parse([]byte("attempt_id,model,uncached_input,output,tier,at,day,amount,kind\n"+
		"a1,m,10,2,standard,2026-06-30T23:59:59.5Z,,,\n"+
		",m,1000,200,,,2026-06-30,12.50,usage\n"+
		",m,,,,,,-3,credit\n"), invoice.Options{})
	if err != nil {
		t.Fatal(err)
	}
	got := parsed.Lines
	want := []invoice.Line{
		{Number: 2, Attempt: "a1", Model: "m", Tier: "standard", Period: "2026-06-30", Tokens: usage.Vector{UncachedInput: 10, Output: 2}},
		{Number: 3, Model: "m", Period: "2026-06-30", Tokens: usage.Vector{UncachedInput: 1000, Output: 200}, Amount: new(money.Amount(12_500_000))},
		{Number: 4, Model: "m", Amount: new(money.Amount(-3_000_000)), Kind: invoice.Credit},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
}

func TestParse_RefusesWithThePlace(t *testing.T) {
	for _, row := range []struct{ name, text, says string }{
		{"nothing", "", "names of columns"},
		{"an unknown column", "attempt_id,model,price\n", `"price"`},
		{"a column twice", "model,model\n", "twice"},
		{"no model", "attempt_id\n", "model is missing"},
		{"a count that is none", "attempt_id,model,output\na,m,1.5\n", "line 2: output"},
		{"a count below zero", "attempt_id,model,output\na,m,-1\n", "line 2: output"},
		{"an amount that is none", "attempt_id,model,amount\na,m,1e3\n", "line 2: amount"},
		{"a day that is none", "model,day\nm,30.6.\n", "line 2: day"},
		{"no place", "attempt_id,model\n,m\n", "neither an attempt"},
		{"a credit that charges", "model,amount,kind\nm,1,credit\n", "below zero"},
		{"another kind", "attempt_id,model,kind\na,m,gift\n", "gift"},
		{"a currency that is none", "attempt_id,model,currency\na,m,euro\n", "line 2: currency"},
		{"two currencies", "attempt_id,model,currency\na,m,EUR\nb,m,USD\n", "line 3: currency"},
		{"a line without the currency", "attempt_id,model,currency\na,m,EUR\nb,m,\n", "line 3: currency"},
		{"a short line", "attempt_id,model\na\n", "line 2"},
		{"a long cell", "attempt_id,model\n" + strings.Repeat("a", 300) + ",m\n", "300 bytes"},
	} {
		t.Run(row.name, func(t *testing.T) {
			if _, err := invoice.Parse([]byte(row.text), invoice.Options{}); !errors.Is(err, invoice.ErrInvoice) || !strings.Contains(err.Error(), row.says) {
				t.Errorf("error %v", err)
			}
		})
	}
}

func FuzzParse(f *testing.F) {
	f.Add([]byte("attempt_id,model,uncached_input,output,tier,at,day,amount,kind\na1,m,10,2,standard,2026-06-30T23:59:59.5Z,,1.5,\n"))
	f.Add([]byte("model,amount,kind\n\"m\n\",-1,credit\n"))
	f.Fuzz(func(t *testing.T, data []byte) {
		v, err := invoice.Parse(data, invoice.Options{})
		if err != nil {
			if !errors.Is(err, invoice.ErrInvoice) {
				t.Fatal(err)
			}
			return
		}
		for _, l := range v.Lines {
			if l.Number < 2 || l.Kind == invoice.Use && l.Attempt == "" && l.Period == "" {
				t.Fatalf("line %+v", l)
			}
		}
	})
}
