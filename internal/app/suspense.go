package app

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"text/tabwriter"
	"time"

	"github.com/accordo-ai/accordo/internal/ledger"
	"github.com/accordo-ai/accordo/internal/money"
	"github.com/accordo-ai/accordo/internal/record"
	"github.com/accordo-ai/accordo/internal/settle"
	"github.com/accordo-ai/accordo/internal/usage"
)

// Held is one attempt whose suspense is open.
type Held struct {
	Provider string           `json:"provider"`
	Attempt  record.AttemptID `json:"attempt"`
	Request  string           `json:"request"`
	Reason   string           `json:"reason"` // why it is suspense
	Model    string           `json:"model"`
	Pool     string           `json:"pool"`
	Since    time.Time        `json:"since"`
	Days     int64            `json:"days"` // whole days since then
	Amount   money.Amount     `json:"amount"`
	Tokens   usage.Vector     `json:"tokens"`
	Intent   uint64           `json:"intent"`
	Outcome  uint64           `json:"outcome"`
}

// SuspenseAge is the open suspense of one provider and age.
type SuspenseAge struct {
	Provider string       `json:"provider"`
	Age      string       `json:"age"`
	Attempts int64        `json:"attempts"`
	Amount   money.Amount `json:"amount"`
}

// ages are the brackets of ageing, in whole days below.
var ages = [...]struct {
	below int64
	name  string
}{{7, "under 7 days"}, {30, "7 to 29 days"}, {90, "30 to 89 days"}, {1 << 40, "90 days and more"}}

// Suspense writes the open suspense, aged by provider.
func Suspense(ctx context.Context, w io.Writer, data string, now time.Time, asJSON bool) error {
	b, err := openReading(ctx, data)
	if err != nil {
		return err
	}
	defer b.Close()
	list, err := b.held(ctx, now)
	if err != nil {
		return err
	}
	aged := age(list)
	v := map[string]any{"aged": aged, "open": list}
	return show(w, asJSON, v, func(w io.Writer) error { return writeSuspense(w, list, aged) })
}

// held lists open suspense with what the journal says of it, in one pass.
func (b *books) held(ctx context.Context, now time.Time) ([]Held, error) {
	entries, err := b.store.Suspended(ctx)
	if err != nil || len(entries) == 0 {
		return []Held{}, err
	}
	wanted := make(map[uint64]int, len(entries))
	list := make([]Held, len(entries))
	low := entries[0].First
	for i := range entries {
		e := &entries[i]
		wanted[e.First] = i
		low = min(low, e.First)
		since := time.Unix(0, e.From).UTC()
		list[i] = Held{
			Provider: e.Debit.Ref(), Attempt: record.AttemptID(e.Ref), Since: since, Days: int64(now.Sub(since) / (24 * time.Hour)),
			Amount: e.Amount, Tokens: e.Tokens, Outcome: e.First,
		}
	}
	intents := map[uint64]int{}
	for r, err := range b.records(low) {
		if err != nil {
			return nil, err
		}
		if i, ok := wanted[r.Sequence]; ok && r.Outcome != nil {
			list[i].Intent, list[i].Reason = r.Outcome.Intent, why(r.Outcome)
			intents[r.Outcome.Intent] = i
			low = min(low, r.Outcome.Intent)
			if len(intents) == len(wanted) {
				break
			}
		}
	}
	for r, err := range b.records(low) {
		if err != nil {
			return nil, err
		}
		if i, ok := intents[r.Sequence]; ok && r.Intent != nil {
			list[i].Request, list[i].Model, list[i].Pool = r.Intent.Request, r.Intent.Model, r.Intent.Pool
			delete(intents, r.Sequence)
		}
		if len(intents) == 0 {
			break
		}
	}
	return list, nil
}

func why(out *record.Outcome) string {
	switch {
	case out.Reason != "":
		return out.Reason
	case out.Status == record.Abandoned:
		return "in_flight_when_the_process_ended"
	}
	return "not_rated_by_the_terms"
}

// bracket names the age of suspense.
func bracket(days int64) string {
	for _, a := range ages {
		if days < a.below {
			return a.name
		}
	}
	return ages[0].name
}

func age(list []Held) []SuspenseAge {
	aged := []SuspenseAge{}
	for i := range list {
		h := &list[i]
		name := bracket(h.Days)
		at := slices.IndexFunc(aged, func(a SuspenseAge) bool { return a.Provider == h.Provider && a.Age == name })
		if at < 0 {
			aged = append(aged, SuspenseAge{Provider: h.Provider, Age: name})
			at = len(aged) - 1
		}
		aged[at].Attempts++
		aged[at].Amount += h.Amount
	}
	slices.SortStableFunc(aged, func(x, y SuspenseAge) int {
		if x.Provider < y.Provider {
			return -1
		}
		if x.Provider > y.Provider {
			return 1
		}
		return 0
	})
	return aged
}

// maxShown bounds a list for people; --json has all.
const maxShown = 100

func writeSuspense(w io.Writer, list []Held, aged []SuspenseAge) error {
	if len(list) == 0 {
		_, err := fmt.Fprintln(w, "no suspense is open")
		return err
	}
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintln(t, "PROVIDER\tAGE\tATTEMPTS\tESTIMATE\t")
	for _, a := range aged {
		fmt.Fprintf(t, "%s\t%s\t%d\t%s\t\n", a.Provider, a.Age, a.Attempts, a.Amount)
	}
	fmt.Fprintln(t, "\t\t\t\t")
	fmt.Fprintln(t, "ATTEMPT\tPROVIDER\tDAYS\tESTIMATE\tTOKENS\tWHY\tREQUEST\t")
	for i := range list[:min(len(list), maxShown)] {
		h := &list[i]
		fmt.Fprintf(t, "%s\t%s\t%d\t%s\t%d\t%s\t%s\t\n", h.Attempt, h.Provider, h.Days, h.Amount, h.Tokens.Total(), h.Reason, h.Request)
	}
	if err := t.Flush(); err != nil {
		return err
	}
	if len(list) > maxShown {
		fmt.Fprintf(w, "and %d more: --json lists all\n", len(list)-maxShown)
	}
	_, err := fmt.Fprintln(w, "close with: accordo ledger suspense --close ATTEMPT --by estimate|waived --reason TEXT")
	return err
}

// SuspenseOrder says which suspense to close and how.
type SuspenseOrder struct {
	Attempts     []string
	OlderThan    time.Duration // closes all that is older, 0 for none
	By           string
	BillCustomer bool
	Reason       string
	DryRun       bool
	JSON         bool
}

// CloseSuspense closes suspense by the estimate or as waived, one fact an
// attempt; with DryRun it says what would be posted.
func CloseSuspense(ctx context.Context, w io.Writer, data string, o SuspenseOrder, now time.Time) error {
	b, err := openReading(ctx, data)
	if err != nil {
		return err
	}
	list, err := b.held(ctx, now)
	b.Close()
	if err != nil {
		return err
	}
	chosen, err := choose(list, o, now)
	if err != nil {
		return ExitError{ExitUsage, err}
	}
	rec, err := openRecorder(ctx, data)
	if err != nil {
		return err
	}
	defer rec.Close()
	var done []ledger.Batch
	for i := range chosen {
		h := &chosen[i]
		event := ledger.Event{SuspenseClosed: &ledger.SuspenseClosed{
			Attempt: h.Attempt, Intent: h.Intent, Outcome: h.Outcome, By: o.By, BillCustomer: o.BillCustomer, Reason: o.Reason, Rules: ledger.SuspenseRules,
		}}
		batch, err := rec.Record(ctx, event, o.DryRun)
		if err != nil {
			return fmt.Errorf("%w (%d of %d attempts were closed before it)", err, len(done), len(chosen))
		}
		done = append(done, batch)
	}
	return show(w, o.JSON, done, func(w io.Writer) error { return writePosted(w, done, o.DryRun) })
}

func choose(list []Held, o SuspenseOrder, now time.Time) (chosen []Held, err error) {
	if len(o.Attempts) > 0 == (o.OlderThan > 0) {
		return nil, errors.New("name the attempts to close, or give --older-than")
	}
	for _, id := range o.Attempts {
		i := slices.IndexFunc(list, func(h Held) bool { return string(h.Attempt) == id })
		if i < 0 {
			return nil, fmt.Errorf("attempt %s has no open suspense: accordo ledger suspense lists it", id)
		}
		chosen = append(chosen, list[i])
	}
	for i := range list {
		if o.OlderThan > 0 && now.Sub(list[i].Since) >= o.OlderThan {
			chosen = append(chosen, list[i])
		}
	}
	return chosen, nil
}

// writePosted writes the entries of batches that facts made.
func writePosted(w io.Writer, batches []ledger.Batch, dry bool) error {
	if dry {
		fmt.Fprintln(w, "DRY RUN: nothing was recorded; this would be posted")
	}
	var list []settle.Placed
	for i := range batches {
		for n := range batches[i].Entries {
			list = append(list, settle.Placed{Batch: batches[i].Sequence, Number: n + 1, At: batches[i].At, Fact: batches[i].Fact, Entry: batches[i].Entries[n]})
		}
	}
	if len(list) == 0 {
		_, err := fmt.Fprintln(w, "nothing to post")
		return err
	}
	return settle.WriteEntries(w, list)
}
