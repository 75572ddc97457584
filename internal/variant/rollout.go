package variant

import (
	"strings"
	"time"

	"github.com/accordo-ai/accordo/internal/alliance"
)

// The states of a rollout.
const (
	On    = "on"
	OptIn = "opt_in"
)

// union are the members of the European Union; a rollout for "EU" holds in
// each of them.
const union = " AT BE BG HR CY CZ DK EE FI FR DE GR HU IE IT LV LT LU MT NL PL PT RO SK SI ES SE "

// Verdict says whether a variant is rolled out. Claims are those behind the
// step that decided.
type Verdict struct {
	On     bool
	Why    string
	Claims []alliance.ClaimID
}

// RolledOut judges a territory at an instant: of the steps that have begun,
// the most specific territory decides, and among equals the latest. What no
// step names is off.
func RolledOut(v *alliance.Variant, where alliance.Territory, optedIn bool, at time.Time) Verdict {
	var best, later *alliance.Rollout
	for i := range v.Rollout {
		r := &v.Rollout[i]
		rank := match(r.Territory, where)
		switch {
		case rank == 0:
		case r.From.After(at):
			if later == nil || r.From.Before(later.From.Time) {
				later = r
			}
		case best == nil, rank > match(best.Territory, where),
			rank == match(best.Territory, where) && !r.From.Before(best.From.Time):
			best = r
		}
	}
	name := string(v.ID) + " in " + string(where)
	switch {
	case best == nil && later != nil:
		return Verdict{Why: name + " begins on " + later.From.String(), Claims: later.Claim}
	case best == nil:
		return Verdict{Why: string(v.ID) + " is not rolled out in " + string(where) + "; it is in: " + begun(v, at)}
	case best.State == OptIn && !optedIn:
		return Verdict{Why: name + " needs an opt-in of the customer (rollout state opt_in since " + best.From.String() + ")", Claims: best.Claim}
	case best.State != On && best.State != OptIn:
		return Verdict{Why: name + " is switched off (" + best.State + ")", Claims: best.Claim}
	}
	return Verdict{On: true, Why: name + " is " + best.State + " since " + best.From.String(), Claims: best.Claim}
}

// match ranks how specifically a step's territory covers where; 0 is not.
func match(step, where alliance.Territory) int {
	switch {
	case step == where:
		return 3
	case step == "EU" && strings.Contains(union, " "+string(where)+" "):
		return 2
	case step == "*":
		return 1
	}
	return 0
}

func begun(v *alliance.Variant, at time.Time) string {
	var parts []string
	for _, r := range v.Rollout {
		if !r.From.After(at) {
			parts = append(parts, string(r.Territory)+" ("+r.State+")")
		}
	}
	if parts == nil {
		return "no territory yet"
	}
	return strings.Join(parts, ", ")
}
