package admin

import (
	"net/http"
	"slices"
)

// Routes are all routes behind the login, each with the roles that it is for.
func Routes(o Options) []Route {
	list := []Route{{"GET /metrics", ForOperator, o.Metrics.ServeHTTP}}
	get := func(path string, roles Roles, view func(*http.Request) (any, error)) {
		list = append(list, Route{"GET /api/" + path, roles, func(w http.ResponseWriter, r *http.Request) {
			v, err := view(r)
			writeJSON(w, v, err)
		}})
	}
	get("overview", ForAll, func(r *http.Request) (any, error) {
		v := o.Source.Overview(o.Now())
		if AccessOf(r.Context()).Role == Partner {
			v = v.ForPartner()
		}
		return v, nil
	})
	get("pools", ForBooks, func(*http.Request) (any, error) { return o.Source.Pools(o.Now()), nil })
	get("contracts", ForAll, func(r *http.Request) (any, error) {
		all := o.Source.Contracts(o.Now())
		if who := AccessOf(r.Context()); who.Role == Partner {
			return PartnerContracts(all, who.Party), nil
		}
		return all, nil
	})
	get("balances", ForBooks, func(*http.Request) (any, error) { return o.Source.Balances(), nil })
	get("requests", ForBooks, func(r *http.Request) (any, error) { return o.Source.Requests(limitOf(r)), nil })
	get("requests/{id}", ForBooks, func(r *http.Request) (any, error) { return o.Source.Trace(r.Context(), r.PathValue("id")) })
	get("entries", ForBooks, func(r *http.Request) (any, error) {
		return o.Source.Entries(r.Context(), r.URL.Query().Get("account"), limitOf(r))
	})
	get("story", ForBooks, func(*http.Request) (any, error) {
		told, ok := o.Source.Story(o.Now())
		if !ok {
			return nil, ErrNotFound
		}
		return told, nil
	})
	get("claims", ForBooks, func(r *http.Request) (any, error) {
		return o.Source.Claims(o.Now(), r.URL.Query()["id"])
	})
	return slices.Concat(list, o.Pages.Routes)
}
