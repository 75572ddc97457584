package app

import (
	"context"
	"fmt"
	"log/slog"
	"net"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"github.com/accordo-ai/accordo/internal/alliance"
	"github.com/accordo-ai/accordo/internal/artifact"
	"github.com/accordo-ai/accordo/internal/provider/llama"
	"github.com/accordo-ai/accordo/internal/provider/upstreamsim"
)

const (
	// standInURL marks an endpoint whose stand-in answers.
	standInURL = "stand-in:"
	// simulatedStreamRate is the speed of one simulated stream in tokens per
	// second, as fast as one reads along; the pool's shared rate is its chips'.
	simulatedStreamRate = 60
	localModel          = "local_model"
	localModelThreads   = 1 // two engine threads fight when other work wants the cores
	modelStartTime      = 60 * time.Second
	localModelQueue     = 8
)

// dialFunc connects to a stand-in in place of the network.
type dialFunc func(ctx context.Context, network, address string) (net.Conn, error)

// standIns runs what answers for pools whose provider is not called.
type standIns struct {
	log       *slog.Logger
	simulator *upstreamsim.Server
	simAddr   string
	child     *llama.Child
	// noModel says in one line why the local model does not run; the simulator
	// then answers in its place.
	noModel string
	// weights is the name of another file than the fetched one, or empty.
	weights string
	ctx     context.Context // ended by Close
	stop    context.CancelFunc
	wait    sync.WaitGroup
}

// startStandIns starts what the pools of a need. Without engine or weights
// the local model's pools are simulated, and noModel says why.
func startStandIns(ctx context.Context, a *alliance.Alliance, o UpOptions) (*standIns, error) {
	s := &standIns{log: o.Log, weights: o.Weights}
	s.ctx, s.stop = context.WithCancel(context.Background())
	var local []string // names of the models that the local model answers for
	simulated := false
	for i := range a.Pools {
		p := &a.Pools[i]
		if p.StandIn == nil || p.Endpoint.URL != standInURL {
			continue
		}
		if p.StandIn.Kind == localModel {
			local = append(local, modelNames(p)...)
		}
		simulated = simulated || p.StandIn.Kind != localModel
	}
	if len(local) > 0 {
		if err := s.startModel(ctx, o, local); err != nil {
			// Clients read the reason in a header: the client's output, paths and
			// hints after the first line are for the operator alone.
			if s.noModel, _, _ = strings.Cut(err.Error(), "\n"); s.noModel != err.Error() {
				o.Log.Warn("the local model cannot run", "error", err)
			}
			s.child = nil
			simulated = true
		}
	}
	if simulated {
		if err := s.startSimulator(a, o); err != nil {
			s.Close()
			return nil, err
		}
	}
	return s, nil
}

func (s *standIns) startModel(ctx context.Context, o UpOptions, names []string) error {
	if o.NoModel {
		return fmt.Errorf("the local model was switched off with --no-model")
	}
	manifest, err := artifact.Default()
	if err != nil {
		return err
	}
	dir := o.CacheDir
	if dir == "" {
		if dir, err = artifact.DefaultDir(); err != nil {
			return err
		}
	}
	got, err := artifact.Fetch(ctx, dir, manifest, o.Progress)
	if err != nil {
		return err
	}
	if o.Weights != "" {
		got.WeightsFile = o.Weights
	}
	child, err := llama.NewChild(llama.ChildOptions{
		Serve: llama.ServeCommand{
			Lib: got.EngineDir, Weights: got.WeightsFile, Name: names,
			Threads: localModelThreads, Slots: 1, Context: llama.DefaultContextTokens, Queue: localModelQueue, Reuse: true,
		},
		Stderr: o.ModelLog, Log: o.Log,
	})
	if err != nil {
		return err
	}
	s.child = child
	s.run(func(ctx context.Context) {
		if err := child.Run(ctx); err != nil && ctx.Err() == nil {
			s.log.Error("the local model stopped", "error", err)
		}
	})
	ready, cancel := context.WithTimeout(ctx, modelStartTime)
	defer cancel()
	return child.WaitReady(ready)
}

// run starts f, which Close ends and waits for.
func (s *standIns) run(f func(context.Context)) {
	s.wait.Add(1)
	go func() {
		defer s.wait.Done()
		f(s.ctx)
	}()
}

func (s *standIns) startSimulator(a *alliance.Alliance, o UpOptions) error {
	options := upstreamsim.Options{Logger: o.Log, InvoicePath: o.SimInvoice, RecordRequests: 0}
	for i := range a.Pools {
		if p := &a.Pools[i]; p.StandIn != nil {
			options.Pools = append(options.Pools, simulatedPool(p))
		}
	}
	server, err := upstreamsim.New(options)
	if err != nil {
		return fmt.Errorf("start the simulator: %w", err)
	}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return fmt.Errorf("start the simulator: %w", err)
	}
	s.simulator, s.simAddr = server, listener.Addr().String()
	s.run(func(ctx context.Context) {
		if err := server.Serve(ctx, listener); err != nil {
			s.log.Error("the simulator stopped", "error", err)
		}
	})
	return nil
}

// simulatedPool plays a pool at its table throughput times the declared scale.
func simulatedPool(p *alliance.Pool) upstreamsim.PoolOptions {
	options := upstreamsim.PoolOptions{
		Name: string(p.ID), MaxConcurrent: int(p.MaxInFlight), MaxQueue: int(p.MaxInFlight),
		TTFTBase:              time.Duration(p.Endpoint.TTFTMS) * time.Millisecond,
		OutputTokensPerSecond: simulatedStreamRate, Chips: int(max(p.Chips, 1)), Burst: 10 * time.Second, Scale: 1,
	}
	if p.StandIn.ScalePPM > 0 {
		options.Scale = float64(p.StandIn.ScalePPM) / 1e6
	}
	for i := range p.Models {
		options.TokensPerChipSecond = max(options.TokensPerChipSecond, float64(p.Models[i].OutputTokensPerChipSecond))
	}
	if options.TokensPerChipSecond == 0 && p.TokensPerMinute > 0 {
		options.TokensPerChipSecond, options.Chips = float64(p.TokensPerMinute)/60, 1
	}
	return options
}

// modelNames are the names that a pool's models have in its provider's API.
func modelNames(p *alliance.Pool) []string {
	var names []string
	for i := range p.Models {
		names = append(names, upstreamName(&p.Models[i]))
	}
	return names
}

func upstreamName(m *alliance.PoolModel) string {
	if m.UpstreamName != "" {
		return m.UpstreamName
	}
	return string(m.Model)
}

// endpoint returns the address of a pool, how to reach it when not over the
// network, and what stands in for it.
func (s *standIns) endpoint(p *alliance.Pool) (url string, dial dialFunc, says string) {
	switch {
	case p.StandIn == nil || p.Endpoint.URL != standInURL:
		if p.StandIn != nil {
			says = p.StandIn.Says
		}
		return p.Endpoint.URL, nil, says
	case p.StandIn.Kind == localModel && s.child != nil && s.weights != "":
		return "http://local-model/v1", s.child.Dial, filepath.Base(s.weights) + " on this machine answers instead of the model that was asked for."
	case p.StandIn.Kind == localModel && s.child != nil:
		return "http://local-model/v1", s.child.Dial, p.StandIn.Says
	case p.StandIn.Kind == localModel:
		return s.simulatedURL(p), nil, "A simulator answers with invented text, because " + s.noModel
	}
	return s.simulatedURL(p), nil, p.StandIn.Says
}

func (s *standIns) simulatedURL(p *alliance.Pool) string {
	return "http://" + s.simAddr + "/pools/" + string(p.ID) + "/v1"
}

// Close stops what was started and waits for it; it may be called again.
func (s *standIns) Close() {
	s.stop()
	s.wait.Wait()
	if s.simulator != nil {
		if err := s.simulator.Close(); err != nil {
			s.log.Error("close the simulator's invoice", "error", err)
		}
	}
}
