package app

import (
	"context"
	"fmt"
	"io"
	"time"

	"github.com/accordo-ai/accordo/internal/alliance"
	"github.com/accordo-ai/accordo/internal/datadir"
	"github.com/accordo-ai/accordo/internal/exchange"
	"github.com/accordo-ai/accordo/internal/ledger"
	"github.com/accordo-ai/accordo/internal/money"
	"github.com/accordo-ai/accordo/internal/route"
)

// ratesOf returns the rates of exchange among the facts of a data directory.
func ratesOf(dir *datadir.Dir) (*exchange.Table, error) {
	facts, err := dir.Booked()
	if err != nil {
		return nil, err
	}
	return ledger.RatesOf(facts), nil
}

// learnRates gives the router what is known now.
func (s *server) learnRates() error {
	rates, err := ratesOf(s.dir)
	if err != nil {
		return err
	}
	s.rates.Store(rates)
	s.gateway.WithRouter(func(r *route.Router) { r.SetRates(rates, time.Now()) })
	return nil
}

// inOwn is what an amount of a contract's currency is worth in the alliance's
// at the last rate, rounded up: for pages, never for the books.
func (s *server) inOwn(id string, amount money.Amount) money.Amount {
	t := s.terms.Load()
	own, of := t.Alliance().Currency, t.MoneyOf(alliance.ContractID(id))
	if own == of {
		return amount
	}
	rate, ok := s.rates.Load().Find(of, own, time.Now().UTC().Format(time.DateOnly), exchange.Always)
	if !ok {
		return 0
	}
	down, _ := rate.Convert(-amount)
	return -down
}

// warnOfRates says which contracts' pools serve nobody for want of a rate.
func (s *server) warnOfRates(a *alliance.Alliance, now time.Time) {
	for i := range a.Contracts {
		c := &a.Contracts[i]
		of := a.CurrencyOf(c)
		if _, ok := s.rates.Load().Find(of, a.Currency, now.UTC().Format(time.DateOnly), exchange.Always); !ok && of != a.Currency {
			s.o.Log.Warn("the pools of a contract serve nobody: no rate of its currency is known; accordo record rate", "contract", c.ID, "currency", of, "in", a.Currency)
		}
	}
}

// QuotedRate is a rate of exchange on the command line, as quoted.
type QuotedRate struct {
	Base, Quote, Rate, On, Source string
	Dry, JSON                     bool
}

// RecordRate records a rate of exchange.
func RecordRate(ctx context.Context, w io.Writer, data string, q QuotedRate) error {
	rate, err := exchange.ParseDecimal(q.Rate)
	if err != nil {
		return ExitError{ExitUsage, err}
	}
	quote := exchange.Quote{Base: money.Currency(q.Base), Quote: money.Currency(q.Quote), Rate: rate, On: q.On, Source: q.Source}
	event := ledger.Event{ExchangeRate: &quote}
	if err := event.Check(); err != nil {
		return ExitError{ExitUsage, err}
	}
	rec, err := openRecorder(ctx, data)
	if err != nil {
		return err
	}
	defer rec.Close()
	batch, err := rec.Record(ctx, event, q.Dry)
	if err != nil {
		return err
	}
	return show(w, q.JSON, batch, func(w io.Writer) error {
		if q.Dry {
			_, err := fmt.Fprintf(w, "DRY RUN: %s by %s can be recorded\n", quote.ID(), quote.Source)
			return err
		}
		_, err := fmt.Fprintf(w, "%s by %s is recorded as fact %d: what is posted from now on uses it, what is posted stays\n", quote.ID(), quote.Source, batch.Fact)
		return err
	})
}
