package sqlite

import (
	"context"
	"database/sql"

	"github.com/accordo-ai/accordo/internal/ledger"
)

// subjects returns the subjects of open months, by month, then subject.
func subjects(ctx context.Context, tx *sql.Tx) (list []ledger.Subject, err error) {
	err = each(ctx, tx, func(r row) error {
		var v ledger.Subject
		var id []byte
		err := r.Scan(&id, &v.Period, &v.Granted, &v.Used)
		copy(v.Subject[:], id)
		list = append(list, v)
		return err
	}, "SELECT subject, period, granted, used FROM subject ORDER BY period, subject")
	return list, err
}

// drawn returns the hours that are kept, by month, then hour.
func drawn(ctx context.Context, tx *sql.Tx) (list []ledger.Drawn, err error) {
	err = each(ctx, tx, func(r row) error {
		var v ledger.Drawn
		var id []byte
		err := r.Scan(&id, &v.Period, &v.Used)
		copy(v.Subject[:], id)
		list = append(list, v)
		return err
	}, "SELECT hour, period, used FROM drawn ORDER BY period, hour")
	return list, err
}

// Lefts returns what was left of included quotas and of hours' commitments
// before the outcomes from first to last that were parted.
func (s *Store) Lefts(ctx context.Context, first, last uint64) (map[uint64]ledger.Lefts, error) {
	lefts := map[uint64]ledger.Lefts{}
	err := s.view(ctx, func(tx *sql.Tx) error {
		return each(ctx, tx, func(r row) error {
			var outcome, left int64
			var hour bool
			if err := r.Scan(&outcome, &left, &hour); err != nil {
				return err
			}
			v := lefts[uint64(outcome)]
			if hour {
				v.Hour = &left
			} else {
				v.Quota = &left
			}
			lefts[uint64(outcome)] = v
			return nil
		}, "SELECT outcome, remain, 0 FROM parted WHERE outcome BETWEEN ?1 AND ?2 UNION ALL SELECT outcome, remain, 1 FROM covered WHERE outcome BETWEEN ?1 AND ?2", int64(first), int64(last))
	})
	return lefts, err
}

// subjects writes what a step changed of them.
func (w *writer) subjects(s *ledger.Step) {
	for _, v := range s.Subjects {
		w.rows.values = append(w.rows.values, v.Subject[:], v.Period, v.Granted, v.Used)
	}
	w.bulk("INSERT INTO subject (subject, period, granted, used) VALUES ", 4, " ON CONFLICT (period, subject) DO UPDATE SET granted = excluded.granted, used = excluded.used", &w.rows)
	for _, v := range s.Drawn {
		w.rows.values = append(w.rows.values, v.Subject[:], v.Period, v.Used)
	}
	w.bulk("INSERT INTO drawn (hour, period, used) VALUES ", 3, " ON CONFLICT (period, hour) DO UPDATE SET used = excluded.used", &w.rows)
	if f := s.Fact; f != nil && f.MonthClosed != nil {
		w.exec("DELETE FROM subject WHERE period <= ?", f.MonthClosed.Month)
		w.exec("DELETE FROM drawn WHERE period <= ?", f.MonthClosed.Month)
	}
	for _, v := range s.Lefts {
		w.rows.add(int64(v.Outcome), v.Left)
	}
	w.bulk("INSERT INTO parted (outcome, remain) VALUES ", 2, "", &w.rows)
	for _, v := range s.Hours {
		w.rows.add(int64(v.Outcome), v.Left)
	}
	w.bulk("INSERT INTO covered (outcome, remain) VALUES ", 2, "", &w.rows)
}
