package gateway

import (
	"sync"
	"time"

	"github.com/accordo-ai/accordo/internal/alliance"
	"github.com/accordo-ai/accordo/internal/money"
	"github.com/accordo-ai/accordo/internal/rating"
	"github.com/accordo-ai/accordo/internal/record"
	"github.com/accordo-ai/accordo/internal/request"
	"github.com/accordo-ai/accordo/internal/usage"
)

// RecentRows is how many requests are remembered for the console.
const RecentRows = 256

// Row is what is remembered of one request: figures and names, never
// content. Pool and what follows are of the last attempt.
type Row struct {
	ID        string
	At        time.Time
	Tenant    string
	Key       string
	Plan      string
	Territory string
	Asked     string // as the client wrote it
	Model     string // that served, id@version
	Variant   string
	Stream    bool
	Status    int    // HTTP, 499 when the client left
	Code      string // of the error, if any
	Attempts  int
	Attempt   record.AttemptID
	Pool      string
	Contract  string
	Right     string
	StandIn   string
	Outcome   record.Status
	Reason    string
	Usage     usage.Vector
	// Cost is what the tokens cost at the pool's price, rounded up, in the
	// currency of its contract; 0 where the pool's fee is fixed. Marginal is what the decision compared, in
	// nano-units of the currency.
	Cost     money.Amount
	Marginal int64
	TTFT     time.Duration
	Duration time.Duration
}

// choose notes the decision of an attempt.
func (r *Row) choose(a *attempt) {
	c, d := a.c, a.d
	r.Attempt, r.Model, r.Variant = a.id, c.ModelName, c.VariantName
	r.Pool, r.Contract, r.Right, r.StandIn = string(d.Pool.ID), string(d.Contract), string(d.Right), a.st.standIn(d.Pool)
	for i := range d.Considered {
		if d.Considered[i].Verdict == record.Chosen {
			r.Marginal = d.Considered[i].Cost
		}
	}
}

// end notes how an attempt ended.
func (r *Row) end(a *attempt, e *request.Ending) {
	r.Outcome, r.Reason, r.Usage, r.TTFT, r.Cost = e.Status, e.Reason, e.Usage, e.TTFT, 0
	if rates, ok := a.st.prices.ByID(alliance.PriceID(a.d.CostPrice)); ok {
		r.Cost = rating.Ceil(rates, e.Usage)
	}
	if e.Reason == request.ReasonClientLeft {
		r.Status, r.Code = 499, request.ReasonClientLeft
	}
}

// ring keeps the last rows.
type ring struct {
	mu   sync.Mutex
	rows [RecentRows]Row
	next int
	seen uint64
}

func (r *ring) add(row Row) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.rows[r.next] = row
	r.next = (r.next + 1) % RecentRows
	r.seen++
}

// Recent returns up to n of the last requests, newest first, and how many
// there were since the start.
func (g *Gateway) Recent(n int) ([]Row, uint64) {
	r := &g.recent
	r.mu.Lock()
	defer r.mu.Unlock()
	n = min(n, RecentRows, int(min(r.seen, RecentRows)))
	out := make([]Row, 0, max(n, 0))
	for i := 1; i <= n; i++ {
		out = append(out, r.rows[(r.next-i+RecentRows)%RecentRows])
	}
	return out, r.seen
}
