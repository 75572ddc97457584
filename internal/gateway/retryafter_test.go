package gateway_test

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/accordo-ai/accordo/internal/alliance"
	"github.com/accordo-ai/accordo/internal/record"
)

// longestPause is how long the router leaves a pool alone at most, whatever
// its provider asks for.
const longestPause = 5 * time.Minute

// Every form of Retry-After is told to the client in whole seconds, leaves the
// pool alone for so long, and books nothing.
func TestRetryAfter_EveryForm(t *testing.T) {
	in := func(d time.Duration, layout string) string { return time.Now().Add(d).UTC().Format(layout) }
	const rfc850, asctime = "Monday, 02-Jan-06 15:04:05 GMT", time.ANSIC
	rows := []struct {
		name     string
		header   []string // names and values
		min, max int      // seconds that the client is told; 1 is the least
	}{
		{"none", nil, 1, 1},
		{"seconds", []string{"Retry-After", "7"}, 7, 7},
		{"seconds with spaces", []string{"Retry-After", "  7  "}, 7, 7},
		{"zero", []string{"Retry-After", "0"}, 1, 1},
		{"a fraction of a second", []string{"Retry-After", "0.25"}, 1, 1},
		{"seconds and a fraction", []string{"Retry-After", "6.2"}, 7, 7},
		{"a fraction without its digit", []string{"Retry-After", ".5"}, 1, 1},
		{"negative", []string{"Retry-After", "-5"}, 1, 1},
		{"an hour", []string{"Retry-After", "3600"}, 3600, 3600},
		{"absurdly large", []string{"Retry-After", "99999999999"}, 3600, 3600},
		{"beyond all integers", []string{"Retry-After", "9" + strings.Repeat("0", 400)}, 3600, 3600},
		{"infinite", []string{"Retry-After", "Inf"}, 1, 1},
		{"not a number", []string{"Retry-After", "NaN"}, 1, 1},
		{"hexadecimal", []string{"Retry-After", "0x10"}, 1, 1},
		{"an exponent", []string{"Retry-After", "1e3"}, 1, 1},
		{"a unit", []string{"Retry-After", "7s"}, 1, 1},
		{"garbage", []string{"Retry-After", "soon"}, 1, 1},
		{"empty", []string{"Retry-After", ""}, 1, 1},
		{"a date of today's form", []string{"Retry-After", in(100*time.Second, http.TimeFormat)}, 98, 100},
		{"a date of RFC 850", []string{"Retry-After", in(100*time.Second, rfc850)}, 98, 100},
		{"a date of asctime", []string{"Retry-After", in(100*time.Second, asctime)}, 98, 100},
		{"a date in the past", []string{"Retry-After", in(-time.Hour, http.TimeFormat)}, 1, 1},
		{"a date far ahead", []string{"Retry-After", in(24*365*time.Hour, http.TimeFormat)}, 3600, 3600},
		{"a date beyond all durations", []string{"Retry-After", "Fri, 31 Dec 9999 23:59:59 GMT"}, 3600, 3600},
		{"a date that is none", []string{"Retry-After", "Mon, 99 Foo 2026 00:00:00 GMT"}, 1, 1},
		{"milliseconds", []string{"Retry-After-Ms", "1500"}, 2, 2},
		{"milliseconds before seconds", []string{"Retry-After-Ms", "2500", "Retry-After", "60"}, 3, 3},
		{"milliseconds that are garbage, and seconds", []string{"Retry-After-Ms", "x", "Retry-After", "9"}, 9, 9},
		{"negative milliseconds, and seconds", []string{"Retry-After-Ms", "-1", "Retry-After", "9"}, 9, 9},
		{"milliseconds beyond all integers", []string{"Retry-After-Ms", strings.Repeat("9", 400)}, 3600, 3600},
		{"several, the longest counts", []string{"Retry-After", "3", "Retry-After", "8", "Retry-After", "5"}, 8, 8},
		{"several, the first is garbage", []string{"Retry-After", "soon", "Retry-After", "8"}, 8, 8},
		{"several in one", []string{"Retry-After", "3, 8"}, 1, 1},
	}
	for _, row := range rows {
		t.Run(row.name, func(t *testing.T) {
			t.Parallel()
			var calls atomic.Int64
			provider := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				calls.Add(1)
				for i := 0; i < len(row.header); i += 2 {
					w.Header().Add(row.header[i], row.header[i+1])
				}
				w.WriteHeader(http.StatusTooManyRequests)
			}))
			defer provider.Close()
			h := start(t, setup{pools: []string{"a"}, change: func(_ *alliance.Alliance, u map[alliance.PoolID]string) { u["a"] = provider.URL }})
			resp, body := h.chat("sk-open", hello)
			told, err := strconv.Atoi(resp.Header.Get("Retry-After"))
			if err != nil || told < row.min || told > row.max {
				t.Errorf("Retry-After %q, want %d to %d", resp.Header.Get("Retry-After"), row.min, row.max)
			}
			want := fmt.Sprintf(`{"error":{"message":"The providers that may serve fam accept no more requests at the moment. Try again in %s.","type":"server_error","param":null,"code":"providers_rate_limited"}}`, time.Duration(told)*time.Second)
			if resp.StatusCode != http.StatusServiceUnavailable || body != want {
				t.Errorf("%d %s, want %s", resp.StatusCode, body, want)
			}
			if told > 1 { // one second may be over on a machine that is busy
				if resp, body := h.chat("sk-open", hello); resp.StatusCode != 503 || !strings.Contains(body, `"code":"capacity_full"`) || resp.Header.Get("Retry-After") == "" || calls.Load() != 1 {
					t.Errorf("asked again at once: %d %s, %d calls", resp.StatusCode, body, calls.Load())
				}
			}
			h.skew.Add(int64(min(time.Duration(told)*time.Second, longestPause)))
			if _, body := h.chat("sk-open", hello); calls.Load() != 2 {
				t.Errorf("asked again after %d s: %s, %d calls", told, body, calls.Load())
			}
			list := h.attempts()
			if len(list) != 2 || slices.ContainsFunc(list, func(p pair) bool {
				return p.out.Status != record.Unserved || p.out.Reason != "rate_limited" || !p.out.Usage.IsZero()
			}) {
				t.Errorf("%d attempts, the first ended as %+v", len(list), list[0].out)
			}
			h.noHolds()
		})
	}
}
