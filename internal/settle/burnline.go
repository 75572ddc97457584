package settle

import (
	"context"
	"time"

	"github.com/accordo-ai/accordo/internal/contract"
	"github.com/accordo-ai/accordo/internal/ledger"
	"github.com/accordo-ai/accordo/internal/money"
)

// BurnPoint is what was used of an interval at an instant.
type BurnPoint struct {
	At   time.Time    `json:"at"`
	Used money.Amount `json:"used"`
}

// MaxBurnPoints bounds a line: each point is one question to the books.
const MaxBurnPoints = 64

// BurnLine reads what was used of the interval of an outlook, at even steps
// from its beginning to the outlook's instant. It is empty where nothing was
// promised.
func BurnLine(ctx context.Context, books Reader, t *ledger.Terms, o *Outlook, points int) ([]BurnPoint, error) {
	if o.Interval == nil {
		return nil, nil
	}
	points = min(max(points, 2), MaxBurnPoints)
	from, length := o.Interval.From.Time, o.At.Sub(o.Interval.From.Time)
	used := ledger.NewAccount(string(t.Alliance().Operator), contract.Memo, "commit_used", string(o.Contract), o.Interval.From.String())
	line := []BurnPoint{{At: from}}
	for i := 1; i < points; i++ {
		at := from.Add(length / time.Duration(points-1) * time.Duration(i))
		if i == points-1 {
			at = o.At
		}
		amount, err := books.BalanceAt(ctx, used, at.UnixNano())
		if err != nil {
			return nil, err
		}
		line = append(line, BurnPoint{at, amount})
	}
	return line, nil
}
