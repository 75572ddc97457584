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

	"github.com/accordo-ai/accordo/internal/ledger"
)

// MaxDocumentBytes bounds one kept document, such as a provider's invoice.
const MaxDocumentBytes = 256 << 20

// ErrDocument reports a document that is not the one of its hash.
var ErrDocument = errors.New("the document does not have this hash")

// Booked returns the facts that move the books, numbered in the order in
// which they were appended.
func (d *Dir) Booked() (list []ledger.Fact, err error) {
	return list, d.eachFact(func(line []byte, f Fact) {
		if f.After != nil {
			list = append(list, booked(&f, uint64(len(list)+1), line))
		}
	})
}

func booked(f *Fact, number uint64, line []byte) ledger.Fact {
	return ledger.Fact{Number: number, After: *f.After, At: f.At, Digest: sha256.Sum256(line), Event: f.Event}
}

// Seal completes a fact with the digest of the bytes by which AppendBooked
// will keep it.
func (d *Dir) Seal(f ledger.Fact) (ledger.Fact, error) {
	line, err := encodeFact(&Fact{At: f.At, After: &f.After, Event: f.Event})
	if err != nil {
		return f, err
	}
	f.Digest = sha256.Sum256(line)
	return f, nil
}

// AppendBooked appends a fact that moves the books and returns when it is
// safe against loss of power.
func (d *Dir) AppendBooked(f ledger.Fact) error {
	return d.AppendFact(Fact{At: f.At, After: &f.After, Event: f.Event})
}

// SaveDocument keeps a document that facts refer to, and returns its hash: the
// hexadecimal SHA-256. A document that is kept already is left as it is.
func (d *Dir) SaveDocument(data []byte) (string, error) {
	if err := d.writable(); err != nil {
		return "", err
	}
	if len(data) > MaxDocumentBytes {
		return "", fmt.Errorf("keep the document: it has %d bytes, at most %d: split it", len(data), MaxDocumentBytes)
	}
	sum := sha256.Sum256(data)
	hash := hex.EncodeToString(sum[:])
	name := filepath.Join(d.path, documentsName, hash)
	if kept, err := os.ReadFile(name); err == nil && bytes.Equal(kept, data) {
		return hash, nil
	}
	return hash, replace(name, data)
}

// Document returns the document kept under hash.
func (d *Dir) Document(hash string) ([]byte, error) {
	if !isHex(hash, sha256.Size) {
		return nil, fmt.Errorf("document %q: %w: a hash has %d hexadecimal digits", hash, ErrDocument, 2*sha256.Size)
	}
	name := filepath.Join(d.path, documentsName, hash)
	b, err := os.ReadFile(name)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("document %s is not kept; restore %s from a copy of the data directory: %w", hash, name, err)
	}
	if err != nil {
		return nil, fmt.Errorf("read the document: %w", err)
	}
	if sum := sha256.Sum256(b); hex.EncodeToString(sum[:]) != hash {
		return nil, fmt.Errorf("%s was changed; restore it from a copy: %w", name, ErrDocument)
	}
	return b, nil
}
