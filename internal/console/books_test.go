package console_test

import (
	"encoding/csv"
	"fmt"
	"net/http/httptest"
	"net/url"
	"regexp"
	"strings"
	"testing"

	"github.com/accordo-ai/accordo/internal/admin"
)

// Every table of every page has its CSV, with the rows that the page shows
// and no cell that a spreadsheet would run.
func TestTables_AreCSVToo(t *testing.T) {
	f := newFake(t)
	f.hostile = "=HYPERLINK(\"x\")"
	plain, hostile := pages(newFake(t)), pages(f)
	tables := regexp.MustCompile(`(?s)<table class="(?:stack|pairs).*?</table>`)
	link := regexp.MustCompile(`class="csv" href="([^"]*)"`)
	seen := map[string]bool{}
	for _, path := range all {
		_, body := get(t, plain, path)
		for _, table := range tables.FindAllString(body, -1) {
			m := link.FindStringSubmatch(table)
			if m == nil {
				t.Errorf("%s has a table without CSV: %.200s", path, table)
				continue
			}
			at := strings.ReplaceAll(m[1], "&amp;", "&")
			page, _, _ := strings.Cut(path, "?")
			w := httptest.NewRecorder()
			plain.ServeHTTP(w, httptest.NewRequest("GET", page+at, nil))
			rows, err := csv.NewReader(w.Body).ReadAll()
			if w.Code != 200 || err != nil || !strings.HasPrefix(w.Header().Get("Content-Type"), "text/csv") || !strings.Contains(w.Header().Get("Content-Disposition"), "attachment") {
				t.Fatalf("%s%s: status %d, %v, %v", page, at, w.Code, w.Header(), err)
			}
			shown := strings.Count(table, `<th scope="row"`) - strings.Count(table, "<tfoot>")
			if decisions := strings.Count(body, ">Decision "); decisions < 2 && len(rows)-1 != shown && !strings.Contains(at, "csv=requests") {
				t.Errorf("%s%s has %d rows, the page %d", page, at, len(rows)-1, shown)
			}
			seen[at] = true
			w = httptest.NewRecorder()
			hostile.ServeHTTP(w, httptest.NewRequest("GET", page+at, nil))
			rows, err = csv.NewReader(w.Body).ReadAll()
			if err != nil {
				t.Fatal(err)
			}
			for _, row := range rows {
				for _, cell := range row {
					if strings.HasPrefix(cell, "=") {
						t.Errorf("%s%s holds a formula: %s", page, at, cell)
					}
				}
			}
		}
	}
	if len(seen) < 15 {
		t.Errorf("only %d tables were seen", len(seen))
	}
	if code, _ := get(t, plain, "/ledger?csv=nothing"); code != 400 {
		t.Errorf("an unknown table: status %d", code)
	}
}

func TestPartner_TablesAreCSVToo(t *testing.T) {
	h := pagesAs(newFake(t), admin.Access{ID: "m", Role: admin.Partner, Party: "microsoft"})
	for path, want := range map[string]string{
		"/contracts?csv=contracts": "azure-250bn", "/contracts/azure-250bn?csv=schedule": "50000000000.000000", "/contracts/azure-250bn?csv=ramp": "tokens_a_minute",
		"/statements/microsoft?csv=statement": "carried forward", "/statements/microsoft/lines?account=1&csv=lines": "1234567.890123",
	} {
		code, body := get(t, h, path)
		if code != 200 || !strings.Contains(body, want) || strings.Contains(body, "aws-38bn") {
			t.Errorf("%s: status %d, %.300s", path, code, body)
		}
	}
}

func TestCSV_FiguresArePlain(t *testing.T) {
	_, body := get(t, pages(newFake(t)), "/ledger/entries?csv=entries")
	mustContain(t, body, "1234567.890123", "149.2", "azure-250bn", "\r\n")
	if strings.Contains(body, "1,234,567") {
		t.Error("the figure has separators")
	}
}

func TestEntries_ArePaged(t *testing.T) {
	f := newFake(t)
	f.many = 150
	h := pages(f)
	_, body := get(t, h, "/ledger/entries?account=a/b/c/d&month=2026-10&kind=cost")
	older := regexp.MustCompile(`href="(/ledger/entries\?[^"]*before=149\.[0-9]+[^"]*)"`).FindStringSubmatch(body)
	if older == nil || f.query.Limit != 101 || strings.Count(body, "/ledger/entries/149.") != 100 {
		t.Fatalf("no second page, limit %d, %d entries", f.query.Limit, strings.Count(body, "/ledger/entries/149."))
	}
	if code, _ := get(t, h, strings.ReplaceAll(older[1], "&amp;", "&")); code != 200 {
		t.Fatalf("status %d", code)
	}
	want := admin.EntryQuery{Account: "a/b/c/d", Kind: "cost", Month: 202610, BeforeBatch: 149, BeforeNumber: 99, Limit: 101}
	if f.query != want {
		t.Errorf("asked for %+v, want %+v", f.query, want)
	}
	get(t, h, "/ledger/entries?csv=entries")
	if f.query.Limit < 10_000 {
		t.Errorf("the CSV has at most %d rows", f.query.Limit)
	}
}

func TestMonth_IsReadOrRefused(t *testing.T) {
	h := pages(newFake(t))
	for _, path := range []string{"/ledger", "/ledger/entries", "/statements", "/statements/amazon"} {
		for _, month := range []string{"2026", "june", "2026-13", "202610"} {
			if code, _ := get(t, h, path+"?month="+month); code != 400 {
				t.Errorf("%s with %s: status %d", path, month, code)
			}
		}
	}
}

// Each line of a statement leads to exactly the entries that it sums.
func TestStatement_LinesOpenToTheirEntries(t *testing.T) {
	f := newFake(t)
	h := pages(f)
	code, body := get(t, h, "/statements/amazon?month=2026-10")
	mustContain(t, body, "SIMULATED", "Not affiliated with", "closed", "brought forward", "carried forward", "Amazon (AWS) owes OpenAI")
	line := regexp.MustCompile(`href="(/ledger/entries\?[^"]*kind=cost[^"]*)"`).FindStringSubmatch(body)
	if code != 200 || line == nil {
		t.Fatalf("status %d, no line opens", code)
	}
	get(t, h, strings.ReplaceAll(line[1], "&amp;", "&"))
	want := admin.EntryQuery{Account: "openai/liability/accrued/amazon", Other: "openai/expense/compute/aws-gb200-us-east-2", Contract: "aws-38bn", Price: "price-of-aws", Kind: "cost", Month: 202610, Limit: 101}
	if f.query != want {
		t.Errorf("asked for %+v, want %+v", f.query, want)
	}
	_, mirrored := get(t, h, "/statements/amazon?month=2026-10&as=party")
	mustContain(t, mirrored, "as the books of Amazon (AWS) must have it", "OpenAI owes Amazon (AWS)")
}

func TestStatement_OfAPartnerIsItsOwn(t *testing.T) {
	f := newFake(t)
	h := pagesAs(f, admin.Access{ID: "m", Role: admin.Partner, Party: "microsoft"})
	_, body := get(t, h, "/statements/microsoft")
	mustContain(t, body, "accrued, microsoft", "azure-250bn", "0.00025", "/statements/microsoft/lines?account=1")
	w := httptest.NewRecorder()
	h.ServeHTTP(w, httptest.NewRequest("GET", "/statements/microsoft/pdf?month=2026-10", nil))
	if w.Code != 200 || !f.pdfForPartner || !strings.HasPrefix(w.Body.String(), "%PDF-") || w.Header().Get("Content-Disposition") != `attachment; filename="statement-microsoft-2026-10.pdf"` {
		t.Errorf("status %d, for the partner %t, %v", w.Code, f.pdfForPartner, w.Header())
	}
	_, lines := get(t, h, "/statements/microsoft/lines?account=1&month=2026-10")
	mustContain(t, lines, "1,234,567.890123", "azure-250bn")
	if f.query.Account != "openai/liability/accrued/microsoft" || f.query.Month != 202610 {
		t.Errorf("asked for %+v", f.query)
	}
	for _, path := range []string{"/statements/microsoft/lines?account=2", "/statements/microsoft/lines?account=0", "/statements/microsoft/lines?account=openai/"} {
		if code, _ := get(t, h, path); code != 404 {
			t.Errorf("%s: status %d", path, code)
		}
	}
}

// A form previews first; only its second button records, in the name of who
// is there.
func TestClosing_PreviewsThenRecords(t *testing.T) {
	for _, row := range []struct {
		path, by string
		want     admin.CloseOrder
		then     string
	}{
		{"/suspense/a1", "waived", admin.CloseOrder{Attempt: "a1", By: "waived", Reason: "the provider says so", Who: "finance anna"}, "/suspense?closed=a1"},
		{"/invoices/differences/abcdef012345.7", "rejected", admin.CloseOrder{Difference: "abcdef012345.7", By: "rejected", Reason: "the provider says so", Who: "finance anna"}, "/invoices?closed=abcdef012345.7"},
	} {
		f := newFake(t)
		h := pagesAs(f, admin.Access{ID: "anna", Role: admin.Finance})
		form := url.Values{"by": {row.by}, "reason": {" the provider says so "}, "step": {"preview"}}
		w := post(h, row.path, form)
		mustContain(t, w.Body.String(), "This would be posted; nothing is recorded yet", "Record it", `value="the provider says so"`)
		if w.Code != 200 || len(f.ordered) != 1 || !f.ordered[0].dry || f.ordered[0].CloseOrder != row.want {
			t.Fatalf("%s: status %d, ordered %+v", row.path, w.Code, f.ordered)
		}
		form.Set("step", "confirm")
		w = post(h, row.path, form)
		if w.Code != 303 || w.Header().Get("Location") != row.then || len(f.ordered) != 2 || f.ordered[1].dry || f.ordered[1].CloseOrder != row.want {
			t.Errorf("%s: status %d to %s, ordered %+v", row.path, w.Code, w.Header().Get("Location"), f.ordered)
		}
		f.refuse = true
		w = post(h, row.path, form)
		mustContain(t, w.Body.String(), "The books do not take it.", "it is closed")
		form.Set("by", "anything")
		if w := post(h, row.path, form); w.Code != 400 || len(f.ordered) != 3 {
			t.Errorf("%s by anything: status %d", row.path, w.Code)
		}
	}
}

func TestVerify_IsStartedAndTold(t *testing.T) {
	f := newFake(t)
	h := pages(f)
	_, body := get(t, h, "/ledger/batches")
	mustContain(t, body, "Right.", "149 batches")
	if w := post(h, "/ledger/verify", nil); w.Code != 303 || !f.verifying {
		t.Errorf("status %d, started %t", w.Code, f.verifying)
	}
	_, body = get(t, h, "/ledger/batches")
	mustContain(t, body, "running")
	f.verifying, f.fault = false, "batch 2, entry 3: Amount"
	_, body = get(t, h, "/ledger/batches")
	mustContain(t, body, "WRONG.", "batch 2, entry 3", "Put it back.")
}

func TestContract_DrawsItsIntervalWithTheForecast(t *testing.T) {
	_, body := get(t, pages(newFake(t)), "/contracts/aws-38bn")
	mustContain(t, body, `class="forecast"`, `class="range"`, "floor met", "5.00 open at the end", "40.00 of 100.00 open", "between −20.00 and 20.00", "Clauses in words", "Next dates", "the interval ends", "the option lapses", "not known")
	if n := strings.Count(body, `<svg class="chart"`); n < 3 {
		t.Errorf("%d charts", n)
	}
}

func TestBooksThatCannotBeRead_AreAnError(t *testing.T) {
	f := newFake(t)
	f.broken = fmt.Errorf("disk: secret path")
	h := pages(f)
	for _, path := range []string{"/ledger", "/ledger/entries", "/ledger/batches", "/statements", "/statements/amazon", "/invoices", "/suspense"} {
		code, body := get(t, h, path)
		if code != 500 || strings.Contains(body, "secret path") {
			t.Errorf("%s: status %d", path, code)
		}
	}
}
