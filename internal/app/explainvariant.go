package app

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/accordo-ai/accordo/internal/alliance"
	"github.com/accordo-ai/accordo/internal/variant"
)

// judgeVariant refuses an answer that the rights allow where the plan does
// not include the variant that is asked for, or the variant is not rolled out
// in the territory; the gateway refuses such a request for the same reason.
func judgeVariant(a *alliance.Alliance, q RightsQuestion, at time.Time, answer *rightsAnswer) {
	name, _, _ := strings.Cut(q.Model, ":")
	v := a.Variant(alliance.ModelID(name))
	if v == nil || !answer.Allowed {
		return
	}
	if plan := alliance.PlanID(q.Plan); plan != "" && !slices.Contains(v.Plans, plan) {
		answer.refuse(fmt.Sprintf("the plan %s does not include %s; plans that do: %s", plan, v.ID, joinIDs(v.Plans)), nil)
		return
	}
	rollout := variant.RolledOut(v, alliance.Territory(q.Territory), false, at)
	var claims []claimShown
	for _, id := range rollout.Claims {
		if c := a.Claim(id); c != nil {
			claims = append(claims, showClaim(c))
		}
	}
	if !rollout.On {
		answer.refuse(rollout.Why, claims)
		return
	}
	answer.Rollout, answer.RolloutClaims = rollout.Why, claims
}

func (r *rightsAnswer) refuse(why string, claims []claimShown) {
	r.Allowed, r.Reason, r.Rollout, r.RolloutClaims = false, "the rights allow it, but "+why, why, claims
}
