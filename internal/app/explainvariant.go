package app

import (
	"slices"
	"strings"
	"time"

	"github.com/accordo-ai/accordo/internal/alliance"
	"github.com/accordo-ai/accordo/internal/request"
	"github.com/accordo-ai/accordo/internal/right"
	"github.com/accordo-ai/accordo/internal/variant"
)

// judgeOffer asks about the plan, the surface and the rollout what the gateway
// asks of a request, and refuses what it would refuse though the rights allow
// it. Where no plan is named it says which plans offer what is asked for.
func judgeOffer(a *alliance.Alliance, query *right.Query, q RightsQuestion, at time.Time, answer *rightsAnswer) {
	m, v, _, ok := a.Resolve(query.Model, at)
	if !ok || v == nil && query.Object != alliance.StatelessAPI {
		return
	}
	w := request.Where{Territory: query.Territory, Surface: q.Surface, At: at}
	p := a.Plan(alliance.PlanID(q.Plan))
	switch {
	case p == nil:
		answer.namePlans(a, m, v, w, query.Seller)
		if v != nil && answer.Allowed {
			r := variant.RolledOut(v, w.Territory, false, at)
			answer.settle(a, r.On, r.Why, r.Claims)
		}
	case answer.Allowed:
		verdict, surfaces := judgePlan(a, p, m, v, w)
		answer.settle(a, verdict.Offered(), verdict.Why, verdict.Claims)
		if verdict.Offered() && q.Surface == "" {
			answer.Surfaces = surfaces
		}
	}
}

// namePlans says that no plan was asked about, and which ones offer it.
func (r *rightsAnswer) namePlans(a *alliance.Alliance, m *alliance.Model, v *alliance.Variant, w request.Where, seller alliance.PartyID) {
	var list []string
	for i := range a.Plans {
		p := &a.Plans[i]
		if verdict, _ := judgePlan(a, p, m, v, w); verdict.Offered() {
			r.Plans = append(r.Plans, p.ID)
			list = append(list, string(p.ID)+" (sold by "+string(p.Seller)+")")
		}
	}
	r.Note = "no --plan was named, so this is about sales by " + string(seller) + "; plans that offer it here: "
	if list == nil {
		r.Note += "none"
	}
	r.Note += strings.Join(list, ", ")
}

// judgePlan is the gateway's verdict. Where no surface is stated it is that of
// a request from one of those that it returns: all that plan and variant allow.
func judgePlan(a *alliance.Alliance, p *alliance.Plan, m *alliance.Model, v *alliance.Variant, w request.Where) (request.Verdict, []string) {
	surfaces := p.Surfaces
	if v != nil && len(v.Surfaces) > 0 {
		surfaces = v.Surfaces
		if len(p.Surfaces) > 0 {
			surfaces = slices.DeleteFunc(slices.Clone(v.Surfaces), func(s string) bool { return !slices.Contains(p.Surfaces, s) })
		}
	}
	if w.Surface == "" && len(surfaces) > 0 {
		w.Surface = surfaces[0]
	}
	return request.Judge(a, p, m, v, w), surfaces
}

// settle notes what plan and rollout say, with the claims behind a rollout.
func (r *rightsAnswer) settle(a *alliance.Alliance, offered bool, why string, claims []alliance.ClaimID) {
	if !offered {
		r.Allowed, r.Reason = false, "the rights allow it, but "+why
	}
	r.Rollout = why
	for _, id := range claims {
		if c := a.Claim(id); c != nil {
			r.RolloutClaims = append(r.RolloutClaims, showClaim(c))
		}
	}
}

// conditions are what an answer that allows still asks of a request.
func (r *rightsAnswer) conditions(b *strings.Builder) {
	if len(r.Surfaces) > 0 {
		b.WriteString("  on the surfaces: " + strings.Join(r.Surfaces, ", ") + "\n")
	}
	if r.Note != "" {
		b.WriteString("  " + r.Note + "\n")
	}
}
