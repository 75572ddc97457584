package route

import (
	"fmt"
	"math"
	"slices"
	"testing"
	"time"

	"github.com/accordo-ai/accordo/internal/alliance"
	"github.com/accordo-ai/accordo/internal/money"
	"github.com/accordo-ai/accordo/internal/record"
)

// wide is an alliance where m may be served by n pools, half of them with
// capacity, while others serve something else or may not serve at all.
func wide(n, ineligible int) *alliance.Alliance {
	a := trio()
	base := a.Pools
	a.Pools = nil
	a.Prices = nil
	for i := range n {
		p := base[i%2*2]
		p.ID, p.MaxInFlight = alliance.PoolID(fmt.Sprintf("pool-%04d", i)), 1<<20
		if p.Chips > 0 {
			p.Chips = 1_000_000
		}
		a.Pools = append(a.Pools, p)
		a.Prices = append(a.Prices, alliance.Price{ID: alliance.PriceID(fmt.Sprintf("price-%d", i)), Pools: []alliance.PoolID{p.ID}, Model: "m", Term: term("2026-01-01", ""), List: alliance.Rates{Output: money.Amount(1000+i) * 1000}})
	}
	a.Contracts[0].Ramp = nil
	for i := range ineligible {
		p := base[i%2*2]
		p.ID = alliance.PoolID(fmt.Sprintf("not-%04d", i))
		if i%2 == 0 {
			p.Models = []alliance.PoolModel{{Model: "other"}}
		} else {
			p.Contract = "ended"
		}
		a.Pools = append(a.Pools, p)
	}
	a.Contracts = append(a.Contracts, alliance.Contract{ID: "ended", Shape: alliance.PayPerUse, Term: term("2020-01-01", "2021-01-01")})
	return a.Build()
}

// median runs f in batches short enough to fall between two turns of other
// processes, and returns the median batch's time per call in nanoseconds.
func median(b *testing.B, f func()) float64 {
	const batch = 50
	var times []float64
	for b.Loop() {
		begin := time.Now()
		for range batch {
			f()
		}
		times = append(times, float64(time.Since(begin))/batch)
	}
	slices.Sort(times)
	p50 := times[len(times)/2]
	b.ReportMetric(p50, "p50_ns")
	b.ReportMetric(times[len(times)/20], "p5_ns")
	b.ReportMetric(0, "ns/op")
	return p50
}

func BenchmarkDecide(b *testing.B) {
	perOp := map[string]float64{}
	run := func(name string, n, ineligible int, against, metric string) {
		b.Run(name, func(b *testing.B) {
			r := New(wide(n, ineligible), noon)
			q := ask(10)
			q.Buffer = make([]record.Considered, n)
			var id Reservation
			decide := func() { id = r.Decide(noon, q, 1).Reservation }
			perOp[name] = median(b, func() {
				decide()
				r.Observe(noon, Outcome{Reservation: id})
			})
			if n := testing.AllocsPerRun(100, func() { decide(); r.Observe(noon, Outcome{Reservation: id}) }); n > 0 {
				b.Fatalf("%v allocations", n)
			}
			if x := perOp[against]; x > 0 {
				b.ReportMetric(perOp[name]/x, metric)
			}
		})
	}
	run("pools=8", 8, 0, "", "")
	run("pools=8/ineligible=5000", 8, 5000, "pools=8", "ratio_to_none")
	run("pools=60", 60, 0, "pools=8", "ratio_to_8")
	b.Run("greedy/pools=60", func(b *testing.B) {
		r := New(wide(60, 0), noon)
		r.Decide(noon, ask(10), 1)
		s := r.sets[r.order[0]]
		found := 0
		x := median(b, func() { found += r.greedy(s, 10) })
		if found == 0 {
			b.Fatal("nothing was chosen")
		}
		b.ReportMetric(perOp["pools=60"]/x, "ours_to_greedy")
	})
}

// greedy is today's practice over the same candidates: the cheapest by list
// price with room, without shadow prices, health, records or bookings.
func (r *Router) greedy(s *set, out float64) int {
	best, least := 0, math.Inf(1)
	for i := range s.candidates {
		c := &s.candidates[i]
		p := c.pool
		if x := c.priceOut * out * p.margin; x < least && (c.kind != committed || c.takes(0, out) <= p.left) {
			best, least = i+1, x
		}
	}
	return best
}

func BenchmarkResolve(b *testing.B) {
	f := newFamily(1, 1.1, 1, 2)
	at := date("2026-05-01").Time
	r := New(f.terms, at)
	q := Request{Plan: "plan", Channel: "api", Output: familyTokens}
	list, _ := f.arrivals(0)
	for i, x := range list[:200] {
		q.Model = f.terms.Models[x.class].ID
		r.Decide(at, &q, uint64(i))
	}
	for b.Loop() {
		for i := range r.pools {
			r.pools[i].mu = 0
		}
		r.learnedAt = at.UnixNano() - int64(Window)/6
		for i := range r.order {
			r.sets[r.order[i]].classes[0].count += 10
		}
		r.Resolve(at, nil)
	}
	b.ReportMetric(float64(len(f.use)), "classes")
	b.ReportMetric(familyPools, "pools")
}
