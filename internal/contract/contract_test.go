package contract_test

import (
	"math/big"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/accordo-ai/accordo/internal/alliance"
	"github.com/accordo-ai/accordo/internal/contract"
	"github.com/accordo-ai/accordo/internal/money"
	"github.com/accordo-ai/accordo/internal/usage"
)

func day(text string) alliance.Date {
	d, err := time.Parse(time.DateOnly, text)
	if err != nil {
		panic(err)
	}
	return alliance.Date{Time: d}
}

func span(from, until string) alliance.Term {
	return alliance.Term{From: day(from), Until: day(until)}
}

func TestMarginal_FollowsTheShape(t *testing.T) {
	rows := []struct {
		name   string
		shape  alliance.Shape
		lambda int64
		want   int64
	}{
		{"metered is its price", alliance.PayPerUse, 500_000, 1_000_000},
		{"a floor that will be missed is free", alliance.SpendFloor, 1_000_000, 0},
		{"a floor that will be passed is its price", alliance.SpendFloor, 0, 1_000_000},
		{"a floor on the edge is between", alliance.SpendFloor, 250_000, 750_000},
		{"a shadow price above one is one", alliance.SpendFloor, 2_000_000, 0},
		{"a shadow price below zero is zero", alliance.SpendFloor, -1, 1_000_000},
		{"credit that will be forfeited is free", alliance.PrepaidCredit, 1_000_000, 0},
		{"credit that is used up is its price", alliance.PrepaidCredit, 0, 1_000_000},
		{"a fixed fee is sunk", alliance.TakeOrPay, 0, 0},
		{"a reservation is sunk", alliance.ThroughputReserved, 0, 0},
	}
	for _, row := range rows {
		t.Run(row.name, func(t *testing.T) {
			if got := contract.MarginalPPM(row.shape, row.lambda); got != row.want {
				t.Errorf("%d ppm, want %d", got, row.want)
			}
		})
	}
}

func TestCapacityAt_FollowsTheRamp(t *testing.T) {
	c := &alliance.Contract{
		Shape: alliance.TakeOrPay, Term: span("2026-01-01", "2027-01-01"),
		Ramp: []alliance.RampStep{{From: day("2026-02-01"), Chips: 8}, {From: day("2026-03-01"), Chips: 24}},
	}
	for at, want := range map[string]int64{"2025-12-31": 0, "2026-01-15": 0, "2026-02-01": 8, "2026-02-28": 8, "2026-03-01": 24, "2026-12-31": 24, "2027-01-01": 0} {
		if got, _ := contract.CapacityAt(c, day(at).Time); got != want {
			t.Errorf("%s: %d chips, want %d", at, got, want)
		}
	}
	// 28 days of 8 chips and 31 days of 24.
	if got, want := contract.Capacity(c, day("2026-01-01").Time, day("2026-04-01").Time), int64(28*86400*8+31*86400*24); got != want {
		t.Errorf("%d chip-seconds, want %d", got, want)
	}
}

func TestIntervals_AreHalfOpen(t *testing.T) {
	c := &alliance.Contract{Shape: alliance.SpendFloor, Term: span("2026-01-01", "2028-01-01"), Floors: []alliance.Floor{
		{Term: span("2026-01-01", "2027-01-01"), Amount: 1}, {Term: span("2027-01-01", "2028-01-01"), Amount: 2},
	}}
	for at, want := range map[string]money.Amount{"2025-12-31": 0, "2026-01-01": 1, "2026-12-31": 1, "2027-01-01": 2, "2028-01-01": 0} {
		f, ok := contract.FloorAt(c, day(at).Time)
		if ok != (want > 0) || f.Amount != want {
			t.Errorf("%s: floor %d, want %d", at, f.Amount, want)
		}
	}
	if contract.Shortfall(10, 4) != 6 || contract.Shortfall(10, 11) != 0 {
		t.Error("a shortfall is the rest of the floor, never negative")
	}
}

func TestStandardRate_FullUseCostsTheFee(t *testing.T) {
	rows := []struct {
		name string
		c    alliance.Contract
	}{
		{"take or pay over a ramp", alliance.Contract{
			Shape: alliance.TakeOrPay, Term: span("2026-01-01", "2027-01-01"),
			Fees: []alliance.Fee{{Term: span("2026-01-01", "2027-01-01"), Amount: 1_234_567_891_234}},
			Ramp: []alliance.RampStep{{From: day("2026-01-01"), Chips: 7}, {From: day("2026-05-01"), Chips: 640}},
		}},
		{"half a million chips for a year", alliance.Contract{
			Shape: alliance.TakeOrPay, Term: span("2026-01-01", "2027-01-01"),
			Fees: []alliance.Fee{{Term: span("2026-01-01", "2027-01-01"), Amount: 19_000_000_000 * money.Micro}},
			Ramp: []alliance.RampStep{{From: day("2026-01-01"), Chips: 500_000}},
		}},
		{"a throughput reservation", alliance.Contract{
			Shape: alliance.ThroughputReserved, Term: span("2026-01-01", "2027-01-01"),
			Fees: []alliance.Fee{{Term: span("2026-01-01", "2026-02-01"), Amount: 4_321 * money.Micro}},
			Ramp: []alliance.RampStep{{From: day("2026-01-01"), TokensPerMinute: 60_000}},
		}},
	}
	for _, row := range rows {
		t.Run(row.name, func(t *testing.T) {
			at := day("2026-01-15").Time
			r, ok := contract.StandardRateAt(&row.c, at)
			if !ok {
				t.Fatal("no rate")
			}
			fee, _ := contract.FeeAt(&row.c, at)
			units := big.NewInt(contract.Capacity(&row.c, fee.From.Time, fee.Until.Time))
			whole := new(big.Int).Mul(units, big.NewInt(r.Fee))
			cost, rest := whole.QuoRem(whole, big.NewInt(r.Units), new(big.Int))
			if cost.Cmp(big.NewInt(int64(fee.Amount))) != 0 || rest.Sign() != 0 {
				t.Errorf("all capacity costs %s and %s/%d, the fee is %d", cost, rest, r.Units, fee.Amount)
			}
		})
	}
}

func TestStandardRate_IsUnknownWithoutAFeeOrCapacity(t *testing.T) {
	year := span("2026-01-01", "2027-01-01")
	fee := []alliance.Fee{{Term: year, Amount: 100}}
	ramp := []alliance.RampStep{{From: day("2026-01-01"), Chips: 1}}
	for name, c := range map[string]alliance.Contract{
		"no fee":         {Shape: alliance.TakeOrPay, Term: year, Ramp: ramp},
		"no ramp":        {Shape: alliance.TakeOrPay, Term: year, Fees: fee},
		"not fixed":      {Shape: alliance.PayPerUse, Term: year, Fees: fee, Ramp: ramp},
		"after the term": {Shape: alliance.TakeOrPay, Term: span("2025-01-01", "2026-01-01"), Fees: []alliance.Fee{{Term: span("2025-01-01", "2026-01-01"), Amount: 1}}, Ramp: ramp},
	} {
		if r, ok := contract.StandardRateAt(&c, day("2026-03-01").Time); ok {
			t.Errorf("%s: %+v", name, r)
		}
	}
}

func TestUse_OfChipsIsTheExactQuotientRoundedOnce(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		rate := rapid.Int64Range(1, 1<<20)
		pm := &alliance.PoolModel{InputTokensPerChipSecond: rate.Draw(t, "input_rate"), OutputTokensPerChipSecond: rate.Draw(t, "output_rate")}
		n := rapid.Int64Range(0, usage.MaxTokens)
		u := usage.Vector{UncachedInput: n.Draw(t, "input"), CacheRead: n.Draw(t, "read"), Output: n.Draw(t, "output"), Reasoning: n.Draw(t, "reasoning")}
		want := new(big.Rat).Add(big.NewRat(u.Input(), pm.InputTokensPerChipSecond), big.NewRat(u.AllOutput(), pm.OutputTokensPerChipSecond))
		want.Mul(want, big.NewRat(contract.UseDivisor, 1))
		diff := want.Sub(want, big.NewRat(contract.Use(alliance.TakeOrPay, pm, u), 1))
		if half := big.NewRat(1, 2); diff.Cmp(half) >= 0 || diff.Cmp(new(big.Rat).Neg(half)) < 0 {
			t.Fatalf("off by %s micro chip-seconds", diff)
		}
	})
}

func TestUse_OfAReservationWeighsCachedInputApart(t *testing.T) {
	pm := &alliance.PoolModel{InputWeightPPM: 1_000_000, CachedWeightPPM: 100_000, OutputWeightPPM: 4_000_000}
	u := usage.Vector{UncachedInput: 100, CacheRead: 50, CacheWrite: 10, Output: 20, Reasoning: 5}
	if got, want := contract.Use(alliance.ThroughputReserved, pm, u), int64(110*1_000_000+50*100_000+25*4_000_000); got != want {
		t.Errorf("%d micro burn units, want %d", got, want)
	}
	if got := contract.Use(alliance.PayPerUse, pm, u); got != 0 {
		t.Errorf("metered capacity is not counted, got %d", got)
	}
}

func TestFees_AccrueToTheWholeFee(t *testing.T) {
	c := &alliance.Contract{Shape: alliance.TakeOrPay, Term: span("2026-01-01", "2028-01-01"), Fees: []alliance.Fee{
		{Term: span("2026-01-01", "2027-01-01"), Amount: 1_000_000_007}, {Term: span("2027-01-01", "2028-01-01"), Amount: 999},
	}}
	var sum, last money.Amount
	for m := day("2025-12-01").Time; m.Before(day("2028-03-01").Time); m = m.AddDate(0, 1, 0) {
		next, err := contract.FeesUpTo(c, m)
		if err != nil || next < last {
			t.Fatalf("at %s: %d after %d, %v", m, next, last, err)
		}
		sum, last = sum+next-last, next
	}
	if sum != 1_000_001_006 {
		t.Errorf("months add up to %d", sum)
	}
}
