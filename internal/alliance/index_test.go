package alliance

import (
	"testing"
	"time"
)

func date(t *testing.T, text string) Date {
	t.Helper()
	var d Date
	if err := d.UnmarshalText([]byte(text)); err != nil {
		t.Fatal(err)
	}
	return d
}

func sample(t *testing.T) *Alliance {
	return &Alliance{
		Models:   []Model{{ID: "m1"}, {ID: "m2"}},
		Families: []Family{{ID: "line", Members: []FamilyMember{{Model: "m1", From: date(t, "2026-01-01")}, {Model: "m2", From: date(t, "2026-03-01")}}}},
		Variants: []Variant{
			{ID: "v", Base: "line", Flows: []Flow{{ID: "commerce"}, {ID: "information"}}, DefaultFlow: "information"},
			{ID: "lost", Base: "nothing", Flows: []Flow{{ID: "commerce"}}, DefaultFlow: "commerce"},
		},
	}
}

func TestResolve_FindsTheModelThatServes(t *testing.T) {
	for _, row := range []struct {
		name                 string
		id                   ModelID
		at                   string
		model, variant, flow string // empty: none
	}{
		{"a model serves itself", "m1", "2020-01-01", "m1", "", ""},
		{"a family before its first member serves nothing", "line", "2025-12-31", "", "", ""},
		{"a family on the day of its first member", "line", "2026-01-01", "m1", "", ""},
		{"a family an instant before its second member", "line", "2026-02-28T23:59:59Z", "m1", "", ""},
		{"a family long after its last member", "line", "2036-01-01", "m2", "", ""},
		{"a variant has its default flow", "v", "2026-02-01", "m1", "v", "information"},
		{"a variant with a flow", "v:commerce", "2026-04-01", "m2", "v", "commerce"},
		{"a variant with an unknown flow", "v:leisure", "2026-04-01", "", "", ""},
		{"a variant with an empty flow", "v:", "2026-04-01", "", "", ""},
		{"a variant before its base began", "v", "2025-01-01", "", "", ""},
		{"a variant of a base that does not exist", "lost", "2026-04-01", "", "", ""},
		{"a model has no flows", "m1:commerce", "2026-04-01", "", "", ""},
		{"an unknown name", "m3", "2026-04-01", "", "", ""},
		{"no name", "", "2026-04-01", "", "", ""},
	} {
		t.Run(row.name, func(t *testing.T) {
			for _, a := range []*Alliance{sample(t).Build(), sample(t)} {
				m, v, f, ok := a.Resolve(row.id, date(t, row.at).Time)
				var model, variant, flow string
				if m != nil {
					model = string(m.ID)
				}
				if v != nil {
					variant = string(v.ID)
				}
				if f != nil {
					flow = f.ID
				}
				if ok != (row.model != "") || model != row.model || variant != row.variant || flow != row.flow {
					t.Errorf("got %q %q %q %v", model, variant, flow, ok)
				}
			}
		})
	}
}

func TestBuild_FindsEveryObjectAndNothingElse(t *testing.T) {
	a := (&Alliance{
		Parties: []Party{{ID: "p"}}, Claims: []Claim{{ID: "c"}}, Deals: []Deal{{ID: "d"}}, Contracts: []Contract{{ID: "k"}},
		Chips: []Chip{{ID: "chip"}}, Pools: []Pool{{ID: "pool"}}, Models: []Model{{ID: "m"}}, Families: []Family{{ID: "f"}},
		Channels: []Channel{{ID: "ch"}}, Rights: []Right{{ID: "r"}}, Prices: []Price{{ID: "price"}},
		Plans:    []Plan{{ID: "plan", Price: &SalePrice{ID: "sale"}, Wholesale: &SalePrice{ID: "fee"}}},
		Variants: []Variant{{ID: "v"}}, Tenants: []Tenant{{ID: "t", Keys: []Key{{ID: "key"}}}},
	}).Build()
	key, tenant := a.Key("key")
	for name, found := range map[string]bool{
		"party": a.Party("p") == &a.Parties[0], "claim": a.Claim("c") == &a.Claims[0], "deal": a.Deal("d") == &a.Deals[0],
		"contract": a.Contract("k") == &a.Contracts[0], "chip": a.Chip("chip") == &a.Chips[0], "pool": a.Pool("pool") == &a.Pools[0],
		"model": a.Model("m") == &a.Models[0], "family": a.Family("f") == &a.Families[0], "channel": a.Channel("ch") == &a.Channels[0],
		"right": a.Right("r") == &a.Rights[0], "price": a.Price("price") == &a.Prices[0], "plan": a.Plan("plan") == &a.Plans[0],
		"variant": a.Variant("v") == &a.Variants[0], "tenant": a.Tenant("t") == &a.Tenants[0],
		"sale price": a.SalePrice("sale") == a.Plans[0].Price, "wholesale fee": a.SalePrice("fee") == a.Plans[0].Wholesale,
		"key": key == &a.Tenants[0].Keys[0] && tenant == &a.Tenants[0],
	} {
		if !found {
			t.Errorf("%s not found", name)
		}
	}
	if key, tenant := a.Key("p"); a.Party("x") != nil || a.Model("f") != nil || a.Family("m") != nil || key != nil || tenant != nil {
		t.Error("found what does not exist")
	}
}

func TestTerm_HoldsFromItsBeginningUntilBeforeItsEnd(t *testing.T) {
	term := Term{From: date(t, "2026-01-01"), Until: date(t, "2026-02-01")}
	for text, want := range map[string]bool{"2025-12-31T23:59:59Z": false, "2026-01-01": true, "2026-01-31T23:59:59Z": true, "2026-02-01": false} {
		if term.Holds(date(t, text).Time) != want {
			t.Errorf("%s: want %v", text, want)
		}
	}
	if open := (Term{From: term.From}); !open.Holds(time.Date(9999, 1, 1, 0, 0, 0, 0, time.UTC)) {
		t.Error("an open term ends")
	}
}

func FuzzDate(f *testing.F) {
	for _, s := range []string{"2026-04-28", "2026-04-28T12:00:00+02:00", "2026-02-30", "0001-01-01", ""} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, text string) {
		var d, again Date
		if d.UnmarshalText([]byte(text)) != nil || d.IsZero() || d.Nanosecond() != 0 || d.Year() < 1 {
			return
		}
		if err := again.UnmarshalText([]byte(d.String())); err != nil || !again.Equal(d.Time) {
			t.Fatalf("%q reads as %s, which reads as %s: %v", text, d, again, err)
		}
	})
}

func TestKey_IsFoundWithItsTenant(t *testing.T) {
	a := &Alliance{Tenants: []Tenant{{ID: "x", Keys: []Key{{ID: "d"}, {ID: "a"}}}, {ID: "none"}, {ID: "y", Keys: []Key{{ID: "c"}, {ID: "b"}}}}}
	for _, built := range []bool{false, true} {
		if built {
			a.Build()
		}
		for id, want := range map[KeyID]TenantID{"a": "x", "b": "y", "c": "y", "d": "x", "": "", "aa": "", "e": ""} {
			k, owner := a.Key(id)
			if (k == nil) != (want == "") || (owner == nil) != (want == "") || k != nil && (k.ID != id || owner.ID != want) {
				t.Errorf("built %v: key %q is %v of %v", built, id, k, owner)
			}
		}
	}
}
