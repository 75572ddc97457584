//go:build linux

package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"time"
)

// step is one thing to measure.
type step struct {
	name  string
	round int           // from 1; 0: besides the rounds
	guess time.Duration // how long it takes, until one of its name has been run
	// accordo says that nothing is measured where it fails; a baseline that
	// fails is left out.
	accordo bool
	run     func(context.Context) error
}

// run measures everything that was asked for, in interleaved rounds, and tells
// what it has measured even where it is stopped.
func run(ctx context.Context, o options) error {
	b, err := o.open(ctx)
	if b != nil {
		defer b.close()
	}
	if err != nil {
		return err
	}
	if o.profile != "" {
		return b.profiled(ctx)
	}
	steps := append(b.loads(), b.outside()...)
	p := &progress{out: os.Stderr, steps: steps, begin: time.Now(), limit: o.limit, took: map[string]time.Duration{}, now: time.Now, begins: func(s *step) { b.rows.round = s.round }}
	err = p.all(ctx)
	b.rows.print(os.Stdout)
	fmt.Printf("\n%d of %d steps in %s; %s\n", p.done, len(steps), time.Since(p.begin).Round(time.Second), o.json)
	return errors.Join(err, b.rows.write(o.json))
}

// loads are the steps of the rounds.
func (b *bench) loads() (steps []step) {
	targets := b.targets()
	for round := range b.rounds {
		for _, w := range works() {
			if !wants(b.works, w.name) {
				continue
			}
			for i := range targets {
				// Each round starts with another target: none is always first.
				t := targets[(i+round)%len(targets)]
				if w.secure && (t.start == nil || t.foreign) {
					continue
				}
				guess := b.length*5/4 + 2*time.Second
				if t.foreign {
					guess += 10 * time.Second
				}
				steps = append(steps, step{w.name + " on " + t.name, round + 1, guess, t.name == "accordo", func(ctx context.Context) error { return b.measure(ctx, &w, t) }})
			}
		}
		steps = append(steps, b.once(round, targets)...)
	}
	return steps
}

// errLimit says that the bench was to end.
var errLimit = errors.New("stopped at the limit of time (-limit): the figures are of what was measured until then")

// progress runs steps and says how far it is.
type progress struct {
	out   io.Writer
	steps []step
	begin time.Time
	limit time.Duration
	done  int
	took  map[string]time.Duration // by the name of a step: the last time
	said  time.Time
	now   func() time.Time
	// begins, if set, hears of every step before it is run.
	begins func(*step)
}

// sayEvery is how often a line of progress is written.
const sayEvery = 15 * time.Second

// all runs every step until the limit of time. Of a baseline that fails the
// error is told, and the rest goes on.
func (p *progress) all(ctx context.Context) error {
	var failed error
	for i := range p.steps {
		s := &p.steps[i]
		begin := p.now()
		if begin.Sub(p.begin) > p.limit {
			return errors.Join(failed, errLimit)
		}
		if begin.Sub(p.said) >= sayEvery {
			p.said = begin
			fmt.Fprintf(p.out, "%3d of %d  %-26s round %d  %s gone, about %s left\n", i+1, len(p.steps), s.name, s.round, begin.Sub(p.begin).Round(time.Second), p.left(i).Round(time.Second))
		}
		if p.begins != nil {
			p.begins(s)
		}
		err := s.run(ctx)
		p.took[s.name] = p.now().Sub(begin)
		switch {
		case ctx.Err() != nil:
			return errors.Join(failed, ctx.Err())
		case err != nil && s.accordo:
			return errors.Join(failed, fmt.Errorf("%s: %w", s.name, err))
		case err != nil:
			fmt.Fprintf(p.out, "left out: %s: %v\n", s.name, err)
			failed = errors.Join(failed, fmt.Errorf("%s: %w", s.name, err))
		default:
			p.done++
		}
	}
	return failed
}

// left is how long the steps from i on will take.
func (p *progress) left(i int) (sum time.Duration) {
	for _, s := range p.steps[i:] {
		if took, ok := p.took[s.name]; ok {
			sum += took
		} else {
			sum += s.guess
		}
	}
	return sum
}
