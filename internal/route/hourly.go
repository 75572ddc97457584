package route

import (
	"time"

	"github.com/accordo-ai/accordo/internal/alliance"
	"github.com/accordo-ai/accordo/internal/contract"
	"github.com/accordo-ai/accordo/internal/money"
	"github.com/accordo-ai/accordo/internal/rating"
)

// hour is the commitment of a contract's hour under way, which all its pools
// draw on, in nano-units of the contract's currency. Requests draw on it when
// they are decided, by their estimate, and are put right when they end; the
// books have the last word.
type hour struct {
	contract   *alliance.Contract
	begin, end int64 // ns
	limit      float64
	drawn      float64
}

// cover is what a candidate's tokens draw on the hour, in nano-units a token.
type cover struct{ in, cached, out float64 }

// indexHours makes the hours of the terms; what was drawn of one that is still
// there is kept.
func (r *Router) indexHours(now time.Time) {
	old := r.hours
	r.hours = nil
	for i := range r.a.Contracts {
		c := &r.a.Contracts[i]
		if !contract.Covers(c.Shape) {
			continue
		}
		if r.hours == nil {
			r.hours = map[alliance.ContractID]*hour{}
		}
		h := &hour{contract: c}
		if o := old[c.ID]; o != nil {
			h.begin, h.end, h.drawn = o.begin, o.end, o.drawn
		}
		h.limit = hourLimit(c, now.UnixNano())
		h.roll(now.UnixNano())
		r.hours[c.ID] = h
	}
	for i := range r.pools {
		r.pools[i].hour = nil
		if c := r.pools[i].contract; c != nil {
			r.pools[i].hour = r.hours[c.ID]
		}
	}
}

// hourLimit is the commitment of the hour that contains at.
func hourLimit(c *alliance.Contract, at int64) float64 {
	rate, _, ok := contract.HourAt(c, time.Unix(0, at))
	if !ok {
		return 0
	}
	return float64(rate.PerHour) * 1000
}

// roll begins a new hour when the last one is over: what was left of it is lost.
func (h *hour) roll(at int64) {
	if h.begin <= at && at < h.end {
		return
	}
	h.begin = at - at%int64(time.Hour)
	h.end = h.begin + int64(time.Hour)
	h.limit, h.drawn = hourLimit(h.contract, at), 0
}

// left is what the hour that contains at has left.
func (h *hour) left(at int64) float64 {
	if h.begin <= at && at < h.end {
		return max(0, h.limit-h.drawn)
	}
	return hourLimit(h.contract, at)
}

// beyond is the part of a request's list price that the hour does not cover.
func (h *hour) beyond(at int64, draw, price float64) float64 {
	left := h.left(at)
	switch {
	case draw <= left:
		if left > 0 || draw > 0 {
			return 0
		}
		return price
	case left <= 0:
		return price
	}
	return price * (1 - left/draw)
}

// coverOf is what one token of a price draws.
func coverOf(p *alliance.Price) cover {
	rates := rating.Cost(p)
	return cover{float64(rates.Input) / 1000, float64(rates.CacheRead) / 1000, float64(rates.Output) / 1000}
}

// drawn takes over what the books have drawn of the hours: it is more than the
// router knows of after a restart.
func (r *Router) drawn(at int64, spent func(alliance.ContractID) money.Amount) {
	for id, h := range r.hours {
		h.roll(at)
		h.drawn = max(h.drawn, float64(spent(id))*1000)
	}
}
