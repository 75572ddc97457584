//go:build linux

package main

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

// requestTime bounds one request, so that a target that hangs ends as a
// failure.
const requestTime = 30 * time.Second

// job is what is sent, and how often.
type job struct {
	address string
	headers string // lines of the target
	model   string
	prompt  int // bytes
	conns   int // closed loop; most that an open loop opens
	rate    int // requests a second of an open loop; 0: closed loop
	// completed, if set, hears of every request whose answer was checked.
	completed func(id string)
}

func (j *job) streams() bool {
	return j.model == modelStream || j.model == modelGaps || j.model == modelIdle
}

// outcome is what the client saw of a load.
type outcome struct {
	sent, done int
	errors     map[string]int
	latencies  []time.Duration // of what was done, sorted
	elapsed    time.Duration   // until the last answer
}

// percentile is in 0..100.
func (o *outcome) percentile(p float64) time.Duration {
	if len(o.latencies) == 0 {
		return 0
	}
	return o.latencies[min(len(o.latencies)-1, int(p/100*float64(len(o.latencies))))]
}

// request is the bytes of one request; the id's 16 digits are filled in.
func (j *job) request() (text []byte, id int) {
	body := fmt.Sprintf(`{"model":%q,"stream":%v,"max_tokens":300,"messages":[{"role":"user","content":"%s%s"}]}`,
		j.model, j.streams(), strings.Repeat("lorem ip", j.prompt/8), endOfPrompt)
	text = fmt.Appendf(nil, "POST /v1/chat/completions HTTP/1.1\r\nHost: bench\r\n%sContent-Type: application/json\r\nUser-Agent: bench\r\nX-Request-Id: %016d\r\nContent-Length: %d\r\n\r\n%s",
		j.headers, 0, len(body), body)
	return text, bytes.Index(text, []byte("X-Request-Id: ")) + len("X-Request-Id: ")
}

// client is one connection of the load.
type client struct {
	j       *job
	conn    net.Conn
	br      *bufio.Reader
	request []byte
	id      int
	room    []byte
	body    []byte
}

func (j *job) client() *client {
	c := &client{j: j}
	c.request, c.id = j.request()
	return c
}

func (c *client) connect() error {
	if c.conn != nil {
		return nil
	}
	conn, err := net.DialTimeout("tcp", c.j.address, 5*time.Second)
	if err != nil {
		return fmt.Errorf("connect: %w", err)
	}
	c.conn = conn
	if c.br == nil {
		c.br = bufio.NewReaderSize(conn, 16<<10)
	}
	c.br.Reset(conn)
	return nil
}

func (c *client) close() {
	if c.conn != nil {
		_ = c.conn.Close()
		c.conn = nil
	}
}

// do sends request number n and checks the whole answer.
func (c *client) do(n int64) error {
	err := c.connect()
	if err != nil {
		return err
	}
	defer func() {
		if err != nil {
			c.close()
		}
	}()
	_ = c.conn.SetDeadline(time.Now().Add(requestTime))
	for i := c.id + 15; i >= c.id; i, n = i-1, n/10 {
		c.request[i] = byte('0' + n%10)
	}
	if _, err = c.conn.Write(c.request); err != nil {
		return fmt.Errorf("write: %w", err)
	}
	var h head
	if c.room, h, err = readHead(c.br, c.room[:0]); err != nil {
		return fmt.Errorf("header: %w", err)
	}
	c.body = c.body[:0]
	if err = readBody(c.br, &h, func(p []byte) { c.body = append(c.body, p...) }); err != nil {
		return fmt.Errorf("body: %w", err)
	}
	if err = c.check(&h); err == nil && h.close {
		c.close()
	}
	return err
}

// errWrong is an answer that a target must not give.
var errWrong = errors.New("wrong answer")

func (c *client) check(h *head) error {
	switch {
	case h.status() != "200":
		return fmt.Errorf("status %s: %w", h.status(), errWrong)
	case !c.j.streams():
		if !bytes.Contains(c.body, []byte(plainContent)) || c.body[len(c.body)-1] != '}' {
			return fmt.Errorf("content: %w", errWrong)
		}
	default:
		want := streamChunks
		if c.j.model == modelIdle {
			want = 1
		}
		if n := bytes.Count(c.body, []byte(`"`+mark)); n != want || !bytes.Contains(c.body, []byte(`"`+chunkText(want-1)+`"`)) || !bytes.HasSuffix(bytes.TrimSpace(c.body), []byte("data: [DONE]")) {
			return fmt.Errorf("%d chunks: %w", n, errWrong)
		}
	}
	return nil
}

// tally gathers results of many clients.
type tally struct {
	mu sync.Mutex
	outcome
}

func (t *tally) add(latency time.Duration, err error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.sent++
	if err != nil {
		t.errors[short(err)]++
		return
	}
	t.done++
	t.latencies = append(t.latencies, latency)
}

// short is an error without addresses, to be counted.
func short(err error) string {
	if errors.Is(err, errWrong) {
		return err.Error()
	}
	var op *net.OpError
	if errors.As(err, &op) {
		return op.Op + ": " + op.Err.Error()
	}
	return err.Error()
}

// load runs a job for a time and returns what the clients saw.
func load(ctx context.Context, j *job, length time.Duration, first int64) *outcome {
	t := &tally{outcome: outcome{errors: map[string]int{}}}
	begin := time.Now()
	if j.rate > 0 {
		openLoop(ctx, j, length, first, t)
	} else {
		closedLoop(ctx, j, length, first, t)
	}
	t.elapsed = time.Since(begin)
	slices.Sort(t.latencies)
	return &t.outcome
}

// closedLoop keeps every connection busy: the next request follows the answer.
func closedLoop(ctx context.Context, j *job, length time.Duration, first int64, t *tally) {
	var numbers atomic.Int64
	numbers.Store(first)
	var wg sync.WaitGroup
	end := time.Now().Add(length)
	for range j.conns {
		c := j.client()
		wg.Go(func() {
			defer c.close()
			mine := tally{outcome: outcome{errors: map[string]int{}}}
			for ctx.Err() == nil && time.Now().Before(end) {
				begin, n := time.Now(), numbers.Add(1)
				err := c.do(n)
				mine.add(time.Since(begin), err)
				switch {
				case err == nil && j.completed != nil:
					j.completed(fmt.Sprintf("%016d", n))
				case err != nil:
					time.Sleep(5 * time.Millisecond) // a target that is down is not hammered
				}
			}
			t.merge(&mine)
		})
	}
	wg.Wait()
}

func (t *tally) merge(o *tally) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.sent, t.done = t.sent+o.sent, t.done+o.done
	t.latencies = append(t.latencies, o.latencies...)
	for k, n := range o.errors {
		t.errors[k] += n
	}
}

// worker is a client of an open loop.
type worker struct {
	*client
	starts chan start
}

type start struct {
	at time.Time // intended
	n  int64
}

// openLoop starts requests on time, whatever became of those before. Latency
// counts from the intended start. Above the most connections requests wait,
// and their wait counts.
func openLoop(ctx context.Context, j *job, length time.Duration, first int64, t *tally) {
	idle := make(chan *worker, j.conns)
	stack := []*worker{} // used last, used first: few connections when few do
	opened := 0
	var wg sync.WaitGroup
	open := func() *worker {
		w := &worker{j.client(), make(chan start, 1)}
		opened++
		wg.Go(func() {
			defer w.close()
			for s := range w.starts {
				err := w.do(s.n)
				t.add(time.Since(s.at), err)
				idle <- w
			}
		})
		return w
	}
	take := func() *worker {
		for {
			select {
			case w := <-idle:
				stack = append(stack, w)
				continue
			default:
			}
			switch n := len(stack); {
			case n > 0:
				w := stack[n-1]
				stack = stack[:n-1]
				return w
			case opened < j.conns:
				return open()
			}
			return <-idle
		}
	}
	begin := time.Now()
	total := int(int64(j.rate) * int64(length) / int64(time.Second))
	for i := 0; i < total && ctx.Err() == nil && time.Since(begin) < 2*length+time.Second; i++ {
		at := begin.Add(time.Duration(i) * time.Second / time.Duration(j.rate))
		if d := time.Until(at); d > 0 {
			time.Sleep(d)
		}
		w := take()
		w.starts <- start{at, first + int64(i)}
	}
	for range opened - len(stack) {
		stack = append(stack, <-idle)
	}
	for _, w := range stack {
		close(w.starts)
	}
	wg.Wait()
	// What was due and never sent is not served either.
	t.sent = max(t.sent, total)
}
