//go:build linux

// Command speed measures what Accordo adds to a request, against baselines
// that run in the same rounds on the same machine: a hand-written HTTP/1.1
// relay, a tuned httputil.ReverseProxy, nginx, and LiteLLM and Portkey where
// they are installed. It starts everything it needs on loopback, checks every
// answer, charges each target with the CPU that it burns after the load has
// stopped too, prints one table and writes build/bench.json. It refuses to
// reach the network, to measure a target whose answers are wrong, and to run
// without an end. It needs Linux, whose /proc keeps the accounts.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"strings"
	"syscall"
	"time"
)

// options say how long and what to measure.
type options struct {
	rounds  int
	length  time.Duration // of the load in one cell
	quick   bool
	quiet   time.Duration   // without CPU time, after which a target is at rest
	works   map[string]bool // empty: all
	targets map[string]bool // empty: all that are installed
	accordo string          // the binary
	nginx   string
	dir     string // of everything that is written while measuring
	json    string
	profile string // a work to profile accordo under, instead of measuring
	streams int
	limit   time.Duration // of everything: no step begins after it
}

const (
	maxRounds = 50
	maxLength = 30 * time.Second
	maxLimit  = 3 * time.Hour
)

func main() {
	if len(os.Args) > 1 {
		if role, ok := roles[os.Args[1]]; ok {
			if err := role(os.Args[2:]); err != nil {
				fmt.Fprintln(os.Stderr, "speed", os.Args[1]+":", err)
				os.Exit(1)
			}
			return
		}
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	o, err := parse(os.Args[1:])
	if err == nil {
		err = run(ctx, o)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "speed:", err)
		os.Exit(1)
	}
}

func parse(args []string) (options, error) {
	var o options
	f := flag.NewFlagSet("speed", flag.ContinueOnError)
	f.IntVar(&o.rounds, "rounds", 5, "interleaved rounds, at most 50")
	f.DurationVar(&o.length, "length", 2*time.Second, "load of one cell, at most 30s")
	f.BoolVar(&o.quick, "quick", false, "one short round, to see that everything works")
	works := f.String("works", "", "only these, with commas: "+strings.Join(workNames(), ","))
	targets := f.String("targets", "", "only these, with commas: direct,relay,reverseproxy,nginx,litellm,portkey,accordo")
	f.StringVar(&o.accordo, "accordo", "bin/accordo", "the binary to measure")
	f.StringVar(&o.nginx, "nginx", "nginx", "nginx")
	f.StringVar(&o.dir, "dir", "build", "directory on the disk to measure on")
	f.StringVar(&o.json, "json", "build/bench.json", "where the rows go")
	f.StringVar(&o.profile, "profile", "", "write build/WORK.pprof of the gateway under this work, and stop")
	f.IntVar(&o.streams, "streams", 10_000, "open idle streams, at most as many as the limit on files allows")
	f.DurationVar(&o.limit, "limit", 45*time.Minute, "no step begins after this time, at most 3h")
	if err := f.Parse(args); err != nil {
		return o, err
	}
	if f.NArg() > 0 {
		return o, fmt.Errorf("%q is not a flag", f.Arg(0))
	}
	if o.rounds < 1 || o.rounds > maxRounds || o.length <= 0 || o.length > maxLength || o.streams < 1 || o.streams > 10_000 || o.limit <= 0 || o.limit > maxLimit {
		return o, errors.New("-rounds is 1 to 50, -length up to 30s, -streams 1 to 10000, -limit up to 3h")
	}
	o.quiet = quietTime
	if o.quick {
		o.rounds, o.length, o.streams, o.quiet = 1, 300*time.Millisecond, min(o.streams, 500), quickQuiet
	}
	o.works, o.targets = set(*works), set(*targets)
	return o, nil
}

func set(list string) map[string]bool {
	m := map[string]bool{}
	for name := range strings.SplitSeq(list, ",") {
		if name != "" {
			m[name] = true
		}
	}
	return m
}

// wants reports whether a name was asked for; an empty list asks for all.
func wants(list map[string]bool, name string) bool { return len(list) == 0 || list[name] }
