package sqlite

import (
	"bufio"
	"context"
	"database/sql"
	"embed"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/accordo-ai/accordo/internal/settle"
)

//go:embed migrations/*.sql
var migrations embed.FS

// Migration is one step from a schema to the next.
type Migration struct {
	To   int    `json:"to"`
	Says string `json:"says"`
}

// Schema is the version of a books file and what would bring it up to date.
type Schema struct {
	Have   int         `json:"have"`
	Latest int         `json:"latest"`
	Steps  []Migration `json:"steps"`
}

// followUps are the parts of migrations that SQL does not say well, by version.
var followUps = map[int]func(w *writer) error{5: followUp5}

// SchemaOf says which schema the file at path has; a newer one than this
// program knows is settle.ErrNewer.
func SchemaOf(ctx context.Context, path string) (s Schema, err error) {
	if _, err := os.Stat(path); err != nil {
		return s, fmt.Errorf("open books: %w", err)
	}
	db, err := open(path, "rw", "query_only(1)")
	if err != nil {
		return s, err
	}
	defer db.Close()
	if s.Have, err = version(ctx, db, path); err != nil {
		return s, err
	}
	files, err := fs.Glob(migrations, "migrations/*.sql")
	if err != nil {
		return s, err
	}
	s.Latest = len(files)
	if s.Have > s.Latest {
		return s, newer(path, s.Have, s.Latest)
	}
	for i := s.Have; i < s.Latest; i++ {
		text, err := migrations.ReadFile(files[i])
		if err != nil {
			return s, err
		}
		s.Steps = append(s.Steps, Migration{i + 1, says(string(text))})
	}
	return s, nil
}

// says is the first comment of a migration, up to its first full stop.
func says(text string) string {
	var words []string
	for lines := bufio.NewScanner(strings.NewReader(text)); lines.Scan(); {
		comment, ok := strings.CutPrefix(lines.Text(), "-- ")
		if !ok {
			break
		}
		words = append(words, comment)
	}
	first, _, _ := strings.Cut(strings.Join(words, " "), ". ")
	return strings.TrimSuffix(first, ".")
}

// Migrate brings the books at path up to date: all steps are one transaction,
// so that a crash leaves the old schema whole or the new one. Before, it keeps
// a copy of books that have anything in them, and returns its path. The caller
// sees to it that nobody else writes.
func Migrate(ctx context.Context, path string) (copied string, err error) {
	schema, err := SchemaOf(ctx, path)
	if err != nil || len(schema.Steps) == 0 {
		return "", err
	}
	db, err := open(path, "rw", "synchronous(FULL)")
	if err != nil {
		return "", err
	}
	db.SetMaxOpenConns(1)
	if schema.Have > 0 {
		copied = fmt.Sprintf("%s.schema%d", path, schema.Have)
		if err := keepCopy(ctx, db, copied); err != nil {
			return "", errors.Join(err, db.Close())
		}
	}
	return copied, errors.Join(migrate(ctx, db, path, nil), db.Close())
}

// keepCopy writes the books to a file under another name first.
func keepCopy(ctx context.Context, db *sql.DB, name string) error {
	if err := os.Remove(name + ".new"); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("keep a copy of the books: %w", err)
	}
	if _, err := db.ExecContext(ctx, "VACUUM INTO ?", name+".new"); err != nil {
		return fmt.Errorf("keep a copy of the books: %w", err)
	}
	f, err := os.OpenFile(name+".new", os.O_RDWR, 0)
	if err != nil {
		return fmt.Errorf("keep a copy of the books: %w", err)
	}
	err = errors.Join(f.Chmod(0o600), f.Sync(), f.Close())
	if err == nil {
		err = os.Rename(name+".new", name)
	}
	if err == nil {
		var dir *os.File
		if dir, err = os.Open(filepath.Dir(name)); err == nil {
			err = errors.Join(dir.Sync(), dir.Close())
		}
	}
	if err != nil {
		return fmt.Errorf("keep a copy of the books: %w", err)
	}
	return nil
}

func version(ctx context.Context, db rowQuerier, path string) (v int, err error) {
	if err := db.QueryRowContext(ctx, "PRAGMA user_version").Scan(&v); err != nil {
		return 0, fmt.Errorf("read the books at %s: %w", path, err)
	}
	return v, nil
}

func latestVersion() (int, error) {
	files, err := fs.Glob(migrations, "migrations/*.sql")
	return len(files), err
}

func newer(path string, have, latest int) error {
	return fmt.Errorf("%w: %s has schema %d, this version knows up to %d: use the version that wrote it, put the copy back that a migration kept beside it, or move the file away and let the books be posted anew from the journal", settle.ErrNewer, path, have, latest)
}

// migrate runs the migrations that the file has not seen, all in one
// transaction. File n of the sorted list makes version n. step, if any, is
// called before each statement and may stop it.
func migrate(ctx context.Context, db *sql.DB, path string, step func() error) error {
	have, err := version(ctx, db, path)
	if err != nil {
		return err
	}
	files, err := fs.Glob(migrations, "migrations/*.sql")
	if err != nil {
		return err
	}
	switch {
	case have > len(files):
		return newer(path, have, len(files))
	case have == len(files):
		return nil
	}
	tx, err := db.BeginTx(ctx, nil)
	if err != nil {
		return fmt.Errorf("bring the books at %s up to date: %w", path, err)
	}
	defer tx.Rollback()                                 //nolint:errcheck // after Commit it does nothing
	if have, err = version(ctx, tx, path); err != nil { // another process may have done it meanwhile
		return err
	}
	for i := have; i < len(files); i++ {
		if err := migrateTo(ctx, tx, i+1, files[i], step); err != nil {
			return fmt.Errorf("bring the books at %s to schema %d: %w", path, i+1, err)
		}
	}
	if step != nil {
		if err := step(); err != nil {
			return err
		}
	}
	return tx.Commit()
}

func migrateTo(ctx context.Context, tx *sql.Tx, to int, file string, step func() error) error {
	text, err := migrations.ReadFile(file)
	if err != nil {
		return err
	}
	w := writer{ctx: ctx, conn: tx, names: newNames(), known: map[string]*sql.Stmt{}, kept: &kept{tail: newTail()}, before: step}
	for statement := range strings.SplitSeq(string(text), ";\n") {
		if strings.TrimSpace(statement) != "" {
			w.exec(statement)
		}
	}
	if follow := followUps[to]; follow != nil && w.err == nil {
		w.err = errors.Join(follow(&w), w.err)
	}
	w.exec(fmt.Sprintf("PRAGMA user_version = %d", to))
	return w.err
}
