package app

import (
	"fmt"
	"slices"
	"time"

	"github.com/accordo-ai/accordo/internal/alliance"
	"github.com/accordo-ai/accordo/internal/route"
)

// maxOffers bounds the combinations of plan, channel, territory and model that
// are asked for.
const maxOffers = 2000

// offer is what the key of a customer may ask for.
type offer struct {
	plan      alliance.PlanID
	channel   alliance.ChannelID
	territory alliance.Territory
	model     alliance.ModelID
}

// offersOf are what the keys of the file may ask for, each once.
func offersOf(a *alliance.Alliance) (list []offer) {
	seen := map[offer]bool{}
	for i := range a.Tenants {
		for j := range a.Tenants[i].Keys {
			k := &a.Tenants[i].Keys[j]
			p := a.Plan(k.Plan)
			if p == nil {
				continue
			}
			for _, m := range p.Models {
				o := offer{p.ID, k.Channel, k.Territory, m}
				if seen[o] || len(list) >= maxOffers {
					continue
				}
				seen[o] = true
				list = append(list, o)
			}
		}
	}
	return list
}

// served asks whether a pool may serve the offer at an instant, whatever its
// load, and if none why not. What facts decide, options and rates of
// exchange, is taken as served: the file cannot tell.
func (o offer) served(a *alliance.Alliance, r *route.Router, at time.Time) (yes bool, why string) {
	m, v, _, ok := a.Resolve(o.model, at)
	if !ok {
		return false, fmt.Sprintf("%s has no member that serves", o.model)
	}
	q := route.Request{Model: m.ID, Plan: o.plan, Channel: o.channel, Territory: o.territory, Kind: m.Kind, Input: 1, Output: 1}
	if v != nil {
		q.Variant = v.ID
	}
	d := r.Decide(at, &q, 0)
	if d.Pool != nil || d.Reason == route.Full || d.Reason == route.Unhealthy || d.Reason == route.UsedUp {
		return true, ""
	}
	why = "no pool has it"
	for i := range d.Refused {
		x := &d.Refused[i]
		if x.Cause == route.NotExercised || x.Cause == route.NoRate {
			return true, ""
		}
		if why = x.Why; x.Cause == route.NoRight && len(x.Refusals) > 0 {
			why = fmt.Sprintf("%s: right %s: %s", x.Why, x.Refusals[0].Right.ID, x.Refusals[0].Why)
		}
	}
	return false, why
}

// ending is an instant with what ended then.
type ending struct {
	at   time.Time
	what []string
}

// ends are the instants up to now at which rights, contracts or prices of the
// file ended, the latest first.
func ends(a *alliance.Alliance, now time.Time) (list []ending) {
	add := func(d alliance.Date, what string) {
		if d.IsZero() || d.After(now) {
			return
		}
		if i := slices.IndexFunc(list, func(e ending) bool { return e.at.Equal(d.Time) }); i >= 0 {
			list[i].what = append(list[i].what, what)
			return
		}
		list = append(list, ending{d.Time, []string{what}})
	}
	for i := range a.Rights {
		add(a.Rights[i].Until, "right "+string(a.Rights[i].ID))
	}
	for i := range a.Contracts {
		add(a.Contracts[i].Until, "contract "+string(a.Contracts[i].ID))
	}
	for i := range a.Prices {
		add(a.Prices[i].Until, "price "+string(a.Prices[i].ID))
	}
	slices.SortFunc(list, func(x, y ending) int { return y.at.Compare(x.at) })
	return list
}

const (
	// maxEnds bounds how many ends in the past are looked back beyond.
	maxEnds = 16
	// maxOffersShown bounds the offers that are told one by one.
	maxOffersShown = 20
)

// offers looks for what customers may ask for and no pool may serve: what
// ended, and what will within expirySoon.
func (d *doctor) offers(a *alliance.Alliance) {
	now, past := d.o.Now, ends(a, d.o.Now)
	past = past[:min(len(past), maxEnds)]
	today, soon := route.New(a, now), route.New(a, now.Add(expirySoon))
	var never []string
	count, told, untold := 0, 0, 0
	tell := func(say func(about, do, says string, args ...any), do, says string, args ...any) {
		if told++; told > maxOffersShown {
			untold++
			return
		}
		say("rights", do, says, args...)
	}
	for _, o := range offersOf(a) {
		what := fmt.Sprintf("%s for plan %s in %s through %s", o.model, o.plan, o.territory, o.channel)
		explain := "accordo explain"
		if d.o.File != "" {
			explain += " --file " + d.o.File
		}
		explain += fmt.Sprintf(" --model %s --plan %s --channel %s --territory %s", o.model, o.plan, o.channel, o.territory)
		yes, why := o.served(a, today, now)
		if yes {
			count++
			if later, why := o.served(a, soon, now.Add(expirySoon)); !later {
				tell(d.note, "renew it in time; "+explain+" --at "+now.Add(expirySoon).UTC().Format(time.DateOnly), "%s ends within %d days: %s", what, expirySoon/(24*time.Hour), why)
			}
			continue
		}
		ended := slices.IndexFunc(past, func(e ending) bool {
			before := e.at.Add(-time.Second)
			was, _ := o.served(a, route.New(a, before), before)
			return was
		})
		if ended < 0 {
			never = append(never, string(o.model)+" ("+string(o.plan)+")")
			continue
		}
		tell(d.wrong, "renew what ended, or take the model out of the plan; "+explain, "%s is refused since %s, when %s ended: %s", what, past[ended].at.UTC().Format(time.DateOnly), few(past[ended].what), why)
	}
	if untold > 0 {
		d.note("rights", "", "and %d combinations more that ended or will soon", untold)
	}
	d.fine("rights", "%d combinations of model, plan, channel and territory of the keys may be served", count)
	if len(never) > 0 {
		slices.Sort(never)
		never = slices.Compact(never)
		d.note("rights", "nothing, if that is meant; `accordo explain --model … --plan …` says why", "plans offer what no pool may serve to their keys: %s", few(never))
	}
}
