//go:build linux

package main

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"time"

	"github.com/accordo-ai/accordo/internal/datadir"
	"github.com/accordo-ai/accordo/internal/journal"
	"github.com/accordo-ai/accordo/internal/record"
)

// kill ends the program under load with SIGKILL, starts it again on the same
// files, and looks for every request whose complete answer a client had
// checked: in the journal, and in books that agree with it.
func (b *bench) kill(ctx context.Context, t target) error {
	r, err := b.run(ctx, t, false)
	if err != nil {
		return err
	}
	defer os.RemoveAll(r.dir)
	seen := b.killedUnderLoad(ctx, r)
	if len(seen) < leastSeen {
		return fmt.Errorf("only %d answers before the kill: %s", len(seen), tail(r.log.String()))
	}
	after, err := b.startAccordo(r.address, "http://"+b.plain, r.dir)
	if err != nil {
		return err
	}
	if err := firstAnswer(ctx, after, r); err != nil {
		after.kill()
		return fmt.Errorf("after a restart: %w", err)
	}
	after.stop() // what is in the journal is booked before it ends
	data := filepath.Join(r.dir, "data")
	served, err := servedRequests(data)
	if err != nil {
		return err
	}
	books, err := b.verify(ctx, data)
	if err != nil {
		return err
	}
	lost, twice, all := 0, 0, int64(0)
	for id := range seen {
		if served[id] == 0 {
			lost++
		}
	}
	for _, n := range served {
		if all += int64(n); n > 1 {
			twice++
		}
	}
	b.rows.add(workKill, t.name, "completed", float64(len(seen)))
	b.rows.add(workKill, t.name, "lost", float64(lost))
	b.rows.add(workKill, t.name, "twice", float64(twice))
	// Books that verify hold the journal's outcomes and nothing else.
	b.rows.add(workKill, t.name, "not_in_books", float64(max(all-books.Served, books.Served-all)+int64(books.Open)+int64(books.Unposted)))
	return nil
}

// firstAnswer waits for a right answer: then the program has read what its
// predecessor left.
func firstAnswer(ctx context.Context, p *process, r *running) error {
	if err := p.ready(ctx, r.address); err != nil {
		return err
	}
	c := (&job{address: r.address, headers: r.headers, model: modelPlain, prompt: kilobyte}).client()
	defer c.close()
	return c.do(0)
}

// leastSeen is how many answers there must be before the program is killed.
const leastSeen = 200

// killedUnderLoad returns the requests whose answers were right before the
// program was killed.
func (b *bench) killedUnderLoad(ctx context.Context, r *running) map[string]bool {
	var mu sync.Mutex
	seen := map[string]bool{}
	j := job{address: r.address, headers: r.headers, model: modelPlain, prompt: kilobyte, conns: 64, completed: func(id string) {
		mu.Lock()
		defer mu.Unlock()
		seen[id] = true
	}}
	loading, stop := context.WithCancel(ctx)
	finished := make(chan struct{})
	go func() {
		defer close(finished)
		load(loading, &j, b.length+requestTime, 1)
	}()
	enough := func() bool {
		mu.Lock()
		defer mu.Unlock()
		return len(seen) >= leastSeen
	}
	for begin := time.Now(); ctx.Err() == nil && time.Since(begin) < b.length+requestTime; time.Sleep(10 * time.Millisecond) {
		if time.Since(begin) >= b.length && enough() {
			break
		}
	}
	r.process.kill()
	stop()
	<-finished
	return seen
}

// verified is what the bench reads of `accordo ledger verify`.
type verified struct {
	Served   int64
	Open     int
	Unposted int
	Fault    any
}

// verify recomputes the books of a stopped program from its journal.
func (b *bench) verify(ctx context.Context, data string) (v verified, err error) {
	out, err := exec.CommandContext(ctx, b.accordo, "ledger", "verify", "--json", "--data", data).Output()
	if err != nil {
		return v, fmt.Errorf("ledger verify: %w: %s", err, tail(string(out)))
	}
	if err := json.Unmarshal(out, &v); err != nil {
		return v, fmt.Errorf("ledger verify: %w", err)
	}
	if v.Fault != nil {
		return v, fmt.Errorf("ledger verify: %v", v.Fault)
	}
	return v, nil
}

// servedRequests counts the served outcomes of every request in a journal.
func servedRequests(data string) (map[string]int, error) {
	d, err := datadir.Open(data)
	if err != nil {
		return nil, err
	}
	defer d.Close()
	j, _, err := journal.Open(d.Journal(), journal.Options{Node: d.Node()})
	if err != nil {
		return nil, err
	}
	defer j.Close()
	names, served := map[uint64]string{}, map[string]int{}
	for r, err := range j.Read(1) {
		switch {
		case err != nil:
			return nil, err
		case r.Kind == record.KindIntent:
			names[r.Sequence] = r.Intent.Request
		case r.Kind == record.KindOutcome && r.Outcome.Status == record.Served:
			served[names[r.Outcome.Intent]]++
		}
	}
	return served, nil
}
