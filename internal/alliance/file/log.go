package file

import (
	"cmp"
	"slices"
)

// faultLog collects faults and warnings while the terms are read.
type faultLog struct {
	found       []found
	omitted     int
	suggestions int
}

type found struct {
	Fault
	order int
}

// add notes a fault at a node.
func (l *faultLog) add(n *node, problem, remedy string) { l.note(n, false, problem, remedy) }

// warn notes something that is probably not meant, but can be served.
func (l *faultLog) warn(n *node, problem, remedy string) { l.note(n, true, problem, remedy) }

func (l *faultLog) note(n *node, warning bool, problem, remedy string) {
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
	for i, f := range l.found {
		if i > 0 && l.found[i-1] == f {
			continue
		}
		list = append(list, f.Fault)
		wrong = wrong || !f.Warning
	}
	return list, wrong || l.omitted > 0
}
