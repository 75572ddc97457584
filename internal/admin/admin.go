// Package admin serves the operator's listener: the JSON API, metrics and
// health, behind the admin token, and whatever pages are mounted on it. It
// refuses to serve anything but /healthz and /readyz without authentication,
// to take part in routing or booking, and to show content or credentials.
package admin

import (
	"crypto/rand"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"net/netip"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"
)

// ErrNotFound reports a request that the journal does not know.
var ErrNotFound = errors.New("not found")

// BadRequestError is what cannot be asked, told as it is to the person who asks.
type BadRequestError struct{ Says string }

// Error says what is wrong with the request.
func (e BadRequestError) Error() string { return e.Says }

const (
	cookieName  = "accordo_session"
	maxEnded    = 4096 // sessions that were ended before their time and are remembered
	sessionLife = 12 * time.Hour
	maxForm     = 4 << 10
	// MaxRequests bounds one listing of requests, entries or batches.
	MaxRequests = 500
	// MaxAddress bounds the address of a request, with its parameters, in bytes.
	MaxAddress = 8 << 10
)

// Options configure the listener.
type Options struct {
	Source  Source
	Metrics http.Handler
	Pages   Pages
	Token   string         // the admin token: the operator's
	Grants  func() []Grant // further accesses in force, or nil
	Secure  bool           // marks cookies for TLS
	// Guessing is told an address that has sent too many wrong tokens, once
	// each time that it begins to be kept waiting; or nil.
	Guessing func(address string)
	Now      func() time.Time
	// AsOf is the instant that answers speak of; without it, Now.
	AsOf func() time.Time
}

// Handler returns the listener's handler.
func Handler(o Options) http.Handler {
	h := &handler{o: o, ended: map[string]int64{}}
	h.guesses = guesses{by: map[netip.Prefix]*guesser{}, tell: o.Guessing, limit: guessers}
	h.newKey()
	open, names := http.NewServeMux(), map[string]bool{}
	for pattern, serve := range h.open() {
		open.HandleFunc(pattern, serve)
		names[pattern] = true
	}
	rest := h.authenticated(Guard(Routes(o), o.Pages, slices.Collect(maps.Keys(names))...))
	all := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if _, pattern := open.Handler(r); names[pattern] {
			open.ServeHTTP(w, r)
			return
		}
		rest.ServeHTTP(w, r) // also what the first mux would only redirect or refuse
	})
	own := http.NewCrossOriginProtection()
	own.SetDenyHandler(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		Refuse(w, http.StatusForbidden, "This came from another site's page, or a proxy in front changed the Host header: use the console under its own address, and let a proxy pass Host on.")
	}))
	return securityHeaders(own.Handler(http.MaxBytesHandler(all, 8<<20)))
}

// open are the routes that need no login.
func (h *handler) open() map[string]http.HandlerFunc {
	routes := map[string]http.HandlerFunc{
		"GET /healthz": func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write([]byte("ok\n")) },
		"GET /readyz":  h.ready, "GET /login": h.loginPage, "POST /login": h.login, "POST /logout": h.logout,
	}
	if h.o.Pages.Static != nil {
		routes["GET /static/"] = h.o.Pages.Static.ServeHTTP // styles and scripts hold nothing of the alliance
	}
	return routes
}

// OpenPatterns are the routes that need no login, by name.
func OpenPatterns(p Pages) []string {
	return slices.Sorted(maps.Keys((&handler{o: Options{Pages: p}}).open()))
}

// handler holds the key by which this process signs sessions, those that were
// ended before their time, and who has guessed tokens.
type handler struct {
	o       Options
	guesses guesses

	mu    sync.Mutex
	key   [32]byte
	ended map[string]int64 // mac of a session to its expiry in Unix seconds
}

// newKey ends every session.
func (h *handler) newKey() {
	if _, err := rand.Read(h.key[:]); err != nil {
		panic(err) // the system has no randomness: nothing can be signed
	}
}

// withLimit reads how many the address asks for: 50 where it does not say, at
// most MaxRequests.
func withLimit(r *http.Request, view func(limit int) (any, error)) (any, error) {
	text := r.URL.Query().Get("limit")
	if text == "" {
		return view(50)
	}
	n, err := strconv.Atoi(text)
	if err != nil || n < 1 {
		return nil, BadRequestError{Says: fmt.Sprintf("Write the limit as a number from 1 to %d.", MaxRequests)}
	}
	return view(min(n, MaxRequests))
}

// Refuse answers with the status and, as JSON, with what to do instead.
func Refuse(w http.ResponseWriter, status int, says string) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(map[string]string{"error": says})
}

func writeJSON(w http.ResponseWriter, v any, err error) {
	w.Header().Set("Content-Type", "application/json")
	var bad BadRequestError
	switch {
	case errors.As(err, &bad):
		w.WriteHeader(http.StatusBadRequest)
		v = map[string]string{"error": bad.Says}
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

// authenticated lets a request through that carries a token as a bearer or a
// session cookie, and notes whose. A page without one is sent to the login.
func (h *handler) authenticated(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		who, ok, wait := h.who(r)
		if ok {
			next.ServeHTTP(w, r.WithContext(WithAccess(r.Context(), who)))
			return
		}
		if wait > 0 {
			w.Header().Set("Retry-After", waitSeconds(wait))
			w.Header().Set("Content-Type", "application/json")
			w.WriteHeader(http.StatusTooManyRequests)
			_, _ = w.Write([]byte(`{"error":"too many wrong tokens came from your address: wait as long as Retry-After says"}` + "\n"))
			return
		}
		if r.Method == http.MethodGet && strings.Contains(r.Header.Get("Accept"), "text/html") {
			http.Redirect(w, r, "/login?to="+url.QueryEscape(safeTarget(r.URL.RequestURI())), http.StatusSeeOther)
			return
		}
		w.Header().Set("WWW-Authenticate", `Bearer realm="accordo admin"`)
		w.Header().Set("Content-Type", "application/json")
		w.WriteHeader(http.StatusUnauthorized)
		_, _ = w.Write([]byte(`{"error":"send a token as a bearer, one at a time, or log in at /login"}` + "\n"))
	})
}

// who says who sends a request; wait is how long nobody is asked to send a
// token from where it comes, when it has none that counts.
func (h *handler) who(r *http.Request) (who Access, ok bool, wait time.Duration) {
	if sent := r.Header["Authorization"]; len(sent) == 1 { // of two nobody knows which is meant
		if bearer, found := strings.CutPrefix(sent[0], "Bearer "); found {
			var g Grant
			if g, ok, wait = h.tried(r, bearer); ok {
				return g.Access, true, 0
			}
		}
	}
	who, ok = h.session(r)
	return who, ok, wait
}

// tried finds whose token this is, unless the address that it comes from has
// sent too many wrong ones and has to wait.
func (h *handler) tried(r *http.Request, token string) (g Grant, ok bool, wait time.Duration) {
	now := h.o.Now()
	if wait = h.guesses.wait(r.RemoteAddr, now); wait > 0 {
		return Grant{}, false, wait
	}
	if g, ok = h.known(token); !ok && token != "" {
		h.guesses.wrong(r.RemoteAddr, sha256.Sum256([]byte(token)), now)
	}
	return g, ok, 0
}

func securityHeaders(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		header := w.Header()
		header.Set("Content-Security-Policy", "default-src 'none'; style-src 'self'; script-src 'self'; img-src 'self' data:; connect-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'")
		header.Set("X-Content-Type-Options", "nosniff")
		header.Set("X-Frame-Options", "DENY")
		header.Set("Referrer-Policy", "no-referrer")
		header.Set("Cross-Origin-Opener-Policy", "same-origin")
		header.Set("Cross-Origin-Resource-Policy", "same-origin")
		header.Set("Permissions-Policy", "camera=(), geolocation=(), microphone=()")
		header.Set("Cache-Control", "no-store")
		next.ServeHTTP(w, r)
	})
}
