package gateway_test

import (
	"context"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/accordo-ai/accordo/internal/alliance"
	"github.com/accordo-ai/accordo/internal/gateway"
	"github.com/accordo-ai/accordo/internal/journal"
	"github.com/accordo-ai/accordo/internal/money"
	"github.com/accordo-ai/accordo/internal/provider/upstreamsim"
	"github.com/accordo-ai/accordo/internal/quota"
	"github.com/accordo-ai/accordo/internal/record"
)

// hedging lets the open plan ask a second pool after 50 milliseconds, for at
// most so much.
func hedging(most money.Amount) func(*alliance.Alliance, map[alliance.PoolID]string) {
	return func(a *alliance.Alliance, _ map[alliance.PoolID]string) {
		a.Plans[0].Hedge = &alliance.Hedge{AfterMS: 50, MaxCost: most}
	}
}

func TestHedge_TheFirstThatAnswersServesAndTheOtherIsSuspense(t *testing.T) {
	for _, stream := range []bool{false, true} {
		t.Run(fmt.Sprintf("stream %v", stream), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				h := start(t, setup{pipes: true, change: hedging(money.Micro)})
				h.script(upstreamsim.Rule{Pool: "a", Action: upstreamsim.Action{StallFirstByte: time.Hour}})
				begin := time.Now()
				resp, body := h.chat("sk-open", h.body(stream))
				if resp.StatusCode != 200 || strings.Contains(body, `"error"`) {
					t.Fatalf("%d %s", resp.StatusCode, body)
				}
				if took := time.Since(begin); took > time.Second {
					t.Errorf("the answer took %s", took)
				}
				all := h.attempts()
				if len(all) != 2 || all[0].in.Pool != "a" || all[1].in.Pool != "b" || all[1].out.Status != record.Served {
					t.Fatalf("%d attempts", len(all))
				}
				checkFault(t, all[0].out, record.Suspense, "hedged")
				if rows, _ := h.g.Recent(1); rows[0].Pool != "b" || rows[0].Outcome != record.Served || rows[0].Attempts != 2 {
					t.Errorf("the console shows %+v", rows[0])
				}
				h.noHolds()
			})
		})
	}
}

func TestHedge_TheFirstMayStillWin(t *testing.T) {
	for _, stream := range []bool{false, true} {
		synctest.Test(t, func(t *testing.T) {
			h := start(t, setup{pipes: true, change: hedging(money.Micro)})
			h.script(
				upstreamsim.Rule{Pool: "a", Action: upstreamsim.Action{StallFirstByte: 100 * time.Millisecond}},
				upstreamsim.Rule{Pool: "b", Action: upstreamsim.Action{StallFirstByte: time.Hour}},
			)
			if resp, body := h.chat("sk-open", h.body(stream)); resp.StatusCode != 200 {
				t.Fatalf("%d %s", resp.StatusCode, body)
			}
			all := h.attempts()
			if len(all) != 2 || all[0].out.Status != record.Served {
				t.Fatalf("%d attempts", len(all))
			}
			checkFault(t, all[1].out, record.Suspense, "hedged")
			if rows, _ := h.g.Recent(1); rows[0].Pool != "a" || rows[0].Outcome != record.Served {
				t.Errorf("the console shows %+v", rows[0])
			}
			h.noHolds()
		})
	}
}

func TestHedge_NoSecondAttempt(t *testing.T) {
	slow := upstreamsim.Rule{Pool: "a", Action: upstreamsim.Action{StallFirstByte: 200 * time.Millisecond}}
	for name, s := range map[string]setup{
		"off by default":       {},
		"above the cap":        {change: hedging(1)},
		"with no other pool":   {pools: []string{"a"}, change: hedging(money.Micro)},
		"when the first is in": {change: hedging(money.Micro)},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s.pipes = true
				h := start(t, s)
				if name != "when the first is in" {
					h.script(slow)
				}
				if resp, body := h.chat("sk-open", h.body(true)); resp.StatusCode != 200 {
					t.Fatalf("%d %s", resp.StatusCode, body)
				}
				if all := h.attempts(); len(all) != 1 || all[0].out.Status != record.Served {
					t.Errorf("%d attempts", len(all))
				}
				h.noHolds()
			})
		})
	}
}

// A second attempt that finds no pool takes nothing from the retries of
// others.
func TestHedge_WithoutASecondPoolCostsNoRetry(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := start(t, setup{pipes: true, change: hedging(1), limits: gateway.Limits{RetryBurst: 1, RetryPercent: 1}})
		h.script(upstreamsim.Rule{Pool: "a", Action: upstreamsim.Action{StallFirstByte: 200 * time.Millisecond}})
		for range 3 {
			if resp, body := h.chat("sk-open", hello); resp.StatusCode != 200 {
				t.Fatalf("%d %s", resp.StatusCode, body)
			}
		}
		h.script(upstreamsim.Rule{Pool: "a", Action: upstreamsim.Action{Status: 500}})
		if resp, body := h.chat("sk-open", hello); resp.StatusCode != 200 {
			t.Errorf("the one retry is gone: %d %s", resp.StatusCode, body)
		}
		h.noHolds()
	})
}

func TestHedge_WhenOneFailsTheOtherGoesOn(t *testing.T) {
	for _, failing := range []string{"a", "b"} {
		t.Run(failing, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				h := start(t, setup{pipes: true, change: hedging(money.Micro)})
				rule := func(pool string) upstreamsim.Rule {
					if pool == failing {
						return upstreamsim.Rule{Pool: pool, Action: upstreamsim.Action{StallFirstByte: 100 * time.Millisecond, Status: 500}}
					}
					return upstreamsim.Rule{Pool: pool, Action: upstreamsim.Action{StallFirstByte: time.Second}}
				}
				h.script(rule("a"), rule("b"))
				if resp, body := h.chat("sk-open", h.body(false)); resp.StatusCode != 200 {
					t.Fatalf("%d %s", resp.StatusCode, body)
				}
				all := h.attempts()
				if len(all) != 2 {
					t.Fatalf("%d attempts", len(all))
				}
				for _, x := range all {
					if (x.out.Status == record.Served) == (x.in.Pool == failing) {
						t.Errorf("%s: %+v", x.in.Pool, x.out)
					}
				}
				h.noHolds()
			})
		})
	}
}

// TestHedge_WhatBothAttemptsUsedIsCounted leaves while both are under way, some
// times, since which of them hears of it first is chance: what is counted is
// what a restart counts.
func TestHedge_WhatBothAttemptsUsedIsCounted(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		limits := alliance.Limits{TokensPerDay: 1_000_000}
		h := start(t, setup{pipes: true, change: func(a *alliance.Alliance, _ map[alliance.PoolID]string) {
			a.Plan("small").Limits, a.Plan("small").Hedge = limits, &alliance.Hedge{AfterMS: 50, MaxCost: money.Micro}
		}})
		h.script(upstreamsim.Rule{Action: upstreamsim.Action{StallFirstByte: time.Hour}})
		for range 10 {
			ctx, leave := context.WithTimeout(t.Context(), time.Second)
			r, err := http.NewRequestWithContext(ctx, "POST", h.url+"/v1/chat/completions", strings.NewReader(hello))
			if err != nil {
				t.Fatal(err)
			}
			r.Header.Set("Authorization", "Bearer sk-small")
			if resp, err := h.client.Do(r); err == nil {
				resp.Body.Close()
				t.Fatalf("status %d", resp.StatusCode)
			}
			leave()
			h.noHolds()
		}
		if n := len(h.attempts()); n != 20 {
			t.Fatalf("%d attempts", n)
		}
		replayed := gateway.NewCounts(h.state.Alliance, 1)
		for r, err := range journal.Read(h.dir, 1) {
			if err != nil {
				t.Fatal(err)
			}
			replayed.Take(&r)
		}
		used := func(b *quota.Book, now time.Time) int64 { return b.State(now, "key:key-small", limits)[0].Used }
		want := used(replayed.Book(), time.Now()) // the journal has a clock of its own
		h.g.WithQuota(func(b *quota.Book) {
			if n := used(b, time.Now().Add(time.Duration(h.skew.Load()))); n != want || want == 0 {
				t.Errorf("%d tokens are counted, and %d after a restart", n, want)
			}
		})
	})
}
