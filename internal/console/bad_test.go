package console_test

import (
	"encoding/json"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/accordo-ai/accordo/internal/admin"
)

// What cannot be asked is refused with the right status and words that say
// what to write, on the pages and on the API, and nothing is changed by it.
func TestBadInput_IsRefusedInWords(t *testing.T) {
	long := strings.Repeat("x", admin.MaxAddress)
	f := newFake(t)
	h, _ := listenerOf(f)
	for _, row := range []struct {
		name, who, method, path string
		status                  int
		says                    string
	}{
		{"a month that is none", "operator", "GET", "/api/accounts?month=2026-13", 400, "YEAR-MONTH"},
		{"a month that is none", "operator", "GET", "/api/entries?month=202606", 400, "YEAR-MONTH"},
		{"a month that is none", "operator", "GET", "/api/parties?month=June", 400, "YEAR-MONTH"},
		{"a month that is none", "operator", "GET", "/api/statements/amazon?month=2026-00", 400, "YEAR-MONTH"},
		{"a month that is none", "partner", "GET", "/api/statements/microsoft?month=2026-13", 400, "YEAR-MONTH"},
		{"a month that is none", "operator", "GET", "/api/sales?month=2026-13", 400, "YEAR-MONTH"},
		{"a month that is none", "operator", "GET", "/api/sales/demo-tenant?month=2026-13", 400, "YEAR-MONTH"},
		{"a month that is none", "finance", "GET", "/api/margin?month=2026-13", 400, "YEAR-MONTH"},
		{"a month before all", "operator", "GET", "/api/margin?month=0000-01", 400, "YEAR-MONTH"},
		{"a month that is none", "operator", "GET", "/ledger?month=2026-13", 400, "YEAR-MONTH"},
		{"a month that is none", "operator", "GET", "/ledger/entries?month=2026-13", 400, "YEAR-MONTH"},
		{"a month that is none", "operator", "GET", "/statements?month=2026-13", 400, "YEAR-MONTH"},
		{"a month that is none", "operator", "GET", "/statements/amazon?month=2026-13", 400, "YEAR-MONTH"},
		{"a month that is none", "operator", "GET", "/statements/amazon/pdf?month=2026-13", 400, "YEAR-MONTH"},
		{"a month that is none", "operator", "GET", "/statements/amazon/lines?account=1&month=2026-13", 400, "YEAR-MONTH"},
		{"a month that is none", "operator", "GET", "/sales?month=2026-13", 400, "YEAR-MONTH"},
		{"a month that is none", "operator", "GET", "/sales/demo-tenant?month=2026-13", 400, "YEAR-MONTH"},
		{"a month that is none", "operator", "GET", "/sales/demo-tenant/pdf?month=2026-13", 400, "YEAR-MONTH"},
		{"a month that is none", "operator", "GET", "/sales/demo-tenant/lines?line=1&month=2026-13", 400, "YEAR-MONTH"},
		{"a month that is none", "operator", "GET", "/margin?month=2026-13", 400, "YEAR-MONTH"},
		{"a way that is none", "operator", "GET", "/margin?by=colour", 400, "plan, model, channel or tenant"},
		{"a way that is none", "operator", "GET", "/api/margin?by=colour", 400, "plan, model, channel or tenant"},
		{"a limit that is none", "operator", "GET", "/api/entries?limit=all", 400, "from 1 to 500"},
		{"a limit that is none", "operator", "GET", "/api/requests?limit=0", 400, "from 1 to 500"},
		{"a limit that is none", "operator", "GET", "/api/batches?limit=99999999999999999999", 400, "from 1 to 500"},
		{"a batch that is none", "operator", "GET", "/api/batches?before=last", 400, "number of a batch"},
		{"a batch that is none", "operator", "GET", "/ledger/batches?before=last", 400, "number of a batch"},
		{"a batch that is none", "operator", "GET", "/ledger/entries?batch=last", 400, "number of a batch"},
		{"a place that is none", "operator", "GET", "/ledger/entries?before=last", 400, "such as 4.1"},
		{"a kind that is none", "operator", "GET", "/api/entries?kind=colour", 400, "kind"},
		{"a kind that is none", "operator", "GET", "/ledger/entries?kind=colour", 400, "kind"},
		{"a day that is none", "operator", "GET", "/?at=yesterday", 400, "2026"},
		{"a day that is none", "operator", "GET", "/claims?at=2026-13-01", 400, "2026"},
		{"a table that is none", "operator", "GET", "/margin?csv=nothing", 400, "no table of that name"},

		{"nobody", "operator", "GET", "/api/statements/nobody", 404, "nothing here"},
		{"nobody", "operator", "GET", "/api/sales/nobody?month=2026-10", 404, "nothing here"},
		{"nobody", "operator", "GET", "/statements/nobody", 404, "Nothing here"},
		{"nobody", "operator", "GET", "/sales/nobody", 404, "Nothing here"},
		{"nobody", "operator", "GET", "/sales/nobody/pdf", 404, "Nothing here"},
		{"no contract", "operator", "GET", "/api/contracts/nothing", 404, "nothing here"},
		{"no entry", "operator", "GET", "/api/entries/9.9.9", 404, "nothing here"},
		{"no entry", "operator", "GET", "/ledger/entries/-1.0", 404, "Nothing here"},
		{"no request", "operator", "GET", "/api/requests/" + strings.Repeat("r", 4000), 404, "nothing here"},
		{"no invoice", "operator", "GET", "/api/invoices/nothing", 404, "nothing here"},
		{"no line", "operator", "GET", "/sales/demo-tenant/lines?line=99&month=2026-10", 404, "Nothing here"},
		{"no line", "operator", "GET", "/sales/demo-tenant/lines?line=-1&month=2026-10", 404, "Nothing here"},
		{"rounding has no entries", "operator", "GET", "/sales/demo-tenant/lines?line=3&month=2026-10", 404, "Nothing here"},
		{"no such route", "operator", "GET", "/api/nothing", 404, "nothing here"},

		{"a huge parameter", "operator", "GET", "/api/entries?account=" + long, 414, "8 KiB"},
		{"a huge parameter", "operator", "GET", "/ledger/entries?account=" + long, 414, "8 KiB"},
		{"a huge parameter", "partner", "GET", "/statements/microsoft?month=" + long, 414, "8 KiB"},
		{"a huge name", "operator", "GET", "/api/sales/" + long, 414, "8 KiB"},
		{"a broken parameter", "operator", "GET", "/api/entries?account=%zz", 400, "%25"},
		{"a broken parameter", "operator", "GET", "/sales?month=2026-10;x=1", 400, "%25"},

		{"no token", "", "GET", "/api/sales", 401, "send a token"},
		{"no token", "", "GET", "/margin", 401, "send a token"},
		{"no token", "", "POST", "/suspense/a1", 401, "send a token"},
		{"a token that is none", "guess", "GET", "/api/margin", 401, "send a token"},
		{"the wrong role", "finance", "GET", "/metrics", 403, "not for your role"},
		{"the wrong role", "finance", "POST", "/play", 403, "not for your role"},
		{"the wrong role", "partner", "GET", "/api/margin", 404, "nothing here"},
		{"the wrong role", "partner", "GET", "/margin", 404, "Nothing here"},
		{"the wrong role", "partner", "POST", "/suspense/a1", 404, "Nothing here"},
		{"the wrong role, with a huge parameter", "partner", "GET", "/api/entries?account=" + long, 404, "nothing here"},
		{"somebody else's", "partner", "GET", "/api/sales/demo-tenant?month=2026-10", 404, "nothing here"},
		{"somebody else's", "partner", "GET", "/sales/demo-tenant", 404, "Nothing here"},
		{"somebody else's", "nobodys", "GET", "/sales/azure-market", 404, "Nothing here"},
	} {
		t.Run(row.name+" "+row.method+" "+row.path[:min(len(row.path), 60)], func(t *testing.T) {
			w := ask(h, row.who, row.method, row.path)
			body := w.Body.String()
			if w.Code != row.status || !strings.Contains(body, row.says) {
				t.Errorf("as %q: status %d, want %d saying %q: %.600s", row.who, w.Code, row.status, row.says, wordsOf(body))
			}
			if isJSON := w.Header().Get("Content-Type") == "application/json"; strings.HasPrefix(row.path, "/api/") && (!isJSON || !json.Valid(w.Body.Bytes())) {
				t.Errorf("%s: %.200s", w.Header().Get("Content-Type"), body)
			}
			if strings.Contains(body, "xxxxxxxxxx") || strings.Contains(body, "%zz") {
				t.Error("the answer repeats what was asked")
			}
			if len(f.ordered) > 0 || f.verifying || f.play.Running || f.stopped || f.asked != nil {
				t.Error("something was done")
			}
		})
	}
}

// wordsOf is the words of a page's content.
func wordsOf(body string) string {
	if _, rest, ok := strings.Cut(body, "<main"); ok {
		return rest
	}
	return body
}

// A form that lacks something, or asks for what is none, records nothing.
func TestBadForms_RecordNothing(t *testing.T) {
	f := newFake(t)
	h, _ := listenerOf(f)
	for _, row := range []struct {
		name, path, form string
		status           int
	}{
		{"nothing at all", "/suspense/a1", "", 400},
		{"an outcome that is none", "/suspense/a1", "by=accepted&reason=r&step=confirm", 400},
		{"an outcome of the other kind", "/invoices/differences/abcdef012345.7", "by=estimate&reason=r&step=confirm", 400},
		{"a broken form", "/suspense/a1", "by=%zz", 400},
		{"a form that is too large", "/suspense/a1", "by=estimate&reason=" + strings.Repeat("r", 300<<10), 400},
		{"an attempt that is none", "/suspense/nothing", "by=estimate&reason=r&step=confirm", 404},
		{"a difference that is none", "/invoices/differences/abcdef012345.8", "by=accepted&reason=r&step=confirm", 404},
	} {
		t.Run(row.name, func(t *testing.T) {
			r := httptest.NewRequest("POST", row.path, strings.NewReader(row.form))
			r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
			r.Header.Set("Authorization", "Bearer token-of-operator")
			w := httptest.NewRecorder()
			h.ServeHTTP(w, r)
			if w.Code != row.status || len(f.ordered) != 0 {
				t.Errorf("status %d, want %d; ordered %v", w.Code, row.status, f.ordered)
			}
		})
	}
}
