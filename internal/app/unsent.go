package app

import (
	"context"
	"log/slog"
	"net/url"
	"os"
	"strings"
	"sync"

	"github.com/go-logr/logr"
	"go.opentelemetry.io/otel"
)

const (
	// unsentKinds bounds the faults of sending that are told.
	unsentKinds = 20
	// unsentText bounds what is told of one, in bytes.
	unsentText = 512
)

// unsent tells each fault of sending once: a collector that is away is asked
// again every few seconds, and what is served does not wait for it.
type unsent struct {
	log  *slog.Logger
	mu   sync.Mutex
	said map[string]bool
}

// Handle tells a fault that was not told before. What the collector answered
// is left out: it may repeat the credential that it was sent.
func (u *unsent) Handle(err error) {
	text, _, _ := strings.Cut(err.Error(), " (body:")
	text = withoutCredentials(text, os.Environ())
	if len(text) > unsentText {
		text = strings.ToValidUTF8(text[:unsentText], "") + "…"
	}
	u.mu.Lock()
	defer u.mu.Unlock()
	if !u.said[text] && len(u.said) < unsentKinds {
		u.said[text] = true
		u.log.Warn("traces or metrics were not sent; the same fault is not told again", "error", text)
	}
}

// withoutCredentials takes the values of the headers for collectors out of a
// text: as they are written, and as they are sent.
func withoutCredentials(text string, environment []string) string {
	for _, v := range environment {
		name, list, _ := strings.Cut(v, "=")
		if !strings.HasPrefix(name, "OTEL_EXPORTER_OTLP_") || !strings.HasSuffix(name, "HEADERS") {
			continue
		}
		for header := range strings.SplitSeq(list, ",") {
			_, value, _ := strings.Cut(header, "=")
			sent, _ := url.PathUnescape(value)
			for _, v := range []string{value, sent} {
				if v = strings.TrimSpace(v); v != "" {
					text = strings.ReplaceAll(text, v, "…")
				}
			}
		}
	}
	return text
}

// quietSettings has OpenTelemetry say what it cannot read of its variables in
// our log and without their values, which hold credentials. It prints them to
// the standard error otherwise.
func quietSettings(log *slog.Logger) {
	otel.SetLogger(logr.FromSlogHandler(&valueless{log: log, said: map[string]bool{}}))
}

// valueless passes on what a message says and nothing else of it, each once.
type valueless struct {
	log  *slog.Logger
	mu   sync.Mutex
	said map[string]bool
}

// settingLevel is that of OpenTelemetry's warnings; what is below is for its authors.
const settingLevel = slog.Level(-1)

// Enabled reports whether a message is a warning or an error.
func (h *valueless) Enabled(_ context.Context, level slog.Level) bool { return level >= settingLevel }

// Handle logs the message without its values.
func (h *valueless) Handle(_ context.Context, r slog.Record) error {
	h.mu.Lock()
	defer h.mu.Unlock()
	if !h.said[r.Message] && len(h.said) < unsentKinds {
		h.said[r.Message] = true
		h.log.Warn("a setting of OpenTelemetry cannot be used as it is written; look at the variables OTEL_*", "about", r.Message)
	}
	return nil
}

// WithAttrs drops attributes.
func (h *valueless) WithAttrs([]slog.Attr) slog.Handler { return h }

// WithGroup drops the group.
func (h *valueless) WithGroup(string) slog.Handler { return h }
