package app

import (
	"context"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"go.opentelemetry.io/otel/sdk/trace/tracetest"

	"github.com/accordo-ai/accordo/internal/gateway"
)

func TestTracer_IsOffWithoutACollector(t *testing.T) {
	for name, env := range map[string][2]string{
		"no variable":         {"", ""},
		"OpenTelemetry's off": {"http://127.0.0.1:1", "true"},
	} {
		t.Setenv("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "")
		t.Setenv("OTEL_EXPORTER_OTLP_ENDPOINT", env[0])
		t.Setenv("OTEL_SDK_DISABLED", env[1])
		if tr, err := newTracer("1", slog.New(slog.DiscardHandler)); err != nil || tr != nil {
			t.Errorf("%s: %v, %v", name, tr, err)
		}
	}
}

func TestMeter_IsOffWithoutACollector(t *testing.T) {
	for name, env := range map[string][4]string{
		"no variable":            {},
		"a collector of traces":  {"", "http://127.0.0.1:1", "", ""},
		"OpenTelemetry's off":    {"http://127.0.0.1:1", "", "TRUE", ""},
		"no exporter of metrics": {"http://127.0.0.1:1", "", "", "none"},
	} {
		t.Setenv("OTEL_EXPORTER_OTLP_ENDPOINT", env[0])
		t.Setenv("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", env[1])
		t.Setenv("OTEL_EXPORTER_OTLP_METRICS_ENDPOINT", "")
		t.Setenv("OTEL_SDK_DISABLED", env[2])
		t.Setenv("OTEL_METRICS_EXPORTER", env[3])
		if m, err := newMeter("1", slog.New(slog.DiscardHandler)); err != nil || m != nil {
			t.Errorf("%s: %v, %v", name, m, err)
		}
	}
}

// A collector that takes nothing costs memory for a queue and no time: spans
// beyond it are dropped.
func TestTracer_DropsSpansWhenTheCollectorHangs(t *testing.T) {
	release := make(chan struct{})
	s := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		select {
		case <-release:
		case <-r.Context().Done():
		}
	}))
	defer s.Close()
	t.Setenv("OTEL_EXPORTER_OTLP_ENDPOINT", s.URL)
	t.Setenv("OTEL_SDK_DISABLED", "")
	tr, err := newTracer("1", slog.New(slog.DiscardHandler))
	if err != nil || tr == nil {
		t.Fatal(tr, err)
	}
	defer tr.close()
	defer close(release) // before the last spans are sent
	for range 3 * spanQueue {
		span := tr.Request(time.Now(), "")
		span.Attempt(time.Now()).End(time.Now(), gateway.AttemptTrace{})
		span.End("chat", &gateway.Row{Status: 200})
	}
}

// tracerToNobody sends its spans to an address where nobody listens, and does
// not wait for that at the end.
func tracerToNobody(t *testing.T) *tracer {
	t.Setenv("OTEL_EXPORTER_OTLP_ENDPOINT", "http://127.0.0.1:1")
	t.Setenv("OTEL_SDK_DISABLED", "")
	tr, err := newTracer("1", slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		ended, end := context.WithCancel(context.Background())
		end()
		_ = tr.provider.Shutdown(ended)
	})
	return tr
}

func TestTracer_TakesOnlyATraceThatIsOne(t *testing.T) {
	tr := tracerToNobody(t)
	const good = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"
	for name, row := range map[string]struct {
		sent  string
		taken bool
	}{
		"a trace":        {good, true},
		"nothing":        {"", false},
		"zeros":          {"00-00000000000000000000000000000000-00f067aa0ba902b7-01", false},
		"too short":      {good[:20], false},
		"a line break":   {good + "\r\nEvil: 1", false},
		"something long": {strings.Repeat("a", 10_000), false},
	} {
		got := tr.Request(time.Now(), row.sent).Attempt(time.Now()).Traceparent()
		if len(got) != len(good) || strings.HasPrefix(got, good[:36]) != row.taken {
			t.Errorf("%s: %q", name, got)
		}
	}
}

// Names that clients and providers choose are cut: a trace is no place for a
// prompt that is sent as the name of a model.
func TestTracer_CutsTextsThatOthersChoose(t *testing.T) {
	tr := tracerToNobody(t)
	seen := tracetest.NewSpanRecorder()
	tr.provider.RegisterSpanProcessor(seen)
	long := strings.Repeat("x", 100_000)
	span := tr.Request(time.Now(), "")
	span.Attempt(time.Now()).End(time.Now(), gateway.AttemptTrace{Operation: "chat", Asked: "m", Answered: long, Upstream: long, Outcome: long})
	span.End("chat", &gateway.Row{Asked: long, Status: 404, Code: "model_not_found"})
	texts := 0
	for _, s := range seen.Ended() {
		if len(s.Name()) > spanText {
			t.Errorf("a span's name has %d bytes", len(s.Name()))
		}
		for _, a := range s.Attributes() {
			if v := a.Value.AsString(); strings.HasPrefix(v, "x") {
				texts++
				if len(v) != spanText {
					t.Errorf("%s has %d bytes", a.Key, len(v))
				}
			}
		}
	}
	if texts != 4 {
		t.Errorf("%d texts of others were seen, want 4", texts)
	}
}
