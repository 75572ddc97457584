package app

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/accordo-ai/accordo/internal/datadir"
)

// simulate plays into a fresh directory and returns what it made.
func simulate(t *testing.T, o SimulateOrder) (string, *Simulated) {
	t.Helper()
	o.Data, o.JSON, o.Version = filepath.Join(t.TempDir(), "data"), true, "test"
	var out bytes.Buffer
	if err := Simulate(t.Context(), &out, o); err != nil {
		t.Fatal(err)
	}
	var r Simulated
	if err := json.Unmarshal(out.Bytes(), &r); err != nil {
		t.Fatal(err)
	}
	return o.Data, &r
}

// kept are the files of a data directory but the books, which are compared by
// their hash: a database may lay the same rows out in two ways.
func kept(t *testing.T, dir string) map[string]string {
	t.Helper()
	files := map[string]string{}
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || !d.Type().IsRegular() || strings.HasPrefix(d.Name(), "books.sqlite") || d.Name() == "LOCK" {
			return err
		}
		b, err := os.ReadFile(path)
		rel, _ := filepath.Rel(dir, path)
		files[rel] = hashSecret(string(b))
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return files
}

func TestSimulate_SameSeedGivesTheSameBytes(t *testing.T) {
	o := SimulateOrder{From: "2026-03", Months: 2, RequestsPerDay: 40, Seed: 11}
	one, first := simulate(t, o)
	two, second := simulate(t, o)
	if diff := cmp.Diff(kept(t, one), kept(t, two)); diff != "" {
		t.Errorf("two plays of one seed differ:\n%s", diff)
	}
	if first.Head != second.Head || first.Records < 1000 {
		t.Errorf("%d records, the last batch is %s and %s", first.Records, first.Head, second.Head)
	}
	if o.Seed++; true {
		if _, other := simulate(t, o); other.Head == first.Head {
			t.Error("another seed gave the same books")
		}
	}
}

func TestSimulate_OtherCommandsReadWhatItMade(t *testing.T) {
	data, r := simulate(t, SimulateOrder{From: "2026-03", Months: 2, RequestsPerDay: 40, Seed: 2})
	var out bytes.Buffer
	if err := VerifyBooks(t.Context(), &out, data, false); err != nil {
		t.Fatalf("%v\n%s", err, &out)
	}
	out.Reset()
	if err := Statement(t.Context(), &out, data, StatementQuestion{Party: "amazon", Month: "2026-03"}); err != nil {
		t.Fatal(err)
	}
	if text := out.String(); !strings.Contains(text, "SIMULATED: all traffic, bills and invoices of these books were simulated") || !strings.Contains(text, "2026-03 (closed)") {
		t.Errorf("the statement is not marked, or not closed:\n%s", text)
	}
	out.Reset()
	if err := ExportFocus(t.Context(), &out, data, FocusOrder{Dataset: "cost-and-usage", FocusVersion: "1.4", Format: "csv", Out: t.TempDir(), Version: "test", Until: "2026-05-01"}); err != nil {
		t.Fatalf("%v\n%s", err, &out)
	}
	if !strings.Contains(out.String(), "SIMULATED: ") {
		t.Errorf("the export is not marked:\n%s", &out)
	}
	for _, total := range r.Trial {
		if total.Debits != total.Credits {
			t.Errorf("%s: debits %s, credits %s", total.Asset, total.Debits, total.Credits)
		}
	}
}

func TestSimulate_Refuses(t *testing.T) {
	used := t.TempDir()
	dir, err := datadir.Open(used)
	if err != nil {
		t.Fatal(err)
	}
	if err := dir.Close(); err != nil {
		t.Fatal(err)
	}
	events := filepath.Join(t.TempDir(), "events")
	if err := os.WriteFile(events, []byte(`{"at":"2026-03-05T00:00:00Z","shortfall":{}}`), 0o600); err != nil {
		t.Fatal(err)
	}
	good := SimulateOrder{From: "2026-03", Months: 1, RequestsPerDay: 5, Seed: 1}
	for _, row := range []struct {
		name   string
		change func(*SimulateOrder)
		usage  bool
		says   string
	}{
		{"a directory that holds something", func(o *SimulateOrder) { o.Data = used }, false, "is not empty"},
		{"no month", func(o *SimulateOrder) { o.From = "March" }, true, "write a month like"},
		{"a month that no instant has", func(o *SimulateOrder) { o.From = "9999-12" }, true, "the months are from 1980 to 2200"},
		{"no months", func(o *SimulateOrder) { o.Months = 0 }, true, "--months is from 1"},
		{"more requests than the limit", func(o *SimulateOrder) { o.RequestsPerDay = MaxSimulatedRequests }, true, "--requests-per-day is from 1 to 1612903"},
		{"an event that nobody knows", func(o *SimulateOrder) { o.Facts = events }, false, `events:1: json: unknown field "shortfall"`},
	} {
		t.Run(row.name, func(t *testing.T) {
			o := good
			o.Data = filepath.Join(t.TempDir(), "data")
			row.change(&o)
			err := Simulate(t.Context(), &bytes.Buffer{}, o)
			var coded ExitError
			if err == nil || !strings.Contains(err.Error(), row.says) || errors.As(err, &coded) != row.usage {
				t.Errorf("error %v", err)
			}
			if _, err := os.Stat(filepath.Join(o.Data, "books.sqlite")); !errors.Is(err, fs.ErrNotExist) {
				t.Error("it made books")
			}
		})
	}
}

func TestSimulate_WhatTheFileSaysOfAMatterIsAllThatHappensInIt(t *testing.T) {
	facts := filepath.Join(t.TempDir(), "facts.jsonl")
	event := `{"at":"2026-07-02T09:00:00Z","delivered":{"contract":"azure-reserved","from":"2026-07-01","tokens_per_minute":100,"reason":"a report"}}`
	if err := os.WriteFile(facts, []byte(event), 0o600); err != nil {
		t.Fatal(err)
	}
	o := SimulateOrder{From: "2026-07", Months: 1, RequestsPerDay: 5, Seed: 7}
	deliveries := func(o SimulateOrder) (list []string) {
		_, r := simulate(t, o)
		for _, f := range r.MadeUp {
			if f.Kind == "delivery" {
				list = append(list, f.Contract)
			}
		}
		return list
	}
	if got := deliveries(o); !slices.Contains(got, "azure-reserved") {
		t.Errorf("late by themselves: %v", got)
	}
	if o.Facts = facts; slices.Contains(deliveries(o), "azure-reserved") {
		t.Error("a delivery that the file tells was made up")
	}
	if o.Facts, o.OnlyGivenFacts = "", true; deliveries(o) != nil {
		t.Error("facts were made up that nobody asked for")
	}
}

func TestSimulate_AMadeUpFactThatTheBooksRefuseDidNotHappen(t *testing.T) {
	terms := filepath.Join(t.TempDir(), "lab.yaml")
	text, err := os.ReadFile("../../examples/commitments/alliance.yaml")
	if err != nil {
		t.Fatal(err)
	}
	// The first floor is so low that a day's use leaves nothing to cut.
	text = bytes.Replace(text, []byte("amount: 1500,"), []byte("amount: 0.01,"), 1)
	text = bytes.Replace(text, []byte("headline: 9000"), []byte("headline: 7500.01"), 1)
	if err := os.WriteFile(terms, text, 0o600); err != nil {
		t.Fatal(err)
	}
	data, r := simulate(t, SimulateOrder{File: terms, From: "2026-01", Months: 1, RequestsPerDay: 100, Seed: 1})
	var refused []string
	for _, f := range r.MadeUp {
		if f.Refused != "" {
			refused = append(refused, f.Kind+": "+f.Refused)
		}
	}
	if len(refused) != 1 || !strings.HasPrefix(refused[0], "true-down: ") || !strings.Contains(refused[0], "what was used cannot be cut") {
		t.Errorf("refused: %q", refused)
	}
	var out bytes.Buffer
	if err := VerifyBooks(t.Context(), &out, data, false); err != nil {
		t.Errorf("%v\n%s", err, &out)
	}
}

func TestSimulate_SaysThatATimeBeforeTheTermsServeIsTooEarly(t *testing.T) {
	o := SimulateOrder{From: "2020-01", Months: 1, RequestsPerDay: 5, Seed: 1, Data: filepath.Join(t.TempDir(), "data")}
	if err := Simulate(t.Context(), &bytes.Buffer{}, o); err == nil || !strings.Contains(err.Error(), "begin with a later month (--from)") {
		t.Errorf("error %v", err)
	}
}

func TestSimulate_InterruptedItLeavesBooksThatAreRight(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	o := SimulateOrder{From: "2026-03", Months: 3, RequestsPerDay: 20, Seed: 1, Data: filepath.Join(t.TempDir(), "data"), Version: "test"}
	o.OnClose = func(int32) error { cancel(); return nil }
	err := Simulate(ctx, &bytes.Buffer{}, o)
	if err == nil || !strings.HasPrefix(err.Error(), "stopped on 2026-04-") || !strings.Contains(err.Error(), "delete the directory to play again") {
		t.Errorf("error %v", err)
	}
	var out bytes.Buffer
	if err := VerifyBooks(t.Context(), &out, o.Data, false); err != nil {
		t.Errorf("%v\n%s", err, &out)
	}
	if err := Simulate(t.Context(), &out, o); err == nil || !strings.Contains(err.Error(), "is not empty") {
		t.Errorf("playing into it again: %v", err)
	}
}

func TestSimulate_DryRunWritesNothing(t *testing.T) {
	o := SimulateOrder{From: "2026-03", Months: 1, RequestsPerDay: 40, Seed: 1, DryRun: true, Data: filepath.Join(t.TempDir(), "data")}
	var out bytes.Buffer
	if err := Simulate(t.Context(), &out, o); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(o.Data); !errors.Is(err, fs.ErrNotExist) || !strings.Contains(out.String(), "DRY RUN: nothing was written\nSIMULATED: ") {
		t.Errorf("%v\n%s", err, &out)
	}
}

func BenchmarkSimulate(b *testing.B) {
	for b.Loop() {
		var out bytes.Buffer
		o := SimulateOrder{From: "2026-01", Months: 12, RequestsPerDay: 550, Seed: 1, Data: filepath.Join(b.TempDir(), "data"), Version: "bench"}
		if err := Simulate(b.Context(), &out, o); err != nil {
			b.Fatal(err)
		}
		b.Log(out.String())
	}
}
