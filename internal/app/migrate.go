package app

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"path/filepath"
	"text/tabwriter"

	"github.com/accordo-ai/accordo/internal/alliance/file"
	"github.com/accordo-ai/accordo/internal/datadir"
	"github.com/accordo-ai/accordo/internal/journal"
	"github.com/accordo-ai/accordo/internal/store/sqlite"
)

// formatPlan is one format of a data directory: what stands there, what this
// program writes, and what migrating does.
type formatPlan struct {
	Format string             `json:"format"`
	Found  string             `json:"found"`
	Writes string             `json:"writes"`
	Steps  []sqlite.Migration `json:"steps,omitempty"`
}

// migration is the plan of a data directory and what came of it.
type migration struct {
	Formats []formatPlan `json:"formats"`
	Steps   int          `json:"steps"`
	DryRun  bool         `json:"dry_run"`
	Copy    string       `json:"copy,omitempty"` // of the books as they were
}

// Migrate brings a data directory to the formats of this program, or says
// what that would do. It refuses what a newer version wrote, and a directory
// that is being served.
func Migrate(ctx context.Context, w io.Writer, data string, dry, asJSON bool) error {
	if err := existing(data); err != nil {
		return err
	}
	if !dry {
		dir, err := datadir.Open(filepath.Clean(data))
		if errors.Is(err, datadir.ErrLocked) {
			return fmt.Errorf("%w: stop the serving process first", err)
		}
		if err != nil {
			return newerRemedy(err)
		}
		defer dir.Close()
	}
	m := migration{DryRun: dry}
	dir, err := datadir.OpenReadOnly(data)
	if err != nil {
		return err
	}
	if err := m.plan(ctx, dir); err != nil {
		return newerRemedy(err)
	}
	if m.Steps > 0 && !dry {
		if m.Copy, err = sqlite.Migrate(ctx, dir.Books()); err != nil {
			return err
		}
	}
	return show(w, asJSON, m, func(w io.Writer) error { return writeMigration(w, &m) })
}

func existing(data string) error {
	dir, err := datadir.OpenReadOnly(data)
	if err != nil {
		return err
	}
	return dir.Close()
}

// newerRemedy completes errors of formats that a newer version wrote.
func newerRemedy(err error) error {
	if errors.Is(err, datadir.ErrFact) {
		return fmt.Errorf("%w: a newer version may have written it", err)
	}
	return err
}

func (m *migration) plan(ctx context.Context, dir *datadir.Dir) error {
	j, err := journal.Look(journal.OS(), dir.Journal())
	if err != nil {
		return err
	}
	m.Formats = append(m.Formats, formatPlan{Format: "journal", Found: fmt.Sprintf("version %d, %d segments, %d bytes", journal.FormatVersion, j.Segments, j.Bytes), Writes: fmt.Sprintf("version %d", journal.FormatVersion)})
	facts, err := dir.Facts()
	if err != nil {
		return err
	}
	m.Formats = append(m.Formats, formatPlan{Format: "facts", Found: fmt.Sprintf("%d lines, all read", len(facts)), Writes: "the same"})
	hashes, err := dir.TermsHashes()
	if err != nil {
		return err
	}
	for _, hash := range hashes {
		text, err := dir.Terms(hash)
		if err != nil {
			return err
		}
		if a, err := file.Parse("terms/"+hash, text); err != nil || a.Hash != hash {
			return fmt.Errorf("the terms %s cannot be read by this version as they were written: use the version that wrote them: %w", hash, errors.Join(err, datadir.ErrTerms))
		}
	}
	m.Formats = append(m.Formats, formatPlan{Format: "terms", Found: fmt.Sprintf("%d versions, all read", len(hashes)), Writes: "the same"})
	schema, err := sqlite.SchemaOf(ctx, dir.Books())
	books := formatPlan{Format: "books", Found: fmt.Sprintf("schema %d", schema.Have), Writes: fmt.Sprintf("schema %d", schema.Latest), Steps: schema.Steps}
	switch {
	case errors.Is(err, fs.ErrNotExist):
		books.Found, books.Writes = "none: posted from the journal at the next start", "-"
	case err != nil:
		return err
	}
	m.Formats = append(m.Formats, books)
	m.Steps = len(schema.Steps)
	return nil
}

func writeMigration(w io.Writer, m *migration) error {
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintln(t, "FORMAT\tFOUND\tTHIS VERSION WRITES\t")
	for _, f := range m.Formats {
		fmt.Fprintf(t, "%s\t%s\t%s\t\n", f.Format, f.Found, f.Writes)
	}
	if err := t.Flush(); err != nil {
		return err
	}
	for _, f := range m.Formats {
		for _, s := range f.Steps {
			fmt.Fprintf(w, "%s, schema %d: %s\n", f.Format, s.To, s.Says)
		}
	}
	var err error
	switch {
	case m.Steps == 0:
		_, err = fmt.Fprintln(w, "nothing to do: this version reads and writes all of it")
	case m.DryRun:
		_, err = fmt.Fprintln(w, "DRY RUN: nothing was changed. All steps are one transaction, and a copy of the books is kept before")
	default:
		_, err = fmt.Fprintf(w, "done; the books as they were are in %s, remove it when accordo ledger verify is content\n", m.Copy)
	}
	return err
}
