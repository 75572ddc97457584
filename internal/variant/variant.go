// Package variant compiles a variant's definition into the system message
// that is sent in front of a conversation: behaviour, style, and the
// operating priorities of the flow in their order. It is pure, the same
// definition gives the same bytes, and it refuses to decide who may use a
// variant: that is the gateway's.
package variant

import (
	"strconv"
	"strings"

	"github.com/accordo-ai/accordo/internal/alliance"
)

// Compile returns the system message of one flow of a variant, and "" when
// the definition says nothing.
func Compile(v *alliance.Variant, f *alliance.Flow) string {
	var b strings.Builder
	if v.Name != "" {
		b.WriteString("You are " + line(v.Name) + ".\n")
	}
	list(&b, "Behaviour", v.Behaviour, false)
	list(&b, "Style", v.Style, false)
	if f != nil {
		list(&b, "Operating priorities of the flow \""+line(f.ID)+"\"; an earlier one wins over a later one", f.Priorities, true)
	}
	return strings.TrimSuffix(b.String(), "\n")
}

func list(b *strings.Builder, title string, items []string, numbered bool) {
	if len(items) == 0 {
		return
	}
	if b.Len() > 0 {
		b.WriteByte('\n')
	}
	b.WriteString(title + ":\n")
	for i, item := range items {
		mark := "-"
		if numbered {
			mark = strconv.Itoa(i+1) + "."
		}
		b.WriteString(mark + " " + line(item) + "\n")
	}
}

// line puts text on one line, so that an item cannot pose as another part.
func line(text string) string { return strings.Join(strings.Fields(text), " ") }

// Allowed reports whether a plan and a surface may use the variant, with a
// reason for people when not. An empty surface is "not stated".
func Allowed(v *alliance.Variant, plan alliance.PlanID, surface string) (ok bool, why string) {
	if !has(v.Plans, plan) {
		return false, "the plan " + string(plan) + " does not include " + string(v.ID) + "; plans that do: " + join(v.Plans)
	}
	if len(v.Surfaces) > 0 && !has(v.Surfaces, surface) {
		if surface == "" {
			surface = "none stated"
		}
		return false, string(v.ID) + " is offered on " + strings.Join(v.Surfaces, ", ") + "; this request comes from: " + surface
	}
	return true, ""
}

func has[T comparable](list []T, want T) bool {
	for _, v := range list {
		if v == want {
			return true
		}
	}
	return false
}

func join(ids []alliance.PlanID) string {
	if len(ids) == 0 {
		return "none"
	}
	var parts []string
	for _, id := range ids {
		parts = append(parts, string(id))
	}
	return strings.Join(parts, ", ")
}
