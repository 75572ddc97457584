//go:build linux

package main

import (
	"context"
	"fmt"
	"math/rand/v2"
	"path/filepath"
	"time"

	"github.com/accordo-ai/accordo/examples"
	"github.com/accordo-ai/accordo/internal/alliance"
	"github.com/accordo-ai/accordo/internal/alliance/file"
	"github.com/accordo-ai/accordo/internal/journal"
	"github.com/accordo-ai/accordo/internal/record"
	"github.com/accordo-ai/accordo/internal/usage"
)

// nodeID names the journal that the traffic is written to.
const nodeID = "beaf000000000000000000000000beaf"

// began is the first instant of the traffic: contracts of the example are in
// force.
var began = time.Date(2026, 6, 1, 0, 0, 0, 0, time.UTC)

func example() (*alliance.Alliance, error) {
	a, _, err := file.LoadFS(examples.FS, "openai-amazon/alliance.yaml", "examples")
	return a, err
}

// offer is one way in which the terms let a request be served.
type offer struct{ pool, contract, model, price string }

// sold is one way in which they let it be sold.
type sold struct{ plan, price, channel string }

// traffic writes made-up attempts over the example's terms into a journal, on
// a clock of its own. The same seed gives the same records.
type traffic struct {
	terms   string
	journal *journal.Journal
	random  *rand.Rand
	offers  []offer
	sales   []sold
	tenants int
	now     time.Time
	step    time.Duration
	made    int
}

// newTraffic opens a journal in dir for traffic of so many customers over so many
// of the ways to serve (0: all), whose attempts are step apart.
func newTraffic(dir string, a *alliance.Alliance, tenants, ways int, step time.Duration) (*traffic, error) {
	t := &traffic{terms: a.Hash, random: rand.New(rand.NewPCG(1, 2)), tenants: tenants, now: began, step: step}
	priced := map[string]string{}
	for i := range a.Prices {
		p := &a.Prices[i]
		for _, pool := range p.Pools {
			if p.Holds(began) {
				priced[string(pool)+"/"+string(p.Model)] = string(p.ID)
			}
		}
	}
	version := map[alliance.ModelID]string{}
	for i := range a.Models {
		version[a.Models[i].ID] = a.Models[i].Version
	}
	for i := range a.Pools {
		p := &a.Pools[i]
		for j := range p.Models {
			m := p.Models[j].Model
			t.offers = append(t.offers, offer{string(p.ID), string(p.Contract), string(m) + "@" + version[m], priced[string(p.ID)+"/"+string(m)]})
		}
	}
	if ways > 0 && ways < len(t.offers) {
		every := len(t.offers) / ways
		for i := range ways {
			t.offers[i] = t.offers[i*every]
		}
		t.offers = t.offers[:ways]
	}
	for i := range a.Plans {
		s := sold{plan: string(a.Plans[i].ID), channel: "openai-api"}
		if p := a.Plans[i].Price; p != nil {
			s.price = string(p.ID)
		}
		t.sales = append(t.sales, s)
	}
	var err error
	t.journal, _, err = journal.Open(filepath.Join(dir, "journal"), journal.Options{Node: nodeID, Now: func() time.Time { return t.now }})
	if err != nil {
		return nil, err
	}
	_, err = t.journal.Start(context.Background(), "bench", t.terms)
	return t, err
}

// zipf picks one of n, the first most often: traffic is never even.
func (t *traffic) zipf(n int) int {
	return int(float64(n) * t.random.Float64() * t.random.Float64())
}

// serve journals n attempts with their outcomes, ten of them in flight at
// once: one in 200 is suspense, one in 100 is not billed.
func (t *traffic) serve(ctx context.Context, n int) error {
	type flying struct {
		seq uint64
		id  record.AttemptID
	}
	var air []flying
	for i := 0; i < n || len(air) > 0; i++ {
		if i < n {
			in := t.intent()
			seq, err := t.journal.Intent(ctx, in)
			if err != nil {
				return err
			}
			air = append(air, flying{seq, in.Attempt})
		}
		if i < n && len(air) < 10 {
			continue
		}
		k := t.random.IntN(len(air))
		if _, err := t.journal.Outcome(ctx, t.outcome(air[k].seq, air[k].id)); err != nil {
			return err
		}
		air[k] = air[len(air)-1]
		air = air[:len(air)-1]
	}
	return nil
}

func (t *traffic) intent() *record.Intent {
	t.made++
	t.now = t.now.Add(t.step)
	tenant := t.zipf(t.tenants)
	o, s := t.offers[t.zipf(len(t.offers))], t.sales[tenant%len(t.sales)]
	request := fmt.Sprintf("req_%016x%016x", t.random.Uint64(), t.random.Uint64())
	return &record.Intent{
		Attempt: record.AttemptID(fmt.Sprintf("%016x%016x", t.random.Uint64(), t.random.Uint64())), Request: request, Number: 1, Decision: uint64(t.made), Terms: t.terms,
		Tenant: fmt.Sprintf("tenant-%03d", tenant), Key: "key-1", Plan: s.plan, SalePrice: s.price, Channel: s.channel, Territory: "US",
		Model: o.model, Pool: o.pool, Contract: o.contract, Right: "R-any", CostPrice: o.price, Estimate: usage.Vector{UncachedInput: 900, Output: 400}, Stream: true,
		Considered: []record.Considered{{Pool: o.pool, Verdict: record.Chosen, Cost: 412_000, Price: 412_000}, {Pool: "aws-iad-h200", Verdict: record.Dearer, Cost: 590_000, Price: 590_000}},
	}
}

func (t *traffic) outcome(intent uint64, id record.AttemptID) *record.Outcome {
	o := &record.Outcome{
		Attempt: id, Intent: intent, Observation: intent, Status: record.Served, Tier: "default", Upstream: "chatcmpl-" + string(id[:12]), Version: "2026-01",
		Usage: usage.Vector{UncachedInput: int64(t.random.IntN(5000)), CacheRead: int64(t.random.IntN(3000)), Output: int64(t.random.IntN(900))}, TTFT: 210_000_000, Duration: 1_900_000_000,
	}
	switch n := t.random.IntN(200); {
	case n == 0:
		o.Status, o.Usage, o.Reason = record.Suspense, usage.Vector{}, "client_left"
	case n < 3:
		o.Status, o.Usage, o.Reason = record.Unserved, usage.Vector{}, "connection_refused"
	}
	return o
}
