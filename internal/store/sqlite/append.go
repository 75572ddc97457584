package sqlite

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strconv"

	"github.com/accordo-ai/accordo/internal/ledger"
	"github.com/accordo-ai/accordo/internal/record"
	"github.com/accordo-ai/accordo/internal/settle"
)

// ErrReadOnly reports an append to books that were opened for reading.
var ErrReadOnly = errors.New("the books were opened for reading")

// Append writes a step in one transaction, after checking that it follows
// the stored head.
func (s *Store) Append(ctx context.Context, step *ledger.Step) error {
	if s.write == nil {
		return ErrReadOnly
	}
	if err := s.change(ctx, func(w *writer) error { return w.step(step) }); err != nil {
		return fmt.Errorf("store batch %d: %w", step.Batch.Sequence, err)
	}
	return nil
}

// change runs f in one transaction. Statements do not watch ctx: that costs a
// goroutine each.  It is looked at before the transaction and before the end.
func (s *Store) change(ctx context.Context, f func(w *writer) error) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	s.names.mu.Lock()
	defer s.names.mu.Unlock()
	w := writer{ctx: context.WithoutCancel(ctx), conn: s.conn, names: s.names, from: s.names.last, known: s.statements, kept: &s.kept}
	if w.exec("BEGIN IMMEDIATE"); w.err != nil {
		return w.err
	}
	err := w.know()
	if err == nil {
		err = errors.Join(f(&w), w.err)
	}
	if err == nil {
		err = ctx.Err()
	}
	if err == nil {
		w.exec("COMMIT")
		err = w.err
	}
	if err != nil {
		w.forget()
		_, _ = s.conn.ExecContext(w.ctx, "ROLLBACK") // fails where the engine has rolled back already
	}
	return err
}

// Gather writes what follows from the entries since the last gathering. Close
// does it, so that books at rest are whole.
func (s *Store) Gather(ctx context.Context) error {
	if s.write == nil {
		return ErrReadOnly
	}
	return s.change(ctx, func(w *writer) error {
		if w.kept.tail.batches > 0 {
			w.gather(w.kept.tail, w.kept.tail.last)
			w.kept.tail = newTail()
		}
		return w.err
	})
}

// kept is what a store remembers from one transaction to the next. After one
// that failed it is read again.
type kept struct {
	known bool
	last  int64 // batch of the books
	tail  *tail
	runs  []run
}

// executor is what a connection and a transaction have in common.
type executor interface {
	rowQuerier
	PrepareContext(ctx context.Context, query string) (*sql.Stmt, error)
}

// writer is one transaction. Its first error sticks and stops the rest.
type writer struct {
	ctx   context.Context
	conn  executor
	names *names
	from  int64 // names.last before the transaction
	fresh []string
	known map[string]*sql.Stmt // of the store, by text
	rows  bulk
	page  []byte
	*kept
	before func() error // each statement, nil in service
	err    error
}

// know reads what is not remembered, or was changed by somebody else.
func (w *writer) know() (err error) {
	var last int64
	w.query(func(r row) error { return r.Scan(&last) }, "SELECT coalesce(max(sequence), 0) FROM batch")
	if w.err != nil || w.kept.known && w.kept.last == last {
		return w.err
	}
	if w.tail, err = loadTail(w.ctx, w.conn); err != nil {
		return err
	}
	if w.runs, err = loadRuns(w.ctx, w.conn); err != nil {
		return err
	}
	w.kept.known, w.kept.last = true, last
	return nil
}

// forget takes back the names of a transaction that failed. What a failed
// commit wrote all the same is read again by the next one.
func (w *writer) forget() {
	for _, text := range w.fresh {
		delete(w.names.text, w.names.ids[text])
		delete(w.names.ids, text)
	}
	w.names.last = w.from
	*w.kept = kept{}
}

// maxStatements bounds the statements that a store keeps prepared.
const maxStatements = 256

func (w *writer) statement(query string) (*sql.Stmt, error) {
	s := w.known[query]
	if s == nil {
		if len(w.known) >= maxStatements {
			for text, old := range w.known {
				delete(w.known, text)
				_ = old.Close()
			}
		}
		var err error
		if s, err = w.conn.PrepareContext(w.ctx, query); err != nil {
			return nil, err
		}
		w.known[query] = s
	}
	return s, nil
}

func (w *writer) exec(query string, args ...any) {
	if w.err == nil && w.before != nil {
		w.err = w.before()
	}
	if w.err != nil {
		return
	}
	s, err := w.statement(query)
	if err == nil {
		_, err = s.ExecContext(w.ctx, args...)
	}
	w.err = err
}

// query runs a statement that gives rows.
func (w *writer) query(scan func(row) error, query string, args ...any) {
	if w.err != nil {
		return
	}
	w.err = each(w.ctx, again{w}, scan, query, args...)
}

// again is the connection of a writer whose questions stay prepared.
type again struct{ *writer }

// QueryContext asks with the statement that is kept for the text.
func (a again) QueryContext(ctx context.Context, query string, args ...any) (*sql.Rows, error) {
	s, err := a.statement(query)
	if err != nil {
		return nil, err
	}
	return s.QueryContext(ctx, args...)
}

// QueryRowContext asks for one row likewise.
func (a again) QueryRowContext(ctx context.Context, query string, args ...any) *sql.Row {
	s, err := a.statement(query)
	if err != nil {
		return a.conn.QueryRowContext(ctx, query, args...) // it will say what is wrong
	}
	return s.QueryRowContext(ctx, args...)
}

func (w *writer) step(s *ledger.Step) error {
	head, err := readHead(w.ctx, again{w})
	if err != nil {
		return err
	}
	if head.Batch+1 != s.Batch.Sequence || head.Hash != s.Batch.Prev || head.Last+1 != s.Batch.First {
		return fmt.Errorf("%w: they end with batch %d at record %d", settle.ErrHead, head.Batch, head.Last)
	}
	if err := w.names.load(w.ctx, again{w}); err != nil {
		return err
	}
	if err := w.batch(s); err != nil {
		return err
	}
	w.subjects(s)
	for _, v := range s.Opened {
		r := record.Record{Sequence: v.Sequence, At: v.At, Kind: record.KindIntent, Intent: v.Intent}
		w.exec("INSERT INTO open_intent (sequence, record) VALUES (?, ?)", int64(v.Sequence), record.Append(nil, &r))
	}
	for _, v := range s.Closed {
		w.exec("DELETE FROM open_intent WHERE sequence = ?", int64(v))
	}
	w.locate(s.Requests)
	if w.err == nil && w.tail.full() {
		w.gather(w.tail, int64(s.Batch.Sequence))
		w.tail = newTail()
	}
	w.last = int64(s.Batch.Sequence)
	return w.err
}

func (w *writer) batch(s *ledger.Step) error {
	b := &s.Batch
	unmatched, err := json.Marshal(slices.Concat([]uint64{}, b.Unmatched))
	if err != nil {
		return err
	}
	digest := []byte{}
	if b.Fact > 0 {
		digest = b.FactDigest[:]
	}
	w.exec("INSERT INTO batch (sequence, node, first, last, at, served, unserved, suspense, unmatched, terms, fact, fact_digest, prev, hash) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
		int64(b.Sequence), b.Node, int64(b.First), int64(b.Last), b.At, b.Served, b.Unserved, b.Suspense, string(unmatched), s.Head.Terms, int64(b.Fact), digest, b.Prev[:], b.Hash[:])
	for i := range b.Entries {
		e := &b.Entries[i]
		row := rowEntry{
			kind: int64(e.Kind), debit: w.name(string(e.Debit)), credit: w.name(string(e.Credit)), asset: w.name(string(e.Asset)),
			price: w.name(e.Price), contract: w.name(e.Contract), period: e.Period, amount: int64(e.Amount), remainder: e.Remainder,
			divisor: e.Divisor, lines: e.Lines, tokens: e.Tokens.Total(), since: e.From,
		}
		w.rows.values = append(w.rows.values, int64(b.Sequence), int64(i+1), row.kind, row.debit, row.credit, row.asset,
			row.price, row.contract, w.name(e.Terms), int64(e.Period), e.Ref, row.amount, e.Remainder, e.Divisor, e.Lines,
			e.Tokens.UncachedInput, e.Tokens.CacheRead, e.Tokens.CacheWrite, e.Tokens.Output, e.Tokens.Reasoning,
			int64(e.First), int64(e.Last), e.From, e.Until, e.Digest[:])
		w.tail.add(int64(b.Sequence), &row)
	}
	w.tail.saw(int64(b.Sequence))
	w.bulk("INSERT INTO entry ("+entryColumns+") VALUES ", entryFields, "", &w.rows)
	w.unanswered(s)
	return w.err
}

// unanswered keeps which suspense and which differences are open, as the
// ledger does.
func (w *writer) unanswered(s *ledger.Step) {
	closing := s.Fact != nil && s.Fact.DifferenceClosed != nil
	for i := range s.Batch.Entries {
		e := &s.Batch.Entries[i]
		key, closes := "", false
		switch e.Kind {
		case ledger.Suspense:
			key, closes = strconv.FormatUint(e.First, 10), e.Lines == 0
		case ledger.Difference:
			key, closes = e.Ref, closing
		default:
			continue
		}
		if closes {
			w.exec("DELETE FROM open_entry WHERE kind = ? AND key = ?", int(e.Kind), key)
			continue
		}
		w.exec("INSERT INTO open_entry (kind, key, batch, number) VALUES (?, ?, ?, ?) ON CONFLICT (kind, key) DO UPDATE SET batch = excluded.batch, number = excluded.number",
			int(e.Kind), key, int64(s.Batch.Sequence), i+1)
	}
}

// name returns the id of a text, adding it when it is new.
func (w *writer) name(text string) int64 {
	if id, ok := w.names.ids[text]; ok {
		return id
	}
	id := w.names.last + 1
	w.exec("INSERT INTO name (id, text) VALUES (?, ?)", id, text)
	if w.err == nil {
		w.names.ids[text], w.names.text[id], w.names.last = id, text, id
		w.fresh = append(w.fresh, text)
	}
	return id
}
