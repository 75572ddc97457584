package file

import (
	"fmt"
	"slices"
	"strings"

	"github.com/accordo-ai/accordo/internal/alliance"
)

// checker checks what the terms mean together, once they are decoded. Every
// check leaves out values that were already found wrong.
type checker struct {
	*alliance.Alliance
	nodes   map[any]*node
	objects map[string]*object // what the ids of the lists name
	log     *faultLog
	root    *node
}

func newChecker(a *alliance.Alliance, d *decoder) *checker {
	return &checker{Alliance: a, nodes: d.nodes, objects: d.byID, log: d.log, root: d.nodes[a]}
}

func (c *checker) run() {
	c.log.checking = true
	if n := c.at(c.Alliance, "version"); c.Version != 1 && n.kind == scalarNode {
		c.log.add(n, fmt.Sprintf("version %s of the format is not read", short(n.text)), "version: 1")
	}
	c.nestedIDs()
	c.claims()
	c.deals()
	c.contracts()
	c.pools()
	c.prices()
	c.rights()
	c.families()
	c.channels()
	c.plans()
	c.variants()
	c.tenants()
}

// at is the node of a field of an object of the terms, or of the object when
// it does not state the field.
func (c *checker) at(object any, field string) *node {
	n := c.nodes[object]
	if n == nil {
		return c.root
	}
	return n.place(field)
}

// item is the node of one item of a list of an object.
func (c *checker) item(object any, field string, i int) *node {
	n := c.at(object, field)
	if n.kind == listNode && i < len(n.items) {
		return n.items[i]
	}
	return n
}

// wrong reports whether decoding found a field of an object, or what is in it, wrong.
func (c *checker) wrong(object any, fields ...string) bool {
	for _, field := range fields {
		if n := c.nodes[object].get(field); n != nil && (c.log.wrong[n] || slices.ContainsFunc(n.items, func(i *node) bool { return c.log.wrong[i] })) {
			return true
		}
	}
	return false
}

func (c *checker) has(object any, field string) bool { return c.nodes[object].get(field) != nil }

// nestedIDs checks that the ids inside plans and tenants are free too.
func (c *checker) nestedIDs() {
	taken := make(map[string]*node, len(c.objects))
	for id, o := range c.objects {
		taken[id] = o.node
	}
	check := func(object any, id string) {
		n := c.at(object, "id")
		first := taken[id]
		switch {
		case id == "":
		case !validID(id):
			c.log.add(n, fmt.Sprintf("%q is not an id", short(id)), "1 to 80 letters, digits, - _ . or /, beginning with a letter or digit")
		case first != nil:
			c.log.add(n, fmt.Sprintf("id %q is taken at %s:%d", id, first.src.name, first.line), "another id: ids are unique over all kinds and files")
		default:
			taken[id] = c.nodes[object]
		}
	}
	for i := range c.Plans {
		for _, s := range c.Plans[i].Sales() {
			check(s, string(s.ID))
		}
		for _, f := range c.Plans[i].Fees() {
			check(f, string(f.ID))
		}
	}
	for i := range c.Tenants {
		for j := range c.Tenants[i].Keys {
			k := &c.Tenants[i].Keys[j]
			check(k, string(k.ID))
		}
	}
}

// term checks that an interval does not end before it begins.
func (c *checker) term(object any, t alliance.Term) bool {
	if t.From.IsZero() || t.Until.IsZero() || t.From.Before(t.Until.Time) {
		return true
	}
	c.log.add(c.at(object, "until"), fmt.Sprintf("until %s is not after from %s", t.Until, t.From), "a later day; the end is the first day after the interval")
	return false
}

// overlap reports whether two intervals have an instant in common.
func overlap(a, b alliance.Term) bool {
	return (a.Until.IsZero() || b.From.Before(a.Until.Time)) && (b.Until.IsZero() || a.From.Before(b.Until.Time))
}

// acyclic checks that following links from id to id never comes back; at
// names the place of a link.
func (c *checker) acyclic(ids []string, links func(id string) []string, at func(id string, link int) *node, what string) {
	const fresh, open, done = 0, 1, 2
	state := make(map[string]int, len(ids))
	type frame struct {
		id   string
		next int
	}
	for _, start := range ids {
		if state[start] != fresh {
			continue
		}
		stack := []frame{{start, 0}}
		state[start] = open
		for len(stack) > 0 {
			top := &stack[len(stack)-1]
			list := links(top.id)
			if top.next == len(list) {
				state[top.id] = done
				stack = stack[:len(stack)-1]
				continue
			}
			to := list[top.next]
			top.next++
			switch state[to] {
			case fresh:
				state[to] = open
				stack = append(stack, frame{to, 0})
			case open:
				var chain []string
				for _, f := range stack[slices.IndexFunc(stack, func(f frame) bool { return f.id == to }):] {
					chain = append(chain, f.id)
				}
				if len(chain) > 5 {
					chain = append(chain[:5:5], "...")
				}
				c.log.add(at(top.id, top.next-1), fmt.Sprintf("%s goes in a circle: %s", what, strings.Join(append(chain, to), " -> ")), "take one of these out")
			}
		}
	}
}

// texts turns typed ids into plain ones.
func texts[S ~string](list []S) []string {
	out := make([]string, len(list))
	for i, v := range list {
		out[i] = string(v)
	}
	return out
}

func (c *checker) claims() {
	var ids []string
	for i := range c.Claims {
		l := &c.Claims[i]
		ids = append(ids, string(l.ID))
		c.figure(l)
		for j, id := range l.Supersedes {
			if old := c.Claim(id); old != nil && !old.Known.IsZero() && !l.Known.IsZero() && l.Known.Before(old.Known.Time) {
				c.log.add(c.item(l, "supersedes", j), fmt.Sprintf("%s became known on %s, before %s (%s) that it supersedes", l.ID, l.Known, id, old.Known), "let the later claim supersede the earlier one")
			}
		}
		for j, id := range l.Conflicts {
			if id == l.ID {
				c.log.add(c.item(l, "conflicts", j), "a claim cannot conflict with itself", "the id of the other claim")
			}
		}
	}
	c.acyclic(ids, func(id string) []string {
		return c.claimLinks(id, func(l *alliance.Claim) []alliance.ClaimID { return l.Supersedes })
	},
		func(id string, i int) *node { return c.item(c.Claim(alliance.ClaimID(id)), "supersedes", i) }, "supersedes")
	c.acyclic(ids, func(id string) []string {
		return c.claimLinks(id, func(l *alliance.Claim) []alliance.ClaimID { return l.Contains })
	},
		func(id string, i int) *node { return c.item(c.Claim(alliance.ClaimID(id)), "contains", i) }, "contains")
}

func (c *checker) claimLinks(id string, of func(*alliance.Claim) []alliance.ClaimID) []string {
	if l := c.Claim(alliance.ClaimID(id)); l != nil {
		return texts(of(l))
	}
	return nil
}

// figure checks that a claim's bound, figures and unit go together.
func (c *checker) figure(l *alliance.Claim) {
	c.also(l)
	low, high := c.has(l, "low"), c.has(l, "high")
	complain := func(field, problem, remedy string) {
		c.log.add(c.at(l, field), fmt.Sprintf("claim %s: %s", l.ID, problem), remedy)
	}
	switch l.Bound {
	case "":
		switch {
		case low || high:
			complain(first(low, "low", "high"), "a figure without a bound", "bound: exact, about, floor, ceiling or range")
		case l.Unit != "":
			complain("unit", "a unit without a figure", "bound and low or high, or no unit")
		}
		return
	case "exact", "about", "floor":
		if !low {
			complain("bound", fmt.Sprintf("bound %s needs low", l.Bound), "low: the figure")
		}
		if high {
			complain("high", fmt.Sprintf("bound %s has no high", l.Bound), "low alone, or bound: range")
		}
	case "ceiling":
		if !high {
			complain("bound", "bound ceiling needs high", "high: the figure")
		}
		if low {
			complain("low", "bound ceiling has no low", "high alone, or bound: range")
		}
	case "range":
		if !low || !high {
			complain("bound", "bound range needs low and high", "low: and high: with the ends of the range")
		} else if l.Low != nil && l.High != nil && *l.Low > *l.High {
			complain("high", fmt.Sprintf("high %s is below low %s", l.High, l.Low), "the larger figure as high")
		}
	default:
		return
	}
	if l.Unit == "" {
		complain("bound", "a figure without a unit", "unit: USD, EUR, chips, years, GW or what it counts")
	}
}

func first(ok bool, a, b string) string {
	if ok {
		return a
	}
	return b
}

func (c *checker) deals() {
	ids := make([]string, 0, len(c.Deals))
	for i := range c.Deals {
		d := &c.Deals[i]
		ids = append(ids, d.ID)
		for j := range d.Legs {
			if leg := &d.Legs[j]; leg.Payer == leg.Payee && leg.Payer != "" {
				c.log.add(c.at(leg, "payee"), fmt.Sprintf("payer and payee of this leg are both %s", leg.Payer), "the party that receives it")
			}
		}
	}
	c.acyclic(ids, func(id string) []string {
		if d := c.Deal(id); d != nil {
			return d.Contains
		}
		return nil
	}, func(id string, i int) *node { return c.item(c.Deal(id), "contains", i) }, "contains")
}

// families checks that members follow each other in time.
func (c *checker) families() {
	for i := range c.Families {
		f := &c.Families[i]
		for j := 1; j < len(f.Members); j++ {
			if a, b := f.Members[j-1].From, f.Members[j].From; !a.IsZero() && !b.IsZero() && !b.After(a.Time) {
				c.log.add(c.at(&f.Members[j], "from"), fmt.Sprintf("family %s: member %s begins on %s, not after the one before it (%s)", f.ID, f.Members[j].Model, b, a), "members in order of from, each on another day")
			}
		}
		if n := len(f.Members); n > 0 {
			sameKind := slices.IndexFunc(f.Members, func(m alliance.FamilyMember) bool {
				a, b := c.Model(m.Model), c.Model(f.Members[0].Model)
				return a != nil && b != nil && a.Kind != b.Kind
			})
			if sameKind >= 0 {
				c.log.add(c.at(&f.Members[sameKind], "model"), fmt.Sprintf("family %s mixes chat and embedding models", f.ID), "models of one kind")
			}
		}
	}
}
