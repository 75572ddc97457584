//go:build linux

package main

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"time"
)

// work is one kind of load on every target.
type work struct {
	name   string
	job    job
	secure bool
	tell   func(t *table, target string, c *cell) // which metrics
}

const (
	kilobyte  = 1 << 10
	longBytes = 200 << 10
)

func works() []work {
	perRequest := func(w string) func(*table, string, *cell) {
		return func(t *table, target string, c *cell) {
			t.add(w, target, "cpu_us_per_request", c.perRequest())
			t.add(w, target, "requests_per_second", c.rate())
			t.add(w, target, "p50_ms", ms(c.percentile(50)))
			t.add(w, target, "p99_ms", ms(c.percentile(99)))
			c.common(t, w, target)
		}
	}
	perChunk := func(w string) func(*table, string, *cell) {
		return func(t *table, target string, c *cell) {
			t.add(w, target, "cpu_us_per_chunk", c.perRequest()/streamChunks)
			t.add(w, target, "chunks_per_second", c.rate()*streamChunks)
			c.common(t, w, target)
		}
	}
	open := func(w string) func(*table, string, *cell) {
		return func(t *table, target string, c *cell) {
			t.add(w, target, "served_percent", 100*float64(c.done)/float64(max(1, c.sent)))
			perRequest(w)(t, target, c)
		}
	}
	return []work{
		{"W1", job{model: modelPlain, prompt: kilobyte, conns: 64}, false, perRequest("W1")},
		{"W1t", job{model: modelPlain, prompt: kilobyte, conns: 64}, true, perRequest("W1t")},
		{"W2a", job{model: modelDelay, prompt: kilobyte, conns: 2000, rate: 1000}, false, open("W2a")},
		{"W2b", job{model: modelDelay, prompt: kilobyte, conns: 2000, rate: 5000}, false, open("W2b")},
		{"W3", job{model: modelStream, prompt: kilobyte, conns: 32}, false, perChunk("W3")},
		{"W3g", job{model: modelGaps, prompt: kilobyte, conns: 64}, false, perChunk("W3g")},
		{"W4", job{model: modelPlain, prompt: longBytes, conns: 32}, false, perRequest("W4")},
	}
}

// The works besides those that are loads on every target.
const (
	workIdle    = "idle"    // memory of a target at rest, and per open stream
	workOver    = "over"    // three times what a target can serve
	workStart   = "start"   // time to the first answer
	workKill    = "kill"    // records after SIGKILL
	workDisk    = "disk"    // durability=disk against the default
	workDecide  = "decide"  // one decision of the router
	workGrowth  = "growth"  // cost against the size of the terms
	workLoading = "loading" // time to load large terms
)

func workNames() []string {
	var names []string
	for _, w := range works() {
		names = append(names, w.name)
	}
	return append(names, workIdle, workOver, workStart, workKill, workDisk, workDecide, workGrowth, workLoading)
}

// cell is one target under one work in one round.
type cell struct {
	*outcome
	cpu, burnt time.Duration // cpu includes burnt
	idle, peak int64         // bytes
}

func (c *cell) perRequest() float64 {
	return float64(c.cpu.Microseconds()) / float64(max(1, c.done))
}

func (c *cell) rate() float64 { return float64(c.done) / c.elapsed.Seconds() }

func (c *cell) common(t *table, w, target string) {
	t.add(w, target, "errors", float64(c.sent-c.done))
	t.add(w, target, "burnt_after_s", c.burnt.Seconds())
	t.add(w, target, "rss_peak_mb", mb(c.peak))
}

func ms(d time.Duration) float64 { return float64(d.Microseconds()) / 1000 }
func mb(n int64) float64         { return float64(n) / (1 << 20) }

// measure runs one cell on a fresh target.
func (b *bench) measure(ctx context.Context, w *work, t target) error {
	r, err := b.run(ctx, t, w.secure)
	if err != nil {
		return err
	}
	defer r.end()
	c, err := b.cell(ctx, r, w.job)
	if err != nil {
		return err
	}
	w.tell(&b.rows, t.name, c)
	return nil
}

// cell warms a target up, lets it settle, loads it and lets it settle again.
func (b *bench) cell(ctx context.Context, r *running, j job) (*cell, error) {
	j.address, j.headers = r.address, r.headers
	warm := load(ctx, &j, b.length/4, 1)
	if warm.done == 0 {
		return nil, fmt.Errorf("no answer is right: %v", warm.errors)
	}
	if _, err := r.settle(ctx, b.quiet); err != nil {
		return nil, err
	}
	c := &cell{idle: r.memory("VmRSS")}
	r.forgetPeak()
	before := r.cpu()
	c.outcome = load(ctx, &j, b.length, 1_000_000)
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	c.peak = r.memory("VmHWM")
	var err error
	if c.burnt, err = r.settle(ctx, b.quiet); err != nil {
		return nil, err
	}
	c.cpu = r.cpu() - before
	for text, n := range c.errors {
		fmt.Fprintf(os.Stderr, "%s: %d x %s\n", r.target.name, n, text)
	}
	return c, nil
}

// profiled loads the whole program in a process of this bench.
func (b *bench) profiled(ctx context.Context) error {
	for _, w := range works() {
		if w.name != b.profile {
			continue
		}
		file, err := filepath.Abs(filepath.Join(b.dir, w.name+".pprof"))
		if err != nil {
			return err
		}
		t := target{name: "accordo", headers: "Authorization: Bearer " + benchKey + "\r\n"}
		t.start = func(b *bench, address, upstream, dir string) (*process, error) {
			if _, err := writeAlliance(dir, upstream); err != nil {
				return nil, err
			}
			return spawn([]string{"SSL_CERT_FILE=" + b.roots}, b.self, "accordo", address, dir, file)
		}
		r, err := b.run(ctx, t, w.secure)
		if err != nil {
			return err
		}
		defer r.end()
		c, err := b.cell(ctx, r, w.job)
		if err != nil {
			return err
		}
		w.tell(&b.rows, t.name, c)
		b.rows.print(os.Stdout)
		fmt.Println(file)
		return nil
	}
	return fmt.Errorf("%q is not a work to profile", b.profile)
}
