package gateway_test

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/accordo-ai/accordo/internal/alliance"
	"github.com/accordo-ai/accordo/internal/gateway"
	"github.com/accordo-ai/accordo/internal/quota"
	"github.com/accordo-ai/accordo/internal/record"
	"github.com/accordo-ai/accordo/internal/route"
)

func TestModels_AreListedAnewWithOtherTermsAndAfterAWhile(t *testing.T) {
	h := start(t, setup{})
	has := func(when string, want bool) {
		t.Helper()
		_, body := h.do("GET", "/v1/models", "sk-open", "")
		if got := strings.Contains(body, `"id":"m"`); got != want {
			t.Fatalf("%s: m is listed: %v\n%s", when, got, body)
		}
	}
	under := func(change func(*alliance.Alliance)) {
		t.Helper()
		a := terms("a", "b")
		change(a)
		state := h.state
		state.Alliance, state.Keys = a.Build(), gateway.TermsKeys(a)
		if err := h.g.Reload(state); err != nil {
			t.Fatal(err)
		}
	}
	has("at first", true)
	under(func(a *alliance.Alliance) { a.Rights[0].Models = []alliance.ModelID{"e"} })
	has("without the right", false)
	under(func(a *alliance.Alliance) {
		a.Rights[0].Until = alliance.Date{Time: time.Now().Add(24 * time.Hour)}
	})
	has("before the right ends", true)
	h.skew.Store(int64(72 * time.Hour))
	has("after the right has ended", false)
}

// BenchmarkDecide_WhileModelsAreListed is what lists of models cost those who
// wait for a decision.
func BenchmarkDecide_WhileModelsAreListed(b *testing.B) {
	g := manyModels(b)
	for _, lists := range []int{0, 8} {
		b.Run(fmt.Sprintf("lists=%d", lists), func(b *testing.B) {
			var wg sync.WaitGroup
			done := make(chan struct{})
			for range lists {
				wg.Go(func() {
					for {
						select {
						case <-done:
							return
						default:
						}
						r := httptest.NewRequest("GET", "/v1/models", nil)
						r.Header.Set("Authorization", "Bearer sk-open")
						g.ServeHTTP(&memory{header: http.Header{}}, r)
					}
				})
			}
			q := route.Request{Model: "m", Plan: "open", Channel: "api", Territory: "US", Input: 10, Output: 10}
			var waited time.Duration
			for b.Loop() {
				began := time.Now()
				g.WithRouter(func(r *route.Router) {
					now := time.Now()
					waited += now.Sub(began)
					d := r.Decide(now, &q, 1)
					r.Observe(now, route.Outcome{Reservation: d.Reservation, Pool: d.Pool.ID, Served: true})
					q.Buffer = d.Considered
				})
			}
			b.ReportMetric(float64(waited.Nanoseconds())/float64(b.N), "wait-ns/op")
			close(done)
			wg.Wait()
		})
	}
}

// manyModels is a gateway whose plan has 60 models, each on four pools.
func manyModels(b *testing.B) *gateway.Gateway {
	b.Helper()
	a := terms("a", "b", "c", "d")
	for i := range 60 {
		m := alliance.Model{ID: alliance.ModelID(fmt.Sprintf("m%d", i)), Owner: "lab", Kind: "chat"}
		a.Models = append(a.Models, m)
		a.Plans[0].Models = append(a.Plans[0].Models, m.ID)
		a.Rights[0].Models = append(a.Rights[0].Models, m.ID)
		for j := range a.Pools {
			p := &a.Pools[j]
			p.Models = append(p.Models, alliance.PoolModel{Model: m.ID})
			a.Prices = append(a.Prices, alliance.Price{ID: alliance.PriceID(fmt.Sprintf("p%d-%d", i, j)), Pools: []alliance.PoolID{p.ID}, Model: m.ID, Term: a.Rights[0].Term, List: alliance.Rates{Input: 1, Output: 1}})
		}
	}
	a = a.Build()
	g, err := gateway.New(gateway.Deps{Journal: noJournal{}, Router: route.New(a, time.Now()), Quota: quota.New(quota.Options{})}, gateway.State{Alliance: a, Keys: gateway.TermsKeys(a)})
	if err != nil {
		b.Fatal(err)
	}
	return g
}

// noJournal keeps nothing.
type noJournal struct{ gateway.Journal }

func (noJournal) Refusal(*record.Refusal) {}
