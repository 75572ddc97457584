package app

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/accordo-ai/accordo/examples"
	"github.com/accordo-ai/accordo/internal/alliance/file"
	"github.com/accordo-ai/accordo/internal/datadir"
	"github.com/accordo-ai/accordo/internal/focus"
	"github.com/accordo-ai/accordo/internal/focusfile"
	"github.com/accordo-ai/accordo/internal/journal"
	"github.com/accordo-ai/accordo/internal/record"
	"github.com/accordo-ai/accordo/internal/settle"
	"github.com/accordo-ai/accordo/internal/store/sqlite"
	"github.com/accordo-ai/accordo/internal/usage"
)

// booked makes a data directory with n requests of the second example in its
// journal and books, and one attempt in suspense.
func booked(t *testing.T, n int) string {
	t.Helper()
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	data := t.TempDir()
	dir, err := datadir.Open(data)
	must(err)
	defer dir.Close()
	a, _, err := file.LoadFS(examples.FS, "two-reservations/alliance.yaml", "examples")
	must(err)
	must(dir.SaveTerms(a.Hash, file.Canonical(a)))
	j, _, err := journal.Open(dir.Journal(), journal.Options{Node: dir.Node()})
	must(err)
	defer j.Close()
	ctx := t.Context()
	pools := [...][3]string{{"azure-reserved", "gpt-large@2026-01", ""}, {"own-rack", "open-small@1", ""}, {"azure-overflow", "gpt-large@2026-01", "azure-large"}, {"bedrock-overflow", "gpt-large@2026-01", "bedrock-large"}}
	for i := range n {
		p := pools[i%len(pools)]
		in := &record.Intent{
			Attempt: record.AttemptID(fmt.Sprintf("a%d", i)), Request: fmt.Sprintf("r%d", i), Number: 1, Terms: a.Hash, Tenant: string(a.Tenants[0].ID),
			Plan: string(a.Plans[0].ID), Channel: "internal", Territory: "DE", Model: p[1], Pool: p[0], CostPrice: p[2],
		}
		sequence, err := j.Intent(ctx, in)
		must(err)
		out := &record.Outcome{Attempt: in.Attempt, Intent: sequence, Status: record.Served, Usage: usage.Vector{UncachedInput: int64(100 + 7*i), CacheRead: int64(i % 3), Output: int64(11 + i)}}
		if i == n-1 {
			out.Status, out.Reason = record.Suspense, "client_left"
		}
		_, err = j.Outcome(ctx, out)
		must(err)
	}
	_, err = j.Mark(ctx)
	must(err)
	store, err := sqlite.Open(ctx, dir.Books())
	must(err)
	defer store.Close()
	s, err := settle.New(ctx, j, store, termsFrom(dir), slog.New(slog.DiscardHandler))
	must(err)
	must(s.CatchUp(ctx))
	return data
}

func TestExportFocus_WritesEveryDatasetInBothFormats(t *testing.T) {
	data, out := booked(t, 41), t.TempDir()
	now := time.Now().Add(48 * time.Hour)
	for _, dataset := range []focus.Dataset{focus.CostAndUsage, focus.ContractCommitment, focus.BillingPeriod, focus.InvoiceDetail} {
		var tables []focus.Table
		for _, format := range []string{"csv", "parquet"} {
			var text bytes.Buffer
			err := ExportFocus(t.Context(), &text, data, FocusOrder{Dataset: string(dataset), FocusVersion: "1.4", Format: format, Out: out, JSON: true, Version: "test", Now: now})
			if err != nil {
				t.Fatalf("%s as %s: %v\n%s", dataset, format, err, &text)
			}
			var said exported
			if err := json.Unmarshal(text.Bytes(), &said); err != nil {
				t.Fatal(err)
			}
			if said.Own.Failed != 0 || said.Own.Passed == 0 || said.Own.Identities != nil {
				t.Errorf("%s: %+v", dataset, said.Own)
			}
			table, err := focusfile.Read(said.File)
			if err != nil || len(table.Rows) != said.Rows {
				t.Fatalf("%s: %d rows in the file, %d said: %v", dataset, len(table.Rows), said.Rows, err)
			}
			if rows := len(table.Rows); (rows == 0) != (dataset == focus.InvoiceDetail) {
				t.Errorf("%s has %d rows", dataset, rows)
			}
			tables = append(tables, table)
			about, err := os.ReadFile(said.Metadata)
			if err != nil {
				t.Fatal(err)
			}
			var m focus.Metadata
			if err := json.Unmarshal(about, &m); err != nil || m.Schema.FocusVersion != "1.4" || len(m.Schema.ColumnDefinition) != len(table.Columns) || m.Notice == "" {
				t.Errorf("%s: metadata: %v: %s", dataset, err, about)
			}
			if dataset == focus.CostAndUsage && (said.Totals.Suspense.Attempts != 1 || !strings.Contains(said.Says, "1 attempts are suspense")) {
				t.Errorf("what is in suspense is not said: %+v %q", said.Totals, said.Says)
			}
		}
		for i := range tables[0].Columns { // CSV keeps no types
			tables[1].Columns[i].Type = focus.Untyped
		}
		if !slices.EqualFunc(tables[0].Rows, tables[1].Rows, slices.Equal) || !slices.Equal(tables[0].Columns, tables[1].Columns) {
			t.Errorf("%s: CSV and Parquet hold different tables", dataset)
		}
	}
}

// breaking is a file of one rule that no export keeps.
const breaking = `{"Details":{"FOCUSVersion":"1.2"},"ModelRules":{"Never":{"ValidationCriteria":{"MustSatisfy":"No row is a purchase.","Keyword":"MUST","Requirement":{"CheckFunction":"CheckNotValue","ColumnName":"ChargeCategory","Value":"Purchase"}}}}}`

func TestExportFocus_ChecksTheWrittenFileByGivenRules(t *testing.T) {
	data, out := booked(t, 12), t.TempDir()
	rules := filepath.Join(out, "rules.json")
	if err := os.WriteFile(rules, []byte(breaking), 0o600); err != nil {
		t.Fatal(err)
	}
	order := FocusOrder{Dataset: "cost-and-usage", FocusVersion: "1.2", Format: "csv", Out: out, Rules: rules, Now: time.Now().Add(time.Hour)}
	var text bytes.Buffer
	err := ExportFocus(t.Context(), &text, data, order)
	var exit ExitError
	if !errors.As(err, &exit) || exit.Code != ExitWrong {
		t.Fatalf("a rule that fails: %v", err)
	}
	for _, want := range []string{"1 rules, 0 passed, 1 failed", "Never: column ChargeCategory, row ", "No row is a purchase."} {
		if !strings.Contains(text.String(), want) {
			t.Errorf("%q is not said:\n%s", want, &text)
		}
	}
	if name := os.Getenv("ACCORDO_FOCUS_RULES"); name != "" {
		for _, order.Format = range []string{"csv", "parquet"} {
			order.Rules = name
			text.Reset()
			if err := ExportFocus(t.Context(), &text, data, order); err != nil || !strings.Contains(text.String(), "621 rules") || !strings.Contains(text.String(), ", 0 failed") {
				t.Errorf("published rules over %s: %v\n%s", order.Format, err, &text)
			}
		}
	}
}

func TestExportFocus_RefusesWhatItCannotDo(t *testing.T) {
	data, out := booked(t, 4), t.TempDir()
	rules := filepath.Join(out, "rules.json")
	if err := os.WriteFile(rules, []byte(breaking), 0o600); err != nil {
		t.Fatal(err)
	}
	base := FocusOrder{Dataset: "cost-and-usage", FocusVersion: "1.4", Format: "csv", Out: out, Now: time.Now()}
	for name, row := range map[string]struct {
		change func(*FocusOrder)
		code   int
	}{
		"a dataset of another version": {func(o *FocusOrder) { o.Dataset, o.FocusVersion = "billing-period", "1.2" }, ExitUsage},
		"rules for another version":    {func(o *FocusOrder) { o.Rules = rules }, ExitUsage},
		"a day that is none":           {func(o *FocusOrder) { o.From = "soon" }, ExitUsage},
		"an end before the beginning":  {func(o *FocusOrder) { o.From, o.Until = "2026-02-01", "2026-01-01" }, ExitUsage},
		"rules that are none":          {func(o *FocusOrder) { o.FocusVersion, o.Rules = "1.2", filepath.Join(data, "node") }, ExitWrong},
	} {
		order := base
		row.change(&order)
		err := ExportFocus(context.Background(), io.Discard, data, order)
		code := ExitWrong
		var exit ExitError
		if errors.As(err, &exit) {
			code = exit.Code
		}
		if err == nil || code != row.code {
			t.Errorf("%s: code %d, %v", name, code, err)
		}
	}
	if err := ExportFocus(context.Background(), io.Discard, t.TempDir(), base); !errors.Is(err, datadir.ErrNone) {
		t.Errorf("no data directory: %v", err)
	}
}
