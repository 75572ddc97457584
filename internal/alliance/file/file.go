// Package file reads an alliance file and its includes into one checked
// alliance.Alliance, and writes the canonical form whose hash names the terms.
// It reports every fault at once, each with file, line, column, the source
// line and what to write instead. It refuses to guess: an unknown key, an
// unknown id, an anchor, a number without a source or a date out of its term
// is a fault, never a default. It holds no facts and watches no files.
package file

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/accordo-ai/accordo/internal/alliance"
)

// Load reads the alliance file at path with everything that it includes. The
// error is a *Faults when the terms are wrong, sorted by file, line and column.
func Load(path string) (*alliance.Alliance, error) {
	a, _, err := Check(path)
	return a, err
}

// Check is Load that also returns the warnings of terms that can be served.
// When the terms are wrong the warnings are among the faults.
func Check(path string) (a *alliance.Alliance, warnings []Fault, err error) {
	dir := filepath.Dir(path)
	// A Root keeps includes, also through symbolic links, inside the directory.
	root, err := os.OpenRoot(dir)
	if err != nil {
		return nil, nil, fmt.Errorf("open the directory of the alliance file: %w", err)
	}
	defer root.Close()
	return LoadFS(root.FS(), filepath.Base(path), dir)
}

// LoadFS is Check for the root file name of a file system, such as files that
// are embedded in the program; dir goes before the names of files in faults.
func LoadFS(fsys fs.FS, name, dir string) (a *alliance.Alliance, warnings []Fault, err error) {
	l := &loader{fsys: fsys, dir: dir, log: &faultLog{}, seen: map[string]*node{name: nil}}
	data, err := l.read(name)
	if err != nil {
		if p := (*fs.PathError)(nil); errors.As(err, &p) {
			err = p.Err // the operation and the relative name say nothing to people
		}
		return nil, nil, fmt.Errorf("the alliance file %s cannot be read: %w: give the path of a YAML file", filepath.Join(dir, name), err)
	}
	l.document(name, data)
	return build(l)
}

// Parse reads one document that includes nothing; name is what faults call
// it. It also reads the output of Canonical back.
func Parse(name string, data []byte) (*alliance.Alliance, error) {
	l := &loader{log: &faultLog{}, seen: map[string]*node{name: nil}}
	l.document(name, data)
	a, _, err := build(l)
	return a, err
}

// build makes the alliance of the documents read: overlays, strict decoding,
// checks of meaning, index and hashes.
func build(l *loader) (*alliance.Alliance, []Fault, error) {
	a := new(alliance.Alliance)
	if len(l.docs) > 0 {
		m := newMerge(l.log)
		m.partial = l.partial
		root := m.merge(l.docs)
		d := newDecoder(m)
		d.decode(root, a)
		a.Build()
		if !l.partial {
			newChecker(a, d).run()
		}
	}
	list, wrong := l.log.result()
	if wrong {
		return nil, nil, &Faults{List: list, Omitted: l.log.omitted}
	}
	for i := range a.Variants {
		a.Variants[i].Version = digest(canonicalObject(&a.Variants[i]))[:12]
	}
	a.PackKeys()
	a.Hash = digest(Canonical(a))
	return a, list, nil
}

func digest(b []byte) string {
	sum := sha256.Sum256(b)
	return hex.EncodeToString(sum[:])
}
