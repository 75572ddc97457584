package gateway_test

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/accordo-ai/accordo/internal/alliance"
	"github.com/accordo-ai/accordo/internal/gateway"
	"github.com/accordo-ai/accordo/internal/journal"
	"github.com/accordo-ai/accordo/internal/money"
	"github.com/accordo-ai/accordo/internal/provider/upstream"
	"github.com/accordo-ai/accordo/internal/provider/upstreamsim"
	"github.com/accordo-ai/accordo/internal/quota"
	"github.com/accordo-ai/accordo/internal/record"
	"github.com/accordo-ai/accordo/internal/route"
)

func day(s string) alliance.Date {
	var d alliance.Date
	if err := d.UnmarshalText([]byte(s)); err != nil {
		panic(err)
	}
	return d
}

func sum(secret string) string {
	s := sha256.Sum256([]byte(secret))
	return hex.EncodeToString(s[:])
}

// terms is an alliance with pools a (cheap) and b (dear), or fewer.
func terms(pools ...string) *alliance.Alliance {
	term := alliance.Term{From: day("2020-01-01")}
	a := &alliance.Alliance{
		Version: 1, Operator: "lab", Currency: "USD", Hash: strings.Repeat("ab", 32),
		Parties:   []alliance.Party{{ID: "lab"}, {ID: "cloud"}},
		Channels:  []alliance.Channel{{ID: "api", Party: "lab"}},
		Contracts: []alliance.Contract{{ID: "payg", Provider: "cloud", Shape: alliance.PayPerUse, Term: term}},
		Models:    []alliance.Model{{ID: "m", Owner: "lab", Version: "1", Kind: "chat"}, {ID: "e", Owner: "lab", Version: "2", Kind: "embedding"}, {ID: "hidden", Owner: "lab", Version: "3", Kind: "chat"}},
		Families:  []alliance.Family{{ID: "fam", Members: []alliance.FamilyMember{{Model: "m", From: day("2025-01-01")}}}},
		Rights:    []alliance.Right{{ID: "all", Object: alliance.StatelessAPI, Models: []alliance.ModelID{"m", "e", "fam", "asst"}, Mode: alliance.NonExclusive, Term: term, Known: term.From}},
		Variants: []alliance.Variant{{
			ID: "asst", Name: "Assistant", Base: "fam", Version: "abc", Behaviour: []string{"Be kind."}, DefaultFlow: "info", Plans: []alliance.PlanID{"open", "free"}, Surfaces: []string{"web"},
			Flows:   []alliance.Flow{{ID: "info", Priorities: []string{"Truth first."}}, {ID: "shop", Priorities: []string{"Price first."}, MaxOutputTokens: 7}},
			Rollout: []alliance.Rollout{{Territory: "US", State: "on", From: day("2026-01-01"), Claim: []alliance.ClaimID{"C9"}}, {Territory: "EU", State: "opt_in", From: day("2026-01-01"), Claim: []alliance.ClaimID{"C10"}}},
		}},
	}
	sale := alliance.SalePrice{ID: "sale", Rates: alliance.Rates{Input: 3 * money.Micro, Output: 6 * money.Micro}}
	plan := func(id alliance.PlanID, subject string, l alliance.Limits) {
		a.Plans = append(a.Plans, alliance.Plan{ID: id, Seller: "lab", Subject: subject, Models: []alliance.ModelID{"m", "e", "fam"}, Limits: l, DefaultOutputTokens: 256, Price: &sale})
	}
	plan("open", "key", alliance.Limits{})
	plan("small", "key", alliance.Limits{TokensPerDay: 1000})
	plan("rate", "key", alliance.Limits{RequestsPerMinute: 2})
	plan("poor", "key", alliance.Limits{SpendPerDay: 1500})
	plan("free", "end_user", alliance.Limits{TokensPerDay: 1000})
	a.Plans[4].Models = nil
	a.Plans = append(a.Plans, alliance.Plan{
		ID: "bundle", Seller: "lab", Subject: "key", Models: []alliance.ModelID{"m"}, DefaultOutputTokens: 256,
		Fee: &alliance.SubscriptionFee{ID: "bundle-fee", Amount: money.Micro, Per: alliance.PerKey}, Included: &alliance.IncludedUse{Per: alliance.PerKey, Tokens: 1000},
	})
	var keys []alliance.Key
	for _, p := range a.Plans {
		keys = append(keys, alliance.Key{ID: alliance.KeyID("key-" + p.ID), SHA256: sum("sk-" + string(p.ID)), Plan: p.ID, Channel: "api", Territory: "US", Surface: "web"})
	}
	keys = append(keys,
		alliance.Key{ID: "key-trusted", SHA256: sum("sk-trusted"), Plan: "free", Channel: "api", Territory: "US", Territories: []alliance.Territory{"US", "DE", "FR", "CH"}, Trusted: true, Surface: "web"},
		alliance.Key{ID: "key-german", SHA256: sum("sk-german"), Plan: "open", Channel: "api", Territory: "DE", Surface: "web", OptIn: []alliance.ModelID{"asst"}},
		alliance.Key{ID: "key-wrong-channel", SHA256: sum("sk-wrong-channel"), Plan: "open", Channel: "other", Territory: "US"})
	a.Rights[0].Channel = "api"
	a.Tenants = []alliance.Tenant{{ID: "acme", Keys: keys}}
	for i, p := range pools {
		a.Pools = append(a.Pools, alliance.Pool{
			ID: alliance.PoolID(p), Provider: "cloud", Contract: "payg", BilledBy: alliance.BilledByToken, MaxInFlight: 256,
			Models:   []alliance.PoolModel{{Model: "m", UpstreamName: "up-m"}, {Model: "e"}},
			Endpoint: alliance.Endpoint{Dialect: "openai"},
		})
		rates := alliance.Rates{Input: money.Amount(i+1) * money.Micro, Output: money.Amount(i+2) * money.Micro}
		for _, m := range []alliance.ModelID{"m", "e"} {
			a.Prices = append(a.Prices, alliance.Price{ID: alliance.PriceID("cost-" + p + "-" + string(m)), Pools: []alliance.PoolID{alliance.PoolID(p)}, Model: m, Term: term, List: rates})
		}
	}
	return a.Build()
}

// harness is a gateway over a simulated provider, with the real journal.
type harness struct {
	*testing.T
	g      *gateway.Gateway
	url    string
	sim    *upstreamsim.Server
	dir    string
	skew   atomic.Int64
	state  gateway.State
	api    *httptest.Server
	client *http.Client
	// provider is the address of the simulator.
	provider string
}

type setup struct {
	// pipes keeps every connection in memory, for a test in a bubble of
	// testing/synctest, where time is not real.
	pipes  bool
	pools  []string
	limits gateway.Limits
	log    gateway.RequestLog
	tracer gateway.Tracer
	meter  gateway.Meter
	disk   *fullDisk // stands before the journal
	// strain is how long goroutines wait for a processor; nil: as they do.
	strain func() time.Duration
	fs     journal.FS
	// before puts something before the journal.
	before func(gateway.Journal) gateway.Journal
	change func(*alliance.Alliance, map[alliance.PoolID]string)
}

func start(t *testing.T, s setup) *harness {
	t.Helper()
	if s.pools == nil {
		s.pools = []string{"a", "b"}
	}
	a := terms(s.pools...)
	var simPools []upstreamsim.PoolOptions
	for _, p := range s.pools {
		simPools = append(simPools, upstreamsim.PoolOptions{Name: p})
	}
	sim, err := upstreamsim.New(upstreamsim.Options{Pools: simPools, RecordRequests: 1000})
	if err != nil {
		t.Fatal(err)
	}
	provider := httptest.NewUnstartedServer(sim)
	var dial func(context.Context, string, string) (net.Conn, error)
	if s.pipes {
		dial = overPipes(provider)
	}
	provider.Start()
	h := &harness{T: t, sim: sim, dir: t.TempDir(), provider: provider.URL}
	if s.pipes { // a bubble's time begins in 2000
		h.skew.Store(int64(27 * 365 * 24 * time.Hour))
	}
	urls := map[alliance.PoolID]string{}
	for _, p := range s.pools {
		urls[alliance.PoolID(p)] = provider.URL + "/pools/" + p + "/v1"
	}
	if s.change != nil {
		s.change(a, urls)
	}
	ups := map[alliance.PoolID]gateway.Upstream{}
	var clients []*upstream.Client
	for id, u := range urls {
		c, err := upstream.New(upstream.Options{URL: u, Credential: "provider-secret", Dial: dial})
		if err != nil {
			t.Fatal(err)
		}
		clients = append(clients, c)
		ups[id] = c
	}
	j, _, err := journal.Open(h.dir, journal.Options{Node: "n", FS: s.fs})
	if err != nil {
		t.Fatal(err)
	}
	now := func() time.Time { return time.Now().Add(time.Duration(h.skew.Load())) }
	h.state = gateway.State{Alliance: a, Keys: gateway.TermsKeys(a), Upstreams: ups}
	var kept gateway.Journal = j
	if s.disk != nil {
		s.disk.Journal = j
		kept = s.disk
	}
	if s.before != nil {
		kept = s.before(kept)
	}
	h.g, err = gateway.New(gateway.Deps{Journal: kept, Router: route.New(a, now()), Quota: quota.New(quota.Options{}), Now: now, Random: func() uint64 { return 1 }, Limits: s.limits, RequestLog: s.log, Tracer: s.tracer, Meter: s.meter, ProcessorDelay: s.strain}, h.state)
	if err != nil {
		t.Fatal(err)
	}
	h.api = httptest.NewUnstartedServer(nil)
	h.api.Config = h.g.Server()
	h.client = &http.Client{Transport: &http.Transport{}}
	if s.pipes {
		h.client.Transport = &http.Transport{DialContext: overPipes(h.api)}
	}
	h.api.Start()
	h.url = h.api.URL
	t.Cleanup(func() { h.stop(j, sim, provider, clients) })
	return h
}

func (h *harness) stop(j *journal.Journal, sim *upstreamsim.Server, provider *httptest.Server, clients []*upstream.Client) {
	h.client.CloseIdleConnections()
	h.api.Close()
	for _, c := range clients {
		c.Close()
	}
	provider.Close()
	if err := j.Close(); err != nil {
		h.Error(err)
	}
	_ = sim.Close()
}

func (h *harness) script(rules ...upstreamsim.Rule) {
	h.Helper()
	if err := h.sim.SetScript(&upstreamsim.Script{Rules: rules}); err != nil {
		h.Fatal(err)
	}
}

// do sends a request; header is a list of names and values.
func (h *harness) do(method, path, key, body string, header ...string) (*http.Response, string) {
	h.Helper()
	r, err := http.NewRequest(method, h.url+path, strings.NewReader(body))
	if err != nil {
		h.Fatal(err)
	}
	if key != "" {
		r.Header.Set("Authorization", "Bearer "+key)
	}
	for i := 0; i < len(header); i += 2 {
		r.Header.Add(header[i], header[i+1])
	}
	resp, err := h.client.Do(r)
	if err != nil {
		h.Fatal(err)
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	if err != nil {
		h.Fatal(err)
	}
	return resp, string(b)
}

func (h *harness) chat(key, body string, header ...string) (*http.Response, string) {
	h.Helper()
	return h.do("POST", "/v1/chat/completions", key, body, header...)
}

// pair is an intent with its outcome.
type pair struct {
	in  *record.Intent
	out *record.Outcome
}

// attempts reads the journal and demands exactly one outcome per intent.
func (h *harness) attempts() []pair {
	h.Helper()
	var list []pair
	where := map[uint64]int{}
	for r, err := range journal.Read(h.dir, 1) {
		if err != nil {
			h.Fatal(err)
		}
		switch r.Kind {
		case record.KindIntent:
			where[r.Sequence] = len(list)
			list = append(list, pair{in: r.Intent})
		case record.KindOutcome:
			i, ok := where[r.Outcome.Intent]
			if !ok || list[i].out != nil || list[i].in.Attempt != r.Outcome.Attempt {
				h.Fatalf("outcome %+v has no intent of its own", r.Outcome)
			}
			list[i].out = r.Outcome
		}
	}
	for _, p := range list {
		if p.out == nil {
			h.Fatalf("intent without outcome: %+v", p.in)
		}
	}
	return list
}

func (h *harness) refusals() (list []*record.Refusal) {
	h.Helper()
	for r, err := range journal.Read(h.dir, 1) {
		if err != nil {
			h.Fatal(err)
		}
		if r.Kind == record.KindRefusal {
			list = append(list, r.Refusal)
		}
	}
	return list
}

// noHolds demands that nothing is held any more once every request has left
// the gateway; a client that went away does not see that instant.
func (h *harness) noHolds() {
	h.Helper()
	waitFor(h, func() (idle bool) {
		h.g.WithQuota(func(b *quota.Book) { _, holds := b.Len(); idle = holds == 0 })
		return idle
	})
	h.g.WithQuota(func(b *quota.Book) {
		if _, holds := b.Len(); holds != 0 {
			h.Errorf("%d holds outlive their requests", holds)
		}
	})
	h.g.WithRouter(func(r *route.Router) {
		for _, p := range r.Pools(time.Now()) {
			if p.InFlight != 0 {
				h.Errorf("pool %s has %d requests in flight", p.ID, p.InFlight)
			}
		}
	})
}

func ptr[T any](v T) *T { return &v }

// memory is a response writer that keeps the body.
type memory struct {
	bytes.Buffer
	header http.Header
}

func (m *memory) Header() http.Header { return m.header }
func (m *memory) WriteHeader(int)     {}

// pipes is a listener whose connections are net.Pipes.
type pipes struct {
	conns chan net.Conn
	done  chan struct{}
	once  sync.Once
}

// overPipes replaces the listener of a server that is not started yet.
func overPipes(s *httptest.Server) func(context.Context, string, string) (net.Conn, error) {
	s.Listener.Close()
	p := &pipes{conns: make(chan net.Conn), done: make(chan struct{})}
	s.Listener = p
	return func(ctx context.Context, _, _ string) (net.Conn, error) {
		ours, theirs := net.Pipe()
		select {
		case p.conns <- theirs:
			return ours, nil
		case <-p.done:
			return nil, net.ErrClosed
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
}

func (p *pipes) Accept() (net.Conn, error) {
	select {
	case c := <-p.conns:
		return c, nil
	case <-p.done:
		return nil, net.ErrClosed
	}
}

func (p *pipes) Close() error {
	p.once.Do(func() { close(p.done) })
	return nil
}

func (p *pipes) Addr() net.Addr { return pipeAddr{} }

type pipeAddr struct{}

func (pipeAddr) Network() string { return "pipe" }
func (pipeAddr) String() string  { return "pipe.invalid" }
