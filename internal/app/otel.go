package app

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"strings"
	"time"

	"go.opentelemetry.io/otel"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/exporters/otlp/otlpmetric/otlpmetrichttp"
	"go.opentelemetry.io/otel/metric"
	sdkmetric "go.opentelemetry.io/otel/sdk/metric"
	"go.opentelemetry.io/otel/sdk/metric/exemplar"
	"go.opentelemetry.io/otel/sdk/resource"

	"github.com/accordo-ai/accordo/internal/gateway"
)

const (
	// otelScope names what the spans and figures are of.
	otelScope = "github.com/accordo-ai/accordo"
	// flushTime bounds the sending of what waits at the end.
	flushTime = 3 * time.Second
	// meterSeries bounds the combinations of attributes of one metric; what
	// is beyond it is counted together.
	meterSeries = 2000
)

// exports reports whether OpenTelemetry's own variables name a collector for
// a signal, TRACES or METRICS.
func exports(signal string) bool {
	named := os.Getenv("OTEL_EXPORTER_OTLP_ENDPOINT") != "" || os.Getenv("OTEL_EXPORTER_OTLP_"+signal+"_ENDPOINT") != ""
	return named && !strings.EqualFold(os.Getenv("OTEL_SDK_DISABLED"), "true") && !strings.EqualFold(os.Getenv("OTEL_"+signal+"_EXPORTER"), "none")
}

// aboutProcess is what all spans and figures say of where they come from.
func aboutProcess(version string, log *slog.Logger) (*resource.Resource, error) {
	about, err := resource.New(context.Background(), resource.WithAttributes(attribute.String("service.name", "accordo"), attribute.String("service.version", version)), resource.WithFromEnv())
	if err != nil {
		return nil, fmt.Errorf("%w (look at OTEL_RESOURCE_ATTRIBUTES)", err)
	}
	otel.SetErrorHandler(&unsent{log: log, said: map[string]bool{}})
	return about, nil
}

// meter keeps the figures of the gen_ai conventions and sends them to a
// collector.
type meter struct {
	provider             *sdkmetric.MeterProvider
	tokens               metric.Int64Histogram
	duration, ttft, tpot metric.Float64Histogram // by the names of servers
	operation, chunk     metric.Float64Histogram // the same as their clients see it
}

// newMeter exports to the collector that OpenTelemetry's own variables name;
// it is nil without them. Nothing is asked of the collector here.
func newMeter(version string, log *slog.Logger) (*meter, error) {
	if !exports("METRICS") {
		return nil, nil
	}
	quietSettings(log)
	ctx := context.Background()
	exporter, err := otlpmetrichttp.New(ctx)
	if err != nil {
		return nil, fmt.Errorf("metrics: %w (look at the variables OTEL_EXPORTER_OTLP_*)", err)
	}
	about, err := aboutProcess(version, log)
	if err != nil {
		return nil, errors.Join(fmt.Errorf("metrics: %w", err), exporter.Shutdown(ctx))
	}
	p := sdkmetric.NewMeterProvider(
		sdkmetric.WithReader(sdkmetric.NewPeriodicReader(exporter)), sdkmetric.WithResource(about),
		sdkmetric.WithExemplarFilter(exemplar.AlwaysOffFilter), sdkmetric.WithCardinalityLimit(meterSeries),
	)
	m := &meter{provider: p}
	if err := m.instruments(p.Meter(otelScope)); err != nil {
		return nil, errors.Join(err, p.Shutdown(ctx))
	}
	return m, nil
}

// instruments makes the histograms with the boundaries that the conventions
// advise.
func (m *meter) instruments(of metric.Meter) error {
	var faults [6]error
	operations := metric.WithExplicitBucketBoundaries(0.01, 0.02, 0.04, 0.08, 0.16, 0.32, 0.64, 1.28, 2.56, 5.12, 10.24, 20.48, 40.96, 81.92)
	m.tokens, faults[0] = of.Int64Histogram(
		"gen_ai.client.token.usage", metric.WithUnit("{token}"), metric.WithDescription("Input and output tokens of attempts that the provider billed."),
		metric.WithExplicitBucketBoundaries(1, 4, 16, 64, 256, 1024, 4096, 16384, 65536, 262144, 1048576, 4194304, 16777216, 67108864),
	)
	m.duration, faults[1] = of.Float64Histogram(
		"gen_ai.server.request.duration", metric.WithUnit("s"), metric.WithDescription("Attempts, from the intent to the last byte."), operations,
	)
	m.operation, faults[4] = of.Float64Histogram(
		"gen_ai.client.operation.duration", metric.WithUnit("s"), metric.WithDescription("Attempts as a client of the provider sees them, from the intent to the last byte."), operations,
	)
	m.chunk, faults[5] = of.Float64Histogram(
		"gen_ai.client.operation.time_to_first_chunk", metric.WithUnit("s"), metric.WithDescription("From the intent to the first event of a stream that was served."), operations,
	)
	m.ttft, faults[2] = of.Float64Histogram(
		"gen_ai.server.time_to_first_token", metric.WithUnit("s"), metric.WithDescription("From the intent to the first event of a stream that was served."),
		metric.WithExplicitBucketBoundaries(0.001, 0.005, 0.01, 0.02, 0.04, 0.06, 0.08, 0.1, 0.25, 0.5, 0.75, 1, 2.5, 5, 7.5, 10),
	)
	m.tpot, faults[3] = of.Float64Histogram(
		"gen_ai.server.time_per_output_token", metric.WithUnit("s"), metric.WithDescription("Time per output token after the first, of streams that were served."),
		metric.WithExplicitBucketBoundaries(0.01, 0.025, 0.05, 0.075, 0.1, 0.15, 0.2, 0.3, 0.4, 0.5, 0.75, 1, 2.5),
	)
	return errors.Join(faults[:]...)
}

// Attempt counts an attempt that has ended. All attributes are ids of the
// terms and words of ours: their number is bounded.
func (m *meter) Attempt(e *gateway.AttemptTrace) {
	ctx := context.Background()
	list := make([]attribute.KeyValue, 0, 8)
	list = append(list, attribute.String("gen_ai.operation.name", e.Operation), attribute.String("gen_ai.provider.name", e.Provider),
		attribute.String("gen_ai.request.model", e.Asked), attribute.String("gen_ai.response.model", e.Model), attribute.String("accordo.pool", e.Pool))
	if e.Reason != "" {
		failed := metric.WithAttributes(append(list, attribute.String("error.type", e.Reason))...)
		m.duration.Record(ctx, e.Took.Seconds(), failed)
		m.operation.Record(ctx, e.Took.Seconds(), failed)
		return
	}
	all := metric.WithAttributeSet(attribute.NewSet(list...))
	m.duration.Record(ctx, e.Took.Seconds(), all)
	m.operation.Record(ctx, e.Took.Seconds(), all)
	if e.Stream {
		m.ttft.Record(ctx, e.TTFT.Seconds(), all)
		m.chunk.Record(ctx, e.TTFT.Seconds(), all)
		if n := e.Usage.AllOutput(); n > 1 {
			m.tpot.Record(ctx, (e.Took-e.TTFT).Seconds()/float64(n-1), all)
		}
	}
	m.tokens.Record(ctx, e.Usage.Input(), metric.WithAttributes(append(list, attribute.String("gen_ai.token.type", "input"))...))
	if n := e.Usage.AllOutput(); n > 0 { // an embedding has none
		m.tokens.Record(ctx, n, metric.WithAttributes(append(list, attribute.String("gen_ai.token.type", "output"))...))
	}
}

// close sends the last figures, within its time.
func (m *meter) close() {
	ctx, cancel := context.WithTimeout(context.Background(), flushTime)
	defer cancel()
	_ = m.provider.Shutdown(ctx) // the handler of errors has logged it
}
