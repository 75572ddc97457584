package console_test

import (
	"encoding/json"
	"maps"
	"net/http"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/accordo-ai/accordo/internal/admin"
)

// rolesOf writes a set of roles as the document does.
func rolesOf(roles admin.Roles) (s string) {
	for _, r := range []struct {
		role   admin.Role
		letter string
	}{{admin.Operator, "o"}, {admin.Finance, "f"}, {admin.Partner, "p"}} {
		if roles.Has(r.role) {
			s += r.letter
		}
	}
	return s
}

// docs/api.md has every route that is registered with the roles that it is
// for, no other, and the name of every field that an answer has.
func TestAPIDocument_HasEveryRouteAndField(t *testing.T) {
	data, err := os.ReadFile("../../docs/api.md")
	if err != nil {
		t.Fatal(err)
	}
	route, name := regexp.MustCompile("`((?:GET|POST) [^`]*)`"), regexp.MustCompile("`([a-z_]+)`")
	for_, fields, last := map[string]string{}, map[string]map[string]bool{}, ""
	for line := range strings.Lines(string(data)) {
		cells := strings.Split(line, "|")
		if len(cells) < 4 {
			continue
		}
		patterns := route.FindAllStringSubmatch(cells[1], -1)
		for _, m := range patterns {
			if for_[m[1]] != "" {
				t.Errorf("%s stands there twice", m[1])
			}
			for_[m[1]], last = strings.TrimSpace(cells[2]), m[1]
			fields[last] = map[string]bool{}
		}
		if len(patterns) > 0 || strings.HasPrefix(strings.TrimSpace(cells[1]), "—") {
			for _, m := range name.FindAllStringSubmatch(cells[1]+cells[3], -1) {
				fields[last][m[1]] = true
			}
		}
	}
	h, routes := listenerOf(newFake(t))
	open := admin.OpenPatterns(admin.Pages{Static: http.NotFoundHandler()})
	for _, pattern := range open {
		if got := for_[pattern]; got != "all, without a token" {
			t.Errorf("%s is for %q in docs/api.md", pattern, got)
		}
	}
	checked := 0
	for _, r := range routes {
		if got, want := for_[r.Pattern], rolesOf(r.For); got != want {
			t.Errorf("%s is for %q in docs/api.md, in the program for %q", r.Pattern, got, want)
		}
		open = append(open, r.Pattern)
		method, path := addressOf(r.Pattern)
		if method != "GET" || !strings.HasPrefix(path, "/api/") {
			continue
		}
		known := map[string]bool{}
		maps.Copy(known, fields[r.Pattern])
		switch r.Pattern { // described by the route that it shares its answer with
		case "GET /api/contracts":
			maps.Copy(known, fields["GET /api/contracts/{id}"])
		case "GET /api/entries/{place}":
			maps.Copy(known, fields["GET /api/entries"])
		case "GET /api/story":
			maps.Copy(known, fields["GET /api/claims"])
		case "GET /api/differences":
			maps.Copy(known, fields["GET /api/invoices/{id}"])
		}
		for _, tokens := range []string{"uncached_input", "cache_read", "cache_write", "output", "reasoning"} {
			known[tokens] = known["tokens"] // said once, with requests
		}
		for _, who := range []string{"operator", "partner"} {
			got := ask(h, who, method, path)
			if got.Code != 200 {
				continue
			}
			var v any
			if err := json.Unmarshal(got.Body.Bytes(), &v); err != nil {
				t.Fatalf("%s: %v", path, err)
			}
			for _, key := range slices.Sorted(maps.Keys(keysOf(v, map[string]bool{}))) {
				checked++
				if !known[key] {
					t.Errorf("%s answers the %s with %q, which docs/api.md does not name", r.Pattern, who, key)
				}
			}
		}
	}
	for pattern := range for_ {
		if !slices.Contains(open, pattern) {
			t.Errorf("docs/api.md has %s, which is no route", pattern)
		}
	}
	if checked < 300 {
		t.Errorf("only %d fields were seen", checked)
	}
}

// keysOf collects the names of all fields of a value.
func keysOf(v any, keys map[string]bool) map[string]bool {
	switch v := v.(type) {
	case map[string]any:
		for k, x := range v {
			keys[k] = true
			keysOf(x, keys)
		}
	case []any:
		for _, x := range v {
			keysOf(x, keys)
		}
	}
	return keys
}
