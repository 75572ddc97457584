package upstreamsim

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"strconv"
	"sync"
	"time"
)

// Statuses of an invoice line.
const (
	StatusComplete  = "complete"  // Everything was generated and the answer was sent whole.
	StatusCut       = "cut"       // The script ended the answer early.
	StatusCancelled = "cancelled" // The client left first.
)

// Line is what the provider bills for one served request, in tokens that do not
// overlap: the input is UncachedInput + CacheRead + CacheWrite, the generated
// tokens are Output + Reasoning.
type Line struct {
	AttemptID     string    `json:"attempt_id"`     // From the header x-accordo-attempt; may be empty.
	RequestID     string    `json:"request_id"`     // The simulator's own x-request-id, unique per server.
	Pool          string    `json:"pool"`           // Name of the pool that served.
	Model         string    `json:"model"`          // Model that was asked for.
	UncachedInput int64     `json:"uncached_input"` // Input tokens read afresh.
	CacheRead     int64     `json:"cache_read"`     // Input tokens read from a cache.
	CacheWrite    int64     `json:"cache_write"`    // Input tokens written to a cache.
	Output        int64     `json:"output"`         // Output tokens that a client can see.
	Reasoning     int64     `json:"reasoning"`      // Output tokens spent on reasoning.
	Tier          string    `json:"tier"`           // Service tier that served.
	Status        string    `json:"status"`         // One of the Status constants.
	At            time.Time `json:"at"`             // When the bill was made, UTC.
}

// Total is the sum of the lines of one pool and model.
type Total struct {
	Pool          string `json:"pool"`           // Name of the pool.
	Model         string `json:"model"`          // Model asked for, or "other" beyond the bound on names.
	Requests      int64  `json:"requests"`       // Number of lines.
	UncachedInput int64  `json:"uncached_input"` // Sum, in tokens.
	CacheRead     int64  `json:"cache_read"`     // Sum, in tokens.
	CacheWrite    int64  `json:"cache_write"`    // Sum, in tokens.
	Output        int64  `json:"output"`         // Sum, in tokens.
	Reasoning     int64  `json:"reasoning"`      // Sum, in tokens.
}

type totalKey struct{ pool, model string }

// invoice keeps lines: in the file if there is one, else the latest in memory.
type invoice struct {
	mu       sync.Mutex
	file     *os.File
	path     string
	buf      []byte
	size     int64 // Bytes of whole lines in the file.
	lines    []Line
	next     int // Where the ring of lines continues once it is full.
	maxLines int
	dropped  int64
	totals   map[totalKey]*Total
	broken   error
}

func openInvoice(path string, maxLines int) (*invoice, error) {
	v := &invoice{path: path, maxLines: maxLines, totals: make(map[totalKey]*Total)}
	if path == "" {
		return v, nil
	}
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, fmt.Errorf("open invoice: %w", err)
	}
	if err := v.load(f); err != nil {
		return nil, errors.Join(fmt.Errorf("invoice %s: %w", path, err), f.Close())
	}
	v.file = f
	return v, nil
}

// load rebuilds the totals and cuts a last line that a crash left half written.
func (v *invoice) load(f *os.File) error {
	r := bufio.NewReaderSize(f, 64<<10)
	for number := 1; ; number++ {
		text, err := r.ReadBytes('\n')
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return err
		}
		var l Line
		if err := json.Unmarshal(text, &l); err != nil {
			return fmt.Errorf("line %d is not an invoice line: give another file or remove the line: %w", number, err)
		}
		v.add(&l)
		v.size += int64(len(text))
	}
	if err := f.Truncate(v.size); err != nil {
		return err
	}
	_, err := f.Seek(v.size, io.SeekStart)
	return err
}

// record keeps l. When it returns, the line is with the operating system, so it
// survives the death of this process.
func (v *invoice) record(l *Line) error {
	v.mu.Lock()
	defer v.mu.Unlock()
	if v.broken != nil {
		return v.broken
	}
	if v.file == nil {
		v.keep(l)
		v.add(l)
		return nil
	}
	v.buf = append(l.appendJSON(v.buf[:0]), '\n')
	if _, err := v.file.Write(v.buf); err != nil {
		// Part of a line may be in the file, so nothing may follow it.
		v.broken = fmt.Errorf("write invoice: %w", err)
		return v.broken
	}
	v.size += int64(len(v.buf))
	v.add(l)
	return nil
}

func (v *invoice) keep(l *Line) {
	if len(v.lines) < v.maxLines {
		v.lines = append(v.lines, *l)
		return
	}
	v.lines[v.next] = *l
	v.next = (v.next + 1) % v.maxLines
	v.dropped++
}

func (v *invoice) add(l *Line) {
	key := totalKey{l.Pool, l.Model}
	t := v.totals[key]
	if t == nil {
		if len(v.totals) >= maxTotals {
			key.model = "other"
			t = v.totals[key]
		}
		if t == nil {
			t = &Total{Pool: key.pool, Model: key.model}
			v.totals[key] = t
		}
	}
	t.Requests++
	t.UncachedInput += l.UncachedInput
	t.CacheRead += l.CacheRead
	t.CacheWrite += l.CacheWrite
	t.Output += l.Output
	t.Reasoning += l.Reasoning
}

// each calls fn with every kept line of pool (all pools when empty), oldest
// first, and gives the number of lines that memory had to drop.
func (v *invoice) each(pool string, fn func(*Line) error) (dropped int64, err error) {
	v.mu.Lock()
	size, dropped := v.size, v.dropped
	var lines []Line
	if v.path == "" {
		lines = append(append(lines, v.lines[v.next:]...), v.lines[:v.next]...)
	}
	v.mu.Unlock()
	for i := range lines {
		if pool == "" || lines[i].Pool == pool {
			if err := fn(&lines[i]); err != nil {
				return dropped, err
			}
		}
	}
	if v.path == "" {
		return dropped, nil
	}
	return dropped, eachInFile(v.path, size, pool, fn)
}

func eachInFile(path string, size int64, pool string, fn func(*Line) error) error {
	f, err := os.Open(path)
	if err != nil {
		return fmt.Errorf("read invoice: %w", err)
	}
	defer f.Close()
	r := bufio.NewReaderSize(io.LimitReader(f, size), 64<<10)
	for {
		text, err := r.ReadBytes('\n')
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return fmt.Errorf("read invoice: %w", err)
		}
		var l Line
		if err := json.Unmarshal(bytes.TrimSuffix(text, []byte("\n")), &l); err != nil {
			return fmt.Errorf("read invoice: %w", err)
		}
		if pool == "" || l.Pool == pool {
			if err := fn(&l); err != nil {
				return err
			}
		}
	}
}

func (v *invoice) close() error {
	v.mu.Lock()
	defer v.mu.Unlock()
	if v.file == nil {
		return nil
	}
	err := errors.Join(v.file.Sync(), v.file.Close())
	v.file = nil
	v.broken = errors.New("the invoice is closed")
	return err
}

var csvHeader = []string{"attempt_id", "request_id", "pool", "model", "uncached_input", "cache_read", "cache_write", "output", "reasoning", "tier", "status", "at"}

func (l *Line) csv() []string {
	n := func(v int64) string { return strconv.FormatInt(v, 10) }
	return []string{
		l.AttemptID, l.RequestID, l.Pool, l.Model, n(l.UncachedInput), n(l.CacheRead), n(l.CacheWrite),
		n(l.Output), n(l.Reasoning), l.Tier, l.Status, l.At.Format(time.RFC3339Nano),
	}
}

func (l *Line) appendJSON(b []byte) []byte {
	b = appendString(append(b, `{"attempt_id":`...), l.AttemptID)
	b = appendString(append(b, `,"request_id":`...), l.RequestID)
	b = appendString(append(b, `,"pool":`...), l.Pool)
	b = appendString(append(b, `,"model":`...), l.Model)
	for _, c := range [...]struct {
		key   string
		value int64
	}{
		{`,"uncached_input":`, l.UncachedInput},
		{`,"cache_read":`, l.CacheRead},
		{`,"cache_write":`, l.CacheWrite},
		{`,"output":`, l.Output},
		{`,"reasoning":`, l.Reasoning},
	} {
		b = strconv.AppendInt(append(b, c.key...), c.value, 10)
	}
	b = appendString(append(b, `,"tier":`...), l.Tier)
	b = appendString(append(b, `,"status":`...), l.Status)
	b = l.At.AppendFormat(append(b, `,"at":"`...), time.RFC3339Nano)
	return append(b, `"}`...)
}
