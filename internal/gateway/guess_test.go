package gateway_test

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"testing"

	"github.com/accordo-ai/accordo/internal/journal"
	"github.com/accordo-ai/accordo/internal/record"
)

// guess sends requests with n keys that do not exist, from number first on,
// several at once, and returns how many were not refused as they must be.
func (h *harness) guess(first, n int) (wrong int) {
	h.Helper()
	const clients = 8
	var mu sync.Mutex
	var wait sync.WaitGroup
	for c := range clients {
		wait.Go(func() {
			bad := 0
			for i := first + c; i < first+n; i += clients {
				r := httptest.NewRequest("POST", "/v1/chat/completions", strings.NewReader(hello))
				r.Header.Set("Authorization", fmt.Sprintf("Bearer ak-%032x", i))
				r.Header.Set("X-Accordo-End-User", fmt.Sprintf("user-%d", i))
				w := httptest.NewRecorder()
				h.g.ServeHTTP(w, r)
				if w.Code != http.StatusUnauthorized || !strings.Contains(w.Body.String(), `"code":"invalid_api_key"`) || strings.Contains(w.Body.String(), "ak-0") {
					bad++
				}
			}
			mu.Lock()
			defer mu.Unlock()
			wrong += bad
		})
	}
	wait.Wait()
	return wrong
}

// heap is what is in use once everything that can be freed is.
func heap() int64 {
	runtime.GC()
	runtime.GC() // what pools gave up goes with the second
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc)
}

// series is how many there are in the metrics.
func (h *harness) series() (n int) {
	h.Helper()
	families, err := h.g.Metrics().Registry().Gather()
	if err != nil {
		h.Fatal(err)
	}
	for _, f := range families {
		n += len(f.GetMetric())
	}
	return n
}

// Keys that are guessed, each another one, leave nothing behind: no memory, no
// metrics of their own, no record; who has a key is served as before. There
// are ACCORDO_GUESSES of them, or 50,000.
func TestGuessedKeys_LeaveNothingBehind(t *testing.T) {
	const batch = 5_000
	guesses := 50_000
	if text := os.Getenv("ACCORDO_GUESSES"); text != "" {
		n, err := strconv.Atoi(text)
		if err != nil || n < batch || n%batch != 0 {
			t.Fatalf("ACCORDO_GUESSES=%q: write a multiple of %d", text, batch)
		}
		guesses = n
	}
	h := start(t, setup{})
	served := 0
	ask := func() {
		t.Helper()
		if resp, body := h.chat("sk-open", hello); resp.StatusCode != 200 {
			t.Errorf("who has a key: %d %s", resp.StatusCode, body)
		}
		served++
	}
	ask()
	wrong := h.guess(0, 1000)
	memory, series := heap(), h.series()
	for n := 0; n < guesses; n += batch {
		wrong += h.guess(1000+n, batch)
		ask()
	}
	if wrong != 0 {
		t.Errorf("%d guesses were not refused as wrong keys", wrong)
	}
	grown := heap() - memory
	t.Logf("%d guesses left %d bytes", guesses, grown)
	if grown > 2<<20 {
		t.Error("memory grows with guessed keys")
	}
	if now := h.series(); now != series {
		t.Errorf("%d series in the metrics, %d before", now, series)
	}
	if want := fmt.Sprintf("accordo_refusals_total{code=\"invalid_api_key\",status=\"401\"} %g\n", float64(guesses+1000)); !strings.Contains(h.metrics(), want) {
		t.Errorf("the metrics do not say %s", want)
	}
	for r, err := range journal.Read(h.dir, 1) {
		if err != nil {
			t.Fatal(err)
		}
		if r.Kind == record.KindRefusal {
			t.Fatalf("a guess is in the journal: %+v", r.Refusal)
		}
	}
	if n := len(h.attempts()); n != served {
		t.Errorf("%d attempts in the journal, %d requests were served", n, served)
	}
}
