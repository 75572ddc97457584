package right

import (
	"slices"
	"strings"

	"github.com/accordo-ai/accordo/internal/alliance"
)

// place is where a model could run.
type place struct {
	host   alliance.PartyID
	region alliance.Region
}

// elsewhere stands for a host or region that no right names. It is not a
// legal id, so that nothing can match it by name.
const elsewhere = "\x00elsewhere"

// places lists where the query could be served: the place it names, or all
// that the rights tell apart, plus one that they do not.
func (r *Register) places(q *Query, w *work) []place {
	hosts, regions := []alliance.PartyID{q.Host}, []alliance.Region{q.Region}
	if q.Host == "" {
		hosts = r.hosts(q, w)
	}
	if q.Region == "" {
		regions = []alliance.Region{elsewhere}
		for _, list := range [...][]*entry{w.grants, w.bans} {
			for _, e := range list {
				for _, g := range e.Regions {
					if !slices.Contains(regions, g) {
						regions = append(regions, g)
					}
				}
			}
		}
	}
	out := make([]place, 0, len(hosts)*len(regions))
	for _, h := range hosts {
		for _, g := range regions {
			out = append(out, place{h, g})
		}
	}
	return out
}

// hosts lists the hosts that a query without one may mean: the cloud that
// runs the channel, so that a right over hosts cannot be dodged by not naming
// one, or else any.
func (r *Register) hosts(q *Query, w *work) []alliance.PartyID {
	if c := r.a.Channel(q.Channel); c != nil {
		if p := r.a.Party(c.Party); p != nil && (slices.Contains(p.Kinds, "cloud") || slices.Contains(p.Kinds, "neocloud")) {
			return []alliance.PartyID{p.ID}
		}
	}
	hosts := []alliance.PartyID{elsewhere}
	add := func(h alliance.PartyID) {
		if h != "" && !slices.Contains(hosts, h) {
			hosts = append(hosts, h)
		}
	}
	for _, list := range [...][]*entry{w.grants, w.bans} {
		for _, e := range list {
			add(e.Host)
			for _, x := range e.Exceptions {
				add(x.Host)
			}
		}
	}
	return hosts
}

// held reports whether the query's party is the holder of the right.
func (e *entry) held(q *Query) bool {
	return (e.Seller == "" || e.Seller == q.Seller) && (e.Channel == "" || e.Channel == q.Channel) && (e.Host == "" || e.Host == q.Host)
}

// mayBeHeld is held for prohibitions: a party that the query does not name may
// be the one that is meant.
func (e *entry) mayBeHeld(q *Query) bool {
	return (e.Seller == "" || q.Seller == "" || e.Seller == q.Seller) && (e.Channel == "" || q.Channel == "" || e.Channel == q.Channel) &&
		(e.Host == "" || e.Host == q.Host)
}

// refuses returns why a prohibition or another's exclusive right stands
// against q, or "". Its territories refuse where q may lie in them.
func (e *entry) refuses(q *Query, names []alliance.ModelID) string {
	if !inRegions(e.Regions, q.Region) || !q.Territory.Touches(e.Territories) || e.excepted(q, names) {
		return ""
	}
	if e.Mode == alliance.Denied {
		if !e.mayBeHeld(q) {
			return ""
		}
		return string(e.ID) + " denies it" + e.source()
	}
	if e.held(q) {
		return ""
	}
	var holder []string
	for _, part := range [...]struct{ word, id string }{
		{"seller", string(e.Seller)}, {"channel", string(e.Channel)}, {"host", string(e.Host)},
	} {
		if part.id != "" {
			holder = append(holder, part.word+" "+part.id)
		}
	}
	return string(e.ID) + " keeps it to " + strings.Join(holder, ", ") + e.source()
}

func (e *entry) source() string {
	if len(e.Claim) == 0 {
		return ""
	}
	return " (" + join(e.Claim) + ")"
}

// allows reports whether the right itself lets q pass.
func (e *entry) allows(q *Query, names []alliance.ModelID) bool {
	return e.held(q) && inRegions(e.Regions, q.Region) && q.Territory.In(e.Territories) && !e.excepted(q, names)
}

func inRegions(list []alliance.Region, r alliance.Region) bool {
	return len(list) == 0 || slices.Contains(list, r)
}

// excepted reports whether an exception takes q out of the right. One that
// names nothing takes nothing out.
func (e *entry) excepted(q *Query, names []alliance.ModelID) bool {
	for i := range e.Exceptions {
		x := &e.Exceptions[i]
		if x.Seller == "" && x.Channel == "" && x.Host == "" && len(x.Models) == 0 {
			continue
		}
		if (x.Seller == "" || x.Seller == q.Seller) && (x.Channel == "" || x.Channel == q.Channel) && (x.Host == "" || x.Host == q.Host) &&
			(len(x.Models) == 0 || slices.ContainsFunc(x.Models, func(m alliance.ModelID) bool { return slices.Contains(names, m) })) {
			return true
		}
	}
	return false
}

// grant returns the right that allows q: the most specific, then the latest
// known, then the first in the terms.
func (w *work) grant(q *Query) *entry {
	var best *entry
	var bestScore int
	for _, e := range w.grants {
		if !e.allows(q, w.names) {
			continue
		}
		score := e.score(w.names)
		if best == nil || score > bestScore || score == bestScore && e.Known.After(best.Known.Time) {
			best, bestScore = e, score
		}
	}
	return best
}

// score says how specific a right is: who holds it first, then what the model
// is called, then where.
func (e *entry) score(names []alliance.ModelID) int {
	s := 0
	for _, set := range [...]bool{e.Channel != "", e.Host != "", e.Seller != ""} {
		if set {
			s += 1000
		}
	}
	for i, n := range names {
		if slices.Contains(e.Models, n) {
			s += 10 * (len(names) - i)
			break
		}
	}
	for _, set := range [...]bool{e.Mode == alliance.Exclusive, len(e.Regions) > 0, len(e.Territories) > 0, e.State != ""} {
		if set {
			s++
		}
	}
	return s
}
