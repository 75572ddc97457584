package app

import (
	"context"
	"fmt"
	"io"
	"maps"
	"slices"
	"strconv"
	"strings"
	"text/tabwriter"

	"github.com/accordo-ai/accordo/internal/invoice"
	"github.com/accordo-ai/accordo/internal/ledger"
	"github.com/accordo-ai/accordo/internal/money"
	"github.com/accordo-ai/accordo/internal/record"
	"github.com/accordo-ai/accordo/internal/settle"
	"github.com/accordo-ai/accordo/internal/usage"
)

// OpenDifference is one difference with what it is, what stands behind it on
// both sides, and what to do.
type OpenDifference struct {
	ID string `json:"id"`
	invoice.Explanation
	Line    *BilledLine    `json:"line,omitempty"`    // of the invoice
	Attempt *ServedAttempt `json:"attempt,omitempty"` // of the journal; of a group, the first
	Group   bool           `json:"group,omitempty"`   // it is about the attempts from first to last that agree with it
	settle.Placed
}

// BilledLine is what a line of an invoice says.
type BilledLine struct {
	Number  int           `json:"number"`
	Rows    []int         `json:"rows,omitempty"` // of the file, where it is several
	Kind    string        `json:"kind"`
	Attempt string        `json:"attempt,omitempty"`
	Model   string        `json:"model,omitempty"`
	Tier    string        `json:"tier,omitempty"`
	Period  string        `json:"period,omitempty"`
	Tokens  usage.Vector  `json:"tokens"`
	Amount  *money.Amount `json:"amount,omitempty"`
	Text    string        `json:"text,omitempty"`
}

// ServedAttempt is what the journal says of an attempt.
type ServedAttempt struct {
	Attempt record.AttemptID `json:"attempt"`
	Request string           `json:"request"`
	Pool    string           `json:"pool"`
	Model   string           `json:"model"`
	Tier    string           `json:"tier,omitempty"`
	Tokens  usage.Vector     `json:"tokens"`
	Outcome uint64           `json:"outcome"`
}

// Differences writes the open differences between invoices and books.
func Differences(ctx context.Context, w io.Writer, data string, asJSON bool) error {
	b, err := openReading(ctx, data)
	if err != nil {
		return err
	}
	defer b.Close()
	list, err := b.store.Differences(ctx)
	if err != nil {
		return err
	}
	facts, err := b.dir.Booked()
	if err != nil {
		return err
	}
	var invoices []*ledger.InvoiceImported
	for i := range facts {
		if facts[i].InvoiceImported != nil {
			invoices = append(invoices, facts[i].InvoiceImported)
		}
	}
	all, err := b.explain(list, invoices, map[string]*invoice.Invoice{})
	if err != nil {
		return err
	}
	return show(w, asJSON, all, func(w io.Writer) error {
		if len(list) == 0 {
			_, err := fmt.Fprintln(w, "no difference is open")
			return err
		}
		return writeDifferences(w, all)
	})
}

// explain finds what stands behind differences: lines of the invoices, of
// which read are parsed already, and attempts of the journal.
func (b *books) explain(list []settle.Placed, invoices []*ledger.InvoiceImported, read map[string]*invoice.Invoice) ([]OpenDifference, error) {
	all := make([]OpenDifference, 0, len(list))
	byOutcome := map[uint64][]int{}
	for i := range list {
		e := &list[i]
		id, place, _ := strings.Cut(e.Ref, ".")
		d := OpenDifference{ID: e.Ref, Explanation: invoice.Explain(ledger.DifferenceKind(&e.Entry)), Placed: *e, Group: e.First != e.Last}
		line, err := b.line(id, place, invoices, read)
		if err != nil {
			return nil, err
		}
		d.Line = line
		all = append(all, d)
		byOutcome[e.First] = append(byOutcome[e.First], i)
	}
	return all, b.attempts(all, byOutcome)
}

func (b *books) line(id, place string, invoices []*ledger.InvoiceImported, read map[string]*invoice.Invoice) (*BilledLine, error) {
	number, err := strconv.Atoi(place)
	if err != nil {
		return nil, nil //nolint:nilerr // the place is no line: nothing was billed
	}
	v := read[id]
	for _, in := range invoices {
		if v == nil && in.InvoiceID() == id {
			if v, err = ledger.ReadInvoice(in, b.dir.Document); err != nil {
				return nil, fmt.Errorf("read invoice %s: %w", id, err)
			}
			read[id] = v
		}
	}
	if v == nil {
		return nil, nil
	}
	for i := range v.Lines {
		if l := &v.Lines[i]; l.Number == number {
			return &BilledLine{
				Number: l.Number, Rows: l.Rows, Kind: l.Kind.String(), Attempt: string(l.Attempt), Model: l.Model, Tier: l.Tier,
				Period: l.Period, Tokens: l.Tokens, Amount: l.Amount, Text: l.Text,
			}, nil
		}
	}
	return nil, nil
}

// attempts fills in what the journal says of the outcomes that differences
// cite.
func (b *books) attempts(all []OpenDifference, byOutcome map[uint64][]int) error {
	intents := map[uint64][]int{}
	err := b.pick(slices.Sorted(maps.Keys(byOutcome)), func(r *record.Record) {
		for _, i := range byOutcome[r.Sequence] {
			if o := r.Outcome; o != nil {
				all[i].Attempt = &ServedAttempt{Attempt: o.Attempt, Tier: o.Tier, Tokens: o.Usage, Outcome: r.Sequence}
				intents[o.Intent] = append(intents[o.Intent], i)
			}
		}
	})
	if err != nil {
		return err
	}
	return b.pick(slices.Sorted(maps.Keys(intents)), func(r *record.Record) {
		for _, i := range intents[r.Sequence] {
			if in := r.Intent; in != nil {
				a := all[i].Attempt
				a.Request, a.Pool, a.Model = in.Request, in.Pool, in.Model
			}
		}
	})
}

// readOn is how many records it pays to read over rather than to look for the
// next one anew.
const readOn = 2000

// pick reads records of the journal by their numbers, which ascend.
func (b *books) pick(numbers []uint64, take func(*record.Record)) error {
	for i := 0; i < len(numbers); {
		before := i
		for r, err := range b.records(numbers[i]) {
			if err != nil {
				return err
			}
			if r.Sequence == numbers[i] {
				take(&r)
				if i++; i == len(numbers) {
					return nil
				}
			}
			if numbers[i] > r.Sequence+readOn {
				break
			}
		}
		if i == before { // the journal ends before it
			return nil
		}
	}
	return nil
}

func writeDifferences(w io.Writer, list []OpenDifference) error {
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintln(t, "DIFFERENCE\tKIND\tINVOICE LESS BOOKS\tCONTRACT\tTHE INVOICE SAYS\tTHE BOOKS SAY\t")
	var kinds []invoice.Explanation
	seen := map[string]bool{}
	for i := range list {
		d := &list[i]
		if !seen[d.Kind] {
			seen[d.Kind] = true
			kinds = append(kinds, d.Explanation)
		}
		if i < maxShown {
			fmt.Fprintf(t, "%s\t%s\t%s\t%s\t%s\t%s\t\n", d.ID, d.Kind, d.Amount, d.Contract, d.Line.says(), d.served())
		}
	}
	if err := t.Flush(); err != nil {
		return err
	}
	if len(list) > maxShown {
		fmt.Fprintf(w, "and %d more: --json lists all\n", len(list)-maxShown)
	}
	fmt.Fprintln(w)
	for _, k := range kinds {
		fmt.Fprintf(w, "%s: %s\n  to do: %s\n", k.Kind, k.Says, k.Remedy)
	}
	_, err := fmt.Fprintln(w, "close with: accordo invoices close ID --as accepted|rejected --reason TEXT")
	return err
}

// says is a line in words.
func (l *BilledLine) says() string {
	if l == nil {
		return "-"
	}
	text := "line " + strconv.Itoa(l.Number)
	if len(l.Rows) > 1 {
		text = fmt.Sprintf("lines %d to %d", l.Rows[0], l.Rows[len(l.Rows)-1])
	}
	kind := l.Kind
	if kind == invoice.Use.String() {
		kind = ""
	}
	for _, part := range [...]string{kind, l.Attempt, l.Period, l.Model, l.Tier} {
		if part != "" {
			text += ", " + part
		}
	}
	if n := l.Tokens.Total(); n > 0 {
		text += fmt.Sprintf(", %d tokens", n)
	}
	if l.Amount != nil {
		text += ", " + l.Amount.String()
	}
	return text
}

// served is what the books have in its place, in words.
func (d *OpenDifference) served() string {
	a := d.Attempt
	kind, id, charge := invoice.ParseChargePlace(d.Price)
	switch {
	case charge && d.Kind == invoice.MissingCharge:
		return fmt.Sprintf("%s of %s, %s", kind, id, -d.Amount)
	case charge && d.Kind == kind.DiffersAs() && d.Line != nil && d.Line.Amount != nil && !kind.Gathers():
		return fmt.Sprintf("%s of %s, %s", kind, id, *d.Line.Amount-d.Amount)
	case charge:
		return fmt.Sprintf("%s of %s", kind, id)
	case a == nil:
		return "-"
	case d.Group:
		return fmt.Sprintf("outcomes %d to %d of %s on %s", d.First, d.Last, a.Model, a.Pool)
	}
	text := fmt.Sprintf("request %s, %s on %s", a.Request, a.Model, a.Pool)
	if a.Tier != "" {
		text += ", " + a.Tier
	}
	return text + fmt.Sprintf(", %d tokens", a.Tokens.Total())
}
