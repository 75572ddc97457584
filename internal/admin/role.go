package admin

import (
	"context"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/json"
	"net/http"
	"net/url"
	"slices"
	"strings"
)

// Role is what somebody may see and do on the operator's listener.
type Role string

// The roles. Operator may do all. Finance reads the books, contracts,
// statements, invoices and decisions, and closes suspense and differences; it
// has no part in chat, keys, metrics and routing. Partner sees its own legs
// only: its statement as its own books must have it, and its own contracts.
const (
	Operator Role = "operator"
	Finance  Role = "finance"
	Partner  Role = "partner"
)

// Roles is a set of roles. The zero value is nobody.
type Roles uint8

// The sets of roles that routes are for.
const (
	ForOperator Roles = 1 << iota
	ForFinance
	ForPartner
	ForBooks = ForOperator | ForFinance
	ForAll   = ForBooks | ForPartner
)

// Has reports whether a role is in the set; an unknown role is in none.
func (s Roles) Has(r Role) bool {
	switch r {
	case Operator:
		return s&ForOperator != 0
	case Finance:
		return s&ForFinance != 0
	case Partner:
		return s&ForPartner != 0
	}
	return false
}

// Access is who came in. The zero value is nobody.
type Access struct {
	ID    string `json:"id"` // empty for the admin token
	Role  Role   `json:"role"`
	Party string `json:"party,omitempty"` // of a partner: the party or tenant whose legs it sees
}

// Grant is an access with the SHA-256 of its token; the token is not kept.
type Grant struct {
	Access
	SHA256 [sha256.Size]byte
}

// Owns reports whether things of a party may be shown: all to the operator
// and to finance, to a partner its own.
func (a Access) Owns(party string) bool {
	return a.Role == Operator || a.Role == Finance || a.Role == Partner && a.Party != "" && a.Party == party
}

// Is reports whether the access has a role; it is for templates.
func (a Access) Is(role string) bool { return string(a.Role) == role }

type accessKey struct{}

// WithAccess returns a context that says who came in.
func WithAccess(ctx context.Context, a Access) context.Context {
	return context.WithValue(ctx, accessKey{}, a)
}

// AccessOf says who came in: nobody, with no role, when the context does not say.
func AccessOf(ctx context.Context) Access {
	a, _ := ctx.Value(accessKey{}).(Access)
	return a
}

// Route is one route with the roles that it is for. A route for nobody
// answers nobody.
type Route struct {
	Pattern string // of net/http's ServeMux
	For     Roles
	Serve   http.HandlerFunc
}

// Pages are what is mounted beside the API.
type Pages struct {
	Routes []Route
	// Static serves /static/ without a login: it must hold nothing of the alliance.
	Static http.Handler
	// Missing answers where nothing is, and what a partner may not know of;
	// Forbidden answers finance where something is that is not for it.
	Missing, Forbidden http.HandlerFunc
	// Bad answers an address that cannot be read, or a method that it does not
	// take, with what is wrong about it.
	Bad func(w http.ResponseWriter, r *http.Request, status int, says string)
}

// Guard serves routes to those whom they are for. What is not for a partner is
// not there; finance is told that it is not allowed. A method that an address
// does not take is answered with those that it takes from who asks; open are
// patterns that are served elsewhere and without a login.
func Guard(routes []Route, p Pages, open ...string) http.Handler {
	mux := http.NewServeMux()
	for _, route := range routes {
		mux.HandleFunc(route.Pattern, func(w http.ResponseWriter, r *http.Request) {
			switch who := AccessOf(r.Context()); {
			case route.For.Has(who.Role) && !readable(w, r, p):
			case route.For.Has(who.Role):
				route.Serve(w, r)
			case who.Role == Finance:
				forbidden(w, r, p)
			default:
				missing(w, r, p)
			}
		})
	}
	for _, pattern := range open {
		routes = append(routes[:len(routes):len(routes)], Route{Pattern: pattern, For: ForAll})
	}
	mux.Handle("/", otherMethods(routes, p))
	return mux
}

// otherMethods answers what no route serves: with the methods that the address
// takes of who asks, if it takes any.
func otherMethods(routes []Route, p Pages) http.Handler {
	paths, at := http.NewServeMux(), map[string][]Route{}
	for _, route := range routes {
		_, path, _ := strings.Cut(route.Pattern, " ")
		if at[path] == nil {
			paths.HandleFunc(path, http.NotFound)
		}
		at[path] = append(at[path], route)
	}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, path := paths.Handler(r)
		var allow []string
		who := AccessOf(r.Context())
		for _, route := range at[path] {
			if method, _, _ := strings.Cut(route.Pattern, " "); !route.For.Has(who.Role) {
				continue
			} else if allow = append(allow, method); method == http.MethodGet {
				allow = append(allow, http.MethodHead)
			}
		}
		switch {
		case len(allow) > 0:
			slices.Sort(allow)
			w.Header().Set("Allow", strings.Join(allow, ", "))
			refuse(w, r, p, http.StatusMethodNotAllowed, "This address takes "+strings.Join(allow, ", ")+".")
		case len(at[path]) > 0 && who.Role == Finance:
			forbidden(w, r, p)
		default:
			missing(w, r, p)
		}
	})
}

func forbidden(w http.ResponseWriter, r *http.Request, p Pages) {
	if !strings.HasPrefix(r.URL.Path, "/api/") {
		p.Forbidden(w, r)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(http.StatusForbidden)
	_ = json.NewEncoder(w).Encode(map[string]string{"error": "this is not for the role finance"})
}

// readable reports whether an address can be read, and answers where not.
func readable(w http.ResponseWriter, r *http.Request, p Pages) bool {
	status, says := 0, ""
	if len(r.URL.RequestURI()) > MaxAddress {
		status, says = http.StatusRequestURITooLong, "The address is longer than 8 KiB: ask for less at once."
	} else if _, err := url.ParseQuery(r.URL.RawQuery); err != nil {
		status, says = http.StatusBadRequest, "The parameters of the address cannot be read: write a percent sign as %25 and a semicolon as %3B."
	}
	if status == 0 {
		return true
	}
	refuse(w, r, p, status, says)
	return false
}

// refuse says what is wrong about a request, on a page or in JSON.
func refuse(w http.ResponseWriter, r *http.Request, p Pages, status int, says string) {
	if !strings.HasPrefix(r.URL.Path, "/api/") && p.Bad != nil {
		p.Bad(w, r, status, says)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(map[string]string{"error": says})
}

func missing(w http.ResponseWriter, r *http.Request, p Pages) {
	if strings.HasPrefix(r.URL.Path, "/api/") {
		writeJSON(w, nil, ErrNotFound)
		return
	}
	p.Missing(w, r)
}

// known finds whose token this is. Every token that is known is compared, so
// that the time says nothing of which one it was.
func (h *handler) known(token string) (g Grant, ok bool) {
	sum := sha256.Sum256([]byte(token))
	for _, k := range h.grants() {
		if subtle.ConstantTimeCompare(sum[:], k.SHA256[:]) == 1 {
			g, ok = k, true
		}
	}
	return g, ok && token != ""
}

// grants are all who may come in: the admin token is the operator's.
func (h *handler) grants() []Grant {
	var list []Grant
	if h.o.Token != "" {
		list = append(list, Grant{Access{Role: Operator}, sha256.Sum256([]byte(h.o.Token))})
	}
	if h.o.Grants != nil {
		list = append(list, h.o.Grants()...)
	}
	return list
}
