package app

import (
	"errors"
	"io/fs"
	"os"
	"slices"
	"time"

	"github.com/accordo-ai/accordo/internal/alliance"
	"github.com/accordo-ai/accordo/internal/datadir"
	"github.com/accordo-ai/accordo/internal/exchange"
	"github.com/accordo-ai/accordo/internal/ledger"
	"github.com/accordo-ai/accordo/internal/money"
)

// rates examines whether each currency of the contracts has a rate of exchange
// on this day. One that was quoted against a third currency only is missing:
// rates pass through none.
func (d *doctor) rates(a *alliance.Alliance) {
	var foreign []money.Currency
	for i := range a.Contracts {
		if c := a.CurrencyOf(&a.Contracts[i]); c != a.Currency && !slices.Contains(foreign, c) {
			foreign = append(foreign, c)
		}
	}
	if len(foreign) == 0 {
		return
	}
	known, err := d.knownRates()
	if err != nil {
		d.wrong("rates", "give a directory that can be read", "%s", err)
		return
	}
	slices.Sort(foreign)
	today := d.o.Now.UTC().Format(time.DateOnly)
	for _, c := range foreign {
		rate, ok := known.Find(c, a.Currency, today, exchange.Always)
		if !ok {
			d.wrong("rates", ledger.RecordRate(c, a.Currency, today), "the rate of %s in %s is not known: pools of contracts in %s are no candidates, and months with them do not close", c, a.Currency, c)
			continue
		}
		d.fine("rates", "%s in %s: %s, by %s", c, a.Currency, rate.ID(), rate.Source)
	}
}

// knownRates are those that the data directory has; none where there is no
// directory yet.
func (d *doctor) knownRates() (*exchange.Table, error) {
	if _, err := os.Stat(d.o.Data); errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	dir, err := datadir.OpenReadOnly(d.o.Data)
	if err != nil {
		return nil, err
	}
	defer dir.Close()
	return ratesOf(dir)
}
