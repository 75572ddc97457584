package console

import (
	"strconv"
	"time"

	"github.com/accordo-ai/accordo/internal/admin"
	"github.com/accordo-ai/accordo/internal/usage"
)

// The pages of pools, requests and one request are set by hand; these are the
// same figures for their CSV.

func milliseconds(d time.Duration) cell {
	return cell{Text: strconv.FormatInt(d.Milliseconds(), 10)}
}

func nanos64(n int64) cell { return cell{Text: strconv.FormatInt(n, 10)} }

func (b poolsBody) tables() []*table {
	t := &table{Name: "pools", Columns: left("pool", "provider", "region", "chip", "chips", "contract", "shape", "load_ppm", "in_flight", "max_in_flight", "capacity", "left", "unit", "mu_nano", "lambda_ppm", "ttft_ms", "healthy", "stand_in")}
	for i := range b.Pools {
		p := &b.Pools[i]
		t.Rows = append(t.Rows, tableRow{Cells: []cell{
			text(string(p.ID)), text(p.Provider), text(p.Region), text(p.Chip), figure(p.Chips), text(p.Contract), text(p.Shape), nanos64(p.LoadPPM), nanos64(p.InFlight), nanos64(p.MaxInFlight),
			nanos64(p.Capacity), nanos64(p.Left), text(p.Unit), nanos64(p.Mu), nanos64(p.LambdaPPM), milliseconds(p.TTFT), text(strconv.FormatBool(p.Healthy)), text(p.StandIn),
		}})
	}
	return []*table{t}
}

func (b requestsBody) tables() []*table { return []*table{recentTable(b.Requests)} }

// recentTable has recent requests.
func recentTable(list []admin.Request) *table {
	t := &table{Name: "requests", Columns: left("request", "at", "tenant", "plan", "asked", "served", "pool", "contract", "right", "http", "status", "reason", "attempts", "input", "output", "cost", "marginal_nano", "ttft_ms", "duration_ms", "stand_in")}
	for i := range list {
		r := &list[i]
		t.Rows = append(t.Rows, tableRow{Cells: []cell{
			text(r.ID), text(r.At.UTC().Format(time.RFC3339Nano)), text(r.Tenant), text(r.Plan), text(r.Asked), text(r.Served), text(r.Pool), text(r.Contract), text(r.Right), nanos64(int64(r.HTTP)), text(r.Status), text(r.Reason),
			nanos64(int64(r.Attempts)), nanos64(r.Tokens.Input()), nanos64(r.Tokens.AllOutput()),
			{Text: plain(r.Cost)},
			nanos64(r.MarginalNano), milliseconds(r.TTFT), milliseconds(r.Duration), text(r.StandIn),
		}})
	}
	return t
}

func (b requestBody) tables() []*table {
	candidates := &table{Name: "candidates", Columns: left("attempt", "pool", "verdict", "cost_nano", "price_nano", "scarcity_nano", "latency_nano", "lambda_ppm", "contract", "shape")}
	out := &table{Name: "ineligible", Columns: left("attempt", "pool", "cause", "why", "right")}
	for _, d := range b.Decisions {
		for _, k := range d.Candidates {
			candidates.Rows = append(candidates.Rows, tableRow{Cells: []cell{text(d.Attempt), text(k.Pool), text(k.Verdict), nanos64(k.CostNano), nanos64(k.PriceNano), nanos64(k.ScarcityNano), nanos64(k.LatencyNano), nanos64(k.LambdaPPM), text(k.Contract), text(k.Shape)}})
		}
		for _, p := range d.Ineligible {
			out.Rows = append(out.Rows, tableRow{Cells: []cell{text(d.Attempt), text(p.Pool), text(p.Cause), text(p.Why), text(p.Right)}})
		}
	}
	lines := &table{Name: "postings", Columns: left("attempt", "line", "debit", "credit", "exact", "asset", "price", "entry", "of", "uncached_input", "cache_read", "cache_write", "output", "reasoning")}
	for i := range b.Attempts {
		a := &b.Attempts[i]
		for _, p := range a.Postings {
			row := tableRow{Cells: []cell{text(a.ID), text(p.Kind), text(p.Debit), text(p.Credit), text(p.Exact), text(p.Asset), text(p.Price), text(p.Entry), text(p.Total)}}
			row.Cells = append(row.Cells, tokenCells(a.Tokens)...)
			lines.Rows = append(lines.Rows, row)
		}
	}
	return []*table{candidates, out, lines}
}

func tokenCells(v usage.Vector) []cell {
	return []cell{nanos64(v.UncachedInput), nanos64(v.CacheRead), nanos64(v.CacheWrite), nanos64(v.Output), nanos64(v.Reasoning)}
}
