package app

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/accordo-ai/accordo/internal/admin"
	"github.com/accordo-ai/accordo/internal/alliance"
	"github.com/accordo-ai/accordo/internal/contract"
	"github.com/accordo-ai/accordo/internal/ledger"
	"github.com/accordo-ai/accordo/internal/settle"
)

// burnPoints is how many instants of an interval a page draws.
const burnPoints = 49

// Outlook says how a contract stands and what is to come.
func (s *server) Outlook(ctx context.Context, id string, at time.Time) (admin.Outlook, error) {
	terms := s.terms.Load()
	c := terms.Alliance().Contract(alliance.ContractID(id))
	if c == nil {
		return admin.Outlook{}, admin.ErrNotFound
	}
	o, err := settle.MakeOutlook(ctx, s.store, terms, id, at)
	if err != nil {
		return admin.Outlook{}, err
	}
	line, err := settle.BurnLine(ctx, s.store, terms, o, burnPoints)
	if err != nil {
		return admin.Outlook{}, err
	}
	v := admin.Outlook{At: o.At, Currency: ledger.Asset(o.Currency), FeesAbated: o.FeesAbated, Dates: []admin.NextDate{}, Clauses: contract.Clauses(c, o.Currency)}
	if k := o.Capacity; k != nil {
		v.Capacity = &admin.Capacity{Contracted: k.Contracted, Usable: k.Usable, Unit: k.Unit}
	}
	if i := o.Interval; i != nil {
		v.Interval = &admin.Interval{
			From: i.From, Until: i.Until, Promised: i.Promised, Used: i.Used, Open: i.Open, Forecast: i.Forecast,
			Low: i.Low, High: i.High, LostForecast: i.LostForecast, LostMost: i.LostMost,
		}
	}
	for _, p := range line {
		v.Line = append(v.Line, admin.BurnPoint{At: p.At, Used: p.Used})
	}
	for _, d := range o.Dates {
		v.Dates = append(v.Dates, admin.NextDate{On: d.On, What: d.What, Cost: d.Cost, Unknown: d.Unknown})
	}
	return v, nil
}

// Months lists the months in the books, newest first.
func (s *server) Months(ctx context.Context) ([]int32, int32, error) {
	periods, err := s.store.Periods(ctx, "")
	if err != nil {
		return nil, 0, err
	}
	var list []int32
	for i := range periods {
		list = append(list, periods[i].Period)
	}
	slices.SortFunc(list, func(a, b int32) int { return int(b - a) })
	return slices.Compact(list), s.settler.Closed(), nil
}

// Accounts returns all accounts with what a month did to them.
func (s *server) Accounts(ctx context.Context, month int32) ([]admin.AccountMonth, error) {
	periods, err := s.store.Periods(ctx, "")
	if err != nil {
		return nil, err
	}
	assets := map[ledger.AccountID]ledger.Asset{}
	for _, b := range s.settler.Balances() {
		assets[b.Account] = b.Asset
	}
	list := []admin.AccountMonth{}
	for i := range periods {
		p := &periods[i]
		if len(list) == 0 || list[len(list)-1].Account != p.Account {
			list = append(list, admin.AccountMonth{Account: p.Account, Asset: assets[p.Account]})
		}
		v := &list[len(list)-1]
		switch {
		case month == 0 || p.Period == month:
			v.Moved += p.Amount
		case p.Period < month:
			v.Opening += p.Amount
		}
		v.Closing = v.Opening + v.Moved
	}
	return slices.DeleteFunc(list, func(v admin.AccountMonth) bool { return v.Opening == 0 && v.Moved == 0 && month != 0 }), nil
}

// EntriesOf returns stored entries, newest first.
func (s *server) EntriesOf(ctx context.Context, q admin.EntryQuery) ([]admin.Entry, error) {
	query := settle.Query{
		Account: ledger.AccountID(q.Account), Other: ledger.AccountID(q.Other), Contract: q.Contract, Price: q.Price, Period: q.Month, Batch: q.Batch,
		Before: settle.Place{Batch: q.BeforeBatch, Number: q.BeforeNumber}, Newest: true, Limit: q.Limit,
	}
	if q.Kind != "" {
		if err := query.Kind.UnmarshalText([]byte(q.Kind)); err != nil {
			return nil, admin.BadRequestError{Says: fmt.Sprintf("No entry is of the kind %.40q: the kinds are those that entries show, such as cost, sale or invoice.", q.Kind)}
		}
	}
	placed, err := s.store.Entries(ctx, query)
	list := make([]admin.Entry, len(placed))
	for i := range placed {
		list[i] = entryView(&placed[i])
	}
	return list, err
}

func entryView(p *settle.Placed) admin.Entry {
	return admin.Entry{Batch: p.Batch, Number: p.Number, At: time.Unix(0, p.At).UTC(), Entry: p.Entry}
}

// EntryAt returns one entry with the requests behind it.
func (s *server) EntryAt(ctx context.Context, sequence uint64, number int) (admin.EntryDetail, error) {
	batch, err := s.store.Batch(ctx, sequence)
	if errors.Is(err, settle.ErrNotFound) || err == nil && (number < 1 || number > len(batch.Entries)) {
		return admin.EntryDetail{}, admin.ErrNotFound
	}
	if err != nil {
		return admin.EntryDetail{}, err
	}
	e := &batch.Entries[number-1]
	d := admin.EntryDetail{Entry: admin.Entry{Batch: sequence, Number: number, At: time.Unix(0, batch.At).UTC(), Entry: *e}, Facts: batch.Fact != 0}
	if d.Facts {
		return d, nil
	}
	lines, err := settle.Lines(ctx, s.store, s.journal.Read, termsFrom(s.dir), s.dir, e)
	if err != nil {
		s.o.Log.WarnContext(ctx, "the lines of an entry cannot be recomputed", "batch", sequence, "entry", number, "error", err)
		d.Fault = "The journal and the terms do not give all of its lines: run accordo ledger verify."
	}
	for i := range lines {
		l := &lines[i]
		for j := range l.Postings {
			if p := &l.Postings[j]; p.Key == e.LineKey() {
				d.Lines = append(d.Lines, admin.Line{Request: l.Request, Attempt: string(l.Attempt), At: time.Unix(0, l.At).UTC(), Tokens: l.Tokens.Total(), Exact: settle.Exact(p), Intent: l.Intent, Outcome: l.Outcome})
			}
		}
	}
	return d, nil
}

// Batches returns batches before one, newest first.
func (s *server) Batches(ctx context.Context, before uint64, limit int) ([]admin.Batch, error) {
	head, err := s.store.Head(ctx)
	if err != nil {
		return nil, err
	}
	if before == 0 || before > head.Batch+1 {
		before = head.Batch + 1
	}
	list := []admin.Batch{}
	for n := before - 1; n > 0 && len(list) < limit; n-- {
		b, err := s.store.Batch(ctx, n)
		if err != nil {
			return nil, err
		}
		list = append(list, admin.Batch{
			Sequence: b.Sequence, At: time.Unix(0, b.At).UTC(), First: b.First, Last: b.Last, Fact: b.Fact, Served: b.Served, Unserved: b.Unserved,
			Suspense: b.Suspense, Entries: len(b.Entries), Hash: b.Hash.String(), Prev: b.Prev.String(),
		})
	}
	return list, nil
}

// BooksState says how far the books are.
func (s *server) BooksState(ctx context.Context) (admin.BooksState, error) {
	head, err := s.store.Head(ctx)
	if err != nil {
		return admin.BooksState{}, err
	}
	v := admin.BooksState{Batch: head.Batch, Record: head.Last, Hash: head.Hash.String(), Lag: s.settler.Status().Lag, Closed: s.settler.Closed()}
	v.Running, v.Verified = s.verifying.Load(), s.verified.Load()
	return v, nil
}

// Verify recomputes the books in the background, once at a time.
func (s *server) Verify() bool {
	if !s.verifying.CompareAndSwap(false, true) {
		return false
	}
	s.loop(func() {
		defer s.verifying.Store(false)
		began := time.Now()
		v, err := settle.Verify(s.running, s.store, s.journal.Read, termsFrom(s.dir), s.dir)
		if err != nil {
			if s.running.Err() == nil {
				s.o.Log.Error("the books could not be verified", "error", err)
				s.verified.Store(&admin.Verification{At: began.UTC(), Took: time.Since(began), Fault: "The books could not be read whole; the server's log says more."})
			}
			return
		}
		found := &admin.Verification{At: began.UTC(), Took: time.Since(began), Batches: v.Batches, Records: v.Records, Facts: v.Facts, Hash: v.Head.Hash.String()}
		if v.Fault != nil {
			found.Fault, found.Remedy = v.Fault.String(), v.Fault.Remedy
		}
		s.verified.Store(found)
	})
	return true
}

// Parties lists who stands in the books at the end of a month.
func (s *server) Parties(ctx context.Context, month int32) ([]admin.PartyTotal, error) {
	totals, err := settle.Totals(ctx, s.store, s.terms.Load(), month)
	if err != nil {
		return nil, err
	}
	list := make([]admin.PartyTotal, len(totals))
	for i, t := range totals {
		list[i] = admin.PartyTotal{Party: t.Party, Name: t.Name, Kind: t.Kind, Asset: t.Asset, Moved: t.Moved, Amount: t.Amount}
	}
	return list, nil
}

// Statement returns what stands between the operator and a party in a month.
func (s *server) Statement(ctx context.Context, party string, month int32, mirrored bool) (admin.Statement, error) {
	b, err := s.inMonth(ctx, month)
	if err != nil {
		return admin.Statement{}, err
	}
	made, err := b.statement(ctx, party)
	if errors.Is(err, settle.ErrNoParty) {
		return admin.Statement{}, admin.ErrNotFound
	}
	if err != nil {
		return admin.Statement{}, err
	}
	if mirrored {
		made = made.Mirror()
	}
	return statementView(b.terms.Alliance(), made), nil
}

func statementView(a *alliance.Alliance, s *settle.Statement) admin.Statement {
	v := admin.Statement{
		Operator: s.Operator, OperatorName: s.Operator, Party: s.Party, Name: s.Name, Month: s.Month, Closed: s.Closed, Mirrored: s.Mirrored, Currency: s.Currency,
		Notice: strings.TrimSpace(s.Notice), Simulated: s.Simulated, SimulatedSays: s.SimulatedSays, Accounts: []admin.StatementAccount{},
	}
	for _, t := range s.Totals {
		v.Totals = append(v.Totals, admin.StatementTotal{Currency: t.Currency, Opening: t.Opening, Closing: t.Closing})
	}
	if p := a.Party(a.Operator); p != nil {
		v.OperatorName = p.Name
	}
	for i := range s.Accounts {
		from := &s.Accounts[i]
		to := admin.StatementAccount{Account: from.Account, Asset: from.Currency, Opening: from.Opening, Closing: from.Closing}
		for j := range from.Movements {
			m := &from.Movements[j]
			to.Movements = append(to.Movements, admin.Movement{Kind: m.Kind.String(), Contra: m.Contra, Contract: m.Contract, Price: m.Price, Entries: m.Entries, Lines: m.Lines, Tokens: m.Tokens, Amount: m.Amount})
		}
		v.Accounts = append(v.Accounts, to)
	}
	return v
}

// Suspense lists what may be owed and is not proven, oldest first.
func (s *server) Suspense(ctx context.Context, now time.Time) ([]admin.Held, error) {
	held, err := (&books{s.dir, s.store}).held(ctx, now)
	if err != nil {
		return nil, err
	}
	list := make([]admin.Held, len(held))
	for i := range held {
		h := &held[i]
		list[i] = admin.Held{
			Provider: h.Provider, Attempt: string(h.Attempt), Request: h.Request, Reason: h.Reason, Model: h.Model, Pool: h.Pool,
			Since: h.Since, Days: h.Days, Age: bracket(h.Days), Amount: h.Amount, Tokens: h.Tokens,
		}
	}
	return list, nil
}

// Close posts what came of a suspense or a difference, through the same
// recording as the commands.
func (s *server) Close(ctx context.Context, o admin.CloseOrder, dry bool) ([]admin.Entry, error) {
	event, err := s.closing(ctx, o)
	if err != nil {
		return nil, err
	}
	step, err := s.settler.Record(ctx, event, dry)
	if errors.Is(err, ledger.ErrFact) {
		return nil, admin.RefusedError{Says: err.Error()}
	}
	if err != nil {
		return nil, err
	}
	list := []admin.Entry{}
	for i := range step.Batch.Entries {
		list = append(list, admin.Entry{Batch: step.Batch.Sequence, Number: i + 1, At: time.Unix(0, step.Batch.At).UTC(), Entry: step.Batch.Entries[i]})
	}
	return list, nil
}

// closing is the fact that an order asks for; its reason names who ordered it.
func (s *server) closing(ctx context.Context, o admin.CloseOrder) (event ledger.Event, err error) {
	reason := strings.TrimSpace(o.Reason)
	if reason == "" {
		return event, admin.RefusedError{Says: "Give a reason: it stands in the books for good."}
	}
	reason = fmt.Sprintf("%s (console, %s)", reason, o.Who)
	if o.Difference != "" {
		return ledger.Event{DifferenceClosed: &ledger.DifferenceClosed{ID: o.Difference, By: o.By, Reason: reason}}, nil
	}
	held, err := (&books{s.dir, s.store}).held(ctx, time.Now())
	if err != nil {
		return event, err
	}
	i := slices.IndexFunc(held, func(h Held) bool { return string(h.Attempt) == o.Attempt })
	if i < 0 {
		return event, admin.RefusedError{Says: "This attempt has no open suspense: it was closed in the meantime, or never had one."}
	}
	h := &held[i]
	return ledger.Event{SuspenseClosed: &ledger.SuspenseClosed{Attempt: h.Attempt, Intent: h.Intent, Outcome: h.Outcome, By: o.By, BillCustomer: o.BillCustomer, Reason: reason, Rules: ledger.SuspenseRules}}, nil
}

// clock is the instant that pages speak of: now, or that of the last batch
// where the books are ahead, as those of a played year may be.
func (s *server) clock() time.Time {
	now := time.Now()
	if head, err := s.store.Head(s.running); err == nil {
		if at := time.Unix(0, head.At); at.After(now) {
			return at
		}
	}
	return now
}
