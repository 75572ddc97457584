package sqlite

import (
	"context"
	"database/sql"
	"fmt"

	"github.com/accordo-ai/accordo/internal/ledger"
	"github.com/accordo-ai/accordo/internal/money"
	"github.com/accordo-ai/accordo/internal/settle"
)

// Sums sums the entries of an account in a civil month by kind, other
// account, price, terms and ref.
func (s *Store) Sums(ctx context.Context, account ledger.AccountID, month int32) (list []settle.Sum, err error) {
	const half = "SELECT kind, %s AS contra, price, terms, ref, count(*) AS entries, sum(lines) AS lines, sum(uncached_input) AS a, sum(cache_read) AS b, " +
		"sum(cache_write) AS c, sum(output) AS d, sum(reasoning) AS e, min(batch) AS low, max(batch) AS high, sum(%s) AS amount " +
		"FROM entry WHERE %s = (SELECT id FROM name WHERE text = ?) AND period = ? GROUP BY 1, 2, 3, 4, 5"
	query := "SELECT kind, c.text, coalesce(p.text, ''), coalesce(t.text, ''), ref, entries, lines, a, b, x.c, d, e, low, high, amount FROM (" +
		fmt.Sprintf(half, "credit", "amount", "debit") + " UNION ALL " + fmt.Sprintf(half, "debit", "-amount", "credit") +
		") x JOIN name c ON c.id = contra LEFT JOIN name p ON p.id = price LEFT JOIN name t ON t.id = terms ORDER BY 1, 2, 3, 5, low, 4"
	err = s.view(ctx, func(tx *sql.Tx) error {
		return each(ctx, tx, func(r row) error {
			var v settle.Sum
			var kind, low, high, amount int64
			u := &v.Usage
			err := r.Scan(&kind, &v.Contra, &v.Price, &v.Terms, &v.Ref, &v.Entries, &v.Lines, &u.UncachedInput, &u.CacheRead, &u.CacheWrite, &u.Output, &u.Reasoning, &low, &high, &amount)
			v.Kind, v.First, v.Last, v.Amount = ledger.Kind(kind), uint64(low), uint64(high), money.Amount(amount)
			list = append(list, v)
			return err
		}, query, string(account), month, string(account), month)
	})
	return list, err
}
