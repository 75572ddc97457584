package file

import (
	"cmp"
	"fmt"
	"slices"

	"github.com/accordo-ai/accordo/internal/alliance"
)

// offer is a model on a pool, which has one price at a time.
type offer struct {
	pool  alliance.PoolID
	model alliance.ModelID
}

func (c *checker) prices() {
	offers := map[offer][]*alliance.Price{}
	for i := range c.Prices {
		p := &c.Prices[i]
		c.term(p, p.Term)
		c.currencyOf(p)
		for j, id := range p.Pools {
			pool := c.Pool(id)
			if pool == nil || p.Model == "" {
				continue
			}
			offers[offer{id, p.Model}] = append(offers[offer{id, p.Model}], p)
			if !serves(pool, p.Model) && !c.wrong(pool, "models") && c.has(pool, "models") {
				c.log.add(c.item(p, "pools", j), fmt.Sprintf("price %s: pool %s does not serve model %s", p.ID, id, p.Model), "a pool that lists the model, or add the model to the pool")
			}
		}
	}
	for i := range c.Pools {
		p := &c.Pools[i]
		for j := range p.Models {
			m := &p.Models[j]
			list := offers[offer{p.ID, m.Model}]
			if p.BilledBy == alliance.BilledByToken && len(list) == 0 && m.Model != "" {
				c.log.add(c.at(m, "model"), fmt.Sprintf("pool %s is billed by token, but model %s has no price there", p.ID, m.Model), fmt.Sprintf("a price with pools: [%s] and model: %s", p.ID, m.Model))
			}
			c.priceTerms(p.ID, list)
		}
	}
}

func serves(p *alliance.Pool, id alliance.ModelID) bool {
	return slices.ContainsFunc(p.Models, func(m alliance.PoolModel) bool { return m.Model == id })
}

// priceTerms checks that the prices of one offer neither overlap nor leave gaps.
func (c *checker) priceTerms(pool alliance.PoolID, list []*alliance.Price) {
	slices.SortStableFunc(list, func(a, b *alliance.Price) int { return a.From.Compare(b.From.Time) })
	for i := 1; i < len(list); i++ {
		a, b := list[i-1], list[i]
		switch {
		case a == b || a.From.IsZero() || b.From.IsZero() || c.wrong(a, "until"):
		case a.Until.IsZero() || b.From.Before(a.Until.Time):
			c.log.add(c.at(b, "from"), fmt.Sprintf("prices %s and %s overlap for model %s on pool %s", a.ID, b.ID, b.Model, pool), fmt.Sprintf("until: %s on %s", b.From, a.ID))
		case b.From.After(a.Until.Time):
			c.log.warn(c.at(b, "from"), fmt.Sprintf("model %s on pool %s has no price from %s to %s", b.Model, pool, a.Until, b.From), fmt.Sprintf("from: %s, if the pool serves in between", a.Until))
		}
	}
}

func (c *checker) plans() {
	for i := range c.Plans {
		p := &c.Plans[i]
		if c.has(p, "default_output_tokens") && p.DefaultOutputTokens == 0 {
			c.log.add(c.at(p, "default_output_tokens"), fmt.Sprintf("plan %s would answer nothing", p.ID), "default_output_tokens: 1 or more")
		}
		if p.Wholesale != nil && p.Seller == c.Operator && p.Seller != "" {
			c.log.add(c.at(p, "wholesale"), fmt.Sprintf("plan %s is sold by the operator, who would pay itself", p.ID), "price: for what the customer pays, or the seller that pays the wholesale fee")
		}
		if h := p.Hedge; h != nil && c.has(h, "after_ms") && (h.AfterMS < 1 || h.AfterMS > 600_000) {
			c.log.add(c.at(h, "after_ms"), fmt.Sprintf("plan %s hedges after %d milliseconds", p.ID, h.AfterMS), "after_ms: 1 to 600_000")
		}
		c.subscription(p)
	}
}

func (c *checker) variants() {
	for i := range c.Variants {
		v := &c.Variants[i]
		seen := map[string]bool{}
		var flows []string
		for j := range v.Flows {
			f := &v.Flows[j]
			if seen[f.ID] && f.ID != "" {
				c.log.add(c.at(f, "id"), fmt.Sprintf("variant %s has two flows %q", v.ID, f.ID), "another id")
			}
			seen[f.ID] = true
			flows = append(flows, f.ID)
		}
		if v.DefaultFlow != "" && len(flows) > 0 && !seen[v.DefaultFlow] {
			c.log.add(c.at(v, "default_flow"), fmt.Sprintf("variant %s has no flow %q", v.ID, short(v.DefaultFlow)), c.log.suggest(v.DefaultFlow, func() []string { return flows }, "the id of one of its flows"))
		}
		switched := map[alliance.Territory]alliance.Date{}
		for j := range v.Rollout {
			r := &v.Rollout[j]
			before, again := switched[r.Territory]
			if again && !r.From.IsZero() && !before.IsZero() && !r.From.After(before.Time) {
				c.log.add(c.at(r, "from"), fmt.Sprintf("variant %s: rollout of %s on %s is not after the one before it (%s)", v.ID, r.Territory, r.From, before), "steps of a territory in order of from, each on another day")
			}
			switched[r.Territory] = r.From
		}
	}
}

func (c *checker) tenants() {
	digests := map[string]*alliance.Key{}
	for i := range c.Tenants {
		c.requestLog(&c.Tenants[i])
		for j := range c.Tenants[i].Keys {
			k := &c.Tenants[i].Keys[j]
			if other := digests[k.SHA256]; other != nil && k.SHA256 != "" {
				c.log.add(c.at(k, "sha256"), fmt.Sprintf("keys %s and %s have the same secret", other.ID, k.ID), "the digest of another secret")
			}
			digests[k.SHA256] = k
			if len(k.Territories) > 0 && !k.Trusted {
				c.log.add(c.at(k, "territories"), fmt.Sprintf("key %s is not trusted to assert a territory", k.ID), "trusted: true, or take territories out")
			}
			p := c.Plan(k.Plan)
			if p != nil && k.Surface != "" && len(p.Surfaces) > 0 && !slices.Contains(p.Surfaces, k.Surface) {
				c.log.add(c.at(k, "surface"), fmt.Sprintf("plan %s is not offered on surface %q", p.ID, k.Surface), c.log.suggest(k.Surface, func() []string { return p.Surfaces }, "a surface of the plan"))
			}
		}
	}
}

// requestLog checks what a tenant asked to have kept.
func (c *checker) requestLog(t *alliance.Tenant) {
	l := t.RequestLog
	if l == nil {
		return
	}
	if l.RetentionDays < 0 || l.RetentionDays > alliance.MaxRetentionDays {
		c.log.add(c.at(l, "retention_days"), fmt.Sprintf("tenant %s: requests cannot be kept for %d days", t.ID, l.RetentionDays), fmt.Sprintf("1 to %d days", alliance.MaxRetentionDays))
	}
	if l.MaxBytes != 0 && (l.MaxBytes < alliance.MinLogBytes || l.MaxBytes > alliance.MaxLogBytes) {
		c.log.add(c.at(l, "max_bytes"), fmt.Sprintf("tenant %s: max_bytes is %d", t.ID, l.MaxBytes), fmt.Sprintf("%d to %d, or leave it out for %d", alliance.MinLogBytes, alliance.MaxLogBytes, alliance.DefaultLogBytes))
	}
}

func (c *checker) rights() {
	ids := make([]string, 0, len(c.Rights))
	superseded := map[alliance.RightID]alliance.Date{} // since when it is
	for i := range c.Rights {
		r := &c.Rights[i]
		ids = append(ids, string(r.ID))
		c.term(r, r.Term)
		if !r.UntilLatest.IsZero() && (r.Until.IsZero() || r.UntilLatest.Before(r.Until.Time)) {
			c.log.add(c.at(r, "until_latest"), fmt.Sprintf("right %s: until_latest is the later end of a range", r.ID), "until: the earliest end, and until_latest on or after it")
		}
		for j := range r.Exceptions {
			if e := &r.Exceptions[j]; e.Seller == "" && e.Channel == "" && e.Host == "" && len(e.Models) == 0 && c.nodes[e] != nil {
				c.log.add(c.nodes[e], fmt.Sprintf("right %s: this exception takes out everything", r.ID), "seller, channel, host or models that are excepted")
			}
		}
		for j, id := range r.Supersedes {
			old := c.Right(id)
			if old == nil || r.Known.IsZero() {
				continue
			}
			if r.Known.Before(old.Known.Time) {
				c.log.add(c.item(r, "supersedes", j), fmt.Sprintf("right %s became known on %s, before %s (%s) that it supersedes", r.ID, r.Known, id, old.Known), "let the later right supersede the earlier one")
			}
			if since, ok := superseded[id]; !ok || r.Known.Before(since.Time) {
				superseded[id] = r.Known
			}
		}
	}
	c.acyclic(ids, func(id string) []string {
		if r := c.Right(alliance.RightID(id)); r != nil {
			return texts(r.Supersedes)
		}
		return nil
	}, func(id string, i int) *node { return c.item(c.Right(alliance.RightID(id)), "supersedes", i) }, "supersedes")
	c.exclusives(superseded)
}

// exclusives finds exclusive rights of different holders to the same thing.
// They are compared within buckets of one object and model, so that many
// rights to many models cost little.
func (c *checker) exclusives(superseded map[alliance.RightID]alliance.Date) {
	type bucket struct{ object, model string }
	buckets := map[bucket][]*alliance.Right{}
	wide := map[string][]*alliance.Right{}       // by object, to all models
	everything := map[string][]*alliance.Right{} // by object
	checked := map[[2]*alliance.Right]bool{}
	compare := func(a, b *alliance.Right) {
		if checked[[2]*alliance.Right{a, b}] || !c.collide(a, b, superseded) {
			return
		}
		checked[[2]*alliance.Right{a, b}] = true
		later := b
		if cmp.Or(a.Known.Compare(b.Known.Time), a.From.Compare(b.From.Time), cmp.Compare(a.ID, b.ID)) > 0 {
			a, later = b, a
		}
		c.log.add(c.at(later, "mode"), fmt.Sprintf("exclusive rights %s and %s overlap: the same %s at the same time for different holders", a.ID, later.ID, a.Object),
			fmt.Sprintf("supersedes: [%s] if it replaces that right, an exception, or dates, models or territories that do not overlap", a.ID))
	}
	for i := range c.Rights {
		r := &c.Rights[i]
		if r.Mode != alliance.Exclusive || r.From.IsZero() {
			continue
		}
		models, all := c.models(r.Models)
		against := wide[r.Object]
		if all {
			against = everything[r.Object]
			wide[r.Object] = append(wide[r.Object], r)
		}
		for _, other := range against {
			compare(other, r)
		}
		everything[r.Object] = append(everything[r.Object], r)
		for _, m := range models {
			k := bucket{r.Object, string(m)}
			for _, other := range buckets[k] {
				compare(other, r)
			}
			buckets[k] = append(buckets[k], r)
		}
	}
}

// models are the models and variants that a right's list means; all says that it means every one.
func (c *checker) models(list []alliance.ModelID) (out []alliance.ModelID, all bool) {
	for _, id := range list {
		switch f := c.Family(id); {
		case id == "*":
			return nil, true
		case id == "open-weights":
			for i := range c.Models {
				if c.Models[i].Weights == "open" {
					out = append(out, c.Models[i].ID)
				}
			}
		case f != nil:
			for i := range f.Members {
				out = append(out, f.Members[i].Model)
			}
		default:
			out = append(out, id)
		}
	}
	slices.Sort(out)
	return slices.Compact(out), false
}

// collide reports whether two exclusive rights to the same models contradict each other.
func (c *checker) collide(a, b *alliance.Right, superseded map[alliance.RightID]alliance.Date) bool {
	term := func(r *alliance.Right) alliance.Term {
		if !r.UntilLatest.IsZero() {
			return alliance.Term{From: r.From, Until: r.UntilLatest}
		}
		return r.Term
	}
	known := func(r *alliance.Right) alliance.Term {
		return alliance.Term{From: r.Known, Until: superseded[r.ID]}
	}
	return overlap(term(a), term(b)) && overlap(known(a), known(b)) &&
		(differ(a.Seller, b.Seller) || differ(a.Channel, b.Channel) || differ(a.Host, b.Host)) &&
		(len(a.Territories) == 0 || slices.ContainsFunc(a.Territories, func(t alliance.Territory) bool { return t.Touches(b.Territories) })) &&
		share(a.Regions, b.Regions, func(x, y alliance.Region) bool { return x == y }) &&
		!excepts(a, b) && !excepts(b, a)
}

// differ reports whether two holders are named and not the same.
func differ[S ~string](a, b S) bool { return a != "" && b != "" && a != b }

// share reports whether two lists, of which an empty one means any, have something in common.
func share[T any](a, b []T, same func(a, b T) bool) bool {
	return len(a) == 0 || len(b) == 0 || slices.ContainsFunc(a, func(x T) bool {
		return slices.ContainsFunc(b, func(y T) bool { return same(x, y) })
	})
}

// excepts reports whether a right takes the holder of another out.
func excepts(a, b *alliance.Right) bool {
	return slices.ContainsFunc(a.Exceptions, func(e alliance.Exception) bool {
		models := len(e.Models) == 0
		for _, m := range b.Models {
			models = models || slices.Contains(e.Models, m)
		}
		return models && (e.Seller == "" || e.Seller == b.Seller) && (e.Channel == "" || e.Channel == b.Channel) && (e.Host == "" || e.Host == b.Host)
	})
}
