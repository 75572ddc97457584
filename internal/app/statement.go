package app

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"

	"github.com/accordo-ai/accordo/internal/alliance"
	"github.com/accordo-ai/accordo/internal/ledger"
	"github.com/accordo-ai/accordo/internal/paper"
	"github.com/accordo-ai/accordo/internal/settle"
)

// StatementQuestion asks for the statement of a party.
type StatementQuestion struct {
	Party  string
	Month  string // YYYY-MM
	Mirror bool   // as the party sees it
	JSON   bool
	CSV    bool
	PDF    string // file to write
}

// Statement writes what stands between the operator and a party in a month,
// by the last terms in the books.
func Statement(ctx context.Context, w io.Writer, data string, q StatementQuestion) error {
	b, err := openMonth(ctx, data, q.Month)
	if err != nil {
		return err
	}
	defer b.Close()
	s, err := b.statement(ctx, q.Party)
	if err != nil {
		return err
	}
	if q.Mirror {
		s = s.Mirror()
	}
	if q.PDF != "" {
		return statementFile(w, b.terms.Alliance(), s, q.PDF)
	}
	if q.CSV {
		return settle.WriteStatementCSV(w, s)
	}
	return show(w, q.JSON, s, func(w io.Writer) error { return settle.WriteStatement(w, s) })
}

// statementFile writes a statement as a PDF file whole, or not at all.
func statementFile(w io.Writer, a *alliance.Alliance, s *settle.Statement, name string) error {
	v := statementView(a, s)
	var b bytes.Buffer
	if err := paper.Write(&b, statementPaper(&v)); err != nil {
		return err
	}
	if err := os.WriteFile(name, b.Bytes(), 0o600); err != nil {
		return err
	}
	_, err := fmt.Fprintf(w, "wrote %s, %d bytes\n", name, b.Len())
	return err
}

// lastTerms returns the terms of the last request in the books, and the last
// closed month.
func (b *books) lastTerms(ctx context.Context) (*ledger.Terms, int32, error) {
	head, err := b.store.Head(ctx)
	if err != nil {
		return nil, 0, err
	}
	if head.Terms == "" {
		return nil, 0, errors.New("the books are empty: no request has been booked yet")
	}
	facts, err := b.dir.Booked()
	if err != nil {
		return nil, 0, err
	}
	facts = facts[:min(uint64(len(facts)), head.Facts)]
	book := ledger.New(termsFrom(b.dir))
	if err := book.Recall(facts); err != nil {
		return nil, 0, err
	}
	terms, err := book.Terms(head.Terms)
	if err != nil {
		return nil, 0, err
	}
	closed := int32(0)
	for _, f := range facts {
		if f.MonthClosed != nil {
			closed = f.MonthClosed.Month
		}
	}
	return terms, closed, nil
}
