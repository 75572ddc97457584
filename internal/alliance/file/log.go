package file

import (
	"cmp"
	"slices"
	"strings"
)

// faultLog collects faults and warnings while the terms are read.
type faultLog struct {
	found       []found
	omitted     int
	suggestions int
	// wrong are the nodes that decoding found wrong: what follows from them is not said again.
	wrong    map[*node]bool
	checking bool
	secrets  []*node
}

type found struct {
	Fault
	order int
}

// add notes a fault at a node.
func (l *faultLog) add(n *node, problem, remedy string) { l.note(n, false, problem, remedy) }

// warn notes something that is probably not meant, but can be served.
func (l *faultLog) warn(n *node, problem, remedy string) { l.note(n, true, problem, remedy) }

// secret is add for a value that must not be repeated: the report shows stars for it.
func (l *faultLog) secret(n *node, problem, remedy string) {
	l.secrets = append(l.secrets, n)
	l.note(n, false, problem, remedy)
}

// mask takes the secrets out of a line, whichever fault shows it.
func (l *faultLog) mask(f *found) {
	for _, n := range l.secrets {
		if n.src.order != f.order || n.line != f.Line || n.text == "" {
			continue
		}
		if strings.Contains(f.Source, n.text) {
			f.Source = strings.ReplaceAll(f.Source, n.text, "***")
			continue
		}
		// It is escaped or goes on over lines.
		if r := []rune(n.src.line(n.line)); n.column <= len(r) {
			f.Source = string(r[:n.column-1]) + "***"
		}
	}
}

func (l *faultLog) note(n *node, warning bool, problem, remedy string) {
	switch {
	case l.checking && l.wrong[n]:
		return
	case !l.checking:
		if l.wrong == nil {
			l.wrong = map[*node]bool{}
		}
		l.wrong[n] = true
	}
	if len(l.found) >= MaxFaults {
		if !warning {
			l.omitted++
		}
		return
	}
	l.found = append(l.found, found{Fault{
		File: n.src.name, Line: n.line, Column: n.column, Source: n.src.line(n.line),
		Warning: warning, Problem: problem, Remedy: remedy,
	}, n.src.order})
}

// result returns all notes in order of file, line and column, and whether one
// of them is more than a warning.
func (l *faultLog) result() (list []Fault, wrong bool) {
	slices.SortStableFunc(l.found, func(a, b found) int {
		return cmp.Or(cmp.Compare(a.order, b.order), cmp.Compare(a.Line, b.Line), cmp.Compare(a.Column, b.Column), cmp.Compare(a.Problem, b.Problem))
	})
	for i := range l.found {
		l.mask(&l.found[i])
	}
	for i, f := range l.found {
		if i > 0 && l.found[i-1] == f {
			continue
		}
		list = append(list, f.Fault)
		wrong = wrong || !f.Warning
	}
	return list, wrong || l.omitted > 0
}
