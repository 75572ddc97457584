package e2e

import (
	"context"
	"encoding/json"
	"flag"
	"os"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/chromedp/chromedp"
)

// screenshot is where the test leaves a picture of the chat for the README. It
// is taken with the local model, which must have been fetched.
var screenshot = flag.String("screenshot", "", "file for a picture of the console, taken with the local model")

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
}

func openTab(t *testing.T, browser, base string) *tab {
	t.Helper()
	options := append(chromedp.DefaultExecAllocatorOptions[:], chromedp.ExecPath(browser), chromedp.NoSandbox, chromedp.WindowSize(1280, 1100))
	ctx, cancel := context.WithTimeout(context.Background(), browserTime)
	t.Cleanup(cancel)
	ctx, cancel = chromedp.NewExecAllocator(ctx, options...)
	t.Cleanup(cancel)
	ctx, cancel = chromedp.NewContext(ctx)
	t.Cleanup(cancel)
	return &tab{t, ctx, base}
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

// upExample serves the built-in example and returns the console's address.
func upExample(t *testing.T) string {
	t.Helper()
	admin := freeAddress(t)
	args := []string{"up", "--listen", freeAddress(t), "--admin-listen", admin, "--data", t.TempDir()}
	if *screenshot == "" {
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
	b.picture()
	b.refusal()
	b.burnsDown(contract)

	for _, path := range []string{"/", "/pools", "/requests", contract, "/ledger", "/claims/S25", "/chat"} {
		b.do(chromedp.EmulateViewport(360, 800))
		b.open(path)
		b.stayedHome()
	}
}

// picture keeps the page when a screenshot was asked for.
func (b *tab) picture() {
	b.t.Helper()
	if *screenshot == "" {
		return
	}
	image, err := chromedp.Run(b.ctx, chromedp.FullScreenshot(100))
	if err != nil {
		b.t.Fatal(err)
	}
	if err := os.WriteFile(*screenshot, image, 0o644); err != nil {
		b.t.Fatal(err)
	}
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

// burnsDown watches a contract's page while a question is asked beside it.
func (b *tab) burnsDown(contract string) {
	b.t.Helper()
	b.open(contract)
	eventually(b.t, settleTime, "the first answer is in the books", func() bool { return b.count(".counter strong") > 0 })
	before := b.count(".counter strong")
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
