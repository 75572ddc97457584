// Package file reads an alliance file and its includes into one checked
// alliance.Alliance, and writes the canonical form whose hash names the terms.
// It reports every fault at once, each with file, line, column, the source
// line and what to write instead. It refuses to guess: an unknown key, an
// unknown id, an anchor, a number without a source or a date out of its term
// is a fault, never a default. It holds no facts and watches no files.
package file

import (
	"errors"

	"github.com/accordo-ai/accordo/internal/alliance"
)

// Load reads the alliance file at path with everything that it includes. The
// error is a *Faults when the terms are wrong, sorted by file, line and column.
func Load(path string) (*alliance.Alliance, error) { return nil, errors.New("not built") }

// Parse reads one document that includes nothing; name is what faults call
// it. It also reads the output of Canonical back.
func Parse(name string, data []byte) (*alliance.Alliance, error) {
	return nil, errors.New("not built")
}

// Canonical renders the terms as one document whose bytes depend on the terms
// only, not on the order of keys or objects or on how they were split.
func Canonical(a *alliance.Alliance) []byte { return nil }
