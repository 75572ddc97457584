package app

import (
	"context"
	"time"

	"github.com/accordo-ai/accordo/internal/alliance"
	"github.com/accordo-ai/accordo/internal/money"
	"github.com/accordo-ai/accordo/internal/quota"
	"github.com/accordo-ai/accordo/internal/route"
)

// startLoops starts settling and the timer of the shadow prices.
func (s *server) startLoops() {
	ctx, cancel := context.WithCancel(context.Background())
	s.running, s.stop = ctx, cancel
	s.loop(func() { s.requestLog.Run(ctx) })
	s.loop(func() { s.keepLimits(ctx) })
	s.loop(func() {
		if err := s.settler.Run(ctx); err != nil {
			s.o.Log.Error("the books are behind the journal; they follow at the next start", "error", err)
		}
	})
	s.loop(func() {
		resolve, keep := time.NewTicker(resolveEach), time.NewTicker(checkpointEach)
		defer resolve.Stop()
		defer keep.Stop()
		var at rest
		for {
			select {
			case <-ctx.Done():
				return
			case <-resolve.C:
				s.resolve()
				s.retryJournal(ctx)
				if at.turn(s.journal.Last()) {
					releaseMemory()
				}
			case <-keep.C:
				s.checkpoint()
			}
		}
	})
}

// retryJournal writes a mark while the journal's last write has failed, so
// that the node finds out by itself that it can serve again: while it is not
// ready nobody else may write. Outcomes that were refused follow at once.
func (s *server) retryJournal(ctx context.Context) {
	if s.journal.State().Fault != nil {
		if _, err := s.journal.Mark(ctx); err != nil {
			return
		}
		s.o.Log.Info("the journal can be written again")
	}
	if n, left := s.gateway.WriteLate(ctx); n > 0 {
		s.o.Log.Info("outcomes that the journal had refused are written", "written", n, "waiting", left)
	}
}

func (s *server) loop(f func()) {
	s.wait.Add(1)
	go func() {
		defer s.wait.Done()
		f()
	}()
}

// resolve sets the shadow prices from the capacity left and the books.
func (s *server) resolve() {
	s.refold()
	now, terms := time.Now(), s.terms.Load()
	booked := time.Unix(0, s.settler.Status().Posted.At) // read first: what is spent then holds it
	spent := map[alliance.ContractID]money.Amount{}
	for _, c := range terms.Alliance().Contracts {
		spent[c.ID] = s.settler.Spent(terms, c.ID, now)
	}
	s.gateway.WithRouter(func(r *route.Router) {
		r.Booked(booked)
		r.Resolve(now, func(id alliance.ContractID) money.Amount { return spent[id] })
	})
	s.gateway.WithQuota(func(b *quota.Book) { b.Expire(now) })
}

// checkpoint keeps what the router has learned for the next start.
func (s *server) checkpoint() {
	var checkpoint []byte
	s.gateway.WithRouter(func(r *route.Router) { checkpoint = r.Checkpoint() })
	if err := s.dir.WriteFile(routeCheckpoint, checkpoint); err != nil {
		s.o.Log.Warn("the router's checkpoint was not kept; the next start goes on from an older one, or cold", "error", err)
	}
}
