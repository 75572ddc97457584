//go:build linux

package main

import (
	"context"
	"fmt"
	"os"
)

// Three times what a target serves is asked of it, over so many connections
// at most.
const (
	overTimes = 3
	overConns = 2000
)

// over measures what is left of a target's peak when three times as much is
// asked of it as its processors can do: an answer that is right counts, one
// that is refused does not. Load and provider take processor time from the
// target here, more of it over many connections, so that what a target serves
// in a second of its own processor time is told too.
func (b *bench) over(ctx context.Context, t target) error {
	r, err := b.run(ctx, t, false)
	if err != nil {
		return err
	}
	defer r.end()
	j := job{address: r.address, headers: r.headers, model: modelPlain, prompt: kilobyte, conns: 64}
	if warm := load(ctx, &j, b.length/4, 1); warm.done == 0 {
		return fmt.Errorf("no answer is right: %v", warm.errors)
	}
	measured := func(first int64) (*cell, error) {
		if _, err := r.settle(ctx, b.quiet); err != nil {
			return nil, err
		}
		before := r.cpu()
		c := &cell{outcome: load(ctx, &j, b.length, first)}
		_, err := r.settle(ctx, b.quiet)
		c.cpu = r.cpu() - before
		return c, err
	}
	peak, err := measured(1_000_000)
	if err != nil {
		return err
	}
	j.conns, j.rate = overConns, int(overTimes*peak.rate())
	r.forgetPeak()
	load(ctx, &j, b.length/4, 5_000_000) // opens the connections
	much, err := measured(10_000_000)
	if err != nil {
		return err
	}
	for text, n := range much.errors {
		fmt.Fprintf(os.Stderr, "%s at three times its peak: %d x %s\n", t.name, n, text)
	}
	b.rows.add(workOver, t.name, "peak_per_second", peak.rate())
	b.rows.add(workOver, t.name, "served_per_second", much.rate())
	b.rows.add(workOver, t.name, "goodput_share", much.rate()/peak.rate())
	b.rows.add(workOver, t.name, "goodput_share_per_cpu", peak.perRequest()/much.perRequest())
	b.rows.add(workOver, t.name, "asked_per_second", float64(much.sent)/much.elapsed.Seconds())
	b.rows.add(workOver, t.name, "rss_peak_mb", mb(r.memory("VmHWM")))
	return nil
}
