package artifact

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
)

const (
	receiptName = ".verified.json"
	// maxReceiptBytes bounds a receipt that is read back.
	maxReceiptBytes = 1 << 20
)

// receipt remembers which bytes were hashed, so that a later start need not
// hash them again. It is a shortcut against slow starts, not a defence against
// someone who may write to the folder.
type receipt struct {
	Files map[string]verified `json:"files"`
}

type verified struct {
	Size    int64  `json:"size"`
	ModTime int64  `json:"modified_unix_nanoseconds"`
	SHA256  string `json:"sha256"`
}

// writeReceipt records the present size and time of files that were just verified.
func writeReceipt(folder string, s Source) error {
	r := receipt{Files: make(map[string]verified, len(s.Files))}
	for _, f := range s.Files {
		st, err := os.Stat(filepath.Join(folder, f.Name))
		if err != nil {
			return err
		}
		r.Files[f.Name] = verified{Size: st.Size(), ModTime: st.ModTime().UnixNano(), SHA256: f.SHA256}
	}
	b, err := json.MarshalIndent(r, "", "  ")
	if err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(folder, receiptName), append(b, '\n'), 0o644)
}

// readReceipt returns an empty receipt when there is none that can be read:
// then everything is hashed again.
func readReceipt(folder string) receipt {
	var r receipt
	f, err := os.Open(filepath.Join(folder, receiptName))
	if err != nil {
		return r
	}
	defer f.Close()
	if json.NewDecoder(io.LimitReader(f, maxReceiptBytes)).Decode(&r) != nil {
		return receipt{}
	}
	return r
}

// verifyFolder says whether a folder holds exactly the pinned bytes.
func verifyFolder(folder string, s Source) error {
	r, hashed := readReceipt(folder), false
	for _, f := range s.Files {
		name := filepath.Join(folder, f.Name)
		st, err := os.Lstat(name)
		if errors.Is(err, os.ErrNotExist) {
			return ErrMissing
		}
		if err != nil {
			return err
		}
		if !st.Mode().IsRegular() {
			return fmt.Errorf("%s is not a regular file", f.Name)
		}
		if r.Files[f.Name] == (verified{Size: f.Size, ModTime: st.ModTime().UnixNano(), SHA256: f.SHA256}) && st.Size() == f.Size {
			continue
		}
		if err := rehash(name, f.Pin); err != nil {
			return err
		}
		hashed = true
	}
	if hashed {
		// A folder that may only be read is still good: it is hashed at each start.
		_ = writeReceipt(folder, s)
	}
	return nil
}

func rehash(name string, p Pin) error {
	f, err := os.Open(name)
	if err != nil {
		return err
	}
	defer f.Close()
	return checkPin(io.Discard, f, p)
}
