package app

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/accordo-ai/accordo/examples"
	"github.com/accordo-ai/accordo/internal/alliance"
	"github.com/accordo-ai/accordo/internal/alliance/file"
)

// builtIn is the path of the example inside the binary.
const builtIn = "openai-amazon/alliance.yaml"

// loadTerms reads an alliance file, or the built-in example when name is empty.
func loadTerms(name string) (*alliance.Alliance, error) {
	a, _, err := loadTermsWarned(name)
	return a, err
}

func loadTermsWarned(name string) (*alliance.Alliance, []file.Fault, error) {
	if name == "" {
		return file.LoadFS(examples.FS, builtIn, "examples")
	}
	return file.Check(name)
}

// Check reports every fault of an alliance file to w, or what the file holds
// when it has none.
func Check(w io.Writer, name string, asJSON bool) error {
	a, warnings, err := loadTermsWarned(name)
	var faults *file.Faults
	switch {
	case errors.As(err, &faults):
		report := file.Report
		if asJSON {
			report = file.ReportJSON
		}
		if err := report(w, faults); err != nil {
			return err
		}
		return ExitError{Code: ExitWrong}
	case err != nil:
		return err
	case asJSON:
		return json.NewEncoder(w).Encode(map[string]any{"faults": []file.Fault{}, "warnings": append([]file.Fault{}, warnings...), "hash": a.Hash})
	}
	for _, f := range warnings {
		if _, err := fmt.Fprintf(w, "%s:%d:%d: warning: %s (%s)\n", f.File, f.Line, f.Column, f.Problem, f.Remedy); err != nil {
			return err
		}
	}
	_, err = fmt.Fprintf(w, "%s: no fault. %d claims, %d contracts, %d pools, %d models, %d rights, %d prices, %d plans, %d variants, %d tenants. Terms %s\n",
		name, len(a.Claims), len(a.Contracts), len(a.Pools), len(a.Models)+len(a.Families), len(a.Rights), len(a.Prices), len(a.Plans), len(a.Variants), len(a.Tenants), a.Hash[:12])
	return err
}

// parseInstant reads a civil day or an RFC 3339 instant; empty is now.
func parseInstant(flag, s string, now time.Time) (time.Time, error) {
	if s == "" {
		return now, nil
	}
	var d alliance.Date
	if err := d.UnmarshalText([]byte(s)); err != nil {
		return time.Time{}, ExitError{ExitUsage, fmt.Errorf("--%s %q is not a date: write 2026-01-15 or 2026-01-15T12:00:00Z", flag, s)}
	}
	return d.Time, nil
}
