package artifact

import (
	"archive/tar"
	"archive/zip"
	"compress/gzip"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
	"path"
	"path/filepath"
	"strings"
)

const (
	// maxEntries bounds the entries of an archive.
	maxEntries = 10_000
	// maxUnpackedBytes bounds what an archive may expand to, also the parts that are skipped.
	maxUnpackedBytes = 8 << 30
)

// verifyArchive compares the package file with its pin.
func verifyArchive(file string, s Source) error {
	f, err := os.Open(file)
	if err != nil {
		return err
	}
	defer f.Close()
	return checkPin(io.Discard, f, s.Archive)
}

// checkPin copies at most one byte more than the pinned size and compares size
// and hash of what it copied.
func checkPin(w io.Writer, r io.Reader, p Pin) error {
	h := sha256.New()
	n, err := io.Copy(io.MultiWriter(w, h), io.LimitReader(r, p.Size+1))
	if err != nil {
		return fmt.Errorf("%s: %w", p.Name, err)
	}
	if n != p.Size {
		if n > p.Size {
			return fmt.Errorf("%s is longer than the pinned %d bytes", p.Name, p.Size)
		}
		return fmt.Errorf("%s has %d bytes, the pinned one has %d", p.Name, n, p.Size)
	}
	if got := hex.EncodeToString(h.Sum(nil)); got != p.SHA256 {
		return fmt.Errorf("%s has SHA-256 %s, the pinned one has %s", p.Name, got, p.SHA256)
	}
	return nil
}

// unpack takes the manifest's files, and only those, out of the archive into a
// new folder. An entry whose name points outside refuses the whole archive.
func unpack(archive, folder string, s Source) error {
	if err := os.Mkdir(folder, 0o755); err != nil {
		return err
	}
	want := make(map[string]Pin, len(s.Files))
	for _, f := range s.Files {
		want[f.Path] = f.Pin
	}
	var err error
	if strings.HasSuffix(s.Archive.Name, ".tgz") {
		err = unpackTar(archive, folder, want)
	} else {
		err = unpackZip(archive, folder, want)
	}
	if err != nil {
		return fmt.Errorf("unpack %s: %w", s.Archive.Name, err)
	}
	for p := range want {
		return fmt.Errorf("unpack %s: it has no file %s", s.Archive.Name, p)
	}
	return nil
}

// unpackTar removes from want what it has written.
func unpackTar(archive, folder string, want map[string]Pin) error {
	f, err := os.Open(archive)
	if err != nil {
		return err
	}
	defer f.Close()
	gz, err := gzip.NewReader(f)
	if err != nil {
		return err
	}
	tr := tar.NewReader(io.LimitReader(gz, maxUnpackedBytes))
	for n := 0; ; n++ {
		h, err := tr.Next()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		if n >= maxEntries {
			return fmt.Errorf("more than %d entries", maxEntries)
		}
		if err := checkEntryName(h.Name); err != nil {
			return err
		}
		pin, ok := want[h.Name]
		if !ok {
			continue
		}
		if h.Typeflag != tar.TypeReg {
			return fmt.Errorf("%s is not a regular file", h.Name)
		}
		if err := writePinned(filepath.Join(folder, pin.Name), tr, pin); err != nil {
			return err
		}
		delete(want, h.Name)
	}
}

// unpackZip removes from want what it has written.
func unpackZip(archive, folder string, want map[string]Pin) error {
	z, err := zip.OpenReader(archive)
	if err != nil {
		return err
	}
	defer z.Close()
	if len(z.File) > maxEntries {
		return fmt.Errorf("more than %d entries", maxEntries)
	}
	for _, e := range z.File {
		if err := checkEntryName(e.Name); err != nil {
			return err
		}
		pin, ok := want[e.Name]
		if !ok {
			continue
		}
		if !e.Mode().IsRegular() {
			return fmt.Errorf("%s is not a regular file", e.Name)
		}
		r, err := e.Open()
		if err != nil {
			return err
		}
		err = writePinned(filepath.Join(folder, pin.Name), r, pin)
		r.Close()
		if err != nil {
			return err
		}
		delete(want, e.Name)
	}
	return nil
}

// checkEntryName refuses names that are absolute or climb out.
func checkEntryName(name string) error {
	if strings.ContainsAny(name, "\\\x00") || path.IsAbs(name) {
		return fmt.Errorf("entry %q does not stay inside the archive", name)
	}
	for part := range strings.SplitSeq(name, "/") {
		if part == ".." {
			return fmt.Errorf("entry %q does not stay inside the archive", name)
		}
	}
	return nil
}

// writePinned writes one new file and reaches the disk before it returns.
func writePinned(file string, r io.Reader, p Pin) error {
	f, err := os.OpenFile(file, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o644)
	if err != nil {
		return err
	}
	if err := checkPin(f, r, p); err != nil {
		f.Close()
		return err
	}
	if err := f.Sync(); err != nil {
		f.Close()
		return err
	}
	return f.Close()
}
