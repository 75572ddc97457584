package sqlite

import (
	"context"
	"strings"
	"time"
)

// What follows from entries (balances, months, carries, movements, hours, and
// which batches touch what) is gathered for many batches at once: most of it
// changes with every batch, and writing it each time would cost more than the
// entries. Until it is gathered, readers add up the few entries behind it.
const (
	// MaxTailEntries and MaxTailBatches are how much is behind it at most.
	MaxTailEntries = 8192
	MaxTailBatches = 512
)

// What a touch is about.
const (
	touchAccount  = 1
	touchContract = 2
	touchKind     = 3
	touchHour     = 4
	touchPeriod   = 5
	touchPrice    = 6
)

// rowEntry is an entry by the ids of its texts.
type rowEntry struct {
	kind, debit, credit, asset, price, contract int64
	period                                      int32
	amount, remainder, divisor, lines, tokens   int64
	since                                       int64
}

const rowEntryColumns = "batch, kind, debit, credit, asset, price, contract, period, amount, remainder, divisor, lines, " +
	"uncached_input + cache_read + cache_write + output + reasoning, since"

func scanRowEntry(r row) (batch int64, e rowEntry, err error) {
	err = r.Scan(&batch, &e.kind, &e.debit, &e.credit, &e.asset, &e.price, &e.contract, &e.period, &e.amount, &e.remainder, &e.divisor, &e.lines, &e.tokens, &e.since)
	return batch, e, err
}

type (
	accountPeriod struct {
		account int64
		period  int32
	}
	carryIDs struct{ debit, credit, price, divisor int64 }
	moveIDs  struct {
		debit, credit, kind, contract, price int64
		period                               int32
	}
	moved    struct{ entries, lines, tokens, low, high, amount int64 }
	pair     struct{ a, b int64 }
	touchIDs struct{ what, id, chunk int64 }
	assetSum struct{ asset, amount int64 }
)

// tail is what the batches behind the last gathering add.
type tail struct {
	batches, entries int
	last             int64
	balance          map[int64]assetSum
	period           map[accountPeriod]int64
	carry            map[carryIDs]int64
	move             map[moveIDs]moved
	hour             map[pair]int64
	touch            map[touchIDs]uint64
	// onlyNew leaves out what an older schema kept already.
	onlyNew bool
}

func newTail() *tail {
	return &tail{
		balance: map[int64]assetSum{}, period: map[accountPeriod]int64{}, carry: map[carryIDs]int64{},
		move: map[moveIDs]moved{}, hour: map[pair]int64{}, touch: map[touchIDs]uint64{},
	}
}

func hourOf(at int64) int64 {
	h := at / int64(time.Hour)
	if at < h*int64(time.Hour) {
		h-- // before 1970
	}
	return h
}

func (t *tail) full() bool { return t.entries >= MaxTailEntries || t.batches >= MaxTailBatches }

// saw counts a batch, which may have no entry.
func (t *tail) saw(batch int64) {
	if batch != t.last {
		t.last = batch
		t.batches++
	}
}

func (t *tail) add(batch int64, e *rowEntry) {
	t.saw(batch)
	t.entries++
	if !t.onlyNew {
		t.state(e)
	}
	k := moveIDs{e.debit, e.credit, e.kind, e.contract, e.price, e.period}
	m, ok := t.move[k]
	if !ok {
		m.low = batch
	}
	m.high = batch
	m.entries++
	m.lines, m.tokens, m.amount = m.lines+e.lines, m.tokens+e.tokens, m.amount+e.amount
	t.move[k] = m
	hour := hourOf(e.since)
	t.hour[pair{e.debit, hour}] += e.amount
	t.hour[pair{e.credit, hour}] -= e.amount
	chunk, bit := batch>>6, uint64(1)<<(batch&63)
	t.touch[touchIDs{touchAccount, e.debit, chunk}] |= bit
	t.touch[touchIDs{touchAccount, e.credit, chunk}] |= bit
	t.touch[touchIDs{touchKind, e.kind, chunk}] |= bit
	t.touch[touchIDs{touchHour, hour, chunk}] |= bit
	t.touch[touchIDs{touchPeriod, int64(e.period), chunk}] |= bit
	if e.contract > 0 {
		t.touch[touchIDs{touchContract, e.contract, chunk}] |= bit
	}
	if e.price > 0 {
		t.touch[touchIDs{touchPrice, e.price, chunk}] |= bit
	}
}

func (t *tail) state(e *rowEntry) {
	t.balance[e.debit] = assetSum{e.asset, t.balance[e.debit].amount + e.amount}
	t.balance[e.credit] = assetSum{e.asset, t.balance[e.credit].amount - e.amount}
	t.period[accountPeriod{e.debit, e.period}] += e.amount
	t.period[accountPeriod{e.credit, e.period}] -= e.amount
	if e.divisor > 1 {
		t.carry[carryIDs{e.debit, e.credit, e.price, e.divisor}] = e.remainder
	}
}

// loadTail reads the batches that are not gathered.
func loadTail(ctx context.Context, tx rowQuerier) (*tail, error) {
	t := newTail()
	rolled, err := rolledUpTo(ctx, tx)
	if err != nil {
		return nil, err
	}
	t.last = rolled
	return t, t.read(ctx, tx, rolled, 1<<62)
}

func (t *tail) read(ctx context.Context, tx querier, after, until int64) error {
	return each(ctx, tx, func(r row) error {
		batch, e, err := scanRowEntry(r)
		if err == nil {
			t.add(batch, &e)
		}
		return err
	}, "SELECT "+rowEntryColumns+" FROM entry WHERE batch > ? AND batch <= ? ORDER BY batch, number", after, until)
}

func rolledUpTo(ctx context.Context, q rowQuerier) (n int64, err error) {
	err = q.QueryRowContext(ctx, "SELECT coalesce((SELECT batch FROM rolled), 0)").Scan(&n)
	return n, err
}

// gather writes what the tail adds, up to a batch.
func (w *writer) gather(t *tail, upTo int64) {
	var rows bulk
	for k, v := range t.balance {
		rows.add(k, v.asset, v.amount)
	}
	w.bulk("INSERT INTO balance (account, asset, amount) VALUES ", 3, " ON CONFLICT (account) DO UPDATE SET amount = amount + excluded.amount", &rows)
	for k, v := range t.period {
		rows.add(k.account, int64(k.period), v)
	}
	w.bulk("INSERT INTO period (account, period, amount) VALUES ", 3, " ON CONFLICT (account, period) DO UPDATE SET amount = amount + excluded.amount", &rows)
	for k, v := range t.carry {
		rows.add(k.debit, k.credit, k.price, k.divisor, v)
	}
	w.bulk("INSERT INTO carry (debit, credit, price, divisor, remainder) VALUES ", 5, " ON CONFLICT (debit, credit, price, divisor) DO UPDATE SET remainder = excluded.remainder", &rows)
	for k, v := range t.move {
		rows.add(k.debit, int64(k.period), k.credit, k.kind, k.contract, k.price, v.entries, v.lines, v.tokens, v.low, v.high, v.amount)
	}
	w.bulk("INSERT INTO movement (debit, period, credit, kind, contract, price, entries, lines, tokens, low, high, amount) VALUES ", 12,
		" ON CONFLICT (debit, period, credit, kind, contract, price) DO UPDATE SET entries = entries + excluded.entries, lines = lines + excluded.lines, "+
			"tokens = tokens + excluded.tokens, high = excluded.high, amount = amount + excluded.amount", &rows)
	for k, v := range t.hour {
		rows.add(k.a, k.b, v)
	}
	w.bulk("INSERT INTO hour (account, hour, amount) VALUES ", 3, " ON CONFLICT (account, hour) DO UPDATE SET amount = amount + excluded.amount", &rows)
	for k, v := range t.touch {
		rows.add(k.what, k.id, k.chunk, int64(v))
	}
	w.bulk("INSERT INTO touch (what, id, chunk, batches) VALUES ", 4, " ON CONFLICT (what, id, chunk) DO UPDATE SET batches = batches | excluded.batches", &rows)
	w.exec("INSERT INTO rolled (id, batch) VALUES (1, ?) ON CONFLICT (id) DO UPDATE SET batch = excluded.batch", upTo)
}

// bulk gathers the values of rows.
type bulk struct{ values []any }

func (b *bulk) add(values ...int64) {
	for _, v := range values {
		b.values = append(b.values, v)
	}
}

// bulkValues is how many values one statement takes, about.
const bulkValues = 800

// bulk writes all rows, many with each statement, and empties them.
func (w *writer) bulk(insert string, columns int, conflict string, b *bulk) {
	most := bulkValues / columns
	one := "(?" + strings.Repeat(", ?", columns-1) + ")"
	values := b.values
	for len(values) > 0 && w.err == nil {
		// Few lengths only, so that statements are used again.
		n := most
		for n*columns > len(values) {
			n = max(1, n/4)
		}
		w.exec(insert+one+strings.Repeat(", "+one, n-1)+conflict, values[:n*columns]...)
		values = values[n*columns:]
	}
	clear(b.values)
	b.values = b.values[:0]
}
