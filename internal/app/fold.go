package app

import (
	"time"

	"github.com/accordo-ai/accordo/internal/alliance"
	"github.com/accordo-ai/accordo/internal/contract"
	"github.com/accordo-ai/accordo/internal/ledger"
	"github.com/accordo-ai/accordo/internal/route"
)

// fold puts the terms of the file into force with what the facts change of
// their contracts, and returns them. The caller holds folding, or is the start.
func (s *server) fold(a *alliance.Alliance) *alliance.Alliance {
	s.filed, s.changes = a, 0
	if s.settler != nil {
		changes := s.settler.Changes()
		a, s.changes = contract.Fold(a, changes), len(changes)
	}
	s.terms.Store(ledger.NewTerms(a))
	return a
}

// refold takes over facts that were recorded since: the router follows them
// with the next request.
func (s *server) refold() {
	s.folding.Lock()
	defer s.folding.Unlock()
	if len(s.settler.Changes()) == s.changes {
		return
	}
	a := s.fold(s.filed)
	s.gateway.WithRouter(func(r *route.Router) { r.Reload(a, time.Now()) })
	s.o.Log.Info("what a fact changes of contracts is in force", "changes", s.changes)
}
