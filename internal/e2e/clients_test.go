package e2e

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"
)

const helloBody = `{"model":"chat","messages":[{"role":"user","content":"hello"}]}`

// dial opens a connection to the API, for clients that speak HTTP badly.
func (d *deployment) dial() net.Conn {
	d.t.Helper()
	conn, err := net.Dial("tcp", strings.TrimSuffix(strings.TrimPrefix(d.api, "http://"), "/v1"))
	if err != nil {
		d.t.Fatal(err)
	}
	d.t.Cleanup(func() { _ = conn.Close() })
	return conn
}

// raw sends bytes as they are and reads what comes until the other side
// closes or limit has passed.
func (d *deployment) raw(text string, limit time.Duration) (answer string, closed bool) {
	d.t.Helper()
	conn := d.dial()
	defer conn.Close()
	_ = conn.SetDeadline(time.Now().Add(limit))
	// The server may answer and close before it has read all.
	_, _ = io.WriteString(conn, text)
	b, err := io.ReadAll(conn)
	return string(b), err == nil || !errors.Is(err, os.ErrDeadlineExceeded)
}

// chatHead is a request line with the headers of a chat request and more.
func chatHead(more ...string) string {
	return "POST /v1/chat/completions HTTP/1.1\r\nHost: gateway\r\nAuthorization: Bearer " + keyOpen + "\r\n" + strings.Join(more, "")
}

// beside is a well-behaved client that works while others misbehave. Its stop
// fails the test unless every request was served.
func (d *deployment) beside() (stop func()) {
	end := make(chan struct{})
	var wait sync.WaitGroup
	served := 0
	wait.Go(func() {
		for {
			select {
			case <-end:
				return
			default:
			}
			resp, body, err := d.try(keyOpen, helloBody)
			if err != nil || resp.StatusCode != http.StatusOK {
				d.t.Errorf("the client beside: %v %v %s", err, resp, body)
				return
			}
			served++
			time.Sleep(5 * time.Millisecond)
		}
	})
	return func() {
		d.t.Helper()
		close(end)
		wait.Wait()
		if served == 0 {
			d.t.Error("the client beside was never served")
		}
	}
}

// try is post for any goroutine.
func (d *deployment) try(key, body string) (*http.Response, string, error) {
	r, err := http.NewRequest("POST", d.api+"/chat/completions", strings.NewReader(body))
	if err != nil {
		return nil, "", err
	}
	r.Header.Set("Authorization", "Bearer "+key)
	resp, err := http.DefaultClient.Do(r)
	if err != nil {
		return nil, "", err
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	return resp, string(b), err
}

// rss is the resident memory of a process in bytes, 0 where it cannot be told.
func (p *process) rss() int64 {
	if runtime.GOOS != "linux" {
		return 0
	}
	data, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", p.cmd.Process.Pid))
	if err != nil {
		return 0
	}
	for line := range strings.Lines(string(data)) {
		if rest, ok := strings.CutPrefix(line, "VmRSS:"); ok {
			kb, _ := strconv.ParseInt(strings.Fields(rest)[0], 10, 64)
			return kb << 10
		}
	}
	return 0
}

// watchRSS samples the memory until stop, which returns the peak in bytes.
func (p *process) watchRSS() (stop func() int64) {
	end, done := make(chan struct{}), make(chan struct{})
	peak := p.rss()
	go func() {
		defer close(done)
		for {
			select {
			case <-end:
				return
			case <-time.After(20 * time.Millisecond):
				peak = max(peak, p.rss())
			}
		}
	}()
	return func() int64 {
		close(end)
		<-done
		return peak
	}
}

// metric is the value of a metric line that begins with name.
func (d *deployment) metric(name string) float64 {
	d.t.Helper()
	r, err := http.NewRequest("GET", d.admin+"/metrics", nil)
	if err != nil {
		d.t.Fatal(err)
	}
	r.Header.Set("Authorization", "Bearer "+d.token)
	resp, err := http.DefaultClient.Do(r)
	if err != nil {
		d.t.Fatal(err)
	}
	defer resp.Body.Close()
	lines := bufio.NewScanner(resp.Body)
	for lines.Scan() {
		if rest, ok := strings.CutPrefix(lines.Text(), name+" "); ok {
			v, err := strconv.ParseFloat(rest, 64)
			if err != nil {
				d.t.Fatal(err)
			}
			return v
		}
	}
	return 0
}

// waitIdle waits until no request is under way.
func (d *deployment) waitIdle() {
	d.t.Helper()
	eventually(d.t, 15*time.Second, "requests are still under way", func() bool { return d.metric("accordo_requests_in_flight") == 0 })
}

// Slow senders of headers and of bodies are ended, with and without a key,
// and the memory they take is small.
func TestClients_SlowSendersAreEnded(t *testing.T) {
	t.Parallel()
	d := deploy(t, setup{north: startProvider(t, northConfig), south: startProvider(t, southConfig)})
	const each = 150
	for name, c := range map[string]struct {
		begin  string
		answer string // what the connection brings before it is closed
	}{
		"headers":                  {"POST /v1/chat/completions HTTP/1.1\r\nHost: g\r\nX-Slow: ", ""},
		"request line":             {"POST /v1/ch", ""},
		"body":                     {chatHead("Content-Length: 60\r\n\r\n") + `{"model":`, `"code":"request_timeout"`},
		"chunked body":             {chatHead("Transfer-Encoding: chunked\r\n\r\n3c\r\n") + `{"model":`, `"code":"request_timeout"`},
		"body without a key":       {"POST /v1/chat/completions HTTP/1.1\r\nHost: g\r\nContent-Length: 60\r\n\r\n{", `"code":null`},
		"body for an unknown path": {"POST /v1/nothing HTTP/1.1\r\nHost: g\r\nContent-Length: 60\r\n\r\n{", "Invalid URL"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			before := d.rss()
			stop := d.beside()
			defer stop()
			var wait sync.WaitGroup
			for range each {
				conn := d.dial()
				wait.Go(func() {
					defer conn.Close()
					_ = conn.SetDeadline(time.Now().Add(60 * time.Second))
					_, _ = io.WriteString(conn, c.begin)
					drip := make(chan struct{})
					go func() { // one byte now and then keeps no connection open
						for {
							select {
							case <-drip:
								return
							case <-time.After(2 * time.Second):
								_, _ = io.WriteString(conn, "a")
							}
						}
					}()
					b, err := io.ReadAll(conn)
					close(drip)
					if errors.Is(err, os.ErrDeadlineExceeded) {
						t.Error("the connection is still open after a minute")
					} else if !strings.Contains(string(b), c.answer) {
						t.Errorf("answer %q, want %q in it", b, c.answer)
					}
				})
			}
			wait.Wait()
			if grown := d.rss() - before; grown > 128<<20 {
				t.Errorf("%d slow connections took %d bytes", each, grown)
			}
		})
	}
	t.Cleanup(func() {
		if !t.Failed() {
			d.waitIdle()
		}
	})
}

// A client that takes nothing of an endless stream is cut off; the attempt is
// cancelled at the provider and booked, and the memory does not grow.
func TestClients_SlowReaderOfAStreamIsCut(t *testing.T) {
	t.Parallel()
	north, south := startProvider(t, northConfig), startProvider(t, southConfig)
	d := deploy(t, setup{north: north, south: south})
	rule := "  - {stream: true, action: {endless: true, endless_chunks: 100000000}}\n"
	north.script(rule)
	south.script(rule)
	const clients = 20
	peak := d.watchRSS()
	for i := range clients {
		body := `{"model":"chat","stream":true,"messages":[{"role":"user","content":"hello"}]}`
		conn := d.dial()
		fmt.Fprintf(conn, "%sX-Request-Id: slow-reader-%d\r\nContent-Length: %d\r\n\r\n%s", chatHead(), i, len(body), body)
	}
	eventually(t, 20*time.Second, "the streams do not run", func() bool { return d.metric("accordo_requests_in_flight") == clients })
	stop := d.beside()
	eventually(t, 90*time.Second, "the streams are not cut", func() bool { return d.metric("accordo_requests_in_flight") <= 1 })
	stop()
	if p := peak(); p > 200<<20 {
		t.Errorf("peak memory %d bytes for %d readers that do not read", p, clients)
	}
	d.waitBooked("slow-reader-0")
	tr := d.trace("slow-reader-0")
	if len(tr.Attempts) != 1 || tr.Attempts[0].Outcome == nil || tr.Attempts[0].Outcome.Outcome.Reason != "client_left" {
		t.Errorf("%+v", tr)
	}
}

// Clients that vanish in the middle leave nothing behind.
func TestClients_HalfOpenConnectionsLeaveNothing(t *testing.T) {
	t.Parallel()
	north, south := startProvider(t, northConfig), startProvider(t, southConfig)
	d := deploy(t, setup{north: north, south: south})
	rule := "  - {stream: true, action: {chunk_delay: 100ms, output_tokens: 3000}}\n"
	north.script(rule)
	south.script(rule)
	stop := d.beside()
	stream := `{"model":"chat","stream":true,"messages":[{"role":"user","content":"hello"}]}`
	complete := chatHead("Content-Length: ", strconv.Itoa(len(stream)), "\r\n\r\n", stream)
	for name, c := range map[string]struct {
		text  string
		leave func(*net.TCPConn)
	}{
		"reset in the headers":     {chatHead(), func(c *net.TCPConn) { _ = c.SetLinger(0); _ = c.Close() }},
		"reset in the body":        {chatHead("Content-Length: 500\r\n\r\n{"), func(c *net.TCPConn) { _ = c.SetLinger(0); _ = c.Close() }},
		"half closed in the body":  {chatHead("Content-Length: 500\r\n\r\n{"), func(c *net.TCPConn) { _ = c.CloseWrite() }},
		"reset in the answer":      {complete, func(c *net.TCPConn) { _ = c.SetLinger(0); _ = c.Close() }},
		"half closed after asking": {complete, func(c *net.TCPConn) { _ = c.CloseWrite() }},
	} {
		for range 20 {
			conn := d.dial().(*net.TCPConn)
			if _, err := io.WriteString(conn, c.text); err != nil {
				t.Fatalf("%s: %v", name, err)
			}
			if c.text == complete { // wait for the first byte of the answer
				_ = conn.SetReadDeadline(time.Now().Add(20 * time.Second))
				if _, err := conn.Read(make([]byte, 1)); err != nil {
					t.Fatalf("%s: %v", name, err)
				}
			}
			c.leave(conn)
		}
	}
	stop()
	d.waitIdle()
}

// What is too large is refused by name, whether its length is declared or
// not, and memory stays bounded when many try at once.
func TestClients_HugeHeadersAndBodies(t *testing.T) {
	t.Parallel()
	north, south := startProvider(t, northConfig), startProvider(t, southConfig)
	d := deploy(t, setup{north: north, south: south})
	stop := d.beside()
	defer stop()

	answer, closed := d.raw(chatHead("X-Big: ", strings.Repeat("a", 1<<20), "\r\n\r\n"), 30*time.Second)
	if !closed || answer != "" && !strings.HasPrefix(answer, "HTTP/1.1 431 ") {
		t.Errorf("huge headers: closed %v, %.200q", closed, answer)
	}
	answer, closed = d.raw(chatHead(strings.Repeat("X-Many: a\r\n", 20_000), "\r\n"), 30*time.Second)
	if !closed || answer != "" && !strings.HasPrefix(answer, "HTTP/1.1 431 ") {
		t.Errorf("many headers: closed %v, %.200q", closed, answer)
	}
	answer, closed = d.raw(chatHead("Content-Length: 20971521\r\n\r\n{"), 30*time.Second)
	if !closed || !strings.HasPrefix(answer, "HTTP/1.1 413 ") || !strings.Contains(answer, `"code":"request_too_large"`) {
		t.Errorf("huge body, declared: closed %v, %.300q", closed, answer)
	}
	answer, closed = d.raw(chatHead("Content-Length: 20971521\r\nExpect: 100-continue\r\n\r\n"), 30*time.Second)
	if !closed || !strings.HasPrefix(answer, "HTTP/1.1 413 ") {
		t.Errorf("huge body, expecting to be asked for: closed %v, %.300q", closed, answer)
	}

	const clients = 48
	peak := d.watchRSS()
	var wait sync.WaitGroup
	var mu sync.Mutex
	codes := map[string]int{}
	for i := range clients {
		wait.Go(func() {
			// Half declare less than the limit and send it slowly enough to
			// meet; the others do not say how much will come.
			var body io.Reader = io.MultiReader(strings.NewReader(`{"model":"chat","pad":"`), io.LimitReader(letters{}, 24<<20))
			r, _ := http.NewRequest("POST", d.api+"/chat/completions", body)
			if i%2 == 0 {
				r.Body, r.ContentLength = io.NopCloser(io.LimitReader(letters{}, 20<<20)), 20<<20
			}
			r.Header.Set("Authorization", "Bearer "+keyOpen)
			resp, err := http.DefaultClient.Do(r)
			code := "closed"
			if err == nil {
				b, _ := io.ReadAll(resp.Body)
				resp.Body.Close()
				code = strconv.Itoa(resp.StatusCode)
				if code == "503" && resp.Header.Get("Retry-After") == "" || !bytes.Contains(b, []byte(`{"error":{"message":`)) {
					t.Errorf("%s %v %s", code, resp.Header, b)
				}
			}
			mu.Lock()
			codes[code]++
			mu.Unlock()
		})
	}
	wait.Wait()
	p := peak()
	t.Logf("answers %v, peak memory %d MB", codes, p>>20)
	if p > 800<<20 {
		t.Errorf("peak memory %d MB for %d bodies of 20 MB and more", p>>20, clients)
	}
	if codes["413"]+codes["400"]+codes["503"]+codes["closed"] != clients {
		t.Errorf("%v", codes)
	}
	if len(north.recorded())+len(south.recorded()) == 0 {
		t.Error("the client beside never reached a provider")
	}
}

// letters is an endless text.
type letters struct{}

// Read fills p.
func (letters) Read(p []byte) (int, error) {
	for i := range p {
		p[i] = 'a'
	}
	return len(p), nil
}

// Requests sent one behind the other are answered one behind the other.
func TestClients_Pipelining(t *testing.T) {
	t.Parallel()
	north, south := startProvider(t, northConfig), startProvider(t, southConfig)
	d := deploy(t, setup{north: north, south: south})
	const n = 50
	var b strings.Builder
	for i := range n {
		more := ""
		if i == n-1 {
			more = "Connection: close\r\n"
		}
		fmt.Fprintf(&b, "%sX-Request-Id: pipe-%d\r\n%sContent-Length: %d\r\n\r\n%s", chatHead(), i, more, len(helloBody), helloBody)
	}
	conn := d.dial()
	_ = conn.SetDeadline(time.Now().Add(60 * time.Second))
	go func() { _, _ = io.WriteString(conn, b.String()) }()
	answers := bufio.NewReader(conn)
	for i := range n {
		resp, err := http.ReadResponse(answers, nil)
		if err != nil {
			t.Fatalf("answer %d: %v", i, err)
		}
		body, err := io.ReadAll(resp.Body)
		if err != nil || resp.StatusCode != http.StatusOK || resp.Header.Get("X-Request-Id") != fmt.Sprintf("pipe-%d", i) {
			t.Fatalf("answer %d: %v %s %v %s", i, err, resp.Status, resp.Header, body)
		}
	}
	if got := len(north.recorded()) + len(south.recorded()); got != n {
		t.Errorf("%d requests reached the providers, want %d", got, n)
	}
}

func decode(t *testing.T, body string, into any) {
	t.Helper()
	if err := json.Unmarshal([]byte(body), into); err != nil {
		t.Fatalf("%v in %.600s", err, body)
	}
}
