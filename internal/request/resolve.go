package request

import (
	"slices"
	"strings"
	"time"

	"github.com/accordo-ai/accordo/internal/alliance"
	"github.com/accordo-ai/accordo/internal/dialect/openai"
	"github.com/accordo-ai/accordo/internal/variant"
)

// Where is where a request comes from, as far as a plan looks at it.
type Where struct {
	Territory alliance.Territory
	Surface   string // empty: not stated
	OptedIn   bool   // the customer opted in to the variant that is asked for
	At        time.Time
}

// The codes of a Verdict that is not Offered.
const (
	NotInPlan         = "not_in_plan"
	SurfaceNotInPlan  = "surface_not_in_plan"
	VariantNotAllowed = "variant_not_allowed"
	NotRolledOut      = "variant_not_rolled_out"
)

// Verdict says whether a plan offers something, and why. Code is empty when
// it does. Claims are those behind a rollout.
type Verdict struct {
	Code   string
	Why    string // for people; of a model in the plan: empty
	Claims []alliance.ClaimID
}

// Offered reports whether the plan has what was judged.
func (v *Verdict) Offered() bool { return v.Code == "" }

// Judge says whether a plan offers a model, or a variant that m is the base
// of, to a request from somewhere. Rights are not asked: route does.
func Judge(a *alliance.Alliance, p *alliance.Plan, m *alliance.Model, v *alliance.Variant, w Where) Verdict {
	if v == nil && !a.Includes(p, m.ID) {
		return Verdict{Code: NotInPlan, Why: "the plan " + string(p.ID) + " does not include " + string(m.ID)}
	}
	if len(p.Surfaces) > 0 && !slices.Contains(p.Surfaces, w.Surface) {
		return Verdict{Code: SurfaceNotInPlan, Why: "the plan " + string(p.ID) + " is for the surfaces " + strings.Join(p.Surfaces, ", ") + "; this request comes from: " + orNone(w.Surface)}
	}
	if v == nil {
		return Verdict{}
	}
	if ok, why := variant.Allowed(v, p.ID, w.Surface); !ok {
		return Verdict{Code: VariantNotAllowed, Why: why}
	}
	r := variant.RolledOut(v, w.Territory, w.OptedIn, w.At)
	if !r.On {
		return Verdict{Code: NotRolledOut, Why: r.Why, Claims: r.Claims}
	}
	return Verdict{Why: r.Why, Claims: r.Claims}
}

func orNone(surface string) string {
	if surface == "" {
		return "none stated"
	}
	return surface
}

// Resolve finds what is asked for and refuses what the plan does not offer.
// It may be called again, under other Terms.
func (q *Request) Resolve() *openai.Error {
	a := q.Terms.a
	id, version, _ := strings.Cut(q.Asked, "@") // a client may send back what an answer named
	m, v, flow, ok := a.Resolve(alliance.ModelID(id), q.At)
	if !ok {
		return openai.NoModel(q.Asked)
	}
	q.Model, q.Variant, q.Flow = m, v, flow
	q.ModelName, q.VariantName, q.System = q.Terms.models[m], "", ""
	if v != nil {
		q.VariantName, q.System = q.Terms.variants[v], q.Terms.systems[flow]
	}
	if _, have, _ := strings.Cut(q.Shown(), "@"); version != "" && version != have {
		return openai.NoModel(q.Asked)
	}
	kind := kindOf(m)
	if q.Kind == 0 {
		q.Kind = kind
	}
	w := Where{Territory: q.Territory, Surface: q.Surface, OptedIn: v != nil && slices.Contains(q.Key.OptIn, v.ID), At: q.At}
	verdict := Judge(a, q.Plan, m, v, w)
	switch {
	case verdict.Code == NotInPlan:
		return openai.NoModel(q.Asked) // before the kind, which would tell that the model is there
	case q.Kind != kind:
		return openai.OtherKind(q.Asked, kind)
	case verdict.Code == "":
		return nil
	case verdict.Code == SurfaceNotInPlan:
		return openai.Forbidden(verdict.Code, "Refused: %s. A trusted key states it in x-accordo-surface.", verdict.Why)
	}
	return openai.Forbidden(verdict.Code, "Refused: %s%s.", verdict.Why, sources(verdict.Claims))
}

func kindOf(m *alliance.Model) openai.Kind {
	if m.Kind == openai.Embedding.String() {
		return openai.Embedding
	}
	return openai.Chat
}

func sources(claims []alliance.ClaimID) string {
	if len(claims) == 0 {
		return ""
	}
	parts := make([]string, len(claims))
	for i, id := range claims {
		parts[i] = string(id)
	}
	return " (" + strings.Join(parts, ", ") + ")"
}
