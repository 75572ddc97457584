package app

import (
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus"
)

// Refusals that come faster than they are recorded are refused all the same,
// with the same answer, and how many are not recorded is counted.
func TestMetrics_CountTheRefusalsThatAreNotRecorded(t *testing.T) {
	s, err := newServer(t.Context(), UpOptions{
		Data: filepath.Join(t.TempDir(), "data"), NoModel: true, DemoKey: "sk-demo", AdminToken: "admin", Version: "test",
		Out: io.Discard, Progress: io.Discard, ModelLog: io.Discard, Log: slog.New(slog.DiscardHandler),
	})
	if err != nil {
		t.Fatal(err)
	}
	defer s.close()
	for n := 0; s.journal.State().RefusalsMissed < 50; n++ {
		r := httptest.NewRequest("POST", "/v1/chat/completions", strings.NewReader(`{"model":"nothing","messages":[{}]}`))
		r.Header.Set("Authorization", "Bearer sk-demo")
		w := httptest.NewRecorder()
		s.gateway.ServeHTTP(w, r)
		if w.Code != http.StatusNotFound || !strings.Contains(w.Body.String(), `"code":"model_not_found"`) {
			t.Fatalf("refusal %d: %d %s", n, w.Code, w.Body)
		}
		if n > 1_000_000 {
			t.Fatal("a million refusals were recorded in no time")
		}
	}
	registry := prometheus.NewPedanticRegistry()
	registry.MustRegister(newCollector(s))
	families, err := registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range families {
		if f.GetName() == "accordo_journal_refusals_unrecorded_total" {
			if got, want := f.GetMetric()[0].GetCounter().GetValue(), float64(s.journal.State().RefusalsMissed); got != want {
				t.Errorf("%v are counted, want %v", got, want)
			}
			return
		}
	}
	t.Error("it is not counted")
}
