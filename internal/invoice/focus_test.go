package invoice_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/accordo-ai/accordo/internal/invoice"
	"github.com/accordo-ai/accordo/internal/money"
	"github.com/accordo-ai/accordo/internal/usage"
)

const focusHeader = "BillingPeriodStart,ChargePeriodStart,ChargePeriodEnd,InvoiceIssuerName,ChargeCategory,BilledCost,BillingCurrency,SkuId,SkuMeter,ConsumedQuantity,ConsumedUnit,SkuPriceDetails,Tags,CommitmentDiscountId,CommitmentDiscountStatus,ChargeDescription\n"

// use is a row of tokens of one hour of June.
func use(cost, meter, quantity, unit, details, tags string) string {
	quote := func(s string) string { return `"` + strings.ReplaceAll(s, `"`, `""`) + `"` }
	return fmt.Sprintf("2026-06-01T00:00:00Z,2026-06-10T05:00:00Z,2026-06-10T06:00:00Z,Amazon,Usage,%s,USD,m-standard,%s,%s,%s,%s,%s,,,\n", cost, meter, quantity, unit, quote(details), quote(tags))
}

func amount(micro money.Amount) *money.Amount { return &micro }

func TestParseFocus_GathersTheRowsOfALine(t *testing.T) {
	details := func(kind string) string {
		return fmt.Sprintf(`{"x_Model":"m","x_ModelVersion":"1","x_TokenType":%q,"x_ServiceTier":"priority"}`, kind)
	}
	text := focusHeader +
		use("0.10", "In", "100", "Tokens", details("input"), "{}") +
		use("0.20", "Out", "0.05", "1K Tokens", details("output"), "") +
		use("0.0000004", "Cached Input Tokens", "3", "Tokens", "", `{"accordo/attempt":"a1","team":"x, \"y\""}`) +
		use("0.0000007", "Output Tokens", "4", "Tokens", "", `{"accordo/attempt":"a1"}`) +
		"2026-06-01T00:00:00Z,2026-06-01,2026-07-01,Amazon,Purchase,12.5,USD,,,,,,,c1,,The fee\n" +
		"2026-06-01T00:00:00Z,2026-06-01,2026-07-01,Amazon,Tax,3,USD,,,,,,,,,\n" +
		"2026-06-01T00:00:00Z,2026-05-01,2026-06-01,Amazon,Credit,-1.0000001,USD,,,,,,,,,\n" +
		"2026-06-01T00:00:00Z,2026-06-01,2026-07-01,Amazon,Usage,2,USD,storage,Disk,7,GB,,,,,Disk of the month\n" +
		"2026-06-01T00:00:00Z,2026-06-10T05:00:00Z,2026-06-10T06:00:00Z,Amazon,Usage,0,USD,m,Output Tokens,7,Tokens,,,c1,Used,\n" +
		"2026-05-01T00:00:00Z,2026-05-10T05:00:00Z,2026-05-10T06:00:00Z,Amazon,Usage,9,USD,m,Output Tokens,7,Tokens,,,,,\n" +
		use("0.20", "Out", "0.05", "1K Tokens", details("output"), "")
	want := &invoice.Invoice{
		Format: invoice.Focus12, Issuer: "Amazon", Currency: "USD", Rows: 11, Covered: 1, Others: 1,
		Lines: []invoice.Line{
			{Number: 2, Rows: []int{2, 3}, Model: "m@1", Tier: "priority", Period: "2026-06-10T05", Tokens: usage.Vector{UncachedInput: 100, Output: 50}, Amount: amount(300_000)},
			{Number: 4, Rows: []int{4, 5}, Attempt: "a1", Model: "m", Period: "2026-06-10T05", Tokens: usage.Vector{CacheRead: 3, Output: 4}, Amount: amount(1)},
			{Number: 6, Kind: invoice.Fee, Contract: "c1", Amount: amount(12_500_000), Text: "The fee"},
			{Number: 7, Kind: invoice.Levy, Amount: amount(3_000_000)},
			{Number: 8, Kind: invoice.Credit, Amount: amount(-1_000_001)},
			{Number: 9, Kind: invoice.Other, Amount: amount(2_000_000), Text: "Disk of the month"},
			{Number: 12, Model: "m@1", Tier: "priority", Period: "2026-06-10T05", Tokens: usage.Vector{Output: 50}, Amount: amount(200_000), Again: true},
		},
		Rest: 1, // 0.1 of a micro-unit of the attempt, 0.9 of the credit
	}
	for name, form := range map[string]string{
		"as it is": text, "with a byte order mark": "\xef\xbb\xbf" + text, "with CRLF": strings.ReplaceAll(text, "\n", "\r\n"),
		"with a column more": strings.ReplaceAll(text, "\n", ",more\n"), "in another time zone": strings.ReplaceAll(text, "T05:00:00Z", "T07:00:00+02:00"),
		"with blanks for the T": strings.NewReplacer("2026-06-10T05:00:00Z", "2026-06-10 05:00:00", "2026-06-10T06:00:00Z", "2026-06-10 06:00:00").Replace(text),
	} {
		t.Run(name, func(t *testing.T) {
			got, err := invoice.Parse([]byte(form), invoice.Options{Month: 202606})
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(want, got); diff != "" {
				t.Errorf("-want +got:\n%s", diff)
			}
		})
	}
}

func TestParseFocus_TakesOneIssuer(t *testing.T) {
	text := focusHeader + use("1", "Output Tokens", "1", "Tokens", "", "") + strings.Replace(use("2", "Output Tokens", "2", "Tokens", "", ""), "Amazon", "Microsoft", 1)
	if _, err := invoice.Parse([]byte(text), invoice.Options{}); !errors.Is(err, invoice.ErrIssuers) {
		t.Errorf("error %v", err)
	}
	v, err := invoice.Parse([]byte(text), invoice.Options{Issuer: "microsoft"})
	if err != nil || len(v.Lines) != 1 || *v.Lines[0].Amount != 2_000_000 || v.Others != 1 {
		t.Errorf("%+v, %v", v, err)
	}
	if _, err := invoice.Parse([]byte(text), invoice.Options{Issuer: "Oracle"}); err == nil {
		t.Error("an invoice without a row was taken")
	}
}

func TestParseFocus_RefusesWithThePlace(t *testing.T) {
	good := use("1", "Output Tokens", "1", "Tokens", "", "")
	for _, row := range []struct{ name, from, to, says string }{
		{"an exponent", ",1,USD", ",1.2e-06,USD", "line 2: BilledCost: \"1.2e-06\" has an exponent"},
		{"a sign of currency", ",1,USD", ",$1,USD", "without signs of currency"},
		{"thousands", ",1,USD", ",\"1,000\",USD", "without signs of currency or thousands"},
		{"too many decimals", ",1,USD", ",0.1234567890123456789,USD", "18 decimals"},
		{"half a token", ",1,Tokens", ",1.5,Tokens", "no count of tokens"},
		{"a time that is none", "2026-06-10T05:00:00Z", "10.6.2026", "ChargePeriodStart"},
		{"a billing period that is none", "2026-06-01T00:00:00Z", "June", "BillingPeriodStart"},
		{"a year", "2026-06-10T06:00:00Z", "2027-06-10T06:00:00Z", "within a month"},
		{"an open quote", `"",""`, `"x`, "line"},
	} {
		t.Run(row.name, func(t *testing.T) {
			text := focusHeader + strings.Replace(good, row.from, row.to, 1)
			if _, err := invoice.Parse([]byte(text), invoice.Options{Month: 202606}); !errors.Is(err, invoice.ErrInvoice) || !strings.Contains(err.Error(), row.says) {
				t.Errorf("error %v", err)
			}
		})
	}
	for name, text := range map[string]string{
		"two currencies":         focusHeader + good + strings.Replace(good, "USD", "EUR", 1),
		"a row without an end":   focusHeader + `"` + strings.Repeat("x", 4*invoice.MaxRecord),
		"too many columns":       strings.Repeat("a,", invoice.MaxColumns) + "b\n",
		"an Invoice Detail only": "InvoiceDetailId,BilledCost\n1,2\n",
	} {
		if _, err := invoice.Parse([]byte(text), invoice.Options{}); !errors.Is(err, invoice.ErrInvoice) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestParseFocus_InvoiceDetailAddsTaxesAndStatesTheSum(t *testing.T) {
	text := focusHeader + use("1", "Output Tokens", "1", "Tokens", "", "")
	detail := "InvoiceDetailId,InvoiceId,InvoiceIssuerName,BillingPeriodStart,BillingCurrency,ChargeCategory,BilledCost,InvoiceIssueStatus\n" +
		"1,i1,Amazon,2026-06-01T00:00:00Z,USD,Usage,1.05,Issued\n" +
		"2,i1,Amazon,2026-06-01T00:00:00Z,USD,Tax,0.19,Issued\n" +
		"3,i1,Amazon,2026-06-01T00:00:00Z,USD,Usage,7,Voided\n"
	v, err := invoice.Parse([]byte(text), invoice.Options{Month: 202606, Detail: []byte(detail)})
	if err != nil {
		t.Fatal(err)
	}
	if v.Stated == nil || *v.Stated != 1_050_000 || v.Sum() != 1_000_000 {
		t.Errorf("stated %v, sum %s", v.Stated, v.Sum())
	}
	if l := v.Lines[len(v.Lines)-1]; l.Kind != invoice.Levy || *l.Amount != 190_000 {
		t.Errorf("line %+v", l)
	}
	if _, err := invoice.Parse([]byte("model,day\nm,2026-06-01\n"), invoice.Options{Detail: []byte(detail)}); !errors.Is(err, invoice.ErrInvoice) {
		t.Errorf("beside another format: %v", err)
	}
}

func TestTotalTolerance_IsThatOfFocus(t *testing.T) {
	for rows, want := range map[int]money.Amount{0: 1_000_000, 1: 1_000_000, 39_999: 1_000_000, 40_000: 1_000_000, 90_000: 1_500_000} {
		if got := invoice.TotalTolerance(rows); got != want {
			t.Errorf("%d rows: %s, want %s", rows, got, want)
		}
	}
}

func FuzzParseFocus(f *testing.F) {
	f.Add([]byte(focusHeader+use("0.0000004", "Output Tokens", "4", "1M Tokens", `{"x_Model":"m"}`, `{"accordo/attempt":"a1"}`)), []byte(nil))
	f.Add([]byte(focusHeader+use("-1", "Output Tokens", "", "", "{", "[]")), []byte("InvoiceDetailId,InvoiceId,BilledCost,ChargeCategory\n1,2,3,Tax\n"))
	f.Fuzz(func(t *testing.T, data, detail []byte) {
		v, err := invoice.Parse(data, invoice.Options{Detail: detail})
		if err != nil {
			if !errors.Is(err, invoice.ErrInvoice) {
				t.Fatal(err)
			}
			return
		}
		for _, l := range v.Lines {
			if l.Number < 2 || l.Kind == invoice.Use && l.Attempt == "" && l.Period == "" || l.Kind != invoice.Use && l.Amount == nil {
				t.Fatalf("line %+v", l)
			}
		}
	})
}

func TestParseFocus_TellsAChargeByWhatIsNotTheNameOfItsContract(t *testing.T) {
	for _, row := range []struct {
		name, contract, says string
		want                 invoice.LineKind
	}{
		{"a name of one letter of the word", "k", "Marketplace charges of k", invoice.Marketplace},
		{"a name that begins the word", "over", "Overage of over", invoice.Overage},
		{"a name that ends the word", "fall", "fall: shortfall", invoice.Shortfall},
		{"a name that is such a word", "marketplace", "Invoice of marketplace", invoice.Other},
		{"a name with such a word in it", "discount-k", "Interest on the loan of discount-k", invoice.Interest},
		{"a name that is no word of the text", "zz", "Volume discount", invoice.Discount},
	} {
		t.Run(row.name, func(t *testing.T) {
			text := focusHeader + "2026-06-01T00:00:00Z,2026-06-01,2026-07-01,Amazon,Adjustment,12.5,USD,,,,,,," + row.contract + ",," + row.says + "\n"
			got, err := invoice.Parse([]byte(text), invoice.Options{Month: 202606, Rules: invoice.Rules})
			if err != nil {
				t.Fatal(err)
			}
			if kind := got.Lines[0].Kind; kind != row.want {
				t.Errorf("%q is read as %s, want %s", row.says, kind, row.want)
			}
		})
	}
}
