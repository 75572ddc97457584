// Package datadir knows the layout of the data directory
// (docs/format/datadir.md): who may write in it, the node's id, the terms kept
// by hash, and the facts. It refuses a second writer, never changes a fact,
// and knows nothing of what journal and books hold.
package datadir

import (
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync"
)

const (
	lockName      = "LOCK"
	nodeName      = "node"
	factsName     = "facts.jsonl"
	termsName     = "terms"
	documentsName = "documents"
	nodeBytes     = 16 // of randomness in the node's id, which is twice as long
	ownerDir      = 0o700
	ownerFile     = 0o600
	temporary     = ".new" // ends the name of a file that is not finished
)

var (
	// ErrLocked reports that another process serves from the directory.
	ErrLocked = errors.New("data directory is in use")
	// ErrNone reports that a directory to be read is no data directory.
	ErrNone = errors.New("no data directory")
	// ErrReadOnly reports a write to a directory opened for reading.
	ErrReadOnly = errors.New("data directory is open for reading only")
)

// Dir is an open data directory. Its methods may be called at once.
type Dir struct {
	path     string
	node     string
	readOnly bool
	lock     *os.File
	repairs  []Repair

	mu     sync.Mutex // guards facts
	facts  *factsFile
	closed bool
}

// Repair says what was cut off a file when the directory was opened.
type Repair struct {
	File   string
	Offset int64 // from which bytes were cut
	Bytes  int64 // how many
}

// Open takes the lock of the directory, which it makes if need be, and
// repairs what a crash left unfinished. The lock ends with the process,
// whatever ends it.
func Open(dir string) (*Dir, error) {
	for _, sub := range []string{"", "journal", termsName, documentsName, "run"} {
		if err := os.MkdirAll(filepath.Join(dir, sub), ownerDir); err != nil {
			return nil, fmt.Errorf("make the data directory: %w; give a directory that can be written", err)
		}
	}
	lock, err := takeLock(filepath.Join(dir, lockName))
	if err != nil {
		return nil, err
	}
	d := &Dir{path: dir, lock: lock}
	if err := d.open(); err != nil {
		lock.Close()
		return nil, err
	}
	return d, nil
}

func (d *Dir) open() error {
	for _, pattern := range []string{"*" + temporary, termsName + "/*" + temporary, documentsName + "/*" + temporary} {
		names, err := filepath.Glob(filepath.Join(d.path, pattern))
		if err != nil {
			return fmt.Errorf("look for unfinished files: %w", err)
		}
		for _, name := range names {
			if err := os.Remove(name); err != nil {
				return fmt.Errorf("remove an unfinished file: %w", err)
			}
		}
	}
	id, err := readNode(d.path)
	if errors.Is(err, fs.ErrNotExist) {
		var random [nodeBytes]byte
		if _, err := rand.Read(random[:]); err != nil {
			return fmt.Errorf("make the node's id: %w", err)
		}
		id = hex.EncodeToString(random[:])
		err = replace(filepath.Join(d.path, nodeName), []byte(id+"\n"))
	}
	if err != nil {
		return err
	}
	d.node = id
	d.facts, d.repairs, err = openFacts(filepath.Join(d.path, factsName))
	return err
}

// OpenReadOnly opens an existing directory beside a serving process or without
// one. It takes no lock and writes nothing.
func OpenReadOnly(dir string) (*Dir, error) {
	id, err := readNode(dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("%w in %s: name the one that `accordo up --data` was given", ErrNone, dir)
	}
	if err != nil {
		return nil, err
	}
	return &Dir{path: dir, node: id, readOnly: true}, nil
}

func readNode(dir string) (string, error) {
	name := filepath.Join(dir, nodeName)
	b, err := os.ReadFile(name)
	if err != nil {
		return "", fmt.Errorf("read the node's id: %w", err)
	}
	id := strings.TrimSuffix(string(b), "\n")
	if !isHex(id, nodeBytes) {
		return "", fmt.Errorf("%s does not hold %d hexadecimal digits: restore it from a copy; the journal's segments name the node too", name, 2*nodeBytes)
	}
	return id, nil
}

func isHex(s string, bytes int) bool {
	b, err := hex.DecodeString(s)
	return err == nil && len(b) == bytes && strings.ToLower(s) == s
}

// Path is the directory itself.
func (d *Dir) Path() string { return d.path }

// Node is the id of this directory's node: 32 random hexadecimal digits, made
// once.
func (d *Dir) Node() string { return d.node }

// Journal is the path of the journal's directory.
func (d *Dir) Journal() string { return filepath.Join(d.path, "journal") }

// Books is the path of the embedded books.
func (d *Dir) Books() string { return filepath.Join(d.path, "books.sqlite") }

// RouteCheckpoint is the path of the router's checkpoint.
func (d *Dir) RouteCheckpoint() string { return filepath.Join(d.path, "route.json") }

// Run is the path of the directory for what lives as long as the process.
func (d *Dir) Run() string { return filepath.Join(d.path, "run") }

// Requests is the path of the directory of the request log, which exists only
// where a tenant asked for one.
func (d *Dir) Requests() string { return filepath.Join(d.path, "requests") }

// Repairs lists what Open cut off.
func (d *Dir) Repairs() []Repair { return d.repairs }

// WriteFile replaces the file name in the directory as a whole: after a crash
// or a loss of power it holds the old bytes or the new ones.
func (d *Dir) WriteFile(name string, data []byte) error {
	if err := d.writable(); err != nil {
		return err
	}
	if name == "" || name != filepath.Base(name) || !filepath.IsLocal(name) || strings.HasSuffix(name, temporary) {
		return fmt.Errorf("write %q in the data directory: not a file name of its own", name)
	}
	switch name {
	case lockName, nodeName, factsName, simulatedName:
		return fmt.Errorf("write %q in the data directory: the name is taken", name)
	}
	return replace(filepath.Join(d.path, name), data)
}

func (d *Dir) writable() error {
	d.mu.Lock()
	defer d.mu.Unlock()
	switch {
	case d.readOnly:
		return ErrReadOnly
	case d.closed:
		return fmt.Errorf("data directory %s: %w", d.path, os.ErrClosed)
	}
	return nil
}

// replace writes data under another name first, and takes the name when all
// of it is on the disk.
func replace(name string, data []byte) error {
	f, err := os.CreateTemp(filepath.Dir(name), filepath.Base(name)+".*"+temporary)
	if err != nil {
		return fmt.Errorf("write %s: %w", name, err)
	}
	err = f.Chmod(ownerFile)
	if err == nil {
		_, err = f.Write(data)
	}
	if err == nil {
		err = f.Sync()
	}
	if cerr := f.Close(); err == nil {
		err = cerr
	}
	if err == nil {
		err = os.Rename(f.Name(), name)
	}
	if err == nil {
		err = syncDir(filepath.Dir(name))
	}
	if err != nil {
		return errors.Join(fmt.Errorf("write %s: %w", name, err), removeIfThere(f.Name()))
	}
	return nil
}

func removeIfThere(name string) error {
	if err := os.Remove(name); !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return nil
}

func syncDir(dir string) error {
	f, err := os.Open(dir)
	if err != nil {
		return err
	}
	defer f.Close()
	return f.Sync()
}

// Close gives the lock back. It may be called again.
func (d *Dir) Close() error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.closed || d.readOnly {
		return nil
	}
	d.closed = true
	return errors.Join(d.facts.close(), d.lock.Close())
}
