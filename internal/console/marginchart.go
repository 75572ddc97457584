package console

import (
	"fmt"
	"slices"

	"github.com/accordo-ai/accordo/internal/admin"
	"github.com/accordo-ai/accordo/internal/money"
)

// marginChart draws what each row brought in, less commissions, over what it
// cost. What no row caused is not drawn: one month of unused capacity would
// leave nothing to see of the requests.
type marginChart struct {
	Height int64 // of the viewBox
	ZeroX  int64
	Bars   []marginBar
	More   int // rows that are in the table only
	Says   string
}

// marginBar is one row: its words, and two bars from the zero line.
type marginBar struct {
	Name, Full, Value  string
	TextY, NetY, CostY int64
	NetX, NetWidth     int64
	CostX, CostWidth   int64
	Loss               bool
}

const (
	shownBars             = 20
	barsLeft, barsRight   = 8, 712
	barStep, barHeight    = 62, 14
	barText, barNet       = 18, 26 // from the top of a step
	maxBarName            = 36     // characters
	marginTop, marginFoot = 4, 6
)

// newMarginChart draws a margin, the highest sales first, or returns nil where
// no row brought in or cost anything.
func newMarginChart(m *admin.Margin) *marginChart {
	rows := slices.Clone(m.Rows)
	slices.SortStableFunc(rows, func(x, y admin.MarginRow) int {
		switch a, b := max(net(&x), x.Cost), max(net(&y), y.Cost); {
		case a > b:
			return -1
		case a < b:
			return 1
		}
		return 0
	})
	c := &marginChart{}
	if len(rows) > shownBars {
		c.More, rows = len(rows)-shownBars, rows[:shownBars]
	}
	least, most := money.Amount(0), money.Amount(0)
	for i := range rows {
		least, most = min(least, net(&rows[i]), rows[i].Cost), max(most, net(&rows[i]), rows[i].Cost)
	}
	if least == most {
		return nil
	}
	x := func(a money.Amount) int64 {
		return barsLeft + (barsRight-barsLeft)*share(int64(a-least), int64(most-least))/1_000_000
	}
	bar := func(a money.Amount) (from, width int64) {
		from = min(x(0), x(a))
		return from, max(x(0), x(a)) - from
	}
	c.ZeroX = x(0)
	for i := range rows {
		r, top := &rows[i], marginTop+int64(i)*barStep
		b := marginBar{Name: shorten(r.Name), Full: r.Name, TextY: top + barText, NetY: top + barNet, CostY: top + barNet + barHeight, Loss: r.Margin < 0}
		b.NetX, b.NetWidth = bar(net(r))
		b.CostX, b.CostWidth = bar(r.Cost)
		b.Value = units(r.Margin) + " " + m.Currency
		if s := ofSales(r); s != "" {
			b.Value += ", " + s
		}
		c.Bars = append(c.Bars, b)
	}
	c.Height = marginTop + int64(len(rows))*barStep + marginFoot
	c.Says = fmt.Sprintf("What each %s brought in less commissions, and what it cost, in %s of %s; the table below has the figures.", m.By, monthText(m.Month), m.Currency)
	return c
}

// net is what a row brought in after the channels' commissions.
func net(r *admin.MarginRow) money.Amount { return r.Sales - r.Commission }

// shorten keeps the beginning of a name.
func shorten(name string) string {
	if runes := []rune(name); len(runes) > maxBarName {
		return string(runes[:maxBarName-1]) + "…"
	}
	return name
}
