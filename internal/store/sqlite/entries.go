package sqlite

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"math/bits"
	"strconv"
	"strings"
	"time"

	"github.com/accordo-ai/accordo/internal/ledger"
	"github.com/accordo-ai/accordo/internal/money"
	"github.com/accordo-ai/accordo/internal/settle"
)

// selection is a query in terms of the file: the batches that may hold what
// it asks for, by what they touch, and the condition on an entry.
type selection struct {
	where   []string
	args    []any
	touches []touched
	low     int64 // batches
	high    int64
	newest  bool
	limit   int
}

// touched is one thing that the batches of a selection touch: ids selects the
// ids of its texts or is one number.
type touched struct {
	what int
	ids  string
	args []any
}

func (s *selection) add(cond string, args ...any) {
	s.where, s.args = append(s.where, cond), append(s.args, args...)
}

// named selects the id of a text; below a path that ends in "/" all ids.
func named(text string) (ids string, args []any) {
	if strings.HasSuffix(text, "/") {
		// '0' follows '/' in ASCII: the range holds every path below.
		return "(SELECT id FROM name WHERE text >= ? AND text < ?)", []any{text, strings.TrimSuffix(text, "/") + "0"}
	}
	return "(SELECT id FROM name WHERE text = ?)", []any{text}
}

func (s *selection) touch(what int, ids string, args ...any) {
	s.touches = append(s.touches, touched{what, ids, args})
}

// selected translates a query.
func selected(q settle.Query) *selection {
	s := &selection{low: 1, high: 1 << 62, newest: q.Newest, limit: settle.MaxEntries}
	if q.Limit > 0 {
		s.limit = min(q.Limit, s.limit)
	}
	for _, account := range []ledger.AccountID{q.Account, q.Other} {
		if account != "" {
			ids, args := named(string(account))
			s.add("(debit IN "+ids+" OR credit IN "+ids+")", append(args[:len(args):len(args)], args...)...)
			s.touch(touchAccount, ids, args...)
		}
	}
	if q.Contract != "" {
		s.add("contract = (SELECT id FROM name WHERE text = ?)", q.Contract)
		s.touch(touchContract, "(SELECT id FROM name WHERE text = ?)", q.Contract)
	}
	if q.Price != "" {
		s.add("price = (SELECT id FROM name WHERE text = ?)", q.Price)
		s.touch(touchPrice, "(SELECT id FROM name WHERE text = ?)", q.Price)
	}
	if q.Kind != 0 {
		s.add("kind = ?", int(q.Kind))
		s.touch(touchKind, "(?)", int(q.Kind))
	}
	if q.Period != 0 {
		s.add("period = ?", q.Period)
		s.touch(touchPeriod, "(?)", q.Period)
	}
	if q.Before != (settle.Place{}) {
		s.add("(batch, number) < (?, ?)", int64(q.Before.Batch), q.Before.Number)
		s.high = int64(q.Before.Batch)
	}
	return s
}

// bounds narrows the batches by what the query says of them.
func (s *selection) bounds(ctx context.Context, tx *sql.Tx, q settle.Query) error {
	if q.Batch != 0 {
		s.low, s.high = max(s.low, int64(q.Batch)), min(s.high, int64(q.Batch))
	}
	for _, b := range []struct {
		asked      bool
		query      string
		value      int64
		low, above bool
	}{
		{q.Fact != 0, "SELECT coalesce(min(sequence), 9223372036854775807) FROM batch WHERE fact > 0 AND fact = ?", int64(q.Fact), true, true},
		{q.Fact != 0, "SELECT coalesce(max(sequence), 0) FROM batch WHERE fact > 0 AND fact = ?", int64(q.Fact), false, true},
		{q.From != 0, "SELECT coalesce(min(sequence), 9223372036854775807) FROM batch WHERE at >= ?", q.From, true, true},
		{q.Until != 0, "SELECT coalesce(max(sequence), 0) FROM batch WHERE at < ?", q.Until, false, true},
	} {
		if !b.asked {
			continue
		}
		var n int64
		if err := tx.QueryRowContext(ctx, b.query, b.value).Scan(&n); err != nil {
			return err
		}
		if b.low {
			s.low = max(s.low, n)
		} else {
			s.high = min(s.high, n)
		}
	}
	return nil
}

// Entries returns the entries that match, in order of posting.
func (s *Store) Entries(ctx context.Context, q settle.Query) (list []settle.Placed, err error) {
	err = s.view(ctx, func(tx *sql.Tx) error {
		sel := selected(q)
		if err := sel.bounds(ctx, tx, q); err != nil {
			return err
		}
		if list, err = s.find(ctx, tx, sel); err != nil {
			return err
		}
		return batchTimes(ctx, tx, list)
	})
	return list, err
}

// find reads the entries of a selection: those behind the last gathering one
// after the other, the others batch by batch where something touched them.
func (s *Store) find(ctx context.Context, tx *sql.Tx, sel *selection) (list []settle.Placed, err error) {
	rolled, err := rolledUpTo(ctx, tx)
	if err != nil {
		return nil, err
	}
	if len(sel.touches) == 0 {
		rolled = 0
	}
	behind := func() error {
		return s.take(ctx, tx, sel, &list, "batch BETWEEN "+strconv.FormatInt(max(sel.low, rolled+1), 10)+" AND "+strconv.FormatInt(sel.high, 10))
	}
	if sel.newest {
		if err := behind(); err != nil {
			return nil, err
		}
	}
	if rolled > 0 && sel.low <= rolled {
		if err := s.gatheredEntries(ctx, tx, sel, min(sel.high, rolled), &list); err != nil {
			return nil, err
		}
	}
	if !sel.newest {
		err = behind()
	}
	return list, err
}

// windowChunks is how many chunks of batches a selection looks at first; the
// next windows are wider.
const windowChunks = 16

func (s *Store) gatheredEntries(ctx context.Context, tx *sql.Tx, sel *selection, high int64, list *[]settle.Placed) error {
	first, last := sel.low>>6, high>>6
	for wide := int64(windowChunks); first <= last && len(*list) < sel.limit; wide *= 4 {
		from, to := first, min(last, first+wide-1)
		if sel.newest {
			from, to = max(first, last-wide+1), last
		}
		chunks, err := sel.chunks(ctx, tx, from, to)
		if err != nil {
			return err
		}
		for i := range to - from + 1 {
			chunk := from + i
			if sel.newest {
				chunk = to - i
			}
			batches := numbersIn(chunk, chunks[chunk], sel.low, high)
			if batches == "" {
				continue
			}
			if err := s.take(ctx, tx, sel, list, "batch IN ("+batches+")"); err != nil || len(*list) >= sel.limit {
				return err
			}
		}
		if sel.newest {
			last = from - 1
		} else {
			first = to + 1
		}
	}
	return nil
}

// numbersIn lists the batches of a chunk whose bits are set.
func numbersIn(chunk int64, set uint64, low, high int64) string {
	var b []byte
	for ; set != 0; set &= set - 1 {
		n := chunk<<6 + int64(bits.TrailingZeros64(set))
		if n < low || n > high {
			continue
		}
		if len(b) > 0 {
			b = append(b, ',')
		}
		b = strconv.AppendInt(b, n, 10)
	}
	return string(b)
}

// chunks returns the batches that everything of the selection touches.
func (s *selection) chunks(ctx context.Context, tx *sql.Tx, from, to int64) (map[int64]uint64, error) {
	var all map[int64]uint64
	for _, t := range s.touches {
		some := map[int64]uint64{}
		args := append([]any{t.what}, append(t.args, from, to)...)
		err := each(ctx, tx, func(r row) error {
			var chunk, batches int64
			err := r.Scan(&chunk, &batches)
			some[chunk] |= uint64(batches)
			return err
		}, "SELECT chunk, batches FROM touch WHERE what = ? AND id IN "+t.ids+" AND chunk BETWEEN ? AND ?", args...)
		if err != nil {
			return nil, err
		}
		if all == nil {
			all = some
			continue
		}
		for chunk := range all {
			all[chunk] &= some[chunk]
		}
	}
	return all, nil
}

// take adds the entries of some batches that match, up to the limit.
func (s *Store) take(ctx context.Context, tx *sql.Tx, sel *selection, list *[]settle.Placed, batches string) error {
	order := "batch, number"
	if sel.newest {
		order = "batch DESC, number DESC"
	}
	where := strings.Join(append([]string{batches}, sel.where...), " AND ")
	return each(ctx, tx, func(r row) error {
		p, err := s.scanEntry(ctx, tx, r)
		*list = append(*list, p)
		return err
	}, "SELECT "+entryColumns+" FROM entry WHERE "+where+" ORDER BY "+order+" LIMIT ?", append(sel.args[:len(sel.args):len(sel.args)], sel.limit-len(*list))...)
}

// timesAtOnce is how many batches one statement asks for.
const timesAtOnce = 256

func batchTimes(ctx context.Context, tx *sql.Tx, list []settle.Placed) error {
	type when struct {
		at   int64
		fact uint64
	}
	known := map[uint64]when{}
	var wanted []string
	ask := func() error {
		err := each(ctx, tx, func(r row) error {
			var n, at, fact int64
			err := r.Scan(&n, &at, &fact)
			known[uint64(n)] = when{at, uint64(fact)}
			return err
		}, "SELECT sequence, at, fact FROM batch WHERE sequence IN ("+strings.Join(wanted, ",")+")")
		wanted = wanted[:0]
		return err
	}
	for i := range list {
		if _, ok := known[list[i].Batch]; ok {
			continue
		}
		known[list[i].Batch] = when{}
		if wanted = append(wanted, strconv.FormatUint(list[i].Batch, 10)); len(wanted) >= timesAtOnce {
			if err := ask(); err != nil {
				return err
			}
		}
	}
	if len(wanted) > 0 {
		if err := ask(); err != nil {
			return err
		}
	}
	for i := range list {
		w := known[list[i].Batch]
		list[i].At, list[i].Fact = w.at, w.fact
	}
	return nil
}

// BalanceAt sums the entries of an account that began up to an instant: whole
// hours as they were gathered, the rest from the entries.
func (s *Store) BalanceAt(ctx context.Context, account ledger.AccountID, at int64) (sum money.Amount, err error) {
	err = s.view(ctx, func(tx *sql.Tx) error {
		var id int64
		err := tx.QueryRowContext(ctx, "SELECT id FROM name WHERE text = ?", string(account)).Scan(&id)
		if errors.Is(err, sql.ErrNoRows) {
			return nil
		}
		if err != nil {
			return err
		}
		n, err := balanceAt(ctx, tx, id, at)
		sum = money.Amount(n)
		return err
	})
	return sum, err
}

func balanceAt(ctx context.Context, tx *sql.Tx, id, at int64) (n int64, err error) {
	head, err := readHead(ctx, tx)
	if err != nil {
		return 0, err
	}
	hour := hourOf(at)
	if at >= head.At {
		hour++ // no entry begins behind the last batch: the hour is whole
	}
	const both = "sum(CASE WHEN debit = ?1 THEN amount ELSE 0 END) - sum(CASE WHEN credit = ?1 THEN amount ELSE 0 END)"
	err = tx.QueryRowContext(ctx, "SELECT coalesce((SELECT sum(amount) FROM hour WHERE account = ?1 AND hour < ?2), 0) + "+
		"coalesce((SELECT "+both+" FROM entry WHERE batch > "+gathered+" AND since <= ?3 AND (debit = ?1 OR credit = ?1)), 0)", id, hour, at).Scan(&n)
	if err != nil || at >= head.At {
		return n, err
	}
	sel := selection{}
	sel.touch(touchAccount, "(?)", id)
	sel.touch(touchHour, "(?)", hour)
	chunks, err := sel.chunks(ctx, tx, 0, 1<<56)
	if err != nil {
		return 0, err
	}
	for chunk, set := range chunks {
		batches := numbersIn(chunk, set, 1, 1<<62)
		if batches == "" {
			continue
		}
		var part int64
		err := tx.QueryRowContext(ctx, "SELECT coalesce("+both+", 0) FROM entry WHERE batch IN ("+batches+") AND batch <= "+gathered+
			" AND since BETWEEN ?2 AND ?3 AND (debit = ?1 OR credit = ?1)", id, hour*int64(time.Hour), at).Scan(&part)
		if err != nil {
			return 0, err
		}
		n += part
	}
	return n, nil
}

// Movements sums the entries of an account in a month.
func (s *Store) Movements(ctx context.Context, account ledger.AccountID, month int32) (list []settle.Movement, err error) {
	const (
		kept = "SELECT kind, %[1]s AS contra, contract, price, entries, lines, tokens, low, high, %[2]samount AS amount, '%[3]s' AS side FROM movement WHERE %[3]s = a.id AND period = ?2"
		last = "SELECT kind, %[1]s, contract, price, 1, lines, uncached_input + cache_read + cache_write + output + reasoning, batch, batch, %[2]samount, '%[3]s' FROM entry " +
			"WHERE batch > " + gathered + " AND %[3]s = a.id AND period = ?2"
	)
	sides := strings.Join([]string{
		fmt.Sprintf(kept, "credit", "", "debit"), fmt.Sprintf(kept, "debit", "-", "credit"),
		fmt.Sprintf(last, "credit", "", "debit"), fmt.Sprintf(last, "debit", "-", "credit"),
	}, " UNION ALL ")
	sides = strings.ReplaceAll(sides, "a.id", "(SELECT id FROM name WHERE text = ?1)")
	query := "SELECT kind, c.text, coalesce(k.text, ''), coalesce(p.text, ''), sum(entries), sum(lines), sum(tokens), min(low), max(high), sum(amount) FROM (" + sides +
		") JOIN name c ON c.id = contra LEFT JOIN name k ON k.id = contract LEFT JOIN name p ON p.id = price GROUP BY kind, contra, contract, price, side ORDER BY 1, 2, 3, 4, 8"
	err = s.view(ctx, func(tx *sql.Tx) error {
		return each(ctx, tx, func(r row) error {
			var m settle.Movement
			var kind, low, high, amount int64
			err := r.Scan(&kind, &m.Contra, &m.Contract, &m.Price, &m.Entries, &m.Lines, &m.Tokens, &low, &high, &amount)
			m.Kind, m.First, m.Last, m.Amount = ledger.Kind(kind), uint64(low), uint64(high), money.Amount(amount)
			list = append(list, m)
			return err
		}, query, string(account), month)
	})
	return list, err
}
