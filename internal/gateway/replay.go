package gateway

import (
	"time"

	"github.com/accordo-ai/accordo/internal/alliance"
	"github.com/accordo-ai/accordo/internal/record"
	"github.com/accordo-ai/accordo/internal/request"
)

// Replay counts an attempt of an earlier process against the limits of its
// plan, so that a restart gives nobody a new allowance. What never reached the
// customer counts nothing, as it did when it happened.
func (g *Gateway) Replay(at time.Time, in *record.Intent, o *record.Outcome) {
	if o.Usage.IsZero() || !delivered(in, o) {
		return
	}
	plan := g.state.Load().a.Plan(alliance.PlanID(in.Plan))
	if plan == nil {
		return
	}
	subject := request.Subject(plan, alliance.TenantID(in.Tenant), alliance.KeyID(in.Key), in.EndUser)
	tokens, spend := request.Counted(plan, o.Usage)
	g.quotaMu.Lock()
	defer g.quotaMu.Unlock()
	g.quota.Restore(at, subject, plan.Bounds(), tokens, spend)
}

// delivered reports whether an attempt counts against its customer: it was
// served, or a part of it was, or nobody knows because the process ended.
func delivered(in *record.Intent, o *record.Outcome) bool {
	switch o.Status {
	case record.Served, record.Abandoned:
		return true
	case record.Unserved:
		return false
	}
	switch o.Reason {
	case request.ReasonNoUsage, request.ReasonContradiction, request.ReasonClientLeft:
		return true
	}
	return in.Stream && o.TTFT > 0
}
