package sqlite

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"iter"
	"strings"

	"github.com/accordo-ai/accordo/internal/ledger"
	"github.com/accordo-ai/accordo/internal/money"
	"github.com/accordo-ai/accordo/internal/record"
	"github.com/accordo-ai/accordo/internal/settle"
)

const (
	entryColumns = "batch, number, kind, debit, credit, asset, price, contract, terms, period, ref, amount, remainder, divisor, lines, " +
		"uncached_input, cache_read, cache_write, output, reasoning, first, last, since, until, digest"
	entryFields  = 25
	batchColumns = "sequence, node, first, last, at, served, unserved, suspense, unmatched, fact, fact_digest, prev, hash"
)

// row is what a query of one row and of many have in common.
type row interface{ Scan(dest ...any) error }

type rowQuerier interface {
	querier
	QueryRowContext(ctx context.Context, query string, args ...any) *sql.Row
}

func readHead(ctx context.Context, q rowQuerier) (h ledger.Head, err error) {
	var batch, last, facts int64
	var hash []byte
	err = q.QueryRowContext(ctx, "SELECT node, sequence, last, at, hash, terms, coalesce((SELECT max(fact) FROM batch WHERE fact > 0), 0) FROM batch ORDER BY sequence DESC LIMIT 1").
		Scan(&h.Node, &batch, &last, &h.At, &hash, &h.Terms, &facts)
	if errors.Is(err, sql.ErrNoRows) {
		return ledger.Head{}, nil
	}
	h.Batch, h.Last, h.Facts = uint64(batch), uint64(last), uint64(facts)
	copy(h.Hash[:], hash)
	return h, err
}

// view runs f on one snapshot of the books.
func (s *Store) view(ctx context.Context, f func(tx *sql.Tx) error) error {
	tx, err := s.read.BeginTx(ctx, nil)
	if err != nil {
		return fmt.Errorf("read the books at %s: %w", s.path, err)
	}
	defer tx.Rollback() //nolint:errcheck // nothing was written
	if err := f(tx); err != nil {
		if errors.Is(err, settle.ErrNotFound) {
			return err
		}
		return fmt.Errorf("read the books at %s: %w", s.path, err)
	}
	return nil
}

// Head says how far the books are.
func (s *Store) Head(ctx context.Context) (h ledger.Head, err error) {
	err = s.view(ctx, func(tx *sql.Tx) (err error) {
		h, err = readHead(ctx, tx)
		return err
	})
	return h, err
}

// State reads all that a book needs to go on from one snapshot.
func (s *Store) State(ctx context.Context) (st ledger.State, err error) {
	err = s.view(ctx, func(tx *sql.Tx) (err error) {
		if st.Head, err = readHead(ctx, tx); err != nil {
			return err
		}
		if st.Balances, err = s.balances(ctx, tx); err != nil {
			return err
		}
		if st.Periods, err = periods(ctx, tx, ""); err != nil {
			return err
		}
		if st.Suspended, err = suspended(ctx, tx); err != nil {
			return err
		}
		err = each(ctx, tx, func(r row) error {
			p, err := s.scanEntry(ctx, tx, r)
			st.Differences = append(st.Differences, p.Entry)
			return err
		}, "SELECT "+entryColumns+" FROM entry WHERE "+openDifference+" ORDER BY ref")
		if err != nil {
			return err
		}
		if st.Subjects, err = subjects(ctx, tx); err != nil {
			return err
		}
		if st.Carries, err = s.carries(ctx, tx); err != nil {
			return err
		}
		st.Open, err = openIntents(ctx, tx)
		return err
	})
	return st, err
}

// Balances returns all accounts by path.
func (s *Store) Balances(ctx context.Context) (list []ledger.Balance, err error) {
	err = s.view(ctx, func(tx *sql.Tx) (err error) {
		list, err = s.balances(ctx, tx)
		return err
	})
	return list, err
}

// Periods returns what each month did to the accounts below a path that ends
// in "/", or to all for "".
func (s *Store) Periods(ctx context.Context, below string) (list []ledger.PeriodBalance, err error) {
	err = s.view(ctx, func(tx *sql.Tx) (err error) {
		list, err = periods(ctx, tx, below)
		return err
	})
	return list, err
}

func periods(ctx context.Context, tx *sql.Tx, below string) (list []ledger.PeriodBalance, err error) {
	where, args := "", []any{}
	if below != "" {
		// '0' follows '/' in ASCII: the range holds every path below.
		where, args = "WHERE n.text >= ? AND n.text < ? ", []any{below, strings.TrimSuffix(below, "/") + "0"}
	}
	err = each(ctx, tx, func(r row) error {
		var b ledger.PeriodBalance
		var amount int64
		if err := r.Scan(&b.Account, &b.Period, &amount); err != nil {
			return err
		}
		b.Amount = money.Amount(amount)
		list = append(list, b)
		return nil
	}, "SELECT n.text, period, amount FROM period JOIN name n ON n.id = account "+where+"ORDER BY n.text, period", args...)
	return list, err
}

// BalanceAt sums the entries of an account that began up to an instant.
func (s *Store) BalanceAt(ctx context.Context, account ledger.AccountID, at int64) (sum money.Amount, err error) {
	err = s.view(ctx, func(tx *sql.Tx) error {
		var n int64
		err := tx.QueryRowContext(ctx, "SELECT coalesce((SELECT sum(amount) FROM entry WHERE debit = n.id AND since <= ?), 0) - "+
			"coalesce((SELECT sum(amount) FROM entry WHERE credit = n.id AND since <= ?), 0) FROM name n WHERE n.text = ?", at, at, string(account)).Scan(&n)
		if errors.Is(err, sql.ErrNoRows) {
			return nil
		}
		sum = money.Amount(n)
		return err
	})
	return sum, err
}

// Movements sums the entries of an account in a month.
func (s *Store) Movements(ctx context.Context, account ledger.AccountID, month int32) (list []settle.Movement, err error) {
	const half = "SELECT kind, %s AS contra, contract, price, count(*) AS entries, sum(lines) AS lines, " +
		"sum(uncached_input + cache_read + cache_write + output + reasoning) AS tokens, min(batch) AS low, max(batch) AS high, sum(%s) AS amount " +
		"FROM entry WHERE %s = (SELECT id FROM name WHERE text = ?) AND period = ? GROUP BY 1, 2, 3, 4"
	query := "SELECT kind, c.text, coalesce(k.text, ''), coalesce(p.text, ''), entries, lines, tokens, low, high, amount FROM (" +
		fmt.Sprintf(half, "credit", "amount", "debit") + " UNION ALL " + fmt.Sprintf(half, "debit", "-amount", "credit") +
		") JOIN name c ON c.id = contra LEFT JOIN name k ON k.id = contract LEFT JOIN name p ON p.id = price ORDER BY 1, 2, 3, 4, low"
	err = s.view(ctx, func(tx *sql.Tx) error {
		return each(ctx, tx, func(r row) error {
			var m settle.Movement
			var kind, low, high, amount int64
			err := r.Scan(&kind, &m.Contra, &m.Contract, &m.Price, &m.Entries, &m.Lines, &m.Tokens, &low, &high, &amount)
			m.Kind, m.First, m.Last, m.Amount = ledger.Kind(kind), uint64(low), uint64(high), money.Amount(amount)
			list = append(list, m)
			return err
		}, query, string(account), month, string(account), month)
	})
	return list, err
}

// suspended lists the outcomes whose suspense is open: a fact that closes it
// posts a second entry for the same outcome.
func suspended(ctx context.Context, tx *sql.Tx) (list []uint64, err error) {
	err = each(ctx, tx, func(r row) error {
		var outcome int64
		err := r.Scan(&outcome)
		list = append(list, uint64(outcome))
		return err
	}, "SELECT first FROM entry WHERE kind = 7 GROUP BY first HAVING count(*) = 1 ORDER BY first")
	return list, err
}

// Suspended returns the entries whose suspense is open, oldest first.
func (s *Store) Suspended(ctx context.Context) ([]settle.Placed, error) {
	return s.unanswered(ctx, "kind = 7 AND first IN (SELECT first FROM entry WHERE kind = 7 GROUP BY first HAVING count(*) = 1)")
}

// Differences returns the entries of open differences, oldest first.
func (s *Store) Differences(ctx context.Context) ([]settle.Placed, error) {
	return s.unanswered(ctx, openDifference)
}

// openDifference holds for the entry of a difference that no fact has closed:
// closing posts a second entry with its id.
const openDifference = "kind = 10 AND ref IN (SELECT ref FROM entry WHERE kind = 10 GROUP BY ref HAVING count(*) = 1)"

func (s *Store) unanswered(ctx context.Context, where string) (list []settle.Placed, err error) {
	err = s.view(ctx, func(tx *sql.Tx) error {
		err := each(ctx, tx, func(r row) error {
			p, err := s.scanEntry(ctx, tx, r)
			list = append(list, p)
			return err
		}, "SELECT "+entryColumns+" FROM entry WHERE "+where+" ORDER BY batch, number")
		if err != nil {
			return err
		}
		return batchTimes(ctx, tx, list)
	})
	return list, err
}

// Open returns the posted intents that wait for their outcome.
func (s *Store) Open(ctx context.Context) (list []ledger.OpenIntent, err error) {
	err = s.view(ctx, func(tx *sql.Tx) (err error) {
		list, err = openIntents(ctx, tx)
		return err
	})
	return list, err
}

func each(ctx context.Context, q querier, scan func(row) error, query string, args ...any) error {
	rows, err := q.QueryContext(ctx, query, args...)
	if err != nil {
		return err
	}
	defer rows.Close()
	for rows.Next() {
		if err := scan(rows); err != nil {
			return err
		}
	}
	return rows.Err()
}

func (s *Store) balances(ctx context.Context, tx *sql.Tx) (list []ledger.Balance, err error) {
	err = each(ctx, tx, func(r row) error {
		var b ledger.Balance
		var amount int64
		if err := r.Scan(&b.Account, &b.Asset, &amount); err != nil {
			return err
		}
		b.Amount = money.Amount(amount)
		list = append(list, b)
		return nil
	}, "SELECT a.text, s.text, amount FROM balance JOIN name a ON a.id = account JOIN name s ON s.id = asset ORDER BY a.text")
	return list, err
}

func (s *Store) carries(ctx context.Context, tx *sql.Tx) (list []ledger.Carry, err error) {
	err = each(ctx, tx, func(r row) error {
		var c ledger.Carry
		if err := r.Scan(&c.Debit, &c.Credit, &c.Price, &c.Divisor, &c.Remainder); err != nil {
			return err
		}
		list = append(list, c)
		return nil
	}, "SELECT d.text, c.text, coalesce(p.text, ''), divisor, remainder FROM carry JOIN name d ON d.id = debit JOIN name c ON c.id = credit LEFT JOIN name p ON p.id = price ORDER BY 1, 2, 3, 4")
	return list, err
}

func openIntents(ctx context.Context, tx *sql.Tx) (list []ledger.OpenIntent, err error) {
	err = each(ctx, tx, func(r row) error {
		var bytes []byte
		if err := r.Scan(&bytes); err != nil {
			return err
		}
		rec, err := record.Decode(bytes)
		if err != nil {
			return fmt.Errorf("an open intent: %w", err)
		}
		list = append(list, ledger.OpenIntent{Sequence: rec.Sequence, At: rec.At, Intent: rec.Intent})
		return nil
	}, "SELECT record FROM open_intent ORDER BY sequence")
	return list, err
}

// Batch returns one batch with its entries.
func (s *Store) Batch(ctx context.Context, sequence uint64) (b ledger.Batch, err error) {
	err = s.view(ctx, func(tx *sql.Tx) (err error) {
		b, err = scanBatch(tx.QueryRowContext(ctx, "SELECT "+batchColumns+" FROM batch WHERE sequence = ?", int64(sequence)))
		if errors.Is(err, sql.ErrNoRows) {
			return fmt.Errorf("batch %d: %w", sequence, settle.ErrNotFound)
		}
		if err != nil {
			return err
		}
		return each(ctx, tx, func(r row) error {
			p, err := s.scanEntry(ctx, tx, r)
			b.Entries = append(b.Entries, p.Entry)
			return err
		}, "SELECT "+entryColumns+" FROM entry WHERE batch = ? ORDER BY number", int64(sequence))
	})
	return b, err
}

// Batches yields batches from a sequence number on, until there is none. Each
// is read on a snapshot of its own.
func (s *Store) Batches(ctx context.Context, from uint64) iter.Seq2[ledger.Batch, error] {
	return func(yield func(ledger.Batch, error) bool) {
		for n := max(from, 1); ; n++ {
			b, err := s.Batch(ctx, n)
			if errors.Is(err, settle.ErrNotFound) {
				return
			}
			if !yield(b, err) || err != nil {
				return
			}
		}
	}
}

// BatchOf returns the number of the batch that holds a record.
func (s *Store) BatchOf(ctx context.Context, rec uint64) (n uint64, err error) {
	err = s.view(ctx, func(tx *sql.Tx) error {
		var sequence, first int64
		err := tx.QueryRowContext(ctx, "SELECT sequence, first FROM batch WHERE last >= ? AND fact = 0 ORDER BY last LIMIT 1", int64(rec)).Scan(&sequence, &first)
		if errors.Is(err, sql.ErrNoRows) || err == nil && uint64(first) > rec {
			return fmt.Errorf("record %d: %w", rec, settle.ErrNotFound)
		}
		n = uint64(sequence)
		return err
	})
	return n, err
}

func scanBatch(r row) (b ledger.Batch, err error) {
	var sequence, first, last, fact int64
	var unmatched string
	var digest, prev, hash []byte
	if err := r.Scan(&sequence, &b.Node, &first, &last, &b.At, &b.Served, &b.Unserved, &b.Suspense, &unmatched, &fact, &digest, &prev, &hash); err != nil {
		return b, err
	}
	b.Sequence, b.First, b.Last, b.Fact = uint64(sequence), uint64(first), uint64(last), uint64(fact)
	copy(b.FactDigest[:], digest)
	copy(b.Prev[:], prev)
	copy(b.Hash[:], hash)
	if err := json.Unmarshal([]byte(unmatched), &b.Unmatched); err != nil {
		return b, fmt.Errorf("batch %d: %w", sequence, err)
	}
	if len(b.Unmatched) == 0 {
		b.Unmatched = nil
	}
	return b, nil
}

func (s *Store) scanEntry(ctx context.Context, q querier, r row) (p settle.Placed, err error) {
	var batch, kind, amount, first, last int64
	var ids [6]int64
	var digest []byte
	t := &p.Tokens
	err = r.Scan(&batch, &p.Number, &kind, &ids[0], &ids[1], &ids[2], &ids[3], &ids[4], &ids[5], &p.Period, &p.Ref, &amount, &p.Remainder, &p.Divisor, &p.Lines,
		&t.UncachedInput, &t.CacheRead, &t.CacheWrite, &t.Output, &t.Reasoning, &first, &last, &p.From, &p.Until, &digest)
	if err != nil {
		return p, err
	}
	var text [6]string
	for i, id := range ids {
		if text[i], err = s.known.lookup(ctx, q, id); err != nil {
			return p, err
		}
	}
	p.Debit, p.Credit, p.Asset = ledger.AccountID(text[0]), ledger.AccountID(text[1]), ledger.Asset(text[2])
	p.Price, p.Contract, p.Terms = text[3], text[4], text[5]
	p.Batch, p.Kind, p.Amount, p.First, p.Last = uint64(batch), ledger.Kind(kind), money.Amount(amount), uint64(first), uint64(last)
	copy(p.Digest[:], digest)
	return p, nil
}

// Entries returns the entries that match, in order of posting.
func (s *Store) Entries(ctx context.Context, q settle.Query) (list []settle.Placed, err error) {
	err = s.view(ctx, func(tx *sql.Tx) error {
		where, args := conditions(q)
		order := "batch, number"
		if q.Newest {
			order = "batch DESC, number DESC"
		}
		limit := settle.MaxEntries
		if q.Limit > 0 {
			limit = min(q.Limit, limit)
		}
		err := each(ctx, tx, func(r row) error {
			p, err := s.scanEntry(ctx, tx, r)
			list = append(list, p)
			return err
		}, "SELECT "+entryColumns+" FROM entry WHERE "+where+" ORDER BY "+order+" LIMIT ?", append(args, limit)...)
		if err != nil {
			return err
		}
		return batchTimes(ctx, tx, list)
	})
	return list, err
}

func conditions(q settle.Query) (string, []any) {
	where, args := []string{"1"}, []any{}
	add := func(cond string, values ...any) {
		where, args = append(where, cond), append(args, values...)
	}
	for _, account := range []ledger.AccountID{q.Account, q.Other} {
		if account == "" {
			continue
		}
		ids, from, until := "SELECT id FROM name WHERE text = ?", string(account), ""
		if strings.HasSuffix(from, "/") {
			// '0' follows '/' in ASCII: the range holds every path below.
			ids, until = "SELECT id FROM name WHERE text >= ? AND text < ?", strings.TrimSuffix(from, "/")+"0"
		}
		bounds := []any{from}
		if until != "" {
			bounds = append(bounds, until)
		}
		add("(debit IN ("+ids+") OR credit IN ("+ids+"))", append(bounds, bounds...)...)
	}
	if q.Contract != "" {
		add("contract > 0 AND contract = (SELECT id FROM name WHERE text = ?)", q.Contract)
	}
	switch q.Kind {
	case 0:
	case ledger.Suspense:
		add("kind = 7")
	default:
		add("kind = ?", int(q.Kind))
	}
	if q.Batch != 0 {
		add("batch = ?", int64(q.Batch))
	}
	if q.Fact != 0 {
		add("batch IN (SELECT sequence FROM batch WHERE fact > 0 AND fact = ?)", int64(q.Fact))
	}
	if q.Price != "" {
		add("price = (SELECT id FROM name WHERE text = ?)", q.Price)
	}
	if q.Period != 0 {
		add("period = ?", q.Period)
	}
	if q.Before != (settle.Place{}) {
		add("(batch, number) < (?, ?)", int64(q.Before.Batch), q.Before.Number)
	}
	if q.From != 0 {
		add("batch >= coalesce((SELECT min(sequence) FROM batch WHERE at >= ?), 9223372036854775807)", q.From)
	}
	if q.Until != 0 {
		add("batch <= coalesce((SELECT max(sequence) FROM batch WHERE at < ?), 0)", q.Until)
	}
	return strings.Join(where, " AND "), args
}

func batchTimes(ctx context.Context, tx *sql.Tx, list []settle.Placed) error {
	at, fact := map[uint64]int64{}, map[uint64]uint64{}
	for i := range list {
		n := list[i].Batch
		if _, ok := at[n]; !ok {
			var v, f int64
			if err := tx.QueryRowContext(ctx, "SELECT at, fact FROM batch WHERE sequence = ?", int64(n)).Scan(&v, &f); err != nil {
				return err
			}
			at[n], fact[n] = v, uint64(f)
		}
		list[i].At, list[i].Fact = at[n], fact[n]
	}
	return nil
}

// MaxLocated bounds how many places one request may stand in.
const MaxLocated = 1000

// Find returns where a request may stand in the journal, newest first.
func (s *Store) Find(ctx context.Context, request string) (list []ledger.Located, err error) {
	err = s.view(ctx, func(tx *sql.Tx) error {
		return each(ctx, tx, func(r row) error {
			var intent, outcome int64
			if err := r.Scan(&intent, &outcome); err != nil {
				return err
			}
			list = append(list, ledger.Located{Request: request, Intent: uint64(intent), Outcome: uint64(outcome)})
			return nil
		}, "SELECT intent, outcome FROM request WHERE hash = ? ORDER BY intent DESC LIMIT ?", requestHash(request), MaxLocated)
	})
	return list, err
}
