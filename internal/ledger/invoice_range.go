package ledger

import (
	"fmt"
	"sort"

	"github.com/accordo-ai/accordo/internal/exchange"

	"github.com/accordo-ai/accordo/internal/record"
)

// The journal dates its records and never goes back in time, so what a month
// is about stands in one range of it: from the first record of the month to
// where the last of its attempts has its outcome.

// beginOf is the first record at or after an instant, by halving the journal:
// the one behind the last where there is none.
func (p *provided) beginOf(at int64) (uint64, error) {
	var failed error
	n := sort.Search(int(p.b.head.Last), func(i int) bool {
		if failed != nil {
			return true
		}
		r, err := p.evidence.record(uint64(i) + 1)
		failed = err
		return r.At >= at
	})
	return uint64(n) + 1, failed
}

// read finds the attempts in the journal: in the month's range, and in all of
// it where the invoice names an attempt that is not there.
func (p *provided) read() error {
	from, err := p.beginOf(monthStart(p.month).UnixNano())
	if err != nil {
		return err
	}
	if err := p.scan(from, monthStart(nextMonth(p.month)).UnixNano()); err != nil {
		return err
	}
	for id := range p.listed {
		if p.attempts[id] == nil && (from > 1 || p.stopped) {
			err = p.scan(1, 0)
			break
		}
	}
	if err != nil {
		return err
	}
	p.writeOff()
	return nil
}

// scan gathers attempts from a record on. It ends at the instant end once no
// attempt of the month waits for its outcome; 0: with the books.
func (p *provided) scan(from uint64, end int64) (err error) {
	p.attempts, p.groups, p.order, p.stopped = map[record.AttemptID]*billed{}, map[string][]*billed{}, nil, false
	if p.hours, err = p.covering(); err != nil {
		return err
	}
	p.late, p.suspense = nil, nil
	if p.hours != nil {
		p.late, p.suspense = p.b.lateDraws, map[uint64]*billed{}
	}
	open, flows, waiting := map[uint64]*billed{}, map[flowKey]*flow{}, 0
	for r, err := range p.evidence.Records(from) {
		if err != nil {
			return fmt.Errorf("read the journal: %w", err)
		}
		if r.Sequence > p.b.head.Last {
			break
		}
		if end != 0 && r.At >= end && waiting == 0 {
			p.stopped = true
			break
		}
		p.drawLate(r.Sequence)
		switch {
		case r.Intent != nil:
			a, err := p.candidate(&r, flows)
			if err != nil {
				return err
			}
			if a != nil {
				open[r.Sequence] = a
			}
			if a != nil && a.month {
				waiting++
			}
		case r.Outcome != nil:
			if a := open[r.Outcome.Intent]; a != nil && a.attempt == r.Outcome.Attempt {
				delete(open, r.Outcome.Intent)
				if a.month {
					waiting--
				}
				p.outcome(a, &r)
			}
		}
	}
	p.drawLate(exchange.Always)
	return nil
}
