package e2e

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/chromedp/chromedp"
)

// playedBooks simulates a month into a directory and serves from it.
type playedBooks struct {
	t           *testing.T
	data, admin string
}

func playBooks(t *testing.T) *playedBooks {
	t.Helper()
	p := &playedBooks{t: t, data: filepath.Join(t.TempDir(), "played"), admin: freeAddress(t)}
	p.run("simulate", "--from", "2026-06", "--months", "1", "--requests-per-day", "60", "--data", p.data)
	args := []string{"up", "--no-model", "--listen", freeAddress(t), "--admin-listen", p.admin, "--data", p.data}
	startProcess(t, regexp.MustCompile(`Ctrl-C stops`), []string{"ACCORDO_ADMIN_TOKEN=" + consoleToken, "ACCORDO_DEMO_KEY=" + consoleKey, "HOME=" + os.Getenv("HOME")}, args...)
	return p
}

func (p *playedBooks) run(args ...string) string {
	p.t.Helper()
	c := exec.Command(binary, args...)
	c.Env = append(cleanEnv(), "HOME="+os.Getenv("HOME"))
	out, err := c.CombinedOutput()
	if err != nil {
		p.t.Fatalf("%s: %v\n%s", strings.Join(args, " "), err, tail(string(out), 2000))
	}
	return string(out)
}

// access lets somebody in while the server runs, and returns the token.
func (p *playedBooks) access(id string, args ...string) string {
	p.t.Helper()
	return strings.Fields(p.run(append([]string{"access", "new", id, "--data", p.data}, args...)...))[1]
}

func (p *playedBooks) ask(token, method, path string, form url.Values) (int, string) {
	p.t.Helper()
	r, err := http.NewRequest(method, "http://"+p.admin+path, strings.NewReader(form.Encode()))
	if err != nil {
		p.t.Fatal(err)
	}
	r.Header.Set("Authorization", "Bearer "+token)
	if form != nil {
		r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	}
	resp, err := http.DefaultTransport.RoundTrip(r)
	if err != nil {
		p.t.Fatal(err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		p.t.Fatal(err)
	}
	return resp.StatusCode, string(body)
}

func (p *playedBooks) get(token, path string, into any) {
	p.t.Helper()
	code, body := p.ask(token, "GET", path, nil)
	if code != 200 {
		p.t.Fatalf("%s: %d %.300s", path, code, body)
	}
	if err := json.Unmarshal([]byte(body), into); err != nil {
		p.t.Fatalf("%s: %v", path, err)
	}
}

// Over real books a partner sees its own legs as the operator's books have
// them, and no name, id or price of anybody else's.
func TestRoles_OverRealBooks(t *testing.T) {
	p := playBooks(t)
	finance, partner := p.access("anna", "--role", "finance"), p.access("ms", "--role", "partner", "--party", "microsoft")
	type statement struct {
		Totals   []struct{ Opening, Closing, Currency string }
		Accounts []struct {
			Closing   string
			Movements []struct{ Amount string }
		}
	}
	var own, mirrored statement
	p.get(partner, "/api/statements/microsoft?month=2026-06", &own)
	p.get(finance, "/api/statements/microsoft?month=2026-06&as=party", &mirrored)
	if len(own.Totals) == 0 || len(own.Accounts) < 2 || !slices.Equal(own.Totals, mirrored.Totals) || len(own.Accounts) != len(mirrored.Accounts) {
		t.Errorf("the partner's statement %+v is not the mirrored one %+v", own.Totals, mirrored.Totals)
	}

	var others []string
	var contracts []struct{ ID, Party, Title string }
	var pools []struct{ ID, Provider string }
	p.get(finance, "/api/contracts", &contracts)
	p.get(finance, "/api/pools", &pools)
	for _, c := range contracts {
		if c.Party != "microsoft" {
			others = append(others, c.ID, c.Title)
		}
	}
	for _, pool := range pools {
		if pool.Provider != "microsoft" && pool.ID != "" {
			others = append(others, pool.ID)
		}
	}
	others = append(others, "lambda", "mu_nano", "cerebras", "oracle", "aws", "demo-tenant", "expense/", "revenue/", "sale-api", "cost-")
	if len(others) < 15 {
		t.Fatalf("only %d names of others: nothing is tested", len(others))
	}
	for _, path := range []string{
		"/contracts", "/contracts/azure-250bn", "/statements/microsoft?month=2026-06", "/statements/microsoft/lines?month=2026-06&account=1", "/statements/microsoft/lines?month=2026-06&account=2",
		"/statements/microsoft?month=2026-06&csv=statement", "/api/overview", "/api/contracts", "/api/contracts/azure-250bn", "/api/statements/microsoft?month=2026-06", "/nothing",
	} {
		code, body := p.ask(partner, "GET", path, nil)
		if want := path == "/nothing"; (code == 404) != want {
			t.Errorf("%s as the partner: status %d", path, code)
		}
		for _, word := range others {
			if strings.Contains(body, word) {
				t.Errorf("%s tells the partner %q", path, word)
			}
		}
	}
	for _, path := range []string{"/statements/amazon", "/statements/amazon/pdf", "/contracts/aws-38bn", "/api/statements/amazon", "/ledger", "/invoices", "/suspense", "/api/balances", "/metrics", "/chat", "/pools"} {
		if code, _ := p.ask(partner, "GET", path, nil); code != 404 {
			t.Errorf("%s as the partner: status %d", path, code)
		}
	}
	if code, _ := p.ask(finance, "GET", "/chat", nil); code != 403 {
		t.Errorf("chat as finance: status %d", code)
	}
	p.run("access", "revoke", "ms", "--reason", "the contract ended", "--data", p.data)
	if code, _ := p.ask(partner, "GET", "/statements/microsoft", nil); code != 401 {
		t.Errorf("after it was revoked: status %d", code)
	}
	t.Run("closing", func(t *testing.T) { p.closes(finance) })
}

// closes imports an invoice with a charge that nobody made, and rejects it on
// its page: the preview records nothing, the second step does, and the books
// are right after it.
func (p *playedBooks) closes(finance string) {
	t := p.t
	file := filepath.Join(t.TempDir(), "invoice.csv")
	if err := os.WriteFile(file, []byte("attempt_id,model,uncached_input,output,amount\nnobody,gpt-5.5,10,10,0.50\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	var before []struct{ ID string }
	p.get(finance, "/api/differences", &before)
	p.run("invoices", "import", file, "--provider", "amazon", "--month", "2026-06", "--data", p.data)
	var open []struct{ ID, Kind, Amount string }
	differences := func() int {
		p.get(finance, "/api/differences", &open)
		return len(open)
	}
	page, there := "", differences()
	for _, d := range open {
		if d.Kind == "unknown_attempt" && d.Amount == "0.50" {
			page = "/invoices/differences/" + d.ID
		}
	}
	if there <= len(before) || page == "" {
		t.Fatalf("open differences %+v", open)
	}
	code, body := p.ask(finance, "POST", page, url.Values{"by": {"rejected"}, "reason": {"not ours"}, "step": {"preview"}})
	if code != 200 || !strings.Contains(body, "nothing is recorded yet") || !strings.Contains(strings.ReplaceAll(body, "<wbr>", ""), "liability/payable/amazon") || differences() != there {
		t.Fatalf("preview: %d, %d open", code, len(open))
	}
	if code, body := p.ask(finance, "POST", page, url.Values{"by": {"rejected"}, "step": {"confirm"}}); code != 200 || !strings.Contains(body, "Give a reason") {
		t.Errorf("without a reason: %d", code)
	}
	if code, _ := p.ask(finance, "POST", page, url.Values{"by": {"rejected"}, "reason": {"not ours"}, "step": {"confirm"}}); code != 303 || differences() != there-1 {
		t.Errorf("recorded: %d, %d open", code, len(open))
	}
	if _, body := p.ask(finance, "GET", page, nil); !strings.Contains(body, "not ours (console, finance anna)") {
		t.Error("the page does not say who closed it and why")
	}
	if code, body := p.ask(finance, "POST", page, url.Values{"by": {"rejected"}, "reason": {"again"}, "step": {"confirm"}}); code != 200 || !strings.Contains(body, "The books do not take it.") {
		t.Errorf("closed twice: %d", code)
	}
	if code, _ := p.ask(finance, "POST", "/ledger/verify", url.Values{}); code != 303 {
		t.Errorf("verify: %d", code)
	}
	eventually(t, 30*time.Second, "the books are verified", func() bool {
		var state struct {
			Running  bool
			Verified *struct{ Fault string }
		}
		p.get(finance, "/api/books", &state)
		if state.Verified != nil && state.Verified.Fault != "" {
			t.Fatalf("the books are wrong: %s", state.Verified.Fault)
		}
		return !state.Running && state.Verified != nil
	})
}

// Every page of the books in a real browser, on a desk and on a telephone: it
// loads nothing from elsewhere, fits its width, and follows one amount from a
// partner's total to a request and its decision.
func TestConsole_BooksInABrowser(t *testing.T) {
	browser := need(t, "ACCORDO_BROWSER", "the path of a Chromium; make deps finds it")
	p := playBooks(t)
	b := openTab(t, browser, "http://"+p.admin)
	b.open("/login")
	b.do(chromedp.SendKeys("#token", consoleToken), chromedp.Click("button"), chromedp.WaitVisible("#cards"))
	var entry struct{ Batch, Number int }
	var list []struct {
		Batch, Number int
		Kind          string
		Lines         int
	}
	p.get(consoleToken, "/api/entries?account=openai/liability/accrued/&month=2026-06&kind=cost&limit=500", &list)
	for _, e := range list {
		if e.Lines > 1 {
			entry.Batch, entry.Number = e.Batch, e.Number
		}
	}
	pages := []string{
		"/contracts", "/contracts/aws-38bn", "/contracts/azure-reserved", "/contracts/cerebras-20bn", "/ledger", "/ledger?month=2026-06", "/ledger/entries", "/ledger/entries?account=openai/liability/accrued/amazon&month=2026-06",
		fmt.Sprintf("/ledger/entries/%d.%d", entry.Batch, entry.Number), "/ledger/batches", "/statements", "/statements/amazon?month=2026-06", "/statements/microsoft?month=2026-06&as=party", "/invoices", "/suspense", "/pools", "/requests", "/claims",
	}
	for _, size := range []struct{ wide, high int64 }{{1280, 900}, {390, 844}} {
		b.do(chromedp.EmulateViewport(size.wide, size.high))
		for _, path := range pages {
			b.open(path)
			b.stayedHome()
			if title := b.text("h1"); title == "" || strings.Contains(title, "could not") {
				t.Errorf("%s at %d: %q", path, size.wide, title)
			}
			b.picture(fmt.Sprintf("console-%d-%s.png", size.wide, regexp.MustCompile(`[^a-z0-9]+`).ReplaceAllString(strings.ToLower(path[1:]), "-")))
		}
	}
	b.do(chromedp.EmulateViewport(1280, 900))
	b.follows()

	code, pdf := p.ask(consoleToken, "GET", "/statements/microsoft/pdf?month=2026-06", nil)
	if code != 200 || !bytes.HasPrefix([]byte(pdf), []byte("%PDF-1.")) || len(pdf) < 10_000 {
		t.Errorf("the PDF: status %d, %d bytes", code, len(pdf))
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, fault := range b.faults {
		t.Errorf("the browser says: %s", fault)
	}
}

// follows goes by links alone from the list of statements to the decision
// behind one request.
func (b *tab) follows() {
	b.t.Helper()
	click := func(where, selector, then string) {
		b.t.Helper()
		href := eval[string](b, `(document.querySelector(`+quotedJSON(selector)+`)||{getAttribute:()=>""}).getAttribute("href")`)
		if href == "" {
			b.t.Fatalf("%s has no link %s", where, selector)
		}
		b.open(href)
		b.do(chromedp.WaitVisible(then))
	}
	b.open("/statements")
	click("the list of statements", `#statements a[href^="/statements/amazon"]`, "#statement")
	click("the statement", `#statement a[href*="kind=cost"]`, "#entries")
	entries := eval[[]string](b, `[...document.querySelectorAll('#entries a[href^="/ledger/entries/"]')].map(a => a.getAttribute("href"))`)
	for _, href := range entries {
		b.open(href)
		if eval[int](b, `document.querySelectorAll('#lines a[href^="/requests/"]').length`) > 0 {
			break
		}
	}
	click("the entry", `#lines a[href^="/requests/"]`, "#trace")
	says := b.text("#trace")
	for _, want := range []string{"Decision 1", "chosen", "in the books", "Its exact share of the books"} {
		if !strings.Contains(says, want) {
			b.t.Errorf("the request's page does not say %q", want)
		}
	}
	click("the request", `#trace a[href^="/ledger/entries/"]`, "#lines")
}
