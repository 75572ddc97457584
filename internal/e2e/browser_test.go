package e2e

import (
	"bytes"
	"context"
	"encoding/json"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/chromedp/cdproto/log"
	"github.com/chromedp/cdproto/runtime"
	"github.com/chromedp/chromedp"
)

const (
	consoleToken = "admin-token-of-the-browser-test"
	consoleKey   = "demo-key-of-the-browser-test"
	browserTime  = 2 * time.Minute
	// settleTime bounds how long an answer needs to be in the books and on screen.
	settleTime = 30 * time.Second
)

// tab is one page of a real browser.
type tab struct {
	t    *testing.T
	ctx  context.Context
	base string

	mu     sync.Mutex
	faults []string // what the browser complained about
}

func openTab(t *testing.T, browser, base string) *tab {
	t.Helper()
	options := append(chromedp.DefaultExecAllocatorOptions[:], chromedp.ExecPath(browser), chromedp.NoSandbox, chromedp.WindowSize(1280, 1100),
		chromedp.Flag("host-resolver-rules", "MAP * ~NOTFOUND, EXCLUDE 127.0.0.1"))
	ctx, cancel := context.WithTimeout(context.Background(), browserTime)
	t.Cleanup(cancel)
	ctx, cancel = chromedp.NewExecAllocator(ctx, options...)
	t.Cleanup(cancel)
	ctx, cancel = chromedp.NewContext(ctx)
	t.Cleanup(cancel)
	b := &tab{t: t, ctx: ctx, base: base}
	if err := chromedp.Listen(ctx, b.watch); err != nil {
		t.Fatal(err)
	}
	return b
}

// watch notes errors of scripts and what the page's policy refused.
func (b *tab) watch(event any) {
	fault := ""
	switch e := event.(type) {
	case *runtime.EventExceptionThrown:
		fault = e.ExceptionDetails.Text + " " + e.ExceptionDetails.URL
	case *log.EventEntryAdded:
		// The browser logs the refusal that the visit asks for as well.
		if e.Entry.Level == "error" && !strings.Contains(e.Entry.Text, "status of 403") {
			fault = e.Entry.Text + " " + e.Entry.URL
		}
	}
	if fault != "" {
		b.mu.Lock()
		defer b.mu.Unlock()
		b.faults = append(b.faults, fault)
	}
}

func (b *tab) do(steps ...chromedp.Action[chromedp.Void]) {
	b.t.Helper()
	if err := chromedp.Do(b.ctx, steps...); err != nil {
		b.t.Fatal(err)
	}
}

func (b *tab) open(path string) { b.t.Helper(); b.do(chromedp.Navigate(b.base + path)) }

// eval returns the value of an expression in the page.
func eval[T any](b *tab, expression string) T {
	b.t.Helper()
	v, err := chromedp.Run(b.ctx, chromedp.Evaluate[T](expression))
	if err != nil {
		b.t.Fatalf("%s: %v", expression, err)
	}
	return v
}

func (b *tab) text(selector string) string {
	b.t.Helper()
	return eval[string](b, "(document.querySelector("+strconv.Quote(selector)+")||{textContent:''}).textContent")
}

// count reads the digits of an element.
func (b *tab) count(selector string) int {
	n, err := strconv.Atoi(strings.ReplaceAll(b.text(selector), ",", ""))
	if err != nil {
		return -1
	}
	return n
}

// stayedHome checks that the page loaded nothing from elsewhere and fits its width.
func (b *tab) stayedHome() {
	b.t.Helper()
	for _, address := range eval[[]string](b, `performance.getEntriesByType("resource").map(e => e.name)`) {
		if !strings.HasPrefix(address, b.base+"/") {
			b.t.Errorf("the page loaded %s", address)
		}
	}
	if wide := eval[int](b, "document.documentElement.scrollWidth - document.documentElement.clientWidth"); wide > 0 {
		b.t.Errorf("%s is %d pixels too wide", eval[string](b, "location.pathname"), wide)
	}
}

// upExample serves the built-in example, with the local model where it has
// been fetched, and returns the console's address.
func upExample(t *testing.T) string {
	t.Helper()
	admin := freeAddress(t)
	args := []string{"up", "--listen", freeAddress(t), "--admin-listen", admin, "--data", t.TempDir()}
	if os.Getenv("ACCORDO_ENGINE_DIR") == "" || os.Getenv("ACCORDO_WEIGHTS") == "" {
		args = append(args, "--no-model")
	}
	startProcess(t, regexp.MustCompile(`Ctrl-C stops`), []string{"ACCORDO_ADMIN_TOKEN=" + consoleToken, "ACCORDO_DEMO_KEY=" + consoleKey, "HOME=" + os.Getenv("HOME")}, args...)
	return "http://" + admin
}

// A visitor reads the story, asks a question, sees who served it and what it
// cost, and sees the contract burn down by that.
func TestConsole_InABrowser(t *testing.T) {
	browser := need(t, "ACCORDO_BROWSER", "the path of a Chromium; make deps finds it")
	b := openTab(t, browser, upExample(t))

	b.open("/")
	if at := eval[string](b, "location.pathname"); at != "/login" {
		t.Fatalf("without a login the browser is at %s", at)
	}
	b.do(chromedp.SendKeys("#token", consoleToken), chromedp.Click("button"), chromedp.WaitVisible("#cards"))
	if n := eval[int](b, `document.querySelectorAll(".articles > li").length * 100 + document.querySelectorAll("article.card").length`); n != 540 {
		t.Errorf("%d articles and %d cards, want 5 and 40", n/100, n%100)
	}
	if !strings.Contains(b.text(".tally"), "of 40 built") || !strings.Contains(b.text(".foot"), "Not affiliated with") || !strings.Contains(b.text(".standins"), "Stand-ins answer here") {
		t.Errorf("tally %q, foot %q, stand-ins %q", b.text(".tally"), b.text(".foot"), b.text(".standins"))
	}
	b.stayedHome()

	b.do(chromedp.KeyEvent("gt"), chromedp.WaitVisible("#prompt"))
	b.do(chromedp.SendKeys("#prompt", "What is the capital of France?"), chromedp.Click("#send"), chromedp.WaitVisible("#panel .cost"))
	contract := eval[string](b, `document.querySelector("#panel a[href^='/contracts/']").getAttribute("href")`)
	panel := b.text("#panel")
	for _, want := range []string{"A stand-in answered.", "micro-USD", "api-own-any-cloud", "served", "input,"} {
		if !strings.Contains(panel, want) {
			t.Errorf("the panel does not say %q: %s", want, panel)
		}
	}
	if answer := b.text(".said:last-child .text"); answer == "" {
		t.Error("no answer on screen")
	}
	b.stayedHome()
	b.picture("console.png")
	b.refusal()
	b.burnsDown(contract, microUnits(panel))

	for _, path := range []string{"/", "/pools", "/requests", contract, "/ledger", "/sales", "/margin", "/margin?by=tenant", "/claims/S25", "/chat"} {
		b.do(chromedp.EmulateViewport(360, 800))
		b.open(path)
		b.stayedHome()
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, fault := range b.faults {
		t.Errorf("the browser says: %s", fault)
	}
}

// picture keeps the page where the build's products are, and where
// ACCORDO_SCREENSHOT_DIR says.
func (b *tab) picture(name string) {
	b.t.Helper()
	image, err := chromedp.Run(b.ctx, chromedp.FullScreenshot(100))
	if err != nil {
		b.t.Fatal(err)
	}
	if !bytes.HasPrefix(image, []byte("\x89PNG")) {
		b.t.Errorf("%s is no picture: %d bytes", name, len(image))
	}
	folders := []string{filepath.Join("..", "..", "build")}
	if more := os.Getenv("ACCORDO_SCREENSHOT_DIR"); more != "" {
		folders = append(folders, more)
	}
	for _, dir := range folders {
		if err := os.MkdirAll(dir, 0o755); err != nil {
			b.t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(dir, name), image, 0o644); err != nil {
			b.t.Fatal(err)
		}
	}
}

// microUnits reads an amount such as "1,234 micro-USD", or -1.
func microUnits(text string) int {
	m := regexp.MustCompile(`([0-9][0-9,]*) micro-USD`).FindStringSubmatch(text)
	if m == nil {
		return -1
	}
	n, err := strconv.Atoi(strings.ReplaceAll(m[1], ",", ""))
	if err != nil {
		return -1
	}
	return n
}

// refusal asks where the custom model is not rolled out.
func (b *tab) refusal() {
	b.t.Helper()
	b.do(chromedp.Click(".suggestion.refused"), chromedp.WaitVisible(".said.refused"))
	if says := b.text(".said.refused"); !strings.Contains(says, "HTTP 403, variant_not_rolled_out") || !strings.Contains(says, "is not rolled out in") {
		b.t.Errorf("the refusal says %q", says)
	}
	eventually(b.t, settleTime, "the panel shows the refusal", func() bool { return strings.Contains(b.text("#panel"), "HTTP 403") })
}

// burnsDown reads a contract's page after the first answer, which cost so many
// micro-units, and watches it while a question is asked beside it.
func (b *tab) burnsDown(contract string, cost int) {
	b.t.Helper()
	b.open(contract)
	eventually(b.t, settleTime, "the first answer is in the books", func() bool { return b.count(".counter strong") > 0 })
	before := b.count(".counter strong")
	// One request is rounded up, the books round down the sum of all.
	if before != cost && before != cost-1 {
		b.t.Errorf("the contract burnt %d micro-units, the only answer under it cost %d", before, cost)
	}
	status := eval[int](b, `(() => { const r = new XMLHttpRequest(); r.open("POST", "/chat/completions", false);
		r.setRequestHeader("X-Accordo-Ask-As", "demo"); r.setRequestHeader("Content-Type", "application/json");
		r.send(`+quotedJSON(`{"model":"openai-frontier","max_tokens":24,"messages":[{"role":"user","content":"And of Italy?"}]}`)+`); return r.status })()`)
	if status != 200 {
		b.t.Fatalf("the second question: status %d", status)
	}
	eventually(b.t, settleTime, "the counter moves by itself", func() bool { return b.count(".counter strong") > before })
	b.open("/ledger")
	if says := b.text(".verdict"); !strings.Contains(says, "Balanced.") {
		b.t.Errorf("the ledger says %q", says)
	}
}

func quotedJSON(s string) string {
	data, _ := json.Marshal(s)
	return string(data)
}
