package admin_test

import (
	"context"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/accordo-ai/accordo/internal/admin"
	"github.com/accordo-ai/accordo/internal/ledger"
	"github.com/accordo-ai/accordo/internal/story"
)

const token = "admin-0123456789abcdef0123456789abcdef"

// source answers with little; broken makes its readers of the books fail.
type source struct {
	admin.Books // answered by nothing: its routes are tested with the console
	admin.Sales // likewise
	ready       bool
	broken      bool
	limit       int
}

var errBroken = errors.New("disk: secret path")

func (s *source) Overview(time.Time) admin.Overview { return admin.Overview{Title: "Test terms"} }
func (s *source) Pools(time.Time) []admin.Pool      { return nil }
func (s *source) Requests(limit int) []admin.Request {
	s.limit = limit
	return nil
}

func (s *source) Trace(_ context.Context, id string) (admin.Trace, error) {
	if s.broken {
		return admin.Trace{}, errBroken
	}
	if id != "known" {
		return admin.Trace{}, admin.ErrNotFound
	}
	return admin.Trace{RequestID: id}, nil
}
func (s *source) Contracts(time.Time) []admin.Contract { return nil }
func (s *source) Balances() []ledger.Balance           { return nil }
func (s *source) Story(time.Time) (story.Story, bool)  { return story.Story{}, false }
func (s *source) Claims(time.Time, []string) (*story.Claims, error) {
	return &story.Claims{}, nil
}
func (s *source) Readiness() admin.Readiness { return admin.Readiness{Ready: s.ready} }

// listener serves src at a clock that the test moves.
type listener struct {
	*httptest.Server
	now time.Time
	src *source
}

func start(t *testing.T, secure bool) *listener {
	t.Helper()
	l := &listener{now: time.Date(2026, 11, 22, 12, 0, 0, 0, time.UTC), src: &source{ready: true}}
	says := func(s string) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, s) })
	}
	l.Server = httptest.NewServer(admin.Handler(admin.Options{
		Source: l.src, Metrics: says("metrics"), Pages: testPages(), Token: token, Secure: secure, Now: func() time.Time { return l.now },
	}))
	t.Cleanup(l.Close)
	return l
}

// testPages say which one answered.
func testPages() admin.Pages {
	says := func(status int, s string) http.HandlerFunc {
		return func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(status); _, _ = io.WriteString(w, s) }
	}
	p := admin.Pages{Static: says(200, "static"), Missing: says(404, "missing"), Forbidden: says(403, "forbidden")}
	for _, pattern := range []string{"GET /{$}", "GET /pools", "GET /requests/{id}", "GET /chat", "POST /chat", "POST /chat/completions", "POST /play", "POST /play/stop"} {
		p.Routes = append(p.Routes, admin.Route{Pattern: pattern, For: admin.ForOperator, Serve: says(200, "pages")})
	}
	return p
}

// send makes one request without following redirects.
func (l *listener) send(t *testing.T, method, path string, body url.Values, headers ...string) (*http.Response, string) {
	t.Helper()
	r, err := http.NewRequest(method, l.URL+path, strings.NewReader(body.Encode()))
	if err != nil {
		t.Fatal(err)
	}
	if body != nil {
		r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	}
	for i := 0; i < len(headers); i += 2 {
		r.Header.Add(headers[i], headers[i+1])
	}
	resp, err := http.DefaultTransport.RoundTrip(r)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	got, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return resp, string(got)
}

// cookie logs in and returns the session as a header's value.
func (l *listener) cookie(t *testing.T) string {
	t.Helper()
	resp, _ := l.send(t, "POST", "/login", url.Values{"token": {token}})
	if len(resp.Cookies()) != 1 {
		t.Fatalf("login gave %d cookies", len(resp.Cookies()))
	}
	return resp.Cookies()[0].Name + "=" + resp.Cookies()[0].Value
}

// Every route, with who may see it.
var routes = []struct {
	method, path string
	open         bool
}{
	{"GET", "/healthz", true},
	{"GET", "/readyz", true},
	{"GET", "/login", true},
	{"GET", "/static/console.css", true},
	{"GET", "/metrics", false},
	{"GET", "/api/overview", false},
	{"GET", "/api/pools", false},
	{"GET", "/api/contracts", false},
	{"GET", "/api/balances", false},
	{"GET", "/api/requests", false},
	{"GET", "/api/requests/known", false},
	{"GET", "/api/story", false},
	{"GET", "/api/claims", false},
	{"GET", "/", false},
	{"GET", "/pools", false},
	{"GET", "/requests/known", false},
	{"GET", "/chat", false},
	{"POST", "/chat/completions", false},
	{"POST", "/play", false},
	{"POST", "/play/stop", false},
	{"POST", "/static/console.css", false},
	{"DELETE", "/anything", false},
}

func TestRoutes_NeedTheTokenOrASession(t *testing.T) {
	l := start(t, false)
	session := l.cookie(t)
	for _, r := range routes {
		t.Run(r.method+" "+r.path, func(t *testing.T) {
			allowed := func(resp *http.Response) bool {
				return resp.StatusCode < 300 || resp.StatusCode == 404 || resp.StatusCode == 405
			}
			for name, h := range map[string][]string{
				"nothing": nil, "a wrong bearer": {"Authorization", "Bearer wrong"}, "an empty bearer": {"Authorization", "Bearer "},
				"the token without a scheme": {"Authorization", token}, "two bearers": {"Authorization", "Bearer " + token, "Authorization", "Bearer wrong"}, "a forged session": {"Cookie", "accordo_session=9999999999.00"},
			} {
				if resp, body := l.send(t, r.method, r.path, nil, h...); allowed(resp) != r.open {
					t.Errorf("with %s: status %d, body %q", name, resp.StatusCode, body)
				}
			}
			for name, h := range map[string][]string{"the bearer": {"Authorization", "Bearer " + token}, "a session": {"Cookie", session}} {
				if resp, body := l.send(t, r.method, r.path, nil, h...); !allowed(resp) {
					t.Errorf("with %s: status %d, body %q", name, resp.StatusCode, body)
				}
			}
		})
	}
}

func TestEveryAnswer_HasSecurityHeaders(t *testing.T) {
	l := start(t, false)
	for _, r := range routes {
		resp, _ := l.send(t, r.method, r.path, nil)
		csp := resp.Header.Get("Content-Security-Policy")
		if !strings.HasPrefix(csp, "default-src 'none'") || strings.Contains(csp, "unsafe") || !strings.Contains(csp, "frame-ancestors 'none'") {
			t.Errorf("%s %s: policy %q", r.method, r.path, csp)
		}
		if resp.Header.Get("X-Content-Type-Options") != "nosniff" || resp.Header.Get("Referrer-Policy") != "no-referrer" || resp.Header.Get("Cache-Control") != "no-store" {
			t.Errorf("%s %s: headers %v", r.method, r.path, resp.Header)
		}
	}
}

func TestAPageWithoutASession_GoesToTheLoginAndBack(t *testing.T) {
	l := start(t, false)
	resp, _ := l.send(t, "GET", "/requests?pool=a", nil, "Accept", "text/html,*/*")
	if want := "/login?to=" + url.QueryEscape("/requests?pool=a"); resp.StatusCode != 303 || resp.Header.Get("Location") != want {
		t.Fatalf("status %d to %q, want 303 to %q", resp.StatusCode, resp.Header.Get("Location"), want)
	}
	resp, body := l.send(t, "GET", resp.Header.Get("Location"), nil)
	if resp.StatusCode != 200 || !strings.Contains(body, `name="to" value="/requests?pool=a"`) {
		t.Fatalf("login page: status %d, %s", resp.StatusCode, body)
	}
	resp, _ = l.send(t, "POST", "/login", url.Values{"token": {token}, "to": {"/requests?pool=a"}})
	if resp.StatusCode != 303 || resp.Header.Get("Location") != "/requests?pool=a" {
		t.Fatalf("after the login: status %d to %q", resp.StatusCode, resp.Header.Get("Location"))
	}
}

func TestLogin_SetsACookieThatScriptsAndOtherSitesDoNotGet(t *testing.T) {
	for name, secure := range map[string]bool{"plain on loopback": false, "with TLS": true} {
		t.Run(name, func(t *testing.T) {
			l := start(t, secure)
			for way, do := range map[string]func() *http.Response{
				"form": func() *http.Response {
					resp, _ := l.send(t, "POST", "/login", url.Values{"token": {" " + token + "\n"}})
					return resp
				},
				"link": func() *http.Response { resp, _ := l.send(t, "GET", "/login?token="+token, nil); return resp },
			} {
				cookies := do().Cookies()
				if len(cookies) != 1 {
					t.Fatalf("%s: %d cookies", way, len(cookies))
				}
				c := cookies[0]
				if !c.HttpOnly || c.SameSite != http.SameSiteStrictMode || c.Secure != secure || c.Path != "/" || c.Expires.IsZero() || strings.Contains(c.Value, token) {
					t.Errorf("%s: cookie %v", way, c)
				}
			}
		})
	}
}

func TestTokenLink_GoesOnToAPageOfThisServer(t *testing.T) {
	l := start(t, false)
	resp, body := l.send(t, "GET", "/login?token="+token+"&to=/pools", nil)
	if resp.StatusCode != 200 || resp.Header.Get("Refresh") != "0; url=/pools" || !strings.Contains(body, `href="/pools"`) {
		t.Fatalf("status %d, refresh %q, body %s", resp.StatusCode, resp.Header.Get("Refresh"), body)
	}
}

func TestAWrongToken_IsRefusedWithoutACookie(t *testing.T) {
	l := start(t, false)
	for name, do := range map[string]func() (*http.Response, string){
		"form": func() (*http.Response, string) {
			return l.send(t, "POST", "/login", url.Values{"token": {token + "x"}, "to": {`"><script>alert(1)</script>`}})
		},
		"link": func() (*http.Response, string) { return l.send(t, "GET", "/login?token=no", nil) },
	} {
		resp, body := do()
		if resp.StatusCode != 403 || len(resp.Cookies()) != 0 || !strings.Contains(body, "no token of this server") || strings.Contains(body, "<script>") {
			t.Errorf("%s: status %d, cookies %v, body %s", name, resp.StatusCode, resp.Cookies(), body)
		}
	}
}

func TestALongForm_IsRefused(t *testing.T) {
	l := start(t, false)
	resp, _ := l.send(t, "POST", "/login", url.Values{"token": {token}, "filler": {strings.Repeat("a", 8<<10)}})
	if resp.StatusCode != 400 || len(resp.Cookies()) != 0 {
		t.Fatalf("status %d, cookies %v", resp.StatusCode, resp.Cookies())
	}
}

func TestASession_EndsWithItsTimeAndCannotBeStretched(t *testing.T) {
	l := start(t, false)
	session := l.cookie(t)
	pages := func(cookie string) int {
		resp, _ := l.send(t, "GET", "/", nil, "Cookie", cookie)
		return resp.StatusCode
	}
	name, value, _ := strings.Cut(session, "=")
	expiry, mac, _ := strings.Cut(value, ".")
	for _, forged := range []string{name + "=9" + expiry + "." + mac, name + "=" + value + "0", name + "=" + expiry + ".", name + "=" + expiry} {
		if got := pages(forged); got != 401 {
			t.Errorf("%s: status %d", forged, got)
		}
	}
	l.now = l.now.Add(12*time.Hour - time.Second)
	if got := pages(session); got != 200 {
		t.Errorf("a second before its end: status %d", got)
	}
	l.now = l.now.Add(time.Second)
	if got := pages(session); got != 401 {
		t.Errorf("at its end: status %d", got)
	}
}

// The session of an access holds for its role, and ends with the access.
func TestASession_IsOfItsAccess(t *testing.T) {
	var role admin.Access
	says := func(w http.ResponseWriter, r *http.Request) { role = admin.AccessOf(r.Context()) }
	finance := admin.Grant{Access: admin.Access{ID: "anna", Role: admin.Finance}, SHA256: sha256.Sum256([]byte("finance-token"))}
	grants := []admin.Grant{finance}
	h := admin.Handler(admin.Options{
		Source: &source{}, Metrics: http.NotFoundHandler(), Token: token, Now: time.Now, Grants: func() []admin.Grant { return grants },
		Pages: admin.Pages{Routes: []admin.Route{{Pattern: "GET /{$}", For: admin.ForBooks, Serve: says}}, Static: http.NotFoundHandler(), Missing: http.NotFound},
	})
	login := func(token string) string {
		r := httptest.NewRequest("POST", "/login", strings.NewReader(url.Values{"token": {token}}.Encode()))
		r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		w := httptest.NewRecorder()
		h.ServeHTTP(w, r)
		if len(w.Result().Cookies()) != 1 {
			t.Fatalf("login: %d %s", w.Code, w.Body)
		}
		return w.Result().Cookies()[0].Value
	}
	visit := func(session string) (int, admin.Access) {
		role = admin.Access{}
		r := httptest.NewRequest("GET", "/", nil)
		r.Header.Set("Cookie", "accordo_session="+session)
		w := httptest.NewRecorder()
		h.ServeHTTP(w, r)
		return w.Code, role
	}
	session := login("finance-token")
	if code, who := visit(session); code != 200 || who != finance.Access {
		t.Errorf("status %d as %v", code, who)
	}
	// Nobody can turn it into the operator's.
	expiry, rest, _ := strings.Cut(session, ".")
	_, mac, _ := strings.Cut(rest, ".")
	if code, who := visit(expiry + ".." + mac); code != 401 {
		t.Errorf("as the operator: status %d as %v", code, who)
	}
	if code, who := visit(login(token)); code != 200 || who.Role != admin.Operator {
		t.Errorf("the operator's session: status %d as %v", code, who)
	}
	grants = []admin.Grant{{Access: finance.Access, SHA256: sha256.Sum256([]byte("another"))}}
	if code, _ := visit(session); code != 401 {
		t.Errorf("with another token: status %d", code)
	}
	grants = nil
	if code, _ := visit(session); code != 401 {
		t.Errorf("after it was revoked: status %d", code)
	}
}

func TestLogout_TakesTheCookieBack(t *testing.T) {
	l := start(t, false)
	resp, _ := l.send(t, "POST", "/logout", url.Values{}, "Cookie", l.cookie(t))
	if c := resp.Cookies(); resp.StatusCode != 303 || len(c) != 1 || c[0].MaxAge >= 0 || c[0].Value != "" {
		t.Fatalf("status %d, cookies %v", resp.StatusCode, c)
	}
}

func TestWithoutAToken_NobodyGetsIn(t *testing.T) {
	h := admin.Handler(admin.Options{Source: &source{}, Metrics: http.NotFoundHandler(), Pages: testPages(), Now: time.Now})
	for _, header := range []string{"Bearer ", "Bearer"} {
		r := httptest.NewRequest("GET", "/metrics", nil)
		r.Header.Set("Authorization", header)
		w := httptest.NewRecorder()
		h.ServeHTTP(w, r)
		if w.Code != 401 {
			t.Errorf("%q: status %d", header, w.Code)
		}
	}
}

func TestAPostFromAnotherSite_IsRefused(t *testing.T) {
	l := start(t, false)
	session := l.cookie(t)
	for name, row := range map[string]struct {
		headers []string
		want    int
	}{
		"another site, as browsers say":      {[]string{"Sec-Fetch-Site", "cross-site"}, 403},
		"another origin of the same site":    {[]string{"Sec-Fetch-Site", "same-site"}, 403},
		"another origin of an old browser":   {[]string{"Origin", "https://evil.example"}, 403},
		"a sandboxed frame":                  {[]string{"Origin", "null"}, 403},
		"this page":                          {[]string{"Sec-Fetch-Site", "same-origin"}, 200},
		"this page in an old browser":        {[]string{"Origin", l.URL}, 200},
		"a program, which has no cookie jar": {nil, 200},
	} {
		for _, path := range []string{"/play", "/chat/completions", "/chat"} {
			if resp, _ := l.send(t, "POST", path, url.Values{}, append(row.headers, "Cookie", session)...); resp.StatusCode != row.want {
				t.Errorf("%s to %s: status %d, want %d", name, path, resp.StatusCode, row.want)
			}
		}
	}
	if resp, _ := l.send(t, "POST", "/login", url.Values{"token": {token}}, "Sec-Fetch-Site", "cross-site"); resp.StatusCode != 403 {
		t.Errorf("a login from another site: status %d", resp.StatusCode)
	}
}

func TestALoginGoesNowhereElse(t *testing.T) {
	l := start(t, false)
	for to, want := range map[string]string{
		"/pools": "/pools", "/contracts/a?b=c": "/contracts/a?b=c", "": "/", "pools": "/", "//evil.example": "/", "/\\evil.example": "/",
		"https://evil.example/": "/", "javascript:alert(1)": "/", "/%2f/evil.example": "/", "///evil.example": "/", "/a\r\nSet-Cookie: x=y": "/",
		"http:/evil": "/",
	} {
		resp, _ := l.send(t, "POST", "/login", url.Values{"token": {token}, "to": {to}})
		if got := resp.Header.Get("Location"); got != want {
			t.Errorf("to %q: went to %q, want %q", to, got, want)
		}
	}
}

func FuzzLoginTarget_StaysOnThisServer(f *testing.F) {
	for _, s := range []string{"/", "//a", "/\\a", "/a?b", "https://a", "/\t/a", "/..//a", "/%5ca"} {
		f.Add(s)
	}
	h := admin.Handler(admin.Options{Source: &source{}, Metrics: http.NotFoundHandler(), Pages: testPages(), Token: token, Now: time.Now})
	f.Fuzz(func(t *testing.T, to string) {
		r := httptest.NewRequest("POST", "/login", strings.NewReader(url.Values{"token": {token}, "to": {to}}.Encode()))
		r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		w := httptest.NewRecorder()
		h.ServeHTTP(w, r)
		if w.Code == http.StatusBadRequest {
			return // too long
		}
		at := w.Header().Get("Location")
		if !strings.HasPrefix(at, "/") || strings.HasPrefix(at, "//") || strings.ContainsAny(at, "\\\r\n\t") {
			t.Fatalf("%q went to %q", to, at)
		}
	})
}

func TestHealthAndReadiness(t *testing.T) {
	l := start(t, false)
	if resp, body := l.send(t, "GET", "/healthz", nil); resp.StatusCode != 200 || body != "ok\n" {
		t.Errorf("healthz: %d %q", resp.StatusCode, body)
	}
	if resp, body := l.send(t, "GET", "/readyz", nil); resp.StatusCode != 200 || strings.TrimSpace(body) != `{"ready":true}` {
		t.Errorf("readyz: %d %q", resp.StatusCode, body)
	}
	l.src.ready = false
	if resp, body := l.send(t, "GET", "/readyz", nil); resp.StatusCode != 503 || !strings.Contains(body, `"ready":false`) {
		t.Errorf("readyz when not ready: %d %q", resp.StatusCode, body)
	}
}

func TestAPI_BoundsItsLists(t *testing.T) {
	l := start(t, false)
	for query, want := range map[string]int{"": 50, "?limit=7": 7, "?limit=0": 0, "?limit=-3": 0, "?limit=x": 0, "?limit=100000": admin.MaxRequests} {
		l.src.limit = 0
		resp, body := l.send(t, "GET", "/api/requests"+query, nil, "Authorization", "Bearer "+token)
		if refused := resp.StatusCode == 400 && strings.Contains(body, "from 1 to 500"); l.src.limit != want || refused != (want == 0) {
			t.Errorf("%q: asked for %d, want %d; status %d %s", query, l.src.limit, want, resp.StatusCode, body)
		}
	}
}

func TestAPI_ErrorsSayNothingOfTheInside(t *testing.T) {
	l := start(t, false)
	get := func(path string) (int, string) {
		resp, body := l.send(t, "GET", path, nil, "Authorization", "Bearer "+token)
		if resp.Header.Get("Content-Type") != "application/json" || !json.Valid([]byte(body)) {
			t.Errorf("%s: %s %q", path, resp.Header.Get("Content-Type"), body)
		}
		return resp.StatusCode, body
	}
	if code, _ := get("/api/requests/unknown"); code != 404 {
		t.Errorf("an unknown request: %d", code)
	}
	if code, _ := get("/api/nothing"); code != 404 {
		t.Errorf("an unknown path: %d", code)
	}
	l.src.broken = true
	if code, body := get("/api/requests/known"); code != 500 || strings.Contains(body, "secret") {
		t.Errorf("broken books: %d %s", code, body)
	}
}
