package app

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"os"
	"strings"
	"sync"
	"time"

	"github.com/accordo-ai/accordo/internal/alliance"
	"github.com/accordo-ai/accordo/internal/gateway"
	"github.com/accordo-ai/accordo/internal/journal"
	"github.com/accordo-ai/accordo/internal/money"
	"github.com/accordo-ai/accordo/internal/provider/upstream"
	"github.com/accordo-ai/accordo/internal/provider/upstreamsim"
	"github.com/accordo-ai/accordo/internal/quota"
	"github.com/accordo-ai/accordo/internal/rating"
	"github.com/accordo-ai/accordo/internal/route"
	"github.com/accordo-ai/accordo/internal/usage"
)

// The load that drives a limit.
const (
	limitOutput  = 20 // tokens of every answer
	limitBurst   = 40 // requests at once
	limitMinimum = 1  // requests that a limit must let through before it bites
	limitTime    = time.Minute
	// rateSlack are the tokens by which a rate, which holds an estimate, may
	// be passed by the requests that are under way.
	rateSlack = 64
)

// limitKind is a kind of limit with the way to see that it bites.
type limitKind struct {
	plan   alliance.PlanID
	limits alliance.Limits
	period time.Duration // after which it lets requests through again
	most   func(served int, used usage.Vector, spent money.Amount) (is, limit int64)
}

// limitKinds are all kinds of limit of a plan, small enough to be driven.
func limitKinds() []limitKind {
	tokens := func(limit int64) func(int, usage.Vector, money.Amount) (int64, int64) {
		return func(_ int, u usage.Vector, _ money.Amount) (int64, int64) { return u.Total(), limit }
	}
	spend := func(limit int64) func(int, usage.Vector, money.Amount) (int64, int64) {
		return func(_ int, _ usage.Vector, m money.Amount) (int64, int64) { return int64(m), limit }
	}
	return []limitKind{
		{"requests_per_minute", alliance.Limits{RequestsPerMinute: 5}, time.Minute, func(n int, _ usage.Vector, _ money.Amount) (int64, int64) { return int64(n), 5 }},
		{"tokens_per_minute", alliance.Limits{TokensPerMinute: 200}, time.Minute, tokens(200 + rateSlack)},
		{"tokens_per_day", alliance.Limits{TokensPerDay: 1000}, 24 * time.Hour, tokens(1000)},
		{"tokens_per_month", alliance.Limits{TokensPerMonth: 1000}, 31 * 24 * time.Hour, tokens(1000)},
		{"spend_per_day", alliance.Limits{SpendPerDay: 5000}, 24 * time.Hour, spend(5000)},
		{"spend_per_month", alliance.Limits{SpendPerMonth: 5000}, 31 * 24 * time.Hour, spend(5000)},
	}
}

// limits drives each kind of limit through the code that serves, over a
// simulated provider in this process, and says which do not bite.
func (d *doctor) limits(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, limitTime)
	defer cancel()
	rig, err := newLimitRig(ctx, limitKinds(), d.o.Now, nil)
	if err != nil {
		return fmt.Errorf("prepare the test of limits: %w", err)
	}
	defer rig.close()
	for _, k := range limitKinds() {
		if problem := rig.drive(k); problem != "" {
			d.wrong("limits", "do not serve with this build; report the line above", "%s does not hold: %s", k.plan, problem)
			continue
		}
		d.fine("limits", "%s bites, with a wait, and opens again", k.plan)
	}
	if problem := rig.driveInFlight(); problem != "" {
		d.wrong("limits", "do not serve with this build; report the line above", "max_in_flight does not hold: %s", problem)
	} else {
		d.fine("limits", "max_in_flight of a pool bites, and opens again")
	}
	return nil
}

// limitRig is a gateway with nothing real but its code.
type limitRig struct {
	gateway  *gateway.Gateway
	sim      *upstreamsim.Server
	keys     map[alliance.PlanID]string
	closers  []func()
	mu       sync.Mutex
	now      time.Time
	simulate sync.WaitGroup
}

const limitPool = "pool"

// newLimitRig makes a gateway for plans with the limits; change may break the
// terms, for the test of this test.
func newLimitRig(ctx context.Context, kinds []limitKind, now time.Time, change func(*alliance.Alliance)) (rig *limitRig, err error) {
	rig = &limitRig{now: now, keys: map[alliance.PlanID]string{}}
	defer func() {
		if err != nil {
			rig.close()
		}
	}()
	dir, err := os.MkdirTemp("", "accordo-doctor-")
	if err != nil {
		return rig, err
	}
	rig.closers = append(rig.closers, func() { _ = os.RemoveAll(dir) })
	address, err := rig.provider(ctx)
	if err != nil {
		return rig, err
	}
	a, keys, err := rig.terms(kinds)
	if err != nil {
		return rig, err
	}
	if change != nil {
		change(a)
	}
	client, err := upstream.New(upstream.Options{URL: "http://" + address + "/pools/" + limitPool + "/v1"})
	if err != nil {
		return rig, err
	}
	rig.closers = append(rig.closers, client.Close)
	j, _, err := journal.Open(dir, journal.Options{Node: "doctor"})
	if err != nil {
		return rig, err
	}
	rig.closers = append(rig.closers, func() { _ = j.Close() })
	rig.gateway, err = gateway.New(gateway.Deps{Journal: j, Router: route.New(a, now), Quota: quota.New(quota.Options{}), Now: rig.clock},
		gateway.State{Alliance: a, Keys: keys, Upstreams: map[alliance.PoolID]gateway.Upstream{limitPool: client}})
	return rig, err
}

func (rig *limitRig) provider(ctx context.Context) (address string, err error) {
	if rig.sim, err = upstreamsim.New(upstreamsim.Options{Pools: []upstreamsim.PoolOptions{{Name: limitPool, OutputTokens: limitOutput}}}); err != nil {
		return "", err
	}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", err
	}
	ctx, cancel := context.WithCancel(ctx)
	rig.simulate.Go(func() { _ = rig.sim.Serve(ctx, listener) })
	rig.closers = append(rig.closers, func() { cancel(); rig.simulate.Wait() })
	return listener.Addr().String(), nil
}

// terms are an alliance of one pool with a plan for every kind.
func (rig *limitRig) terms(kinds []limitKind) (*alliance.Alliance, []gateway.Key, error) {
	var begin alliance.Date
	if err := begin.UnmarshalText([]byte("2000-01-01")); err != nil {
		return nil, nil, err
	}
	term := alliance.Term{From: begin}
	rates := alliance.Rates{Input: 5 * money.Micro, Output: 20 * money.Micro}
	a := &alliance.Alliance{
		Version: 1, Title: "The test of limits", Operator: "op", Currency: "USD", Hash: strings.Repeat("0", 64),
		Parties: []alliance.Party{{ID: "op"}}, Channels: []alliance.Channel{{ID: "api", Party: "op"}},
		Models:    []alliance.Model{{ID: "m", Owner: "op", Version: "1", Kind: "chat"}},
		Contracts: []alliance.Contract{{ID: "payg", Provider: "op", Shape: alliance.PayPerUse, Term: term}},
		Pools:     []alliance.Pool{{ID: limitPool, Provider: "op", Contract: "payg", BilledBy: alliance.BilledByToken, MaxInFlight: limitBurst, Models: []alliance.PoolModel{{Model: "m"}}, Endpoint: alliance.Endpoint{Dialect: "openai"}}},
		Prices:    []alliance.Price{{ID: "cost", Pools: []alliance.PoolID{limitPool}, Model: "m", Term: term, List: rates}},
		Rights:    []alliance.Right{{ID: "all", Object: alliance.StatelessAPI, Models: []alliance.ModelID{"m"}, Channel: "api", Mode: alliance.NonExclusive, Term: term, Known: begin}},
	}
	var keys []gateway.Key
	for _, k := range append(kinds, limitKind{plan: "open"}) {
		a.Plans = append(a.Plans, alliance.Plan{ID: k.plan, Seller: "op", Subject: "key", Models: []alliance.ModelID{"m"}, Limits: k.limits, DefaultOutputTokens: limitOutput, Price: &alliance.SalePrice{ID: alliance.PriceID("sale-" + k.plan), Rates: rates}})
		secret, sum, err := NewSecret("doctor-")
		if err != nil {
			return nil, nil, err
		}
		rig.keys[k.plan] = secret
		keys = append(keys, gateway.Key{Tenant: "t", Key: alliance.Key{ID: alliance.KeyID(k.plan), SHA256: sum, Plan: k.plan, Channel: "api", Territory: "US"}})
	}
	return a.Build(), keys, nil
}

func (rig *limitRig) close() {
	for i := len(rig.closers) - 1; i >= 0; i-- {
		rig.closers[i]()
	}
}

func (rig *limitRig) clock() time.Time {
	rig.mu.Lock()
	defer rig.mu.Unlock()
	return rig.now
}

// keptAnswer is a response that is kept in memory.
type keptAnswer struct {
	header http.Header
	status int
	body   bytes.Buffer
}

// Header is the answer's header.
func (k *keptAnswer) Header() http.Header { return k.header }

// WriteHeader keeps the status.
func (k *keptAnswer) WriteHeader(status int) { k.status = status }

// Write keeps the body.
func (k *keptAnswer) Write(b []byte) (int, error) { return k.body.Write(b) }

// ask sends one request of a plan's key.
func (rig *limitRig) ask(ctx context.Context, plan alliance.PlanID) *keptAnswer {
	body := fmt.Sprintf(`{"model":"m","max_tokens":%d,"messages":[{"role":"user","content":"a"}]}`, limitOutput)
	k := &keptAnswer{header: http.Header{}}
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, "/v1/chat/completions", strings.NewReader(body))
	if err != nil {
		k.status = http.StatusInternalServerError
		return k
	}
	r.Header.Set("Authorization", "Bearer "+rig.keys[plan])
	rig.gateway.ServeHTTP(k, r)
	return k
}

// drive sends a burst and then one request after the other, until the limit
// has bitten, and says what is wrong with that; empty: nothing.
func (rig *limitRig) drive(k limitKind) (problem string) {
	var wait sync.WaitGroup
	answers := make(chan *keptAnswer, limitBurst)
	for range limitBurst {
		wait.Go(func() { answers <- rig.ask(context.Background(), k.plan) })
	}
	wait.Wait()
	close(answers)
	served, refused := 0, 0
	var used usage.Vector
	var spent money.Amount
	note := func(x *keptAnswer) (problem string) {
		switch x.status {
		case http.StatusOK:
			served++
			u, err := usageIn(x.body.Bytes())
			if err != nil {
				return err.Error()
			}
			used = used.Add(u)
			spent += rating.Ceil(alliance.Rates{Input: 5 * money.Micro, Output: 20 * money.Micro}, u)
		case http.StatusTooManyRequests:
			refused++
			if x.header.Get("Retry-After") == "" {
				return "a refusal has no Retry-After"
			}
		default:
			return fmt.Sprintf("status %d: %s", x.status, clipText(x.body.String()))
		}
		return ""
	}
	for x := range answers {
		if problem := note(x); problem != "" {
			return problem
		}
	}
	for i := 0; i < limitBurst && served < limitBurst; i++ {
		if problem := note(rig.ask(context.Background(), k.plan)); problem != "" {
			return problem
		}
	}
	is, limit := k.most(served, used, spent)
	switch {
	case is > limit:
		return fmt.Sprintf("%d were let through, the limit is %d", is, limit)
	case refused == 0:
		return fmt.Sprintf("all of %d requests were let through", served)
	case served < limitMinimum:
		return "nothing at all was let through"
	}
	rig.mu.Lock()
	rig.now = rig.now.Add(k.period)
	rig.mu.Unlock()
	if x := rig.ask(context.Background(), k.plan); x.status != http.StatusOK {
		return fmt.Sprintf("%s later it still refuses: status %d", k.period, x.status)
	}
	return ""
}

// driveInFlight fills the pool with requests that do not end.
func (rig *limitRig) driveInFlight() (problem string) {
	stall := &upstreamsim.Script{Rules: []upstreamsim.Rule{{Action: upstreamsim.Action{StallFirstByte: limitTime}}}}
	if err := rig.sim.SetScript(stall); err != nil {
		return err.Error()
	}
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	var wait sync.WaitGroup
	for range limitBurst {
		wait.Go(func() { rig.ask(ctx, "open") })
	}
	busy := func() (n int64) {
		rig.gateway.WithRouter(func(r *route.Router) {
			for _, p := range r.Pools(rig.clock()) {
				n += p.InFlight
			}
		})
		return n
	}
	for end := time.Now().Add(limitTime / 4); busy() < limitBurst && time.Now().Before(end); {
		time.Sleep(time.Millisecond)
	}
	short, stop := context.WithTimeout(ctx, time.Second)
	x := rig.ask(short, "open")
	stop()
	cancel()
	wait.Wait()
	if x.status != http.StatusServiceUnavailable || x.header.Get("Retry-After") == "" {
		return fmt.Sprintf("with %d requests under way one more has status %d", limitBurst, x.status)
	}
	if err := rig.sim.SetScript(&upstreamsim.Script{}); err != nil {
		return err.Error()
	}
	if x := rig.ask(context.Background(), "open"); x.status != http.StatusOK {
		return fmt.Sprintf("after they have ended one has status %d", x.status)
	}
	return ""
}

func usageIn(body []byte) (u usage.Vector, err error) {
	var answer struct {
		Usage struct {
			Prompt     int64 `json:"prompt_tokens"`
			Completion int64 `json:"completion_tokens"`
		} `json:"usage"`
	}
	if err := json.Unmarshal(body, &answer); err != nil {
		return u, fmt.Errorf("an answer cannot be read: %w", err)
	}
	return usage.Vector{UncachedInput: answer.Usage.Prompt, Output: answer.Usage.Completion}, nil
}

func clipText(s string) string { return s[:min(len(s), 200)] }
