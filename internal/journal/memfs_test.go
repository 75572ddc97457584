package journal

import (
	"bytes"
	"io"
	"io/fs"
	"maps"
	"math/rand/v2"
	"path/filepath"
	"slices"
	"strings"
	"sync"
)

// memFS is a file system in memory that keeps a log of what was done to it,
// so that a test can have the disk as it was at any instant: after the end of
// a process, or after a loss of power. It fails when told to.
type memFS struct {
	mu    sync.Mutex
	files map[string]*[]byte
	ops   []op
	// fail, if set, is asked before each operation. A write with an error
	// writes only the first n bytes.
	fail func(o op) (n int, err error)
}

// op is one change of the disk.
type op struct {
	kind string // create, write, truncate, sync, remove, syncdir
	name string
	off  int64
	data []byte
}

// steps is how many instants the operation has: a write can end after each
// byte.
func (o op) steps() int {
	if o.kind == "write" {
		return len(o.data)
	}
	return 1
}

func newMemFS() *memFS { return &memFS{files: map[string]*[]byte{}} }

// do asks fail, logs o and applies it.
func (m *memFS) do(o op) (int, error) {
	m.mu.Lock()
	fail := m.fail
	m.mu.Unlock()
	n, err := len(o.data), error(nil)
	if fail != nil {
		if n, err = fail(o); err == nil {
			n = len(o.data)
		}
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if err != nil && o.kind != "write" {
		return 0, err
	}
	o.data = slices.Clone(o.data[:min(n, len(o.data))])
	if aerr := m.apply(o); aerr != nil {
		return 0, aerr
	}
	m.ops = append(m.ops, o)
	return len(o.data), err
}

func (m *memFS) apply(o op) error {
	f := m.files[o.name]
	switch o.kind {
	case "create":
		if f != nil {
			return fs.ErrExist
		}
		m.files[o.name] = new([]byte)
	case "remove":
		if f == nil {
			return fs.ErrNotExist
		}
		delete(m.files, o.name)
	case "write":
		if need := int(o.off) + len(o.data); need > len(*f) {
			*f = append(*f, make([]byte, need-len(*f))...)
		}
		copy((*f)[o.off:], o.data)
	case "truncate":
		if int(o.off) <= len(*f) {
			*f = (*f)[:o.off:o.off]
		} else {
			*f = append(*f, make([]byte, int(o.off)-len(*f))...)
		}
	}
	return nil
}

// after is the disk at instant n of the log: what a killed process leaves.
func after(ops []op, n int) *memFS {
	m := newMemFS()
	for _, o := range ops {
		if n < o.steps() {
			if o.kind == "write" {
				o.data = o.data[:n]
				m.apply(o)
			}
			return m
		}
		n -= o.steps()
		m.apply(o)
	}
	return m
}

// afterPowerLoss is the disk that a loss of power leaves after ops: what was
// synced, and of the rest of each file its length with zeros, or nothing.
func afterPowerLoss(ops []op, zeros bool) *memFS {
	now, disk, entries := newMemFS(), newMemFS(), map[string]bool{}
	for _, o := range ops {
		now.apply(o)
		switch o.kind {
		case "sync":
			b := slices.Clone(*now.files[o.name])
			disk.files[o.name] = &b
		case "syncdir":
			clear(entries)
			for name := range now.files {
				entries[name] = true
			}
		}
	}
	for name, b := range now.files {
		d := disk.files[name]
		if d == nil {
			d = new([]byte)
			disk.files[name] = d
		}
		if zeros && len(*b) > len(*d) {
			*d = append(*d, make([]byte, len(*b)-len(*d))...)
		}
	}
	maps.DeleteFunc(disk.files, func(name string, _ *[]byte) bool { return !entries[name] })
	return disk
}

// clone is the disk as it is now, without its log.
func (m *memFS) clone() *memFS {
	m.mu.Lock()
	defer m.mu.Unlock()
	c := newMemFS()
	for name, b := range m.files {
		b := slices.Clone(*b)
		c.files[name] = &b
	}
	return c
}

func (m *memFS) instants() int {
	n := 0
	for _, o := range m.log() {
		n += o.steps()
	}
	return n
}

func (m *memFS) log() []op {
	m.mu.Lock()
	defer m.mu.Unlock()
	return slices.Clone(m.ops)
}

func (m *memFS) setFail(f func(op) (int, error)) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.fail = f
}

func (m *memFS) count(kind string) int {
	n := 0
	for _, o := range m.log() {
		if o.kind == kind {
			n++
		}
	}
	return n
}

func (m *memFS) names() []string {
	m.mu.Lock()
	defer m.mu.Unlock()
	return slices.Sorted(maps.Keys(m.files))
}

func (m *memFS) equal(o *memFS) bool {
	return maps.EqualFunc(m.files, o.files, func(a, b *[]byte) bool { return bytes.Equal(*a, *b) })
}

func (m *memFS) MkdirAll(string) error { return nil }

func (m *memFS) List(dir string) ([]string, error) {
	var names []string
	for _, name := range m.names() {
		if base, ok := strings.CutPrefix(name, filepath.Clean(dir)+"/"); ok {
			names = append(names, base)
		}
	}
	return names, nil
}

func (m *memFS) Create(name string) (File, error) {
	if _, err := m.do(op{kind: "create", name: name}); err != nil {
		return nil, err
	}
	return &memFile{m, name}, nil
}

func (m *memFS) OpenWrite(name string) (File, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.files[name] == nil {
		return nil, fs.ErrNotExist
	}
	return &memFile{m, name}, nil
}

func (m *memFS) OpenRead(name string) (File, error) { return m.OpenWrite(name) }

func (m *memFS) Remove(name string) error {
	_, err := m.do(op{kind: "remove", name: name})
	return err
}

func (m *memFS) SyncDir(dir string) error {
	_, err := m.do(op{kind: "syncdir", name: dir})
	return err
}

type memFile struct {
	m    *memFS
	name string
}

func (f *memFile) ReadAt(b []byte, off int64) (int, error) {
	f.m.mu.Lock()
	defer f.m.mu.Unlock()
	data := f.m.files[f.name]
	if data == nil || off >= int64(len(*data)) {
		return 0, io.EOF
	}
	n := copy(b, (*data)[off:])
	if n < len(b) {
		return n, io.EOF
	}
	return n, nil
}

func (f *memFile) WriteAt(b []byte, off int64) (int, error) {
	return f.m.do(op{kind: "write", name: f.name, off: off, data: b})
}

func (f *memFile) Size() (int64, error) {
	f.m.mu.Lock()
	defer f.m.mu.Unlock()
	if f.m.files[f.name] == nil {
		return 0, fs.ErrNotExist
	}
	return int64(len(*f.m.files[f.name])), nil
}

func (f *memFile) Truncate(size int64) error {
	_, err := f.m.do(op{kind: "truncate", name: f.name, off: size})
	return err
}

func (f *memFile) Sync() error {
	_, err := f.m.do(op{kind: "sync", name: f.name})
	return err
}

func (f *memFile) Close() error { return nil }

// afterPowerLossInAnyOrder is a disk that a loss of power may leave after ops:
// of each sector what it held when it was synced or at any time since, drawn
// with random. What made a file longer is there up to some time, or not.
func afterPowerLossInAnyOrder(ops []op, random *rand.Rand) *memFS {
	now, versions, entries := newMemFS(), map[string][][]byte{}, map[string]bool{}
	for _, o := range ops {
		now.apply(o)
		switch o.kind {
		case "sync":
			versions[o.name] = [][]byte{slices.Clone(*now.files[o.name])}
		case "syncdir":
			clear(entries)
			for name := range now.files {
				entries[name] = true
			}
		case "create":
			versions[o.name] = [][]byte{nil}
		case "write", "truncate":
			versions[o.name] = append(versions[o.name], slices.Clone(*now.files[o.name]))
		}
	}
	disk := newMemFS()
	for name, vs := range versions {
		if !entries[name] {
			continue
		}
		b := slices.Clone(vs[0])
		for from := 0; from < len(b); from += sectorBytes {
			if v := vs[random.IntN(len(vs))]; len(v) > from {
				copy(b[from:min(from+sectorBytes, len(b))], v[from:])
			}
		}
		if v := vs[random.IntN(len(vs))]; len(v) > len(b) {
			b = append(b, v[len(b):]...)
		} else if len(v) < len(b) {
			b = b[:len(v)]
		}
		disk.files[name] = &b
	}
	return disk
}
