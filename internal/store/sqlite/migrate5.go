package sqlite

// followUp5 gathers what follows from the entries of older books, and brings
// their index of requests into runs.
func followUp5(w *writer) error {
	w.tail.onlyNew = true
	for after := int64(0); w.err == nil; after += MaxTailBatches {
		if err := w.tail.read(w.ctx, w.conn, after, after+MaxTailBatches); err != nil {
			return err
		}
		var more int64
		if err := w.conn.QueryRowContext(w.ctx, "SELECT count(*) FROM batch WHERE sequence > ? AND sequence <= ?", after, after+MaxTailBatches).Scan(&more); err != nil {
			return err
		}
		if more == 0 {
			break
		}
		w.gather(w.tail, after+more)
		w.tail = newTail()
		w.tail.onlyNew = true
	}
	return w.oldRequests()
}

// runPlaces is how many places of an older index become one run.
const runPlaces = 1 << 18

// oldRequests reads the index of requests of older books, which was one tree
// of hashes, in the order of the journal.
func (w *writer) oldRequests() error {
	var places []place
	w.query(func(r row) error {
		var hash, intent, outcome int64
		if err := r.Scan(&hash, &intent, &outcome); err != nil {
			return err
		}
		places = append(places, place{uint64(hash) &^ (1<<(64-8*hashBytes) - 1), uint64(intent), uint64(outcome)})
		if len(places) == runPlaces {
			w.addRun(places)
			places = places[:0]
		}
		return w.err
	}, "SELECT hash, intent, outcome FROM request ORDER BY intent")
	if len(places) > 0 {
		w.addRun(places)
	}
	for query, s := range w.known { // an open statement would lock the table
		delete(w.known, query)
		_ = s.Close()
	}
	w.exec("DROP TABLE request")
	return w.err
}
