package alliance

import (
	"cmp"
	"slices"
	"sort"
	"strings"
	"time"
)

// index finds objects by id. It is built once and never changed.
type index struct {
	parties   map[PartyID]*Party
	claims    map[ClaimID]*Claim
	deals     map[string]*Deal
	contracts map[ContractID]*Contract
	chips     map[ChipID]*Chip
	pools     map[PoolID]*Pool
	models    map[ModelID]*Model
	families  map[ModelID]*Family
	variants  map[ModelID]*Variant
	channels  map[ChannelID]*Channel
	rights    map[RightID]*Right
	prices    map[PriceID]*Price
	sales     map[PriceID]*SalePrice
	plans     map[PlanID]*Plan
	tenants   map[TenantID]*Tenant
	keys      []keyPlace
}

// keyPlace is where a key stands: Tenants[tenant].Keys[key]. Keys may be very
// many, and places cost the collector nothing.
type keyPlace struct{ tenant, key uint32 }

// keyPlaces are the places of all keys by their ids, in the order of the terms
// where ids are the same.
func keyPlaces(a *Alliance) []keyPlace {
	n := 0
	for i := range a.Tenants {
		n += len(a.Tenants[i].Keys)
	}
	places := make([]keyPlace, 0, n)
	for i := range a.Tenants {
		for j := range a.Tenants[i].Keys {
			places = append(places, keyPlace{uint32(i), uint32(j)})
		}
	}
	slices.SortStableFunc(places, func(p, q keyPlace) int { return cmp.Compare(p.of(a).ID, q.of(a).ID) })
	return places
}

func (p keyPlace) of(a *Alliance) *Key { return &a.Tenants[p.tenant].Keys[p.key] }

// Build makes the lookups by id take constant time and returns the alliance.
// The loader calls it once, before the value is shared; whoever makes an
// Alliance without the loader calls it too. Objects must not be added after.
func (a *Alliance) Build() *Alliance {
	a.index = newIndex(a)
	return a
}

// lookup is the index, made on the spot for an alliance that was not built:
// right, but slow.
func (a *Alliance) lookup() *index {
	if a.index != nil {
		return a.index
	}
	return newIndex(a)
}

func byID[K comparable, V any](list []V, id func(*V) K) map[K]*V {
	m := make(map[K]*V, len(list))
	for i := range list {
		k := id(&list[i])
		if _, taken := m[k]; !taken {
			m[k] = &list[i]
		}
	}
	return m
}

func newIndex(a *Alliance) *index {
	x := &index{
		parties:   byID(a.Parties, func(v *Party) PartyID { return v.ID }),
		claims:    byID(a.Claims, func(v *Claim) ClaimID { return v.ID }),
		deals:     byID(a.Deals, func(v *Deal) string { return v.ID }),
		contracts: byID(a.Contracts, func(v *Contract) ContractID { return v.ID }),
		chips:     byID(a.Chips, func(v *Chip) ChipID { return v.ID }),
		pools:     byID(a.Pools, func(v *Pool) PoolID { return v.ID }),
		models:    byID(a.Models, func(v *Model) ModelID { return v.ID }),
		families:  byID(a.Families, func(v *Family) ModelID { return v.ID }),
		variants:  byID(a.Variants, func(v *Variant) ModelID { return v.ID }),
		channels:  byID(a.Channels, func(v *Channel) ChannelID { return v.ID }),
		rights:    byID(a.Rights, func(v *Right) RightID { return v.ID }),
		prices:    byID(a.Prices, func(v *Price) PriceID { return v.ID }),
		plans:     byID(a.Plans, func(v *Plan) PlanID { return v.ID }),
		tenants:   byID(a.Tenants, func(v *Tenant) TenantID { return v.ID }),
		sales:     map[PriceID]*SalePrice{},
		keys:      keyPlaces(a),
	}
	for i := range a.Plans {
		for _, s := range a.Plans[i].Sales() {
			x.sales[s.ID] = s
		}
	}
	return x
}

// Party returns the party with the id, or nil.
func (a *Alliance) Party(id PartyID) *Party { return a.lookup().parties[id] }

// Claim returns the claim with the id, or nil.
func (a *Alliance) Claim(id ClaimID) *Claim { return a.lookup().claims[id] }

// Deal returns the deal with the id, or nil.
func (a *Alliance) Deal(id string) *Deal { return a.lookup().deals[id] }

// Contract returns the contract with the id, or nil.
func (a *Alliance) Contract(id ContractID) *Contract { return a.lookup().contracts[id] }

// Chip returns the chip type with the id, or nil.
func (a *Alliance) Chip(id ChipID) *Chip { return a.lookup().chips[id] }

// Pool returns the pool with the id, or nil.
func (a *Alliance) Pool(id PoolID) *Pool { return a.lookup().pools[id] }

// Model returns the model with the id, or nil; families and variants have
// their own lookups.
func (a *Alliance) Model(id ModelID) *Model { return a.lookup().models[id] }

// Family returns the family with the id, or nil.
func (a *Alliance) Family(id ModelID) *Family { return a.lookup().families[id] }

// Includes reports whether a plan names a model, or a family that has it.
func (a *Alliance) Includes(p *Plan, m ModelID) bool {
	for _, id := range p.Models {
		if id == m {
			return true
		}
		f := a.Family(id)
		if f == nil {
			continue
		}
		for i := range f.Members {
			if f.Members[i].Model == m {
				return true
			}
		}
	}
	return false
}

// Variant returns the variant with the id, or nil; id is without a flow.
func (a *Alliance) Variant(id ModelID) *Variant { return a.lookup().variants[id] }

// Channel returns the channel with the id, or nil.
func (a *Alliance) Channel(id ChannelID) *Channel { return a.lookup().channels[id] }

// Right returns the right with the id, or nil.
func (a *Alliance) Right(id RightID) *Right { return a.lookup().rights[id] }

// Price returns the cost price with the id, or nil.
func (a *Alliance) Price(id PriceID) *Price { return a.lookup().prices[id] }

// SalePrice returns the sale price of a plan with the id, or nil.
func (a *Alliance) SalePrice(id PriceID) *SalePrice { return a.lookup().sales[id] }

// Plan returns the plan with the id, or nil.
func (a *Alliance) Plan(id PlanID) *Plan { return a.lookup().plans[id] }

// Tenant returns the tenant with the id, or nil.
func (a *Alliance) Tenant(id TenantID) *Tenant { return a.lookup().tenants[id] }

// Key returns the key with the id and the tenant that owns it, or nil and nil.
func (a *Alliance) Key(id KeyID) (*Key, *Tenant) {
	places := a.lookup().keys
	i, ok := slices.BinarySearchFunc(places, id, func(p keyPlace, id KeyID) int { return cmp.Compare(p.of(a).ID, id) })
	if !ok {
		return nil, nil
	}
	return places[i].of(a), &a.Tenants[places[i].tenant]
}

// Flow returns the flow of the variant with the id, or nil.
func (v *Variant) Flow(id string) *Flow {
	for i := range v.Flows {
		if v.Flows[i].ID == id {
			return &v.Flows[i]
		}
	}
	return nil
}

// At returns the member that serves at an instant: the latest that has begun.
// ok is false before the first. Members are in order of From.
func (f *Family) At(at time.Time) (id ModelID, ok bool) {
	n := sort.Search(len(f.Members), func(i int) bool { return f.Members[i].From.After(at) })
	if n == 0 {
		return "", false
	}
	return f.Members[n-1].Model, true
}

// Resolve says which model serves a request for id at an instant. id is a
// model, a family, a variant, or a variant with one of its flows as
// "variant:flow". v and flow are nil unless id names a variant. ok is false
// when nothing has that name, or the family has no member yet.
func (a *Alliance) Resolve(id ModelID, at time.Time) (m *Model, v *Variant, flow *Flow, ok bool) {
	x := a.lookup()
	if m = x.model(id, at); m != nil {
		return m, nil, nil, true
	}
	name, use, named := strings.Cut(string(id), ":")
	if v = x.variants[ModelID(name)]; v == nil {
		return nil, nil, nil, false
	}
	if !named {
		use = v.DefaultFlow
	}
	m, flow = x.model(v.Base, at), v.Flow(use)
	if m == nil || flow == nil {
		return nil, nil, nil, false
	}
	return m, v, flow, true
}

// model is the model itself or the member of the family that serves.
func (x *index) model(id ModelID, at time.Time) *Model {
	if m := x.models[id]; m != nil {
		return m
	}
	if f := x.families[id]; f != nil {
		if member, ok := f.At(at); ok {
			return x.models[member]
		}
	}
	return nil
}
