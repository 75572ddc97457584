package app

import (
	"net/http"
)

func consolePages(s *server) http.Handler { return http.NotFoundHandler() }
