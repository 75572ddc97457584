package right

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/accordo-ai/accordo/internal/alliance"
)

func day(s string) alliance.Date {
	var d alliance.Date
	if s == "" {
		return d
	}
	if err := d.UnmarshalText([]byte(s)); err != nil {
		panic(err)
	}
	return d
}

func term(from, until string) alliance.Term {
	return alliance.Term{From: day(from), Until: day(until)}
}

// story is a small alliance with the rights of the record: a top model whose
// API one cloud kept until April 2026, an agents platform of another, open
// weights, and the freedom to buy compute.
func story() *alliance.Alliance {
	a := &alliance.Alliance{
		Operator: "lab",
		Parties: []alliance.Party{
			{ID: "lab", Kinds: []string{"lab"}}, {ID: "azure-co", Kinds: []string{"cloud"}}, {ID: "aws-co", Kinds: []string{"cloud"}},
		},
		Channels: []alliance.Channel{{ID: "azure-api", Party: "azure-co"}, {ID: "bedrock", Party: "aws-co"}, {ID: "own-api", Party: "lab"}},
		Models: []alliance.Model{
			{ID: "top-1", Owner: "lab", Weights: "closed"}, {ID: "top-2", Owner: "lab", Weights: "closed"}, {ID: "open-1", Owner: "lab", Weights: "open"},
		},
		Families: []alliance.Family{{ID: "top", Members: []alliance.FamilyMember{{Model: "top-1", From: day("2025-01-01")}, {Model: "top-2", From: day("2026-03-01")}}}},
		Variants: []alliance.Variant{{ID: "custom", Base: "top"}},
		Claims: []alliance.Claim{
			{ID: "C12", Known: day("2025-12-01")},
			{ID: "C16", Known: day("2025-12-01")},
			{ID: "E12", Known: day("2025-11-20"), Conflicts: []alliance.ClaimID{"C12"}},
			{ID: "P11", Known: day("2026-04-27")},
			{ID: "P07", Known: day("2026-04-28")},
			{ID: "P05", Known: day("2026-02-27")},
			{ID: "P08", Known: day("2025-08-05")},
			{ID: "P09", Known: day("2025-10-28"), Conflicts: []alliance.ClaimID{"Z"}},
			{ID: "Z", Known: day("2027-01-01")},
		},
		Rights: []alliance.Right{
			{
				ID: "api-exclusive", Object: alliance.StatelessAPI, Models: []alliance.ModelID{"top"}, Seller: "azure-co", Channel: "azure-api", Host: "azure-co",
				Term: term("2025-01-01", "2030-01-01"), UntilLatest: day("2040-01-01"), Mode: alliance.Exclusive, Known: day("2025-12-01"),
				Exceptions: []alliance.Exception{{Channel: "own-api", Why: "the lab's own API"}}, Claim: []alliance.ClaimID{"C12", "C16"},
			},
			{
				ID: "api-licence", Object: alliance.StatelessAPI, Models: []alliance.ModelID{"top"}, Channel: "azure-api",
				Term: term("2026-04-27", "2032-01-01"), Mode: alliance.NonExclusive, Known: day("2026-04-27"),
				Supersedes: []alliance.RightID{"api-exclusive"}, Claim: []alliance.ClaimID{"P11"},
			},
			{
				ID: "bedrock-preview", Object: alliance.StatelessAPI, Models: []alliance.ModelID{"top"}, Channel: "bedrock", Regions: []alliance.Region{"us-east-1"},
				Term: term("2026-04-28", ""), Mode: alliance.NonExclusive, State: "limited preview", Known: day("2026-04-28"), Claim: []alliance.ClaimID{"P07"},
			},
			{
				ID: "agents-exclusive", Object: alliance.ManagedAgents, Models: []alliance.ModelID{"top"}, Channel: "bedrock", Host: "aws-co",
				Term: term("2026-02-27", ""), Mode: alliance.Exclusive, Known: day("2026-02-27"),
				Exceptions: []alliance.Exception{{Seller: "lab", Host: "azure-co", Why: "first party"}}, Claim: []alliance.ClaimID{"P05"},
			},
			{
				ID: "agents-own", Object: alliance.ManagedAgents, Models: []alliance.ModelID{"top"}, Seller: "lab", Host: "azure-co",
				Term: term("2026-02-27", ""), Mode: alliance.NonExclusive, Known: day("2026-02-27"), Claim: []alliance.ClaimID{"P05"},
			},
			{
				ID: "open", Object: alliance.StatelessAPI, Models: []alliance.ModelID{OpenWeights},
				Term: term("2025-08-05", ""), Mode: alliance.NonExclusive, Known: day("2025-08-05"), Claim: []alliance.ClaimID{"P08"},
			},
			{
				ID: "rofr", Object: alliance.ComputePurchase, Host: "azure-co", Term: term("2025-01-01", "2025-10-28"),
				Mode: alliance.Exclusive, Known: day("2025-01-21"), Claim: []alliance.ClaimID{"P09"},
			},
			{
				ID: "buy-anywhere", Object: alliance.ComputePurchase, Term: term("2025-01-01", ""),
				Mode: alliance.NonExclusive, Known: day("2025-01-21"), Claim: []alliance.ClaimID{"P09"},
			},
			{
				ID: "not-there", Object: alliance.StatelessAPI, Models: []alliance.ModelID{AnyModel}, Territories: []alliance.Territory{"KP", "IT"},
				Term: term("2020-01-01", ""), Mode: alliance.Denied, Known: day("2020-01-01"),
			},
		},
	}
	return a.Build()
}

func TestEvaluate_WhoMayDistributeWhatByDate(t *testing.T) {
	r := New(story())
	const today = "2026-11-01"
	api := func(model, channel, at, known string) Query {
		return Query{Object: alliance.StatelessAPI, Model: alliance.ModelID(model), Seller: "lab", Channel: alliance.ChannelID(channel), Territory: "US", At: day(at).Time, Known: day(known).Time}
	}
	with := func(q Query, f func(*Query)) Query { f(&q); return q }
	agents := func(seller, channel, host string) Query {
		return Query{Object: alliance.ManagedAgents, Model: "top", Seller: alliance.PartyID(seller), Channel: alliance.ChannelID(channel), Host: alliance.PartyID(host), Territory: "US", At: day("2026-03-10").Time, Known: day(today).Time}
	}
	compute := func(host, at string) Query {
		return Query{Object: alliance.ComputePurchase, Host: alliance.PartyID(host), At: day(at).Time, Known: day(today).Time}
	}
	for _, c := range []struct {
		name      string
		q         Query
		by        string
		refusals  []string
		conflicts []string
	}{
		{"the top model on Bedrock in January 2026 is another's", api("top", "bedrock", "2026-01-15", today), "", []string{"api-exclusive"}, []string{"E12"}},
		{"... whatever host is named", with(api("top", "bedrock", "2026-01-15", today), func(q *Query) { q.Host = "azure-co" }), "", []string{"api-exclusive"}, []string{"E12"}},
		{"a member of the family as well", api("top-1", "bedrock", "2026-01-15", today), "", []string{"api-exclusive"}, []string{"E12"}},
		{"a variant of it as well", api("custom", "bedrock", "2026-01-15", today), "", []string{"api-exclusive"}, []string{"E12"}},
		{"a variant's flow as well", api("custom:commerce", "bedrock", "2026-01-15", today), "", []string{"api-exclusive"}, []string{"E12"}},
		{"on Bedrock in May as known in February", api("top", "bedrock", "2026-05-01", "2026-02-06"), "", []string{"api-exclusive"}, []string{"E12"}},
		{"on Bedrock in May as known today", api("top", "bedrock", "2026-05-01", today), "bedrock-preview", nil, nil},
		{"but not outside the preview's regions", with(api("top", "bedrock", "2026-05-01", today), func(q *Query) { q.Host, q.Region = "aws-co", "eu-west-1" }), "", nil, nil},
		{"one day before the preview no right allows it", api("top", "bedrock", "2026-04-27", today), "", nil, nil},
		{"on Azure in January its holder may", with(api("top", "azure-api", "2026-01-15", today), func(q *Query) { q.Seller = "azure-co" }), "api-exclusive", nil, []string{"E12"}},
		{"on Azure another seller may not", api("top", "azure-api", "2026-01-15", today), "", []string{"api-exclusive"}, []string{"E12"}},
		{"on Azure the holder's host cannot be another", with(api("top", "azure-api", "2026-01-15", today), func(q *Query) { q.Seller, q.Host = "azure-co", "aws-co" }), "", []string{"api-exclusive"}, []string{"E12"}},
		{"on Azure in May under the licence", api("top", "azure-api", "2026-05-01", today), "api-licence", nil, nil},
		{"the licence ends in 2032", api("top", "azure-api", "2032-01-01", today), "", nil, nil},
		{"an imprecise end holds to the latest", with(api("top", "azure-api", "2035-01-01", "2026-02-06"), func(q *Query) { q.Seller = "azure-co" }), "api-exclusive", nil, []string{"E12"}},
		{"an exception alone is not a right", api("top", "own-api", "2026-01-15", today), "", nil, nil},
		{"open weights in January", api("open-1", "bedrock", "2026-01-15", today), "open", nil, nil},
		{"open weights before they came out", api("open-1", "bedrock", "2025-08-04", today), "", nil, nil},
		{"a prohibition by territory", with(api("open-1", "bedrock", "2026-01-15", today), func(q *Query) { q.Territory = "IT" }), "", []string{"not-there"}, nil},
		{"a prohibition in a part of the territory", with(api("open-1", "bedrock", "2026-01-15", today), func(q *Query) { q.Territory = "EU" }), "", []string{"not-there"}, nil},
		{"an unknown territory may be the prohibited one", with(api("open-1", "bedrock", "2026-01-15", today), func(q *Query) { q.Territory = "" }), "", []string{"not-there"}, nil},
		{"an unknown model", api("nothing", "bedrock", "2026-05-01", today), "", nil, nil},
		{"agents on the exclusive cloud", agents("lab", "bedrock", "aws-co"), "agents-exclusive", nil, nil},
		{"agents elsewhere", agents("lab", "azure-api", "azure-co"), "agents-own", nil, nil},
		{"agents by another seller elsewhere", agents("azure-co", "azure-api", "azure-co"), "", []string{"agents-exclusive"}, nil},
		{"the exclusive host is not dodged by leaving the host open", agents("azure-co", "azure-api", ""), "", []string{"agents-exclusive"}, nil},
		{"some host will do on the lab's own channel", agents("lab", "own-api", ""), "agents-own", nil, nil},
		{"compute elsewhere under first refusal", compute("aws-co", "2025-10-27"), "", []string{"rofr"}, nil},
		{"compute elsewhere after it", compute("aws-co", "2025-10-28"), "buy-anywhere", nil, nil},
	} {
		t.Run(c.name, func(t *testing.T) {
			v := r.Evaluate(c.q)
			var by string
			if v.By != nil {
				by = string(v.By.ID)
			}
			var refusals, conflicts []string
			for _, x := range v.Refusals {
				refusals = append(refusals, string(x.Right.ID))
			}
			for _, x := range v.Conflicts {
				conflicts = append(conflicts, string(x.ID))
			}
			if d := cmp.Diff([]any{c.by != "", c.by, c.refusals, c.conflicts}, []any{v.Allowed, by, refusals, conflicts}); d != "" {
				t.Errorf("verdict differs (-want +got):\n%s%s", d, v.Reason)
			}
			if v.Reason == "" {
				t.Error("no reason for people")
			}
		})
	}
}

func TestVerdict_ClaimsNameWhatIsBehindIt(t *testing.T) {
	v := New(story()).Evaluate(Query{Object: alliance.StatelessAPI, Model: "top", Channel: "bedrock", Territory: "US", At: day("2026-01-15").Time, Known: day("2026-11-01").Time})
	if d := cmp.Diff([]alliance.ClaimID{"C12", "C16"}, v.Claims()); d != "" {
		t.Error(d)
	}
}

func TestNextChange_VerdictsAreConstantBetweenChanges(t *testing.T) {
	r := New(story())
	end := day("2041-01-01").Time
	for at := day("2020-01-02").Time; at.Before(end); {
		next := r.NextChange(at)
		if next.IsZero() {
			next = end
		}
		if !next.After(at) {
			t.Fatalf("next change after %s is %s", at, next)
		}
		for _, ch := range []alliance.ChannelID{"bedrock", "azure-api"} {
			ask := func(t time.Time) bool {
				return r.Evaluate(Query{Object: alliance.StatelessAPI, Model: "top", Seller: "azure-co", Channel: ch, Territory: "US", At: t, Known: t}).Allowed
			}
			if ask(at) != ask(next.Add(-1)) {
				t.Errorf("on %s the verdict changes between %s and %s", ch, at, next)
			}
		}
		at = next
	}
}

// reference judges q the slow and plain way: every right, one after another.
func reference(a *alliance.Alliance, q Query) bool {
	names := []alliance.ModelID{q.Model, AnyModel}
	for _, v := range a.Variants {
		if v.ID == q.Model {
			names = append(names, v.Base)
		}
	}
	for _, f := range a.Families {
		if slices.Contains(names, f.ID) {
			var last alliance.ModelID
			for _, m := range f.Members {
				if !m.From.After(q.At) {
					last = m.Model
				}
			}
			names = append(names, last)
		}
	}
	for _, m := range a.Models {
		if slices.Contains(names, m.ID) && m.Weights == "open" {
			names = append(names, OpenWeights)
		}
	}
	for _, f := range a.Families {
		for _, m := range f.Members {
			if slices.Contains(names, m.Model) {
				names = append(names, f.ID)
			}
		}
	}
	means := func(list []alliance.ModelID) bool {
		return slices.ContainsFunc(list, func(m alliance.ModelID) bool { return slices.Contains(names, m) })
	}
	granted := false
	for _, x := range a.Rights {
		gone := false
		for _, y := range a.Rights {
			gone = gone || slices.Contains(y.Supersedes, x.ID) && !y.Known.After(q.Known) && !y.From.After(q.At)
		}
		last := x.Until
		if x.UntilLatest.After(last.Time) {
			last = x.UntilLatest
		}
		if gone || x.Known.After(q.Known) || x.From.After(q.At) || !last.IsZero() && !q.At.Before(last.Time) ||
			x.Object != q.Object || !means(x.Models) || len(x.Regions) > 0 && !slices.Contains(x.Regions, q.Region) {
			continue
		}
		excepted := false
		for _, e := range x.Exceptions {
			excepted = excepted || (e.Seller == "" || e.Seller == q.Seller) && (e.Channel == "" || e.Channel == q.Channel) &&
				(e.Host == "" || e.Host == q.Host) && (len(e.Models) == 0 || means(e.Models))
		}
		there := len(x.Territories) == 0 || slices.Contains(x.Territories, q.Territory)
		if excepted || !there {
			continue
		}
		holder := (x.Seller == "" || x.Seller == q.Seller) && (x.Channel == "" || x.Channel == q.Channel) && (x.Host == "" || x.Host == q.Host)
		switch {
		case x.Mode == alliance.Denied && holder, x.Mode == alliance.Exclusive && !holder:
			return false
		case x.Mode != alliance.Denied && holder:
			granted = true
		}
	}
	return granted
}

func some[T any](t *rapid.T, name string, list ...T) T { return rapid.SampledFrom(list).Draw(t, name) }

func drawRight(t *rapid.T, i int) alliance.Right {
	at := func(name string) alliance.Date {
		return alliance.Date{Time: day("2026-01-01").AddDate(0, some(t, name, 0, 1, 2, 3, 4), 0)}
	}
	x := alliance.Right{
		ID: alliance.RightID(fmt.Sprintf("r%d", i)), Object: some(t, "object", alliance.StatelessAPI, alliance.ManagedAgents),
		Models: []alliance.ModelID{some(t, "model", "top", "top-1", "top-2", "open-1", "custom", OpenWeights, AnyModel)},
		Seller: some[alliance.PartyID](t, "seller", "", "", "lab", "azure-co"), Channel: some[alliance.ChannelID](t, "channel", "", "", "bedrock", "azure-api"),
		Host: some[alliance.PartyID](t, "host", "", "", "aws-co", "azure-co"), Term: alliance.Term{From: at("from")},
		Mode: some(t, "mode", alliance.NonExclusive, alliance.NonExclusive, alliance.Exclusive, alliance.Denied), Known: at("known"),
	}
	if some(t, "ends", true, false) {
		x.Until = at("until")
		x.UntilLatest = some(t, "latest", alliance.Date{}, x.Until, at("until latest"))
	}
	if some(t, "regional", true, false, false) {
		x.Regions = []alliance.Region{some[alliance.Region](t, "region", "us", "eu")}
	}
	if some(t, "territorial", true, false, false) {
		x.Territories = []alliance.Territory{some[alliance.Territory](t, "territory", "US", "CA")}
	}
	if i > 0 && some(t, "supersedes", true, false, false) {
		x.Supersedes = []alliance.RightID{alliance.RightID(fmt.Sprintf("r%d", rapid.IntRange(0, i-1).Draw(t, "which")))}
	}
	if some(t, "has exception", true, false, false) {
		x.Exceptions = []alliance.Exception{{Channel: some[alliance.ChannelID](t, "x channel", "bedrock", "own-api"), Host: some[alliance.PartyID](t, "x host", "", "aws-co")}}
	}
	return x
}

func TestEvaluate_NeverPassesARight(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		a := story()
		a.Rights = nil
		for i := range rapid.IntRange(0, 12).Draw(t, "rights") {
			a.Rights = append(a.Rights, drawRight(t, i))
		}
		a.Build()
		r := New(a)
		q := Query{
			Object: alliance.StatelessAPI, Model: some[alliance.ModelID](t, "q model", "top", "top-1", "top-2", "open-1", "custom"),
			Seller: some[alliance.PartyID](t, "q seller", "lab", "azure-co"), Channel: some[alliance.ChannelID](t, "q channel", "bedrock", "azure-api", "own-api"),
			Host: some[alliance.PartyID](t, "q host", "aws-co", "azure-co", "other"), Region: some[alliance.Region](t, "q region", "us", "eu", "moon"),
			Territory: some[alliance.Territory](t, "q territory", "US", "CA"),
			At:        day("2026-01-15").AddDate(0, some(t, "q at", 0, 1, 2, 3, 4), 0), Known: day("2026-01-15").AddDate(0, some(t, "q known", 0, 1, 2, 3, 4), 0),
		}
		v := r.Evaluate(q)
		if want := reference(a, q); v.Allowed != want {
			t.Fatalf("allowed %v, by the reference %v: %s", v.Allowed, want, v.Reason)
		}
		open := q
		open.Host, open.Region = "", ""
		if v.Allowed && q.Channel == "own-api" && !r.Evaluate(open).Allowed {
			t.Fatal("some host and region would do, but the open query is refused")
		}
		if got := r.Evaluate(open); got.Allowed {
			passes := false
			for _, h := range []alliance.PartyID{"aws-co", "azure-co", "other"} {
				for _, g := range []alliance.Region{"us", "eu", "moon"} {
					open.Host, open.Region = h, g
					passes = passes || reference(a, open)
				}
			}
			if !passes {
				t.Fatal("the open query is allowed, but at no host and region")
			}
		}
	})
}

// many is an alliance with n rights over n/10 models, ten each.
func many(n int) *alliance.Alliance {
	a := story()
	for i := range n / 10 {
		m := alliance.ModelID(fmt.Sprintf("m%d", i))
		a.Models = append(a.Models, alliance.Model{ID: m, Weights: "closed"})
		for j := range 10 {
			a.Rights = append(a.Rights, alliance.Right{
				ID: alliance.RightID(fmt.Sprintf("x%d-%d", i, j)), Object: alliance.StatelessAPI, Models: []alliance.ModelID{m}, Channel: alliance.ChannelID(fmt.Sprintf("c%d", j)),
				Term: term("2026-01-01", ""), Mode: alliance.NonExclusive, Known: day("2026-01-01"),
			})
		}
	}
	return a.Build()
}

func BenchmarkEvaluate(b *testing.B) {
	perOp := map[int]float64{}
	for _, n := range []int{100, 10_000} {
		b.Run(fmt.Sprintf("rights=%d", n), func(b *testing.B) {
			r := New(many(n))
			q := Query{Object: alliance.StatelessAPI, Model: "m3", Channel: "c5", Host: "aws-co", Region: "us", Territory: "US", At: day("2026-06-01").Time}
			b.ReportAllocs()
			for b.Loop() {
				if !r.Evaluate(q).Allowed {
					b.Fatal("refused")
				}
			}
			perOp[n] = float64(b.Elapsed()) / float64(b.N)
			if base := perOp[100]; n > 100 && base > 0 {
				b.ReportMetric(perOp[n]/base, "ratio_to_100")
			}
		})
	}
}
