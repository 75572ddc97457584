package sqlite

import (
	"cmp"
	"context"
	"crypto/sha256"
	"database/sql"
	"encoding/binary"
	"errors"
	"math/bits"
	"slices"

	"github.com/accordo-ai/accordo/internal/ledger"
)

// The index of requests is a set of sorted runs. A batch adds a run of its
// own: its keys are hashes, and one tree of all of them would be changed in as
// many pages as the batch has requests. Runs of like size are merged, so that
// a question looks into few.
const (
	// runFan is how many runs of one class are merged; class n has 8^n places
	// and more.
	runFan = 8
	// finalClass is not merged any more, so that no batch waits for long.
	finalClass = 6
	// pageGoal is how many places a page of a run has at most, about: some
	// pages fit into one of the file's.
	pageGoal = 128
	// mergeBits is how many bits of hashes a merge takes at once, so that it
	// reads several pages with each question.
	mergeBits = 3
	// maxPageBits bounds the number of pages in a run: their ids have 20 bits.
	maxPageBits = 20
	// hashBytes of a request's hash are kept with a place. Whoever asks looks
	// at the request's id in the journal, so another one now and then does no harm.
	hashBytes = 5
)

// place is where one request may stand.
type place struct {
	hash            uint64
	intent, outcome uint64
}

func comparePlaces(a, b place) int {
	return cmp.Or(cmp.Compare(a.hash, b.hash), cmp.Compare(a.intent, b.intent))
}

// requestHash keeps what a place keeps of a hash, in its upper bits.
func requestHash(request string) uint64 {
	sum := sha256.Sum256([]byte(request))
	return binary.BigEndian.Uint64(sum[:8]) &^ (1<<(64-8*hashBytes) - 1)
}

// run is one sorted run.
type run struct {
	id    int64
	bits  int
	count int
}

func (r *run) class() int { return (bits.Len(uint(r.count)) - 1) / 3 }

// page is the id of the page that holds a prefix of hashes.
func (r *run) page(n int) int64 { return r.id<<maxPageBits | int64(n) }

func pageBits(count int) int {
	return min(maxPageBits, max(0, bits.Len(uint(max(1, count)-1))-bits.Len(pageGoal-1)))
}

// appendPage adds the bytes of a page: the base, then each place by its hash,
// how far its intent is from the base, and its outcome from the intent.
func appendPage(dst []byte, list []place) []byte {
	base := list[0].intent
	for i := range list {
		base = min(base, list[i].intent)
	}
	dst = binary.AppendUvarint(dst, base)
	var hash [8]byte
	for i := range list {
		p := &list[i]
		binary.BigEndian.PutUint64(hash[:], p.hash)
		dst = append(dst, hash[:hashBytes]...)
		dst = binary.AppendUvarint(dst, p.intent-base)
		away := uint64(0)
		if p.outcome > p.intent {
			away = p.outcome - p.intent
		}
		dst = binary.AppendUvarint(dst, away)
	}
	return dst
}

var errPage = errors.New("the books are damaged: a page of the index of requests cannot be read")

// eachPlace yields the places of a page.
func eachPlace(b []byte, do func(place)) error {
	base, n := binary.Uvarint(b)
	if n <= 0 {
		return errPage
	}
	for b = b[n:]; len(b) > 0; {
		var hash [8]byte
		if len(b) < hashBytes {
			return errPage
		}
		copy(hash[:], b[:hashBytes])
		intent, n := binary.Uvarint(b[hashBytes:])
		if n <= 0 {
			return errPage
		}
		away, m := binary.Uvarint(b[hashBytes+n:])
		if m <= 0 {
			return errPage
		}
		p := place{hash: binary.BigEndian.Uint64(hash[:]), intent: base + intent}
		if away > 0 {
			p.outcome = p.intent + away
		}
		do(p)
		b = b[hashBytes+n+m:]
	}
	return nil
}

func loadRuns(ctx context.Context, tx querier) (list []run, err error) {
	err = each(ctx, tx, func(r row) error {
		var v run
		err := r.Scan(&v.id, &v.bits, &v.count)
		list = append(list, v)
		return err
	}, "SELECT id, bits, count FROM request_run ORDER BY id")
	return list, err
}

// locate adds the places of a batch.
func (w *writer) locate(list []ledger.Located) {
	if len(list) == 0 || w.err != nil {
		return
	}
	places := make([]place, len(list))
	for i, l := range list {
		places[i] = place{requestHash(l.Request), l.Intent, l.Outcome}
	}
	w.addRun(places)
	for w.err == nil {
		var same []run
		class := 0
		for class = range finalClass {
			same = same[:0]
			for _, r := range w.runs {
				if r.class() == class {
					same = append(same, r)
				}
			}
			if len(same) >= runFan {
				break
			}
		}
		if len(same) < runFan {
			return
		}
		w.merge(same)
	}
}

// addRun writes places as a run. It sorts them.
func (w *writer) addRun(places []place) {
	r := w.newRun(len(places))
	slices.SortFunc(places, comparePlaces)
	w.pages(r, places)
}

func (w *writer) newRun(count int) run {
	r := run{id: 1, bits: pageBits(count), count: count}
	for _, v := range w.runs {
		r.id = max(r.id, v.id+1)
	}
	w.exec("INSERT INTO request_run (id, bits, count) VALUES (?, ?, ?)", r.id, r.bits, r.count)
	w.runs = append(w.runs, r)
	return r
}

// pages writes sorted places into the pages of a run.
func (w *writer) pages(r run, places []place) {
	for len(places) > 0 && w.err == nil {
		prefix := pageOf(places[0].hash, r.bits)
		n := 1
		for n < len(places) && pageOf(places[n].hash, r.bits) == prefix {
			n++
		}
		w.page = appendPage(w.page[:0], places[:n])
		w.exec("INSERT INTO request_page (id, data) VALUES (?, ?)", r.page(prefix), w.page)
		places = places[n:]
	}
}

func pageOf(hash uint64, bits int) int { return int(hash >> (64 - bits)) } // a shift by 64 gives 0

// merge makes one run of several, a part of the hashes after the other.
func (w *writer) merge(list []run) {
	total, least := 0, maxPageBits
	for _, r := range list {
		total, least = total+r.count, min(least, r.bits)
	}
	least = max(0, least-mergeBits)
	into := w.newRun(total)
	var places []place
	for part := range 1 << least {
		places = places[:0]
		for _, r := range list {
			if w.err != nil {
				return
			}
			wide := r.bits - least
			w.query(func(v row) error {
				var data sql.RawBytes
				if err := v.Scan(&data); err != nil {
					return err
				}
				return eachPlace(data, func(p place) { places = append(places, p) })
			}, "SELECT data FROM request_page WHERE id BETWEEN ? AND ?", r.page(part<<wide), r.page((part+1)<<wide-1))
		}
		slices.SortFunc(places, comparePlaces)
		w.pages(into, places)
	}
	for _, r := range list {
		w.exec("DELETE FROM request_page WHERE id BETWEEN ? AND ?", r.page(0), r.page(1<<r.bits-1))
		w.exec("DELETE FROM request_run WHERE id = ?", r.id)
		w.runs = slices.DeleteFunc(w.runs, func(v run) bool { return v.id == r.id })
	}
}

// MaxLocated bounds how many places one request may stand in.
const MaxLocated = 1000

// Find returns where a request may stand in the journal, newest first.
func (s *Store) Find(ctx context.Context, request string) (list []ledger.Located, err error) {
	hash := requestHash(request)
	err = s.view(ctx, func(tx *sql.Tx) error {
		runs, err := loadRuns(ctx, tx)
		if err != nil {
			return err
		}
		for _, r := range runs {
			var data []byte
			err := tx.QueryRowContext(ctx, "SELECT data FROM request_page WHERE id = ?", r.page(pageOf(hash, r.bits))).Scan(&data)
			if errors.Is(err, sql.ErrNoRows) {
				continue
			}
			if err == nil {
				err = eachPlace(data, func(p place) {
					if p.hash == hash {
						list = append(list, ledger.Located{Request: request, Intent: p.intent, Outcome: p.outcome})
					}
				})
			}
			if err != nil {
				return err
			}
		}
		return nil
	})
	slices.SortFunc(list, func(a, b ledger.Located) int { return cmp.Compare(b.Intent, a.Intent) })
	return list[:min(len(list), MaxLocated)], err
}
