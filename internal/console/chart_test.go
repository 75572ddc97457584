package console

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/accordo-ai/accordo/internal/admin"
	"github.com/accordo-ai/accordo/internal/alliance"
	"github.com/accordo-ai/accordo/internal/ledger"
	"github.com/accordo-ai/accordo/internal/money"
)

func date(text string) alliance.Date {
	t, err := time.Parse(time.DateOnly, text)
	if err != nil {
		panic(err)
	}
	return alliance.Date{Time: t}
}

func step(from, until string, units int64) admin.Step {
	return admin.Step{From: date(from), Until: date(until), Amount: money.Amount(units * money.Micro)}
}

func TestLifeChart_FallsFromAllToNothing(t *testing.T) {
	k := &admin.Contract{BurntTotal: 25 * money.Micro, Schedule: []admin.Step{step("2026-01-01", "2027-01-01", 100), step("2027-01-01", "2028-01-01", 300)}}
	c := newLifeChart(k, date("2026-07-02").Time.Add(12*time.Hour), "USD") // the middle of 2026
	if c == nil {
		t.Fatal("no chart")
	}
	if want := "86,26 395,73 704,214"; c.Pace != want {
		t.Errorf("pace %q, want %q: a quarter falls in the first half of the life", c.Pace, want)
	}
	got := []any{c.Total, c.Expected, c.PaceLeft(), c.Left, c.Today > 235 && c.Today < 245, c.TodayEnd}
	want := []any{money.Amount(400 * money.Micro), money.Amount(50 * money.Micro), money.Amount(350 * money.Micro), money.Amount(375 * money.Micro), true, false}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	if c.ActualY >= c.TodayY {
		t.Errorf("less was used than expected, yet it is drawn at %d, below %d", c.ActualY, c.TodayY)
	}
}

func TestLifeChart_OfFeesCountsWhatFellDue(t *testing.T) {
	s := step("2026-01-01", "2027-01-01", 100)
	s.Fee = true
	c := newLifeChart(&admin.Contract{BurntTotal: 1, FeesSinceStart: 40 * money.Micro, Schedule: []admin.Step{s}}, date("2026-06-01").Time, "USD")
	if c == nil || c.Left != 60*money.Micro || !strings.Contains(c.Says, "fees still to fall due") {
		t.Errorf("%+v", c)
	}
}

func TestLifeChart_HasNoTodayOutsideTheTerm(t *testing.T) {
	k := &admin.Contract{Schedule: []admin.Step{step("2026-01-01", "2027-01-01", 100)}}
	for name, at := range map[string]string{"before": "2025-12-31", "at its end": "2027-01-01", "long after": "2040-01-01"} {
		if c := newLifeChart(k, date(at).Time, "USD"); c == nil || c.HasToday {
			t.Errorf("%s: %+v", name, c)
		}
	}
}

func TestLifeChart_IsNotDrawnOfNothing(t *testing.T) {
	for name, schedule := range map[string][]admin.Step{
		"no schedule": nil, "no amount": {step("2026-01-01", "2027-01-01", 0)}, "no end": {{From: date("2026-01-01"), Amount: 5}},
		"more than money holds": {step("2026-01-01", "2027-01-01", 9_000_000_000_000), step("2027-01-01", "2028-01-01", 9_000_000_000_000)},
	} {
		if c := newLifeChart(&admin.Contract{Schedule: schedule}, date("2026-06-01").Time, "USD"); c != nil {
			t.Errorf("%s: drawn", name)
		}
	}
}

func TestSpentChart_NeverGoesBack(t *testing.T) {
	at := date("2026-11-22").Time
	var rows []admin.Request
	for i := range int64(50) {
		rows = append(rows, admin.Request{At: at.Add(-time.Duration(i*i) * time.Millisecond), Cost: money.Amount(i % 7)})
	}
	c := newSpentChart(rows)
	if c == nil || !c.Cost || c.Count != 50 {
		t.Fatalf("%+v", c)
	}
	lastX, lastY := 0, chartBottom
	for _, point := range strings.Fields(c.Line) {
		var x, y int
		if _, err := fmt.Sscanf(point, "%d,%d", &x, &y); err != nil {
			t.Fatal(err)
		}
		if x < lastX || y > lastY || x > chartRight || y < chartTop {
			t.Fatalf("after %d,%d comes %d,%d", lastX, lastY, x, y)
		}
		lastX, lastY = x, y
	}
	if lastX != chartRight || lastY != chartTop {
		t.Errorf("ends at %d,%d", lastX, lastY)
	}
	if newSpentChart(nil) != nil || newSpentChart([]admin.Request{{At: at}}) != nil {
		t.Error("nothing is drawn")
	}
}

func TestFigures_AreReadable(t *testing.T) {
	for got, want := range map[string]string{
		units(0): "0.00", units(1): "0.000001", units(-1): "−0.000001", units(12_500_000): "12.50", units(150_000 * money.Micro): "150,000", units(38_000_000_000 * money.Micro): "38,000,000,000",
		units(37_999_999_999_963_124): "37,999,999,999.963124", units(-1_000_000_000): "−1,000", units(999 * money.Micro): "999.00",
		units(-9_223_372_036_854_775_808): "−9,223,372,036,854.775808",
		shortMoney(0):                     "0", shortMoney(38_000_000_000 * money.Micro): "38 bn", shortMoney(9_500_000_000 * money.Micro): "9.5 bn", shortMoney(187_500_000_000 * money.Micro): "187.5 bn",
		shortMoney(450_000 * money.Micro): "450 k", shortMoney(12 * money.Micro): "12.00",
		nanoMoney(72_312): "72.312", nanoMoney(-5): "−0.005", nanoMoney(3_420_819_000): "3,420,819.000",
		percent(149_000): "14.9 %", percent(-20_000): "−2.0 %", percent(1_000_000): "100.0 %",
		duration(0): "none", duration(107 * time.Microsecond): "107 µs", duration(1108 * time.Millisecond): "1,108 ms", duration(17_400 * time.Millisecond): "17.4 s",
		micro(36_876, "USD"): "36,876 micro-USD", number(int64(-1234)): "−1,234", number(uint64(18_446_744_073_709_551_615)): "18,446,744,073,709,551,615",
		asAsset(150, "COMMIT-USD(x)"): "0.000150 USD", asAsset(22_701, "TOK(gpt)"): "22,701 tokens", asAsset(3, "CHIPSEC(p)"): "3 chip-seconds", asAsset(815, ledger.Asset("BURN(p)")): "815 burn units",
		asAsset(-5_000_000, "EUR"):          "−5.000000 EUR",
		hostOf("https://www.example.org/a"): "example.org", hostOf("javascript:alert(1)"): "", hostOf("http://a"): "", hostOf("a.txt"): "", hostOf("https://%zz"): "",
	} {
		if got != want {
			t.Errorf("%q, want %q", got, want)
		}
	}
}

func TestRampChart_DrawsContractedAndDelivered(t *testing.T) {
	k := &admin.Contract{Until: date("2028-01-01"), Ramp: []admin.Ramp{{From: date("2026-01-01"), Chips: 100}, {From: date("2027-01-01"), Chips: 400}}}
	c := newRampChart(k, date("2026-07-02").Time)
	if c == nil || c.Contracted != "86,214 86,167 395,167 395,26 704,26" || c.Delivered != "" || !c.HasToday || c.Unit != "chips" {
		t.Fatalf("chart %+v", c)
	}
	k.Delivered = []admin.Ramp{{From: date("2026-04-01"), Chips: 50}, {From: date("2027-06-01"), Chips: 400}}
	if c = newRampChart(k, date("2026-07-02").Time); c.Delivered != "162,214 162,190 240,190" {
		t.Errorf("delivered %q", c.Delivered)
	}
	k.Ramp[0].TokensPerMinute, k.Ramp[0].Chips = 5_000, 0
	if c = newRampChart(k, date("2026-07-02").Time); c.Unit != "tokens a minute" {
		t.Errorf("unit %q", c.Unit)
	}
	if newRampChart(&admin.Contract{}, date("2026-07-02").Time) != nil {
		t.Error("nothing is drawn")
	}
}

func TestBurnChart_EndsWithTheForecastAndItsRange(t *testing.T) {
	o := &admin.Outlook{At: date("2026-07-02").Time, Interval: &admin.Interval{
		From: date("2026-01-01"), Until: date("2027-01-01"), Promised: 100, Used: 50, Open: 50, Forecast: 90, Low: 80, High: 100,
	}, Line: []admin.BurnPoint{{At: date("2026-01-01").Time}, {At: date("2026-07-02").Time, Used: 50}}}
	c := newBurnChart(o, "USD")
	if c.Line != "86,26 394,120" || c.Forecast != "394,120 704,195" || c.Range != "394,120 704,176 704,214" || c.ZeroY != 214 {
		t.Errorf("chart %+v", c)
	}
	o.Interval.Forecast, o.Interval.High = 150, 200
	if c = newBurnChart(o, "USD"); !strings.Contains(c.EndSays, "beyond the floor") || c.ZeroY >= 214 {
		t.Errorf("use beyond the floor: %+v", c)
	}
	o.Interval.High, o.Interval.Forecast = 1<<60, 1<<60
	if c = newBurnChart(o, "USD"); c.ZeroY <= 26 {
		t.Errorf("much beyond the floor: %+v", c)
	}
	o.Interval = nil
	if newBurnChart(o, "USD") != nil {
		t.Error("nothing is drawn")
	}
}
