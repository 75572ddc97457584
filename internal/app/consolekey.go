package app

import (
	"net/http"

	"github.com/accordo-ai/accordo/internal/alliance"
	"github.com/accordo-ai/accordo/internal/gateway"
)

// consoleKey lets the console ask as a key of the terms does. Its secret is
// made at every start and never leaves the process.
type consoleKey struct {
	ID          alliance.KeyID
	Tenant      string // name
	Plan        alliance.PlanID
	Channel     alliance.ChannelID
	Territories []alliance.Territory // its own first
	Models      []string             // that chat, as the plan lists them
	Trusted     bool
	secret      string
}

// maxConsoleKeys is how many keys can be tried from the console: a page lists
// them, and each is served under a second secret.
const maxConsoleKeys = 200

// consoleKeys makes a second secret for each key that the operator may try:
// all of the built-in example, else those of tenants that are the operator
// itself or no party. Beyond maxConsoleKeys the first ones of each tenant are
// taken.
func (s *server) consoleKeys(a *alliance.Alliance) ([]gateway.Key, error) {
	var extra []gateway.Key
	var list []consoleKey
	for _, t := range s.tried(a) {
		for _, k := range t.Keys {
			secret, sum, err := NewSecret("console-")
			if err != nil {
				return nil, err
			}
			list = append(list, consoleKey{
				ID: k.ID, Tenant: t.Name, Plan: k.Plan, Channel: k.Channel, Models: chatModels(a, a.Plan(k.Plan)), Trusted: k.Trusted,
				Territories: append([]alliance.Territory{k.Territory}, without(k.Territories, k.Territory)...), secret: secret,
			})
			k.SHA256 = sum
			extra = append(extra, gateway.Key{Tenant: t.ID, Key: k})
		}
	}
	s.keys.Store(&list)
	return extra, nil
}

// tried are the tenants of the keys that the operator may try, with these keys
// alone.
func (s *server) tried(a *alliance.Alliance) (list []alliance.Tenant) {
	n := 0
	for i := range a.Tenants {
		if t := &a.Tenants[i]; s.o.File == "" || t.Party == "" || t.Party == a.Operator {
			list = append(list, *t)
			n += len(t.Keys)
		}
	}
	// An equal share, of which the first tenants get what does not divide.
	for i := range list {
		if t := &list[i]; n > maxConsoleKeys {
			t.Keys = t.Keys[:min(len(t.Keys), (maxConsoleKeys+len(list)-1-i)/len(list))]
		}
	}
	return list
}

func without(list []alliance.Territory, t alliance.Territory) (out []alliance.Territory) {
	for _, v := range list {
		if v != t {
			out = append(out, v)
		}
	}
	return out
}

// chatModels are the names that a plan's customers may chat with; a variant
// is listed with each of its flows.
func chatModels(a *alliance.Alliance, p *alliance.Plan) (names []string) {
	if p == nil {
		return nil
	}
	for _, id := range p.Models {
		if v := a.Variant(id); v != nil {
			for _, f := range v.Flows {
				names = append(names, string(id)+":"+f.ID)
			}
			continue
		}
		if m := a.Model(id); m != nil && m.Kind != "chat" {
			continue
		}
		names = append(names, string(id))
	}
	return names
}

// Chat answers r through the gateway as the key that its header names asks.
func (s *server) Chat(w http.ResponseWriter, r *http.Request) {
	id := r.Header.Get("X-Accordo-Ask-As")
	for _, k := range *s.keys.Load() {
		if string(k.ID) != id {
			continue
		}
		inner := r.Clone(r.Context())
		inner.URL.Path, inner.RequestURI = "/v1/chat/completions", ""
		inner.Header.Set("Authorization", "Bearer "+k.secret)
		inner.Header.Del("Cookie")
		s.gateway.ServeHTTP(w, inner)
		return
	}
	http.Error(w, "no key of that id can be tried from the console, which lists those that can", http.StatusNotFound)
}
