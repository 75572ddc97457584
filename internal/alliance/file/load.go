package file

import (
	"fmt"
	"io"
	"io/fs"
	"path"
	"path/filepath"
	"slices"
	"strings"
)

// loader reads the root file and its includes in the order in which they
// apply: what a file includes comes before the file itself.
type loader struct {
	fsys  fs.FS // nil: includes are refused
	dir   string
	log   *faultLog
	docs  []*node          // in the order of application
	seen  map[string]*node // path -> the node that included it, nil for the root
	open  []string         // the chain of includes being read
	total int
	// partial says that a file could not be read: what refers to it is then no fault.
	partial bool
}

// read opens one file of fsys within the limits.
func (l *loader) read(name string) ([]byte, error) {
	info, err := fs.Stat(l.fsys, name)
	if err != nil {
		return nil, err
	}
	if !info.Mode().IsRegular() {
		return nil, fmt.Errorf("%s is not a regular file", name)
	}
	f, err := l.fsys.Open(name)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	return io.ReadAll(io.LimitReader(f, MaxFileBytes+1))
}

// document reads the bytes of one file, then what it includes.
func (l *loader) document(name string, data []byte) {
	src := &source{name: filepath.Join(l.dir, filepath.FromSlash(name)), order: len(l.seen), text: string(data)}
	whole := &node{src: src}
	if l.total += len(data); len(data) > MaxFileBytes || l.total > MaxTotalBytes {
		src.text = ""
		l.partial = true
		l.log.add(whole, fmt.Sprintf("the file is too large: at most %d bytes a file and %d in all are read", MaxFileBytes, MaxTotalBytes), "split it and list the parts under include:, or take objects out")
		return
	}
	n := readYAML(src, l.log)
	if n == nil {
		l.partial = true
		return
	}
	if n.kind != objectNode {
		l.partial = true
		l.log.add(n, "the file holds "+n.kind.String()+", not an object", "begin with version: 1")
		return
	}
	l.open = append(l.open, name)
	l.includes(name, n)
	l.open = l.open[:len(l.open)-1]
	l.docs = append(l.docs, n)
}

func (l *loader) includes(from string, doc *node) {
	list := doc.get("include")
	if list == nil {
		return
	}
	if list.kind != listNode {
		l.partial = true
		l.log.add(list, "include is "+list.kind.String()+", not a list", "include: [part.yaml]")
		return
	}
	for _, n := range list.items {
		if n.kind != scalarNode || n.text == "" {
			l.partial = true
			l.log.add(n, "an include is the path of a file", "include: [part.yaml]")
			continue
		}
		l.include(from, n)
	}
}

func (l *loader) include(from string, n *node) {
	if l.fsys == nil {
		l.partial = true
		l.log.add(n, "includes are not read here", "give the file itself to accordo check")
		return
	}
	name := path.Join(path.Dir(from), n.text)
	if l.seen[name] == nil || slices.Contains(l.open, name) {
		defer func(read int) { l.partial = l.partial || len(l.docs) == read }(len(l.docs))
	}
	switch {
	case path.IsAbs(n.text), filepath.IsAbs(n.text), strings.Contains(n.text, `\`), !fs.ValidPath(name):
		l.log.add(n, fmt.Sprintf("include %q leaves the directory of the root file", n.text), "a relative path with / to a file beside or below the root file")
	case slices.Contains(l.open, name):
		l.log.add(n, "include in a circle: "+strings.Join(append(slices.Clone(l.open), name), " includes "), "take this include out")
	case l.seen[name] != nil:
		l.log.add(n, fmt.Sprintf("%s is included twice; first at %s:%d", n.text, l.seen[name].src.name, l.seen[name].line), "include it once")
	case len(l.open) >= MaxIncludeDepth:
		l.log.add(n, fmt.Sprintf("includes nest deeper than %d files", MaxIncludeDepth), "include the file from the root file")
	case len(l.seen) >= MaxFiles:
		l.log.add(n, fmt.Sprintf("more than %d files are included", MaxFiles), "join small files")
	default:
		data, err := l.read(name)
		if err != nil {
			l.log.add(n, "this include cannot be read: "+reason(err), "the path of a file, relative to the file that includes it")
			return
		}
		l.seen[name] = n
		l.document(name, data)
	}
}

// reason is the last part of an error, without the paths of the machine.
func reason(err error) string {
	text := err.Error()
	if i := strings.LastIndex(text, ": "); i >= 0 {
		return text[i+2:]
	}
	return text
}
