package journal

import (
	"errors"
	"fmt"
	"io"
)

// FormatVersion is the version of the segments that this program writes, and
// the newest that it reads.
const FormatVersion = formatVersion

// Survey is what the files of a journal say of themselves.
type Survey struct {
	Segments int
	Bytes    int64
}

// Look reads the header of every segment in dir and nothing else. A journal
// that a newer version wrote is ErrNewer, an unreadable header a
// *CorruptionError; the last segment may have begun without one.
func Look(fs FS, dir string) (s Survey, err error) {
	firsts, err := segments(fs, dir)
	if err != nil {
		return s, err
	}
	for i, first := range firsts {
		size, err := lookAt(fs, dir, first)
		if err != nil && (i < len(firsts)-1 || !isFault(err)) {
			if isFault(err) {
				err = &CorruptionError{File: segmentPath(dir, first), Sequence: first, Reason: err}
			}
			return s, err
		}
		s.Segments++
		s.Bytes += size
	}
	return s, nil
}

func lookAt(fs FS, dir string, first uint64) (size int64, err error) {
	path := segmentPath(dir, first)
	f, err := fs.OpenRead(path)
	if err != nil {
		return 0, fmt.Errorf("open the journal: %w", err)
	}
	defer f.Close()
	if size, err = f.Size(); err != nil {
		return 0, fmt.Errorf("read the journal: %w", err)
	}
	b := make([]byte, min(size, maxHeader))
	if _, err := f.ReadAt(b, 0); err != nil && !errors.Is(err, io.EOF) {
		return 0, fmt.Errorf("read the journal: %w", err)
	}
	if _, _, err := parseHeader(b); err != nil {
		if isFault(err) {
			return size, err
		}
		return size, fmt.Errorf("%s: %w", path, err)
	}
	return size, nil
}
