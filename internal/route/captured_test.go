package route

import (
	"cmp"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/accordo-ai/accordo/internal/alliance"
	"github.com/accordo-ai/accordo/internal/contract"
	"github.com/accordo-ai/accordo/internal/money"
	"github.com/accordo-ai/accordo/internal/rating"
	"github.com/accordo-ai/accordo/internal/record"
	"github.com/accordo-ai/accordo/internal/usage"
)

// family is a market drawn at random: classes with their own use of committed
// pools, overflow at a price, phases over a day, spikes that nothing announces.
type family struct {
	seed       uint64
	terms      *alliance.Alliance
	start      time.Time
	use        [][]float64 // class × pool, units of capacity; 0: not eligible
	overflow   []float64   // class: the cheapest price, units of currency
	capacity   []float64   // pool, units per window
	rate       [][]float64 // window × class
	windows    int
	perPool    float64 // requests per pool and window
	violations int
	best       float64        // bound over all on overflow
	unit       []float64      // price per unit of the first pools, where they are sold under a floor
	floors     []money.Amount // of those pools, for the time of the run
	spent      []money.Amount // on those pools by the last run
}

const (
	familyWindow  = 5 * time.Minute
	familyTokens  = 1000 // of each request
	familyClasses = 20
	familyPools   = 8
)

func newFamily(seed uint64, load, volume float64, windows int) *family {
	rnd := rand.New(rand.NewPCG(seed, 17))
	u := func(low, high float64) float64 { return low + (high-low)*rnd.Float64() }
	const surprise = 0.5
	f := &family{seed: seed, windows: windows, start: date("2026-05-01").Time}
	base := make([]float64, familyClasses)
	work := 0.0
	for k := range familyClasses {
		size := math.Exp(0.8 * rnd.NormFloat64())
		base[k] = u(20, 100) * volume
		uses := make([]float64, familyPools)
		forced := rnd.IntN(familyPools)
		for p := range uses {
			x := size * u(0.5, 2)
			if p == forced || rnd.Float64() < 0.6 {
				uses[p] = x
			}
		}
		f.use = append(f.use, uses)
		work += base[k] * size
		value, least := 0.002*size*u(0.6, 2.2), math.Inf(1)
		for o := range 4 {
			if x := value * u(0.9, 1.4); o == 0 || rnd.Float64() < 0.7 {
				least = min(least, x)
			}
		}
		f.overflow = append(f.overflow, least)
	}
	for range familyPools {
		f.capacity = append(f.capacity, work/familyPools*u(0.5, 1.5)/load)
	}
	volumeError := math.Exp(0.15 * surprise * rnd.NormFloat64())
	for w := range windows {
		row := make([]float64, familyClasses)
		for k := range row {
			x := 2 * math.Pi * (float64(w)/288 + 0.07*float64(k%5))
			row[k] = base[k] * (1 + 0.55*math.Sin(x)) * volumeError
		}
		f.rate = append(f.rate, row)
	}
	for range 3 {
		from := rnd.IntN(max(windows-18, 1))
		for range 4 {
			k := rnd.IntN(familyClasses)
			for w := from; w < min(from+18, windows); w++ {
				f.rate[w][k] *= 1 + surprise
			}
		}
	}
	for _, row := range f.rate {
		for _, x := range row {
			f.perPool += x / familyPools / float64(windows)
		}
	}
	f.terms = f.alliance()
	return f
}

// alliance writes the family down as terms: reservations with weights, and
// one overflow pool whose capacity nothing bounds.
func (f *family) alliance() *alliance.Alliance {
	term := alliance.Term{From: date("2026-01-01")}
	a := &alliance.Alliance{
		Operator: "op", Plans: []alliance.Plan{{ID: "plan", Seller: "op"}},
		Channels:  []alliance.Channel{{ID: "api", Party: "op"}},
		Rights:    []alliance.Right{{ID: "all", Object: alliance.StatelessAPI, Models: []alliance.ModelID{"*"}, Term: term, Mode: alliance.NonExclusive}},
		Contracts: []alliance.Contract{{ID: "reserved", Shape: alliance.ThroughputReserved, Term: term}, {ID: "list", Shape: alliance.PayPerUse, Term: term}},
	}
	over := alliance.Pool{ID: "overflow", Contract: "list", BilledBy: alliance.BilledByToken, MaxInFlight: 1 << 20}
	for k := range f.use {
		m := alliance.ModelID(fmt.Sprintf("m%02d", k))
		a.Models = append(a.Models, alliance.Model{ID: m, Kind: "chat", Weights: "closed"})
		a.Plans[0].Models = append(a.Plans[0].Models, m)
		over.Models = append(over.Models, alliance.PoolModel{Model: m})
		rate := money.Amount(math.Round(f.overflow[k] * 1e6 * 1e6 / familyTokens))
		a.Prices = append(a.Prices, alliance.Price{ID: alliance.PriceID("p" + m), Pools: []alliance.PoolID{"overflow"}, Model: m, Term: term, List: alliance.Rates{Output: rate}})
	}
	for p := range f.capacity {
		pool := alliance.Pool{
			ID: alliance.PoolID(fmt.Sprintf("pool%d", p)), Contract: "reserved", BilledBy: alliance.BilledByFixed, MaxInFlight: 1 << 20,
			TokensPerMinute: int64(f.capacity[p] * familyTokens / familyWindow.Minutes()),
		}
		for k := range f.use {
			if x := f.use[k][p]; x > 0 {
				pool.Models = append(pool.Models, alliance.PoolModel{Model: a.Models[k].ID, OutputWeightPPM: int64(math.Round(x * contract.UseDivisor))})
			}
		}
		if p < len(f.unit) {
			pool.Contract, pool.BilledBy = alliance.ContractID(fmt.Sprintf("floor%d", p)), alliance.BilledByToken
			c := alliance.Contract{ID: pool.Contract, Shape: alliance.SpendFloor, Term: term}
			if p < len(f.floors) {
				day := alliance.Term{From: alliance.Date{Time: f.start}, Until: alliance.Date{Time: f.start.Add(time.Duration(f.windows) * familyWindow)}}
				c.Floors = []alliance.Floor{{Term: day, Amount: f.floors[p]}}
			}
			a.Contracts = append(a.Contracts, c)
			for _, m := range pool.Models {
				a.Prices = append(a.Prices, alliance.Price{
					ID: alliance.PriceID(fmt.Sprintf("%s-%s", pool.ID, m.Model)), Pools: []alliance.PoolID{pool.ID}, Model: m.Model, Term: term,
					List: alliance.Rates{Output: money.Amount(f.unit[p] * float64(m.OutputWeightPPM) * 1e6 / familyTokens)},
				})
			}
		}
		a.Pools = append(a.Pools, pool)
	}
	a.Pools = append(a.Pools, over)
	return a.Build()
}

func date(s string) (d alliance.Date) {
	if err := d.UnmarshalText([]byte(s)); err != nil {
		panic(err)
	}
	return d
}

type arrival struct {
	at    time.Duration
	class int
}

// arrivals draws the requests of a window; the same window has the same ones.
func (f *family) arrivals(w int) (list []arrival, counts []float64) {
	rnd := rand.New(rand.NewPCG(f.seed, uint64(w)+1000))
	counts = make([]float64, familyClasses)
	for k, mean := range f.rate[w] {
		for t := rnd.ExpFloat64() / mean; t < 1; t += rnd.ExpFloat64() / mean {
			list = append(list, arrival{time.Duration(t * float64(familyWindow)), k})
			counts[k]++
		}
	}
	slices.SortFunc(list, func(a, b arrival) int { return cmp.Or(cmp.Compare(a.at, b.at), cmp.Compare(a.class, b.class)) })
	return list, counts
}

// naive is the cost of all on overflow, and bound a cost that no assignment
// can beat, integral or not, that knew every arrival: the value of the
// window's dual at the prices that the solver finds as smoothing vanishes.
func (f *family) hindsight() (naive, bound float64, requests int) {
	var v solver
	for w := range f.windows {
		_, counts := f.arrivals(w)
		v.options, v.classes = v.options[:0], v.classes[:0]
		v.supply = slices.Clone(f.capacity)
		v.pools, v.y = make([]int32, familyPools), make([]float64, familyPools)
		v.trial, v.gradient, v.step = make([]float64, familyPools), make([]float64, familyPools), make([]float64, familyPools)
		unit := 0.0
		for k, uses := range f.use {
			for _, x := range uses {
				if x > 0 {
					unit = max(unit, f.overflow[k]/x)
				}
			}
		}
		for p := range v.supply {
			v.supply[p] *= unit
		}
		for k, n := range counts {
			d := demand{n: n, overflow: f.overflow[k], first: int32(len(v.options))}
			for p, x := range f.use[k] {
				if x > 0 {
					v.options = append(v.options, option{variable: int32(p), use: x * unit})
				}
			}
			d.last = int32(len(v.options))
			v.classes = append(v.classes, d)
			naive += n * f.overflow[k]
			requests += int(n)
		}
		best := 0.0
		for _, tau := range []float64{0.05, 0.02, 0.01, 0.005, 0.002, 0.001, 0.0005, 0.0002, 0.0001} {
			for i := range v.classes {
				v.classes[i].temperature = tau * v.classes[i].overflow
			}
			v.minimise()
			best = max(best, v.dual())
		}
		bound += best
	}
	return naive, bound, requests
}

// dual is the unsmoothed dual at the solver's prices.
func (v *solver) dual() float64 {
	value := 0.0
	for i, s := range v.supply {
		value -= s * v.y[i]
	}
	for _, d := range v.classes {
		least := d.overflow
		for _, o := range v.options[d.first:d.last] {
			least = min(least, o.use*v.y[o.variable])
		}
		value += d.n * least
	}
	return value
}

// run sends the family's requests through a router and returns what the
// overflow cost. every is how often prices are set; 0 is never, which is the
// greedy of today's practice: committed pools are free until they are full.
func (f *family) run(every time.Duration) (cost float64) {
	start := f.start
	f.spent = make([]money.Amount, familyPools)
	spent := func(id alliance.ContractID) money.Amount {
		if p, ok := strings.CutPrefix(string(id), "floor"); ok {
			return f.spent[p[0]-'0']
		}
		return 0
	}
	r := New(f.terms, start)
	r.window, r.windowEnd = int64(familyWindow), 0
	r.refresh(start)
	r.roll(start.UnixNano())
	for i := range r.pools {
		r.pools[i].left = r.pools[i].capacity
		r.pools[i].setRoom()
	}
	q := Request{Plan: "plan", Channel: "api", Territory: "US", Output: familyTokens}
	q.Buffer = make([]record.Considered, 16)
	next := start
	for w := range f.windows {
		from := start.Add(time.Duration(w) * familyWindow)
		used := make([]int64, familyPools)
		list, _ := f.arrivals(w)
		for _, x := range list {
			now := from.Add(x.at)
			for every > 0 && !next.After(now) {
				r.Resolve(next, spent)
				next = next.Add(every)
			}
			q.Model = f.terms.Models[x.class].ID
			d := r.Decide(now, &q, 0)
			if i := r.index[d.Pool.ID]; i < familyPools {
				used[i] += int64(familyTokens) * d.PoolModel.OutputWeightPPM
				if d.CostPrice != "" {
					p := rating.Ceil(f.terms.Price(d.CostPrice).List, usage.Vector{Output: familyTokens})
					f.spent[i] += p
					cost += float64(p) / money.Micro
				}
			} else {
				cost += f.overflow[x.class]
			}
			r.Observe(now, Outcome{Reservation: d.Reservation, Pool: d.Pool.ID, Served: true})
		}
		for i, u := range used {
			if u > r.pools[i].capacity {
				f.violations++
			}
		}
	}
	return cost
}

// captured returns the share of the possible savings, at least, and the
// regret in units of currency per million requests, at most.
func (f *family) captured(every time.Duration) (share, regret float64) {
	naive, bound, n := f.hindsight()
	cost := f.run(every)
	f.best = bound / naive
	return (naive - cost) / (naive - bound), (cost - bound) / float64(n) * 1e6
}

func BenchmarkCaptured(b *testing.B) {
	for _, c := range []struct {
		name  string
		load  float64
		every time.Duration
	}{
		{"tight=0.8/greedy", 0.8, 0},
		{"tight=0.8/resolve=5s", 0.8, 5 * time.Second},
		{"tight=1.1/greedy", 1.1, 0},
		{"tight=1.1/resolve=15s", 1.1, 15 * time.Second},
		{"tight=1.1/resolve=5s", 1.1, 5 * time.Second},
		{"tight=1.1/resolve=2s", 1.1, 2 * time.Second},
		{"tight=1.5/greedy", 1.5, 0},
		{"tight=1.5/resolve=5s", 1.5, 5 * time.Second},
	} {
		b.Run(c.name, func(b *testing.B) {
			for b.Loop() {
				mean, worst, regret, volume, best, violations := 0.0, 1.0, 0.0, 0.0, 0.0, 0
				const seeds = 5
				for seed := range uint64(seeds) {
					f := newFamily(seed+1, c.load, 1, 288)
					share, lost := f.captured(c.every)
					mean, worst, regret, volume = mean+share/seeds, min(worst, share), regret+lost/seeds, volume+f.perPool/seeds
					violations += f.violations
					best += f.best / seeds
				}
				b.ReportMetric(100*mean, "captured_%")
				b.ReportMetric(100*worst, "worst_%")
				b.ReportMetric(regret, "regret/M")
				b.ReportMetric(volume, "req/pool/window")
				b.ReportMetric(100*best, "opt/all_overflow_%")
				b.ReportMetric(float64(violations), "violations")
			}
		})
	}
}

func TestCaptured_MoreThanGreedyAndNothingOverbooked(t *testing.T) {
	f := newFamily(11, 1.1, 1, 24)
	ours, _ := f.captured(5 * time.Second)
	greedy, _ := f.captured(0)
	if ours < 0.985 || ours < greedy || ours > 1 || f.violations != 0 {
		t.Errorf("captured %.4f, greedy %.4f, %d violations", ours, greedy, f.violations)
	}
}

// floored is the family with its first three pools sold per use under floors:
// psi times what they would sell without a floor. It returns what was missed
// of the floors beyond what giving those pools all the way could not reach
// either, and the extra cost as a share of all on overflow.
func floored(seed uint64, psi float64, every time.Duration) (shortfall, extra float64) {
	f := newFamily(seed, 1.1, 1, 288)
	rnd := rand.New(rand.NewPCG(13*seed, 1))
	for range 3 {
		f.unit = append(f.unit, 0.002*(0.35+0.5*rnd.Float64()))
	}
	run := func(floors ...money.Amount) (float64, []money.Amount) {
		f.floors = floors
		f.terms = f.alliance()
		cost := f.run(every)
		return cost, f.spent[:3]
	}
	free, sold := run()
	_, reach := run(1e15, 1e15, 1e15)
	var floors []money.Amount
	for _, s := range sold {
		floors = append(floors, money.Amount(psi*float64(s)))
	}
	cost, spent := run(floors...)
	total, missing, beyond := money.Amount(0), money.Amount(0), money.Amount(0)
	for p, floor := range floors {
		total += floor
		missing += contract.Shortfall(floor, spent[p])
		beyond += contract.Shortfall(min(floor, reach[p]), spent[p])
	}
	naive, _, _ := f.hindsight()
	return float64(beyond) / float64(total), (cost + float64(missing)/money.Micro - free) / naive
}

func BenchmarkFloors(b *testing.B) {
	for _, psi := range []float64{1, 1.15} {
		b.Run(fmt.Sprintf("floor=%gx", psi), func(b *testing.B) {
			for b.Loop() {
				mean, worst, extra := 0.0, 0.0, 0.0
				const seeds = 3
				for seed := range uint64(seeds) {
					s, x := floored(seed+1, psi, 5*time.Second)
					mean, worst, extra = mean+s/seeds, max(worst, s), extra+x/seeds
				}
				b.ReportMetric(100*mean, "shortfall_%")
				b.ReportMetric(100*worst, "worst_%")
				b.ReportMetric(100*extra, "extra/all_overflow_%")
			}
		})
	}
}
