package console

import (
	"fmt"
	"strings"
	"time"

	"github.com/accordo-ai/accordo/internal/admin"
	"github.com/accordo-ai/accordo/internal/money"
)

// burnChart is the burn-down of the interval in force as a balance: what is
// open of the promise, until now by the books, from now on by the forecast
// with its range. Where the balance comes to the zero line the floor is met;
// what is left above it at the end is lost.
type burnChart struct {
	Line     string // points of what was open until now
	Forecast string
	Range    string // polygon between the least and the most
	Pace     string // an even pace
	Grid     []gridLine
	ZeroY    int64
	Now      int64 // x
	NowY     int64
	NowEnd   bool
	EndY     int64 // of the forecast
	EndAbove bool  // its label stands above the point
	EndSays  string
	From     string
	Until    string
	Says     string
}

// newBurnChart draws an outlook, or returns nil where nothing is promised now.
func newBurnChart(o *admin.Outlook, currency string) *burnChart {
	v := o.Interval
	if v == nil || v.Promised <= 0 || !v.Until.After(v.From.Time) {
		return nil
	}
	most := v.Promised
	least := min(0, v.Open, v.Promised-v.Forecast, v.Promised-v.High)
	if least < -4*most {
		least = -4 * most
	}
	x := func(t time.Time) int64 {
		ppm := share(int64(t.Sub(v.From.Time)/time.Second), int64(v.Until.Sub(v.From.Time)/time.Second))
		return chartLeft + (chartRight-chartLeft)*ppm/1_000_000
	}
	y := func(open money.Amount) int64 {
		open = max(open, least)
		return chartTop + (chartBottom-chartTop)*share(int64(most-open), int64(most-least))/1_000_000
	}
	at := func(t time.Time, open money.Amount) string { return fmt.Sprintf("%d,%d", x(t), y(open)) }
	c := &burnChart{ZeroY: y(0), Now: x(o.At), NowY: y(v.Open), EndY: y(v.Promised - v.Forecast), From: v.From.String(), Until: v.Until.String()}
	c.NowEnd = c.Now > (chartLeft+chartRight)/2
	var points []string
	for _, p := range o.Line {
		points = append(points, at(p.At, v.Promised-p.Used))
	}
	c.Line = strings.Join(points, " ")
	c.Forecast = at(o.At, v.Open) + " " + at(v.Until.Time, v.Promised-v.Forecast)
	c.Range = at(o.At, v.Open) + " " + at(v.Until.Time, v.Promised-v.Low) + " " + at(v.Until.Time, v.Promised-v.High)
	c.Pace = at(v.From.Time, v.Promised) + " " + at(v.Until.Time, 0)
	for i := int64(0); i <= 4; i++ {
		open := least + portion(most-least, i*250_000)
		c.Grid = append(c.Grid, gridLine{y(open), signedShort(open)})
	}
	left := v.Promised - v.Forecast
	c.EndAbove = c.EndY > (chartTop+chartBottom)/2
	c.EndSays = nearly(left) + " open at the end"
	if left < 0 {
		c.EndSays = nearly(-left) + " beyond the floor"
	}
	c.Says = fmt.Sprintf("Balance of the interval from %s to %s in %s: %s of %s open on %s; forecast for its end %s, between %s and %s.",
		c.From, c.Until, currency, signedShort(v.Open), signedShort(v.Promised), o.At.Format(time.DateOnly), signedShort(left), signedShort(v.Promised-v.High), signedShort(v.Promised-v.Low))
	return c
}

// signedShort is shortMoney of amounts on both sides of zero.
func signedShort(a money.Amount) string {
	if a < 0 {
		return "−" + shortMoney(-a)
	}
	return shortMoney(a)
}

// nearly is shortMoney rounded to the nearest tenth of its word.
func nearly(a money.Amount) string {
	for _, step := range [...]money.Amount{1e9 * money.Micro, 1e6 * money.Micro, 1e3 * money.Micro} {
		if a >= step {
			return shortMoney(a + step/20)
		}
	}
	return shortMoney(a)
}

// rampChart is the capacity of a contract over its life, step by step.
type rampChart struct {
	Contracted string // points
	Delivered  string // points, empty where no fact says so
	Area       string
	Grid       []gridLine
	Marks      []rampMark
	Today      int64
	HasToday   bool
	TodayEnd   bool
	Unit       string
	Says       string
}

type rampMark struct {
	X    int64
	Text string
	End  bool // it stands left of its place
}

// newRampChart draws what is contracted from day to day, or returns nil where
// there is no ramp or no end to draw it to.
func newRampChart(k *admin.Contract, now time.Time) *rampChart {
	if len(k.Ramp) == 0 {
		return nil
	}
	c := &rampChart{Unit: "chips"}
	of := func(r admin.Ramp) int64 { return r.Chips }
	if k.Ramp[0].TokensPerMinute > 0 {
		c.Unit, of = "tokens a minute", func(r admin.Ramp) int64 { return r.TokensPerMinute }
	}
	from, until := k.Ramp[0].From.Time, k.Until.Time
	last := k.Ramp[len(k.Ramp)-1].From.Time
	if k.Until.IsZero() || !until.After(last) {
		until = last.AddDate(1, 0, 0)
	}
	most := int64(0)
	for _, r := range k.Ramp {
		most = max(most, of(r))
	}
	for _, r := range k.Delivered {
		most = max(most, of(r))
	}
	if most == 0 || !until.After(from) {
		return nil
	}
	x := func(t time.Time) int64 {
		return chartLeft + (chartRight-chartLeft)*share(int64(t.Sub(from)/time.Second), int64(until.Sub(from)/time.Second))/1_000_000
	}
	y := func(n int64) int64 { return chartTop + (chartBottom-chartTop)*share(most-n, most)/1_000_000 }
	var points []string
	before, room := int64(0), int64(-markWidth)
	for _, r := range k.Ramp {
		points = append(points, fmt.Sprintf("%d,%d %d,%d", x(r.From.Time), y(before), x(r.From.Time), y(of(r))))
		before = of(r)
		at := x(r.From.Time)
		end := at > chartRight-markWidth
		if left := at; end {
			left -= markWidth
			if left-room >= markWidth {
				c.Marks = append(c.Marks, rampMark{at, r.From.Format("Jan 2006"), end})
			}
		} else if at-room >= markWidth {
			c.Marks, room = append(c.Marks, rampMark{at, r.From.Format("Jan 2006"), end}), at
		}
	}
	c.Delivered = deliveredLine(k, now, until, x, func(r admin.Ramp) int64 { return y(of(r)) })
	points = append(points, fmt.Sprintf("%d,%d", x(until), y(before)))
	c.Contracted = strings.Join(points, " ")
	c.Area = c.Contracted + fmt.Sprintf(" %d,%d %d,%d", chartRight, chartBottom, chartLeft, chartBottom)
	for i := int64(0); i <= 2; i++ {
		c.Grid = append(c.Grid, gridLine{y(most * i / 2), shortCount(most * i / 2)})
	}
	if c.HasToday = !now.Before(from) && now.Before(until); c.HasToday {
		c.Today = x(now)
		c.TodayEnd = c.Today > (chartLeft+chartRight)/2
	}
	c.Says = fmt.Sprintf("Capacity contracted in %d steps from %s, up to %s %s.", len(k.Ramp), from.Format(time.DateOnly), number(most), c.Unit)
	return c
}

// deliveredLine draws what was delivered step by step until now, or nothing
// where no fact says so.
func deliveredLine(k *admin.Contract, now, until time.Time, x func(time.Time) int64, y func(admin.Ramp) int64) string {
	var points []string
	before := admin.Ramp{}
	for _, r := range k.Delivered {
		if r.From.After(now) {
			break
		}
		points = append(points, fmt.Sprintf("%d,%d %d,%d", x(r.From.Time), y(before), x(r.From.Time), y(r)))
		before = r
	}
	if len(points) == 0 {
		return ""
	}
	end := now
	if end.After(until) {
		end = until
	}
	return strings.Join(append(points, fmt.Sprintf("%d,%d", x(end), y(before))), " ")
}

// shortCount renders large counts in thousands and millions.
func shortCount(n int64) string {
	switch {
	case n >= 1_000_000 && n%100_000 == 0:
		return strings.TrimSuffix(fmt.Sprintf("%d.%d", n/1_000_000, n%1_000_000/100_000), ".0") + " m"
	case n >= 1_000 && n%100 == 0:
		return strings.TrimSuffix(fmt.Sprintf("%s.%d", number(n/1_000), n%1_000/100), ".0") + " k"
	}
	return number(n)
}
