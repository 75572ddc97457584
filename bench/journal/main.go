// Command journal measures the journal against what could stand in its place:
// SQLite with one row per record, and the write-ahead log tidwall/wal. One
// request is an intent and an outcome. All write the same bytes, with the same
// durability: "crash" returns after write(2), "disk" returns from the outcome,
// and only from the outcome, after a sync. It prints medians and ratios of one
// run, in which the rounds of all take turns. It decides nothing else.
package main

import (
	"context"
	"database/sql"
	"errors"
	"flag"
	"fmt"
	"io/fs"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/tidwall/wal"
	_ "modernc.org/sqlite"

	"github.com/accordo-ai/accordo/internal/journal"
	"github.com/accordo-ai/accordo/internal/record"
	"github.com/accordo-ai/accordo/internal/usage"
)

// store is one way to keep intents and outcomes.
type store interface {
	intent(in *record.Intent) (uint64, error)
	outcome(o *record.Outcome) error
	close() error
}

type contender struct {
	name string
	open func(dir string, disk bool) (store, error)
}

func main() {
	seconds := flag.Float64("seconds", 1, "length of one round, at most 60")
	rounds := flag.Int("rounds", 3, "rounds of each, at most 20")
	parent := flag.String("dir", os.TempDir(), "directory on the disk to measure")
	flag.Parse()
	if *seconds <= 0 || *seconds > 60 || *rounds < 1 || *rounds > 20 {
		fmt.Fprintln(os.Stderr, "journal: -seconds is up to 60, -rounds 1 to 20")
		os.Exit(2)
	}
	if err := run(*parent, time.Duration(*seconds*float64(time.Second)), *rounds); err != nil {
		fmt.Fprintln(os.Stderr, "journal:", err)
		os.Exit(1)
	}
}

func run(parent string, length time.Duration, rounds int) error {
	contenders := []contender{{"journal", openJournal}, {"sqlite", openSQLite}, {"sqlite grouped", openGrouped}, {"tidwall/wal", openWAL}}
	fmt.Printf("%-7s %-8s %-15s %12s %9s %10s %10s %10s\n", "safe", "writers", "store", "requests/s", "ratio", "p50 us", "p99 us", "bytes/req")
	for _, disk := range []bool{false, true} {
		for _, writers := range []int{1, 64} {
			results := make([][]result, len(contenders))
			for range rounds {
				for k, c := range contenders {
					r, err := measure(c, parent, disk, writers, length)
					if err != nil {
						return fmt.Errorf("%s: %w", c.name, err)
					}
					results[k] = append(results[k], r)
				}
			}
			ours := median(results[0])
			for k, c := range contenders {
				m := median(results[k])
				safe := journal.Crash
				if disk {
					safe = journal.Disk
				}
				fmt.Printf("%-7s %-8d %-15s %12.0f %8.2fx %10.0f %10.0f %10.0f\n", safe, writers, c.name, m.rate, ours.rate/m.rate, m.p50, m.p99, m.bytes)
			}
		}
	}
	return nil
}

type result struct{ rate, p50, p99, bytes float64 }

// median takes the median of each figure.
func median(rs []result) result {
	mid := func(of func(result) float64) float64 {
		var xs []float64
		for _, r := range rs {
			xs = append(xs, of(r))
		}
		slices.Sort(xs)
		return xs[len(xs)/2]
	}
	return result{
		mid(func(r result) float64 { return r.rate }), mid(func(r result) float64 { return r.p50 }),
		mid(func(r result) float64 { return r.p99 }), mid(func(r result) float64 { return r.bytes }),
	}
}

func measure(c contender, parent string, disk bool, writers int, length time.Duration) (result, error) {
	dir, err := os.MkdirTemp(parent, "accordo-bench-")
	if err != nil {
		return result{}, err
	}
	defer os.RemoveAll(dir)
	s, err := c.open(dir, disk)
	if err != nil {
		return result{}, err
	}
	var (
		wg    sync.WaitGroup
		mu    sync.Mutex
		all   []float64
		fault error
		stop  atomic.Bool
	)
	timer := time.AfterFunc(length, func() { stop.Store(true) })
	defer timer.Stop()
	start := time.Now()
	for w := range writers {
		wg.Go(func() {
			took, err := write(s, w, &stop)
			mu.Lock()
			defer mu.Unlock()
			all, fault = append(all, took...), errors.Join(fault, err)
		})
	}
	wg.Wait()
	elapsed := time.Since(start)
	if err := errors.Join(fault, s.close()); err != nil {
		return result{}, err
	}
	size, err := sizeOf(dir)
	if err != nil {
		return result{}, err
	}
	slices.Sort(all)
	n := float64(len(all))
	at := func(q float64) float64 { return all[int(math.Min(n-1, q*n))] }
	return result{n / elapsed.Seconds(), at(0.5), at(0.99), float64(size) / n}, nil
}

// write does requests until stop and returns how long the outcome of each
// took, in microseconds.
func write(s store, w int, stop *atomic.Bool) ([]float64, error) {
	var took []float64
	for n := 0; !stop.Load() || n == 0; n++ {
		id := fmt.Sprintf("%016x%016x", w, n)
		seq, err := s.intent(&record.Intent{
			Attempt: record.AttemptID(id), Request: "req-" + id, Number: 1, Decision: uint64(n),
			Terms: strings.Repeat("0123456789abcdef", 4), Tenant: "acme", Key: "acme-production", Plan: "api", Channel: "openai-api",
			Territory: "US", Model: "openai-frontier@2026-04-14", Pool: "aws-us-east-1-gb200", Contract: "aws-38bn",
			Right: "right-api-us", CostPrice: "cost-frontier", SalePrice: "sale-frontier",
			Estimate: usage.Vector{UncachedInput: 1200, Output: 400}, Stream: true,
			Considered: []record.Considered{
				{Pool: "aws-us-east-1-gb200", Verdict: record.Chosen, Cost: 123456, Price: 120000, Latency: 3456, LambdaPPM: 250000},
				{Pool: "azure-eastus-h100", Verdict: record.Dearer, Cost: 223456, Price: 220000, Latency: 3456},
			},
		})
		if err != nil {
			return took, err
		}
		start := time.Now()
		err = s.outcome(&record.Outcome{
			Attempt: record.AttemptID(id), Intent: seq, Observation: uint64(n), Status: record.Served,
			Usage: usage.Vector{UncachedInput: 1180, CacheRead: 20, Output: 377}, Tier: "default", Upstream: "chatcmpl-" + id,
			Version: "2026-04-14", TTFT: 231_456_789, Duration: 4_123_456_789,
		})
		if err != nil {
			return took, err
		}
		took = append(took, float64(time.Since(start))/1e3)
	}
	return took, nil
}

func sizeOf(dir string) (size int64, err error) {
	err = filepath.WalkDir(dir, func(_ string, e fs.DirEntry, err error) error {
		if err != nil || e.IsDir() {
			return err
		}
		info, err := e.Info()
		if err == nil {
			size += info.Size()
		}
		return err
	})
	return size, err
}

type ours struct{ j *journal.Journal }

func openJournal(dir string, disk bool) (store, error) {
	o := journal.Options{Node: "bench"}
	if disk {
		o.Durability = journal.Disk
	}
	j, _, err := journal.Open(dir, o)
	return ours{j}, err
}

func (s ours) intent(in *record.Intent) (uint64, error) { return s.j.Intent(context.Background(), in) }

func (s ours) outcome(o *record.Outcome) error {
	_, err := s.j.Outcome(context.Background(), o)
	return err
}

func (s ours) close() error { return s.j.Close() }

// sequence numbers and encodes records for the stores that do not.
type sequence struct {
	next uint64
	buf  []byte
}

func (q *sequence) encode(r record.Record) (uint64, []byte) {
	q.next++
	r.Sequence, r.At = q.next, time.Now().UnixNano()
	q.buf = record.Append(q.buf[:0], &r)
	return q.next, q.buf
}

// database is SQLite, one transaction per record.
type database struct {
	mu     sync.Mutex
	seq    sequence
	db     *sql.DB
	insert *sql.Stmt
	disk   bool
}

func openDatabase(dir string, disk bool) (*database, error) {
	db, err := sql.Open("sqlite", filepath.Join(dir, "journal.sqlite")+"?_pragma=journal_mode(WAL)&_pragma=synchronous(NORMAL)")
	if err != nil {
		return nil, err
	}
	db.SetMaxOpenConns(1)
	if _, err := db.Exec("CREATE TABLE record (sequence INTEGER PRIMARY KEY, body BLOB NOT NULL)"); err != nil {
		return nil, err
	}
	insert, err := db.Prepare("INSERT INTO record VALUES (?, ?)")
	return &database{db: db, insert: insert, disk: disk}, err
}

func openSQLite(dir string, disk bool) (store, error) { return openDatabase(dir, disk) }

func (s *database) intent(in *record.Intent) (uint64, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.put(record.Record{Kind: record.KindIntent, Intent: in}, false)
}

func (s *database) outcome(o *record.Outcome) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	_, err := s.put(record.Record{Kind: record.KindOutcome, Outcome: o}, s.disk)
	return err
}

func (s *database) put(r record.Record, sync bool) (uint64, error) {
	seq, b := s.seq.encode(r)
	if s.disk {
		level := "PRAGMA synchronous=NORMAL"
		if sync {
			level = "PRAGMA synchronous=FULL"
		}
		if _, err := s.db.Exec(level); err != nil {
			return 0, err
		}
	}
	_, err := s.insert.Exec(int64(seq), b)
	return seq, err
}

func (s *database) close() error { return errors.Join(s.insert.Close(), s.db.Close()) }

// grouped is SQLite with a goroutine that puts all that waits into one
// transaction.
type grouped struct {
	*database
	asks chan ask
	done chan struct{}
}

type ask struct {
	r     record.Record
	reply chan answer
}

type answer struct {
	seq uint64
	err error
}

func openGrouped(dir string, disk bool) (store, error) {
	d, err := openDatabase(dir, disk)
	if err != nil {
		return nil, err
	}
	if disk {
		if _, err := d.db.Exec("PRAGMA synchronous=FULL"); err != nil {
			return nil, err
		}
	}
	g := &grouped{d, make(chan ask, 64), make(chan struct{})}
	go g.serve()
	return g, nil
}

func (g *grouped) serve() {
	defer close(g.done)
	for a := range g.asks {
		batch := []ask{a}
		for len(g.asks) > 0 {
			batch = append(batch, <-g.asks)
		}
		seqs, err := g.transaction(batch)
		for i, a := range batch {
			if err != nil {
				a.reply <- answer{err: err}
				continue
			}
			a.reply <- answer{seq: seqs[i]}
		}
	}
}

func (g *grouped) transaction(batch []ask) ([]uint64, error) {
	tx, err := g.db.Begin()
	if err != nil {
		return nil, err
	}
	insert := tx.Stmt(g.insert)
	var seqs []uint64
	for _, a := range batch {
		seq, b := g.seq.encode(a.r)
		if _, err := insert.Exec(int64(seq), b); err != nil {
			return nil, errors.Join(err, tx.Rollback())
		}
		seqs = append(seqs, seq)
	}
	return seqs, tx.Commit()
}

func (g *grouped) ask(r record.Record) (uint64, error) {
	a := ask{r, make(chan answer, 1)}
	g.asks <- a
	got := <-a.reply
	return got.seq, got.err
}

func (g *grouped) intent(in *record.Intent) (uint64, error) {
	return g.ask(record.Record{Kind: record.KindIntent, Intent: in})
}

func (g *grouped) outcome(o *record.Outcome) error {
	_, err := g.ask(record.Record{Kind: record.KindOutcome, Outcome: o})
	return err
}

func (g *grouped) close() error {
	close(g.asks)
	<-g.done
	return g.database.close()
}

// log is tidwall/wal, which takes records in order only.
type log struct {
	mu   sync.Mutex
	seq  sequence
	w    *wal.Log
	disk bool
}

func openWAL(dir string, disk bool) (store, error) {
	w, err := wal.Open(filepath.Join(dir, "wal"), &wal.Options{NoSync: true, SegmentSize: journal.DefaultSegmentBytes})
	return &log{w: w, disk: disk}, err
}

func (l *log) put(r record.Record, sync bool) (uint64, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	seq, b := l.seq.encode(r)
	if err := l.w.Write(seq, b); err != nil {
		return 0, err
	}
	if sync {
		return seq, l.w.Sync()
	}
	return seq, nil
}

func (l *log) intent(in *record.Intent) (uint64, error) {
	return l.put(record.Record{Kind: record.KindIntent, Intent: in}, false)
}

func (l *log) outcome(o *record.Outcome) error {
	_, err := l.put(record.Record{Kind: record.KindOutcome, Outcome: o}, l.disk)
	return err
}

func (l *log) close() error { return l.w.Close() }
