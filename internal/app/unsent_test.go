package app

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"strings"
	"testing"

	"go.opentelemetry.io/otel/exporters/otlp/otlptrace/otlptracehttp"
)

func TestUnsent_TellsEachFaultOnceAndNotMoreThanItsLimit(t *testing.T) {
	var b bytes.Buffer
	u := &unsent{log: slog.New(slog.NewTextHandler(&b, nil)), said: map[string]bool{}}
	for range 3 {
		u.Handle(errors.New("refused"))
		u.Handle(errors.New("timed out"))
	}
	if n := strings.Count(b.String(), "\n"); n != 2 {
		t.Errorf("two faults, three times each, are told in %d lines: %s", n, b.String())
	}
	for i := range 3 * unsentKinds {
		u.Handle(fmt.Errorf("fault %d", i))
	}
	if n := strings.Count(b.String(), "\n"); n != unsentKinds {
		t.Errorf("%d lines, want the limit, %d", n, unsentKinds)
	}
}

// A collector may answer with the key that it was sent, and OpenTelemetry
// prints what it cannot read: none of it is logged or printed.
func TestUnsent_TellsNoCredentialOfTheCollector(t *testing.T) {
	t.Setenv("OTEL_EXPORTER_OTLP_HEADERS", "api-key=planted-one, x-team = planted-two,authorization=Bearer%20planted-five")
	var b bytes.Buffer
	log := slog.New(slog.NewTextHandler(&b, nil))
	u := &unsent{log: log, said: map[string]bool{}}
	u.Handle(errors.New("traces export: 401 Unauthorized (body: no such key planted-three)"))
	u.Handle(errors.New("partial success: planted-one and Bearer planted-five are over their quota" + strings.Repeat("x", 4*unsentText)))
	if !strings.Contains(b.String(), "401 Unauthorized") || !strings.Contains(b.String(), "partial success: … and … are") || strings.Contains(b.String(), "planted") || b.Len() > 2*unsentText+400 {
		t.Errorf("told:\n%s", b.String())
	}

	b.Reset()
	t.Setenv("OTEL_EXPORTER_OTLP_HEADERS", "api-key=planted%zz,x planted-four")
	stderr := os.Stderr
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	os.Stderr = w
	quietSettings(log)
	exporter, err := otlptracehttp.New(t.Context())
	os.Stderr = stderr
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = exporter.Shutdown(t.Context()) }()
	w.Close()
	printed, err := io.ReadAll(r)
	if err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(b.String(), "parse headers") || strings.Contains(b.String()+string(printed), "planted") {
		t.Errorf("logged:\n%s\nprinted:\n%s", b.String(), printed)
	}
}
