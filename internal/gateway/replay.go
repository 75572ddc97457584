package gateway

import (
	"time"

	"github.com/accordo-ai/accordo/internal/alliance"
	"github.com/accordo-ai/accordo/internal/money"
	"github.com/accordo-ai/accordo/internal/rating"
	"github.com/accordo-ai/accordo/internal/record"
)

// Replay counts an attempt of an earlier process against the limits of its
// plan, so that a restart gives nobody a new allowance. Attempts that nothing
// is owed for count nothing.
func (g *Gateway) Replay(at time.Time, in *record.Intent, o *record.Outcome) {
	if o.Status == record.Unserved || o.Usage.IsZero() {
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
	g.quota.Restore(at, subject, o.Usage.Total(), spend)
}

// subjectOf names whom the limits of a plan count.
func subjectOf(plan *alliance.Plan, key alliance.KeyID, tenant alliance.TenantID, endUser string) string {
	if plan.Subject == "end_user" && endUser != "" {
		return "user:" + string(tenant) + ":" + endUser
	}
	return "key:" + string(key)
}
