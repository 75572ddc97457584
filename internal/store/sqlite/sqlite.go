// Package sqlite keeps the books in one SQLite file, without cgo. One process
// appends; others read beside it or without it. It refuses to open a file
// whose schema is newer than it knows, to append a batch that does not follow
// the stored ones, and to decide anything about entries: it stores what the
// ledger made.
package sqlite

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io/fs"
	"net/url"
	"os"
	"path/filepath"
	"sync"

	// The pure Go driver, registered under the name "sqlite".
	_ "modernc.org/sqlite"

	"github.com/accordo-ai/accordo/internal/settle"
)

// Limits of one open file.
const (
	// BusyTimeoutMS is how long a statement waits for another process.
	BusyTimeoutMS = 5000
	// MaxReaders is how many queries run at once; more wait.
	MaxReaders = 4
)

// Store is an open books file.
type Store struct {
	path  string
	write *sql.DB // nil when opened for reading
	read  *sql.DB
	names *names // of the writer
	known *names // of the readers
	close func() error

	// Of the writer, guarded by names.mu. It has one connection for good, so
	// that statements stay prepared.
	conn       *sql.Conn
	statements map[string]*sql.Stmt
	kept       kept
}

var (
	_ settle.Store  = (*Store)(nil)
	_ settle.Reader = (*Store)(nil)
)

// Open opens the books for appending, makes the file when it is missing and
// brings an older schema up to date.
func Open(ctx context.Context, path string) (*Store, error) {
	if err := private(path); err != nil {
		return nil, err
	}
	if _, err := SchemaOf(ctx, path); err != nil {
		return nil, err // before anything is changed
	}
	write, err := open(path, "rwc", "synchronous(NORMAL)", "journal_mode(WAL)")
	if err != nil {
		return nil, err
	}
	write.SetMaxOpenConns(1)
	if err := migrate(ctx, write, path, nil); err != nil {
		return nil, errors.Join(err, write.Close())
	}
	s, err := openReader(path)
	if err != nil {
		return nil, errors.Join(err, write.Close())
	}
	s.write, s.names, s.statements = write, newNames(), map[string]*sql.Stmt{}
	if s.conn, err = write.Conn(ctx); err != nil {
		return nil, errors.Join(fmt.Errorf("open books at %s: %w", path, err), s.read.Close(), write.Close())
	}
	s.close = sync.OnceValue(func() error {
		gathered := s.Gather(context.Background())
		for _, statement := range s.statements {
			_ = statement.Close()
		}
		return errors.Join(gathered, s.read.Close(), s.conn.Close(), write.Close())
	})
	if err := s.Gather(ctx); err != nil {
		return nil, errors.Join(fmt.Errorf("open books at %s: %w", path, err), s.Close())
	}
	return s, nil
}

// OpenReader opens existing books for reading only, beside a process that
// appends or without one.
func OpenReader(ctx context.Context, path string) (*Store, error) {
	if _, err := os.Stat(path); errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("there are no books at %s: give the --data directory of a process that has served: %w", path, fs.ErrNotExist)
	}
	s, err := openReader(path)
	if err != nil {
		return nil, err
	}
	latest, err := latestVersion()
	if err == nil {
		var have int
		if have, err = version(ctx, s.read, path); err == nil && have > latest {
			err = newer(path, have, latest)
		} else if err == nil && have < latest {
			err = fmt.Errorf("the books at %s have schema %d and this version needs %d: run accordo migrate on the data directory, or start the serving process once", path, have, latest)
		}
	}
	if err != nil {
		return nil, errors.Join(err, s.Close())
	}
	return s, nil
}

func openReader(path string) (*Store, error) {
	mode, err := readMode(path)
	if err != nil {
		return nil, err
	}
	read, err := open(path, mode, "query_only(1)")
	if err != nil {
		return nil, err
	}
	read.SetMaxOpenConns(MaxReaders)
	s := &Store{path: path, read: read, known: newNames()}
	s.close = sync.OnceValue(read.Close)
	return s, nil
}

// readMode is how books are opened for reading: "rw", because readers beside a
// writer share memory in a file, or "ro" on a disk that is read-only here.
// A log beside the books, also an empty one, says that a process was killed or
// writes them from where they can be written: both would be overlooked, so that
// it is refused.
func readMode(path string) (string, error) {
	if !onReadOnlyDisk(path) {
		return "rw", nil
	}
	if _, err := os.Stat(path + "-wal"); !errors.Is(err, fs.ErrNotExist) {
		return "", fmt.Errorf("read the books at %s: a process writes them or was killed (%s is there), and the disk is read-only here: stop it, or copy the data directory to one that can be written", path, filepath.Base(path)+"-wal")
	}
	return "ro", nil
}

// Close closes the file. It may be called again.
func (s *Store) Close() error { return s.close() }

func open(path, mode string, pragmas ...string) (*sql.DB, error) {
	abs, err := filepath.Abs(path)
	if err != nil {
		return nil, fmt.Errorf("open books: %w", err)
	}
	q := url.Values{"mode": {mode}, "_txlock": {"immediate"}}
	if mode != "rwc" {
		q.Set("_txlock", "deferred")
	}
	if mode == "ro" {
		q.Set("immutable", "1")
	}
	q.Add("_pragma", fmt.Sprintf("busy_timeout(%d)", BusyTimeoutMS))
	for _, p := range pragmas {
		q.Add("_pragma", p)
	}
	db, err := sql.Open("sqlite", (&url.URL{Scheme: "file", Path: abs, RawQuery: q.Encode()}).String())
	if err != nil {
		return nil, fmt.Errorf("open books at %s: %w", path, err)
	}
	return db, nil
}

// names interns texts: one id per text, the same in memory and in the file.
type names struct {
	mu   sync.Mutex
	ids  map[string]int64
	text map[int64]string
	last int64
}

func newNames() *names {
	return &names{ids: map[string]int64{"": 0}, text: map[int64]string{0: ""}}
}

// querier is what a database and a transaction have in common.
type querier interface {
	QueryContext(ctx context.Context, query string, args ...any) (*sql.Rows, error)
}

// load reads the names that were added since the last call.
func (n *names) load(ctx context.Context, q querier) error {
	rows, err := q.QueryContext(ctx, "SELECT id, text FROM name WHERE id > ? ORDER BY id", n.last)
	if err != nil {
		return err
	}
	defer rows.Close()
	for rows.Next() {
		var id int64
		var text string
		if err := rows.Scan(&id, &text); err != nil {
			return err
		}
		n.ids[text], n.text[id], n.last = id, text, id
	}
	return rows.Err()
}

// lookup returns the text of an id that a reader met.
func (n *names) lookup(ctx context.Context, q querier, id int64) (string, error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if _, ok := n.text[id]; !ok {
		if err := n.load(ctx, q); err != nil {
			return "", err
		}
	}
	text, ok := n.text[id]
	if !ok {
		return "", fmt.Errorf("the books are damaged: name %d is missing", id)
	}
	return text, nil
}

// private makes the file before the engine does, so that only its owner may
// read it; the engine gives its side files the same mode.
func private(path string) error {
	f, err := os.OpenFile(path, os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return fmt.Errorf("open books: %w", err)
	}
	return f.Close()
}
