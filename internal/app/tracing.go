package app

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/exporters/otlp/otlptrace/otlptracehttp"
	"go.opentelemetry.io/otel/propagation"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/trace"

	"github.com/accordo-ai/accordo/internal/gateway"
)

const (
	// spanQueue is how many ended spans wait for the collector at most; more
	// are dropped.
	spanQueue = 4096
	// spanBatch is how many are sent at once.
	spanBatch = 512
	// spanText bounds an attribute in bytes; names that clients choose are in some.
	spanText = 256
)

// tracer makes OpenTelemetry's spans of requests and attempts.
type tracer struct {
	provider *sdktrace.TracerProvider
	tracer   trace.Tracer
}

// newTracer exports to the collector that OpenTelemetry's own variables name;
// it is nil without them. Nothing is asked of the collector here.
func newTracer(version string, log *slog.Logger) (*tracer, error) {
	if !exports("TRACES") {
		return nil, nil
	}
	quietSettings(log)
	ctx := context.Background()
	exporter, err := otlptracehttp.New(ctx)
	if err != nil {
		return nil, fmt.Errorf("traces: %w (look at the variables OTEL_EXPORTER_OTLP_*)", err)
	}
	about, err := aboutProcess(version, log)
	if err != nil {
		return nil, errors.Join(fmt.Errorf("traces: %w", err), exporter.Shutdown(ctx))
	}
	limits := sdktrace.NewSpanLimits()
	limits.AttributeValueLengthLimit = spanText
	p := sdktrace.NewTracerProvider(
		sdktrace.WithBatcher(exporter, sdktrace.WithMaxQueueSize(spanQueue), sdktrace.WithMaxExportBatchSize(spanBatch)),
		sdktrace.WithResource(about), sdktrace.WithRawSpanLimits(limits),
	)
	return &tracer{p, p.Tracer(otelScope)}, nil
}

// close sends what waits, within its time.
func (t *tracer) close() {
	ctx, cancel := context.WithTimeout(context.Background(), flushTime)
	defer cancel()
	_ = t.provider.Shutdown(ctx) // the handler of errors has logged it
}

// Request begins the span of a request, in the client's trace if it names one.
func (t *tracer) Request(at time.Time, traceparent string) gateway.RequestSpan {
	ctx := context.Background()
	if traceparent != "" {
		ctx = propagation.TraceContext{}.Extract(ctx, propagation.MapCarrier{"traceparent": traceparent})
	}
	ctx, span := t.tracer.Start(ctx, "request", trace.WithSpanKind(trace.SpanKindServer), trace.WithTimestamp(at))
	return &requestSpan{t, ctx, span, at}
}

type requestSpan struct {
	t    *tracer
	ctx  context.Context
	span trace.Span
	at   time.Time
}

// texts are attributes without those that are empty.
func (t *tracer) texts(span trace.Span, pairs ...string) {
	for i := 0; i < len(pairs); i += 2 {
		if pairs[i+1] != "" {
			span.SetAttributes(attribute.String(pairs[i], pairs[i+1]))
		}
	}
}

// End names the span after the model that the terms know: a client's own
// spelling would make names without end.
func (s *requestSpan) End(operation string, r *gateway.Row) {
	s.span.SetName(strings.TrimSpace(operation + " " + r.Model))
	s.t.texts(s.span, "gen_ai.operation.name", operation, "gen_ai.request.model", r.Asked, "gen_ai.response.model", r.Model,
		"accordo.request_id", r.ID, "accordo.tenant", r.Tenant, "accordo.plan", r.Plan, "accordo.territory", r.Territory, "accordo.variant", r.Variant,
		"accordo.pool", r.Pool, "accordo.contract", r.Contract, "accordo.right", r.Right, "error.type", r.Code)
	s.span.SetAttributes(attribute.Int("http.response.status_code", r.Status), attribute.Int("accordo.attempts", r.Attempts), attribute.Bool("gen_ai.request.stream", r.Stream))
	if r.Status >= 500 {
		s.span.SetStatus(codes.Error, r.Code)
	}
	s.span.End(trace.WithTimestamp(s.at.Add(r.Duration)))
}

// Attempt begins the span of a call to a provider.
func (s *requestSpan) Attempt(at time.Time) gateway.AttemptSpan {
	_, span := s.t.tracer.Start(s.ctx, "attempt", trace.WithSpanKind(trace.SpanKindClient), trace.WithTimestamp(at))
	return &attemptSpan{s.t, span}
}

type attemptSpan struct {
	t    *tracer
	span trace.Span
}

// Traceparent is the W3C header that carries the attempt on.
func (s *attemptSpan) Traceparent() string {
	c := propagation.MapCarrier{}
	propagation.TraceContext{}.Inject(trace.ContextWithSpan(context.Background(), s.span), c)
	return c["traceparent"]
}

// End tells what came of the attempt.
func (s *attemptSpan) End(at time.Time, e gateway.AttemptTrace) {
	s.span.SetName(e.Operation + " " + e.Asked)
	s.t.texts(s.span, "gen_ai.operation.name", e.Operation, "gen_ai.provider.name", e.Provider, "gen_ai.request.model", e.Asked,
		"gen_ai.response.model", e.Answered, "gen_ai.response.id", e.Upstream, "accordo.request_id", e.Request, "accordo.attempt_id", string(e.Attempt),
		"accordo.pool", e.Pool, "accordo.contract", e.Contract, "accordo.outcome", e.Outcome, "error.type", e.Reason)
	s.span.SetAttributes(attribute.Int("accordo.attempt_number", e.Number))
	if e.Hedge {
		s.span.SetAttributes(attribute.Bool("accordo.hedge", true))
	}
	if e.Reason == "" {
		s.span.SetAttributes(
			attribute.Int64("gen_ai.usage.input_tokens", e.Usage.Input()), attribute.Int64("gen_ai.usage.output_tokens", e.Usage.AllOutput()),
			attribute.Int64("gen_ai.usage.cache_read.input_tokens", e.Usage.CacheRead), attribute.Int64("gen_ai.usage.cache_creation.input_tokens", e.Usage.CacheWrite),
			attribute.Int64("gen_ai.usage.reasoning.output_tokens", e.Usage.Reasoning), attribute.Float64("accordo.time_to_first_token_seconds", e.TTFT.Seconds()),
		)
	} else if e.Cancelled {
		s.span.SetAttributes(attribute.Bool("accordo.cancelled", true)) // by us: the provider did nothing wrong
	} else {
		s.span.SetStatus(codes.Error, e.Reason)
	}
	s.span.End(trace.WithTimestamp(at))
}
