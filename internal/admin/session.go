package admin

import (
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"html/template"
	"maps"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"
)

// A session is "expiry-nonce.id.mac": the end of its life in Unix seconds, a
// random number that tells it from others, the access that it is of, and an
// HMAC-SHA-256 of these and of the token's hash under a key of this process.
// Only sessions that were ended before their time are stored; a new token, a
// revoked access and the end of the process end it too.

func (h *handler) sessionAt(now time.Time, g Grant) string {
	head := strconv.FormatInt(now.Add(sessionLife).Unix(), 10) + "-" + rand.Text()
	return head + "." + g.ID + "." + h.mac(head, g)
}

func (h *handler) mac(head string, g Grant) string {
	h.mu.Lock()
	m := hmac.New(sha256.New, h.key[:])
	h.mu.Unlock()
	m.Write(g.SHA256[:])
	m.Write([]byte("session:" + head + "." + g.ID))
	return hex.EncodeToString(m.Sum(nil))
}

// cookieName is the name of the session's cookie. With TLS no other host, and
// no page without TLS, can set one of that name.
func (h *handler) cookieName() string {
	if h.o.Secure {
		return "__Host-" + cookieName
	}
	return cookieName
}

// session says whose session a request carries.
func (h *handler) session(r *http.Request) (Access, bool) {
	who, _, _, ok := h.read(r)
	return who, ok
}

// read reads the session that a request carries.
func (h *handler) read(r *http.Request) (who Access, mac string, expiry int64, ok bool) {
	c, err := r.Cookie(h.cookieName())
	if err != nil {
		return Access{}, "", 0, false
	}
	head, rest, _ := strings.Cut(c.Value, ".")
	id, mac, ok := strings.Cut(rest, ".")
	if !ok {
		return Access{}, "", 0, false
	}
	end, _, _ := strings.Cut(head, "-")
	expiry, err = strconv.ParseInt(end, 10, 64)
	if err != nil || h.o.Now().Unix() >= expiry {
		return Access{}, "", 0, false
	}
	for _, g := range h.grants() {
		if g.ID == id && hmac.Equal([]byte(mac), []byte(h.mac(head, g))) {
			h.mu.Lock()
			_, gone := h.ended[mac]
			h.mu.Unlock()
			return g.Access, mac, expiry, !gone
		}
	}
	return Access{}, "", 0, false
}

// end ends a session for good: who has kept its cookie does not come in with
// it. Where too many were ended to remember, all sessions end.
func (h *handler) end(mac string, expiry int64) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if len(h.ended) >= maxEnded {
		now := h.o.Now().Unix()
		maps.DeleteFunc(h.ended, func(_ string, until int64) bool { return now >= until })
	}
	if len(h.ended) >= maxEnded {
		clear(h.ended)
		h.newKey()
		return
	}
	h.ended[mac] = expiry
}

var loginTemplate = template.Must(template.New("login").Parse(`<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">
<title>Accordo: log in</title><link rel="icon" href="/static/icon.svg" type="image/svg+xml"><link rel="stylesheet" href="/static/console.css"></head>
<body class="login"><main><h1>Accordo</h1>
<form method="post" action="/login">
<label for="token">Token</label>
<input id="token" name="token" type="password" autocomplete="current-password" autofocus required>
<input type="hidden" name="to" value="{{.To}}">
{{with .Problem}}<p class="problem" role="alert">{{.}}</p>{{end}}
<button>Log in</button>
<p>The operator's token was printed when the server started; others come from <code>accordo access new</code>.</p>
</form></main></body></html>
`))

// loginPage shows the form. The link that the server prints carries the token
// in the query, which is exchanged for a cookie at once; not where another
// site leads there, which could log somebody in as whom it likes.
func (h *handler) loginPage(w http.ResponseWriter, r *http.Request) {
	site := r.Header.Get("Sec-Fetch-Site")
	if token := r.URL.Query().Get("token"); token != "" && site != "cross-site" && site != "same-site" {
		h.grant(w, r, token, safeTarget(r.URL.Query().Get("to")))
		return
	}
	h.showLogin(w, http.StatusOK, safeTarget(r.URL.Query().Get("to")), "")
}

func (h *handler) showLogin(w http.ResponseWriter, status int, to, problem string) {
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	w.WriteHeader(status)
	_ = loginTemplate.Execute(w, struct{ To, Problem string }{to, problem})
}

func (h *handler) login(w http.ResponseWriter, r *http.Request) {
	r.Body = http.MaxBytesReader(w, r.Body, maxForm)
	if err := r.ParseForm(); err != nil {
		h.showLogin(w, http.StatusBadRequest, "/", "That form could not be read.")
		return
	}
	h.grant(w, r, strings.TrimSpace(r.PostForm.Get("token")), safeTarget(r.PostForm.Get("to")))
}

func (h *handler) grant(w http.ResponseWriter, r *http.Request, token, to string) {
	g, ok, wait := h.tried(r, token)
	if wait > 0 {
		w.Header().Set("Retry-After", waitSeconds(wait))
		h.showLogin(w, http.StatusTooManyRequests, to, "Too many wrong tokens came from your address. Try again in "+waitSeconds(wait)+" s.")
		return
	}
	if !ok {
		h.showLogin(w, http.StatusForbidden, to, "That is no token of this server.")
		return
	}
	now := h.o.Now()
	http.SetCookie(w, &http.Cookie{
		Name: h.cookieName(), Value: h.sessionAt(now, g), Path: "/", Expires: now.Add(sessionLife),
		HttpOnly: true, SameSite: http.SameSiteStrictMode, Secure: h.o.Secure,
	})
	if r.Method == http.MethodGet {
		// A redirect would not send a strict cookie back when the visit came
		// from another program; a page that goes on by itself does.
		w.Header().Set("Content-Type", "text/html; charset=utf-8")
		w.Header().Set("Refresh", "0; url="+to)
		fmt.Fprintf(w, `<!doctype html><meta charset="utf-8"><title>Accordo</title><link rel="icon" href="/static/icon.svg" type="image/svg+xml"><p><a href="%s">Go on</a></p>`, template.HTMLEscapeString(to))
		return
	}
	http.Redirect(w, r, to, http.StatusSeeOther)
}

func (h *handler) logout(w http.ResponseWriter, r *http.Request) {
	if _, mac, expiry, ok := h.read(r); ok {
		h.end(mac, expiry)
	}
	http.SetCookie(w, &http.Cookie{Name: h.cookieName(), Path: "/", MaxAge: -1, HttpOnly: true, SameSite: http.SameSiteStrictMode, Secure: h.o.Secure})
	http.Redirect(w, r, "/login", http.StatusSeeOther)
}

// safeTarget keeps a redirect on this server: a path that begins with one
// slash, with its query.
func safeTarget(to string) string {
	u, err := url.Parse(to)
	if err != nil || u.Host != "" || u.Scheme != "" || !strings.HasPrefix(u.Path, "/") || strings.HasPrefix(u.Path, "//") || strings.Contains(to, "\\") {
		return "/"
	}
	return (&url.URL{Path: u.Path, RawQuery: u.RawQuery}).String()
}
