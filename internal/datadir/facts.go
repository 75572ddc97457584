package datadir

import (
	"bytes"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/accordo-ai/accordo/internal/ledger"
)

// The limits of facts.jsonl.
const (
	MaxFactBytes  = 64 << 10  // one line with its end
	MaxFactsBytes = 256 << 20 // the file
)

// ErrFact reports a fact that may not be written, or a line that is none.
var ErrFact = errors.New("not a fact")

// Fact is one line of facts.jsonl: what happened, as opposed to what the terms
// say. Exactly one of its bodies is set.
type Fact struct {
	At int64 `json:"at"` // nanoseconds since 1970 UTC
	// After is the last record of the journal that was posted before the fact.
	// Facts that move the books have it, others do not.
	After      *uint64     `json:"after,omitempty"`
	KeyIssued  *KeyIssued  `json:"key_issued,omitempty"`
	KeyRevoked *KeyRevoked `json:"key_revoked,omitempty"`
	// AccessGranted and AccessRevoked say who may come to the console.
	AccessGranted *AccessGranted `json:"access_granted,omitempty"`
	AccessRevoked *AccessRevoked `json:"access_revoked,omitempty"`
	ledger.Event
}

// KeyIssued says that a key was issued. Of the key itself only the SHA-256 is
// kept.
type KeyIssued struct {
	ID          string   `json:"id"`
	SHA256      string   `json:"sha256"` // lower-case hexadecimal
	Tenant      string   `json:"tenant"`
	Seller      string   `json:"seller,omitempty"`
	Plan        string   `json:"plan"`
	Channel     string   `json:"channel"`
	Territory   string   `json:"territory,omitempty"`
	Surface     string   `json:"surface,omitempty"`
	Trusted     bool     `json:"trusted,omitempty"`     // may assert the end user
	Territories []string `json:"territories,omitempty"` // that a trusted key may assert
	OptIn       []string `json:"opt_in,omitempty"`      // variants that the customer opted in to
}

// KeyRevoked says that a key is not accepted any more.
type KeyRevoked struct {
	ID     string `json:"id"`
	Reason string `json:"reason"`
}

// AccessGranted says that somebody may come to the operator's listener in a
// role. Of the token only the SHA-256 is kept.
type AccessGranted struct {
	ID     string `json:"id"`
	Role   string `json:"role"`            // operator, finance or partner
	Party  string `json:"party,omitempty"` // of a partner: the party or tenant whose legs it sees
	SHA256 string `json:"sha256"`          // lower-case hexadecimal
}

// AccessRevoked says that an access is over.
type AccessRevoked struct {
	ID     string `json:"id"`
	Reason string `json:"reason"`
}

// Check returns ErrFact when f is not one complete fact.
func (f *Fact) Check() error {
	set := 0
	var err error
	if f.Event != (ledger.Event{}) {
		set, err = set+1, f.Event.Check()
	}
	if f.KeyIssued != nil {
		set, err = set+1, f.KeyIssued.check()
	}
	if f.KeyRevoked != nil {
		set++
		if f.KeyRevoked.ID == "" {
			err = errors.New("a revoked key has an id")
		}
	}
	if f.AccessGranted != nil {
		set, err = set+1, f.AccessGranted.check()
	}
	if f.AccessRevoked != nil {
		set++
		if f.AccessRevoked.ID == "" {
			err = errors.New("a revoked access has an id")
		}
	}
	switch {
	case f.At <= 0:
		return fmt.Errorf("%w: it has no time", ErrFact)
	case set != 1, f.Event != (ledger.Event{}) != (f.After != nil):
		return fmt.Errorf("%w: it must say one thing, and after which record if it moves the books", ErrFact)
	case err != nil:
		return fmt.Errorf("%w: %w", ErrFact, err)
	}
	return nil
}

func (k *KeyIssued) check() error {
	if k.ID == "" || k.Tenant == "" || k.Plan == "" || k.Channel == "" {
		return errors.New("a key has an id, a tenant, a plan and a channel")
	}
	if !isHex(k.SHA256, sha256.Size) {
		return fmt.Errorf("the SHA-256 of key %q must have %d hexadecimal digits", k.ID, 2*sha256.Size)
	}
	return nil
}

// MaxAccessID bounds the name of an access in bytes.
const MaxAccessID = 64

func (g *AccessGranted) check() error {
	if !isAccessID(g.ID) {
		return fmt.Errorf("an access is named by 1 to %d lower-case letters, digits and hyphens", MaxAccessID)
	}
	switch {
	case g.Role == "partner" && g.Party == "":
		return errors.New("a partner has a party")
	case (g.Role == "operator" || g.Role == "finance") && g.Party != "":
		return errors.New("only a partner has a party")
	case g.Role != "operator" && g.Role != "finance" && g.Role != "partner":
		return errors.New("a role is operator, finance or partner")
	}
	if !isHex(g.SHA256, sha256.Size) {
		return fmt.Errorf("the SHA-256 of access %q must have %d hexadecimal digits", g.ID, 2*sha256.Size)
	}
	return nil
}

func isAccessID(s string) bool {
	for _, r := range s {
		if (r < 'a' || r > 'z') && (r < '0' || r > '9') && r != '-' {
			return false
		}
	}
	return s != "" && len(s) <= MaxAccessID
}

// AppendFact appends f and returns when it is safe against loss of power.
func (d *Dir) AppendFact(f Fact) error {
	if err := d.writable(); err != nil {
		return err
	}
	line, err := encodeFact(&f)
	if err != nil {
		return err
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.facts.append(append(line, '\n'))
}

func encodeFact(f *Fact) ([]byte, error) {
	if err := f.Check(); err != nil {
		return nil, fmt.Errorf("append a fact: %w", err)
	}
	line, err := json.Marshal(f)
	if err != nil {
		return nil, fmt.Errorf("append a fact: %w", err)
	}
	if len(line)+1 > MaxFactBytes {
		return nil, fmt.Errorf("append a fact: %w: %d bytes, at most %d", ErrFact, len(line)+1, MaxFactBytes)
	}
	return line, nil
}

// Facts returns all facts in the order in which they were appended. A last
// line that is being written is not looked at.
func (d *Dir) Facts() (facts []Fact, err error) {
	return facts, d.eachFact(func(_ []byte, f Fact) { facts = append(facts, f) })
}

func (d *Dir) eachFact(do func(line []byte, f Fact)) error {
	name := filepath.Join(d.path, factsName)
	b, err := readFacts(name)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	return eachFact(name, b[:bytes.LastIndexByte(b, '\n')+1], do)
}

// readFacts reads at most MaxFactsBytes.
func readFacts(name string) ([]byte, error) {
	f, err := os.Open(name)
	if err != nil {
		return nil, fmt.Errorf("read the facts: %w", err)
	}
	defer f.Close()
	b, err := io.ReadAll(io.LimitReader(f, MaxFactsBytes+1))
	if err != nil {
		return nil, fmt.Errorf("read the facts: %w", err)
	}
	if len(b) > MaxFactsBytes {
		return nil, fmt.Errorf("read the facts: %s has more than %d bytes", name, MaxFactsBytes)
	}
	return b, nil
}

// parseFacts reads whole lines strictly: an unknown field may change what a
// fact means, so it is not skipped.
func parseFacts(name string, b []byte) ([]Fact, error) {
	var facts []Fact
	return facts, eachFact(name, b, func(_ []byte, f Fact) { facts = append(facts, f) })
}

func eachFact(name string, b []byte, do func(line []byte, f Fact)) error {
	for number := 1; len(b) > 0; number++ {
		end := bytes.IndexByte(b, '\n')
		if end < 0 {
			end = len(b)
		}
		f, err := parseFact(b[:end])
		if err != nil {
			return fmt.Errorf("%s:%d: %w; restore the file from a copy, or use the version of accordo that wrote it", name, number, err)
		}
		do(b[:end], f)
		b = b[min(end+1, len(b)):]
	}
	return nil
}

func parseFact(line []byte) (Fact, error) {
	if len(line) >= MaxFactBytes {
		return Fact{}, fmt.Errorf("%w: a line of %d bytes, at most %d", ErrFact, len(line), MaxFactBytes)
	}
	d := json.NewDecoder(bytes.NewReader(line))
	d.DisallowUnknownFields()
	var f Fact
	if err := d.Decode(&f); err != nil {
		return Fact{}, fmt.Errorf("%w: %w", ErrFact, err)
	}
	if _, err := d.Token(); !errors.Is(err, io.EOF) {
		return Fact{}, fmt.Errorf("%w: more than one value in a line", ErrFact)
	}
	return f, f.Check()
}

// factsFile appends lines. Nothing is taken for a fact before its line's end
// is on the disk.
type factsFile struct {
	f     *os.File
	end   int64 // of the last whole line
	dirty bool  // bytes of a failed write may stand behind end
	fatal error // after a failed sync nobody knows what the disk holds
}

// openFacts cuts off a last line without its end: its write was not finished,
// and nobody was told of it.
func openFacts(name string) (*factsFile, []Repair, error) {
	f, err := os.OpenFile(name, os.O_RDWR|os.O_CREATE, ownerFile)
	if err != nil {
		return nil, nil, fmt.Errorf("open the facts: %w", err)
	}
	ff, repairs, err := repairFacts(name, f)
	if err != nil {
		f.Close()
		return nil, nil, err
	}
	return ff, repairs, nil
}

func repairFacts(name string, f *os.File) (*factsFile, []Repair, error) {
	b, err := readFacts(name)
	if err != nil {
		return nil, nil, err
	}
	end := bytes.LastIndexByte(b, '\n') + 1
	if _, err := parseFacts(name, b[:end]); err != nil {
		return nil, nil, err
	}
	if end == len(b) {
		return &factsFile{f: f, end: int64(end)}, nil, nil
	}
	if err := f.Truncate(int64(end)); err != nil {
		return nil, nil, fmt.Errorf("repair the facts: %w", err)
	}
	if err := f.Sync(); err != nil {
		return nil, nil, fmt.Errorf("repair the facts: %w", err)
	}
	return &factsFile{f: f, end: int64(end)}, []Repair{{File: name, Offset: int64(end), Bytes: int64(len(b) - end)}}, nil
}

func (ff *factsFile) append(line []byte) error {
	if ff.fatal != nil {
		return ff.fatal
	}
	if ff.end+int64(len(line)) > MaxFactsBytes {
		return fmt.Errorf("append a fact: %s would have more than %d bytes", ff.f.Name(), MaxFactsBytes)
	}
	if ff.dirty {
		if err := ff.f.Truncate(ff.end); err != nil {
			return fmt.Errorf("append a fact: take back an unfinished line: %w", err)
		}
		ff.dirty = false
	}
	if _, err := ff.f.WriteAt(line, ff.end); err != nil {
		ff.dirty = ff.f.Truncate(ff.end) != nil
		return fmt.Errorf("append a fact: %w", err)
	}
	if err := ff.f.Sync(); err != nil {
		ff.fatal = fmt.Errorf("append a fact: %w: what %s holds is not known any more; check the disk and start again", err, ff.f.Name())
		return ff.fatal
	}
	ff.end += int64(len(line))
	return nil
}

func (ff *factsFile) close() error { return ff.f.Close() }
