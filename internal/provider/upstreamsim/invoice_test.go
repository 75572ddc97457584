package upstreamsim

import (
	"bytes"
	"context"
	"encoding/csv"
	"encoding/json"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

func TestInvoice_LineIsInTheFileBeforeTheAnswerEnds(t *testing.T) {
	path := filepath.Join(t.TempDir(), "invoice.jsonl")
	s := newServer(t, Options{InvoicePath: path})
	for _, row := range []struct {
		name, body, mark string
	}{{"plain", hello, `"usage"`}, {"stream", helloStream, `"finish_reason":"stop"`}} {
		t.Run(row.name, func(t *testing.T) {
			before, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			w := &spyWriter{stampWriter: newStampWriter(), mark: row.mark, path: path}
			r := mustRequest(t, row.body)
			s.ServeHTTP(w, r)
			if len(w.seen) <= len(before) {
				t.Error("the answer was complete before its line was in the file")
			}
		})
	}
}

func TestInvoice_FileSurvivesRestartAndTornTail(t *testing.T) {
	path := filepath.Join(t.TempDir(), "invoice.jsonl")
	for round := range 2 {
		s, err := New(Options{InvoicePath: path, Pools: []PoolOptions{{Name: "p"}}})
		if err != nil {
			t.Fatal(err)
		}
		call1(t.Context(), s, hello)
		lines, err := s.Lines("p")
		if err != nil || len(lines) != round+1 {
			t.Fatalf("round %d: %d lines, %v", round, len(lines), err)
		}
		if totals := s.Totals(""); len(totals) != 1 || totals[0].Requests != int64(round+1) || totals[0].Output != 48*int64(round+1) {
			t.Errorf("round %d: %+v", round, totals)
		}
		if len(s.invoice.lines) != 0 {
			t.Error("with a file, memory must keep totals only")
		}
		for range 2 {
			if err := s.Close(); err != nil {
				t.Error(err)
			}
		}
		f, err := os.OpenFile(path, os.O_APPEND|os.O_WRONLY, 0)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := f.WriteString(`{"attempt_id":"to`); err != nil {
			t.Fatal(err)
		}
		f.Close()
	}
	if err := os.WriteFile(path, []byte("not a line\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := New(Options{InvoicePath: path}); err == nil || !strings.Contains(err.Error(), "line 1 is not an invoice line") {
		t.Errorf("another file was taken for an invoice: %v", err)
	}
}

func TestInvoice_AnswerThatCannotBeBilledIsCut(t *testing.T) {
	path := filepath.Join(t.TempDir(), "invoice.jsonl")
	s, url := start(t, Options{InvoicePath: path})
	s.invoice.mu.Lock()
	s.invoice.file.Close()
	s.invoice.mu.Unlock()
	t.Cleanup(func() { s.invoice.file = nil })
	if r := post(t, url+"/v1/chat/completions", hello); r.err == nil {
		t.Errorf("a plain answer went out unbilled: %s", r.body)
	}
	if r := post(t, url+"/v1/chat/completions", helloStream); r.err == nil || strings.Contains(r.body, `"stop"`) {
		t.Errorf("a stream ended unbilled: %s", r.body)
	}
}

func TestInvoice_FormatsAgree(t *testing.T) {
	_, url := start(t, Options{Pools: []PoolOptions{{Name: "a"}, {Name: "b"}}})
	for i := range 3 {
		post(t, url+"/pools/a/v1/chat/completions", hello, "x-accordo-attempt", fmt.Sprintf(`a"%d`, i))
		post(t, url+"/pools/b/v1/chat/completions", helloStream, "x-accordo-attempt", fmt.Sprintf("b,%d", i))
	}
	var fromJSON [][]string
	for line := range strings.Lines(get(t, url+"/invoice?pool=b").body) {
		var l Line
		if err := json.Unmarshal([]byte(line), &l); err != nil {
			t.Fatal(err)
		}
		again, err := json.Marshal(l)
		if err != nil || string(again)+"\n" != line {
			t.Errorf("%s is not what encoding/json writes: %s", line, again)
		}
		fromJSON = append(fromJSON, l.csv())
	}
	for _, r := range []reply{get(t, url+"/invoice?pool=b&format=csv"), get(t, url+"/invoice?pool=b", "Accept", "text/csv")} {
		rows, err := csv.NewReader(strings.NewReader(r.body)).ReadAll()
		if err != nil || len(rows) != 4 || !cmp.Equal(rows[0], csvHeader) {
			t.Fatalf("%v: %s", err, r.body)
		}
		if diff := cmp.Diff(fromJSON, rows[1:]); diff != "" {
			t.Error(diff)
		}
	}
	var totals []Total
	if err := json.Unmarshal([]byte(get(t, url+"/invoice?format=totals").body), &totals); err != nil {
		t.Fatal(err)
	}
	want := []Total{{Pool: "a", Model: "m", Requests: 3, UncachedInput: 9, Output: 144}, {Pool: "b", Model: "m", Requests: 3, UncachedInput: 9, Output: 144}}
	if diff := cmp.Diff(want, totals); diff != "" {
		t.Error(diff)
	}
	if r := get(t, url+"/invoice?pool=c"); r.status != 404 {
		t.Errorf("unknown pool: %d", r.status)
	}
	if r := get(t, url+"/invoice?format=xml"); r.status != 400 {
		t.Errorf("unknown format: %d", r.status)
	}
}

func TestInvoice_MemoryIsBoundedAndSaysSo(t *testing.T) {
	s, url := start(t, Options{MaxInvoiceLines: 3})
	for i := range 5 {
		post(t, url+"/v1/chat/completions", hello, "x-accordo-attempt", fmt.Sprint(i))
	}
	lines, err := s.Lines("")
	if err == nil || !strings.Contains(err.Error(), "oldest 2") {
		t.Errorf("error %v", err)
	}
	var ids []string
	for _, l := range lines {
		ids = append(ids, l.AttemptID)
	}
	if !cmp.Equal(ids, []string{"2", "3", "4"}) {
		t.Errorf("kept %v", ids)
	}
	if r := get(t, url+"/invoice"); r.header.Get("X-Invoice-Dropped") != "2" {
		t.Errorf("header %v", r.header)
	}
	if totals := s.Totals(""); totals[0].Requests != 5 {
		t.Errorf("totals must count every line: %+v", totals)
	}
	for i := range maxTotals + 50 {
		call1(t.Context(), s, strings.Replace(hello, `"m"`, fmt.Sprintf(`"m%d"`, i), 1))
	}
	if n := len(s.Totals("")); n > maxTotals+1 {
		t.Errorf("%d totals", n)
	}
}

func TestInvoice_OneLinePerRequestUnderConcurrency(t *testing.T) {
	path := filepath.Join(t.TempDir(), "invoice.jsonl")
	s, url := start(t, Options{InvoicePath: path, Script: script(t, "seed: 3\nrules: [{probability: 0.3, action: {status: 500}}, {every: 4, action: {cut_at_byte: 700}}]")})
	const workers, each = 8, 25
	var wg sync.WaitGroup
	var mu sync.Mutex
	wantLine := make(map[string]string)
	for w := range workers {
		wg.Go(func() {
			for i := range each {
				id := fmt.Sprintf("%d-%d", w, i)
				r := post(t, url+"/v1/chat/completions", []string{hello, helloStream}[i%2], "x-accordo-attempt", id)
				mu.Lock()
				switch {
				case r.err != nil:
					wantLine[id] = StatusCut
				case r.status == 200:
					wantLine[id] = StatusComplete
				}
				mu.Unlock()
			}
		})
	}
	wg.Wait()
	got := make(map[string]string)
	for _, l := range invoiceLines(t, s) {
		if got[l.AttemptID] != "" {
			t.Errorf("attempt %s billed twice", l.AttemptID)
		}
		got[l.AttemptID] = l.Status
	}
	if diff := cmp.Diff(wantLine, got); diff != "" {
		t.Error(diff)
	}
	data, err := os.ReadFile(path)
	if err != nil || bytes.Count(data, []byte("\n")) != len(got) {
		t.Errorf("file: %v", err)
	}
}

func TestRequests_KeepBodiesByteForByte(t *testing.T) {
	s, url := start(t, Options{RecordRequests: 2, MaxRecordBytes: 400})
	odd := " { \"model\" : \"m\",\n\"messages\":[{\"content\":\"\\u00e9\"}], \"unknown\":1e400 }"
	post(t, url+"/v1/chat/completions", hello)
	post(t, url+"/v1/chat/completions", hello)
	post(t, url+"/v1/chat/completions", odd, "Authorization", "Bearer sk-secret", "x-accordo-attempt", "a")
	r := get(t, url+"/requests")
	var list []RecordedRequest
	if err := json.Unmarshal([]byte(r.body), &list); err != nil || len(list) != 2 {
		t.Fatalf("%v: %s", err, r.body)
	}
	if string(list[1].Body) != odd || list[1].AttemptID != "a" || list[1].Bytes != int64(len(odd)) || list[1].Path != "/v1/chat/completions" {
		t.Errorf("%+v", list[1])
	}
	if strings.Contains(r.body, "sk-secret") {
		t.Error("a credential was recorded")
	}
	post(t, url+"/v1/chat/completions", request(`,"pad":"`+strings.Repeat("x", 500)+`"`))
	if list := s.Requests(); len(list) != 2 || list[1].Body != nil || list[1].Bytes < 500 {
		t.Errorf("a body over the limit must be noted without its bytes: %+v", list)
	}
}

func TestLimits(t *testing.T) {
	t.Run("requests in progress", func(t *testing.T) {
		s := newServer(t, Options{MaxStreams: 1, Script: always(t, "stall_first_byte: 1h")})
		ctx, cancel := context.WithCancel(t.Context())
		var wg sync.WaitGroup
		wg.Go(func() { call1(ctx, s, hello) })
		for s.active.Load() == 0 {
			time.Sleep(time.Millisecond)
		}
		if w := call1(t.Context(), s, hello); w.status != 503 {
			t.Errorf("status %d", w.status)
		}
		cancel()
		wg.Wait()
	})
	t.Run("header bytes", func(t *testing.T) {
		url := "http://" + run(t, Options{MaxHeaderBytes: 1024})
		if r := post(t, url+"/v1/chat/completions", hello, "X-Long", strings.Repeat("x", 20_000)); r.status != 431 {
			t.Errorf("status %d, %v", r.status, r.err)
		}
	})
	t.Run("options", func(t *testing.T) {
		_, err := New(Options{MaxStreams: -1, RecordRequests: 1 << 20, Pools: []PoolOptions{
			{Name: "a/b"}, {Name: "c", TokensPerChipSecond: -1, Chips: -1, TTFTBase: -1}, {Name: "c"},
		}})
		if err == nil {
			t.Fatal("no error")
		}
		for _, want := range []string{`"a/b"`, "tokens_per_chip_second is -1", "chips is -1", "a delay of -1ns", `"c" is given twice`, "recording 1048576", "a limit is negative"} {
			if !strings.Contains(err.Error(), want) {
				t.Errorf("%v lacks %q", err, want)
			}
		}
	})
}

// run starts Run and gives its address; the test's end stops it and waits.
func run(t *testing.T, o Options) string {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	addr := make(chan net.Addr, 1)
	o.OnListen = func(a net.Addr) { addr <- a }
	done := make(chan error, 1)
	go func() { done <- Run(ctx, o) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
	select {
	case a := <-addr:
		return a.String()
	case err := <-done:
		done <- nil
		t.Fatal(err)
	}
	return ""
}

func TestRun_ServesUntilItsContextEnds(t *testing.T) {
	url := "http://" + run(t, Options{})
	if r := post(t, url+"/v1/chat/completions", hello); r.status != 200 {
		t.Errorf("%+v", r)
	}
}
