package app

import (
	"fmt"
	"net/http"
	"slices"
	"time"

	"github.com/accordo-ai/accordo/internal/admin"
	"github.com/accordo-ai/accordo/internal/alliance"
	"github.com/accordo-ai/accordo/internal/contract"
	"github.com/accordo-ai/accordo/internal/gateway"
	"github.com/accordo-ai/accordo/internal/ledger"
	"github.com/accordo-ai/accordo/internal/record"
	"github.com/accordo-ai/accordo/internal/route"
	"github.com/accordo-ai/accordo/internal/story"
)

// maxLag is how far the books may be behind the journal before /readyz says so.
const maxLag = 100_000

// lowDisk is the room in bytes on the disk of the data directory below which
// /readyz says so: some minutes of the journal of a busy node.
const lowDisk = 256 << 20

// Overview is the head of every page.
func (s *server) Overview(time.Time) admin.Overview {
	a := s.terms.Load().Alliance()
	o := admin.Overview{
		Title: a.Title, Notice: a.Notice, Simulated: s.simulated, Operator: string(a.Operator), Currency: string(a.Currency), Terms: a.Hash,
		Version: s.o.Version, Started: s.started, API: s.api, Lag: s.settler.Status().Lag, Problems: s.Readiness().Problems,
	}
	if p := a.Party(a.Operator); p != nil {
		o.Operator = p.Name
	}
	for i := range a.Pools {
		if _, _, says := s.standIns.endpoint(&a.Pools[i]); says != "" && !slices.Contains(o.StandIns, says) {
			o.StandIns = append(o.StandIns, says)
		}
	}
	_, o.Requests = s.gateway.Recent(0)
	return o
}

// Readiness says whether requests are served, and what is wrong besides.
func (s *server) Readiness() admin.Readiness {
	ready, why := s.gateway.Ready()
	r := admin.Readiness{Ready: ready}
	if why != "" {
		r.Problems = append(r.Problems, "The gateway takes no new requests: "+why+".")
	}
	if fault := s.journal.State().Fault; fault != nil {
		r.Ready = false
		r.Problems = append(r.Problems, "The journal cannot be written, so requests are refused: "+fault.Error())
	}
	waiting, leftOpen := s.gateway.Late()
	if waiting > 0 {
		r.Problems = append(r.Problems, fmt.Sprintf("The journal refused %d outcomes; they are written as soon as it can be written again, and stand as suspense if the process ends before.", waiting))
	}
	if leftOpen > 0 {
		r.Problems = append(r.Problems, fmt.Sprintf("The journal refused %d outcomes more than are kept; they stand as suspense after the next start.", leftOpen))
	}
	if free, ok := diskFree(s.o.Data); ok && free < lowDisk {
		r.Problems = append(r.Problems, fmt.Sprintf("The disk of the data directory has %d MB left; requests are refused once it is full.", free>>20))
	}
	status := s.settler.Status()
	if status.Error != "" {
		r.Problems = append(r.Problems, "The books cannot be written; requests are served and booked later: "+status.Error)
	}
	if status.Lag > maxLag {
		r.Problems = append(r.Problems, "The books are far behind the journal.")
	}
	r.Problems = append(r.Problems, s.machineProblems()...)
	r.Problems = append(r.Problems, requestLogProblems(s.requestLog.State())...)
	if s.standIns.noModel != "" {
		r.Problems = append(r.Problems, "The local model does not run, a simulator answers for it: "+s.standIns.noModel)
	}
	return r
}

// Pools joins the terms of every pool with the router's state of it.
func (s *server) Pools(now time.Time) []admin.Pool {
	a := s.terms.Load().Alliance()
	var states []route.PoolState
	s.gateway.WithRouter(func(r *route.Router) { states = r.Pools(now) })
	list := make([]admin.Pool, 0, len(states))
	for _, state := range states {
		p := a.Pool(state.ID)
		if p == nil {
			continue
		}
		v := admin.Pool{
			PoolState: state, Provider: string(p.Provider), ProviderName: string(p.Provider), Region: string(p.Region), Residency: string(p.Residency),
			Chip: string(p.Chip), Chips: p.Chips, Contract: string(p.Contract), MaxInFlight: p.MaxInFlight,
		}
		if party := a.Party(p.Provider); party != nil {
			v.ProviderName = party.Name
		}
		if c := a.Contract(p.Contract); c != nil {
			v.Shape = string(c.Shape)
		}
		for i := range p.Models {
			v.Models = append(v.Models, string(p.Models[i].Model))
		}
		_, _, v.StandIn = s.standIns.endpoint(p)
		list = append(list, v)
	}
	return list
}

// Requests returns the newest requests first.
func (s *server) Requests(limit int) []admin.Request {
	rows, _ := s.gateway.Recent(limit)
	list := make([]admin.Request, len(rows))
	for i := range rows {
		list[i] = requestView(&rows[i])
		list[i].Cost = s.inOwn(rows[i].Contract, rows[i].Cost)
	}
	return list
}

func requestView(r *gateway.Row) admin.Request {
	v := admin.Request{
		ID: r.ID, At: r.At, Tenant: r.Tenant, Plan: r.Plan, Asked: r.Asked, Served: r.Model, Pool: r.Pool, Contract: r.Contract, Right: r.Right,
		HTTP: r.Status, Status: outcomeWord(r.Outcome), Reason: r.Reason, Tokens: r.Usage, Cost: r.Cost, MarginalNano: r.Marginal, TTFT: r.TTFT, Duration: r.Duration, Attempts: r.Attempts, StandIn: r.StandIn,
	}
	if r.Variant != "" {
		v.Served = r.Variant
	}
	if r.Code != "" {
		v.Reason = r.Code
	}
	return v
}

func outcomeWord(s record.Status) string {
	switch s {
	case record.Served:
		return "served"
	case record.Suspense, record.Abandoned:
		return "suspense"
	case record.Unserved:
		return "unserved"
	}
	return "refused"
}

// Contracts returns every contract with what was burnt of it.
func (s *server) Contracts(now time.Time) []admin.Contract {
	terms := s.terms.Load()
	lambda := map[alliance.ContractID]int64{}
	for _, p := range s.Pools(now) {
		lambda[alliance.ContractID(p.Contract)] = p.LambdaPPM
	}
	list := contractViews(terms.Alliance(), s.settler.Burns(terms, now), now)
	for i := range list {
		list[i].LambdaPPM = lambda[alliance.ContractID(list[i].ID)]
	}
	return list
}

// contractViews joins contracts with their burn.
func contractViews(a *alliance.Alliance, burns []ledger.Burn, now time.Time) []admin.Contract {
	list := make([]admin.Contract, 0, len(burns))
	for _, b := range burns {
		c := a.Contract(b.Contract)
		v := admin.Contract{
			ID: string(c.ID), Title: c.Title, Party: string(c.Provider), Provider: string(c.Provider), Shape: string(c.Shape), Currency: string(a.CurrencyOf(c)), From: c.From, Until: c.Until,
			ShapeSays: contract.Says(c.Shape), Headline: c.Headline, BurntTotal: b.Cost, FeesAccrued: b.FeesAccrued, FeesSinceStart: b.FeesSinceStart, Capacity: b.Capacity, Floors: b.Floors,
		}
		if p := a.Party(c.Provider); p != nil {
			v.Provider = p.Name
		}
		v.Claims = texts(c.Claim)
		addSchedule(&v, c)
		for i := range a.Pools {
			if a.Pools[i].Contract == c.ID {
				v.Pools = append(v.Pools, string(a.Pools[i].ID))
			}
		}
		if f, ok := contract.FloorAt(c, now); ok {
			v.IntervalFrom, v.IntervalUntil, v.Floor, v.Assumption = f.From, f.Until, f.Amount, f.Assumption
		}
		if f, ok := contract.FeeAt(c, now); ok && !contract.HasFloor(c.Shape) {
			v.IntervalFrom, v.IntervalUntil, v.Fee, v.Assumption = f.From, f.Until, f.Amount, f.Assumption
		}
		if contract.Open(c) && now.Before(contract.NoticeEnds(c.Option)) {
			v.Option = contract.OptionAdds(c, a.CurrencyOf(c)) + ", to exercise before " + alliance.Date{Time: contract.NoticeEnds(c.Option)}.String()
		}
		if r, _, ok := contract.HourAt(c, now); ok {
			v.IntervalFrom, v.IntervalUntil, v.PerHour, v.Assumption = r.From, r.Until, r.PerHour, r.Assumption
		}
		for _, f := range slices.Concat(b.Floors, b.Hours) {
			if f.Current {
				v.Burnt = f.Used
			}
		}
		list = append(list, v)
	}
	return list
}

// addSchedule adds what is promised when, with what each figure rests on.
func addSchedule(v *admin.Contract, c *alliance.Contract) {
	for _, f := range c.Floors {
		v.Schedule = append(v.Schedule, admin.Step{From: f.From, Until: f.Until, Amount: f.Amount, Claims: texts(f.Claim), Assumption: f.Assumption})
	}
	if contract.HasFloor(c.Shape) { // its fees are besides what it promises
		c = new(*c)
		c.Fees = nil
	}
	fees, _ := contract.FeesOf(c) // a checked file's are in the range of money
	for _, f := range fees {
		v.Schedule = append(v.Schedule, admin.Step{From: f.From, Until: f.Until, Amount: f.Amount, Fee: true, Claims: texts(f.Claim), Assumption: f.Assumption})
	}
	for _, d := range c.Delivered {
		v.Delivered = append(v.Delivered, admin.Ramp{From: d.From, Chips: d.Chips, TokensPerMinute: d.TokensPerMinute})
	}
	for _, r := range c.Ramp {
		v.Ramp = append(v.Ramp, admin.Ramp{From: r.From, Chips: r.Chips, TokensPerMinute: r.TokensPerMinute, Claims: texts(r.Claim), Assumption: r.Assumption})
	}
}

func texts[T ~string](ids []T) []string {
	out := make([]string, len(ids))
	for i, id := range ids {
		out[i] = string(id)
	}
	return out
}

// Balances returns all accounts by path.
func (s *server) Balances() []ledger.Balance { return s.settler.Balances() }

// Claims says what is known at a date.
func (s *server) Claims(at time.Time, ids []string) (*story.Claims, error) {
	claims, err := story.AskClaims(s.terms.Load().Alliance(), at, ids)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", admin.ErrNotFound, err)
	}
	return claims, nil
}

// Story tells the built-in example's story as known at a date.
func (s *server) Story(at time.Time) (story.Story, bool) {
	if s.o.File != "" {
		return story.Story{}, false
	}
	told, err := loadStory(s.terms.Load().Alliance(), at)
	if err != nil {
		s.o.Log.Error("the story cannot be told", "error", err)
		return story.Story{}, false
	}
	return told, true
}

// adminHandler is the operator's listener.
func (s *server) adminHandler(l listenerPair) http.Handler {
	s.api = s.url(l.api)
	return admin.Handler(admin.Options{
		Source: s, Metrics: s.gateway.Metrics().Handler(), Token: s.adminToken, Grants: s.grants, Secure: s.o.TLSCert != "" || s.o.BehindTLS && !loopback(s.o.AdminListen), Now: time.Now, AsOf: s.clock,
		Pages: consolePages(s),
		Guessing: func(address string) {
			s.o.Log.Warn("too many wrong tokens on the operator's listener; the address has to wait", "address", address)
		},
	})
}
