// Package right decides who may offer which model where, at one instant and
// as known at another. It is pure: it refuses to read clocks, to do I/O and to
// guess; what no right allows is refused.
//
// A right is considered when it was known at the query's Known and holds at
// its At. A right that supersedes another ends it from its own From on, as
// soon as it is known: an amendment leaves the past as it was, a correction of
// the past takes the From of what it corrects.
package right

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/accordo-ai/accordo/internal/alliance"
)

// Query asks whether a model may be offered. At is the instant of the offer,
// Known the instant whose knowledge judges it (zero: At). An empty Host or
// Region asks whether some host or region would do; where the channel is run
// by a cloud, the host is that cloud. An empty Territory is anywhere.
type Query struct {
	Object    string
	Model     alliance.ModelID // a model, a family, a variant or "variant:flow"
	Seller    alliance.PartyID
	Channel   alliance.ChannelID
	Host      alliance.PartyID
	Region    alliance.Region
	Territory alliance.Territory
	At, Known time.Time
}

// Refusal names a right that stands against a query, and why, for people.
type Refusal struct {
	Right *alliance.Right
	Why   string
}

// Verdict is the answer to a query. By is the right that allows it; Reason is
// a sentence for people; Conflicts are the claims that contradict the claims
// behind the verdict and were known at the query's Known.
type Verdict struct {
	Allowed   bool
	By        *alliance.Right
	Refusals  []Refusal
	Reason    string
	Conflicts []*alliance.Claim
}

// Claims returns the ids of the claims behind the verdict, in order and once.
func (v *Verdict) Claims() []alliance.ClaimID {
	var ids []alliance.ClaimID
	add := func(r *alliance.Right) {
		for _, c := range r.Claim {
			if !slices.Contains(ids, c) {
				ids = append(ids, c)
			}
		}
	}
	if v.By != nil {
		add(v.By)
	}
	for _, r := range v.Refusals {
		add(r.Right)
	}
	return ids
}

// OpenWeights is how a right names all models with open weights, and AnyModel
// how it names every model; a right without models means every model too.
const (
	OpenWeights alliance.ModelID = "open-weights"
	AnyModel    alliance.ModelID = "*"
)

// Register answers queries over the rights of one version of the terms.
type Register struct {
	a        *alliance.Alliance
	families map[alliance.ModelID][]alliance.ModelID // of a model
	grants   map[grantKey][]*entry
	bans     map[banKey][]*entry
	counter  map[alliance.ClaimID][]*alliance.Claim // who contradicts a claim
	changes  []time.Time
}

type grantKey struct {
	object  string
	model   alliance.ModelID
	channel alliance.ChannelID // empty: any
}

type banKey struct {
	object string
	model  alliance.ModelID
}

// entry is a right with those that supersede it.
type entry struct {
	*alliance.Right
	order int
	by    []*alliance.Right
	end   time.Time // zero: open
}

// New indexes the rights of a, which must not change afterwards.
func New(a *alliance.Alliance) *Register {
	r := &Register{
		a:        a,
		families: map[alliance.ModelID][]alliance.ModelID{},
		grants:   map[grantKey][]*entry{},
		bans:     map[banKey][]*entry{},
		counter:  map[alliance.ClaimID][]*alliance.Claim{},
	}
	for i := range a.Families {
		for _, m := range a.Families[i].Members {
			r.families[m.Model] = append(r.families[m.Model], a.Families[i].ID)
			r.changes = append(r.changes, m.From.Time)
		}
	}
	superseders := map[alliance.RightID][]*alliance.Right{}
	for i := range a.Rights {
		for _, id := range a.Rights[i].Supersedes {
			superseders[id] = append(superseders[id], &a.Rights[i])
		}
	}
	for i := range a.Rights {
		r.index(&entry{Right: &a.Rights[i], order: i, by: superseders[a.Rights[i].ID], end: end(&a.Rights[i])})
	}
	slices.SortFunc(r.changes, time.Time.Compare)
	r.changes = slices.CompactFunc(r.changes, time.Time.Equal)
	r.indexClaims()
	return r
}

func (r *Register) index(e *entry) {
	models := slices.Clone(e.Models)
	if len(models) == 0 {
		models = []alliance.ModelID{AnyModel}
	}
	slices.Sort(models)
	for _, m := range slices.Compact(models) {
		if e.Mode != alliance.Denied {
			k := grantKey{e.Object, m, e.Channel}
			r.grants[k] = append(r.grants[k], e)
		}
		if e.Mode != alliance.NonExclusive {
			k := banKey{e.Object, m}
			r.bans[k] = append(r.bans[k], e)
		}
	}
	for _, t := range [...]time.Time{e.From.Time, e.end, e.Known.Time} {
		if !t.IsZero() {
			r.changes = append(r.changes, t)
		}
	}
}

func (r *Register) indexClaims() {
	for i := range r.a.Claims {
		c := &r.a.Claims[i]
		for _, id := range c.Conflicts {
			r.counter[id] = append(r.counter[id], c)
		}
	}
}

// end is the latest end of a right; the zero time is open.
func end(r *alliance.Right) time.Time {
	if r.UntilLatest.After(r.Until.Time) {
		return r.UntilLatest.Time
	}
	return r.Until.Time
}

// NextChange returns the first instant after the given one at which a verdict
// could change because a right begins, ends or becomes known, or a family
// gets a member; the zero time when there is none.
func (r *Register) NextChange(after time.Time) time.Time {
	i, found := slices.BinarySearchFunc(r.changes, after, time.Time.Compare)
	if found {
		i++
	}
	if i == len(r.changes) {
		return time.Time{}
	}
	return r.changes[i]
}

// Evaluate judges q: a prohibition that matches refuses it, an exclusive right
// of another holder refuses it, and otherwise some right must allow it.
func (r *Register) Evaluate(q Query) Verdict {
	if q.Known.IsZero() {
		q.Known = q.At
	}
	w := r.gather(&q)
	var v Verdict
	seen := map[*entry]bool{}
	for _, p := range r.places(&q, w) {
		at := q
		at.Host, at.Region = p.host, p.region
		refused := false
		for _, e := range w.bans {
			why := e.refuses(&at, w.names)
			if why == "" {
				continue
			}
			refused = true
			if !seen[e] {
				seen[e] = true
				v.Refusals = append(v.Refusals, Refusal{e.Right, why})
			}
		}
		if refused {
			continue
		}
		if by := w.grant(&at); by != nil {
			v = Verdict{Allowed: true, By: by.Right}
			break
		}
	}
	v.Reason = reason(&q, w, &v)
	v.Conflicts = r.conflicts(&q, &v)
	return v
}

// work is what a query has to look at: the rights in force for its model.
type work struct {
	names  []alliance.ModelID // of the model, most specific first
	grants []*entry
	bans   []*entry
}

func (r *Register) gather(q *Query) *work {
	w := &work{names: r.names(q.Model, q.At)}
	for _, name := range w.names {
		keys := [...]grantKey{{q.Object, name, q.Channel}, {q.Object, name, ""}}
		for i, k := range keys {
			if i == 1 && q.Channel == "" {
				break
			}
			for _, e := range r.grants[k] {
				if e.inForce(q) {
					w.grants = append(w.grants, e)
				}
			}
		}
		for _, e := range r.bans[banKey{q.Object, name}] {
			if e.inForce(q) {
				w.bans = append(w.bans, e)
			}
		}
	}
	w.grants, w.bans = inOrder(w.grants), inOrder(w.bans)
	return w
}

// inOrder sorts by the order of the terms and drops repetitions.
func inOrder(list []*entry) []*entry {
	slices.SortFunc(list, func(a, b *entry) int { return cmp.Compare(a.order, b.order) })
	return slices.Compact(list)
}

// names returns under what names rights may mean a model: itself, the base of
// a variant, the member that serves a family, the families of a model,
// OpenWeights and AnyModel. A model that the terms do not know has none.
func (r *Register) names(id alliance.ModelID, at time.Time) []alliance.ModelID {
	names := []alliance.ModelID{id}
	add := func(m alliance.ModelID) {
		if !slices.Contains(names, m) {
			names = append(names, m)
		}
	}
	v := r.a.Variant(id)
	if name, _, ok := strings.Cut(string(id), ":"); ok && v == nil {
		if v = r.a.Variant(alliance.ModelID(name)); v != nil {
			names[0] = v.ID
		}
	}
	if v != nil {
		id = v.Base
		add(id)
	}
	m := r.a.Model(id)
	f := r.a.Family(id)
	if m == nil && f != nil {
		if member, ok := f.At(at); ok {
			m = r.a.Model(member)
		}
	}
	if m == nil && f == nil && v == nil && id != "" {
		return nil
	}
	if m != nil {
		add(m.ID)
		for _, f := range r.families[m.ID] {
			add(f)
		}
		if m.Weights == "open" {
			add(OpenWeights)
		}
	}
	add(AnyModel)
	return names
}

func (e *entry) inForce(q *Query) bool {
	if e.Known.After(q.Known) || q.At.Before(e.From.Time) || !e.end.IsZero() && !q.At.Before(e.end) {
		return false
	}
	for _, s := range e.by {
		if !s.Known.After(q.Known) && !q.At.Before(s.From.Time) {
			return false
		}
	}
	return true
}

func reason(q *Query, w *work, v *Verdict) string {
	what := fmt.Sprintf("%s of %s", q.Object, q.Model)
	switch {
	case v.Allowed:
		s := fmt.Sprintf("%s is allowed by %s", what, v.By.ID)
		if v.By.State != "" {
			s += " (" + v.By.State + ")"
		}
		if len(v.By.Regions) > 0 {
			s += fmt.Sprintf(", in %s only", join(v.By.Regions))
		}
		return s
	case len(v.Refusals) > 0:
		return what + " is refused: " + v.Refusals[0].Why
	}
	if w.names == nil {
		return fmt.Sprintf("%s is refused: the terms know no model of that name", what)
	}
	return fmt.Sprintf("%s is refused: no right known on %s allows it on %s in %s on %s", what,
		q.Known.UTC().Format(time.DateOnly), orAny(q.Channel, "any channel"), orAny(q.Territory, "any territory"), q.At.UTC().Format(time.DateOnly))
}

// conflicts lists the claims that contradict those behind v, by when they
// became known.
func (r *Register) conflicts(q *Query, v *Verdict) []*alliance.Claim {
	behind := v.Claims()
	var out []*alliance.Claim
	add := func(c *alliance.Claim) {
		if c != nil && !c.Known.After(q.Known) && !slices.Contains(out, c) && !slices.Contains(behind, c.ID) {
			out = append(out, c)
		}
	}
	for _, id := range behind {
		if c := r.a.Claim(id); c != nil {
			for _, other := range c.Conflicts {
				add(r.a.Claim(other))
			}
		}
		for _, c := range r.counter[id] {
			add(c)
		}
	}
	slices.SortStableFunc(out, func(a, b *alliance.Claim) int {
		return cmp.Or(a.Known.Compare(b.Known.Time), cmp.Compare(a.ID, b.ID))
	})
	return out
}

func join[S ~string](list []S) string {
	var b strings.Builder
	for i, s := range list {
		if i > 0 {
			b.WriteString(", ")
		}
		b.WriteString(string(s))
	}
	return b.String()
}

func orAny[S ~string](s S, otherwise string) string {
	if s == "" {
		return otherwise
	}
	return string(s)
}
