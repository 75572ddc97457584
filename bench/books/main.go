//go:build linux

// Command books measures the books: how fast outcomes of the journal are
// posted and stored beside a loop that inserts rows into SQLite with the same
// durability, and how long questions take as the books grow. It makes its own
// traffic over the built-in example, writes below a directory that it removes,
// and refuses to measure anything without saying beside what.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"runtime/pprof"
	"strconv"
	"strings"
	"syscall"
)

type options struct {
	work     string
	outcomes int
	batches  []int
	rounds   int
	tenants  int
	ways     int
	dir      string
	keep     bool
	reuse    bool
	sizes    []int
	days     int
	profile  string
}

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	o, err := parse(os.Args[1:])
	if err == nil {
		err = run(ctx, o)
	}
	if err != nil && !errors.Is(err, flag.ErrHelp) {
		fmt.Fprintln(os.Stderr, "books:", err)
		os.Exit(1)
	}
}

func numbers(text string) (list []int, err error) {
	for part := range strings.SplitSeq(text, ",") {
		n, err := strconv.Atoi(strings.ReplaceAll(part, "_", ""))
		if err != nil || n < 1 {
			return nil, fmt.Errorf("%q is no number above 0", part)
		}
		list = append(list, n)
	}
	return list, nil
}

func parse(args []string) (*options, error) {
	o := &options{}
	f := flag.NewFlagSet("books", flag.ContinueOnError)
	f.StringVar(&o.work, "work", "post", "post or query")
	f.IntVar(&o.outcomes, "outcomes", 200_000, "outcomes of one round of post")
	batches := f.String("batches", "200,1000,4096", "outcomes in a batch")
	f.IntVar(&o.rounds, "rounds", 3, "rounds of post; of query, how often each question is asked is 20 times this")
	f.IntVar(&o.tenants, "tenants", 50, "customers of the traffic")
	f.IntVar(&o.ways, "ways", 0, "pairs of pool and model that serve; 0: all of the example's")
	f.StringVar(&o.dir, "dir", "", "where to write; empty: the system's temporary directory")
	f.BoolVar(&o.keep, "keep", false, "leave the books of query in -dir")
	f.BoolVar(&o.reuse, "reuse", false, "ask the books that -keep left in -dir")
	sizes := f.String("sizes", "10_000,100_000,1_000_000", "outcomes in the books when questions are asked; 10_000_000 needs 6 GB of disk and some minutes")
	f.IntVar(&o.days, "days", 90, "days over which the traffic of query is spread")
	f.StringVar(&o.profile, "profile", "", "write a CPU profile to this file")
	if err := f.Parse(args); err != nil {
		return nil, err
	}
	var err error
	if o.batches, err = numbers(*batches); err != nil {
		return nil, err
	}
	o.sizes, err = numbers(*sizes)
	return o, err
}

func run(ctx context.Context, o *options) error {
	if o.profile != "" {
		f, err := os.Create(o.profile)
		if err != nil {
			return err
		}
		defer f.Close()
		if err := pprof.StartCPUProfile(f); err != nil {
			return err
		}
		defer pprof.StopCPUProfile()
	}
	a, err := example()
	if err != nil {
		return err
	}
	switch o.work {
	case "post":
		return post(ctx, os.Stdout, o, a)
	case "query":
		return query(ctx, os.Stdout, o, a)
	}
	return fmt.Errorf("-work %q is not known: write post or query", o.work)
}
