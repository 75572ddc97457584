package gateway_test

import (
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/accordo-ai/accordo/internal/alliance"
	"github.com/accordo-ai/accordo/internal/gateway"
	"github.com/accordo-ai/accordo/internal/journal"
	"github.com/accordo-ai/accordo/internal/provider/upstream"
	"github.com/accordo-ai/accordo/internal/quota"
	"github.com/accordo-ai/accordo/internal/route"
)

// cpu is the processor time of this process.
func cpu() time.Duration {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		panic(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// cheapProvider answers 1 KB, or a stream of 128 chunks.
func cheapProvider() *httptest.Server {
	plain := `{"id":"c","object":"chat.completion","model":"up-m","choices":[{"index":0,"message":{"role":"assistant","content":"` + strings.Repeat("x", 800) + `"},"finish_reason":"stop"}],"usage":{"prompt_tokens":250,"completion_tokens":200,"total_tokens":450}}`
	part := []byte(`data: {"id":"c","object":"chat.completion.chunk","model":"up-m","choices":[{"index":0,"delta":{"content":"word "},"finish_reason":null}]}` + "\n\n")
	tail := []byte(`data: {"id":"c","model":"up-m","choices":[{"index":0,"delta":{},"finish_reason":"stop"}]}` + "\n\n" + `data: {"id":"c","model":"up-m","choices":[],"usage":{"prompt_tokens":250,"completion_tokens":128,"total_tokens":378}}` + "\n\ndata: [DONE]\n\n")
	return httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		if !strings.Contains(string(body), `"stream":true`) {
			w.Header().Set("Content-Type", "application/json")
			_, _ = io.WriteString(w, plain)
			return
		}
		w.Header().Set("Content-Type", "text/event-stream")
		for range 128 {
			_, _ = w.Write(part)
			w.(http.Flusher).Flush()
		}
		_, _ = w.Write(tail)
	}))
}

// BenchmarkGateway compares the whole gateway, its journal on, with a tuned
// ReverseProxy. Client and provider run in the same process and are in every
// figure: the rows named direct say how much they are.
func BenchmarkGateway(b *testing.B) {
	provider := cheapProvider()
	defer provider.Close()
	targets := []struct{ name, url string }{
		{"direct", provider.URL + "/v1/chat/completions"},
		{"reverseproxy", startProxy(b, provider.URL)},
		{"gateway", startBenchGateway(b, provider.URL)},
	}
	works := []struct {
		name   string
		stream bool
		bytes  int
	}{{"plain_1KB", false, 1 << 10}, {"stream_128", true, 1 << 10}, {"plain_200KB", false, 200 << 10}}
	client := &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: 256}}
	defer client.CloseIdleConnections()
	for _, w := range works {
		body := fmt.Sprintf(`{"model":"m","max_tokens":300,"stream":%v,"messages":[{"role":"user","content":"%s"}]}`, w.stream, strings.Repeat("lorem ip", w.bytes/8))
		for _, target := range targets {
			b.Run(w.name+"/"+target.name, func(b *testing.B) {
				b.ReportAllocs()
				b.SetParallelism(16)
				before := cpu()
				b.RunParallel(func(pb *testing.PB) {
					for pb.Next() {
						post(b, client, target.url, body)
					}
				})
				b.ReportMetric(float64((cpu()-before).Microseconds())/float64(b.N), "cpu-us/op")
			})
		}
	}
}

func post(b *testing.B, client *http.Client, url, body string) {
	r, _ := http.NewRequest("POST", url, strings.NewReader(body))
	r.Header.Set("Authorization", "Bearer sk-open")
	resp, err := client.Do(r)
	if err != nil {
		b.Error(err)
		return
	}
	n, err := io.Copy(io.Discard, resp.Body)
	resp.Body.Close()
	if err != nil || resp.StatusCode != 200 || n < 500 {
		b.Errorf("%d, %d bytes, %v", resp.StatusCode, n, err)
	}
}

func startProxy(b *testing.B, address string) string {
	u, err := url.Parse(address)
	if err != nil {
		b.Fatal(err)
	}
	proxy := &httputil.ReverseProxy{
		Rewrite:       func(r *httputil.ProxyRequest) { r.SetURL(u) },
		FlushInterval: -1,
		Transport:     &http.Transport{MaxIdleConnsPerHost: 256, DisableCompression: true},
	}
	s := httptest.NewServer(proxy)
	b.Cleanup(s.Close)
	return s.URL + "/v1/chat/completions"
}

func startBenchGateway(b *testing.B, address string) string {
	a := terms("a", "b")
	a.Pools[0].MaxInFlight, a.Pools[1].MaxInFlight = 4096, 4096
	up, err := upstream.New(upstream.Options{URL: address + "/v1"})
	if err != nil {
		b.Fatal(err)
	}
	j, _, err := journal.Open(b.TempDir(), journal.Options{Node: "n"})
	if err != nil {
		b.Fatal(err)
	}
	g, err := gateway.New(gateway.Deps{Journal: j, Router: route.New(a, time.Now()), Quota: quota.New(quota.Options{})},
		gateway.State{Alliance: a, Keys: gateway.TermsKeys(a), Upstreams: map[alliance.PoolID]gateway.Upstream{"a": up, "b": up}})
	if err != nil {
		b.Fatal(err)
	}
	s := httptest.NewUnstartedServer(nil)
	s.Config = g.Server()
	s.Start()
	b.Cleanup(func() {
		s.Close()
		up.Close()
		if err := j.Close(); err != nil {
			b.Error(err)
		}
	})
	return s.URL + "/v1/chat/completions"
}
