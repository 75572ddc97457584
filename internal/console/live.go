package console

import (
	"net/http"
	"slices"

	"github.com/accordo-ai/accordo/internal/admin"
)

const shownRequests = 100

type poolsBody struct {
	Pools    []admin.Pool
	InFlight int64
	Healthy  int
	StandIns []standIn
	PlayPPM  int64
}

// standIn is one thing that answers, with the pools that it answers for.
type standIn struct {
	Says  string
	Pools []string
}

func (c *console) pools(w http.ResponseWriter, r *http.Request) error {
	body := poolsBody{Pools: c.source.Pools(c.now()), PlayPPM: int64(c.player.State().Hour) * 1_000_000 / 24}
	for _, p := range body.Pools {
		body.InFlight += p.InFlight
		if p.Healthy {
			body.Healthy++
		}
		body.addStandIn(p)
	}
	return c.render(w, r, http.StatusOK, "pools", page{Title: "Pools", Nav: "pools", Live: true, Body: body})
}

func (b *poolsBody) addStandIn(p admin.Pool) {
	if p.StandIn == "" {
		return
	}
	for i := range b.StandIns {
		if b.StandIns[i].Says == p.StandIn {
			b.StandIns[i].Pools = append(b.StandIns[i].Pools, string(p.ID))
			return
		}
	}
	b.StandIns = append(b.StandIns, standIn{p.StandIn, []string{string(p.ID)}})
}

type requestsBody struct {
	Requests []admin.Request
	Status   string
	Pool     string
	Contract string
	Statuses []string
	Limit    int
}

func (c *console) requests(w http.ResponseWriter, r *http.Request) error {
	q := r.URL.Query()
	body := requestsBody{Status: q.Get("status"), Pool: q.Get("pool"), Contract: q.Get("contract"), Limit: shownRequests, Statuses: []string{"served", "refused", "unserved", "suspense"}}
	for _, row := range c.newest() {
		if len(body.Requests) == shownRequests {
			break
		}
		if (body.Status == "" || row.Status == body.Status) && (body.Pool == "" || row.Pool == body.Pool) && (body.Contract == "" || row.Contract == body.Contract) {
			body.Requests = append(body.Requests, row)
		}
	}
	return c.render(w, r, http.StatusOK, "requests", page{Title: "Requests", Nav: "requests", Live: true, Body: body})
}

// newest returns the recent requests by the time at which they came, newest
// first; the source orders them by their end.
func (c *console) newest() []admin.Request {
	rows := slices.Clone(c.source.Requests(admin.MaxRequests))
	slices.SortStableFunc(rows, func(a, b admin.Request) int { return b.At.Compare(a.At) })
	return rows
}

type requestBody struct {
	admin.Trace
	Row *admin.Request // nil when it is not among the recent ones
	// Pending says that the page changes once the books have it.
	Pending bool
}

func (c *console) request(w http.ResponseWriter, r *http.Request) error {
	id := r.PathValue("id")
	trace, err := c.source.Trace(r.Context(), id)
	if err != nil {
		return err
	}
	body := requestBody{Trace: trace, Row: c.recent(id)}
	for _, a := range trace.Attempts {
		body.Pending = body.Pending || a.State != "posted"
	}
	return c.render(w, r, http.StatusOK, "request", page{Title: "Request " + id, Nav: "requests", Live: body.Pending, Body: body})
}

// recent returns the request with the id from the recent ones, or nil.
func (c *console) recent(id string) *admin.Request {
	for _, row := range c.source.Requests(admin.MaxRequests) {
		if row.ID == id {
			return &row
		}
	}
	return nil
}
