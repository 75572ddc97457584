package app

import (
	"context"
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/accordo-ai/accordo/internal/ledger"
	"github.com/accordo-ai/accordo/internal/money"
	"github.com/accordo-ai/accordo/internal/settle"
)

// EntriesQuestion selects entries on the command line. Empty fields select all.
type EntriesQuestion struct {
	Account, Against, Kind, Contract, Price string
	Month                                   string // YYYY-MM in which they are booked
	Newest                                  bool
	Limit                                   int
	JSON                                    bool
}

func (q *EntriesQuestion) query() (settle.Query, error) {
	s := settle.Query{Account: ledger.AccountID(q.Account), Other: ledger.AccountID(q.Against), Contract: q.Contract, Price: q.Price, Newest: q.Newest, Limit: q.Limit}
	if q.Limit < 1 || q.Limit > settle.MaxEntries {
		return s, ExitError{ExitUsage, fmt.Errorf("--limit is from 1 to %d", settle.MaxEntries)}
	}
	if q.Kind != "" {
		if err := s.Kind.UnmarshalText([]byte(q.Kind)); err != nil {
			return s, ExitError{ExitUsage, fmt.Errorf("--kind: %w", err)}
		}
	}
	if q.Month != "" {
		var err error
		if s.Period, err = parseMonth(q.Month); err != nil {
			return s, err
		}
	}
	return s, nil
}

// Entries writes the entries that match.
func Entries(ctx context.Context, w io.Writer, data string, q EntriesQuestion) error {
	query, err := q.query()
	if err != nil {
		return err
	}
	b, err := openReading(ctx, data)
	if err != nil {
		return err
	}
	defer b.Close()
	list, err := b.store.Entries(ctx, query)
	if err != nil {
		return err
	}
	list = append([]settle.Placed{}, list...) // no entry is [] in JSON
	return show(w, q.JSON, list, func(w io.Writer) error {
		if err := settle.WriteEntries(w, list); err != nil {
			return err
		}
		return writeMoved(w, list, &q)
	})
}

// writeMoved adds up what the entries did to the account that was asked for,
// as a statement states it.
func writeMoved(w io.Writer, list []settle.Placed, q *EntriesQuestion) error {
	if q.Account == "" || strings.HasSuffix(q.Account, "/") || len(list) == 0 {
		return nil
	}
	moved, lines := map[ledger.Asset]money.Amount{}, int64(0)
	var assets []ledger.Asset
	for i := range list {
		e := &list[i]
		if !slices.Contains(assets, e.Asset) {
			assets = append(assets, e.Asset)
		}
		lines += e.Lines
		if e.Debit == ledger.AccountID(q.Account) {
			moved[e.Asset] += e.Amount
		}
		if e.Credit == ledger.AccountID(q.Account) {
			moved[e.Asset] -= e.Amount
		}
	}
	more := ""
	if len(list) == q.Limit {
		more = "; there may be more: raise --limit"
	}
	for _, asset := range assets {
		if _, err := fmt.Fprintf(w, "\n%d entries, %d lines: debits less credits %s %s%s\n", len(list), lines, asset.Format(moved[asset]), asset, more); err != nil {
			return err
		}
	}
	return nil
}
