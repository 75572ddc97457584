package console

import (
	"fmt"
	"strings"
	"time"

	"github.com/accordo-ai/accordo/internal/admin"
	"github.com/accordo-ai/accordo/internal/money"
)

// The drawing area of a chart in the units of its viewBox.
const (
	chartLeft, chartRight = 86, 704
	chartTop, chartBottom = 26, 214
	minLabel              = 56 // least width of an interval that carries its figure
	markWidth             = 96 // of a month under a chart, at the size that narrow screens need
)

// lifeChart is the burn-down of a contract over its life: what is open or
// still to be paid, from all of it down to nothing.
type lifeChart struct {
	Total    money.Amount
	Fee      bool
	Currency string
	Steps    []chartStep
	Pace     string // points of the expected pace
	Grid     []gridLine
	HasToday bool
	Today    int64 // x
	TodayY   int64 // expected by today
	ActualY  int64 // in fact, by these books
	Expected money.Amount
	Left     money.Amount
	Says     string // for those who do not see it
	From     string
	Until    string
	TodayEnd bool // the label stands left of its line
}

type chartStep struct {
	X, Width, Middle int64
	Label            string
	Year             string
	Assumption       bool
	Even             bool
}

type gridLine struct {
	Y     int64
	Label string
}

// newLifeChart draws k as it stands now, or returns nil where nothing was promised.
func newLifeChart(k *admin.Contract, now time.Time, currency string) *lifeChart {
	if len(k.Schedule) == 0 {
		return nil
	}
	c := &lifeChart{Currency: currency, Fee: k.Schedule[0].Fee}
	from, until := k.Schedule[0].From.Time, k.Schedule[0].Until.Time
	for _, s := range k.Schedule {
		sum, err := c.Total.Add(s.Amount)
		if err != nil || s.Until.IsZero() {
			return nil
		}
		c.Total = sum
		if s.From.Before(from) {
			from = s.From.Time
		}
		if s.Until.After(until) {
			until = s.Until.Time
		}
	}
	if c.Total <= 0 || !until.After(from) {
		return nil
	}
	x := func(t time.Time) int64 {
		ppm := share(int64(t.Sub(from)/time.Second), int64(until.Sub(from)/time.Second))
		return chartLeft + (chartRight-chartLeft)*ppm/1_000_000
	}
	y := func(left money.Amount) int64 {
		return chartTop + (chartBottom-chartTop)*share(int64(c.Total-left), int64(c.Total))/1_000_000
	}
	c.draw(k, now, x, y)
	c.From, c.Until = from.Format(time.DateOnly), until.Format(time.DateOnly)
	for i := int64(0); i <= 4; i++ {
		left := portion(c.Total, i*250_000)
		c.Grid = append(c.Grid, gridLine{y(left), shortMoney(left)})
	}
	if c.HasToday = !now.Before(from) && now.Before(until); c.HasToday {
		c.Today, c.TodayY = x(now), y(c.PaceLeft())
		c.TodayEnd = c.Today > (chartLeft+chartRight)/2
		done := k.BurntTotal
		if c.Fee {
			done = k.FeesSinceStart
		}
		c.Left = c.Total - done
		c.ActualY = y(c.Left)
	}
	c.Says = c.describe()
	return c
}

func (c *lifeChart) draw(k *admin.Contract, now time.Time, x func(time.Time) int64, y func(money.Amount) int64) {
	left := c.Total
	points := []string{fmt.Sprintf("%d,%d", x(k.Schedule[0].From.Time), y(left))}
	for i, s := range k.Schedule {
		step := chartStep{X: x(s.From.Time), Width: x(s.Until.Time) - x(s.From.Time), Assumption: s.Assumption, Even: i%2 == 0}
		step.Middle = step.X + step.Width/2
		if step.Width >= minLabel {
			step.Label, step.Year = shortMoney(s.Amount), intervalName(s.From.Time, s.Until.AddDate(0, 0, -1))
		}
		c.Steps = append(c.Steps, step)
		if elapsed := now.Sub(s.From.Time); elapsed > 0 {
			c.Expected += portion(s.Amount, share(int64(elapsed/time.Second), int64(s.Until.Sub(s.From.Time)/time.Second)))
		}
		left -= s.Amount
		points = append(points, fmt.Sprintf("%d,%d", x(s.Until.Time), y(left)))
	}
	c.Pace = strings.Join(points, " ")
}

// intervalName names an interval by its years, or by its first month when
// the same year has more of them.
func intervalName(first, last time.Time) string {
	const short = 200 * 24 * time.Hour
	switch {
	case first.Year() != last.Year():
		return first.Format("2006") + "–" + last.Format("06")
	case last.Sub(first) < short:
		return first.Format("Jan 2006")
	}
	return first.Format("2006")
}

func (c *lifeChart) describe() string {
	what := "promised spend still open"
	if c.Fee {
		what = "fees still to fall due"
	}
	says := fmt.Sprintf("Burn-down of the %s: from %s %s on %s to nothing on %s, in %d intervals.", what, shortMoney(c.Total), c.Currency, c.From, c.Until, len(c.Steps))
	if c.HasToday {
		says += fmt.Sprintf(" An even pace leaves %s %s today; these books leave %s %s.", shortMoney(c.PaceLeft()), c.Currency, shortMoney(c.Left), c.Currency)
	}
	return says
}

// PaceLeft is what an even pace leaves today.
func (c *lifeChart) PaceLeft() money.Amount { return c.Total - c.Expected }

// spentChart is what the recent requests of a contract added up to, request
// by request: cost where tokens are priced, tokens where the fee is fixed.
type spentChart struct {
	Cost  bool
	Total int64 // micro-units of the currency, or tokens
	Count int
	Line  string
	Area  string
	First time.Time
	Last  time.Time
}

// newSpentChart draws rows, newest first, or returns nil where they used nothing.
func newSpentChart(rows []admin.Request) *spentChart {
	c := &spentChart{Count: len(rows)}
	for _, r := range rows {
		c.Cost = c.Cost || r.Cost > 0
	}
	value := func(r admin.Request) int64 {
		if c.Cost {
			return int64(r.Cost)
		}
		return r.Tokens.Total()
	}
	for _, r := range rows {
		c.Total += value(r)
	}
	if c.Total == 0 {
		return nil
	}
	c.First, c.Last = rows[len(rows)-1].At, rows[0].At
	length := int64(c.Last.Sub(c.First))
	sum, points := int64(0), []string{fmt.Sprintf("%d,%d", chartLeft, chartBottom)}
	for i := len(rows) - 1; i >= 0; i-- {
		x := chartLeft + (chartRight-chartLeft)*share(int64(rows[i].At.Sub(c.First)), length)/1_000_000
		before := chartBottom - (chartBottom-chartTop)*share(sum, c.Total)/1_000_000
		sum += value(rows[i])
		after := chartBottom - (chartBottom-chartTop)*share(sum, c.Total)/1_000_000
		points = append(points, fmt.Sprintf("%d,%d %d,%d", x, before, x, after))
	}
	c.Line = strings.Join(append(points, fmt.Sprintf("%d,%d", chartRight, chartTop)), " ")
	c.Area = c.Line + fmt.Sprintf(" %d,%d %d,%d", chartRight, chartBottom, chartLeft, chartBottom)
	return c
}
