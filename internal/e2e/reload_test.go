package e2e

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"net/http"
	"os"
	"regexp"
	"slices"
	"strings"
	"syscall"
	"testing"

	"github.com/accordo-ai/accordo/internal/alliance"
	"github.com/accordo-ai/accordo/internal/alliance/file"
	"github.com/accordo-ai/accordo/internal/datadir"
	"github.com/accordo-ai/accordo/internal/record"
	"github.com/accordo-ai/accordo/internal/settle"
	"github.com/accordo-ai/accordo/internal/store/sqlite"
)

// termsVersions are what the alliance file becomes, one after the other.
var termsVersions = []string{
	// Another sale price, and another price at South.
	`
set:
  open: {price: {id: open-price-2, input: 6, cache_read: 0.60, cache_write: 6, output: 24, reasoning: 24}}
remove: [south-chat]
prices:
  - {id: south-chat-2, pools: [south-list-a], model: chat-1, from: 2026-01-01, list: {input: 4, cache_read: 0.40, cache_write: 4, output: 16, reasoning: 16}, claim: [paper]}
`,
	// A pool more, which is the cheapest.
	`
contracts: [{id: south-spot, title: Spot at South, provider: south, shape: pay_per_use, from: 2026-01-01, claim: [paper]}]
pools:
  - {id: south-spot-a, provider: south, region: us-west-2, residency: US, contract: south-spot, billed_by: token, max_in_flight: 64, claim: [paper], models: [{model: chat-1}],
     endpoint: {url: "http://SOUTH/pools/south-spot-a/v1", dialect: openai}}
prices: [{id: south-spot-chat, pools: [south-spot-a], model: chat-1, from: 2026-01-01, list: {input: 0.01, output: 0.01}, claim: [paper]}]
`,
	// Two pools less, with their prices; another version of the model.
	`
set:
  chat-1: {version: "2026-02"}
  north-chat: {pools: [north-floor-a]}
  north-embed: {pools: [north-floor-a]}
remove: [north-list-a, north-kept, south-list-a, south-chat, south-embed]
`,
	// As it was.
	``,
}

// priceVersions are those of termsVersions that change prices only.
var priceVersions = []string{termsVersions[0], ""}

// addressesOf puts the addresses of providers where a file names them.
func addressesOf(north, south *provider) *strings.Replacer {
	return strings.NewReplacer("//NORTH/", "//"+north.address+"/", "//SOUTH/", "//"+south.address+"/")
}

// badTerms have three faults.
const badTerms = `
set:
  open: {seller: nobody}
  south-list-a: {contract: north-paygg}
pools: [{id: half, provider: north}]
`

// slowFailures fail after a while, so that requests meet a reload between two
// attempts.
const slowFailures = `
rules:
  - {pool: south-reserved-a, probability: 0.4, endpoint: chat, action: {status: 500, stall_first_byte: 60ms}}
`

const reloadSouth = `
pools:
  - {name: south-reserved-a, ttft_base: 2ms, output_tokens_per_second: 1000}
  - {name: south-list-a, ttft_base: 2ms, output_tokens_per_second: 1000}
  - {name: south-spot-a, ttft_base: 2ms, output_tokens_per_second: 1000}
` + slowFailures

var reloaded = regexp.MustCompile(`"msg":"reloaded","terms":"([0-9a-f]{64})"`)

// reload writes the file anew and asks the program to read it. It returns the
// hash of the terms in force then, or "" when they were refused.
func (d *deployment) reload(addresses *strings.Replacer, more string) string {
	d.t.Helper()
	if err := os.WriteFile(d.file, []byte(addresses.Replace("include: [base.yaml]\n"+more)), 0o600); err != nil {
		d.t.Fatal(err)
	}
	before := d.output()
	if err := d.cmd.Process.Signal(syscall.SIGHUP); err != nil {
		d.t.Fatal(err)
	}
	hash := ""
	eventually(d.t, startTime, "the program does not say what became of the reload", func() bool {
		text := d.output()[len(before):]
		if m := reloaded.FindStringSubmatch(text); m != nil {
			hash = m[1]
		}
		return hash != "" || strings.Contains(text, "reload refused")
	})
	return hash
}

// Terms that change under load drop no request, and every entry cites the
// terms that its request was served under; terms with faults change nothing.
func TestReload_UnderLoadDropsNothing(t *testing.T) {
	seed := seedOf(t)
	north, south := startProvider(t, quickNorth), startProvider(t, reloadSouth)
	d := deploy(t, setup{north: north, south: south})
	addresses := addressesOf(north, south)
	l := mixed(12, seed)
	l.kinds = []string{kindPlain, kindPlain, kindStream, kindUsage, kindEmbed}
	l.start(t)
	l.resume(d.api)
	answered := func(n int) {
		t.Helper()
		before := l.count(func(*seen) bool { return true })
		eventually(t, requestTime, "clients wait", func() bool { return l.count(func(*seen) bool { return true }) >= before+n })
	}
	var order []string
	for round := range 16 {
		answered(40)
		hash := d.reload(addresses, termsVersions[round%len(termsVersions)])
		if hash == "" {
			t.Fatalf("the terms were refused:\n%s", tail(d.output(), 3000))
		}
		order = append(order, hash)
	}
	answered(40)

	before := len(d.output())
	if hash := d.reload(addresses, badTerms); hash != "" {
		t.Error("terms with faults were taken")
	}
	report := d.output()[before:]
	for _, want := range []string{`alliance\.yaml:4:\d+: .*nobody`, `alliance\.yaml:5:\d+: .*north-paygg`, `alliance\.yaml:6:\d+: `, `\d+ faults`} {
		if !regexp.MustCompile(want).MatchString(report) {
			t.Errorf("the report of the faults does not match %s:\n%s", want, report)
		}
	}
	answered(40)
	var overview struct{ Terms string }
	getJSON(t, d.admin+"/api/overview", d.token, &overview)
	if overview.Terms != order[len(order)-1] {
		t.Errorf("terms %s are in force after the refusal, want %s", overview.Terms, order[len(order)-1])
	}

	results := l.stop()
	d.stop(t)
	north.stop(t)
	south.stop(t)
	for _, s := range results {
		if s.status != http.StatusOK || !s.complete || s.broken {
			t.Errorf("request %s (%s): status %d, code %q, %v", s.id, s.kind, s.status, s.code, s.err)
		}
	}
	sum := audit(t, d, slices.Concat(north.lines(), south.lines()), results)
	a := readAccount(t, d.data)
	versions := d.citedTerms(a)
	followOrder(t, a, order)
	t.Logf("%d reloads, %d versions of the terms: %s", len(order), versions, sum)
	if versions != len(termsVersions) || sum.unserved == 0 {
		t.Errorf("%d versions of the terms were served, want %d", versions, len(termsVersions))
	}
	d.entriesCite(a)
}

// followOrder checks that intents cite the terms in the order of the reloads:
// those in force, or those before where the decision came just before.
func followOrder(t *testing.T, a *account, order []string) {
	t.Helper()
	intents := slices.SortedFunc(maps.Values(a.intents), func(x, y *record.Record) int { return cmp.Compare(x.Sequence, y.Sequence) })
	order = append([]string{intents[0].Intent.Terms}, order...)
	at := 0
	for _, r := range intents {
		switch hash := r.Intent.Terms; {
		case hash == order[at], at > 0 && hash == order[at-1]:
		case at+1 < len(order) && hash == order[at+1]:
			at++
		default:
			t.Fatalf("intent %d cites terms %s after reload %d", r.Sequence, hash, at)
		}
	}
	if at != len(order)-1 {
		t.Errorf("the terms of %d reloads were used, want %d", at, len(order)-1)
	}
}

// citedTerms checks that what every intent names is in the terms that it
// cites. It returns how many versions were in use.
func (d *deployment) citedTerms(a *account) int {
	d.t.Helper()
	dir, err := datadir.OpenReadOnly(d.data)
	if err != nil {
		d.t.Fatal(err)
	}
	versions := map[string]*alliance.Alliance{}
	for _, r := range a.intents {
		in := r.Intent
		terms := versions[in.Terms]
		if terms == nil {
			text, err := dir.Terms(in.Terms)
			if err != nil {
				d.t.Fatal(err)
			}
			if terms, err = file.Parse(in.Terms, text); err != nil {
				d.t.Fatal(err)
			}
			versions[in.Terms] = terms
		}
		problem := misfit(terms, in)
		if problem != "" {
			d.t.Errorf("attempt %d of request %s cites terms in which %s", in.Number, in.Request, problem)
		}
	}
	return len(versions)
}

// misfit says what of an intent is not in the terms.
func misfit(terms *alliance.Alliance, in *record.Intent) string {
	id, version, _ := strings.Cut(in.Model, "@")
	plan, pool := terms.Plan(alliance.PlanID(in.Plan)), terms.Pool(alliance.PoolID(in.Pool))
	model := terms.Model(alliance.ModelID(id))
	switch {
	case plan == nil || plan.Price != nil && string(plan.Price.ID) != in.SalePrice:
		return fmt.Sprintf("the plan %s is not sold at %s", in.Plan, in.SalePrice)
	case pool == nil || string(pool.Contract) != in.Contract:
		return fmt.Sprintf("the pool %s with contract %s is not", in.Pool, in.Contract)
	case model == nil || model.Version != version:
		return fmt.Sprintf("%s is not", in.Model)
	case in.CostPrice != "" && terms.Price(alliance.PriceID(in.CostPrice)) == nil:
		return fmt.Sprintf("the price %s is not", in.CostPrice)
	}
	return ""
}

// entriesCite checks that the books hold entries under every version.
func (d *deployment) entriesCite(a *account) {
	d.t.Helper()
	dir, err := datadir.OpenReadOnly(d.data)
	if err != nil {
		d.t.Fatal(err)
	}
	store, err := sqlite.OpenReader(context.Background(), dir.Books())
	if err != nil {
		d.t.Fatal(err)
	}
	defer store.Close()
	placed, err := store.Entries(context.Background(), settle.Query{})
	if err != nil {
		d.t.Fatal(err)
	}
	prices := map[string]map[string]bool{}
	for _, p := range placed {
		if prices[p.Terms] == nil {
			prices[p.Terms] = map[string]bool{}
		}
		prices[p.Terms][p.Price] = true
	}
	if len(prices) < len(termsVersions) {
		d.t.Errorf("entries cite %d versions of the terms", len(prices))
	}
	for hash, ids := range prices {
		if ids["open-price"] && ids["open-price-2"] {
			d.t.Errorf("under terms %s requests were sold at two prices", hash)
		}
	}
}
