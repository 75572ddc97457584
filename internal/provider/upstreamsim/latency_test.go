package upstreamsim

import (
	"context"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// call1 sends one request inside a bubble, without a network.
func call1(ctx context.Context, s *Server, body string) *stampWriter {
	w := newStampWriter()
	r := httptest.NewRequestWithContext(ctx, "POST", "/v1/chat/completions", strings.NewReader(body))
	s.ServeHTTP(w, r)
	return w
}

func TestLatency_TTFTAndTPOTFollowTheModel(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newServer(t, Options{Pools: []PoolOptions{{
			Name: "p", TTFTBase: 100 * time.Millisecond, InputTokensPerSecond: 30, OutputTokensPerSecond: 50, OutputTokens: 6,
		}}})
		w := call1(t.Context(), s, helloStream)
		// 3 input tokens at 30 a second take 100 ms; then 20 ms a token.
		want := []time.Duration{200, 200, 220, 240, 260, 280, 300, 300, 300, 300}
		if len(w.at) != len(want) {
			t.Fatalf("%d events: %v\n%s", len(w.at), w.at, w.body.String())
		}
		for i := range want {
			if w.at[i] != want[i]*time.Millisecond {
				t.Errorf("event %d came after %s, want %d ms", i, w.at[i], want[i])
			}
		}
		if w := call1(t.Context(), s, hello); len(w.at) != 1 || w.at[0] != 300*time.Millisecond {
			t.Errorf("plain answer after %v", w.at)
		}
	})
}

func TestLatency_CachedInputIsNotReadAndReasoningTakesTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newServer(t, Options{
			Pools:  []PoolOptions{{Name: "p", InputTokensPerSecond: 1, OutputTokensPerSecond: 10, OutputTokens: 1}},
			Script: &Script{Rules: []Rule{{Action: Action{CacheReadTokens: 2, ReasoningTokens: 20}}}},
		})
		if w := call1(t.Context(), s, hello); w.at[0] != 3*time.Second {
			t.Errorf("after %s, want 1 s for one uncached token and 2 s of reasoning", w.at[0])
		}
	})
}

func TestLatency_SharedThroughputIsShared(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		// 2 x 50 x 0.1 = 10 tokens a second for everybody.
		s := newServer(t, Options{Pools: []PoolOptions{{Name: "p", TokensPerChipSecond: 50, Chips: 2, Scale: 0.1, OutputTokens: 7}}})
		var wg sync.WaitGroup
		var last time.Duration
		var mu sync.Mutex
		for range 4 {
			wg.Go(func() {
				w := call1(t.Context(), s, hello)
				mu.Lock()
				defer mu.Unlock()
				last = max(last, w.at[0])
			})
		}
		wg.Wait()
		// 4 requests of 3 + 7 tokens.
		if last != 4*time.Second {
			t.Errorf("the last came after %s, want 4s", last)
		}
		time.Sleep(time.Hour)
		if w := call1(t.Context(), s, hello); w.at[0] != time.Second {
			t.Errorf("idle time must not be saved up without a burst: %s", w.at[0])
		}
	})
}

func TestLatency_BurstRunsAhead(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newServer(t, Options{Pools: []PoolOptions{{Name: "p", TokensPerChipSecond: 10, Burst: time.Second, OutputTokens: 7}}})
		if w := call1(t.Context(), s, hello); w.at[0] != 0 {
			t.Errorf("the burst holds 10 tokens, yet it took %s", w.at[0])
		}
		if w := call1(t.Context(), s, hello); w.at[0] != time.Second {
			t.Errorf("after the burst it took %s, want 1s", w.at[0])
		}
	})
}

func TestConcurrency_QueuesThenRefuses(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newServer(t, Options{Pools: []PoolOptions{{Name: "p", TTFTBase: time.Second, MaxConcurrent: 1, MaxQueue: 1}}})
		var wg sync.WaitGroup
		results := make([]*stampWriter, 3)
		for i := range results {
			wg.Go(func() { results[i] = call1(t.Context(), s, hello) })
			synctest.Wait()
		}
		wg.Wait()
		if results[0].at[0] != time.Second || results[1].at[0] != 2*time.Second {
			t.Errorf("served after %v and %v", results[0].at, results[1].at)
		}
		if results[2].status != 429 || results[2].header.Get("Retry-After") != "1" {
			t.Errorf("the third got %d: %s", results[2].status, results[2].body.String())
		}
		if lines := invoiceLines(t, s); len(lines) != 2 {
			t.Errorf("%d lines", len(lines))
		}
	})
}

func TestConcurrency_ClientThatLeavesTheQueueIsNotBilled(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newServer(t, Options{Pools: []PoolOptions{{Name: "p", TTFTBase: time.Second, MaxConcurrent: 1, MaxQueue: 1}}})
		var wg sync.WaitGroup
		wg.Go(func() { call1(t.Context(), s, hello) })
		synctest.Wait()
		ctx, cancel := context.WithTimeout(t.Context(), time.Millisecond)
		defer cancel()
		call1(ctx, s, hello)
		wg.Wait()
		if lines := invoiceLines(t, s); len(lines) != 1 || lines[0].Status != StatusComplete {
			t.Errorf("billed %+v", lines)
		}
		// The place in the queue is free again.
		if w := call1(t.Context(), s, hello); w.status != 200 {
			t.Errorf("status %d", w.status)
		}
	})
}

func TestCancel_BillsByProgress(t *testing.T) {
	rows := []struct {
		name, body    string
		leave         time.Duration
		input, output int64
	}{
		{"while the input is read", hello, 50 * time.Millisecond, 3, 0},
		{"in the middle of a plain answer", hello, 1050 * time.Millisecond, 3, 10},
		{"in the middle of a stream", helloStream, 1050 * time.Millisecond, 3, 10},
	}
	for _, row := range rows {
		t.Run(row.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := newServer(t, Options{Pools: []PoolOptions{{Name: "p", TTFTBase: 100 * time.Millisecond, OutputTokensPerSecond: 10}}})
				ctx, cancel := context.WithTimeout(t.Context(), row.leave)
				defer cancel()
				call1(ctx, s, row.body)
				lines := invoiceLines(t, s)
				if len(lines) != 1 || lines[0].UncachedInput != row.input || lines[0].Output != row.output || lines[0].Status != StatusCancelled {
					t.Errorf("billed %+v, want %d and %d", lines, row.input, row.output)
				}
			})
		})
	}
}

func TestAction_Stalls(t *testing.T) {
	rows := []struct {
		name, action, body string
		event              int
		want               time.Duration
	}{
		{"before the first byte of a stream", "stall_first_byte: 3s", helloStream, 0, 3 * time.Second},
		{"before the first byte of a plain answer", "stall_first_byte: 3s", hello, 0, 3 * time.Second},
		{"before an error", "stall_first_byte: 3s, status: 500", hello, 0, 3 * time.Second},
		{"not yet after chunk 2", "stall_after_chunk: 3, stall_for: 1m", helloStream, 2, 0},
		{"after chunk 3", "stall_after_chunk: 3, stall_for: 1m", helloStream, 3, time.Minute},
		{"slow chunks", "chunk_delay: 2s", helloStream, 4, 10 * time.Second},
		{"before the finish reason", "stall_after_chunk: 49, stall_for: 1m", helloStream, 49, time.Minute},
	}
	for _, row := range rows {
		t.Run(row.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := newServer(t, Options{Script: always(t, row.action)})
				w := call1(t.Context(), s, row.body)
				if len(w.at) <= row.event || w.at[row.event] != row.want {
					t.Errorf("events after %v, want number %d after %s", w.at, row.event, row.want)
				}
			})
		})
	}
}
