package app

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"iter"
	"strconv"
	"text/tabwriter"
	"time"

	"github.com/accordo-ai/accordo/internal/admin"
	"github.com/accordo-ai/accordo/internal/alliance"
	"github.com/accordo-ai/accordo/internal/contract"
	"github.com/accordo-ai/accordo/internal/datadir"
	"github.com/accordo-ai/accordo/internal/journal"
	"github.com/accordo-ai/accordo/internal/ledger"
	"github.com/accordo-ai/accordo/internal/record"
	"github.com/accordo-ai/accordo/internal/settle"
	"github.com/accordo-ai/accordo/internal/store/sqlite"
)

// books are a data directory opened for reading, beside a serving process or
// without one.
type books struct {
	dir   *datadir.Dir
	store *sqlite.Store
}

func openReading(ctx context.Context, data string) (*books, error) {
	dir, err := datadir.OpenReadOnly(data)
	if err != nil {
		return nil, err
	}
	store, err := sqlite.OpenReader(ctx, dir.Books())
	if err != nil {
		_ = dir.Close()
		return nil, err
	}
	return &books{dir, store}, nil
}

// Close gives everything back.
func (b *books) Close() {
	_ = b.store.Close()
	_ = b.dir.Close()
}

// now is the instant that an answer speaks of: the clock's, or that of the
// last batch where the books are ahead of it, as a play's may be.
func (b *books) now(ctx context.Context, clock time.Time) (time.Time, error) {
	head, err := b.store.Head(ctx)
	if at := time.Unix(0, head.At).UTC(); err == nil && at.After(clock) {
		return at, nil
	}
	return clock, err
}

func (b *books) records(from uint64) iter.Seq2[record.Record, error] {
	return journal.Read(b.dir.Journal(), from)
}

// find returns what journal and books hold of a request.
func (b *books) find(ctx context.Context, request string) (*settle.Trace, error) {
	t, err := settle.Find(ctx, b.store, b.records, termsFrom(b.dir), b.dir, request)
	if errors.Is(err, settle.ErrUnknown) {
		return nil, fmt.Errorf("%w: the id is the answer's header x-request-id", err)
	}
	return t, err
}

// show writes v as JSON or, with text, for people.
func show(w io.Writer, asJSON bool, v any, text func(io.Writer) error) error {
	if !asJSON {
		return text(w)
	}
	enc := json.NewEncoder(w)
	enc.SetIndent("", "  ")
	return enc.Encode(v)
}

// Balances writes all accounts and the trial balance.
func Balances(ctx context.Context, w io.Writer, data string, asJSON bool) error {
	b, err := openReading(ctx, data)
	if err != nil {
		return err
	}
	defer b.Close()
	list, err := b.store.Balances(ctx)
	if err != nil {
		return err
	}
	v := map[string]any{"balances": list, "trial_balance": ledger.TrialBalance(list)}
	return show(w, asJSON, v, func(w io.Writer) error { return settle.WriteBalances(w, list) })
}

// TraceRequest writes all that journal and books hold of a request.
func TraceRequest(ctx context.Context, w io.Writer, data, request string, asJSON bool) error {
	b, err := openReading(ctx, data)
	if err != nil {
		return err
	}
	defer b.Close()
	t, err := b.find(ctx, request)
	if err != nil {
		return err
	}
	return show(w, asJSON, t, func(w io.Writer) error { return settle.WriteTrace(w, t) })
}

// VerifyBooks recomputes the books from journal and terms; a difference is an
// ExitError with ExitWrong.
func VerifyBooks(ctx context.Context, w io.Writer, data string, asJSON bool) error {
	b, err := openReading(ctx, data)
	if err != nil {
		return err
	}
	defer b.Close()
	v, err := settle.Verify(ctx, b.store, b.records, termsFrom(b.dir), b.dir)
	if err != nil {
		return err
	}
	err = show(w, asJSON, v, func(w io.Writer) error { return settle.WriteVerification(w, &v) })
	if err == nil && v.Fault != nil {
		err = ExitError{Code: ExitWrong}
	}
	return err
}

// Contracts writes the burn of every contract by the last terms in the books.
func Contracts(ctx context.Context, w io.Writer, data string, asJSON bool) error {
	b, err := openReading(ctx, data)
	if err != nil {
		return err
	}
	defer b.Close()
	state, err := b.store.State(ctx)
	if err != nil {
		return err
	}
	if state.Head.Terms == "" {
		return errors.New("the books are empty: nothing has been booked yet; a request is booked about a second after its end")
	}
	book := ledger.Resume(state, termsFrom(b.dir))
	facts, err := b.dir.Booked()
	if err != nil {
		return err
	}
	if err := book.Recall(facts[:min(uint64(len(facts)), state.Head.Facts)]); err != nil {
		return err
	}
	terms, err := book.Terms(state.Head.Terms)
	if err != nil {
		return err
	}
	now := time.Now()
	list := contractViews(terms.Alliance(), book.Burns(terms, now), now)
	return show(w, asJSON, list, func(w io.Writer) error { return writeContracts(w, list, string(terms.Alliance().Currency)) })
}

func writeContracts(w io.Writer, list []admin.Contract, currency string) error {
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintln(t, "CONTRACT\tSHAPE\tINTERVAL\tPROMISED\tBURNT OF IT\tCOST SINCE THE BOOKS BEGAN\t")
	for _, c := range list {
		promised, burnt := "nothing", "-"
		switch {
		case c.Floor > 0:
			promised, burnt = c.Floor.String()+" "+c.Currency+" to spend", c.Burnt.String()+" "+c.Currency
		case c.PerHour > 0:
			promised, burnt = c.PerHour.String()+" "+c.Currency+" an hour", c.Burnt.String()+" "+c.Currency
		case c.Fee > 0:
			promised, burnt = c.Fee.String()+" "+c.Currency+" fee", capacityUsed(c)
		}
		if c.Option != "" {
			if promised == "nothing" {
				promised = "option on " + c.Option
			} else {
				promised += "; option on " + c.Option
			}
		}
		if c.Assumption {
			promised += " (assumed)"
		}
		interval := "-"
		if !c.IntervalFrom.IsZero() {
			interval = c.IntervalFrom.String() + " to " + c.IntervalUntil.String()
		}
		fmt.Fprintf(t, "%s\t%s\t%s\t%s\t%s\t%s\t\n", c.ID, c.Shape, interval, promised, burnt, c.BurntTotal.String()+" "+currency)
	}
	return t.Flush()
}

// capacityUsed renders what the pools of a contract used since the books
// began, in the unit of the contract's shape.
func capacityUsed(c admin.Contract) string {
	unit := " burn units"
	if contract.Units(alliance.Shape(c.Shape)) == "CHIPSEC" {
		unit = " chip-seconds"
	}
	var used int64
	for _, b := range c.Capacity {
		used += int64(b.Amount)
	}
	return strconv.FormatInt(used, 10) + unit
}
