package console_test

import (
	"crypto/sha256"
	"net/http"
	"net/http/httptest"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/accordo-ai/accordo/internal/admin"
	"github.com/accordo-ai/accordo/internal/console"
)

// routeRoles says of every route behind the login for whom it is: o the
// operator, f finance, p a partner. A route that is not here fails the test,
// so that adding one is a decision.
var routeRoles = map[string]string{
	"GET /metrics": "o", "GET /chat": "o", "POST /chat": "o", "GET /chat/panel/{id}": "o", "POST /chat/completions": "o", "POST /play": "o", "POST /play/stop": "o",

	"GET /api/pools": "of", "GET /api/balances": "of", "GET /api/requests": "of", "GET /api/requests/{id}": "of", "GET /api/entries": "of", "GET /api/story": "of", "GET /api/claims": "of",
	"GET /pools": "of", "GET /requests": "of", "GET /requests/{id}": "of", "GET /ledger": "of", "GET /ledger/entries": "of", "GET /claims": "of", "GET /claims/{id}": "of",

	"GET /api/accounts": "of", "GET /api/entries/{place}": "of", "GET /api/batches": "of", "GET /api/books": "of", "GET /api/parties": "of", "GET /api/invoices": "of", "GET /api/invoices/{id}": "of", "GET /api/differences": "of", "GET /api/differences/{id}": "of", "GET /api/suspense": "of",
	"GET /ledger/entries/{place}": "of", "GET /ledger/batches": "of", "POST /ledger/verify": "of", "GET /invoices": "of", "GET /invoices/{id}": "of", "GET /invoices/differences/{id}": "of", "GET /suspense": "of", "GET /suspense/{attempt}": "of",
	"POST /invoices/differences/{id}": "of", "POST /suspense/{attempt}": "of",

	"GET /api/margin": "of", "GET /margin": "of",
	"GET /api/sales": "ofp", "GET /api/sales/{customer}": "ofp", "GET /sales": "ofp", "GET /sales/{customer}": "ofp", "GET /sales/{customer}/lines": "ofp", "GET /sales/{customer}/pdf": "ofp",

	"GET /api/contracts/{id}": "ofp", "GET /api/statements/{party}": "ofp", "GET /statements": "ofp", "GET /statements/{party}": "ofp", "GET /statements/{party}/lines": "ofp", "GET /statements/{party}/pdf": "ofp",
	"GET /api/overview": "ofp", "GET /api/contracts": "ofp", "GET /{$}": "ofp", "GET /contracts": "ofp", "GET /contracts/{id}": "ofp",
}

// addressOf fills a pattern in with ids that the fake knows; a contract is
// the partner's own.
func addressOf(pattern string) (method, path string) {
	method, path, _ = strings.Cut(pattern, " ")
	return method, strings.NewReplacer("/{customer}/lines", "/azure-market/lines?line=1&month=2026-10", "/{customer}", "/azure-market", "/entries/{place}", "/entries/149.1", "/differences/{id}", "/differences/abcdef012345.7", "/invoices/{id}", "/invoices/abcdef012345", "/{attempt}", "/a1", "/{party}/lines", "/microsoft/lines?account=1", "/{party}", "/microsoft",
		"/{$}", "/", "/requests/{id}", "/requests/req_1", "/panel/{id}", "/panel/req_1", "/claims/{id}", "/claims/P01", "/contracts/{id}", "/contracts/azure-250bn").Replace(path)
}

// listenerOf is the whole listener over the fake, with a token for each role.
func listenerOf(f *fake) (h http.Handler, routes []admin.Route) {
	clock := func() time.Time { return now }
	says := http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {})
	grant := func(id string, role admin.Role, party string) admin.Grant {
		return admin.Grant{Access: admin.Access{ID: id, Role: role, Party: party}, SHA256: sha256.Sum256([]byte("token-of-" + id))}
	}
	grants := []admin.Grant{
		grant("finance", admin.Finance, ""), grant("partner", admin.Partner, "microsoft"), grant("nobodys", admin.Partner, ""), grant("odd", "auditor", "microsoft"), grant("second", admin.Operator, ""),
	}
	o := admin.Options{Source: f, Metrics: says, Pages: console.New(f, f, f, clock), Token: "token-of-operator", Grants: func() []admin.Grant { return grants }, Now: clock}
	return admin.Handler(o), admin.Routes(o)
}

func ask(h http.Handler, who, method, path string) *httptest.ResponseRecorder {
	form := ""
	switch {
	case method != "POST":
	case strings.HasPrefix(path, "/suspense/"):
		form = "by=estimate&reason=r"
	case strings.HasPrefix(path, "/invoices/"):
		form = "by=accepted&reason=r"
	}
	r := httptest.NewRequest(method, path, strings.NewReader(form))
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	if who != "" {
		r.Header.Set("Authorization", "Bearer token-of-"+who)
	}
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	return w
}

func TestRoles_EveryRouteForEveryRole(t *testing.T) {
	h, routes := listenerOf(newFake(t))
	seen := map[string]bool{}
	for _, route := range routes {
		roles, ok := routeRoles[route.Pattern]
		if !ok {
			t.Errorf("%s is in no row of routeRoles: for whom is it?", route.Pattern)
			continue
		}
		seen[route.Pattern] = true
		method, path := addressOf(route.Pattern)
		for _, who := range []struct {
			name, letter string
			denied       int
		}{
			{"", "-", 401}, {"guess", "-", 401}, {"operator", "o", 0}, {"second", "o", 0}, {"finance", "f", 403}, {"partner", "p", 404}, {"nobodys", "p", 404}, {"odd", "-", 404},
		} {
			got := ask(h, who.name, method, path)
			allowed := strings.Contains(roles, who.letter)
			own := who.name != "nobodys" || !strings.Contains(route.Pattern, "/{") && !strings.Contains(route.Pattern, "statements") || route.Pattern == "GET /{$}" // a partner without a party owns nothing
			switch {
			case allowed && own && (got.Code < 200 || got.Code >= 400):
				t.Errorf("%s as %q: status %d %.200s", route.Pattern, who.name, got.Code, got.Body)
			case (!allowed || !own) && got.Code != who.denied:
				t.Errorf("%s as %q: status %d, want %d", route.Pattern, who.name, got.Code, who.denied)
			}
		}
	}
	for pattern := range routeRoles {
		if !seen[pattern] {
			t.Errorf("%s is no route any more", pattern)
		}
	}
}

func TestRoles_ARouteForNobodyAnswersNobody(t *testing.T) {
	says := func(status int) http.HandlerFunc {
		return func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(status) }
	}
	h := admin.Guard([]admin.Route{{Pattern: "GET /new", Serve: says(200)}}, admin.Pages{Missing: says(404), Forbidden: says(403)})
	for _, role := range []admin.Role{"", "auditor", admin.Operator, admin.Finance, admin.Partner} {
		w := httptest.NewRecorder()
		r := httptest.NewRequest("GET", "/new", nil)
		h.ServeHTTP(w, r.WithContext(admin.WithAccess(r.Context(), admin.Access{Role: role})))
		if w.Code == 200 {
			t.Errorf("a route without a rule answers the role %q", role)
		}
	}
}

// What a partner asks for and may not see looks like what is not there.
func TestRoles_APartnerCannotTellWhatIsThere(t *testing.T) {
	h, _ := listenerOf(newFake(t))
	page := regexp.MustCompile(`(?s)<main.*</main>`)
	for _, row := range [][2]string{
		{"/contracts/aws-38bn", "/contracts/nothing"},
		{"/ledger", "/nothing"},
		{"/requests/req_1", "/nothing"},
		{"/chat", "/nothing"},
		{"/statements/amazon", "/statements/nobody"},
		{"/statements/amazon/pdf", "/nothing"},
		{"/statements/amazon/lines?account=1", "/nothing"},
		{"/sales/demo-tenant", "/sales/nobody"},
		{"/sales/demo-tenant/pdf", "/nothing"},
		{"/sales/demo-tenant/lines?line=1", "/nothing"},
		{"/margin", "/nothing"},
		{"/api/sales/demo-tenant", "/api/sales/nobody"},
		{"/api/margin", "/api/nothing"},
		{"/suspense/a1", "/nothing"},
		{"/invoices/abcdef012345", "/nothing"},
		{"/api/statements/amazon", "/api/nothing"},
		{"/api/contracts/aws-38bn", "/api/contracts/nothing"},
		{"/api/entries/149.1", "/api/nothing"},
		{"/api/invoices", "/api/nothing"},
		{"/api/balances", "/api/nothing"},
		{"/api/requests/req_1", "/api/nothing"},
	} {
		there, not := ask(h, "partner", "GET", row[0]), ask(h, "partner", "GET", row[1])
		a, b := there.Body.String(), not.Body.String()
		if strings.HasPrefix(a, "<!doctype") {
			a, b = page.FindString(a), page.FindString(b)
		}
		if there.Code != 404 || not.Code != 404 || a != b || a == "" {
			t.Errorf("%s answers %d, %s answers %d, and they differ: %s", row[0], there.Code, row[1], not.Code, a)
		}
	}
}

// othersWords are names that belong to others than the partner microsoft: ids
// and names of parties, contracts, pools and requests, and words of routing.
func othersWords(f *fake) []string {
	list := []string{"λ", "μ", "lambda", "shadow", "price-of-aws", "secret-price", "expense/", "liability/", "asset/", "demo-tenant", "Whoever tries", "req_1", "req_2", "gateway", "127.0.0.1:8080", "local model does not run"}
	for i := range f.a.Contracts {
		if c := &f.a.Contracts[i]; c.Provider != "microsoft" {
			list = append(list, string(c.ID), c.Title)
		}
	}
	for i := range f.a.Pools {
		list = append(list, string(f.a.Pools[i].ID))
	}
	for i := range f.a.Parties {
		if p := &f.a.Parties[i]; p.ID != "microsoft" && p.ID != f.a.Operator {
			list = append(list, `"`+string(p.ID)+`"`, p.Name)
		}
	}
	return list
}

func TestRoles_APartnerSeesItsOwnLegsOnly(t *testing.T) {
	f := newFake(t)
	h, routes := listenerOf(f)
	others, checked := othersWords(f), 0
	for _, route := range routes {
		if !route.For.Has(admin.Partner) {
			continue
		}
		method, path := addressOf(route.Pattern)
		got := ask(h, "partner", method, path)
		for _, word := range others {
			if strings.Contains(got.Body.String(), word) {
				t.Errorf("%s tells a partner %q", path, word)
			}
		}
		if strings.Contains(got.Body.String(), "azure-250bn") {
			checked++
		}
	}
	if checked < 3 {
		t.Errorf("the partner's own contract is on %d answers only: nothing was tested", checked)
	}
}

// The pages of a role link to nothing that is not for it.
func TestRoles_PagesLinkOnlyToWhatTheRoleMaySee(t *testing.T) {
	h, routes := listenerOf(newFake(t))
	link := regexp.MustCompile(`(?:href|action)="(/[^"#]*)`)
	post := regexp.MustCompile(`<form method="post" action="([^"]*)"`)
	seen := map[string]int{}
	answers := func(who, at string) int {
		if code, ok := seen[who+at]; ok {
			return code
		}
		seen[who+at] = ask(h, who, "GET", at).Code
		return seen[who+at]
	}
	for _, who := range []string{"operator", "finance", "partner"} {
		for _, route := range routes {
			method, path := addressOf(route.Pattern)
			if !route.For.Has(admin.Role(who)) || method != "GET" || strings.HasPrefix(path, "/api/") {
				continue
			}
			body := ask(h, who, "GET", path).Body.String()
			for _, m := range link.FindAllStringSubmatch(body, -1) {
				at := strings.ReplaceAll(m[1], "&amp;", "&")
				if strings.HasPrefix(at, "/static/") || at == "/logout" || at == "/play" || at == "/play/stop" {
					continue
				}
				if code := answers(who, at); code == 403 || who == "partner" && code == 404 {
					t.Errorf("%s as %s links to %s, which answers %d", path, who, at, code)
				}
			}
			for _, m := range post.FindAllStringSubmatch(body, -1) {
				if m[1] != "/logout" && ask(h, who, "POST", m[1]).Code == 403 {
					t.Errorf("%s as %s has a form for %s, which is refused", path, who, m[1])
				}
			}
		}
	}
}

// No form of any page does anything when another site's page sends it with the
// operator's session: neither its first step nor the one that records, with
// headers of new browsers and of old ones.
func TestForms_OfOtherSitesDoNothing(t *testing.T) {
	f := newFake(t)
	h, routes := listenerOf(f)
	login := httptest.NewRequest("POST", "/login", strings.NewReader("token=token-of-operator"))
	login.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	in := httptest.NewRecorder()
	h.ServeHTTP(in, login)
	session := in.Result().Cookies()[0]
	send := func(path, form string, headers ...string) int {
		r := httptest.NewRequest("POST", path, strings.NewReader(form))
		r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		r.AddCookie(session)
		for i := 0; i < len(headers); i += 2 {
			r.Header.Set(headers[i], headers[i+1])
		}
		w := httptest.NewRecorder()
		h.ServeHTTP(w, r)
		return w.Code
	}
	forms := 0
	for _, route := range routes {
		method, path := addressOf(route.Pattern)
		if method != "POST" {
			continue
		}
		forms++
		for _, form := range []string{"", "by=estimate&reason=r&step=confirm", "by=accepted&reason=r&step=confirm", "message=hello&model=m"} {
			for _, headers := range [][]string{
				{"Sec-Fetch-Site", "cross-site"},
				{"Sec-Fetch-Site", "same-site"},
				{"Origin", "https://evil.example"},
				{"Origin", "null"},
				{"Origin", "http://example.com:81"}, // another port of the host
				{"Sec-Fetch-Site", "cross-site", "Origin", "http://example.com"},
			} {
				if code := send(path, form, headers...); code != http.StatusForbidden {
					t.Errorf("%s with %v: status %d", route.Pattern, headers, code)
				}
			}
		}
	}
	if forms < 6 || len(f.ordered) > 0 || f.verifying || f.play.Running || f.stopped || f.asked != nil {
		t.Errorf("%d forms were sent, and something was done: %v", forms, f.ordered)
	}
	if code := send("/play", "", "Sec-Fetch-Site", "same-origin"); code != http.StatusSeeOther || !f.play.Running {
		t.Errorf("this site's own form: status %d", code)
	}
}
