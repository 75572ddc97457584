package console_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/accordo-ai/accordo/internal/admin"
	"github.com/accordo-ai/accordo/internal/console"
)

func pages(f *fake) http.Handler { return pagesAs(f, admin.Access{Role: admin.Operator}) }

// pagesAs are the pages as somebody sees them; who comes in is not their part.
func pagesAs(f *fake, who admin.Access) http.Handler {
	p := console.New(f, f, f, func() time.Time { return now })
	h := admin.Guard(p.Routes, p)
	mux := http.NewServeMux()
	mux.Handle("GET /static/", p.Static)
	mux.HandleFunc("/", func(w http.ResponseWriter, r *http.Request) {
		h.ServeHTTP(w, r.WithContext(admin.WithAccess(r.Context(), who)))
	})
	return mux
}

func get(t *testing.T, h http.Handler, path string) (int, string) {
	t.Helper()
	w := httptest.NewRecorder()
	h.ServeHTTP(w, httptest.NewRequest("GET", path, nil))
	return w.Code, w.Body.String()
}

func post(h http.Handler, path string, form url.Values) *httptest.ResponseRecorder {
	r := httptest.NewRequest("POST", path, strings.NewReader(form.Encode()))
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	return w
}

// all is every page, with an address of each kind.
var all = []string{
	"/", "/?at=2025-12-20", "/?step=0", "/?built=yes", "/?built=no&firm=In+force+or+signed", "/?article=003_fd04525fe3f8a0f5.txt",
	"/pools", "/requests", "/requests?status=refused", "/requests?pool=none", "/requests/req_1", "/requests/req_2", "/contracts", "/contracts/aws-38bn", "/contracts/oracle-300bn",
	"/contracts/azure-reserved", "/contracts/azure-on-demand", "/ledger", "/ledger/entries", "/ledger/entries?account=openai/expense/", "/ledger?month=2026-10", "/ledger/entries?account=openai%2Fliability%2Faccrued%2Famazon&month=2026-10&kind=cost&other=x&contract=aws-38bn&price=p&before=4.1",
	"/ledger/entries?batch=149", "/ledger/entries/149.1", "/ledger/batches", "/ledger/batches?before=7", "/statements", "/statements?month=2026-10", "/statements/amazon", "/statements/amazon?month=2026-10&as=party",
	"/statements/amazon/lines?account=1&kind=cost", "/sales", "/sales?month=2026-10", "/sales/demo-tenant", "/sales/demo-tenant?month=2026-10", "/sales/demo-tenant/lines?line=1&month=2026-10", "/margin", "/margin?by=tenant&month=2026-11",
	"/invoices", "/invoices?closed=x", "/invoices/abcdef012345", "/invoices/differences/abcdef012345.7", "/invoices/differences/abcdef012345.9", "/suspense", "/suspense/a1",
	"/claims", "/claims?at=2025-12-20",
	"/claims/P01", "/claims/aws-38bn", "/claims/aws-gb200-us-east-2", "/claims/S25", "/chat", "/chat?key=demo&model=m&prompt=p",
}

func TestPages_AreWhole(t *testing.T) {
	for name, running := range map[string]bool{"at rest": false, "while a day is played": true} {
		f := newFake(t)
		f.play.Running = running
		h := pages(f)
		for _, path := range all {
			t.Run(name+" "+path, func(t *testing.T) {
				code, body := get(t, h, path)
				if code != 200 {
					t.Fatalf("status %d", code)
				}
				wellFormed(t, body)
				mustContain(t, body, `<a class="skip" href="#main">`, `<main id="main"`, `<nav aria-label="Pages">`, `<html lang="en">`, "Stand-ins answer here.", f.a.Hash[:12], "Not affiliated with", "The local model does not run.")
				if strings.Contains(body, "ZgotmplZ") || strings.Contains(body, "%!") {
					t.Error("a value did not fit its place")
				}
				if n := strings.Count(body, "<h1"); n != 1 {
					t.Errorf("%d first headings", n)
				}
			})
		}
	}
}

func TestPages_LoadNothingFromElsewhereAndRunNothingInline(t *testing.T) {
	h := pages(newFake(t))
	loads := regexp.MustCompile(`(?:src|action|<link[^>]* href)="([^"]*)"`)
	for _, path := range all {
		_, body := get(t, h, path)
		for _, bad := range forbidden {
			if strings.Contains(body, bad) {
				t.Errorf("%s contains %q", path, bad)
			}
		}
		for _, m := range loads.FindAllStringSubmatch(body, -1) {
			if !strings.HasPrefix(m[1], "/") || strings.HasPrefix(m[1], "//") {
				t.Errorf("%s loads or posts to %q", path, m[1])
			}
		}
		if n := strings.Count(body, "<script"); n != 1 || !strings.Contains(body, `<script src="/static/console.js?v=`) {
			t.Errorf("%s has %d scripts", path, n)
		}
	}
}

func TestTables_HaveACaptionAndScopes(t *testing.T) {
	h := pages(newFake(t))
	for _, path := range all {
		_, body := get(t, h, path)
		if tables, captions := strings.Count(body, "<table"), strings.Count(body, "<caption"); tables != captions {
			t.Errorf("%s: %d tables, %d captions", path, tables, captions)
		}
		if heads, scoped := regexp.MustCompile(`<th[ >]`).FindAllString(body, -1), strings.Count(body, `<th scope="`); len(heads) != scoped {
			t.Errorf("%s: %d heads, %d with a scope", path, len(heads), scoped)
		}
	}
}

func TestHostileText_StaysText(t *testing.T) {
	for _, hostile := range []string{`<script>alert(1)</script>`, `"><img src=x onerror=alert(1)>`, `' onmouseover='alert(1)`, `javascript:alert(1)`, `{{.}}</textarea></title>`} {
		f := newFake(t)
		f.hostile = hostile
		f.a.Claims[0].Says, f.a.Claims[0].Mood, f.a.Claims[0].Source.File, f.a.Claims[0].Source.URL = hostile, hostile, "", hostile
		h := pages(f)
		bodies := map[string]string{}
		for _, path := range all {
			_, bodies[path] = get(t, h, path)
		}
		bodies["POST /chat"] = post(h, "/chat", url.Values{"key": {hostile}, "model": {hostile}, "prompt": {hostile}}).Body.String()
		_, bodies["panel"] = get(t, h, "/chat/panel/req_1")
		_, bodies["missing"] = get(t, h, "/"+url.PathEscape(hostile))
		for path, body := range bodies {
			for _, bad := range []string{"<script>alert", "<img", "' onmouseover='", `href="javascript:`, `src="javascript:`, "</textarea></title>"} {
				if strings.Contains(body, bad) {
					t.Errorf("%s with %q contains %q", path, hostile, bad)
				}
			}
			if path != "panel" {
				wellFormed(t, body)
			}
		}
		if !strings.Contains(bodies["/pools"], "alert(1)") && !strings.Contains(bodies["/pools"], "{{.}}") {
			t.Errorf("%q is not on the page, so nothing was tested", hostile)
		}
	}
}

func TestStory_HasTheFiveArticlesAndTheFortyCards(t *testing.T) {
	f := newFake(t)
	_, body := get(t, pages(f), "/")
	var dates []string
	for _, m := range regexp.MustCompile(`<time datetime="(20[0-9-]+)">`).FindAllStringSubmatch(body, -1) {
		dates = append(dates, m[1])
	}
	if len(dates) != 5 || !slices.IsSorted(dates) {
		t.Errorf("articles of %v", dates)
	}
	for i := 1; i <= 40; i++ {
		mustContain(t, body, fmt.Sprintf(`id="S%02d"`, i), fmt.Sprintf(`href="#S%02d"`, i))
	}
	told, _ := f.Story(now)
	mustContain(t, body, fmt.Sprintf("<strong>%d</strong> of 40 built, <strong>%d</strong> not yet", told.Built, told.NotYet), "accordo claims aws-38bn", "003_fd04525fe3f8a0f5.txt", "grade B")
	if got := strings.Count(body, `<span class="chip good">built</span>`); got != told.Built {
		t.Errorf("%d cards are marked as built, the story says %d", got, told.Built)
	}
}

func TestStory_IsToldAsKnownAtADate(t *testing.T) {
	h := pages(newFake(t))
	_, body := get(t, h, "/?at=2025-11-10")
	mustContain(t, body, "As known on 10 November 2025", "No claim was known by then.")
	articles, _, _ := strings.Cut(body, `class="controls"`)
	if n := strings.Count(articles, "<h3>"); n != 1 {
		t.Errorf("%d articles had appeared, want the first only", n)
	}
	_, first := get(t, h, "/?step=0")
	_, last := get(t, h, "/?step=10000")
	mustContain(t, first, "As known on")
	mustContain(t, last, "As known today, 22 November 2026")
	if code, body := get(t, h, "/?at=tomorrow"); code != 400 || !strings.Contains(body, "YEAR-MONTH-DAY") {
		t.Errorf("a date that is none: status %d", code)
	}
}

func TestStory_IsFiltered(t *testing.T) {
	f := newFake(t)
	h := pages(f)
	told, _ := f.Story(now)
	cards := func(path string) int {
		_, body := get(t, h, path)
		return strings.Count(body, `<article class="card`)
	}
	got := []int{cards("/?built=yes"), cards("/?built=no"), cards("/?firm=Nothing+is+like+this"), cards("/?article=nothing.txt")}
	if diff := cmp.Diff([]int{told.Built, told.NotYet, 0, 0}, got); diff != "" {
		t.Error(diff)
	}
	if n := cards("/?article=" + told.Articles[0].File); n != len(told.Articles[0].Cards) {
		t.Errorf("%d cards of the first article, the story says %d", n, len(told.Articles[0].Cards))
	}
}

func TestTermsWithoutAStory_BeginWithAnOverview(t *testing.T) {
	f := newFake(t)
	f.noStory = true
	code, body := get(t, pages(f), "/")
	if code != 200 {
		t.Fatalf("status %d", code)
	}
	wellFormed(t, body)
	mustContain(t, body, "come without a story", `href="/pools"`)
}

func TestEveryPage_SaysWhyTheBooksAreNotReal(t *testing.T) {
	f := newFake(t)
	for who, h := range map[string]http.Handler{"operator": pages(f), "partner": pagesAs(f, admin.Access{Role: admin.Partner, Party: "amazon"})} {
		for _, path := range []string{"/contracts", "/sales"} {
			t.Run(who+path, func(t *testing.T) {
				_, body := get(t, h, path)
				mustContain(t, body, `<p class="standins"><strong>SIMULATED: all traffic was played.</strong></p>`)
			})
		}
	}
}

func TestPools_ShowEveryFigureWithItsUnit(t *testing.T) {
	_, body := get(t, pages(newFake(t)), "/pools")
	mustContain(t, body, `id="pool-aws-gb200-us-east-2"`, "75.0 %", "12.0 chip-seconds", "of 48.0 chip-seconds", "1,234.567 micro-USD per chip-second", "λ 100.0 % of the price", "412 ms", "3 failures in a row", "unhealthy", "A simulator.", "data in US")
}

func TestRequest_ShowsDecisionJournalAndBooks(t *testing.T) {
	h := pages(newFake(t))
	_, body := get(t, h, "/requests/req_1")
	mustContain(t, body, "A stand-in answered.", "72.312", "3,420.819", `class="chosen"`, "its contract has not begun", `href="/claims/C12"`, "0.000106 &#43; 1/2 micro", "149.1", "intent in record 10, outcome in record 11")
	_, body = get(t, h, "/requests/req_2")
	mustContain(t, body, "Not sent.", "it is not rolled out in JP")
}

func TestLedger_SaysLoudlyWhenItDoesNotBalance(t *testing.T) {
	f := newFake(t)
	_, body := get(t, pages(f), "/ledger")
	mustContain(t, body, "<strong>Balanced.</strong>", "0.000150", "1 record of the journal not yet in a batch.")
	if strings.Contains(body, "NOT BALANCED") {
		t.Error("balanced books are called wrong")
	}
	f.off = 1
	_, body = get(t, pages(f), "/ledger")
	mustContain(t, body, `role="alert"><strong>NOT BALANCED.</strong>`, `class="chip bad">NOT BALANCED`)
}

func TestContract_IsDrawnWithItsFiguresInWords(t *testing.T) {
	h := pages(newFake(t))
	_, body := get(t, h, "/contracts/aws-38bn")
	mustContain(t, body, `role="img" aria-label="Burn-down of the promised spend still open: from 38 bn USD on 2025-11-03 to nothing on 2032-11-03, in 7 intervals.`, "today", "38,000,000,000", `<strong>150</strong> micro-USD`, "37,999,999,999.999850 USD open", "assumed", "The last 2 requests on this contract added up to 150 micro-USD")
	_, body = get(t, h, "/contracts/oracle-300bn")
	mustContain(t, body, "not begun", "Fees over its life")
}

func TestChat_AsksAsTheKeyThatItNames(t *testing.T) {
	f := newFake(t)
	w := post(pages(f), "/chat", url.Values{"key": {"demo"}, "model": {"openai-frontier"}, "territory": {" JP "}, "end_user": {"u1"}, "prompt": {"What is <it>?"}})
	if w.Code != 200 {
		t.Fatalf("status %d", w.Code)
	}
	got := map[string]string{}
	for _, name := range []string{"X-Accordo-Ask-As", "X-Accordo-Territory", "X-Accordo-End-User", "X-Accordo-Surface", "Cookie"} {
		got[name] = f.asked.Header.Get(name)
	}
	want := map[string]string{"X-Accordo-Ask-As": "demo", "X-Accordo-Territory": "JP", "X-Accordo-End-User": "u1", "X-Accordo-Surface": "", "Cookie": ""}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	var body struct {
		Model    string
		Messages []struct{ Role, Content string }
	}
	if err := json.Unmarshal([]byte(f.askBody), &body); err != nil || body.Model != "openai-frontier" || len(body.Messages) != 1 || body.Messages[0].Content != "What is <it>?" {
		t.Errorf("asked %s: %v", f.askBody, err)
	}
	wellFormed(t, w.Body.String())
	mustContain(t, w.Body.String(), "Paris &amp; &lt;b&gt;more&lt;/b&gt;", "A stand-in answered.", "110 micro-USD", "0.000110 USD", "aws-gb200-us-east-2", "api-own-any-cloud", "8 input, 48 output", "156 ms", `href="/requests/req_1"`)
}

func TestChat_ShowsARefusalAsTheAPIGivesIt(t *testing.T) {
	f := newFake(t)
	f.refuse = true
	w := post(pages(f), "/chat", url.Values{"key": {"demo"}, "model": {"m"}, "prompt": {"?"}})
	mustContain(t, w.Body.String(), "Refused: HTTP 403, variant_not_rolled_out", "Refused: it is not rolled out in JP.")
}

func TestChat_BeginsAsTheKeyWithMostModels(t *testing.T) {
	_, body := get(t, pages(newFake(t)), "/chat")
	mustContain(t, body, `<option value="demo" selected`, `value="openai-frontier" required`, "May I &amp; you?")
}

func TestChat_BoundsItsForm(t *testing.T) {
	f := newFake(t)
	if w := post(pages(f), "/chat", url.Values{"prompt": {strings.Repeat("a", 300<<10)}}); w.Code != 400 || f.asked != nil {
		t.Fatalf("status %d, asked %v", w.Code, f.asked != nil)
	}
}

func TestPanel_IsAFragmentOfARecentRequest(t *testing.T) {
	h := pages(newFake(t))
	code, body := get(t, h, "/chat/panel/req_1")
	if code != 200 || strings.Contains(body, "<html") {
		t.Fatalf("status %d, %s", code, body)
	}
	mustContain(t, body, "A simulator.", "110 micro-USD", "76.875 micro-USD", "2 attempts")
	if code, _ = get(t, h, "/chat/panel/unknown"); code != 404 {
		t.Errorf("an unknown request: status %d", code)
	}
}

func TestPlay_StartsAndStopsADay(t *testing.T) {
	f := newFake(t)
	h := pages(f)
	if w := post(h, "/play", nil); w.Code != 303 || w.Header().Get("Location") != "/pools" || !f.play.Running {
		t.Fatalf("status %d to %s", w.Code, w.Header().Get("Location"))
	}
	_, body := get(t, h, "/pools")
	mustContain(t, body, "Simulated load", "Hour <strong>6</strong> of 24", "1,234 requests sent", `action="/play/stop"`, "Simulated day: hour 6 of 24")
	if w := post(h, "/play/stop", nil); w.Code != 303 || !f.stopped {
		t.Fatalf("status %d, stopped %v", w.Code, f.stopped)
	}
	if code, _ := get(t, h, "/play"); code != 405 {
		t.Errorf("a link starts nothing: status %d", code)
	}
}

func TestErrors_ArePagesThatSayWhatToDo(t *testing.T) {
	f := newFake(t)
	h := pages(f)
	for _, path := range []string{"/nothing", "/requests/unknown", "/contracts/unknown", "/claims/unknown", "/claims/P01?at=2020-01-01"} {
		code, body := get(t, h, path)
		if code != 404 {
			t.Errorf("%s: status %d", path, code)
		}
		wellFormed(t, body)
		mustContain(t, body, "Nothing here has that name.")
	}
	f.broken = errors.New("the disk at /secret failed")
	for _, path := range []string{"/", "/requests/req_1", "/ledger/entries", "/contracts/aws-38bn"} {
		code, body := get(t, h, path)
		if code != 500 || strings.Contains(body, "secret") {
			t.Errorf("%s: status %d", path, code)
		}
		wellFormed(t, body)
	}
}

func TestStatic_IsKeptByItsDigest(t *testing.T) {
	h := pages(newFake(t))
	_, front := get(t, h, "/")
	address := regexp.MustCompile(`/static/console\.css\?v=[0-9a-f]+`).FindString(front)
	for path, cache := range map[string]string{address: "public, max-age=31536000, immutable", "/static/console.css": "no-cache", "/static/console.css?v=old": "no-cache"} {
		w := httptest.NewRecorder()
		h.ServeHTTP(w, httptest.NewRequest("GET", path, nil))
		if w.Code != 200 || w.Header().Get("Cache-Control") != cache || w.Header().Get("Content-Type") != "text/css; charset=utf-8" || w.Header().Get("ETag") == "" {
			t.Errorf("%s: status %d, headers %v", path, w.Code, w.Header())
		}
		r := httptest.NewRequest("GET", path, nil)
		r.Header.Set("If-None-Match", w.Header().Get("ETag"))
		again := httptest.NewRecorder()
		h.ServeHTTP(again, r)
		if again.Code != 304 || again.Body.Len() != 0 {
			t.Errorf("%s again: status %d, %d bytes", path, again.Code, again.Body.Len())
		}
	}
	if code, body := get(t, h, "/static/unknown.css"); code != 404 || strings.Contains(body, "alliance") {
		t.Errorf("an unknown file: status %d, %s", code, body)
	}
}

// void elements have no end tag.
var void = []string{"meta", "link", "input", "br", "wbr", "hr", "img", "path", "circle", "rect", "line", "polyline", "polygon", "!doctype"}

var idAttribute = regexp.MustCompile(`\sid="([^"]*)"`)

var tag = regexp.MustCompile(`<(/?)([a-zA-Z!][a-zA-Z0-9]*)((?:[^>"']|"[^"]*"|'[^']*')*)>`)

// wellFormed checks that tags are closed in order and ids are unique.
func wellFormed(t *testing.T, body string) {
	t.Helper()
	var open []string
	ids := map[string]bool{}
	for _, m := range tag.FindAllStringSubmatch(body, -1) {
		name := strings.ToLower(m[2])
		if id := idAttribute.FindStringSubmatch(m[3]); id != nil {
			if ids[id[1]] {
				t.Errorf("two elements have the id %q", id[1])
			}
			ids[id[1]] = true
		}
		switch {
		case slices.Contains(void, name):
		case m[1] == "":
			open = append(open, name)
		case len(open) == 0 || open[len(open)-1] != name:
			t.Errorf("</%s> closes %v", name, open)
			return
		default:
			open = open[:len(open)-1]
		}
	}
	if len(open) > 0 {
		t.Errorf("not closed: %v", open)
	}
}
