package e2e

import (
	"compress/gzip"
	"encoding/hex"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"

	metricscollector "go.opentelemetry.io/proto/otlp/collector/metrics/v1"
	collector "go.opentelemetry.io/proto/otlp/collector/trace/v1"
	metricspb "go.opentelemetry.io/proto/otlp/metrics/v1"
	tracepb "go.opentelemetry.io/proto/otlp/trace/v1"
	"google.golang.org/protobuf/proto"
)

// receiver is a collector of OTLP over HTTP.
type receiver struct {
	*httptest.Server
	mu      sync.Mutex
	spans   []*tracepb.Span
	metrics []*metricspb.Metric
	about   []string // the resource's attributes
	bodies  []byte
}

func startReceiver(t *testing.T) *receiver {
	t.Helper()
	c := &receiver{}
	c.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		var in io.Reader = r.Body
		if r.Header.Get("Content-Encoding") == "gzip" {
			z, err := gzip.NewReader(r.Body)
			if err != nil {
				t.Error(err)
				return
			}
			in = z
		}
		b, err := io.ReadAll(in)
		var m collector.ExportTraceServiceRequest
		var figures metricscollector.ExportMetricsServiceRequest
		into := map[string]proto.Message{"/v1/traces": &m, "/v1/metrics": &figures}[r.URL.Path]
		if err == nil && into != nil {
			err = proto.Unmarshal(b, into)
		}
		if err != nil || into == nil {
			t.Errorf("%s: %v", r.URL.Path, err)
		}
		c.mu.Lock()
		defer c.mu.Unlock()
		c.bodies = append(c.bodies, b...)
		for _, rm := range figures.GetResourceMetrics() {
			for _, a := range rm.GetResource().GetAttributes() {
				c.about = append(c.about, a.GetKey()+"="+a.GetValue().GetStringValue())
			}
			for _, s := range rm.GetScopeMetrics() {
				c.metrics = append(c.metrics, s.GetMetrics()...)
			}
		}
		for _, rs := range m.GetResourceSpans() {
			for _, s := range rs.GetScopeSpans() {
				c.spans = append(c.spans, s.GetSpans()...)
			}
		}
	}))
	t.Cleanup(c.Close)
	return c
}

// of are the spans of one kind, with their attributes as text.
func (c *receiver) of(kind tracepb.Span_SpanKind) (spans []*tracepb.Span, attributes []map[string]string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, s := range c.spans {
		if s.GetKind() != kind {
			continue
		}
		m := map[string]string{}
		for _, a := range s.GetAttributes() {
			m[a.GetKey()] = a.GetValue().GetStringValue()
			if v := a.GetValue(); m[a.GetKey()] == "" {
				m[a.GetKey()] = fmt.Sprint(v.GetIntValue())
			}
			if a.GetValue().GetBoolValue() {
				m[a.GetKey()] = "true"
			}
		}
		spans, attributes = append(spans, s), append(attributes, m)
	}
	return spans, attributes
}

const (
	clientTrace  = "4bf92f3577b34da6a3ce929d0e0e4736"
	clientParent = "00-" + clientTrace + "-00f067aa0ba902b7-01"
)

// A request that fails over is one server span in the client's trace with a
// client span for each attempt; what the providers were sent names them, and
// nothing that was asked, answered or secret is in any.
func TestTraces_OfRequestAndAttempts(t *testing.T) {
	north, south := startProvider(t, northConfig), startProvider(t, southConfig)
	c := startReceiver(t)
	d := deploy(t, setup{north: north, south: south, env: []string{"OTEL_EXPORTER_OTLP_ENDPOINT=" + c.URL, "OTEL_BSP_SCHEDULE_DELAY=50"}})
	for _, p := range []*provider{north, south} {
		p.script("  - {first: 1, action: {status: 500}}\n  - {action: {text: planted-answer}}\n")
	}
	r, err := http.NewRequest("POST", d.api+"/chat/completions", strings.NewReader(`{"model":"chat","messages":[{"role":"user","content":"planted-question"}]}`))
	if err != nil {
		t.Fatal(err)
	}
	resp, body := d.send(r, "Authorization", "Bearer "+keyOpen, "Traceparent", clientParent, "Tracestate", "vendor=planted-state")
	if resp.StatusCode != 200 {
		t.Fatalf("status %d: %s", resp.StatusCode, body)
	}
	eventually(t, startTime, "no span of the request comes", func() bool {
		spans, _ := c.of(tracepb.Span_SPAN_KIND_SERVER)
		return len(spans) == 1
	})
	servers, about := c.of(tracepb.Span_SPAN_KIND_SERVER)
	id := resp.Header.Get("X-Request-Id")
	if s, a := servers[0], about[0]; hex.EncodeToString(s.GetTraceId()) != clientTrace || hex.EncodeToString(s.GetParentSpanId()) != "00f067aa0ba902b7" || s.GetName() != "chat chat-1@2026-01" ||
		a["gen_ai.operation.name"] != "chat" || a["gen_ai.request.model"] != "chat" || a["accordo.request_id"] != id || a["http.response.status_code"] != "200" || a["accordo.attempts"] != fmt.Sprint(len(north.recorded())+len(south.recorded())) {
		t.Errorf("the request's span: %v %v", s, a)
	}
	calls, abouts := c.of(tracepb.Span_SPAN_KIND_CLIENT)
	if n := len(north.recorded()) + len(south.recorded()); n < 2 || len(calls) != n {
		t.Fatalf("%d spans of %d attempts, want one each and a failed one", len(calls), n)
	}
	sent := map[string]bool{}
	for _, p := range []*provider{north, south} {
		for _, r := range p.recorded() {
			sent[http.Header(r.Header).Get("Traceparent")] = true
			if v := http.Header(r.Header).Get("Tracestate"); v != "" {
				t.Errorf("a provider sees the client's state %q", v)
			}
		}
	}
	outcomes := map[string]bool{}
	for i, s := range calls {
		a := abouts[i]
		if string(s.GetParentSpanId()) != string(servers[0].GetSpanId()) || !sent["00-"+clientTrace+"-"+hex.EncodeToString(s.GetSpanId())+"-01"] {
			t.Errorf("attempt %d is not below the request, or its provider was not told; told %v", i, sent)
		}
		if a["gen_ai.provider.name"] == "" || a["gen_ai.request.model"] == "" || a["accordo.pool"] == "" || a["accordo.contract"] == "" || a["accordo.request_id"] != id {
			t.Errorf("attempt %d: %v", i, a)
		}
		switch outcomes[a["accordo.outcome"]] = true; a["accordo.outcome"] {
		case "served":
			if a["gen_ai.usage.input_tokens"] == "0" || a["gen_ai.usage.output_tokens"] == "0" || a["error.type"] != "" {
				t.Errorf("the served attempt: %v", a)
			}
		default:
			if a["error.type"] != "status_500" || a["gen_ai.usage.input_tokens"] != "" || s.GetStatus().GetCode() != tracepb.Status_STATUS_CODE_ERROR {
				t.Errorf("the failed attempt: %v", a)
			}
		}
	}
	if !outcomes["served"] || !outcomes["unserved"] {
		t.Errorf("outcomes %v", outcomes)
	}
	for _, planted := range []string{"planted-question", "planted-answer", "planted-state", keyOpen, providerSecret} {
		if strings.Contains(string(c.bodies), planted) {
			t.Errorf("%s is in the traces", planted)
		}
	}
}

// A collector that is not there costs spans, never requests; without one the
// provider is not told the client's trace.
func TestTraces_CostNoRequest(t *testing.T) {
	for name, env := range map[string][]string{
		"off":                {},
		"a collector is off": {"OTEL_EXPORTER_OTLP_ENDPOINT=http://127.0.0.1:1", "OTEL_BSP_SCHEDULE_DELAY=20"},
	} {
		t.Run(name, func(t *testing.T) {
			north, south := startProvider(t, northConfig), startProvider(t, southConfig)
			d := deploy(t, setup{north: north, south: south, env: env})
			for range 20 {
				r, err := http.NewRequest("POST", d.api+"/chat/completions", strings.NewReader(`{"model":"chat","messages":[{"role":"user","content":"hello"}]}`))
				if err != nil {
					t.Fatal(err)
				}
				if resp, body := d.send(r, "Authorization", "Bearer "+keyOpen, "Traceparent", clientParent); resp.StatusCode != 200 {
					t.Fatalf("status %d: %s", resp.StatusCode, body)
				}
			}
			if len(env) > 0 {
				return
			}
			for _, p := range []*provider{north, south} {
				for _, r := range p.recorded() {
					if v := http.Header(r.Header).Get("Traceparent"); v != "" {
						t.Errorf("without traces a provider sees %q", v)
					}
				}
			}
		})
	}
}

// Both attempts of a hedged request are in its trace; the one that was
// overtaken is cancelled and no error.
func TestTraces_OfAHedgedRequest(t *testing.T) {
	north, south := startProvider(t, northConfig), startProvider(t, southConfig)
	c := startReceiver(t)
	d := deploy(t, setup{
		north: north, south: south, env: []string{"OTEL_EXPORTER_OTLP_TRACES_ENDPOINT=" + c.URL + "/v1/traces", "OTEL_BSP_SCHEDULE_DELAY=50"},
		more: "set:\n  open: {hedge: {after_ms: 100, max_cost: 1}}\n",
	})
	if resp, body := d.post(keyOpen, helloBody); resp.StatusCode != 200 {
		t.Fatalf("%s %s", resp.Status, body)
	}
	var pool string
	eventually(t, startTime, "no span of the first attempt comes", func() bool {
		if _, about := c.of(tracepb.Span_SPAN_KIND_CLIENT); len(about) == 1 {
			pool = about[0]["accordo.pool"]
		}
		return pool != ""
	})
	host := map[bool]*provider{true: north, false: south}[strings.HasPrefix(pool, "north")]
	host.script("  - {pool: " + pool + ", action: {stall_first_byte: 1h}}\n")
	if resp, body := d.post(keyOpen, helloBody); resp.StatusCode != 200 {
		t.Fatalf("%s %s", resp.Status, body)
	}
	eventually(t, startTime, "no spans of two attempts come", func() bool {
		spans, _ := c.of(tracepb.Span_SPAN_KIND_CLIENT)
		servers, _ := c.of(tracepb.Span_SPAN_KIND_SERVER)
		return len(spans) == 3 && len(servers) == 2
	})
	spans, about := c.of(tracepb.Span_SPAN_KIND_CLIENT)
	if string(spans[1].GetParentSpanId()) != string(spans[2].GetParentSpanId()) {
		t.Error("the attempts are in two traces")
	}
	seen := map[string]bool{}
	for i := 1; i < 3; i++ {
		a := about[i]
		switch seen[a["error.type"]] = true; a["error.type"] {
		case "hedged":
			if a["accordo.pool"] != pool || a["accordo.cancelled"] != "true" || a["accordo.hedge"] == "true" || spans[i].GetStatus().GetCode() == tracepb.Status_STATUS_CODE_ERROR {
				t.Errorf("the attempt that was overtaken: %v %v", a, spans[i].GetStatus())
			}
		default:
			if a["accordo.outcome"] != "served" || a["accordo.hedge"] != "true" || a["accordo.cancelled"] == "true" {
				t.Errorf("the attempt that served: %v", a)
			}
		}
	}
	if !seen["hedged"] || !seen[""] {
		t.Errorf("%v", about)
	}
}
