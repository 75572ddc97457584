// Package gateway serves the OpenAI dialect: it authenticates, decodes,
// admits, routes, journals, calls, retries and relays one request after the
// other, and makes every outcome safe before a client sees a complete answer.
// It refuses to keep prompts or answers (a tenant that asks for it has its own
// hands to a request log), to rate or book anything, to choose
// pools (route does) and to reach an address that is not in the terms.
package gateway

import (
	"context"
	"errors"
	"log/slog"
	"math/rand/v2"
	"net/http"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/accordo-ai/accordo/internal/alliance"
	"github.com/accordo-ai/accordo/internal/dialect/openai"
	"github.com/accordo-ai/accordo/internal/quota"
	"github.com/accordo-ai/accordo/internal/record"
	"github.com/accordo-ai/accordo/internal/route"
)

// Journal makes intents and outcomes safe. Intent and Outcome return when
// the record is as safe as the journal's durability says.
type Journal interface {
	Intent(ctx context.Context, in *record.Intent) (uint64, error)
	Outcome(ctx context.Context, o *record.Outcome) (uint64, error)
	Refusal(r *record.Refusal)
}

// Upstream calls the provider of one pool. An error that has the methods
// Sent() bool and Cause() string says whether the provider may have seen the
// request, and why it failed.
type Upstream interface {
	Send(ctx context.Context, path, attempt, requestID string, client http.Header, body [][]byte) (*http.Response, error)
}

// Deps are what a gateway works with for its whole life.
type Deps struct {
	Journal Journal
	// Router and Quota belong to the gateway from now on: others reach them
	// through WithRouter and WithQuota, which serialise.
	Router *route.Router
	Quota  *quota.Book
	// Now, Random and Logger default to the system's.
	Now    func() time.Time
	Random func() uint64
	Logger *slog.Logger
	// ProcessorDelay is the mean time that a goroutine has waited for a
	// processor since the last call; nil asks the runtime.
	ProcessorDelay func() time.Duration
	// Limits; a zero field takes its default.
	Limits  Limits
	Metrics *Metrics
	// Tracer hears of requests and attempts; nil: nobody does.
	Tracer Tracer
	// Meter hears of attempts; nil: nobody does.
	Meter Meter
	// RequestLog keeps requests of tenants that asked for it; nil: none are.
	RequestLog RequestLog
}

// State is one version of the terms with what belongs to it. It is swapped
// as a whole.
type State struct {
	Alliance  *alliance.Alliance
	Keys      []Key
	Upstreams map[alliance.PoolID]Upstream
	// StandIns says for people what really answers for a pool, where that is
	// not its provider.
	StandIns map[alliance.PoolID]string
}

// Gateway is an http.Handler for the API.
type Gateway struct {
	journal Journal
	now     func() time.Time
	random  func() uint64
	log     *slog.Logger
	limits  Limits
	metrics *Metrics
	tracer  Tracer // or nil
	meter   Meter  // or nil
	recent  ring
	// requestLog keeps requests of tenants that asked for it; or nil.
	requestLog RequestLog
	late       late
	listed     listed

	// routing guards router and the swap of state, so that a decision and
	// the terms it was made under belong together. quotaMu guards quota. The
	// two are never held at once.
	routing sync.Mutex
	router  *route.Router
	state   atomic.Pointer[compiled]
	quotaMu sync.Mutex
	quota   *quota.Book

	calls    sync.Pool // of *call
	buffers  sync.Pool // of *[readBytes]byte
	streams  sync.Pool // of *openai.Stream
	retries  tokens
	bodies   memory
	slabs    slabs
	permits  *permits
	inFlight atomic.Int64
	draining atomic.Bool
	idle     chan struct{}
	idleOnce sync.Once
	base     context.Context
	cut      context.CancelCauseFunc
}

// New checks the state and returns a gateway. The router must have been made
// for the same alliance.
func New(d Deps, s State) (*Gateway, error) {
	if d.Journal == nil || d.Router == nil || d.Quota == nil {
		return nil, errors.New("gateway: journal, router and quota are required")
	}
	g := &Gateway{journal: d.Journal, router: d.Router, quota: d.Quota, now: d.Now, random: d.Random, log: d.Logger, limits: d.Limits.withDefaults(), metrics: d.Metrics, tracer: d.Tracer, meter: d.Meter, requestLog: d.RequestLog, idle: make(chan struct{})}
	if g.now == nil {
		g.now = time.Now
	}
	if g.random == nil {
		g.random = rand.Uint64
	}
	if g.log == nil {
		g.log = slog.New(slog.DiscardHandler)
	}
	if g.metrics == nil {
		g.metrics = NewMetrics()
	}
	g.calls.New = func() any { return new(call) }
	g.buffers.New = newReadBuffer
	g.streams.New = func() any { return new(openai.Stream) }
	if d.ProcessorDelay == nil {
		d.ProcessorDelay = processorDelay()
	}
	g.permits = newPermits(&g.limits, int64(runtime.GOMAXPROCS(0)), g.metrics.waiting, g.now, d.ProcessorDelay)
	g.retries.level.Store(g.limits.ofRequest().RetryBudget())
	g.base, g.cut = context.WithCancelCause(context.Background())
	c, err := compile(s)
	if err != nil {
		return nil, err
	}
	g.state.Store(c)
	return g, nil
}

// Reload swaps the whole state and carries the router's over by pool id. On
// an error the old state stays in force.
func (g *Gateway) Reload(s State) error {
	c, err := compile(s)
	if err != nil {
		return err
	}
	g.routing.Lock()
	defer g.routing.Unlock()
	g.router.Reload(s.Alliance, g.now())
	g.state.Store(c)
	return nil
}

// WithRouter runs f while no decision is made.
func (g *Gateway) WithRouter(f func(*route.Router)) {
	g.routing.Lock()
	defer g.routing.Unlock()
	f(g.router)
}

// WithQuota runs f while nothing is admitted or settled.
func (g *Gateway) WithQuota(f func(*quota.Book)) {
	g.quotaMu.Lock()
	defer g.quotaMu.Unlock()
	f(g.quota)
}

// Metrics are the gateway's counters.
func (g *Gateway) Metrics() *Metrics { return g.metrics }

// Ready reports whether new requests are taken, with a reason when not.
func (g *Gateway) Ready() (ok bool, why string) {
	if g.draining.Load() {
		return false, "stopping"
	}
	return true, ""
}

// errDraining is the cause of requests that are cut at the end of a drain.
var errDraining = errors.New("the gateway is stopping")

// Drain refuses new requests and waits for those under way. When ctx ends
// first they are cut with the dialect's error, and Drain waits for them to
// write their outcomes, at most Limits.CutTime. It reports how many were cut.
func (g *Gateway) Drain(ctx context.Context) (cut int64) {
	g.draining.Store(true)
	if g.inFlight.Load() == 0 {
		g.idleOnce.Do(func() { close(g.idle) })
	}
	select {
	case <-g.idle:
		return 0
	case <-ctx.Done():
	}
	cut = g.inFlight.Load()
	g.cut(errDraining)
	timer := time.NewTimer(g.limits.CutTime)
	defer timer.Stop()
	select {
	case <-g.idle:
	case <-timer.C:
	}
	return cut
}

func (g *Gateway) leave() {
	g.metrics.inFlight.Dec()
	if g.inFlight.Add(-1) == 0 && g.draining.Load() {
		g.idleOnce.Do(func() { close(g.idle) })
	}
}

// health tells a load balancer whether new requests are taken. It says
// nothing else and needs no key.
func (g *Gateway) health(w http.ResponseWriter) {
	if g.draining.Load() {
		http.Error(w, "stopping", http.StatusServiceUnavailable)
		return
	}
	_, _ = w.Write([]byte("ok\n"))
}

const (
	healthPath    = "/healthz"
	chatPath      = "/v1/chat/completions"
	embeddingPath = "/v1/embeddings"
	modelsPath    = "/v1/models"
)

// ServeHTTP serves one request.
func (g *Gateway) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if r.URL.Path == healthPath {
		g.health(w)
		return
	}
	g.metrics.inFlight.Inc()
	busy := g.inFlight.Add(1)
	defer g.leave()
	c := g.borrow(w, r)
	w.Header()["X-Request-Id"] = []string{c.ID}
	c.handle(busy)
	g.giveBack(c)
}

// handle answers the request, which is one of busy.
func (c *call) handle(busy int64) {
	g, r := c.g, c.r
	if e := g.gate(busy); e != nil {
		c.refuse(e)
		return
	}
	path := r.URL.Path
	var e *openai.Error
	switch {
	case path == chatPath || path == embeddingPath:
		if r.Method != http.MethodPost {
			e = openai.NoMethod(r.Method, path, "POST")
		}
	case path == modelsPath || strings.HasPrefix(path, modelsPath+"/"):
		if r.Method != http.MethodGet && r.Method != http.MethodHead {
			e = openai.NoMethod(r.Method, path, "GET, HEAD")
		}
	default:
		e = openai.NoPath(r.Method, path)
	}
	if e == nil {
		e = c.authenticate()
	}
	if e == nil && busy > g.limits.Concurrent*c.key.share/1e6 {
		e = openai.Server(503, "overloaded", time.Second, "The gateway is saturated and keeps what is left for plans of a higher priority than %s. Try again in a moment.", c.key.plan.ID)
	}
	if e != nil {
		c.refuse(e)
		return
	}
	switch path {
	case chatPath:
		c.Kind = openai.Chat
		c.serve()
	case embeddingPath:
		c.Kind = openai.Embedding
		c.serve()
	default:
		c.serveModels(strings.TrimPrefix(strings.TrimPrefix(path, modelsPath), "/"))
	}
}

func (g *Gateway) gate(busy int64) *openai.Error {
	switch {
	case g.draining.Load():
		return stopping()
	case busy > g.limits.Concurrent:
		return openai.Server(503, "overloaded", time.Second, "The gateway already serves %d requests, its limit. Try again in a moment.", g.limits.Concurrent)
	}
	return nil
}

func stopping() *openai.Error {
	return openai.Server(503, "stopping", 2*time.Second, "The gateway is stopping. Try again in a moment; another instance or the restarted one will answer.")
}

// requestID takes the client's id when it is sane, else makes one.
func requestID(v []string) string {
	if len(v) == 1 && len(v[0]) > 0 && len(v[0]) <= 128 && !strings.ContainsFunc(v[0], func(c rune) bool {
		return !('a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || '0' <= c && c <= '9' || c == '-' || c == '_' || c == '.' || c == ':')
	}) {
		return v[0]
	}
	return "req_" + randomID()
}

// randomID is 128 random bits in hex. It identifies, it protects nothing.
func randomID() string {
	const digits = "0123456789abcdef"
	var b [32]byte
	for i := 0; i < 32; i += 16 {
		for v, j := rand.Uint64(), i; j < i+16; j++ {
			b[j] = digits[v&15]
			v >>= 4
		}
	}
	return string(b[:])
}
