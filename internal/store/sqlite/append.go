package sqlite

import (
	"context"
	"crypto/sha256"
	"database/sql"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"

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
	tx, err := s.write.BeginTx(ctx, nil)
	if err != nil {
		return fmt.Errorf("store batch %d: %w", step.Batch.Sequence, err)
	}
	s.names.mu.Lock()
	defer s.names.mu.Unlock()
	w := writer{ctx: ctx, tx: tx, names: s.names, from: s.names.last, known: map[string]*sql.Stmt{}}
	if err := errors.Join(w.step(step), w.err); err != nil {
		w.forget()
		return errors.Join(fmt.Errorf("store batch %d: %w", step.Batch.Sequence, err), ignoreDone(tx.Rollback()))
	}
	if err := tx.Commit(); err != nil {
		w.forget()
		return fmt.Errorf("store batch %d: %w", step.Batch.Sequence, err)
	}
	return nil
}

func ignoreDone(err error) error {
	if errors.Is(err, sql.ErrTxDone) {
		return nil
	}
	return err
}

// writer is one transaction. Its first error sticks and stops the rest.
type writer struct {
	ctx   context.Context
	tx    *sql.Tx
	names *names
	from  int64 // names.last before the transaction
	fresh []string
	known map[string]*sql.Stmt // of the transaction, which closes them
	err   error
}

// forget takes back the names of a transaction that failed. What a failed
// commit wrote all the same is read again by the next one.
func (w *writer) forget() {
	for _, text := range w.fresh {
		delete(w.names.text, w.names.ids[text])
		delete(w.names.ids, text)
	}
	w.names.last = w.from
}

func (w *writer) exec(query string, args ...any) {
	if w.err != nil {
		return
	}
	s := w.known[query]
	if s == nil {
		if s, w.err = w.tx.PrepareContext(w.ctx, query); w.err != nil {
			return
		}
		w.known[query] = s
	}
	_, w.err = s.ExecContext(w.ctx, args...)
}

func (w *writer) step(s *ledger.Step) error {
	head, err := readHead(w.ctx, w.tx)
	if err != nil {
		return err
	}
	if head.Batch+1 != s.Batch.Sequence || head.Hash != s.Batch.Prev || head.Last+1 != s.Batch.First {
		return fmt.Errorf("%w: they end with batch %d at record %d", settle.ErrHead, head.Batch, head.Last)
	}
	if err := w.names.load(w.ctx, w.tx); err != nil {
		return err
	}
	if err := w.batch(&s.Batch, s.Head.Terms); err != nil {
		return err
	}
	for _, v := range s.Balances {
		w.exec("INSERT INTO balance (account, asset, amount) VALUES (?, ?, ?) ON CONFLICT (account) DO UPDATE SET amount = excluded.amount",
			w.name(string(v.Account)), w.name(string(v.Asset)), int64(v.Amount))
	}
	for _, v := range s.Periods {
		w.exec("INSERT INTO period (account, period, amount) VALUES (?, ?, ?) ON CONFLICT (account, period) DO UPDATE SET amount = excluded.amount",
			w.name(string(v.Account)), v.Period, int64(v.Amount))
	}
	for _, v := range s.Carries {
		w.exec("INSERT INTO carry (debit, credit, price, divisor, remainder) VALUES (?, ?, ?, ?, ?) ON CONFLICT (debit, credit, price, divisor) DO UPDATE SET remainder = excluded.remainder",
			w.name(string(v.Debit)), w.name(string(v.Credit)), w.name(v.Price), v.Divisor, v.Remainder)
	}
	for _, v := range s.Subjects {
		w.exec("INSERT INTO subject (subject, period, granted, used) VALUES (?, ?, ?, ?) ON CONFLICT (period, subject) DO UPDATE SET granted = excluded.granted, used = excluded.used",
			v.Subject[:], v.Period, v.Granted, v.Used)
	}
	if f := s.Fact; f != nil && f.MonthClosed != nil {
		w.exec("DELETE FROM subject WHERE period <= ?", f.MonthClosed.Month)
	}
	for _, v := range s.Lefts {
		w.exec("INSERT INTO parted (outcome, remain) VALUES (?, ?)", int64(v.Outcome), v.Left)
	}
	for _, v := range s.Opened {
		r := record.Record{Sequence: v.Sequence, At: v.At, Kind: record.KindIntent, Intent: v.Intent}
		w.exec("INSERT INTO open_intent (sequence, record) VALUES (?, ?)", int64(v.Sequence), record.Append(nil, &r))
	}
	for _, v := range s.Closed {
		w.exec("DELETE FROM open_intent WHERE sequence = ?", int64(v))
	}
	w.requests(s.Requests)
	return w.err
}

func (w *writer) batch(b *ledger.Batch, terms string) error {
	unmatched, err := json.Marshal(slices.Concat([]uint64{}, b.Unmatched))
	if err != nil {
		return err
	}
	digest := []byte{}
	if b.Fact > 0 {
		digest = b.FactDigest[:]
	}
	w.exec("INSERT INTO batch (sequence, node, first, last, at, served, unserved, suspense, unmatched, terms, fact, fact_digest, prev, hash) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
		int64(b.Sequence), b.Node, int64(b.First), int64(b.Last), b.At, b.Served, b.Unserved, b.Suspense, string(unmatched), terms, int64(b.Fact), digest, b.Prev[:], b.Hash[:])
	if w.err != nil || len(b.Entries) == 0 {
		return w.err
	}
	insert, err := w.tx.PrepareContext(w.ctx, "INSERT INTO entry ("+entryColumns+") VALUES (?"+strings.Repeat(", ?", entryFields-1)+")")
	if err != nil {
		return err
	}
	defer insert.Close()
	for i := range b.Entries {
		e := &b.Entries[i]
		_, err := insert.ExecContext(w.ctx, int64(b.Sequence), i+1, int(e.Kind), w.name(string(e.Debit)), w.name(string(e.Credit)), w.name(string(e.Asset)),
			w.name(e.Price), w.name(e.Contract), w.name(e.Terms), e.Period, e.Ref, int64(e.Amount), e.Remainder, e.Divisor, e.Lines,
			e.Tokens.UncachedInput, e.Tokens.CacheRead, e.Tokens.CacheWrite, e.Tokens.Output, e.Tokens.Reasoning,
			int64(e.First), int64(e.Last), e.From, e.Until, e.Digest[:])
		if err != nil {
			return err
		}
	}
	return w.err
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

// requestRows is how many requests one statement inserts.
const requestRows = 128

// requests writes the index of requests in the order of its key, which keeps
// the writes of one batch to few pages.
func (w *writer) requests(list []ledger.Located) {
	type row struct{ hash, intent, outcome int64 }
	rows := make([]row, len(list))
	for i, l := range list {
		rows[i] = row{requestHash(l.Request), int64(l.Intent), int64(l.Outcome)}
	}
	slices.SortFunc(rows, func(a, b row) int {
		switch {
		case a.hash != b.hash && a.hash < b.hash:
			return -1
		case a.hash != b.hash:
			return 1
		}
		return int(a.intent - b.intent)
	})
	const one = "(?, ?, ?)"
	args := make([]any, 0, 3*requestRows)
	for chunk := range slices.Chunk(rows, requestRows) {
		args = args[:0]
		for _, r := range chunk {
			args = append(args, r.hash, r.intent, r.outcome)
		}
		w.exec("INSERT OR IGNORE INTO request (hash, intent, outcome) VALUES "+one+strings.Repeat(", "+one, len(chunk)-1), args...)
	}
}

func requestHash(request string) int64 {
	sum := sha256.Sum256([]byte(request))
	return int64(binary.BigEndian.Uint64(sum[:8]))
}
