package app

import (
	"cmp"
	"slices"
	"strings"
	"time"

	"github.com/accordo-ai/accordo/internal/admin"
	"github.com/accordo-ai/accordo/internal/alliance"
	"github.com/accordo-ai/accordo/internal/route"
	"github.com/accordo-ai/accordo/internal/variant"
)

// Askers are the keys that the console can ask as.
func (s *server) Askers() (list []admin.Asker) {
	a := s.terms.Load().Alliance()
	for _, k := range *s.keys.Load() {
		v := admin.Asker{Key: string(k.ID), Tenant: k.Tenant, Plan: string(k.Plan), Channel: string(k.Channel), Models: k.Models, Trusted: k.Trusted, Territories: texts(k.Territories)}
		if p := a.Plan(k.Plan); p != nil {
			v.Surfaces, v.PerEndUser = p.Surfaces, p.Subject == "end_user"
		}
		list = append(list, v)
	}
	return list
}

// consoleEndUser is whom the console speaks for where a plan counts end users.
const consoleEndUser = "console-visitor"

// flowPrompts are questions that show a variant's usual flows at work.
var flowPrompts = map[string]string{
	"commerce":    "I need a birthday present for under 30 dollars. What do you suggest?",
	"information": "What is the capital of Canada?",
	"assistance":  "My parcel has not arrived. What can I do?",
}

// Suggestions are questions to try, found in the terms: plain ones, one for
// each flow of a variant, and refused ones, by rollout and by right.
func (s *server) Suggestions() (list []admin.Suggestion) {
	a, now := s.terms.Load().Alliance(), time.Now()
	flows, channels := map[string]bool{}, map[alliance.ChannelID]bool{}
	for _, k := range s.widestFirst() {
		plan := a.Plan(k.Plan)
		if plan == nil || len(k.Models) == 0 {
			continue
		}
		base := admin.Suggestion{Key: string(k.ID)}
		if plan.Subject == "end_user" && k.Trusted {
			base.EndUser = consoleEndUser
		}
		if v := a.Variant(variantOf(k.Models[0])); v == nil && !channels[k.Channel] {
			channels[k.Channel] = true
			plain := base
			plain.Title, plain.Model, plain.Prompt = "A plain question on "+string(k.Channel), k.Models[0], "What is the capital of France?"
			list = append(list, plain)
		}
		for _, name := range k.Models {
			id, flow, isVariant := strings.Cut(name, ":")
			if prompt := flowPrompts[flow]; isVariant && prompt != "" && !flows[flow] {
				flows[flow] = true
				one := base
				one.Title, one.Model, one.Prompt = "The custom model: "+flow, name, prompt
				list = append(list, one)
			}
			if v := a.Variant(variantOf(name)); v != nil {
				if t, ok := notRolledOut(v, &k, now); ok && !flows[id] {
					flows[id] = true
					one := base
					one.Title, one.Model, one.Territory, one.Refused = "Refused: not rolled out in "+t, name, t, true
					one.Prompt = "Am I allowed to ask this here?"
					list = append(list, one)
				}
			}
		}
	}
	return append(list, s.refusedByRight(a, now)...)
}

// variantOf is the id in a name that may also name a flow.
func variantOf(name string) alliance.ModelID {
	id, _, _ := strings.Cut(name, ":")
	return alliance.ModelID(id)
}

// widestFirst are the keys that can be asked as, those with most models first.
func (s *server) widestFirst() []consoleKey {
	keys := slices.Clone(*s.keys.Load())
	slices.SortStableFunc(keys, func(a, b consoleKey) int { return cmp.Compare(len(b.Models), len(a.Models)) })
	return keys
}

// notRolledOut is a territory of a trusted key where a variant is not offered.
func notRolledOut(v *alliance.Variant, k *consoleKey, now time.Time) (string, bool) {
	if !k.Trusted {
		return "", false
	}
	for _, t := range slices.Backward(k.Territories) {
		if !variant.RolledOut(v, t, false, now).On {
			return string(t), true
		}
	}
	return "", false
}

// refusedByRight finds a model that a key's channel has no right to, now.
func (s *server) refusedByRight(a *alliance.Alliance, now time.Time) []admin.Suggestion {
	for _, k := range *s.keys.Load() {
		for _, name := range k.Models {
			m, v, _, ok := a.Resolve(alliance.ModelID(name), now)
			if !ok || v != nil {
				continue
			}
			q := &route.Request{Model: m.ID, Plan: k.Plan, Channel: k.Channel, Territory: k.Territories[0], Kind: m.Kind}
			var e route.Explanation
			s.gateway.WithRouter(func(r *route.Router) { e = r.Explain(now, now, q) })
			byRight := slices.ContainsFunc(e.Ineligible, func(i route.Ineligible) bool { return i.Cause == route.NoRight })
			if len(e.Candidates) == 0 && byRight {
				return []admin.Suggestion{{Title: "Refused: no right on " + string(k.Channel), Key: string(k.ID), Model: name, Prompt: "May this model answer here?", Refused: true}}
			}
		}
	}
	return nil
}
