package gateway

import (
	"context"
	"log/slog"
	"net"
	"net/http"
	"sync/atomic"
	"time"

	"github.com/accordo-ai/accordo/internal/request"
)

// Limits bound what clients and providers can make the gateway do. A zero
// takes the default of the constant with the same name.
type Limits struct {
	BodyBytes    int64 // of a request
	BodyMemory   int64 // of all bodies that are larger than small; small ones may take as much again
	AnswerBytes  int64 // of a plain answer
	HeaderBytes  int   // of a request
	Concurrent   int64 // requests under way
	Attempts     int   // tries per request, the first included
	LateOutcomes int   // kept while the journal refuses them
	RetryBurst   int   // retries that may come at once, over all requests
	RetryPercent int   // retries per 100 requests in the long run
	HeaderTime   time.Duration
	PermitTime   time.Duration // that a request waits while the processors are saturated
	BodyTime     time.Duration // for a request's body to arrive
	WriteTime    time.Duration // for a client to take what is written
	FirstToken   time.Duration // from the call to the first event of a stream
	BetweenToken time.Duration // between two reads of a stream
	Total        time.Duration // of one attempt
	UsageWait    time.Duration // from the finish reason to the usage
	CutTime      time.Duration // for outcomes to be written when a drain cuts
}

// The defaults of Limits.
const (
	BodyBytes    = 20 << 20
	BodyMemory   = 192 << 20
	AnswerBytes  = 64 << 20
	HeaderBytes  = 32 << 10
	Concurrent   = 20_000
	Attempts     = request.Attempts
	LateOutcomes = Concurrent // while the journal refuses, no more come than requests are under way
	RetryBurst   = request.RetryBurst
	RetryPercent = request.RetryPercent
	HeaderTime   = 10 * time.Second
	PermitTime   = 5 * time.Second
	BodyTime     = 30 * time.Second
	WriteTime    = 30 * time.Second
	FirstToken   = 60 * time.Second
	BetweenToken = 30 * time.Second
	Total        = request.Total
	UsageWait    = 10 * time.Second
	CutTime      = 5 * time.Second
	IdleTime     = 2 * time.Minute // of a kept-alive connection
)

// MaxErrorBytes of a provider's refusal are read.
const MaxErrorBytes = 64 << 10

func (l Limits) withDefaults() Limits {
	set(&l.BodyBytes, BodyBytes)
	set(&l.BodyMemory, BodyMemory)
	set(&l.AnswerBytes, AnswerBytes)
	set(&l.HeaderBytes, HeaderBytes)
	set(&l.Concurrent, Concurrent)
	set(&l.Attempts, Attempts)
	set(&l.LateOutcomes, LateOutcomes)
	set(&l.RetryBurst, RetryBurst)
	set(&l.RetryPercent, RetryPercent)
	set(&l.HeaderTime, HeaderTime)
	set(&l.PermitTime, PermitTime)
	set(&l.BodyTime, BodyTime)
	set(&l.WriteTime, WriteTime)
	set(&l.FirstToken, FirstToken)
	set(&l.BetweenToken, BetweenToken)
	set(&l.Total, Total)
	set(&l.UsageWait, UsageWait)
	set(&l.CutTime, CutTime)
	return l
}

func set[T int | int64 | time.Duration](v *T, fallback T) {
	if *v <= 0 {
		*v = fallback
	}
}

// Server returns an http.Server for the API with its limits set, through
// which a drain reaches the requests under way.
func (g *Gateway) Server() *http.Server {
	return &http.Server{
		Handler:           g,
		ReadHeaderTimeout: g.limits.HeaderTime,
		IdleTimeout:       IdleTime,
		MaxHeaderBytes:    g.limits.HeaderBytes,
		BaseContext:       func(net.Listener) context.Context { return g.base },
		ErrorLog:          slog.NewLogLogger(g.log.Handler(), slog.LevelDebug),
	}
}

// ofRequest are the limits that package request asks for.
func (l *Limits) ofRequest() request.Limits {
	return request.Limits{Attempts: l.Attempts, Total: l.Total, RetryBurst: l.RetryBurst, RetryPercent: l.RetryPercent}
}

// tokens is the global budget of retries: each request earns a share of one,
// each retry costs one, and the burst bounds what is saved up.
type tokens struct{ level atomic.Int64 }

func (t *tokens) earn(l request.Limits) {
	for {
		v := t.level.Load()
		more := l.RetryShare(v)
		if more == 0 || t.level.CompareAndSwap(v, v+more) {
			return
		}
	}
}

// giveBack undoes a take whose retry was not sent.
func (t *tokens) giveBack() { t.level.Add(request.RetryCost) }

func (t *tokens) take() bool {
	for {
		v := t.level.Load()
		if v < request.RetryCost {
			return false
		}
		if t.level.CompareAndSwap(v, v-request.RetryCost) {
			return true
		}
	}
}
