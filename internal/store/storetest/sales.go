package storetest

import (
	"fmt"

	"github.com/accordo-ai/accordo/internal/alliance"
	"github.com/accordo-ai/accordo/internal/ledger"
	"github.com/accordo-ai/accordo/internal/money"
	"github.com/accordo-ai/accordo/internal/record"
)

// SalesTerms are terms that Terms gives under the hash "5a1e5": plans with
// fees, quotas per tenant, key and end user in tokens and in spend, with and
// without an overage, sold directly and through channels that keep a
// commission. Under "5a1e6" the quotas are smaller.
func SalesTerms(hash string) (*alliance.Alliance, error) {
	if hash != "5a1e5" && hash != "5a1e6" {
		return Terms(hash)
	}
	a, err := Terms("f1257")
	if err != nil {
		return nil, err
	}
	a.Hash = hash
	quota := int64(20_000)
	if hash == "5a1e6" {
		quota = 7_000
	}
	a.Channels = []alliance.Channel{
		{ID: "direct-api", Party: "lab"},
		{ID: "platform", Party: "aws", Presentation: alliance.Principal, CommissionPPM: 200_000},
		{ID: "market", Party: "azure", Presentation: alliance.Agent, CommissionPPM: 153_333},
	}
	over := func(id alliance.PriceID) *alliance.SalePrice {
		return &alliance.SalePrice{ID: id, Rates: rates(4_000_000, 400_001, 5_000_000, 20_000_003, 20_000_003)}
	}
	a.Plans = append(a.Plans, []alliance.Plan{
		{
			ID: "team", Seller: "lab", Subject: "key", Fee: &alliance.SubscriptionFee{ID: "team-fee", Amount: 25_000_001, Per: alliance.PerTenant},
			Included: &alliance.IncludedUse{Per: alliance.PerTenant, Tokens: quota}, Overage: over("team-over"),
		},
		{
			ID: "pro", Seller: "lab", Subject: "end_user", Fee: &alliance.SubscriptionFee{ID: "pro-fee", Amount: 20_000_000, Per: alliance.PerEndUser},
			Included: &alliance.IncludedUse{Per: alliance.PerEndUser, Spend: money.Amount(quota)}, Price: over("pro-price"), Overage: over("pro-over"),
		},
		{ID: "seat", Seller: "lab", Subject: "key", Fee: &alliance.SubscriptionFee{ID: "seat-fee", Amount: 9_990_000, Per: alliance.PerKey}, Price: over("seat-price")},
		{ID: "capped", Seller: "lab", Subject: "key", Included: &alliance.IncludedUse{Per: alliance.PerKey, Tokens: quota}},
	}...)
	for i := range a.Plans {
		if a.Plans[i].ID == "partner" {
			a.Plans[i].Subject, a.Plans[i].WholesaleFee = "end_user", &alliance.SubscriptionFee{ID: "partner-fee", Amount: 1_500_003, Per: alliance.PerEndUser}
		}
	}
	addHourly(a)
	a.Tenants = []alliance.Tenant{{ID: "t0", Keys: []alliance.Key{{ID: "k0", Plan: "team"}}}, {ID: "idle", Keys: []alliance.Key{{ID: "k9", Plan: "team"}}}}
	return a, nil
}

var (
	salesPlans    = [...][2]string{{"team", ""}, {"pro", "pro-price"}, {"seat", "seat-price"}, {"capped", ""}, {"direct", "sale-direct"}, {"partner", ""}}
	salesChannels = [...]string{"direct-api", "platform", "market"}
)

// SalesHistory is a History under SalesTerms.
func SalesHistory(pick Picker, n int) []record.Record {
	records := History(pick, n)
	for i := range records {
		in := records[i].Intent
		if in == nil {
			continue
		}
		plan := salesPlans[pick("sold", len(salesPlans))]
		in.Plan, in.SalePrice, in.Channel = plan[0], plan[1], salesChannels[pick("channel", len(salesChannels))]
		in.Key, in.EndUser = fmt.Sprintf("k%d", pick("key", 2)), fmt.Sprintf("u%d", pick("user", 4))
		if in.Terms == "f1257" {
			in.Terms = "5a1e5"
		} else {
			in.Terms = "5a1e6"
		}
	}
	return records
}

// HourlyHistory is a SalesHistory of whose requests some draw on a commitment
// per hour.
func HourlyHistory(pick Picker, n int) []record.Record {
	records := SalesHistory(pick, n)
	for i := range records {
		if in := records[i].Intent; in != nil && pick("hourly", 4) == 0 {
			in.Pool, in.CostPrice = "saver", "cost-saver"
		}
	}
	return records
}

// addHourly adds a commitment per hour that some requests use up, and its pool.
func addHourly(a *alliance.Alliance) {
	until := term("2026-01-01", "2027-01-01")
	a.Contracts = append(a.Contracts, alliance.Contract{
		ID: "saver", Provider: "aws", Shape: alliance.HourlyRate, Term: until,
		Rates: []alliance.HourRate{{Term: term("2026-01-01", "2026-07-01"), PerHour: 20_011}, {Term: term("2026-07-01", "2027-01-01"), PerHour: 10_007}},
	})
	a.Pools = append(a.Pools, alliance.Pool{ID: "saver", Provider: "aws", Contract: "saver", BilledBy: alliance.BilledByToken})
	a.Prices = append(a.Prices, alliance.Price{
		ID: "cost-saver", Pools: []alliance.PoolID{"saver"}, Model: "m1", Term: alliance.Term{From: date("2026-01-01")},
		List: rates(2_500_000, 250_000, 3_000_000, 10_000_000, 10_000_000), Contracted: new(rates(1_500_001, 125_001, 1_562_500, 6_000_003, 5_999_999)),
	})
}

// LeftsOf returns what was left before each outcome of a step that was parted.
func LeftsOf(s *ledger.Step) map[uint64]ledger.Lefts {
	all := map[uint64]ledger.Lefts{}
	for _, l := range s.Lefts {
		v := all[l.Outcome]
		v.Quota = &l.Left
		all[l.Outcome] = v
	}
	for _, l := range s.Hours {
		v := all[l.Outcome]
		v.Hour = &l.Left
		all[l.Outcome] = v
	}
	return all
}
