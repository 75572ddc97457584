package route

import (
	"container/heap"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/accordo-ai/accordo/internal/alliance"
)

// served is when a request ends, and whether its provider took it.
type served struct {
	at    time.Time
	d     Decision
	taken bool
}

type ends []served

func (e ends) Len() int           { return len(e) }
func (e ends) Less(i, j int) bool { return e[i].at.Before(e[j].at) }
func (e ends) Swap(i, j int)      { e[i], e[j] = e[j], e[i] }
func (e *ends) Push(x any)        { *e = append(*e, x.(served)) }
func (e *ends) Pop() any {
	last := (*e)[len(*e)-1]
	*e = (*e)[:len(*e)-1]
	return last
}

// goodput offers requests at a steady rate to a pool whose provider takes
// fewer at once than its terms say, as takes tells, and returns how many were
// served.
func goodput(t *testing.T, perSecond int, takes func(since time.Duration) int, latency, retryAfter, lasts time.Duration) (count int) {
	t.Helper()
	a := trio()
	a.Pools = a.Pools[2:]
	a.Pools[0].MaxInFlight = 400
	a = a.Build()
	r := New(a, noon)
	busy := 0
	var queue ends
	finish := func(until time.Time) {
		for len(queue) > 0 && !queue[0].at.After(until) {
			x := heap.Pop(&queue).(served)
			o := Outcome{Reservation: x.d.Reservation, Pool: x.d.Pool.ID, Served: x.taken}
			if x.taken {
				busy--
				count++
			} else {
				o.Failure, o.RetryAfter = FailureRateLimited, retryAfter
			}
			r.Observe(x.at, o)
		}
	}
	gap := time.Second / time.Duration(perSecond)
	for now := noon; now.Before(noon.Add(lasts)); now = now.Add(gap) {
		finish(now)
		d := r.Decide(now, ask(10), 1)
		if d.Pool == nil {
			continue
		}
		if busy < takes(now.Sub(noon)) {
			busy++
			heap.Push(&queue, served{now.Add(latency), d, true})
		} else {
			heap.Push(&queue, served{now.Add(2 * time.Millisecond), d, false})
		}
	}
	return count
}

// A provider that says 429 above what it takes at once is used to at least
// nine tenths, however much more is asked of it.
func TestOverload_GoodputStaysAtThreeTimesTheCapacity(t *testing.T) {
	const takes, latency, lasts = 40, 100 * time.Millisecond, 2 * time.Minute
	for _, c := range []struct {
		name       string
		retryAfter time.Duration
	}{
		{"retry after a second", time.Second},
		{"no hint", 0},
		{"retry after 120 ms", 120 * time.Millisecond},
	} {
		t.Run(c.name, func(t *testing.T) {
			peak := int(int64(takes) * int64(lasts/latency)) // every place taken all the time
			for _, times := range []int{2, 3, 6} {
				got := goodput(t, takes*10*times, func(time.Duration) int { return takes }, latency, c.retryAfter, lasts)
				if got < peak*9/10 {
					t.Errorf("%d served at %d times the capacity, %d are possible", got, times, peak)
				}
			}
		})
	}
}

// A provider that takes half as many as it did, and later as many again, is
// found out both times.
func TestOverload_AProviderThatTakesFewerForAWhile(t *testing.T) {
	const latency, lasts = 100 * time.Millisecond, 6 * time.Minute
	takes := func(since time.Duration) int {
		if since >= 2*time.Minute && since < 4*time.Minute {
			return 20
		}
		return 40
	}
	got, possible := goodput(t, 1200, takes, latency, time.Second, lasts), (400+200+400)*120
	if got < possible*85/100 {
		t.Errorf("%d served, %d are possible", got, possible)
	}
}

func TestPressure_RisesAgainAndForgetsNothingElse(t *testing.T) {
	at := noon.UnixNano()
	var p pressure
	after := func(d time.Duration) int64 { return p.most(at+int64(d), 64) }
	if got := after(0); got != 64 {
		t.Errorf("without a 429 %d may be under way", got)
	}
	p.full(at, 30, time.Minute, false)
	if got := after(0); got != 64 {
		t.Errorf("a spent minute set a ceiling of %d", got)
	}
	p.full(at, 30, time.Second, false)
	for range 10 {
		p.full(at, 0, time.Second, true)
	}
	for _, c := range []struct {
		after time.Duration
		most  int64
	}{{0, 18}, {ceilingTime, 20}, {2 * ceilingTime, 22}, {3 * ceilingTime, 36}, {5 * ceilingTime, 64}} {
		if got := after(c.after); got != c.most {
			t.Errorf("after %s %d may be under way, want %d", c.after, got, c.most)
		}
	}
	for range ceilingBursts + 1 {
		p.full(at, 1, 0, false)
	}
	if got := after(0); got != 1 {
		t.Errorf("a pool that takes nothing beside one is left with %d, want the one that finds out", got)
	}
}

// What a 429 is taken to mean depends on what the provider has taken.
func TestPressure_HeedsWhatWasNotTakenBefore(t *testing.T) {
	at := noon.UnixNano()
	for _, c := range []struct {
		name  string
		teach func(p *pressure)
		want  int64
	}{
		{"nothing else was under way", func(p *pressure) { p.full(at, 0, 0, false) }, 64},
		{"as many were taken", func(p *pressure) { p.took(30); p.full(at, 30, 0, false) }, 64},
		{"the rest of a burst that said nothing", func(p *pressure) { p.took(30); p.full(at, 30, 0, false); p.full(at, 60, 0, true) }, 64},
		{"more than were taken", func(p *pressure) { p.took(29); p.full(at, 30, 0, false) }, 27},
		{"as many were taken some bursts ago", func(p *pressure) {
			p.took(30)
			for range ceilingBursts {
				p.full(at, 30, 0, false)
			}
		}, 64},
		{"as many were taken too many bursts ago", func(p *pressure) {
			p.took(30)
			for range ceilingBursts + 1 {
				p.full(at, 30, 0, false)
			}
		}, 27},
	} {
		t.Run(c.name, func(t *testing.T) {
			var p pressure
			if c.teach(&p); p.most(at, 64) != c.want {
				t.Errorf("%d may be under way, want %d", p.most(at, 64), c.want)
			}
		})
	}
}

// lottery is a closed loop of clients over pools that refuse by chance, however
// few requests are under way. It returns how many requests were served, and how
// many found every pool full.
func lottery(clients int, refused float64, retryAfter, lasts time.Duration) (count, full int) {
	const rest = 20 * time.Millisecond
	a := trio()
	a.Pools = a.Pools[1:]
	r, rng := New(a.Build(), noon), rand.New(rand.NewPCG(1, 2))
	var queue ends
	next := func(now time.Time) {
		d := r.Decide(now, ask(10), rng.Uint64())
		x := served{now.Add(time.Duration(50+rng.IntN(250)) * time.Millisecond), d, true}
		switch {
		case d.Pool == nil:
			x.at = now.Add(d.RetryAfter)
			full++
		case rng.Float64() < refused:
			x.at, x.taken = now.Add(5*time.Millisecond), false
		default:
			count++
		}
		heap.Push(&queue, x)
	}
	for i := range clients {
		next(noon.Add(time.Duration(i) * time.Millisecond))
	}
	for now := noon; now.Before(noon.Add(lasts)); {
		x := heap.Pop(&queue).(served)
		if now = x.at; x.d.Pool != nil {
			o := Outcome{Reservation: x.d.Reservation, Pool: x.d.Pool.ID, Served: x.taken}
			if !x.taken {
				o.Failure, o.RetryAfter = FailureRateLimited, retryAfter
			}
			r.Observe(now, o)
		}
		next(now.Add(rest))
	}
	return count, full
}

// A provider that refuses some requests whatever is under way is not full: all
// of what it may have under way stays in use.
func TestPressure_RefusalsByChanceAreNoCeiling(t *testing.T) {
	const lasts = 5 * time.Minute
	for _, c := range []struct {
		name       string
		clients    int
		refused    float64
		retryAfter time.Duration // in which the pool is left alone
	}{
		{"few clients", 4, 0.02, 50 * time.Millisecond},
		{"as the soak has them", 16, 0.02, 50 * time.Millisecond},
		{"seldom", 16, 0.001, time.Second},
		{"often", 16, 0.1, time.Millisecond},
		{"many clients", 150, 0.02, time.Millisecond},
	} {
		t.Run(c.name, func(t *testing.T) {
			most, _ := lottery(c.clients, 0, 0, lasts)
			got, full := lottery(c.clients, c.refused, c.retryAfter, lasts)
			if got < most*9/10 {
				t.Errorf("%d served, %d where nothing is refused; %d found every pool full", got, most, full)
			}
		})
	}
}

// Plans of a lower priority leave room for those of a higher one, and only
// where there are such plans.
func TestPriority_LeavesRoom(t *testing.T) {
	for _, c := range []struct {
		name                        string
		basic, fast                 string
		wantBasic, wantMoreWithFast int
	}{
		{"no priorities", "", "", 100, 0},
		{"all alike", alliance.Background, alliance.Background, 100, 0},
		{"standard beside critical", "", alliance.Critical, 90, 10},
		{"background beside standard", alliance.Background, "", 80, 20},
		{"background beside critical", alliance.Background, alliance.Critical, 80, 20},
		{"critical itself", alliance.Critical, alliance.Background, 100, 0},
	} {
		t.Run(c.name, func(t *testing.T) {
			a := trio()
			a.Pools = a.Pools[2:]
			plans := []alliance.Plan{}
			for _, p := range a.Plans {
				switch p.ID {
				case "basic":
					p.Priority = c.basic
				case "fast":
					p.Priority = c.fast
				default:
					continue
				}
				plans = append(plans, p)
			}
			a.Plans = plans
			r := New(a.Build(), noon)
			fill := func(plan alliance.PlanID) (n int) {
				for {
					q := ask(1)
					q.Plan = plan
					d := r.Decide(noon, q, 1)
					if d.Pool == nil {
						if d.Reason != Full || d.RetryAfter <= 0 {
							t.Errorf("refused because of %s, try again in %s", d.Reason, d.RetryAfter)
						}
						return n
					}
					n++
				}
			}
			if got := fill("basic"); got != c.wantBasic {
				t.Errorf("basic filled %d, want %d", got, c.wantBasic)
			}
			if got := fill("fast"); got != c.wantMoreWithFast {
				t.Errorf("fast filled %d more, want %d", got, c.wantMoreWithFast)
			}
		})
	}
}

// A clock that steps back neither keeps a pool closed nor its window spent.
func TestClock_StepBackKeepsNoPoolOut(t *testing.T) {
	a := trio()
	a.Pools = a.Pools[:1]
	a.Plans[0].Residency = nil
	r := New(a.Build(), noon)
	_, d := take(t, r, noon, ask(100*60)) // all of the window
	r.Observe(noon, Outcome{Reservation: d.Reservation, Pool: d.Pool.ID, Served: true})
	if got, _ := take(t, r, noon, ask(100*60)); got != Full {
		t.Fatalf("%s, want a full pool", got)
	}
	before := noon.Add(-time.Hour)
	id, d := take(t, r, before, ask(1))
	if id != "rack" {
		t.Fatalf("an hour before: %s", id)
	}
	r.Observe(before, Outcome{Reservation: d.Reservation, Pool: d.Pool.ID, Failure: FailureRateLimited, RetryAfter: time.Minute})
	if got, _ := take(t, r, before, ask(1)); got != Full {
		t.Fatalf("%s, want a pool that said 429", got)
	}
	earlier := before.Add(-24 * time.Hour)
	if got, _ := take(t, r, earlier, ask(1)); got != Full {
		t.Errorf("a day before that: %s, want what the provider said to be obeyed", got)
	}
	if got, _ := take(t, r, earlier.Add(maxRetryAfter), ask(1)); got != "rack" {
		t.Errorf("after the longest wait: %s", got)
	}
}
