package app

import (
	"net/http"
	"time"

	"github.com/accordo-ai/accordo/internal/console"
)

// consolePages are the operator's pages over a serving server.
func consolePages(s *server) http.Handler { return console.New(s, s, s.play, time.Now) }
