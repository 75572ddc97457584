package gateway

import (
	"encoding/hex"
	"fmt"

	"github.com/accordo-ai/accordo/internal/alliance"
	"github.com/accordo-ai/accordo/internal/rating"
	"github.com/accordo-ai/accordo/internal/request"
	"github.com/accordo-ai/accordo/internal/route"
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
	terms     *request.Terms
}

func compile(s State) (*compiled, error) {
	if s.Alliance == nil {
		return nil, fmt.Errorf("gateway: no alliance")
	}
	c := &compiled{a: s.Alliance, keys: make(map[[32]byte]*principal, len(s.Keys)), upstreams: s.Upstreams, standIns: s.StandIns, prices: rating.NewBook(s.Alliance), terms: request.NewTerms(s.Alliance)}
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
	return c, nil
}

// standIn is what really answers for a pool, for people; "" is its provider.
func (c *compiled) standIn(p *alliance.Pool) string {
	if says := c.standIns[p.ID]; says != "" || p.StandIn == nil {
		return says
	}
	return p.StandIn.Says
}
