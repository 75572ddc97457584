package admin_test

import (
	"crypto/sha256"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/accordo-ai/accordo/internal/admin"
)

// guessed is a listener whose clients come from addresses of the test.
type guessed struct {
	h    http.Handler
	now  time.Time
	told []string
}

func guessable() *guessed {
	g := &guessed{now: time.Date(2026, 11, 22, 12, 0, 0, 0, time.UTC)}
	finance := admin.Grant{Access: admin.Access{ID: "anna", Role: admin.Finance}, SHA256: sha256.Sum256([]byte("finance-token"))}
	g.h = admin.Handler(admin.Options{
		Source: &source{ready: true}, Metrics: http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}), Pages: testPages(), Token: token,
		Grants: func() []admin.Grant { return []admin.Grant{finance} }, Now: func() time.Time { return g.now }, Guessing: func(a string) { g.told = append(g.told, a) },
	})
	return g
}

// ask sends a request from an address, with headers.
func (g *guessed) ask(from, method, path, body string, headers ...string) *httptest.ResponseRecorder {
	r := httptest.NewRequest(method, path, strings.NewReader(body))
	r.RemoteAddr = from
	if body != "" {
		r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	}
	for i := 0; i < len(headers); i += 2 {
		r.Header.Set(headers[i], headers[i+1])
	}
	w := httptest.NewRecorder()
	g.h.ServeHTTP(w, r)
	return w
}

func (g *guessed) bearer(from, token string) int {
	return g.ask(from, "GET", "/metrics", "", "Authorization", "Bearer "+token).Code
}

func TestGuessing_IsSlowedAndBounded(t *testing.T) {
	const attacker, operator = "198.51.100.7:4000", "192.0.2.9:5000"
	for way, try := range map[string]func(g *guessed, from, token string) *httptest.ResponseRecorder{
		"as a bearer": func(g *guessed, from, token string) *httptest.ResponseRecorder {
			return g.ask(from, "GET", "/metrics", "", "Authorization", "Bearer "+token)
		},
		"by the form": func(g *guessed, from, token string) *httptest.ResponseRecorder {
			return g.ask(from, "POST", "/login", url.Values{"token": {token}}.Encode())
		},
		"by the link": func(g *guessed, from, token string) *httptest.ResponseRecorder {
			return g.ask(from, "GET", "/login?token="+token, "")
		},
	} {
		t.Run(way, func(t *testing.T) {
			g := guessable()
			listened := 0
			for i := range 5990 { // a hundred a second for a minute
				w := try(g, attacker, fmt.Sprintf("admin-%032d", i))
				switch w.Code {
				case 401, 403:
					listened++
				case 429:
					if w.Header().Get("Retry-After") == "" {
						t.Fatal("a refusal does not say for how long")
					}
				default:
					t.Fatalf("guess %d: status %d", i, w.Code)
				}
				g.now = g.now.Add(10 * time.Millisecond)
			}
			if listened < 10 || listened > 10+21 {
				t.Errorf("%d of 5,990 guesses in a minute were looked at, want 10 at once and one each 3 s", listened)
			}
			if len(g.told) != 1 || g.told[0] != "198.51.100.7/32" {
				t.Errorf("told %v", g.told)
			}
			if w := try(g, attacker, token); w.Code != 429 || len(w.Result().Cookies()) != 0 {
				t.Errorf("the right token among guesses is answered %d: guessing would go on at full speed", w.Code)
			}
			if w := try(g, "198.51.100.7:9", token); w.Code != 429 {
				t.Errorf("another port of the same address: %d", w.Code)
			}
			if w := try(g, operator, token); w.Code >= 300 && w.Code != 303 {
				t.Errorf("another address is kept out too: %d", w.Code)
			}
			g.now = g.now.Add(time.Minute)
			if w := try(g, attacker, token); w.Code >= 300 && w.Code != 303 {
				t.Errorf("a minute later: %d", w.Code)
			}
		})
	}
}

func TestGuessing_ASessionGoesOnAndNoTokenIsNoGuess(t *testing.T) {
	g := guessable()
	const from = "198.51.100.7:4000"
	session := g.ask(from, "POST", "/login", "token="+token).Result().Cookies()[0]
	for i := range 50 {
		g.bearer(from, fmt.Sprintf("guess-%d", i))
	}
	if code := g.bearer(from, token); code != 429 {
		t.Fatalf("nothing is kept out: %d", code)
	}
	if w := g.ask(from, "GET", "/metrics", "", "Cookie", session.Name+"="+session.Value); w.Code != 200 {
		t.Errorf("who is logged in is kept out: %d", w.Code)
	}
	other := "198.51.100.8:4000"
	for range 100 {
		g.ask(other, "GET", "/metrics", "")
		g.ask(other, "GET", "/metrics", "", "Authorization", "Bearer ")
		g.ask(other, "GET", "/metrics", "", "Cookie", "accordo_session=1.2.3")
	}
	if code := g.bearer(other, token); code != 200 {
		t.Errorf("asking without a token counts as guessing: %d", code)
	}
}

// A scraper that was given an old token sends it for ever: that is no guess,
// and must not keep the operator on the same machine out.
func TestGuessing_TheSameWrongTokenCountsOnce(t *testing.T) {
	g := guessable()
	for range 1000 {
		if code := g.bearer("127.0.0.1:4000", "an-old-token"); code != 401 {
			t.Fatalf("status %d", code)
		}
	}
	if code := g.bearer("127.0.0.1:4001", token); code != 200 {
		t.Errorf("the right token: status %d", code)
	}
}

func TestGuessing_ANetworkOfIPv6IsOneAddress(t *testing.T) {
	g := guessable()
	for i := range 50 {
		g.bearer(fmt.Sprintf("[2001:db8:1:2::%x]:4000", i+1), fmt.Sprintf("guess-%d", i))
	}
	if code := g.bearer("[2001:db8:1:2:ffff::1]:4000", token); code != 429 {
		t.Errorf("the same network: %d", code)
	}
	if code := g.bearer("[2001:db8:1:3::1]:4000", token); code != 200 {
		t.Errorf("another network: %d", code)
	}
}

// Guesses from very many addresses are counted together, so that the memory
// is bounded and they gain nothing.
func TestGuessing_FromManyAddressesIsBounded(t *testing.T) {
	g := guessable()
	listened := 0
	for i := range 40_000 {
		if g.bearer(fmt.Sprintf("10.%d.%d.%d:1", i>>16, i>>8&255, i&255), fmt.Sprintf("guess-%d", i)) == 401 {
			listened++
		}
	}
	if listened > 1024+20 {
		t.Errorf("%d guesses were looked at", listened)
	}
	g.now = g.now.Add(time.Minute)
	if code := g.bearer("203.0.113.1:1", token); code != 200 {
		t.Errorf("a minute later a new address is answered %d", code)
	}
}

// Addresses are told apart again as soon as the guesses of many are forgotten.
func TestGuessing_TheCommonCountEnds(t *testing.T) {
	g := guessable()
	for i := range 2000 {
		g.bearer(fmt.Sprintf("10.0.%d.%d:1", i>>8, i&255), fmt.Sprintf("guess-%d", i))
	}
	if code := g.bearer("203.0.113.1:1", token); code != 429 {
		t.Fatalf("a new address among 2,000 that guess is answered %d: nothing is counted together", code)
	}
	g.now = g.now.Add(time.Minute)
	for i := range 50 {
		g.bearer("198.51.100.7:4000", fmt.Sprintf("later-%d", i))
	}
	if code := g.bearer("198.51.100.7:4000", token); code != 429 {
		t.Errorf("the one that guesses: %d", code)
	}
	if code := g.bearer("203.0.113.1:1", token); code != 200 {
		t.Errorf("another address waits with the one that guesses: %d", code)
	}
}

func TestGuessing_AClockThatStepsBackOpensAndClosesNothing(t *testing.T) {
	g := guessable()
	const from = "198.51.100.7:4000"
	for i := range 50 {
		g.bearer(from, fmt.Sprintf("guess-%d", i))
	}
	g.now = g.now.Add(-time.Hour)
	if code := g.bearer(from, token); code != 429 {
		t.Errorf("after the step: %d", code)
	}
	g.now = g.now.Add(time.Minute)
	if code := g.bearer(from, token); code != 200 {
		t.Errorf("a minute after the step: %d", code)
	}
}

func TestLogout_EndsTheSessionForWhoeverKeptItsCookie(t *testing.T) {
	g := guessable()
	login := func() string {
		c := g.ask("192.0.2.1:1", "POST", "/login", "token="+token).Result().Cookies()[0]
		return c.Name + "=" + c.Value
	}
	one, two := login(), login()
	if one == two {
		t.Fatal("two logins in the same second are the same session")
	}
	in := func(session string) bool { return g.ask("192.0.2.1:1", "GET", "/", "", "Cookie", session).Code == 200 }
	if !in(one) || !in(two) {
		t.Fatal("a login does not hold")
	}
	g.ask("192.0.2.1:1", "POST", "/logout", "", "Cookie", one)
	if in(one) {
		t.Error("the cookie comes in after its logout")
	}
	if !in(two) {
		t.Error("the logout of one session ended another")
	}
	for range 5000 {
		g.ask("192.0.2.1:1", "POST", "/logout", "", "Cookie", login())
	}
	if in(one) {
		t.Error("the cookie comes in after many other logouts")
	}
}

// Nobody is logged in by following another site's link, and an identifier
// that somebody planted before a login is not that of the session.
func TestLogin_IsNotLedFromAnotherSiteNorFixed(t *testing.T) {
	g := guessable()
	for site, in := range map[string]bool{"cross-site": false, "same-site": false, "same-origin": true, "none": true, "": true} {
		w := g.ask("192.0.2.1:1", "GET", "/login?token="+token, "", "Sec-Fetch-Site", site)
		if got := len(w.Result().Cookies()) == 1; got != in || w.Code != 200 {
			t.Errorf("a link from %q: status %d, logged in %v", site, w.Code, got)
		}
	}
	planted := "accordo_session=9999999999-planted.." + strings.Repeat("0", 64)
	w := g.ask("192.0.2.1:1", "POST", "/login", "token="+token, "Cookie", planted)
	if c := w.Result().Cookies(); len(c) != 1 || strings.Contains(c[0].Value, "planted") {
		t.Errorf("cookies %v", c)
	}
	if w := g.ask("192.0.2.1:1", "GET", "/", "", "Cookie", planted); w.Code != 401 {
		t.Errorf("the planted session: %d", w.Code)
	}
}

func TestCookie_WithTLSBelongsToThisHostAlone(t *testing.T) {
	l := start(t, true)
	session := l.cookie(t)
	if !strings.HasPrefix(session, "__Host-accordo_session=") {
		t.Errorf("cookie %s", session)
	}
	if resp, _ := l.send(t, "GET", "/", nil, "Cookie", session); resp.StatusCode != 200 {
		t.Errorf("status %d", resp.StatusCode)
	}
	if resp, _ := l.send(t, "GET", "/", nil, "Cookie", strings.TrimPrefix(session, "__Host-")); resp.StatusCode != 401 {
		t.Errorf("under a name that others can set: status %d", resp.StatusCode)
	}
}

func TestWrongMethods_AreAnsweredAfterTheLogin(t *testing.T) {
	g := guessable()
	for _, row := range []struct{ method, path, allow string }{
		{"POST", "/", "GET, HEAD"},
		{"DELETE", "/pools", "GET, HEAD"},
		{"PUT", "/chat", "GET, HEAD, POST"},
		{"GET", "/play", "POST"},
		{"OPTIONS", "/api/pools", "GET, HEAD"},
		{"PATCH", "/api/requests/known", "GET, HEAD"},
		{"POST", "/metrics", "GET, HEAD"},
		{"TRACE", "/requests/known", "GET, HEAD"},
		{"POST", "/healthz", "GET, HEAD"},
		{"GET", "/logout", "POST"},
		{"PUT", "/login", "GET, HEAD, POST"},
		{"POST", "/static/console.css", "GET, HEAD"},
	} {
		if w := g.ask("192.0.2.1:1", row.method, row.path, ""); w.Code != 401 || w.Header().Get("Allow") != "" {
			t.Errorf("%s %s without a token: %d, Allow %q", row.method, row.path, w.Code, w.Header().Get("Allow"))
		}
		w := g.ask("192.0.2.1:1", row.method, row.path, "", "Authorization", "Bearer "+token)
		if w.Code != 405 || w.Header().Get("Allow") != row.allow {
			t.Errorf("%s %s: %d, Allow %q, want %q", row.method, row.path, w.Code, w.Header().Get("Allow"), row.allow)
		}
	}
	for path, want := range map[string]int{"/nothing": 404, "/api/nothing": 404} {
		if w := g.ask("192.0.2.1:1", "DELETE", path, "", "Authorization", "Bearer "+token); w.Code != want {
			t.Errorf("DELETE %s: %d, want %d", path, w.Code, want)
		}
	}
	// Finance is told that it is not for it, as with the right method.
	if w := g.ask("192.0.2.1:1", "DELETE", "/chat", "", "Authorization", "Bearer finance-token"); w.Code != 403 || w.Header().Get("Allow") != "" {
		t.Errorf("DELETE /chat as finance: %d, Allow %q", w.Code, w.Header().Get("Allow"))
	}
}

// An address that is written oddly is not even redirected before the login.
func TestOddAddresses_AskForTheTokenFirst(t *testing.T) {
	g := guessable()
	for _, path := range []string{"//api/pools", "/api/../metrics", "/./pools", "/static/../metrics", "//evil.example/", "/static/..%2fmetrics", "/login/../metrics"} {
		r := httptest.NewRequest("GET", "http://host"+path, nil)
		w := httptest.NewRecorder()
		g.h.ServeHTTP(w, r)
		if w.Code == 200 && !strings.HasPrefix(path, "/static/..%2f") || w.Code >= 300 && w.Code < 400 {
			t.Errorf("%s: %d to %s", path, w.Code, w.Header().Get("Location"))
		}
		if strings.Contains(w.Body.String(), "metrics") && w.Code == 200 {
			t.Errorf("%s is served without a token", path)
		}
	}
}
