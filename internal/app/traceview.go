package app

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/accordo-ai/accordo/internal/admin"
	"github.com/accordo-ai/accordo/internal/settle"
)

// Trace returns what journal and books hold of a request.
func (s *server) Trace(ctx context.Context, id string) (admin.Trace, error) {
	t, err := settle.Find(ctx, s.store, s.journal.Read, termsFrom(s.dir), s.dir, id)
	if errors.Is(err, settle.ErrUnknown) {
		return admin.Trace{}, admin.ErrNotFound
	}
	if err != nil {
		return admin.Trace{}, err
	}
	versions, err := settle.Versions(termsFrom(s.dir), s.dir)
	if err != nil {
		return admin.Trace{}, err
	}
	list, err := decisions(t, versions)
	if err != nil {
		return admin.Trace{}, err
	}
	var text strings.Builder
	if err := errors.Join(writeDecisions(&text, list), settle.WriteTrace(&text, t)); err != nil {
		return admin.Trace{}, err
	}
	v := admin.Trace{RequestID: id, Text: text.String(), Decisions: list}
	for i := range t.Attempts {
		v.Attempts = append(v.Attempts, attemptView(&t.Attempts[i]))
	}
	return v, nil
}

func attemptView(a *settle.Attempt) admin.Attempt {
	in := a.Intent.Intent
	v := admin.Attempt{
		ID: string(in.Attempt), Number: in.Number, At: time.Unix(0, a.Intent.At).UTC(), State: a.State, Tenant: in.Tenant, Key: in.Key, Plan: in.Plan,
		Channel: in.Channel, Where: in.Territory, Served: in.Model, Pool: in.Pool, Contract: in.Contract, Right: in.Right, Intent: a.Intent.Sequence,
	}
	if in.Variant != "" {
		v.Served = in.Variant
	}
	if a.Outcome == nil || a.Line == nil {
		return v
	}
	out := a.Outcome.Outcome
	v.Outcome, v.Status, v.Reason = a.Outcome.Sequence, outcomeWord(out.Status), out.Reason
	v.Suspense, v.Note, v.Tokens = a.Line.Suspense, a.Line.Note, a.Line.Tokens
	v.TTFT, v.Duration = time.Duration(out.TTFT), time.Duration(out.Duration)
	for i := range a.Line.Postings {
		p := &a.Line.Postings[i]
		shown := admin.Posting{Kind: p.Kind.String(), Debit: string(p.Debit), Credit: string(p.Credit), Exact: settle.Exact(p), Asset: string(p.Asset), Price: p.Price}
		for j := range a.Entries {
			if e := &a.Entries[j]; e.LineKey() == p.Key {
				shown.Entry, shown.Total, shown.Lines = fmt.Sprintf("%d.%d", e.Batch, e.Number), e.Asset.Format(e.Amount), e.Lines
			}
		}
		v.Postings = append(v.Postings, shown)
	}
	return v
}
