package gateway

import (
	"time"

	"github.com/accordo-ai/accordo/internal/alliance"
	"github.com/accordo-ai/accordo/internal/money"
	"github.com/accordo-ai/accordo/internal/rating"
	"github.com/accordo-ai/accordo/internal/record"
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
	var spend money.Amount
	if plan.Price != nil {
		spend = rating.Ceil(plan.Price.Rates, o.Usage)
	}
	subject := subjectOf(plan, alliance.KeyID(in.Key), alliance.TenantID(in.Tenant), in.EndUser)
	g.quotaMu.Lock()
	defer g.quotaMu.Unlock()
	g.quota.Restore(at, subject, plan.Bounds(), o.Usage.Total(), spend)
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
	case reasonNoUsage, reasonContradiction, reasonClientLeft:
		return true
	}
	return in.Stream && o.TTFT > 0
}

// subjectOf names whom the limits of a plan count.
func subjectOf(plan *alliance.Plan, key alliance.KeyID, tenant alliance.TenantID, endUser string) string {
	if plan.Subject == "end_user" && endUser != "" {
		return "user:" + string(tenant) + ":" + endUser
	}
	return "key:" + string(key)
}
