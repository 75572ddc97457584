package requestlog

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"iter"
	"os"
	"path/filepath"
	"strings"
	"time"
)

// maxLine bounds a line in bytes: two texts of 1 MB of which every byte is
// escaped with six, and the rest.
const maxLine = 16 << 20

// Query says which records to read; a zero field asks for all.
type Query struct {
	Tenant, Request string
	Since           time.Time
}

// ErrDamaged reports a line that cannot be read; those after it can.
var ErrDamaged = errors.New("a line cannot be read")

// days calls f for every file of a log, by tenant and day. What has another
// name is no file of a log.
func days(dir string, f func(tenant string, day time.Time, name string) error) error {
	tenants, err := os.ReadDir(dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	var faults []error
	for _, t := range tenants {
		if !t.IsDir() {
			continue
		}
		files, err := os.ReadDir(filepath.Join(dir, t.Name()))
		faults = append(faults, err)
		for _, e := range files {
			day, isDay := strings.CutSuffix(e.Name(), suffix)
			at, err := time.Parse(time.DateOnly, day)
			if !isDay || err != nil || !e.Type().IsRegular() {
				continue
			}
			faults = append(faults, f(t.Name(), at, filepath.Join(dir, t.Name(), e.Name())))
		}
	}
	return errors.Join(faults...)
}

// Read yields the records of a log by tenant and day, in the order in which
// they were written, also while it is written. A damaged line is an error
// after which it goes on.
func Read(dir string, q Query) iter.Seq2[Record, error] {
	return func(yield func(Record, error) bool) {
		stopped := errors.New("enough")
		err := days(dir, func(tenant string, day time.Time, name string) error {
			// A record is written on the day of its end or the one after its beginning.
			if q.Tenant != "" && tenant != q.Tenant || day.AddDate(0, 0, 1).Before(q.Since) {
				return nil
			}
			for r, err := range readFile(name) {
				if err == nil && (q.Request != "" && r.Request != q.Request || r.At.Before(q.Since)) {
					continue
				}
				if !yield(r, err) {
					return stopped
				}
			}
			return nil
		})
		if err != nil && !errors.Is(err, stopped) {
			yield(Record{}, err)
		}
	}
}

func readFile(name string) iter.Seq2[Record, error] {
	return func(yield func(Record, error) bool) {
		f, err := os.Open(name)
		if err != nil {
			if !errors.Is(err, fs.ErrNotExist) { // deleted meanwhile
				yield(Record{}, err)
			}
			return
		}
		defer f.Close()
		lines := bufio.NewReaderSize(f, 64<<10)
		for number := 1; ; number++ {
			line, err := readLine(lines)
			if errors.Is(err, io.EOF) {
				return // an unfinished line is none
			}
			if err != nil {
				yield(Record{}, fmt.Errorf("%s, line %d: %w", name, number, err))
				return
			}
			r, err := Parse(line)
			if err != nil {
				err = fmt.Errorf("%s, line %d: %w", name, number, err)
			}
			if !yield(r, err) {
				return
			}
		}
	}
}

// readLine reads a line without its end; io.EOF also where it has none.
func readLine(r *bufio.Reader) ([]byte, error) {
	var line []byte
	for {
		part, err := r.ReadSlice('\n')
		if len(line)+len(part) > maxLine {
			return nil, fmt.Errorf("%w: it is longer than %d bytes", ErrDamaged, maxLine)
		}
		switch line = append(line, part...); {
		case err == nil:
			return line[:len(line)-1], nil
		case !errors.Is(err, bufio.ErrBufferFull):
			return nil, err
		}
	}
}

// Parse reads a line.
func Parse(line []byte) (Record, error) {
	var r Record
	if err := json.Unmarshal(line, &r); err != nil {
		return Record{}, fmt.Errorf("%w: %w", ErrDamaged, err)
	}
	if r.V < 1 || r.V > Version {
		return Record{}, fmt.Errorf("%w: it has version %d, and this program reads up to %d", ErrDamaged, r.V, Version)
	}
	return r, nil
}

// wholeLines tells how many bytes of a file are whole lines, and its size.
func wholeLines(name string) (whole, all int64, err error) {
	f, err := os.Open(name)
	if errors.Is(err, fs.ErrNotExist) {
		return 0, 0, nil
	}
	if err != nil {
		return 0, 0, err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return 0, 0, err
	}
	all = info.Size()
	buf := make([]byte, 64<<10)
	for end := all; end > 0; {
		begin := max(end-int64(len(buf)), 0)
		part := buf[:end-begin]
		if _, err := f.ReadAt(part, begin); err != nil {
			return 0, 0, err
		}
		if i := bytes.LastIndexByte(part, '\n'); i >= 0 {
			return begin + int64(i) + 1, all, nil
		}
		end = begin
	}
	return 0, all, nil
}

// Size tells how many bytes a log has, and of how many tenants.
func Size(dir string) (bytes int64, tenants int, err error) {
	last := ""
	err = days(dir, func(tenant string, _ time.Time, name string) error {
		info, err := os.Stat(name)
		if errors.Is(err, fs.ErrNotExist) {
			return nil // deleted meanwhile
		}
		if err != nil {
			return err
		}
		if bytes += info.Size(); tenant != last {
			tenants, last = tenants+1, tenant
		}
		return nil
	})
	return bytes, tenants, err
}
