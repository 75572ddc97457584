package gateway

import (
	"context"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"pgregory.net/rapid"
)

// strain is a wait for processors that a test sets.
type strain struct {
	mu sync.Mutex
	d  time.Duration
}

func (s *strain) set(d time.Duration) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.d = d
}

func (s *strain) delay() time.Duration {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.d
}

func testPermits(longest time.Duration) (*permits, *strain) {
	s := &strain{}
	return newPermits(&Limits{Concurrent: 1000, PermitTime: longest}, 1, prometheus.NewGauge(prometheus.GaugeOpts{}), time.Now, s.delay), s
}

// counts are where the bound stands and how many are under way.
func (t *permits) counts() (bound, underWay int64) {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.bound, t.underWay
}

// takePermits begins n requests of one share; each says whether it got a permit.
func takePermits(t *permits, n int, share int64) <-chan bool {
	come := make(chan bool, n)
	for range n {
		go func() { come <- t.take(context.Background(), time.Now(), share) }()
	}
	return come
}

// pass lets time pass in which requests come and go all the time, so that the
// processors are looked at.
func pass(t *permits, d time.Duration) {
	for end := time.Now().Add(d); time.Now().Before(end); {
		time.Sleep(permitEach)
		t.mu.Lock()
		t.look(time.Now())
		t.mu.Unlock()
	}
}

func TestPermits_BoundFollowsTheProcessors(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		permits, strain := testPermits(time.Hour)
		takePermits(permits, 900, 1e6)
		synctest.Wait()
		if _, n := permits.counts(); n != 900 {
			t.Fatalf("%d of 900 under way in calm", n)
		}
		bound := func(why string, low, high int64) {
			t.Helper()
			if b, _ := permits.counts(); b < low || b > high {
				t.Errorf("%s: bound %d, want %d to %d", why, b, low, high)
			}
		}
		strain.set(2 * permitStrain)
		pass(permits, permitPatience*permitEach)
		bound("a burst", 1000, 1000)
		pass(permits, permitEach)
		bound("strain", 900*15/16, 900*15/16)
		strain.set(10 * permitStrain)
		pass(permits, permitEach)
		bound("collapse", 900*3/4, 900*3/4)
		for range 880 {
			permits.leave()
		}
		pass(permits, time.Second)
		bound("strain with few under way", permitLeast, permitLeast)
		strain.set(0)
		pass(permits, permitSteps*permitEach)
		bound("calm without anybody who waits", 1000, 1000)
	})
}

// While some wait the bound grows step by step, faster the longer it is calm.
func TestPermits_BoundGrowsWhileSomeWait(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		permits, _ := testPermits(time.Hour)
		permits.bound, permits.atLeast = permitLeast, 0
		come := takePermits(permits, 500, 1e6)
		synctest.Wait()
		if len(come) != permitLeast {
			t.Fatalf("%d under way, want %d", len(come), permitLeast)
		}
		var seen []int64
		for last := int64(0); last < 500; last = seen[len(seen)-1] {
			time.Sleep(permitEach)
			synctest.Wait()
			bound, underWay := permits.counts()
			if underWay != min(500, bound) {
				t.Fatalf("%d under way where %d may be", underWay, bound)
			}
			seen = append(seen, bound)
			if len(seen) > 30 {
				t.Fatalf("the bound crawls: %v", seen)
			}
		}
		if grown := seen[0] - permitLeast; grown < 1 || grown > 4 {
			t.Errorf("first step %d of %d", grown, permitLeast)
		}
		drain(permits)
	})
}

// drain ends what is under way until nobody waits, so that the bubble ends.
func drain(t *permits) {
	for {
		synctest.Wait()
		t.mu.Lock()
		n, waiting := t.underWay, t.waiting
		t.mu.Unlock()
		if n == 0 && waiting == 0 {
			return
		}
		for range n {
			t.leave()
		}
		time.Sleep(permitEach)
	}
}

func TestPermits_HigherPlansFirstAndInOrder(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		permits, _ := testPermits(time.Hour)
		permits.bound, permits.atLeast, permits.most = 1, 0, 1
		var mu sync.Mutex
		var order []int
		ask := func(id int, share int64) {
			go func() {
				if permits.take(context.Background(), time.Now(), share) {
					mu.Lock()
					order = append(order, id)
					mu.Unlock()
				}
			}()
			synctest.Wait()
		}
		ask(0, 800_000)
		ask(5, 800_000)
		ask(3, 900_000)
		ask(1, 1_000_000)
		ask(4, 900_000)
		ask(6, 800_000)
		ask(2, 1_000_000)
		for range 7 {
			permits.leave()
			synctest.Wait()
		}
		if want := []int{0, 1, 2, 3, 4, 5, 6}; !slices.Equal(order, want) {
			t.Errorf("served in the order %v, want %v", order, want)
		}
		drain(permits)
	})
}

// In a queue that no burst has left the newest of a lane come first, of those
// who have not gone.
func TestPermits_NewestFirstWhereAQueueStands(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		permits, _ := testPermits(time.Hour)
		permits.bound, permits.atLeast, permits.most = 1, 0, 1
		var mu sync.Mutex
		var order []int
		ask := func(ctx context.Context, id int) {
			go func() {
				if permits.take(ctx, time.Now(), 1e6) {
					mu.Lock()
					order = append(order, id)
					mu.Unlock()
				}
			}()
			synctest.Wait()
		}
		gone, leave := context.WithCancel(context.Background())
		ask(t.Context(), 0)
		ask(t.Context(), 3)
		ask(t.Context(), 2)
		time.Sleep(permitBurst)
		ask(t.Context(), 1)
		ask(gone, 4)
		leave()
		synctest.Wait()
		for range 4 {
			permits.leave()
			synctest.Wait()
		}
		if want := []int{0, 1, 2, 3}; !slices.Equal(order, want) {
			t.Errorf("served in the order %v, want %v", order, want)
		}
	})
}

// Nobody waits longer than the limit, and however many are under way some are
// begun: they may all be waiting for providers.
func TestPermits_WaitIsBoundedAndSomeAreAlwaysBegun(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const longest = time.Second
		permits, _ := testPermits(longest)
		permits.bound, permits.most = permitLeast, permitLeast
		begin := time.Now()
		come := takePermits(permits, 3000, 1e6)
		served, refused := 0, 0
		for range 3000 {
			if <-come {
				served++
			} else {
				refused++
			}
		}
		if d := time.Since(begin); d > longest+permitEach {
			t.Errorf("the last waited %s", d)
		}
		if want := permitLeast + permitRate; served < want-permitRate/10 || served > want {
			t.Errorf("%d begun in a second with %d under way, want about %d", served, permitLeast, want)
		}
		if served+refused != 3000 || permits.waiting != 0 || permits.underWay != int64(served) {
			t.Errorf("served %d, refused %d, waiting %d, under way %d", served, refused, permits.waiting, permits.underWay)
		}
		drain(permits)
	})
}

// Under any interleaving the counts agree with who is where, and all end.
func TestPermits_CountsHoldUnderAnyInterleaving(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		rapid.Check(struct{ rapid.TB }{t}, func(rt *rapid.T) {
			permits, strain := testPermits(time.Duration(rapid.IntRange(1, 20).Draw(rt, "ticks")) * permitEach)
			var mu sync.Mutex
			var leave []context.CancelFunc
			inside, left := int64(0), 0 // left: refused, gone or served
			asked := 0
			for range rapid.IntRange(1, 40).Draw(rt, "steps") {
				switch rapid.IntRange(0, 4).Draw(rt, "step") {
				case 0, 1:
					for range rapid.IntRange(1, 30).Draw(rt, "requests") {
						ctx, cancel := context.WithCancel(context.Background())
						leave = append(leave, cancel)
						share := rapid.SampledFrom([]int64{1_000_000, 900_000, 800_000}).Draw(rt, "share")
						asked++
						go func() {
							ok := permits.take(ctx, time.Now(), share)
							mu.Lock()
							defer mu.Unlock()
							if ok {
								inside++
							} else {
								left++
							}
						}()
					}
				case 2:
					if n := len(leave); n > 0 {
						leave[rapid.IntRange(0, n-1).Draw(rt, "who")]()
					}
				case 3:
					strain.set(time.Duration(rapid.IntRange(0, 20).Draw(rt, "strain")) * permitStrain / 2)
					time.Sleep(time.Duration(rapid.IntRange(1, 8).Draw(rt, "wait")) * permitEach / 2)
				case 4:
					mu.Lock()
					n := rapid.Int64Range(0, inside).Draw(rt, "ended")
					inside, left = inside-n, left+int(n)
					mu.Unlock()
					for range n {
						permits.leave()
					}
				}
				synctest.Wait()
				permits.mu.Lock()
				mu.Lock()
				if permits.underWay != inside || asked != permits.waiting+left+int(inside) {
					rt.Fatalf("under way %d, inside %d, waiting %d, left %d of %d", permits.underWay, inside, permits.waiting, left, asked)
				}
				if permits.waiting > 0 && permits.underWay < permits.bound {
					rt.Fatalf("%d wait where %d of %d are under way", permits.waiting, permits.underWay, permits.bound)
				}
				mu.Unlock()
				permits.mu.Unlock()
			}
			for _, cancel := range leave {
				cancel()
			}
			drain(permits)
		})
	})
}
