package gateway

import (
	"encoding/hex"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/accordo-ai/accordo/internal/alliance"
	"github.com/accordo-ai/accordo/internal/rating"
	"github.com/accordo-ai/accordo/internal/route"
	"github.com/accordo-ai/accordo/internal/variant"
)

// Key is an API key of a tenant, from the terms or issued as a fact. A key
// without a SHA256 cannot be used.
type Key struct {
	Tenant alliance.TenantID
	alliance.Key
}

// TermsKeys are the keys of an alliance's tenants.
func TermsKeys(a *alliance.Alliance) []Key {
	var keys []Key
	for _, t := range a.Tenants {
		for _, k := range t.Keys {
			keys = append(keys, Key{t.ID, k})
		}
	}
	return keys
}

type principal struct {
	Key
	plan *alliance.Plan
	// share of the requests under way that the plan may fill, in ppm.
	share int64
	log   *alliance.RequestLog // what the tenant asked to have kept, or nil
}

// compiled is a State made ready for lookups. It is immutable.
type compiled struct {
	a         *alliance.Alliance
	keys      map[[32]byte]*principal
	upstreams map[alliance.PoolID]Upstream
	standIns  map[alliance.PoolID]string
	prices    *rating.Book
	systems   map[*alliance.Flow]string
	longest   time.Duration // that a pool of the terms may take for an attempt, 0: none says
}

func compile(s State) (*compiled, error) {
	if s.Alliance == nil {
		return nil, fmt.Errorf("gateway: no alliance")
	}
	c := &compiled{a: s.Alliance, keys: make(map[[32]byte]*principal, len(s.Keys)), upstreams: s.Upstreams, standIns: s.StandIns, prices: rating.NewBook(s.Alliance), systems: map[*alliance.Flow]string{}}
	for _, k := range s.Keys {
		if k.SHA256 == "" {
			continue
		}
		var sum [32]byte
		if n, err := hex.Decode(sum[:], []byte(k.SHA256)); err != nil || n != len(sum) || len(k.SHA256) != 64 {
			return nil, fmt.Errorf("key %s: sha256 is not 64 hex digits", k.ID)
		}
		p := &principal{Key: k, plan: s.Alliance.Plan(k.Plan)}
		p.share = route.SharePPM(s.Alliance, p.plan)
		if t := s.Alliance.Tenant(k.Tenant); t != nil {
			p.log = t.RequestLog
		}
		if p.plan == nil {
			return nil, fmt.Errorf("key %s: the plan %q is not in the terms", k.ID, k.Plan)
		}
		if other := c.keys[sum]; other != nil {
			return nil, fmt.Errorf("keys %s and %s are the same secret: issue one anew", other.ID, k.ID)
		}
		c.keys[sum] = p
	}
	for i := range s.Alliance.Pools {
		ms := min(s.Alliance.Pools[i].Endpoint.TotalMS, MaxHold.Milliseconds())
		c.longest = max(c.longest, time.Duration(ms)*time.Millisecond)
	}
	for i := range s.Alliance.Variants {
		v := &s.Alliance.Variants[i]
		for j := range v.Flows {
			c.systems[&v.Flows[j]] = variant.Compile(v, &v.Flows[j])
		}
	}
	return c, nil
}

// standIn is what really answers for a pool, for people; "" is its provider.
func (c *compiled) standIn(p *alliance.Pool) string {
	if says := c.standIns[p.ID]; says != "" || p.StandIn == nil {
		return says
	}
	return p.StandIn.Says
}

// inPlan reports whether the plan offers what was asked for: the id itself,
// or for a model a family that contains it, or for a variant the variant's
// own list of plans.
func (c *compiled) inPlan(p *alliance.Plan, asked alliance.ModelID, m *alliance.Model, v *alliance.Variant) bool {
	if v != nil {
		return slices.Contains(v.Plans, p.ID)
	}
	for _, id := range p.Models {
		if id == asked || id == m.ID || id == "*" {
			return true
		}
		if f := c.a.Family(id); f != nil && slices.ContainsFunc(f.Members, func(x alliance.FamilyMember) bool { return x.Model == m.ID }) {
			return true
		}
	}
	return false
}

// shown is the name of what was asked for as answers carry it: id@version.
func shown(m *alliance.Model, v *alliance.Variant) string {
	if v != nil {
		return string(v.ID) + "@" + v.Version
	}
	if m.Version == "" {
		return string(m.ID)
	}
	return string(m.ID) + "@" + m.Version
}

// splitVersion cuts "@version" off a model's name, so that a client may send
// back what an answer named.
func splitVersion(name string) (id, version string) {
	id, version, _ = strings.Cut(name, "@")
	return id, version
}
