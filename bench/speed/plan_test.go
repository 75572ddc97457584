//go:build linux

package main

import (
	"bytes"
	"context"
	"errors"
	"strings"
	"testing"
	"time"
)

// A clock that steps and tests move.
type clock struct{ at time.Time }

func (c *clock) now() time.Time { return c.at }

func TestProgress_SaysWhatIsLeftAndEndsAtItsLimit(t *testing.T) {
	boom := errors.New("boom")
	for _, c := range []struct {
		name      string
		limit     time.Duration
		fails     string // name of the step that does
		cancels   string
		wantRun   int
		wantError error
		wantDone  int
		wantSaid  string
	}{
		{"all", time.Hour, "", "", 4, nil, 4, "1 of 4  base                       round 1  0s gone, about 40s left"},
		{"told by what it took before", time.Hour, "", "", 4, nil, 4, "3 of 4  base                       round 2  40s gone, about 40s left"},
		{"the limit", 30 * time.Second, "", "", 2, errLimit, 2, ""},
		{"a baseline fails", time.Hour, "base", "", 4, boom, 2, "left out: base: boom"},
		{"accordo fails", time.Hour, "accordo", "", 2, boom, 1, ""},
		{"stopped", time.Hour, "", "base", 1, context.Canceled, 0, ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			ctx, cancel := context.WithCancel(t.Context())
			defer cancel()
			k := &clock{at: time.Unix(0, 0)}
			ran := 0
			var steps []step
			for round := range 2 {
				for _, name := range []string{"base", "accordo"} {
					steps = append(steps, step{name, round + 1, 10 * time.Second, name == "accordo", func(context.Context) error {
						ran++
						k.at = k.at.Add(20 * time.Second)
						if name == c.cancels {
							cancel()
						}
						if name == c.fails {
							return boom
						}
						return nil
					}})
				}
			}
			var out bytes.Buffer
			p := &progress{out: &out, steps: steps, begin: k.at, limit: c.limit, took: map[string]time.Duration{}, now: k.now}
			if err := p.all(ctx); !errors.Is(err, c.wantError) || (err == nil) != (c.wantError == nil) {
				t.Errorf("error %v, want %v", err, c.wantError)
			}
			if ran != c.wantRun || p.done != c.wantDone {
				t.Errorf("%d steps ran and %d were done, want %d and %d", ran, p.done, c.wantRun, c.wantDone)
			}
			if !strings.Contains(out.String(), c.wantSaid) {
				t.Errorf("no %q in\n%s", c.wantSaid, &out)
			}
		})
	}
}

// Every goal that a default run can measure has rows to be measured from, and
// says so where it has none.
func TestGoals_AreCounted(t *testing.T) {
	var tab table
	for _, n := range curves()[0].at {
		tab.add(workGrowth, "accordo", curves()[0].metric(n), 10)
	}
	tab.add(workGrowth, "accordo", "keys_ratio", 1.2)
	tab.add(workKill, "accordo", "lost", 0)
	tab.add(workStart, "accordo", "ms", 100)
	var out bytes.Buffer
	tab.print(&out)
	for _, want := range []string{"stretch 1, must 1, missed 1, not measured", "keys     us of CPU per request", "1000000  10 "} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("no %q in\n%s", want, &out)
		}
	}
}
