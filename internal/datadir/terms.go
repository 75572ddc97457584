package datadir

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

const termsSuffix = ".yaml"

// ErrTerms reports terms that are not those of their hash.
var ErrTerms = errors.New("terms do not have this hash")

// SaveTerms keeps the canonical terms under their hash, the hexadecimal
// SHA-256 of canonical. Terms that are kept already are left as they are.
func (d *Dir) SaveTerms(hash string, canonical []byte) error {
	if err := d.writable(); err != nil {
		return err
	}
	if err := checkTerms(hash, canonical); err != nil {
		return fmt.Errorf("save the terms: %w", err)
	}
	name := d.termsPath(hash)
	if kept, err := os.ReadFile(name); err == nil && bytes.Equal(kept, canonical) {
		return nil
	}
	return replace(name, canonical)
}

// Terms returns the terms kept under hash.
func (d *Dir) Terms(hash string) ([]byte, error) {
	if !isHex(hash, sha256.Size) {
		return nil, fmt.Errorf("terms %q: %w: a hash has %d hexadecimal digits", hash, ErrTerms, 2*sha256.Size)
	}
	name := d.termsPath(hash)
	b, err := os.ReadFile(name)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("terms %s are not kept in %s; restore the file from a copy of the data directory: %w", hash, filepath.Dir(name), err)
	}
	if err != nil {
		return nil, fmt.Errorf("read the terms: %w", err)
	}
	if err := checkTerms(hash, b); err != nil {
		return nil, fmt.Errorf("%s was changed; restore it from a copy: %w", name, err)
	}
	return b, nil
}

// TermsHashes lists the hashes of the kept terms, sorted.
func (d *Dir) TermsHashes() ([]string, error) {
	entries, err := os.ReadDir(filepath.Join(d.path, termsName))
	if err != nil {
		return nil, fmt.Errorf("list the terms: %w", err)
	}
	var hashes []string
	for _, e := range entries {
		if hash, ok := strings.CutSuffix(e.Name(), termsSuffix); ok && isHex(hash, sha256.Size) {
			hashes = append(hashes, hash)
		}
	}
	slices.Sort(hashes)
	return hashes, nil
}

func (d *Dir) termsPath(hash string) string {
	return filepath.Join(d.path, termsName, hash+termsSuffix)
}

func checkTerms(hash string, canonical []byte) error {
	sum := sha256.Sum256(canonical)
	if got := hex.EncodeToString(sum[:]); got != hash {
		return fmt.Errorf("%w: they have %s, not %s", ErrTerms, got, hash)
	}
	return nil
}
