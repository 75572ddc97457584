package app

import (
	"github.com/accordo-ai/accordo/internal/admin"
	"github.com/accordo-ai/accordo/internal/console"
)

// consolePages are the operator's pages over a serving server.
func consolePages(s *server) admin.Pages { return console.New(s, s, s.play, s.clock) }
