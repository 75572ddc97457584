package gateway

import (
	"fmt"

	"github.com/accordo-ai/accordo/internal/alliance"
	"github.com/accordo-ai/accordo/internal/rating"
	"github.com/accordo-ai/accordo/internal/request"
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

// compiled is a State made ready for lookups. It is immutable.
type compiled struct {
	a         *alliance.Alliance
	keys      *keyTable
	upstreams map[alliance.PoolID]Upstream
	standIns  map[alliance.PoolID]string
	prices    *rating.Book
	terms     *request.Terms
}

func compile(s State) (*compiled, error) {
	if s.Alliance == nil {
		return nil, fmt.Errorf("gateway: no alliance")
	}
	keys, err := newKeyTable(s.Alliance, s.Keys, maxKeys)
	if err != nil {
		return nil, err
	}
	return &compiled{a: s.Alliance, keys: keys, upstreams: s.Upstreams, standIns: s.StandIns, prices: rating.NewBook(s.Alliance), terms: request.NewTerms(s.Alliance)}, nil
}

// standIn is what really answers for a pool, for people; "" is its provider.
func (c *compiled) standIn(p *alliance.Pool) string {
	if says := c.standIns[p.ID]; says != "" || p.StandIn == nil {
		return says
	}
	return p.StandIn.Says
}
