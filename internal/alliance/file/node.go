package file

import "strings"

// source is one file as read.
type source struct {
	name  string // as faults call it
	order int    // in which the files were read
	text  string
	lines []string // filled when the first fault needs a line
}

func (s *source) line(n int) string {
	if s.lines == nil {
		s.lines = strings.Split(s.text, "\n")
	}
	if n < 1 || n > len(s.lines) {
		return ""
	}
	return strings.TrimSuffix(s.lines[n-1], "\r")
}

// nodeKind is the form of a node.
type nodeKind uint8

const (
	nullNode nodeKind = iota
	scalarNode
	listNode
	objectNode
)

func (k nodeKind) String() string {
	return [...]string{"nothing", "a single value", "a list", "an object"}[k]
}

// node is one value with its place. Nodes are never changed once read; an
// overlay makes a new object that shares the values it keeps.
type node struct {
	kind    nodeKind
	quoted  bool
	src     *source
	line    int
	column  int
	text    string // of a scalar, as written, without quotes
	items   []*node
	entries []entry
}

// entry is one key of an object with its value.
type entry struct {
	key   *node
	value *node
}

// get returns the value of a key, or nil when it is absent or null.
func (n *node) get(key string) *node {
	if n == nil {
		return nil
	}
	for i := range n.entries {
		if n.entries[i].key.text == key {
			if v := n.entries[i].value; v.kind != nullNode {
				return v
			}
			return nil
		}
	}
	return nil
}

// place is where a fault about a key that is absent belongs: the null that
// took it away, else the object.
func (n *node) place(key string) *node {
	for i := range n.entries {
		if n.entries[i].key.text == key {
			return n.entries[i].value
		}
	}
	return n
}

// with returns a copy of the object in which key has the value; a null value
// takes the key away, and stays to say where that was done.
func (n *node) with(key, value *node) *node {
	out := *n
	out.entries = make([]entry, 0, len(n.entries)+1)
	for _, e := range n.entries {
		if e.key.text != key.text {
			out.entries = append(out.entries, e)
		}
	}
	out.entries = append(out.entries, entry{key, value})
	return &out
}
