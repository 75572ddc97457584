package storetest

import (
	"fmt"
	"time"

	"github.com/accordo-ai/accordo/internal/alliance"
	"github.com/accordo-ai/accordo/internal/money"
	"github.com/accordo-ai/accordo/internal/record"
	"github.com/accordo-ai/accordo/internal/usage"
)

// start is the instant of the first record of a history: late in a month, so
// that histories cross a month and an interval of each contract.
var start = time.Date(2026, 6, 30, 23, 59, 50, 0, time.UTC)

func date(text string) alliance.Date {
	var d alliance.Date
	if err := d.UnmarshalText([]byte(text)); err != nil {
		panic(err)
	}
	return d
}

func term(from, until string) alliance.Term {
	return alliance.Term{From: date(from), Until: date(until)}
}

func rates(in, read, write, out, reasoning money.Amount) alliance.Rates {
	return alliance.Rates{Input: in, CacheRead: read, CacheWrite: write, Output: out, Reasoning: reasoning}
}

// Terms returns an alliance with every shape of contract, every billing and
// every kind of plan. The second version amends a floor and a price.
func Terms(hash string) (*alliance.Alliance, error) {
	second := hash == "5ec0nd"
	if !second && hash != "f1257" {
		return nil, fmt.Errorf("no terms %s", hash)
	}
	amount := func(units int64) money.Amount { return money.Amount(units * money.Micro) }
	floor, price := amount(1000), money.Amount(1_250_000)
	if second {
		floor, price = amount(1200), 1_100_000
	}
	year := term("2026-01-01", "2027-01-01")
	a := &alliance.Alliance{
		Version: 1, Operator: "lab", Currency: "USD", Hash: hash,
		Contracts: []alliance.Contract{
			{ID: "floor", Provider: "aws", Shape: alliance.SpendFloor, Term: year, Floors: []alliance.Floor{
				{Term: term("2026-01-01", "2026-07-01"), Amount: floor}, {Term: term("2026-07-01", "2027-01-01"), Amount: 2 * floor},
			}},
			{ID: "metered", Provider: "azure", Shape: alliance.PayPerUse, Term: year},
			{
				ID: "rack", Provider: "neo", Shape: alliance.TakeOrPay, Term: year,
				Fees: []alliance.Fee{{Term: term("2026-01-01", "2026-07-01"), Amount: amount(700_001)}, {Term: term("2026-07-01", "2027-01-01"), Amount: amount(900_007)}},
				Ramp: []alliance.RampStep{{From: date("2026-01-01"), Chips: 8}, {From: date("2026-04-01"), Chips: 16}},
			},
			{
				ID: "reserved", Provider: "azure", Shape: alliance.ThroughputReserved, Term: year,
				Fees: []alliance.Fee{{Term: year, Amount: amount(52_000)}},
				Ramp: []alliance.RampStep{{From: date("2026-01-01"), TokensPerMinute: 100_000}},
			},
			{ID: "unpriced", Provider: "neo", Shape: alliance.TakeOrPay, Term: year, Ramp: []alliance.RampStep{{From: date("2026-01-01"), Chips: 4}}},
		},
		Pools: []alliance.Pool{
			{ID: "aws-east", Provider: "aws", Contract: "floor", BilledBy: alliance.BilledByToken},
			{ID: "aws-chips", Provider: "aws", Contract: "floor", BilledBy: alliance.BilledByChipSecond},
			{ID: "azure-spill", Provider: "azure", Contract: "metered", BilledBy: alliance.BilledByToken},
			{
				ID: "neo-rack", Provider: "neo", Contract: "rack", BilledBy: alliance.BilledByFixed, Chips: 16,
				Models: []alliance.PoolModel{{Model: "m1", InputTokensPerChipSecond: 9001, OutputTokensPerChipSecond: 1327}},
			},
			{
				ID: "azure-ptu", Provider: "azure", Contract: "reserved", BilledBy: alliance.BilledByFixed, TokensPerMinute: 100_000,
				Models: []alliance.PoolModel{{Model: "m1", InputWeightPPM: 1_000_000, CachedWeightPPM: 0, OutputWeightPPM: 4_333_333}},
			},
			{
				ID: "neo-gift", Provider: "neo", Contract: "unpriced", BilledBy: alliance.BilledByFixed, Chips: 4,
				Models: []alliance.PoolModel{{Model: "m1", OutputTokensPerChipSecond: 777}},
			},
		},
		Prices: []alliance.Price{{
			ID: "cost-m1", Pools: []alliance.PoolID{"aws-east", "aws-chips", "azure-spill"}, Model: "m1", Term: alliance.Term{From: date("2026-01-01")},
			List: rates(2_500_000, 250_000, 3_000_000, 10_000_000, 10_000_000), Contracted: new(rates(price, 125_001, 1_562_500, 10_000_003, 9_999_999)),
		}},
		Plans: []alliance.Plan{
			{ID: "direct", Seller: "lab", Price: &alliance.SalePrice{ID: "sale-direct", Rates: rates(3_000_000, 300_000, 3_750_000, 15_000_001, 15_000_001)}},
			{ID: "free", Seller: "lab", IncludedIn: "prime"},
			{ID: "partner", Seller: "amazon", Wholesale: &alliance.SalePrice{ID: "wholesale-partner", Rates: rates(1_000_001, 100_000, 1_250_000, 7_000_000, 7_000_000)}},
			{ID: "partner-free", Seller: "amazon"},
		},
	}
	return a, nil
}

// Picker chooses one of n values in [0, n): a property test's draw, or a
// random number.
type Picker func(label string, n int) int

// attempt kinds of the histories: pool and cost price.
var pools = [...][2]string{
	{"aws-east", "cost-m1"},
	{"aws-chips", "cost-m1"},
	{"azure-spill", "cost-m1"},
	{"neo-rack", ""},
	{"azure-ptu", ""},
	{"neo-gift", ""},
	{"gone", "cost-m1"},
	{"azure-spill", "no-such-price"},
}

var plans = [...][2]string{{"direct", "sale-direct"}, {"free", ""}, {"partner", ""}, {"partner-free", ""}, {"gone", ""}}

// History makes a journal of n steps after its start record, as pick chooses:
// intents, their outcomes of every status in any order, second outcomes,
// refusals, and marks. It ends with a mark.
func History(pick Picker, n int) []record.Record {
	h := history{pick: pick, at: start.UnixNano(), terms: "f1257"}
	h.add(record.Record{Kind: record.KindStart, Start: &record.Start{Version: "test", Terms: h.terms, Node: "n1"}})
	for range n {
		switch pick("step", 16) {
		case 0:
			h.add(record.Record{Kind: record.KindMark, Mark: &record.Mark{}})
		case 1:
			h.add(record.Record{Kind: record.KindRefusal, Refusal: &record.Refusal{Request: fmt.Sprintf("r%d", h.next), Terms: h.terms, Code: "insufficient_quota"}})
		case 2:
			if h.done != nil {
				h.add(record.Record{Kind: record.KindOutcome, Outcome: h.done})
			}
		case 3:
			h.terms = "5ec0nd"
		case 4, 5, 6, 7, 8, 9:
			h.intent()
		default:
			h.outcome()
		}
		h.at += int64(pick("pause_ms", 1500)) * int64(time.Millisecond)
	}
	h.add(record.Record{Kind: record.KindMark, Mark: &record.Mark{}})
	return h.records
}

type history struct {
	pick    Picker
	at      int64
	terms   string
	next    int
	open    []record.Record
	done    *record.Outcome
	records []record.Record
}

func (h *history) add(r record.Record) {
	r.Sequence, r.At = uint64(len(h.records)+1), h.at
	h.records = append(h.records, r)
}

func (h *history) intent() {
	h.next++
	pool, plan := pools[h.pick("pool", len(pools))], plans[h.pick("plan", len(plans))]
	in := &record.Intent{
		Attempt: record.AttemptID(fmt.Sprintf("a%d", h.next)), Request: fmt.Sprintf("r%d", h.next-h.pick("retry", 2)), Number: 1,
		Terms: h.terms, Tenant: fmt.Sprintf("t%d", h.pick("tenant", 3)), Key: "k", Plan: plan[0], SalePrice: plan[1], Channel: "direct-api", Territory: "US",
		Model: "m1@2026-01", Pool: pool[0], CostPrice: pool[1], Right: "own", Estimate: h.usage(),
		Considered: []record.Considered{{Pool: pool[0], Verdict: record.Chosen}},
	}
	if h.pick("variant", 3) == 0 {
		in.Variant = "custom@abc"
	}
	h.add(record.Record{Kind: record.KindIntent, Intent: in})
	h.open = append(h.open, h.records[len(h.records)-1])
}

func (h *history) usage() usage.Vector {
	return usage.Vector{
		UncachedInput: int64(h.pick("input", 5000)), CacheRead: int64(h.pick("read", 300)), CacheWrite: int64(h.pick("write", 40)),
		Output: int64(h.pick("output", 900)), Reasoning: int64(h.pick("reasoning", 90)),
	}
}

func (h *history) outcome() {
	if len(h.open) == 0 {
		return
	}
	i := h.pick("which", len(h.open))
	in := h.open[i]
	h.open = append(h.open[:i:i], h.open[i+1:]...)
	out := &record.Outcome{Attempt: in.Intent.Attempt, Intent: in.Sequence, Status: record.Served, Usage: h.usage(), Duration: 1}
	switch h.pick("status", 8) {
	case 0:
		out.Status, out.Usage, out.Reason = record.Unserved, usage.Vector{}, "connection_refused"
	case 1:
		out.Status, out.Usage, out.Reason = record.Suspense, in.Intent.Estimate, "client_left"
	case 2:
		out.Status, out.Usage = record.Abandoned, in.Intent.Estimate
	case 3:
		out.Usage.Output = usage.MaxTokens + 1
	}
	h.done = out
	h.add(record.Record{Kind: record.KindOutcome, Outcome: out})
}
