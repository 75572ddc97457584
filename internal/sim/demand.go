package sim

import (
	"math"
	"slices"
	"sort"
	"time"

	"github.com/accordo-ai/accordo/internal/alliance"
)

const hoursOfWeek = 7 * 24

// class is one kind of demand: what one key asks for from one territory.
type class struct {
	tenant    *alliance.Tenant
	key       *alliance.Key
	plan      *alliance.Plan
	asked     alliance.ModelID // model, family, or variant with a flow
	territory alliance.Territory
	weight    float64
	office    bool    // busy in office hours, else in the evening
	input     float64 // median tokens
	output    float64
	users     int64     // end users behind a trusted key
	perDay    float64   // requests, on average
	silent    time.Time // until then nobody asks: the last try was refused by the terms
}

// hour is the demand of one hour of the week.
type hour struct {
	rate float64   // requests per nanosecond
	sums []float64 // of weights up to and including each class
}

// makeClasses derives the demand from the keys of the terms: each key asks for
// all that its plan has, from all territories that it speaks for.
func (s *Simulator) makeClasses() {
	for i := range s.a.Tenants {
		t := &s.a.Tenants[i]
		for j := range t.Keys {
			s.classesOf(t, &t.Keys[j])
		}
	}
}

func (s *Simulator) classesOf(t *alliance.Tenant, k *alliance.Key) {
	plan := s.a.Plan(k.Plan)
	if plan == nil {
		return
	}
	territories := []alliance.Territory{k.Territory}
	if k.Trusted {
		territories = append(territories, k.Territories...)
		slices.Sort(territories[1:])
		territories = slices.Compact(territories)
	}
	first, sum := len(s.classes), 0.0
	for _, asked := range s.offers(plan) {
		median := 150 + 1500*s.draw.uniform()
		output := 60 + 340*s.draw.uniform()
		for _, where := range territories {
			c := class{
				tenant: t, key: k, plan: plan, asked: asked, territory: where, office: plan.Subject != "end_user",
				input: median, output: output, weight: 0.2 + s.draw.uniform(), users: 40 + s.draw.below(400),
			}
			if where != k.Territory {
				c.weight /= 4
			}
			if plan.Subject == "end_user" {
				c.input, c.output = c.input/4, c.output/3
			}
			sum += c.weight
			s.classes = append(s.classes, c)
		}
	}
	share := 0.5 + s.draw.uniform() // of the key among all
	for i := first; i < len(s.classes); i++ {
		s.classes[i].weight *= share / sum
	}
}

// offers are the names that a plan lets its customers ask for.
func (s *Simulator) offers(plan *alliance.Plan) (names []alliance.ModelID) {
	add := func(id alliance.ModelID) {
		if v := s.a.Variant(id); v != nil {
			for i := range v.Flows {
				names = append(names, id+":"+alliance.ModelID(v.Flows[i].ID))
			}
			return
		}
		names = append(names, id)
	}
	for _, id := range plan.Models {
		add(id)
	}
	slices.Sort(names)
	return slices.Compact(names)
}

// ahead is the number of hours by which a territory is ahead of UTC, roughly;
// those that are not here live by UTC.
func ahead(t alliance.Territory) int {
	switch t {
	case "US", "CA":
		return -6
	case "EU", "DE", "FR", "IT", "ES":
		return 1
	case "JP", "KR":
		return 9
	case "IN":
		return 5
	}
	return 0
}

// phase is how busy a class is in an hour of the week, in (0, 1].
func (c *class) phase(hourOfWeek int) float64 {
	local := (hourOfWeek + ahead(c.territory) + hoursOfWeek) % hoursOfWeek
	day, hour := local/24, float64(local%24)
	weekend := day == 0 || day == 6
	peak, rest := 14.0, 0.3
	if !c.office {
		peak, rest = 20, 1
	}
	x := 0.12 + 0.88*math.Pow(0.5+0.5*math.Cos(2*math.Pi*(hour-peak)/24), 1.5)
	if weekend {
		return x * rest
	}
	return x
}

// makeHours lays the demand over the week so that it comes to the requests
// that were asked for, with those of bursts.
func (s *Simulator) makeHours() {
	week := 0.0
	for h := range s.hours {
		sum := 0.0
		sums := make([]float64, len(s.classes))
		for i := range s.classes {
			sum += s.classes[i].weight * s.classes[i].phase(h)
			sums[i] = sum
		}
		s.hours[h] = hour{sum, sums}
		week += sum
	}
	perArrival := 1 + float64(s.o.Odds.Burst)/million*burstMean
	for h := range s.hours {
		share := s.hours[h].rate / week
		s.hours[h].rate = share * 7 * float64(s.o.RequestsPerDay) / perArrival / float64(time.Hour)
	}
	for i := range s.classes {
		c, own := &s.classes[i], 0.0
		for h := range s.hours {
			own += c.weight * c.phase(h)
		}
		c.perDay = own / week * float64(s.o.RequestsPerDay)
	}
}

// giveUp silences a class whose request the terms refused: its customers try
// again after some days, and seldom compared with what they asked before.
func (s *Simulator) giveUp(c *class) {
	const least, most, longest, requests = 5, 12, 45, 40
	days := max(float64(least+s.draw.below(most-least)), requests/c.perDay)
	c.silent = s.now.Add(time.Duration(min(days, longest) * 24 * float64(time.Hour)))
}

func hourOfWeek(t time.Time) int { return int(t.Weekday())*24 + t.Hour() }

// never is an instant that no play reaches.
func never() time.Time { return time.Date(9999, 1, 1, 0, 0, 0, 0, time.UTC) }

// arrival draws the first arrival after an instant: a Poisson process whose
// rate is that of the hour.
func (s *Simulator) arrival(after time.Time) time.Time {
	work, at := s.draw.wait(), after
	for {
		if !s.o.Until.IsZero() && !at.Before(s.o.Until) {
			return never()
		}
		rate := s.hours[hourOfWeek(at)].rate
		end := at.Truncate(time.Hour).Add(time.Hour)
		if whole := rate * float64(end.Sub(at)); work > whole {
			work, at = work-whole, end
			continue
		}
		if at = at.Add(time.Duration(work/rate) + 1); s.o.Until.IsZero() || at.Before(s.o.Until) {
			return at
		}
	}
}

// pick draws whose request an arrival is. Customers who have given up for some
// days leave theirs to others; nil when nobody is found.
func (s *Simulator) pick(at time.Time) *class {
	const tries = 16
	sums := s.hours[hourOfWeek(at)].sums
	for range tries {
		x := s.draw.uniform() * sums[len(sums)-1]
		c := &s.classes[min(sort.SearchFloat64s(sums, x), len(s.classes)-1)]
		if !at.Before(c.silent) {
			return c
		}
	}
	return nil
}

// The size of a burst, in requests after the one that begins it.
const (
	burstLeast = 15
	burstMost  = 85
	burstMean  = (burstLeast + burstMost) / 2
)

// burst may let an arrival be the first of many: a job that a customer runs.
func (s *Simulator) burst(c *class) {
	if !s.draw.happens(s.o.Odds.Burst) {
		return
	}
	at := s.now
	for range burstLeast + s.draw.below(burstMost-burstLeast) {
		at = at.Add(s.draw.between(100*time.Millisecond, 1200*time.Millisecond))
		if !s.o.Until.IsZero() && !at.Before(s.o.Until) {
			return
		}
		s.at(at, event{class: c})
	}
}
