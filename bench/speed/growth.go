//go:build linux

package main

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/accordo-ai/accordo/internal/alliance"
	"github.com/accordo-ai/accordo/internal/alliance/file"
	"github.com/accordo-ai/accordo/internal/gateway"
	"github.com/accordo-ai/accordo/internal/quota"
	"github.com/accordo-ai/accordo/internal/record"
	"github.com/accordo-ai/accordo/internal/route"
)

// outside are the steps that need no target.
func (b *bench) outside() (steps []step) {
	add := func(work, name string, guess time.Duration, run func(context.Context) error) {
		if wants(b.works, work) && wants(b.options.targets, "accordo") && notFound(b.accordo) == "" {
			steps = append(steps, step{name: name, guess: guess, accordo: true, run: run})
		}
	}
	add(workDecide, workDecide, time.Duration(b.rounds)*3*b.length, b.decide)
	for _, c := range curves() {
		add(workGrowth, "curve of "+c.name, time.Duration((b.rounds+1)*len(c.at))*b.length/2+3*time.Second, func(ctx context.Context) error { return b.growth(ctx, &c) })
	}
	add(workLoading, workLoading, 6*time.Second, b.loading)
	return steps
}

var decideLine = regexp.MustCompile(`BenchmarkDecide/pools=60\S*\s.*?([0-9.]+) p50_ns`)

// decide runs the router's own benchmark, which fails when it allocates.
func (b *bench) decide(ctx context.Context) error {
	if _, err := exec.LookPath("go"); err != nil {
		fmt.Println("not measured: route decision (go is not installed)")
		return nil
	}
	for range b.rounds {
		cmd := exec.CommandContext(ctx, "go", "test", "-run", "^$", "-bench", "^BenchmarkDecide$/^pools=60$", "-benchtime", b.length.String(), "./internal/route")
		out, err := cmd.CombinedOutput()
		if err != nil {
			return fmt.Errorf("%w: %s", err, tail(string(out)))
		}
		m := decideLine.FindSubmatch(out)
		if m == nil {
			return fmt.Errorf("no figure in %s", tail(string(out)))
		}
		ns, err := strconv.ParseFloat(string(m[1]), 64)
		if err != nil {
			return err
		}
		b.rows.add(workDecide, "accordo", "p50_us", ns/1000)
	}
	return nil
}

// sizes are the terms of one point of a curve.
type sizes struct {
	keys, rights, ineligible, variants int
	filed                              bool // the keys stand in the terms, too
}

// curve is how terms grow.
type curve struct {
	name string
	at   []int
	of   func(n int) sizes
}

// mostFiled is about how many keys the files of one alliance hold.
const mostFiled = 190_000

func curves() []curve {
	return []curve{
		{"keys", []int{1_000, 10_000, 100_000, 1_000_000}, func(n int) sizes { return sizes{keys: n} }},
		{"filed_keys", []int{1_000, 10_000, 100_000, mostFiled}, func(n int) sizes { return sizes{keys: n, filed: true} }},
		{"rights", []int{1, 10, 100, 1_000, 10_000}, func(n int) sizes { return sizes{rights: n} }},
		{"ineligible", []int{0, 10, 100, 1_000, 5_000}, func(n int) sizes { return sizes{ineligible: n} }},
		{"variants", []int{0, 10, 100, 1_000, 5_000}, func(n int) sizes { return sizes{variants: n} }},
	}
}

// metric names the figure of one point.
func (c *curve) metric(n int) string { return fmt.Sprintf("%s_%d_us", c.name, n) }

// quickSize bounds the points of a quick run.
const quickSize = 100_000

// growth measures one request inside the gateway, without sockets and
// journal, under terms of growing size: what is left is what could grow. It is
// the processor time of the whole process, so that the collector counts.
func (b *bench) growth(ctx context.Context, c *curve) error {
	at := c.at
	if b.quick {
		at = slices.DeleteFunc(slices.Clone(at), func(n int) bool { return n > quickSize })
	}
	sizes := make([]*grown, 0, len(at))
	defer func() {
		for _, g := range sizes {
			_ = g.end()
		}
	}()
	for _, n := range at {
		g, err := b.startGrown(ctx, c.name, n)
		if err != nil {
			return fmt.Errorf("%d: %w", n, err)
		}
		sizes = append(sizes, g)
		if c.of(n).keys > 0 {
			b.rows.add(workGrowth, "accordo", fmt.Sprintf("%s_%d_rss_mb", c.name, n), float64(g.rss)/1e6)
			b.rows.add(workGrowth, "accordo", fmt.Sprintf("%s_%d_compile_ms", c.name, n), ms(g.compiled))
		}
	}
	for round := range b.rounds + 1 {
		spent, err := b.interleaved(sizes)
		if err != nil {
			return err
		}
		if round == 0 {
			continue // caches and pools fill
		}
		us := func(i int) float64 {
			return float64(spent[i].process.Nanoseconds()) / 1000 / float64(spent[i].requests)
		}
		for i, n := range at {
			b.rows.add(workGrowth, "accordo", c.metric(n), us(i))
			if c.of(n).keys > 0 {
				b.rows.add(workGrowth, "accordo", fmt.Sprintf("%s_%d_serving_rss_mb", c.name, n), float64(spent[i].rss)/1e6)
			}
		}
		if !b.quick {
			b.rows.add(workGrowth, "accordo", c.name+"_ratio", us(len(at)-1)/us(0))
		}
	}
	return nil
}

// interleaved has every size serve for half the length, a slice at a time, so
// that what the machine does befalls all sizes alike.
func (b *bench) interleaved(sizes []*grown) ([]spending, error) {
	spent := make([]spending, len(sizes))
	for turn := range max(1, int(b.length/2/slice)) {
		for i := range sizes {
			j := (i + turn) % len(sizes)
			s, err := sizes[j].serve()
			if err != nil {
				return nil, fmt.Errorf("size %d: %w", j, err)
			}
			spent[j].add(s)
		}
	}
	return spent, nil
}

func keyOf(i int) string { return fmt.Sprintf("sk-%08d", i) }

// emptyGateway is a gateway with terms of a size, whose journal and provider
// cost nothing.
func emptyGateway(n sizes) (g *gateway.Gateway, took time.Duration, err error) {
	a, err := file.Parse("bench.yaml", []byte(allianceFile("http://127.0.0.1:1")))
	if err != nil {
		return nil, 0, err
	}
	base, right := a.Pools[len(a.Pools)-1], a.Rights[0]
	for i := range n.ineligible {
		p := base
		p.ID, p.Models = alliance.PoolID(fmt.Sprintf("other-%d", i)), []alliance.PoolModel{{Model: "other"}}
		if i%2 == 0 { // serves the model, and may not be used in this plan's residency
			p.Models, p.Contract = base.Models, "none"
		}
		a.Pools = append(a.Pools, p)
	}
	for i := range n.rights {
		right.ID, right.Models = alliance.RightID(fmt.Sprintf("right-%d", i)), []alliance.ModelID{alliance.ModelID(fmt.Sprintf("model-%d", i))}
		a.Rights = append(a.Rights, right)
	}
	for i := range n.variants {
		a.Variants = append(a.Variants, alliance.Variant{ID: alliance.ModelID(fmt.Sprintf("variant-%d", i)), Base: modelPlain, Version: "1"})
	}
	key := a.Tenants[0].Keys[0]
	keys := make([]gateway.Key, 0, max(1, n.keys))
	for i := range max(1, n.keys) {
		sum := sha256.Sum256([]byte(keyOf(i)))
		key.ID, key.SHA256 = alliance.KeyID("key-"+strconv.Itoa(i)), hex.EncodeToString(sum[:])
		keys = append(keys, gateway.Key{Tenant: a.Tenants[0].ID, Key: key})
	}
	for i := range keys {
		if n.filed {
			a.Tenants[0].Keys = append(a.Tenants[0].Keys, keys[i].Key)
		}
	}
	a.PackKeys()
	a = a.Build()
	ups := map[alliance.PoolID]gateway.Upstream{}
	for i := range a.Pools {
		ups[a.Pools[i].ID] = atOnce{}
	}
	router, begin := route.New(a, time.Now()), processTime()
	g, err = gateway.New(gateway.Deps{Journal: &nowhere{}, Router: router, Quota: quota.New(quota.Options{})},
		gateway.State{Alliance: a, Keys: keys, Upstreams: ups})
	return g, processTime() - begin, err
}

// nowhere is a journal that keeps nothing.
type nowhere struct{ next uint64 }

func (n *nowhere) Intent(context.Context, *record.Intent) (uint64, error) {
	n.next++
	return n.next, nil
}
func (n *nowhere) Outcome(context.Context, *record.Outcome) (uint64, error) { return n.next, nil }
func (n *nowhere) Refusal(*record.Refusal)                                  {}

// atOnce is a provider that answers at no cost.
type atOnce struct{}

var answerBody = string(newMock().plain[strings.Index(string(newMock().plain), "\r\n\r\n")+4:])

// Send answers.
func (atOnce) Send(context.Context, string, string, string, http.Header, [][]byte) (*http.Response, error) {
	return &http.Response{StatusCode: http.StatusOK, Header: http.Header{}, ContentLength: int64(len(answerBody)), Body: io.NopCloser(strings.NewReader(answerBody))}, nil
}

// sink is a ResponseWriter that notes the status.
type sink struct {
	header http.Header
	status int
}

// Header returns the header.
func (s *sink) Header() http.Header { return s.header }

// Write drops p.
func (s *sink) Write(p []byte) (int, error) { return len(p), nil }

// WriteHeader notes the status.
func (s *sink) WriteHeader(status int) { s.status = status }

// loading is how long `accordo check` takes on large files.
func (b *bench) loading(ctx context.Context) error {
	base := allianceFile("http://127.0.0.1:1")
	files := []struct {
		name string
		n    int
		text func(n int) string
	}{
		{"keys", 20_000, func(n int) string {
			var s strings.Builder
			for i := range n {
				fmt.Fprintf(&s, "      - {id: key-%d, sha256: %x, plan: open, channel: api, territory: US}\n", i, sha256.Sum256([]byte(keyOf(i))))
			}
			return base + "  - id: many\n    name: Many\n    keys:\n" + s.String()
		}},
		{"rights", 10_000, func(n int) string {
			var s strings.Builder
			for i := range n {
				fmt.Fprintf(&s, "  - {id: right-%d, title: A right, object: stateless_api, models: [%s], channel: api, territories: [US], from: 2026-01-01, mode: non_exclusive, known: 2026-01-01, claim: [paper]}\n", i, modelPlain)
			}
			return strings.Replace(base, "rights: [{", "rights:\n"+s.String()+"  - {", 1)
		}},
		{"pools", 5_000, func(n int) string {
			var s strings.Builder
			for i := range n {
				fmt.Fprintf(&s, "  - {id: pool-%d, provider: south, region: there, residency: US, contract: reserved, billed_by: fixed, tokens_per_minute: 1000, max_in_flight: 8, claim: [paper], models: [{model: %s, input_weight_ppm: 1000000, output_weight_ppm: 4000000}], endpoint: {url: \"http://127.0.0.1:1/v1\", dialect: openai}}\n", i, modelPlain)
			}
			return strings.Replace(base, "pools:\n", "pools:\n"+s.String(), 1)
		}},
	}
	for _, f := range files {
		n := f.n
		if b.quick {
			n = 100
		}
		name := filepath.Join(b.work, f.name+".yaml")
		text := f.text(n)
		if f.name == "keys" {
			text = strings.Replace(text, "tenants: [{id: acme", "tenants:\n  - {id: acme", 1)
			text = strings.Replace(text, "territory: US}]}]\n", "territory: US}]}\n", 1)
		}
		if f.name == "rights" {
			text = strings.Replace(text, "claim: [paper]}]\nplans", "claim: [paper]}\nplans", 1)
		}
		if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
			return err
		}
		begin := time.Now()
		if out, err := exec.CommandContext(ctx, b.accordo, "check", name).CombinedOutput(); err != nil {
			return fmt.Errorf("check %d %s: %w: %s", n, f.name, err, tail(string(out)))
		}
		b.rows.add(workLoading, "accordo", fmt.Sprintf("%d_%s_s", n, f.name), time.Since(begin).Seconds())
	}
	return nil
}
