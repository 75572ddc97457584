package console_test

import (
	"net/http/httptest"
	"regexp"
	"strings"
	"testing"

	"github.com/accordo-ai/accordo/internal/admin"
	"github.com/accordo-ai/accordo/internal/money"
)

func TestSales_ListNumbersAndDrafts(t *testing.T) {
	h := pages(newFake(t))
	_, body := get(t, h, "/sales")
	mustContain(t, body, "OPENAI-000003", "OPENAI-000002", ">draft</a>", "2026-11-05", "2026-12-05", "Their market", "2.000000", `href="/sales/demo-tenant?month=2026-11"`, "From providers")
	_, body = get(t, h, "/sales?month=2026-11")
	if strings.Contains(body, "OPENAI-0") || !strings.Contains(body, ">draft</a>") {
		t.Error("a month shows the invoices of others")
	}
	_, body = get(t, h, "/sales?month=2020-01")
	mustContain(t, body, "Nothing was billed in this month.")
	_, csv := get(t, h, "/sales?csv=sales")
	mustContain(t, csv, "number,month,customer,id,issued,due,total,currency", "-,2026-11,Whoever tries,demo-tenant,,,1.500001,USD", "OPENAI-000003,2026-10,")
}

func TestSale_SaysWhetherItIsADraft(t *testing.T) {
	f := newFake(t)
	h := pages(f)
	for path, want := range map[string]string{
		"/sales/demo-tenant?month=2026-10": "Invoice OPENAI-000002", "/sales/demo-tenant?month=2026-11": "Draft invoice", "/sales/demo-tenant?month=1999-01": "No invoice",
		"/sales/demo-tenant": "Draft invoice", // of the newest month that it has anything in
	} {
		if _, body := get(t, h, path); !strings.Contains(body, "<h1>"+want+"</h1>") {
			t.Errorf("%s is no %s", path, want)
		}
	}
	_, body := get(t, h, "/sales/demo-tenant?month=2026-10")
	mustContain(t, body, "Issued on 2026-11-05, due on 2026-12-05.", "18.518522 USD", "1,234,567", "15.00", "million tokens", "overage of 2026-09", "58,765", "1,234.5", "SIMULATED", "Not affiliated with")
	w := httptest.NewRecorder()
	h.ServeHTTP(w, httptest.NewRequest("GET", "/sales/demo-tenant/pdf?month=2026-10", nil))
	if w.Code != 200 || !strings.HasPrefix(w.Body.String(), "%PDF-") || w.Header().Get("Content-Disposition") != `attachment; filename="invoice-OPENAI-000002-2026-10.pdf"` {
		t.Errorf("status %d, %v", w.Code, w.Header())
	}
	f.many = 1
	_, body = get(t, h, "/sales/demo-tenant?month=2026-11")
	mustContain(t, body, "Nothing was billed in this month.")
}

// Each line leads to the entries that it sums, and an entry to its requests.
func TestSale_LinesOpenToTheirEntries(t *testing.T) {
	f := newFake(t)
	h := pages(f)
	_, body := get(t, h, "/sales/demo-tenant?month=2026-10")
	line := regexp.MustCompile(`href="(/sales/demo-tenant/lines\?line=1[^"]*)"`).FindStringSubmatch(body)
	if line == nil || strings.Contains(body, "line=3") {
		t.Fatal("the first line does not open, or rounding does")
	}
	_, body = get(t, h, strings.ReplaceAll(line[1], "&amp;", "&"))
	want := admin.EntryQuery{Account: "openai/asset/receivable/demo-tenant", Other: "openai/revenue/inference/gpt-5.5,openai-api", Price: "secret-price", Kind: "sale", Month: 202610, Limit: 10_000}
	if f.query != want {
		t.Errorf("asked for %+v, want %+v", f.query, want)
	}
	mustContain(t, body, "1,234,567 output tokens at 15.00 USD per million tokens: 18.518505 USD.", `href="/ledger/entries/149.1"`, "Output tokens", "Invoice OPENAI-000002")
	_, body = get(t, h, "/sales/demo-tenant/lines?line=2&month=2026-10")
	mustContain(t, body, "No entry.") // the entries are of no closed month, the line corrects one
}

func TestSale_OfAPartnerIsItsOwn(t *testing.T) {
	h := pagesAs(newFake(t), admin.Access{ID: "m", Role: admin.Partner, Party: "microsoft"})
	_, list := get(t, h, "/sales")
	mustContain(t, list, "OPENAI-000002", `href="/sales"`)
	_, body := get(t, h, "/sales/azure-market?month=2026-10")
	mustContain(t, body, "Their market", "18.518522 USD")
	_, lines := get(t, h, "/sales/azure-market/lines?line=1&month=2026-10")
	mustContain(t, lines, "149.1", "output tokens")
	_, csv := get(t, h, "/sales/azure-market?month=2026-10&csv=lines")
	for _, page := range []string{list, body, lines, csv} {
		for _, word := range []string{"demo-tenant", "OPENAI-000003", "secret-price", "asset/receivable", "/ledger", "stand-ins answer"} {
			if strings.Contains(page, word) {
				t.Errorf("a partner is told %q", word)
			}
		}
	}
}

func TestMargin_IsDrawnAndTold(t *testing.T) {
	h := pages(newFake(t))
	_, body := get(t, h, "/margin")
	mustContain(t, body, "Margin by plan", "2026-10 brought in and cost (closed)", `<svg class="chart bars"`, "12.999999 USD, 64.9 %", "over 2", "−7.00 USD", "a plan with a name that is far too …", "unused capacity", "−470.0 %", `href="/margin?by=model&amp;month=2026-10"`,
		`href="/ledger/entries?account=openai%2Fexpense%2Funused_capacity%2F&amp;month=2026-10"`, `href="/ledger/entries?account=openai%2Frevenue%2Finference%2F&amp;month=2026-10"`)
	_, body = get(t, h, "/margin?by=tenant&month=2026-11")
	mustContain(t, body, "Margin by tenant", "fees come with the close", `href="/sales/demonstration?month=2026-11"`)
	_, csv := get(t, h, "/margin?csv=margin")
	mustContain(t, csv, "demonstration,row,3,1234567,2,20.000000,2.000000,5.000001,12.999999,64.9,7.000000,20.000000,9.000000,2.000000,2026-10,plan,USD,true", "unused_capacity,rest,,,,0.000000,0.000000,100.000000,-100.000000,", "total,total,4,0,,19.999999,")
	f := newFake(t)
	f.many = -1
	_, body = get(t, pages(f), "/margin")
	mustContain(t, body, "No request of this month was sold or cost anything.", "No request was booked in this month.")
}

// Bars stand on the zero line, keep their proportions, and a loss is marked.
func TestMarginChart_KeepsProportions(t *testing.T) {
	f := newFake(t)
	rows := func(sales ...money.Amount) string {
		f.margins = nil
		for _, s := range sales {
			f.margins = append(f.margins, admin.MarginRow{Name: "row", Sales: s, Margin: s})
		}
		_, body := get(t, pages(f), "/margin")
		return body
	}
	widths := func(body string) (list []string) {
		for _, m := range regexp.MustCompile(`<rect class="net" x="([0-9]+)" y="[0-9]+" width="([0-9]+)"`).FindAllStringSubmatch(body, -1) {
			list = append(list, m[1]+"+"+m[2])
		}
		return list
	}
	for _, row := range []struct {
		name  string
		sales []money.Amount
		want  string
	}{
		{"in proportion, the highest first", []money.Amount{1, 4, 2}, "8+704 8+352 8+176"},
		{"below zero", []money.Amount{3, -1}, "184+528 8+176"},
		{"as large as amounts can be", []money.Amount{1 << 62, 1 << 61}, "8+704 8+352"},
		{"more than are drawn", make([]money.Amount, 25), ""},
	} {
		if row.want == "" {
			for i := range row.sales {
				row.sales[i] = money.Amount(i + 1)
			}
			body := rows(row.sales...)
			if n := len(widths(body)); n != 20 || !strings.Contains(body, "5 more are in the table.") {
				t.Errorf("%s: %d bars", row.name, n)
			}
			continue
		}
		if got := strings.Join(widths(rows(row.sales...)), " "); got != row.want {
			t.Errorf("%s: %s, want %s", row.name, got, row.want)
		}
	}
	if body := rows(-5); !strings.Contains(body, `class="axis end loss"`) {
		t.Error("a loss is not marked")
	}
}
