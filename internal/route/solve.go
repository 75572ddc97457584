package route

import (
	"math"
	"time"
)

// The constants of the solve, as shares: smoothing of choices in units of the
// overflow's cost, the highest price in units of a pool's scale, and when a
// gradient counts as zero in units of the capacity left.
const (
	smoothing    = 0.02
	ceiling      = 1.5
	tolerance    = 0.004
	ridge        = 1e-3 // added to the Hessian's diagonal, in units of supply
	maxSteps     = 25
	maxBacktrack = 12
	denseLimit   = 256 // pools in one market beyond which only the diagonal of the Hessian is used
)

// solver is the scratch of a solve; nothing in it outlives one. A market is a
// set of pools and classes that no candidate connects to others; each is
// solved alone. In it the price of a pool is y in [0, ceiling], in units of
// the pool's scale.
type solver struct {
	parent  []int32 // union-find over pools
	local   []int32 // pool → variable of its market, -1: none
	members [][]demand
	market  []int32 // market of a root pool

	pools  []int32
	supply []float64 // capacity left × scale
	y, trial, gradient,
	step, hessian []float64
	free, rows []int32 // variables that may move, and variable → row of the Hessian

	classes []demand
	options []option
}

// demand is a class in a market: its options are a range of solver.options,
// and the overflow comes on top.
type demand struct {
	n, overflow, temperature float64
	first, last              int32
	root                     int32
}

// option is a committed pool for a class: its cost without the pool's price,
// its use in cost at price 1, and the share that it gets.
type option struct {
	variable  int32
	cost, use float64
	share     float64
}

// solve minimises the smoothed dual of each market over the prices of its
// pools by projected Newton steps, starting from the last prices.
func (r *Router) solve(now time.Time) {
	v := &r.solver
	v.collect(r, now)
	for _, group := range v.members {
		v.load(r, group)
		v.minimise()
		for i, p := range v.pools {
			r.pools[p].mu = v.y[i] * r.pools[p].scale
		}
	}
}

// collect lists the demand still to come and joins pools into markets. Pools
// that no demand reaches lose their price.
func (v *solver) collect(r *Router, now time.Time) {
	v.parent, v.local, v.market = grow(v.parent, len(r.pools)), grow(v.local, len(r.pools)), grow(v.market, len(r.pools))
	for i := range v.parent {
		v.parent[i], v.local[i], v.market[i] = int32(i), -1, -1
	}
	v.options, v.classes = v.options[:0], v.classes[:0]
	for i := range v.members {
		v.members[i] = v.members[i][:0]
	}
	reached := grow(v.free, len(r.pools))
	v.free = reached
	for i := range reached {
		reached[i] = 0
	}
	at := now.UnixNano()
	scales := grow(v.gradient, len(r.pools))
	v.gradient = scales
	for i := range scales {
		scales[i] = 0
	}
	for _, k := range r.order {
		s := r.sets[k]
		if len(s.classes) > 0 && s.epoch != r.epoch {
			r.fill(now, s)
		}
		for i := range s.classes {
			if c := &s.classes[i]; c.toCome > 0 {
				v.addClass(r, at, s, c, scales)
			}
		}
	}
	for i := range r.pools {
		r.pools[i].scale = scales[i]
		if scales[i] == 0 {
			r.pools[i].mu = 0
		}
	}
	n := int32(0)
	for _, d := range v.classes {
		root := v.find(d.root)
		if v.market[root] < 0 {
			v.market[root] = n
			if n++; int(n) > len(v.members) {
				v.members = append(v.members, nil)
			}
		}
		m := v.market[root]
		v.members[m] = append(v.members[m], d)
	}
	v.members = v.members[:n]
}

func (v *solver) addClass(r *Router, at int64, s *set, c *class, scales []float64) {
	d := demand{n: c.toCome, overflow: r.worth(s, c.meanIn, c.meanOut), first: int32(len(v.options)), root: -1}
	d.temperature = smoothing * d.overflow
	if d.overflow <= 0 {
		return
	}
	for j := range s.candidates {
		o := &s.candidates[j]
		p := o.pool
		use := o.useIn*c.meanIn + o.useOut*c.meanOut
		if o.kind != committed || use <= 0 {
			continue
		}
		scales[p.index] = max(scales[p.index], d.overflow/use)
		if p.left <= 0 || p.health.until > at || p.health.fullUntil > at {
			continue
		}
		price := o.marginal(p, c.meanIn, c.meanOut) + s.latency*p.ttft
		v.options = append(v.options, option{variable: p.index, cost: price, use: use})
		if d.root < 0 {
			d.root = p.index
		}
		v.parent[v.find(p.index)] = v.find(d.root)
	}
	d.last = int32(len(v.options))
	if d.root >= 0 {
		v.classes = append(v.classes, d)
	}
}

func (v *solver) find(i int32) int32 {
	for v.parent[i] != i {
		v.parent[i] = v.parent[v.parent[i]]
		i = v.parent[i]
	}
	return i
}

// load turns the options of a market into variables and costs.
func (v *solver) load(r *Router, group []demand) {
	v.classes, v.pools, v.supply, v.y = append(v.classes[:0], group...), v.pools[:0], v.supply[:0], v.y[:0]
	for i := range group {
		for j := group[i].first; j < group[i].last; j++ {
			o := &v.options[j]
			p := &r.pools[o.variable]
			if v.local[o.variable] < 0 {
				v.local[o.variable] = int32(len(v.pools))
				v.pools = append(v.pools, o.variable)
				v.supply = append(v.supply, float64(p.left)*p.scale)
				v.y = append(v.y, min(max(p.mu/p.scale, 0), ceiling))
			}
			o.use *= p.scale
			o.cost += o.use * efficiency
			o.variable = v.local[o.variable]
		}
	}
	n := len(v.pools)
	v.trial, v.gradient, v.step, v.free = grow(v.trial, n), grow(v.gradient, n), grow(v.step, n), grow(v.free, n)
}

// value returns the dual at y and, when gradient is not nil, fills it and the
// shares. It is convex in y; its gradient is supply less expected use.
func (v *solver) value(y, gradient []float64) float64 {
	f := 0.0
	for i, s := range v.supply {
		f += s * y[i]
		if gradient != nil {
			gradient[i] = s
		}
	}
	for i := range v.classes {
		d := &v.classes[i]
		options := v.options[d.first:d.last]
		least := d.overflow
		for j := range options {
			o := &options[j]
			o.share = o.cost + o.use*y[o.variable]
			least = min(least, o.share)
		}
		sum := math.Exp((least - d.overflow) / d.temperature)
		for j := range options {
			o := &options[j]
			if x := (least - o.share) / d.temperature; x > -40 {
				o.share = math.Exp(x)
				sum += o.share
			} else {
				o.share = 0
			}
		}
		f += d.n * (d.temperature*math.Log(sum) - least)
		if gradient == nil {
			continue
		}
		for j := range options {
			o := &options[j]
			o.share /= sum
			gradient[o.variable] -= d.n * o.use * o.share
		}
	}
	return f
}

func (v *solver) minimise() {
	n := len(v.pools)
	for range maxSteps {
		f := v.value(v.y, v.gradient)
		v.free = v.free[:0]
		settled := true
		for i := range n {
			g := v.gradient[i]
			if v.y[i] <= 0 && g >= 0 || v.y[i] >= ceiling && g <= 0 {
				continue
			}
			v.free = append(v.free, int32(i))
			settled = settled && math.Abs(g) <= tolerance*v.supply[i]
		}
		if settled || !v.newton() {
			return
		}
		if !v.search(f) {
			return
		}
	}
}

// search steps along v.step, shorter until the dual falls.
func (v *solver) search(f float64) bool {
	for length, tries := 1.0, 0; tries < maxBacktrack; length, tries = length*0.4, tries+1 {
		copy(v.trial, v.y)
		for i, p := range v.free {
			v.trial[p] = min(max(v.y[p]+length*v.step[i], 0), ceiling)
		}
		if v.value(v.trial[:len(v.y)], nil) < f {
			copy(v.y, v.trial)
			return true
		}
	}
	return false
}

// newton fills step for the free variables: the solution of Hessian × step =
// -gradient with a small ridge, by Cholesky, or by the diagonal alone in a
// very large market.
func (v *solver) newton() bool {
	m := len(v.free)
	dense := m <= denseLimit
	size := m
	if dense {
		size = m * m
	}
	v.hessian = grow(v.hessian, size)
	h := v.hessian
	for i := range h {
		h[i] = 0
	}
	v.rows = grow(v.rows, len(v.pools))
	rows := v.rows
	for i := range rows {
		rows[i] = -1
	}
	for i, p := range v.free {
		rows[p] = int32(i)
	}
	v.curve(h, int32(m), dense)
	for i, p := range v.free {
		d := i
		if dense {
			d = i*m + i
		}
		h[d] += ridge*v.supply[p] + math.SmallestNonzeroFloat32
		v.step[i] = -v.gradient[p]
	}
	if !dense {
		for i := range v.free {
			v.step[i] /= h[i]
		}
		return true
	}
	return cholesky(h, v.step[:m], m)
}

// curve adds the curvature of each class to the Hessian, of which only the
// diagonal is kept when it is not dense.
func (v *solver) curve(h []float64, m int32, dense bool) {
	at := func(i, j int32) int32 {
		if dense {
			return i*int32(m) + j
		}
		return i
	}
	for i := range v.classes {
		d := &v.classes[i]
		options := v.options[d.first:d.last]
		w := d.n / d.temperature
		for j := range options {
			a := &options[j]
			p := v.rows[a.variable]
			if p < 0 || a.share < 1e-9 {
				continue
			}
			h[at(p, p)] += w * a.use * a.use * a.share * (1 - a.share)
			if !dense {
				continue
			}
			for k := range j {
				b := &options[k]
				if q := v.rows[b.variable]; q >= 0 && b.share >= 1e-9 {
					x := w * a.use * b.use * a.share * b.share
					h[at(p, q)] -= x
					h[at(q, p)] -= x
				}
			}
		}
	}
}

// cholesky solves h × x = b in place for a symmetric positive h of n rows.
func cholesky(h, b []float64, n int) bool {
	for i := range n {
		for j := 0; j <= i; j++ {
			s := h[i*n+j]
			for k := range j {
				s -= h[i*n+k] * h[j*n+k]
			}
			if i != j {
				h[i*n+j] = s / h[j*n+j]
				continue
			}
			if s <= 0 {
				return false
			}
			h[i*n+i] = math.Sqrt(s)
		}
	}
	for i := range n {
		for k := range i {
			b[i] -= h[i*n+k] * b[k]
		}
		b[i] /= h[i*n+i]
	}
	for i := n - 1; i >= 0; i-- {
		for k := i + 1; k < n; k++ {
			b[i] -= h[k*n+i] * b[k]
		}
		b[i] /= h[i*n+i]
	}
	return true
}

// grow returns s with length n, keeping its array when it is large enough.
func grow[T any](s []T, n int) []T {
	if cap(s) < n {
		return make([]T, n)
	}
	return s[:n]
}
