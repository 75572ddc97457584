// Package datadir knows the layout of the data directory: who may write in it,
// the node's id, kept terms by hash, and the facts. It refuses a second writer
// and knows nothing of what the journal and the books hold.
package datadir

import "errors"

// Dir is an open data directory.
type Dir struct{ path string }

// KeyIssued is the fact that a key was issued. Only the SHA-256 of the key is kept.
type KeyIssued struct {
	ID          string   `json:"id"`
	SHA256      string   `json:"sha256"` // hex
	Tenant      string   `json:"tenant"`
	Seller      string   `json:"seller,omitempty"`
	Plan        string   `json:"plan"`
	Channel     string   `json:"channel"`
	Territory   string   `json:"territory,omitempty"`
	Trusted     bool     `json:"trusted,omitempty"`
	Territories []string `json:"territories,omitempty"` // a trusted key may assert one of these
}

// KeyRevoked is the fact that a key ended.
type KeyRevoked struct {
	ID     string `json:"id"`
	Reason string `json:"reason"`
}

// Fact is one line of facts.jsonl: exactly one of the pointers is set.
type Fact struct {
	At         int64       `json:"at"` // nanoseconds since 1970 UTC
	KeyIssued  *KeyIssued  `json:"key_issued,omitempty"`
	KeyRevoked *KeyRevoked `json:"key_revoked,omitempty"`
}

// Repair says what was cut off facts.jsonl when it was opened.
type Repair struct {
	File   string
	Offset int64
	Bytes  int64
}

var errUnbuilt = errors.New("datadir: cannot open")

// Open makes dir if it is missing and takes its lock.
func Open(dir string) (*Dir, error) { return nil, errUnbuilt }

// OpenReadOnly opens dir beside a serving process or without one; nothing is written.
func OpenReadOnly(dir string) (*Dir, error) { return nil, errUnbuilt }

// Path is the directory itself.
func (d *Dir) Path() string { return d.path }

// Node is the random id of this directory's node, made once and kept.
func (d *Dir) Node() string { return "" }

// Journal is the path of the journal's directory.
func (d *Dir) Journal() string { return d.path + "/journal" }

// Books is the path of the embedded books.
func (d *Dir) Books() string { return d.path + "/books.sqlite" }

// RouteCheckpoint is the path of the router's checkpoint.
func (d *Dir) RouteCheckpoint() string { return d.path + "/route.json" }

// Run is the directory for sockets of this run.
func (d *Dir) Run() string { return d.path + "/run" }

// SaveTerms keeps the canonical terms under their hex SHA-256 hash.
func (d *Dir) SaveTerms(hash string, canonical []byte) error { return errUnbuilt }

// Terms returns the terms kept under hash and checks them against it.
func (d *Dir) Terms(hash string) ([]byte, error) { return nil, errUnbuilt }

// TermsHashes lists the hashes of the kept terms, sorted.
func (d *Dir) TermsHashes() ([]string, error) { return nil, errUnbuilt }

// AppendFact appends f and returns when it is on disk.
func (d *Dir) AppendFact(f Fact) error { return errUnbuilt }

// Facts returns all facts in order.
func (d *Dir) Facts() ([]Fact, error) { return nil, errUnbuilt }

// Repairs lists what Open had to cut off.
func (d *Dir) Repairs() []Repair { return nil }

// WriteFile replaces the file name in the directory whole: a reader sees the old or the new bytes, after a loss of power too.
func (d *Dir) WriteFile(name string, data []byte) error { return errUnbuilt }

// Close gives the lock back. It may be called again.
func (d *Dir) Close() error { return nil }
