//go:build linux

package main

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net/http"
	"os"
	"slices"
	"strings"
	"sync"
	"time"
)

// once are the steps of a round besides the loads.
func (b *bench) once(round int, targets []target) (steps []step) {
	add := func(work, name string, guess time.Duration, t target, run func(context.Context, target) error) {
		if wants(b.works, work) {
			steps = append(steps, step{name, round + 1, guess, t.name == "accordo", func(ctx context.Context) error { return run(ctx, t) }})
		}
	}
	for _, t := range targets {
		if t.start != nil && !t.foreign {
			add(workIdle, "idle streams on "+t.name, 8*time.Second, t, b.idle)
		}
	}
	for _, t := range targets {
		if t.start != nil && !t.foreign && t.name != "nginx" {
			add(workOver, "3 x the peak on "+t.name, 6*b.length, t, b.over)
		}
	}
	for _, t := range targets {
		if t.name == "accordo" {
			add(workStart, workStart, time.Second, t, b.startToAnswer)
			add(workKill, workKill, b.length+4*time.Second, t, b.kill)
			add(workDisk, workDisk, 2*(1+pacedTimes)*(b.length+3*time.Second), t, b.disk)
		}
	}
	return steps
}

// openers is how many streams are opened at the same time.
const openers = 64

// atRest is how long a target that has started must have burnt nothing before
// its memory at rest is looked at.
const atRest = time.Second

// idle measures a target at rest, and with many open streams that say nothing.
func (b *bench) idle(ctx context.Context, t target) error {
	files, err := maxFiles()
	if err != nil {
		return err
	}
	n := min(b.streams, (files-1000)/2) // a gateway has two files a stream, and a reserve
	r, err := b.run(ctx, t, false)
	if err != nil {
		return err
	}
	defer r.end()
	if _, err := r.settle(ctx, atRest); err != nil {
		return err
	}
	before := r.memory("VmRSS")
	b.rows.add(workIdle, t.name, "rss_mb", mb(before))
	j := job{address: r.address, headers: r.headers, model: modelIdle, prompt: kilobyte}
	all := make([]*client, n)
	var failed error
	var mu sync.Mutex
	var wg sync.WaitGroup
	for k := range openers {
		wg.Go(func() {
			for i := k; i < n && ctx.Err() == nil; i += openers {
				c := j.client()
				all[i] = c
				if err := c.open(int64(i)); err != nil {
					mu.Lock()
					failed = err
					mu.Unlock()
				}
			}
		})
	}
	wg.Wait()
	defer func() {
		for _, c := range all {
			if c != nil {
				c.close()
			}
		}
	}()
	if failed != nil { // no figure in this round; the log says why
		fmt.Fprintf(os.Stderr, "idle streams on %s: %v\n%s\n", t.name, failed, tail(r.log.String()))
		return ctx.Err()
	}
	time.Sleep(200 * time.Millisecond)
	b.rows.add(workIdle, t.name, "streams", float64(n))
	b.rows.add(workIdle, t.name, "kb_per_stream", float64(r.memory("VmRSS")-before)/float64(n)/1024)
	return nil
}

// open sends a request for an idle stream and reads its first chunk.
func (c *client) open(int64) error {
	if err := c.connect(); err != nil {
		return err
	}
	_ = c.conn.SetDeadline(time.Now().Add(requestTime))
	if _, err := c.conn.Write(c.request); err != nil {
		return err
	}
	c.request = nil // 10,000 of them are kept open
	var seen []byte
	for !bytes.Contains(seen, []byte(mark)) {
		if _, err := c.br.Peek(1); err != nil {
			return fmt.Errorf("%w after %q", err, tail(string(seen)))
		}
		p, _ := c.br.Peek(c.br.Buffered())
		seen = append(seen, p...)
		_, _ = c.br.Discard(len(p))
		if len(seen) > maxHead || bytes.Contains(seen, []byte(`"error"`)) {
			return fmt.Errorf("%q: %w", tail(string(seen)), errWrong)
		}
	}
	c.br = nil
	return nil
}

// startToAnswer is the time from the start of the program to its first
// answer, which its own simulator gives.
func (b *bench) startToAnswer(ctx context.Context, t target) error {
	dir, err := os.MkdirTemp(b.work, "start-")
	if err != nil {
		return err
	}
	file, err := writeAlliance(dir, "stand-in:")
	if err != nil {
		return err
	}
	text := strings.ReplaceAll(allianceFile(""), `endpoint: {url: "/v1", dialect: openai}`,
		`endpoint: {url: "stand-in:", dialect: openai}, stand_in: {kind: simulated, says: a simulator answers}`)
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		return err
	}
	address, err := freeAddress()
	if err != nil {
		return err
	}
	begin := time.Now()
	p, err := spawn(nil, b.accordo, accordoArgs(address, dir)...)
	if err != nil {
		return err
	}
	defer p.stop()
	if err := p.ready(ctx, address); err != nil {
		return err
	}
	r, err := http.NewRequestWithContext(ctx, "POST", "http://"+address+"/v1/chat/completions", strings.NewReader(`{"model":"bench-plain","max_tokens":1,"messages":[{"role":"user","content":"hi"}]}`))
	if err != nil {
		return err
	}
	r.Header.Set("Authorization", "Bearer "+benchKey)
	resp, err := (&http.Transport{DisableKeepAlives: true}).RoundTrip(r)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	if body, err := io.ReadAll(resp.Body); err != nil || resp.StatusCode != http.StatusOK {
		return fmt.Errorf("%s: %s %v", resp.Status, body, err)
	}
	b.rows.add(workStart, t.name, "ms", ms(time.Since(begin)))
	return nil
}

// pacedTimes is how often the added p99 is measured in a step: a difference of
// two percentiles is what noise moves most.
const pacedTimes = 3

// disk compares the durability that survives a loss of power with the default:
// requests a second of clients that wait for their answers, and what is added
// to p99 at one rate for both, in turn and as medians. At two rates p99 would
// be that of two queues.
func (b *bench) disk(ctx context.Context, t target) error {
	sync, err := b.syncTime()
	if err != nil {
		return err
	}
	measure := func(durability string, j job) (*cell, error) {
		t.start = func(b *bench, address, upstream, dir string) (*process, error) {
			return b.startAccordo(address, upstream, dir, "--durability="+durability)
		}
		r, err := b.run(ctx, t, false)
		if err != nil {
			return nil, err
		}
		defer r.end()
		return b.cell(ctx, r, j)
	}
	full, paced := job{model: modelPlain, prompt: kilobyte, conns: 64}, job{model: modelDelay, prompt: kilobyte, conns: 2000, rate: 1000}
	var rates [2]float64
	var p99s [2][]float64
	for round := range pacedTimes {
		for i, durability := range [...]string{"crash", "disk"} {
			if round == 0 {
				c, err := measure(durability, full)
				if err != nil {
					return err
				}
				rates[i] = c.rate()
			}
			c, err := measure(durability, paced)
			if err != nil {
				return err
			}
			p99s[i] = append(p99s[i], ms(c.percentile(99)))
		}
	}
	p99 := median(p99s[1])
	b.rows.add(workDisk, t.name, "fsync_p99_ms", ms(sync))
	b.rows.add(workDisk, t.name, "requests_per_second", rates[1])
	b.rows.add(workDisk, t.name, "rps_ratio", rates[1]/rates[0])
	b.rows.add(workDisk, t.name, "p99_ms", p99)
	b.rows.add(workDisk, t.name, "added_p99_fsyncs", (p99-median(p99s[0]))/max(ms(sync), 0.001))
	return nil
}

// syncTime is how long the disk takes at the 99th percentile to make one
// appended block safe.
func (b *bench) syncTime() (time.Duration, error) {
	f, err := os.CreateTemp(b.work, "sync-")
	if err != nil {
		return 0, err
	}
	defer f.Close()
	var times []float64
	block := make([]byte, 4<<10)
	for range 400 {
		begin := time.Now()
		if _, err := f.Write(block); err != nil {
			return 0, err
		}
		if err := f.Sync(); err != nil {
			return 0, err
		}
		times = append(times, float64(time.Since(begin)))
	}
	slices.Sort(times)
	return time.Duration(times[len(times)*99/100]), nil
}
