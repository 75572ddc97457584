package story

import (
	"fmt"
	"time"

	"github.com/accordo-ai/accordo/internal/alliance"
)

// find looks an id up among all kinds of objects. known is the day since
// which it is known: of a right its own, of what rests on claims that of the
// first of them, and zero of what the terms simply hold, such as a pool.
func find(a *alliance.Alliance, id string) (o Object, known time.Time, ok bool) {
	o = lookUp(a, id)
	if o.Kind == "" {
		return Object{}, time.Time{}, false
	}
	switch o.Kind {
	case "right":
		known = a.Right(alliance.RightID(id)).Known.Time
	case "deal", "contract", "model", "variant", "plan":
		for _, c := range describe(a, id, nil).claims {
			if c := a.Claim(c); c != nil && (known.IsZero() || c.Known.Before(known)) {
				known = c.Known.Time
			}
		}
	}
	return o, known, true
}

func lookUp(a *alliance.Alliance, id string) Object {
	is := func(kind, title string) Object { return Object{id, kind, title} }
	if d := a.Deal(id); d != nil {
		return is("deal", d.Title)
	}
	if c := a.Contract(alliance.ContractID(id)); c != nil {
		return is("contract", c.Title)
	}
	if r := a.Right(alliance.RightID(id)); r != nil {
		return is("right", r.Title)
	}
	if p := a.Pool(alliance.PoolID(id)); p != nil {
		title := string(p.Provider) + " " + string(p.Region)
		if p.Chip != "" {
			title += fmt.Sprintf(", %d %s", p.Chips, p.Chip)
		}
		return is("pool", title)
	}
	if c := a.Chip(alliance.ChipID(id)); c != nil {
		return is("chip", c.Name)
	}
	if v := a.Variant(alliance.ModelID(id)); v != nil {
		return is("variant", v.Name+", version "+v.Version)
	}
	if m := a.Model(alliance.ModelID(id)); m != nil {
		return is("model", m.Name)
	}
	if f := a.Family(alliance.ModelID(id)); f != nil {
		return is("family", f.Name)
	}
	if p := a.Plan(alliance.PlanID(id)); p != nil {
		return is("plan", p.Name)
	}
	if c := a.Channel(alliance.ChannelID(id)); c != nil {
		return is("channel", c.Name)
	}
	if p := a.Price(alliance.PriceID(id)); p != nil {
		return is("price", "of "+string(p.Model))
	}
	if p := a.Party(alliance.PartyID(id)); p != nil {
		return is("party", p.Name)
	}
	if t := a.Tenant(alliance.TenantID(id)); t != nil {
		return is("tenant", t.Name)
	}
	if key, _ := a.Key(alliance.KeyID(id)); key != nil {
		return is("key", "on plan "+string(key.Plan))
	}
	return Object{}
}
