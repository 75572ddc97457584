package examples_test

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/accordo-ai/accordo/examples"
	"github.com/accordo-ai/accordo/internal/alliance"
	"github.com/accordo-ai/accordo/internal/alliance/file"
	"github.com/accordo-ai/accordo/internal/money"
	"github.com/accordo-ai/accordo/internal/right"
	"github.com/accordo-ai/accordo/internal/route"
	"github.com/accordo-ai/accordo/internal/usage"
)

func day(t *testing.T, s string) time.Time {
	t.Helper()
	at, err := time.Parse(time.DateOnly, s)
	if err != nil {
		t.Fatal(err)
	}
	return at
}

func load(t *testing.T, name string) *alliance.Alliance {
	t.Helper()
	a, warnings, err := file.LoadFS(examples.FS, name+"/alliance.yaml", "")
	if err != nil {
		t.Fatal(err)
	}
	for _, w := range warnings {
		t.Errorf("warning: %+v", w)
	}
	return a
}

func TestExamples_HaveNoFault(t *testing.T) {
	for _, name := range []string{"openai-amazon", "two-reservations", "reservations", "commitments"} {
		t.Run(name, func(t *testing.T) {
			if a := load(t, name); a.Notice == "" || a.Hash == "" {
				t.Error("no notice or no hash")
			}
		})
	}
}

func TestOpenAIAmazon_HoldsEveryClaimOfTheArticles(t *testing.T) {
	a := load(t, "openai-amazon")
	got := map[string]int{}
	for _, c := range a.Claims {
		if c.Source.File != "" {
			got[string(c.ID[0])+" "+c.Source.File+" "+c.Known.String()]++
			if c.Source.Grade != "B" {
				t.Errorf("claim %s of the press has grade %s", c.ID, c.Source.Grade)
			}
		}
	}
	want := map[string]int{
		"A 000_185d9e9b91c664fc.txt 2026-02-06": 37,
		"B 001_ac80f01c1d87b7a5.txt 2025-12-17": 26,
		"C 002_5004e60cbf30c124.txt 2025-12-17": 22,
		"D 003_fd04525fe3f8a0f5.txt 2025-11-04": 18,
		"E 004_4e9a3de56bc6fcdf.txt 2025-11-30": 30,
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("claims by article (-want +got):\n%s", diff)
	}
	for n := 1; n <= 40; n++ {
		id := alliance.ClaimID("P" + string(rune('0'+n/10)) + string(rune('0'+n%10)))
		if c := a.Claim(id); c == nil || c.Source.URL == "" {
			t.Errorf("claim %s is missing or has no address", id)
		}
	}
}

func TestOpenAIAmazon_UsesEveryShapeAndBothStandIns(t *testing.T) {
	a := load(t, "openai-amazon")
	shapes, standIns := map[alliance.Shape]bool{}, map[string]int{}
	for i := range a.Contracts {
		shapes[a.Contracts[i].Shape] = true
	}
	for i := range a.Pools {
		p := &a.Pools[i]
		if p.StandIn == nil || p.Endpoint.URL != "stand-in:" {
			t.Fatalf("pool %s would call a provider", p.ID)
		}
		standIns[p.StandIn.Kind]++
	}
	if len(shapes) != 4 || standIns["local_model"] != 2 || standIns["simulated"] < 6 {
		t.Errorf("shapes %v, stand-ins %v", shapes, standIns)
	}
}

// The table of who may distribute what, by date and by what was known.
func TestOpenAIAmazon_Rights(t *testing.T) {
	register := right.New(load(t, "openai-amazon"))
	const (
		api    = alliance.StatelessAPI
		agents = alliance.ManagedAgents
		buy    = alliance.ComputePurchase
		closed = alliance.ModelID("openai-frontier")
		open   = alliance.ModelID("gpt-oss-120b")
	)
	for _, tt := range []struct {
		name            string
		object          string
		model           alliance.ModelID
		seller          alliance.PartyID
		channel         alliance.ChannelID
		host            alliance.PartyID
		region          alliance.Region
		at, known       string
		allowed         bool
		by              alliance.RightID
		cites, conflict []alliance.ClaimID
	}{
		{
			name: "Bedrock in January 2026 as known today", object: api, model: closed, channel: "aws-bedrock", at: "2026-01-15", known: "2026-11-22",
			cites: []alliance.ClaimID{"C12", "C16", "P09", "P10", "P11"}, conflict: []alliance.ClaimID{"E12"},
		},
		{
			name: "Bedrock in January 2026 as known then", object: api, model: closed, channel: "aws-bedrock", at: "2026-01-15", known: "2026-01-15",
			cites: []alliance.ClaimID{"P09", "C12", "C16", "C15"}, conflict: []alliance.ClaimID{"E12"},
		},
		{
			name: "Bedrock in May 2026 as known in February", object: api, model: closed, channel: "aws-bedrock", at: "2026-05-01", known: "2026-02-06",
			cites: []alliance.ClaimID{"P09", "C12", "C16", "C15"}, conflict: []alliance.ClaimID{"E12"},
		},
		{
			name: "Bedrock in May 2026 as known today", object: api, model: closed, channel: "aws-bedrock", at: "2026-05-01", known: "2026-11-22",
			allowed: true, by: "api-bedrock-preview", cites: []alliance.ClaimID{"P11", "P07"},
		},
		{
			name: "Bedrock in a region of the preview", object: api, model: closed, channel: "aws-bedrock", host: "amazon", region: "us-west-2", at: "2026-05-01", known: "2026-11-22",
			allowed: true, by: "api-bedrock-preview", cites: []alliance.ClaimID{"P11", "P07"},
		},
		{name: "Bedrock in a region outside the preview", object: api, model: closed, channel: "aws-bedrock", host: "amazon", region: "us-east-1", at: "2026-05-01", known: "2026-11-22"},
		{name: "Bedrock on the day between P11 and P07", object: api, model: closed, channel: "aws-bedrock", at: "2026-04-27", known: "2026-11-22"},
		{
			name: "open weights on Bedrock in January", object: api, model: open, channel: "aws-bedrock", at: "2026-01-15", known: "2026-11-22",
			allowed: true, by: "open-weights-served", cites: []alliance.ClaimID{"P08"}, conflict: []alliance.ClaimID{"E06", "E07"},
		},
		{
			name: "open weights on Bedrock in January as known then", object: api, model: open, channel: "aws-bedrock", at: "2026-01-15", known: "2026-01-15",
			allowed: true, by: "open-weights-served", cites: []alliance.ClaimID{"P08"}, conflict: []alliance.ClaimID{"E06", "E07"},
		},
		{
			name: "open weights on Bedrock in May as known in February", object: api, model: open, channel: "aws-bedrock", at: "2026-05-01", known: "2026-02-06",
			allowed: true, by: "open-weights-served", cites: []alliance.ClaimID{"P08"}, conflict: []alliance.ClaimID{"E06", "E07"},
		},
		{name: "open weights before they were published", object: api, model: open, channel: "aws-bedrock", at: "2025-08-01", known: "2026-11-22"},
		{
			name: "Azure while it is exclusive", object: api, model: closed, channel: "azure-openai", host: "microsoft", at: "2026-01-15", known: "2026-11-22",
			allowed: true, by: "api-azure-ended", cites: []alliance.ClaimID{"C12", "C16", "P09", "P10", "P11"}, conflict: []alliance.ClaimID{"E12"},
		},
		{
			name: "Azure under the licence", object: api, model: closed, channel: "azure-openai", host: "microsoft", at: "2026-11-22", known: "2026-11-22",
			allowed: true, by: "api-azure-licence", cites: []alliance.ClaimID{"P11"},
		},
		{
			name: "OpenAI's own API on Azure in January", object: api, model: closed, seller: "openai", channel: "openai-api", host: "microsoft", at: "2026-01-15", known: "2026-11-22",
			allowed: true, by: "api-own-on-azure", cites: []alliance.ClaimID{"P09"},
		},
		{
			name: "OpenAI's own API on AWS in January", object: api, model: closed, seller: "openai", channel: "openai-api", host: "amazon", at: "2026-01-15", known: "2026-11-22",
			cites: []alliance.ClaimID{"C12", "C16", "P09", "P10", "P11"}, conflict: []alliance.ClaimID{"E12"},
		},
		{
			name: "OpenAI's own API on AWS in May", object: api, model: closed, seller: "openai", channel: "openai-api", host: "amazon", at: "2026-05-01", known: "2026-11-22",
			allowed: true, by: "api-own-any-cloud", cites: []alliance.ClaimID{"P11"},
		},
		{
			name: "agents on AWS", object: agents, model: closed, channel: "aws-bedrock", at: "2026-05-01", known: "2026-11-22",
			allowed: true, by: "frontier-agents-aws", cites: []alliance.ClaimID{"P05", "P10"},
		},
		{
			name: "agents on Azure as a third party's", object: agents, model: closed, channel: "azure-openai", at: "2026-05-01", known: "2026-11-22",
			cites: []alliance.ClaimID{"P05", "P10"},
		},
		{
			name: "agents as OpenAI's own product on Azure", object: agents, model: closed, seller: "openai", channel: "chatgpt", host: "microsoft", at: "2026-05-01", known: "2026-11-22",
			allowed: true, by: "frontier-agents-own", cites: []alliance.ClaimID{"P10"},
		},
		{
			name: "OpenAI's products on AWS in March", object: alliance.FirstPartyProduct, model: closed, seller: "openai", channel: "chatgpt", host: "amazon", at: "2026-03-15", known: "2026-11-22",
			cites: []alliance.ClaimID{"P10", "P11"},
		},
		{
			name: "OpenAI's products on AWS in May", object: alliance.FirstPartyProduct, model: closed, seller: "openai", channel: "chatgpt", host: "amazon", at: "2026-05-01", known: "2026-11-22",
			allowed: true, by: "products-azure-first", cites: []alliance.ClaimID{"P11"},
		},
		{
			name: "compute from AWS before October 2025", object: buy, model: closed, host: "amazon", at: "2025-06-01", known: "2026-11-22",
			cites: []alliance.ClaimID{"P09", "D04"},
		},
		{
			name: "compute from AWS in January, as known then", object: buy, model: closed, host: "amazon", at: "2026-01-15", known: "2026-01-15",
			allowed: true, by: "compute-freed", cites: []alliance.ClaimID{"D04", "B07", "C09"},
		},
		{
			name: "the custom model on Amazon's assistant", object: api, model: "assistant-custom", seller: "amazon", channel: "alexa", host: "amazon", at: "2026-11-22", known: "2026-11-22",
			allowed: true, by: "custom-for-amazon", cites: []alliance.ClaimID{"P06"},
		},
		{
			name: "the custom model hosted on AWS while calls stayed on Azure", object: api, model: "assistant-custom", seller: "amazon", channel: "alexa", host: "amazon", at: "2026-03-15", known: "2026-11-22",
			cites: []alliance.ClaimID{"C12", "C16", "P09", "P10", "P11"}, conflict: []alliance.ClaimID{"E12"},
		},
		{
			name: "the custom model hosted on Azure at that time", object: api, model: "assistant-custom", seller: "amazon", channel: "alexa", host: "microsoft", at: "2026-03-15", known: "2026-11-22",
			allowed: true, by: "custom-for-amazon", cites: []alliance.ClaimID{"P06"},
		},
	} {
		t.Run(tt.name, func(t *testing.T) {
			v := register.Evaluate(right.Query{
				Object: tt.object, Model: tt.model, Seller: tt.seller, Channel: tt.channel, Host: tt.host, Region: tt.region,
				Territory: "US", At: day(t, tt.at), Known: day(t, tt.known),
			})
			if v.Allowed != tt.allowed {
				t.Fatalf("allowed %v, want %v: %s", v.Allowed, tt.allowed, v.Reason)
			}
			if v.By != nil && v.By.ID != tt.by || v.By == nil && tt.by != "" {
				t.Errorf("by %+v, want %s", v.By, tt.by)
			}
			if diff := cmp.Diff(tt.cites, v.Claims()); diff != "" {
				t.Errorf("cites (-want +got):\n%s", diff)
			}
			var conflicts []alliance.ClaimID
			for _, c := range v.Conflicts {
				conflicts = append(conflicts, c.ID)
			}
			if diff := cmp.Diff(tt.conflict, conflicts); diff != "" {
				t.Errorf("conflicting claims (-want +got):\n%s", diff)
			}
		})
	}
}

// What the demonstration key asks is served by several pools of several
// shapes, and an idle machine answers with the real model.
func TestOpenAIAmazon_TheDemonstrationIsServed(t *testing.T) {
	a := load(t, "openai-amazon")
	now := day(t, "2026-11-22")
	key, _ := a.Key("demo")
	for _, tt := range []struct {
		asked  alliance.ModelID
		pools  int
		shapes int
		local  bool // the real model answers when nothing else is asked
	}{
		{"openai-frontier", 4, 2, true},
		{"gpt-5.4", 6, 4, false},
		{"gpt-oss-20b", 4, 2, true},
		{"gpt-oss-120b", 4, 3, false},
		{"assistant-custom:commerce", 4, 2, true},
		{"embedding-small", 1, 1, false},
	} {
		t.Run(string(tt.asked), func(t *testing.T) {
			m, v, _, ok := a.Resolve(tt.asked, now)
			if !ok {
				t.Fatal("no model serves it")
			}
			q := route.Request{Model: m.ID, Plan: key.Plan, Channel: key.Channel, Territory: key.Territory, Kind: m.Kind, Input: 60, Output: 120}
			if v != nil {
				q.Variant = v.ID
			}
			r := route.New(a, now)
			e := r.Explain(now, now, &q)
			shapes := map[alliance.Shape]bool{}
			for _, c := range e.Candidates {
				shapes[c.Contract.Shape] = true
			}
			if len(e.Candidates) < tt.pools || len(shapes) < tt.shapes {
				t.Errorf("%d candidates of shapes %v: %+v", len(e.Candidates), shapes, e.Ineligible)
			}
			for _, x := range e.Ineligible {
				if x.Pool.ID == "oracle-gb200-abilene" && x.Cause != route.NotInTerm && x.Cause != route.NotServed {
					t.Errorf("Oracle's contract begins in 2027, but its pool is refused by %s: %s", x.Cause, x.Why)
				}
			}
			// At the first request, and when the floors are known to be unspent.
			for i := range uint64(20) {
				d := r.Decide(now, &q, i)
				if d.Pool == nil {
					t.Fatalf("nobody serves: %s", d.Reason)
				}
				if tt.local && d.Pool.StandIn.Kind != "local_model" {
					t.Errorf("request %d: pool %s (%s) serves", i, d.Pool.ID, d.Pool.StandIn.Kind)
				}
				now = now.Add(time.Second)
				r.Observe(now, route.Outcome{Reservation: d.Reservation, Pool: d.Pool.ID, Served: true, Usage: usage.Vector{UncachedInput: 60, Output: 120}, TTFT: time.Duration(d.Pool.Endpoint.TTFTMS) * time.Millisecond, Duration: 900 * time.Millisecond})
				now = now.Add(time.Second)
				r.Resolve(now, func(alliance.ContractID) money.Amount { return 0 })
			}
		})
	}
}

func TestOpenAIAmazon_EuropeanResidencyHasOnePool(t *testing.T) {
	a := load(t, "openai-amazon")
	now := day(t, "2026-11-22")
	q := route.Request{Model: "gpt-5.5", Plan: "api-eu", Channel: "openai-api", Territory: "EU", Kind: "chat", Input: 10, Output: 10}
	e := route.New(a, now).Explain(now, now, &q)
	if len(e.Candidates) != 1 || e.Candidates[0].Pool.ID != "azure-gb200-swedencentral" {
		t.Errorf("candidates %+v", e.Candidates)
	}
}

func TestTwoReservations_ReservationsAndOverflowServe(t *testing.T) {
	a := load(t, "two-reservations")
	now := day(t, "2026-11-22")
	for _, tt := range []struct {
		model alliance.ModelID
		first []alliance.PoolID // one of these serves first
		pools int
	}{
		{"gpt-large", []alliance.PoolID{"azure-reserved", "bedrock-reserved"}, 4},
		{"open-small", []alliance.PoolID{"own-rack"}, 2},
	} {
		t.Run(string(tt.model), func(t *testing.T) {
			q := route.Request{Model: tt.model, Plan: "internal-use", Channel: "internal", Territory: "EU", Kind: "chat", Input: 100, Output: 100}
			r := route.New(a, now)
			if e := r.Explain(now, now, &q); len(e.Candidates) != tt.pools {
				t.Errorf("%d candidates, refused %+v", len(e.Candidates), e.Ineligible)
			}
			d := r.Decide(now, &q, 1)
			found := false
			for _, id := range tt.first {
				found = found || d.Pool != nil && d.Pool.ID == id
			}
			if !found {
				t.Errorf("pool %+v serves first", d.Pool)
			}
		})
	}
}
