package app

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net/http"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus/collectors"

	"github.com/accordo-ai/accordo/internal/admin"
	"github.com/accordo-ai/accordo/internal/alliance"
	"github.com/accordo-ai/accordo/internal/alliance/file"
	"github.com/accordo-ai/accordo/internal/datadir"
	"github.com/accordo-ai/accordo/internal/exchange"
	"github.com/accordo-ai/accordo/internal/gateway"
	"github.com/accordo-ai/accordo/internal/journal"
	"github.com/accordo-ai/accordo/internal/ledger"
	"github.com/accordo-ai/accordo/internal/provider/upstream"
	"github.com/accordo-ai/accordo/internal/requestlog"
	"github.com/accordo-ai/accordo/internal/route"
	"github.com/accordo-ai/accordo/internal/settle"
	"github.com/accordo-ai/accordo/internal/store/sqlite"
)

// server is everything that runs while an alliance is served.
type server struct {
	o          UpOptions
	started    time.Time
	dir        *datadir.Dir
	journal    *journal.Journal
	store      *sqlite.Store
	settler    *settle.Settler
	gateway    *gateway.Gateway
	tracer     *tracer // or nil
	meter      *meter  // or nil
	requestLog *requestlog.Log
	standIns   *standIns
	play       *player
	adminToken string
	simulated  string // why the books are not real, for people; empty: they are
	api        string // base address of the API
	fresh      []issued

	keys      atomic.Pointer[[]consoleKey]
	accesses  atomic.Pointer[[]admin.Grant]
	terms     atomic.Pointer[ledger.Terms]         // with what facts change of them
	rates     atomic.Pointer[exchange.Table]       // of exchange, as known
	folding   sync.Mutex                           // for changes of terms, by a reload or a fact
	kept      atomic.Pointer[alliance.Alliance]    // the terms that were kept last
	filed     *alliance.Alliance                   // the terms as the file states them; guarded by folding
	changes   int                                  // of contracts by facts that terms has; guarded by folding
	upstreams map[alliance.PoolID]*upstream.Client // guarded by reload, which runs in one goroutine

	booksSocket *http.Server // for commands that record facts, or nil

	accessLock sync.Mutex // between reading the accesses and changing them

	clients    atomic.Pointer[limitedListener] // of the API, once it is served
	clockWatch clockWatch

	verifying atomic.Bool // the books are being recomputed
	verified  atomic.Pointer[admin.Verification]
	found     sync.Map // number of an invoice's fact to what its import found
	margins   *margins

	running context.Context    // of the loops
	stop    context.CancelFunc // ends them
	wait    sync.WaitGroup
}

// newServer opens the data directory, recovers the journal, catches the books
// up and makes everything ready to serve. On an error all is closed again.
func newServer(ctx context.Context, o UpOptions) (s *server, err error) {
	a, err := loadTerms(o.File)
	if err != nil {
		return nil, reported(o, err)
	}
	s = &server{o: o, started: time.Now(), adminToken: o.AdminToken, margins: newMargins()}
	s.play = &player{handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { s.gateway.ServeHTTP(w, r) }), keys: func() []consoleKey { return *s.keys.Load() }}
	if s.adminToken == "" {
		if s.adminToken, _, err = NewSecret("admin-"); err != nil {
			return nil, err
		}
	}
	s.clockWatch.base = s.started.Round(0)
	defer func(made *server) {
		if err != nil {
			made.close()
		}
	}(s)
	if s.dir, err = datadir.Open(o.Data); err != nil {
		return nil, err
	}
	if err := s.takeAccesses(); err != nil {
		return nil, err
	}
	played, err := s.dir.Simulated()
	if err != nil {
		return nil, err
	}
	if played != nil {
		s.simulated = "SIMULATED: " + played.Says + "."
	}
	if s.standIns, err = startStandIns(ctx, a, o); err != nil {
		return nil, err
	}
	keys, err := s.takeTerms(a)
	if err != nil {
		return nil, err
	}
	if err := s.openBooks(ctx, a); err != nil {
		return nil, err
	}
	if err := ledger.NewTerms(a).Fits(s.settler.Balances()); err != nil {
		return nil, fmt.Errorf("the terms do not fit the books: %w", err)
	}
	a = s.fold(a)
	if err := s.startGateway(ctx, a, keys); err != nil {
		return nil, err
	}
	s.startLoops()
	s.serveBooks()
	return s, nil
}

// reported prints all faults of a file; other errors pass.
func reported(o UpOptions, err error) error {
	var faults *file.Faults
	if errors.As(err, &faults) {
		if err := file.Report(o.Out, faults); err != nil {
			return err
		}
		return ExitError{Code: ExitWrong}
	}
	return err
}

// takeTerms keeps a under its hash and completes its keys.
func (s *server) takeTerms(a *alliance.Alliance) ([]gateway.Key, error) {
	if err := s.dir.SaveTerms(a.Hash, file.Canonical(a)); err != nil {
		return nil, err
	}
	s.kept.Store(a)
	keys, fresh, err := issueKeys(a, s.dir, s.o)
	if err != nil {
		return nil, err
	}
	s.fresh = fresh
	chat, err := s.consoleKeys(a)
	if err != nil {
		return nil, err
	}
	s.fold(a)
	return append(keys, chat...), nil
}

// openBooks recovers the journal, closes what was in flight as abandoned, and
// posts what the books have not seen yet.
func (s *server) openBooks(ctx context.Context, a *alliance.Alliance) error {
	j, recovery, err := journal.Open(s.dir.Journal(), journal.Options{Node: s.dir.Node(), Durability: s.o.Durability, FS: s.o.disk})
	if err != nil {
		return err
	}
	s.journal = j
	for _, r := range recovery.Repairs {
		s.o.Log.Warn("journal repaired", "file", r.File, "offset", r.Offset, "bytes", r.Bytes, "reason", r.Reason)
	}
	if n, err := j.Abandon(ctx, recovery.Open); err != nil {
		return err
	} else if n > 0 {
		s.o.Log.Warn("requests were in flight when the last process ended; they are booked as suspense", "attempts", n)
	}
	if _, err := j.Start(ctx, s.o.Version, a.Hash); err != nil {
		return err
	}
	if s.store, err = sqlite.Open(ctx, s.dir.Books()); err != nil {
		return err
	}
	if s.settler, err = settle.New(ctx, j, s.store, s.keptTerms, s.o.Log); err != nil {
		return err
	}
	if err := s.settler.UseFacts(s.dir); err != nil {
		return err
	}
	return s.settler.CatchUp(ctx)
}

// keptTerms is termsFrom that does not read again what is in force.
func (s *server) keptTerms(hash string) (*alliance.Alliance, error) {
	if a := s.kept.Load(); a.Hash == hash {
		return a, nil
	}
	return termsFrom(s.dir)(hash)
}

// termsFrom reads kept versions of the terms.
func termsFrom(dir *datadir.Dir) settle.TermsFunc {
	return func(hash string) (*alliance.Alliance, error) {
		data, err := dir.Terms(hash)
		if err != nil {
			return nil, err
		}
		return file.Parse("terms/"+hash, data)
	}
}

func (s *server) startGateway(ctx context.Context, a *alliance.Alliance, keys []gateway.Key) error {
	now := time.Now()
	router := route.New(a, now)
	switch checkpoint, err := os.ReadFile(s.dir.RouteCheckpoint()); {
	case errors.Is(err, fs.ErrNotExist):
	case err != nil:
		return fmt.Errorf("read the router's checkpoint: %w", err)
	default:
		if err := router.Restore(checkpoint); err != nil {
			s.o.Log.Warn("the router starts cold: its checkpoint cannot be used", "error", err)
		}
	}
	rates, err := ratesOf(s.dir)
	if err != nil {
		return err
	}
	s.rates.Store(rates)
	router.SetRates(rates, now)
	s.warnOfRates(a, now)
	state, clients, err := s.state(a, keys)
	if err != nil {
		return err
	}
	s.upstreams = clients
	counts, err := s.countLimits(ctx, now)
	if err != nil {
		return err
	}
	deps := gateway.Deps{Journal: s.journal, Router: router, Quota: counts.Book(), Logger: s.o.Log}
	if s.tracer, err = newTracer(s.o.Version, s.o.Log); err != nil {
		return err
	}
	if s.tracer != nil { // a nil tracer in an interface would not be nil
		deps.Tracer = s.tracer
	}
	if s.meter, err = newMeter(s.o.Version, s.o.Log); err != nil {
		return err
	}
	if s.meter != nil {
		deps.Meter = s.meter
	}
	s.requestLog = newRequestLog(s.dir, &s.o)
	s.requestLog.Retain(retention(a))
	deps.RequestLog = requestLog{s.requestLog}
	s.gateway, err = gateway.New(deps, state)
	if err != nil {
		return err
	}
	s.gateway.Metrics().Registry().MustRegister(newCollector(s), collectors.NewGoCollector())
	s.resolve()
	return nil
}

// state makes an upstream for every pool, or says of every pool what it lacks.
// The clients are the caller's to close.
func (s *server) state(a *alliance.Alliance, keys []gateway.Key) (gateway.State, map[alliance.PoolID]*upstream.Client, error) {
	state := gateway.State{Alliance: a, Keys: keys, Upstreams: map[alliance.PoolID]gateway.Upstream{}, StandIns: map[alliance.PoolID]string{}}
	clients := map[alliance.PoolID]*upstream.Client{}
	var faults []error
	for i := range a.Pools {
		p := &a.Pools[i]
		c, says, err := s.client(p)
		if err != nil {
			faults = append(faults, fmt.Errorf("pool %s: %w", p.ID, err))
			continue
		}
		clients[p.ID], state.Upstreams[p.ID] = c, c
		if says != "" {
			state.StandIns[p.ID] = says
		}
	}
	return state, clients, errors.Join(faults...)
}

func closeAll(clients map[alliance.PoolID]*upstream.Client) {
	for _, c := range clients {
		c.Close()
	}
}

// client calls the pool's provider, or what stands in for it, as says tells.
func (s *server) client(p *alliance.Pool) (c *upstream.Client, says string, err error) {
	url, dial, says := s.standIns.endpoint(p)
	credential, err := upstream.Secret(p.Endpoint.Secret, os.Getenv)
	if err != nil {
		return nil, "", err
	}
	options := upstream.Options{URL: url, Credential: credential, Dial: dial, MaxConnections: int(p.MaxInFlight)}
	if err := endpointTLS(&p.Endpoint, &options); err != nil {
		return nil, "", err
	}
	c, err = upstream.New(options)
	return c, says, err
}

// reload checks the file again and swaps it whole, or says why not and keeps
// serving the old one.
func (s *server) reload() {
	if s.o.File == "" {
		s.o.Log.Info("nothing to reload: the built-in example is served")
		return
	}
	a, err := loadTerms(s.o.File)
	if err == nil { // the same terms too: credentials and certificates may be others
		err = s.swap(a)
	}
	if err != nil {
		var faults *file.Faults
		if errors.As(err, &faults) {
			_ = file.Report(s.o.Out, faults)
		}
		s.o.Log.Error("reload refused; the old terms stay in force", "error", err)
		return
	}
	s.o.Log.Info("reloaded", "terms", a.Hash)
}

func (s *server) swap(a *alliance.Alliance) error {
	s.folding.Lock()
	defer s.folding.Unlock()
	if err := ledger.NewTerms(a).Fits(s.settler.Balances()); err != nil {
		return fmt.Errorf("the terms do not fit the books: %w", err)
	}
	old, oldKeys, filed, changes := s.terms.Load(), s.keys.Load(), s.filed, s.changes
	keys, err := s.takeTerms(a)
	a = s.terms.Load().Alliance()
	unused := s.upstreams // calls under way go on
	if err == nil {
		var state gateway.State
		var clients map[alliance.PoolID]*upstream.Client
		if state, clients, err = s.state(a, keys); err == nil {
			err = s.gateway.Reload(state)
		}
		if err != nil {
			unused = clients
		} else {
			s.upstreams = clients
			s.requestLog.Retain(retention(a))
		}
		closeAll(unused)
	}
	if err != nil {
		s.terms.Store(old)
		s.filed, s.changes = filed, changes
		s.keys.Store(oldKeys)
		return err
	}
	s.showKeys()
	return nil
}

// close ends everything in the order of need; it may be called on a server
// that is only partly made.
func (s *server) close() {
	if s.booksSocket != nil {
		_ = s.booksSocket.Close()
	}
	if s.stop != nil {
		s.stop()
	}
	s.wait.Wait()
	if s.gateway != nil {
		s.checkpoint()
	}
	var err error
	if s.journal != nil {
		err = s.journal.Close()
	}
	if s.store != nil {
		err = errors.Join(err, s.store.Close())
	}
	closeAll(s.upstreams)
	var sent sync.WaitGroup
	if s.tracer != nil {
		sent.Go(s.tracer.close)
	}
	if s.meter != nil {
		sent.Go(s.meter.close)
	}
	sent.Wait()
	if s.standIns != nil {
		s.standIns.Close()
	}
	if s.dir != nil {
		err = errors.Join(err, s.dir.Close())
	}
	if err != nil {
		s.o.Log.Error("close", "error", err)
	}
}
