package sqlite

import (
	"cmp"
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"iter"
	"math"
	"slices"
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

// gathered is the batch up to which all that follows from entries is gathered.
const gathered = "coalesce((SELECT batch FROM rolled), 0)"

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
		differences, err := s.unansweredIn(ctx, tx, ledger.Difference)
		if err != nil {
			return err
		}
		if st.Drawn, err = drawn(ctx, tx); err != nil {
			return err
		}
		if st.Subjects, err = subjects(ctx, tx); err != nil {
			return err
		}
		slices.SortFunc(differences, func(a, b settle.Placed) int { return cmp.Compare(a.Ref, b.Ref) })
		for i := range differences {
			st.Differences = append(st.Differences, differences[i].Entry)
		}
		if st.Turns, err = s.turns(ctx, tx, st.Balances); err != nil {
			return err
		}
		if st.Due, err = s.due(ctx, tx); err != nil {
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

// turns returns the entries by which commitments were used up or opened again.
func (s *Store) turns(ctx context.Context, tx *sql.Tx, balances []ledger.Balance) (list []ledger.Entry, err error) {
	for i := range balances {
		if balances[i].Account.Kind() != "commit_turned" {
			continue
		}
		err := each(ctx, tx, func(r row) error {
			p, err := s.scanEntry(ctx, tx, r)
			list = append(list, p.Entry)
			return err
		}, "SELECT "+entryColumns+" FROM entry WHERE debit = (SELECT id FROM name WHERE text = ?) ORDER BY first", string(balances[i].Account))
		if err != nil {
			return nil, err
		}
	}
	return list, nil
}

// due returns the charges of contracts that are booked.
func (s *Store) due(ctx context.Context, tx *sql.Tx) ([]ledger.Due, error) {
	var entries []ledger.Entry
	for _, kind := range ledger.DueKinds() {
		sel := selected(settle.Query{Kind: kind})
		sel.limit = math.MaxInt
		list, err := s.find(ctx, tx, sel)
		if err != nil {
			return nil, err
		}
		for i := range list {
			entries = append(entries, list[i].Entry)
		}
	}
	return ledger.DueOf(entries), nil
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
	}, "SELECT n.text, period, amount FROM (SELECT account, period, sum(amount) AS amount FROM ("+
		"SELECT account, period, amount FROM period UNION ALL "+
		"SELECT debit, period, amount FROM entry WHERE batch > "+gathered+" UNION ALL "+
		"SELECT credit, period, -amount FROM entry WHERE batch > "+gathered+") GROUP BY account, period) "+
		"JOIN name n ON n.id = account "+where+"ORDER BY n.text, period", args...)
	return list, err
}

// suspended lists the outcomes whose suspense is open.
func suspended(ctx context.Context, tx *sql.Tx) (list []uint64, err error) {
	err = each(ctx, tx, func(r row) error {
		var outcome int64
		err := r.Scan(&outcome)
		list = append(list, uint64(outcome))
		return err
	}, "SELECT CAST(key AS INTEGER) FROM open_entry WHERE kind = ? ORDER BY 1", int(ledger.Suspense))
	return list, err
}

// Suspended returns the entries whose suspense is open, oldest first.
func (s *Store) Suspended(ctx context.Context) ([]settle.Placed, error) {
	return s.unanswered(ctx, ledger.Suspense)
}

// Differences returns the entries of open differences, oldest first.
func (s *Store) Differences(ctx context.Context) ([]settle.Placed, error) {
	return s.unanswered(ctx, ledger.Difference)
}

func (s *Store) unanswered(ctx context.Context, kind ledger.Kind) (list []settle.Placed, err error) {
	err = s.view(ctx, func(tx *sql.Tx) (err error) {
		list, err = s.unansweredIn(ctx, tx, kind)
		if err != nil {
			return err
		}
		return batchTimes(ctx, tx, list)
	})
	return list, err
}

func (s *Store) unansweredIn(ctx context.Context, tx *sql.Tx, kind ledger.Kind) (list []settle.Placed, err error) {
	err = each(ctx, tx, func(r row) error {
		p, err := s.scanEntry(ctx, tx, r)
		list = append(list, p)
		return err
	}, "SELECT "+entryColumns+" FROM entry WHERE (batch, number) IN (SELECT batch, number FROM open_entry WHERE kind = ?) ORDER BY batch, number", int(kind))
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
	}, "SELECT a.text, s.text, amount FROM (SELECT account, max(asset) AS asset, sum(amount) AS amount FROM ("+
		"SELECT account, asset, amount FROM balance UNION ALL "+
		"SELECT debit, asset, amount FROM entry WHERE batch > "+gathered+" UNION ALL "+
		"SELECT credit, asset, -amount FROM entry WHERE batch > "+gathered+") GROUP BY account) "+
		"JOIN name a ON a.id = account JOIN name s ON s.id = asset ORDER BY a.text")
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
	}, "SELECT d.text, c.text, coalesce(p.text, ''), divisor, remainder FROM ("+
		// With max() the other columns are those of the row that has it: the last entry's.
		"SELECT debit, credit, price, divisor, remainder, max(place) FROM ("+
		"SELECT debit, credit, price, divisor, remainder, 0 AS place FROM carry UNION ALL "+
		"SELECT debit, credit, price, divisor, remainder, batch * 16777216 + number FROM entry WHERE divisor > 1 AND batch > "+gathered+
		") GROUP BY debit, credit, price, divisor) JOIN name d ON d.id = debit JOIN name c ON c.id = credit LEFT JOIN name p ON p.id = price ORDER BY 1, 2, 3, 4")
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
