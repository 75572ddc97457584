// Package admin serves the operator's listener: the JSON API, metrics and
// health, behind the admin token, and whatever pages are mounted on it. It
// refuses to serve anything but /healthz and /readyz without authentication,
// to take part in routing or booking, and to show content or credentials.
package admin

import (
	"crypto/sha256"
	"crypto/subtle"
	"encoding/json"
	"errors"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"
)

// ErrNotFound reports a request that the journal does not know.
var ErrNotFound = errors.New("not found")

const (
	cookieName  = "accordo_session"
	sessionLife = 12 * time.Hour
	maxForm     = 4 << 10
	// MaxRequests bounds one listing of requests.
	MaxRequests = 500
)

// Options configure the listener. Token is the admin token; Secure marks
// cookies for TLS.
type Options struct {
	Source  Source
	Metrics http.Handler
	Pages   http.Handler // mounted at /, behind authentication
	Token   string
	Secure  bool
	Now     func() time.Time
}

// Handler returns the listener's handler.
func Handler(o Options) http.Handler {
	h := &handler{o: o, token: sha256.Sum256([]byte(o.Token))}
	open := http.NewServeMux()
	open.HandleFunc("GET /healthz", func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write([]byte("ok\n")) })
	open.HandleFunc("GET /readyz", h.ready)
	open.HandleFunc("GET /login", h.loginPage)
	open.HandleFunc("POST /login", h.login)
	open.HandleFunc("POST /logout", h.logout)
	open.Handle("GET /static/", o.Pages) // styles and scripts hold nothing of the alliance
	open.Handle("/", h.authenticated(h.routes()))
	return securityHeaders(http.NewCrossOriginProtection().Handler(http.MaxBytesHandler(open, 8<<20)))
}

type handler struct {
	o     Options
	token [sha256.Size]byte
}

func (h *handler) routes() http.Handler {
	mux := http.NewServeMux()
	mux.Handle("GET /metrics", h.o.Metrics)
	get := func(path string, view func(*http.Request) (any, error)) {
		mux.HandleFunc("GET /api/"+path, func(w http.ResponseWriter, r *http.Request) {
			v, err := view(r)
			writeJSON(w, v, err)
		})
	}
	get("overview", func(*http.Request) (any, error) { return h.o.Source.Overview(h.o.Now()), nil })
	get("pools", func(*http.Request) (any, error) { return h.o.Source.Pools(h.o.Now()), nil })
	get("contracts", func(*http.Request) (any, error) { return h.o.Source.Contracts(h.o.Now()), nil })
	get("balances", func(*http.Request) (any, error) { return h.o.Source.Balances(), nil })
	get("requests", func(r *http.Request) (any, error) { return h.o.Source.Requests(limitOf(r)), nil })
	get("requests/{id}", func(r *http.Request) (any, error) { return h.o.Source.Trace(r.Context(), r.PathValue("id")) })
	get("entries", func(r *http.Request) (any, error) {
		return h.o.Source.Entries(r.Context(), r.URL.Query().Get("account"), limitOf(r))
	})
	get("story", func(r *http.Request) (any, error) {
		told, ok := h.o.Source.Story(h.o.Now())
		if !ok {
			return nil, ErrNotFound
		}
		return told, nil
	})
	get("claims", func(r *http.Request) (any, error) {
		return h.o.Source.Claims(h.o.Now(), r.URL.Query()["id"])
	})
	mux.HandleFunc("/api/", func(w http.ResponseWriter, r *http.Request) { writeJSON(w, nil, ErrNotFound) })
	mux.Handle("/", h.o.Pages)
	return mux
}

func limitOf(r *http.Request) int {
	n, err := strconv.Atoi(r.URL.Query().Get("limit"))
	if err != nil || n < 1 {
		return 50
	}
	return min(n, MaxRequests)
}

func writeJSON(w http.ResponseWriter, v any, err error) {
	w.Header().Set("Content-Type", "application/json")
	switch {
	case errors.Is(err, ErrNotFound):
		w.WriteHeader(http.StatusNotFound)
		v = map[string]string{"error": "nothing here has that name"}
	case err != nil:
		w.WriteHeader(http.StatusInternalServerError)
		v = map[string]string{"error": "the books or the journal could not be read; see the server's log"}
	}
	_ = json.NewEncoder(w).Encode(v) // a client that left needs no error
}

func (h *handler) ready(w http.ResponseWriter, _ *http.Request) {
	r := h.o.Source.Readiness()
	w.Header().Set("Content-Type", "application/json")
	if !r.Ready {
		w.WriteHeader(http.StatusServiceUnavailable)
	}
	_ = json.NewEncoder(w).Encode(r)
}

// authenticated lets a request through that carries the admin token as a
// bearer or a session cookie. A page without one is sent to the login.
func (h *handler) authenticated(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		bearer, ok := strings.CutPrefix(r.Header.Get("Authorization"), "Bearer ")
		if ok && h.isToken(bearer) || h.hasSession(r) {
			next.ServeHTTP(w, r)
			return
		}
		if r.Method == http.MethodGet && strings.Contains(r.Header.Get("Accept"), "text/html") {
			http.Redirect(w, r, "/login?to="+url.QueryEscape(safeTarget(r.URL.RequestURI())), http.StatusSeeOther)
			return
		}
		w.Header().Set("WWW-Authenticate", `Bearer realm="accordo admin"`)
		w.Header().Set("Content-Type", "application/json")
		w.WriteHeader(http.StatusUnauthorized)
		_, _ = w.Write([]byte(`{"error":"send the admin token as a bearer, or log in at /login"}` + "\n"))
	})
}

func (h *handler) isToken(s string) bool {
	sum := sha256.Sum256([]byte(s))
	return h.o.Token != "" && subtle.ConstantTimeCompare(sum[:], h.token[:]) == 1
}

func securityHeaders(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		header := w.Header()
		header.Set("Content-Security-Policy", "default-src 'none'; style-src 'self'; script-src 'self'; img-src 'self' data:; connect-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'")
		header.Set("X-Content-Type-Options", "nosniff")
		header.Set("Referrer-Policy", "no-referrer")
		header.Set("Cache-Control", "no-store")
		next.ServeHTTP(w, r)
	})
}
