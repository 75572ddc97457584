package file

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
)

// kind is what an id names; kinds are bits so that a reference can allow several.
type kind uint32

const (
	party kind = 1 << iota
	claim
	deal
	contract
	chip
	pool
	model
	family
	channel
	right
	price
	plan
	variant
	tenant
	key
	servable = model | family | variant
)

// section is one list of the file; their order is that of the documentation.
type section struct {
	name string
	kind kind
	one  string // what one of its objects is called
}

func sections() []section {
	return []section{
		{"parties", party, "party"},
		{"claims", claim, "claim"},
		{"deals", deal, "deal"},
		{"contracts", contract, "contract"},
		{"chips", chip, "chip"},
		{"pools", pool, "pool"},
		{"models", model, "model"},
		{"families", family, "family"},
		{"channels", channel, "channel"},
		{"rights", right, "right"},
		{"prices", price, "price"},
		{"plans", plan, "plan"},
		{"variants", variant, "variant"},
		{"tenants", tenant, "tenant"},
	}
}

// name says the kinds for people: "model, family or variant".
func (k kind) name() string {
	var names []string
	for _, s := range sections() {
		if k&s.kind != 0 {
			names = append(names, s.one)
		}
	}
	if k&key != 0 {
		names = append(names, "key")
	}
	if len(names) > 1 {
		return strings.Join(names[:len(names)-1], ", ") + " or " + names[len(names)-1]
	}
	return strings.Join(names, "")
}

// object is one object with an id as the overlays left it.
type object struct {
	id      string
	kind    kind
	node    *node
	removed *node // the overlay that took it away
}

// merge puts the documents together: lists add, set changes a field, remove
// takes an object away, each by id and in the order of the documents.
type merge struct {
	log     *faultLog
	partial bool // a file is missing: unknown ids are no faults
	byID    map[string]*object
	objects []*object
	scalars []entry
	names   map[kind][]string // ids by kind, for suggestions, made when needed
}

func newMerge(log *faultLog) *merge {
	return &merge{log: log, byID: map[string]*object{}}
}

func (m *merge) merge(docs []*node) *node {
	for _, doc := range docs {
		m.document(doc)
	}
	last := docs[len(docs)-1]
	root := &node{kind: objectNode, src: last.src, line: last.line, column: last.column, entries: m.scalars}
	// Sorted by id, the terms do not depend on how they were split.
	slices.SortFunc(m.objects, func(a, b *object) int { return cmp.Compare(a.id, b.id) })
	for _, s := range sections() {
		list := &node{kind: listNode, src: last.src, line: last.line, column: last.column}
		for _, o := range m.objects {
			if o.kind == s.kind && o.removed == nil {
				list.items = append(list.items, o.node)
			}
		}
		if len(list.items) > 0 {
			root.entries = append(root.entries, entry{&node{kind: scalarNode, text: s.name, src: last.src}, list})
		}
	}
	return root
}

func (m *merge) document(doc *node) {
	bySection := map[string]section{}
	for _, s := range sections() {
		bySection[s.name] = s
	}
	var set, remove *node
	for _, e := range doc.entries {
		switch e.key.text {
		case "version", "title", "operator", "currency", "notice":
			m.scalar(e)
		case "include":
		case "set":
			set = e.value
		case "remove":
			remove = e.value
		default:
			s, known := bySection[e.key.text]
			if !known {
				m.log.unknownKey(e.key, append(sectionNames(), "version", "title", "operator", "currency", "notice", "include", "set", "remove"))
				continue
			}
			m.add(s, e.value)
		}
	}
	m.set(set)
	m.remove(remove)
}

func sectionNames() []string {
	var names []string
	for _, s := range sections() {
		names = append(names, s.name)
	}
	return names
}

// scalar takes a single value of the alliance, which files may repeat but not contradict.
func (m *merge) scalar(e entry) {
	if e.value.kind == nullNode {
		return
	}
	for _, known := range m.scalars {
		if known.key.text != e.key.text {
			continue
		}
		if known.value.text != e.value.text {
			m.log.add(e.value, fmt.Sprintf("%s is stated twice; %s:%d says %q", e.key.text, known.value.src.name, known.value.line, short(known.value.text)), "state it in one file")
		}
		return
	}
	m.scalars = append(m.scalars, e)
}

func (m *merge) add(s section, list *node) {
	if list.kind == nullNode {
		return
	}
	if list.kind != listNode {
		m.log.add(list, fmt.Sprintf("%s is %s, not a list", s.name, list.kind), fmt.Sprintf("begin each %s with \"- id: \"", s.one))
		return
	}
	for _, n := range list.items {
		if n.kind != objectNode {
			m.log.add(n, fmt.Sprintf("a %s is an object, this is %s", s.one, n.kind), fmt.Sprintf("begin each %s with \"- id: \"", s.one))
			continue
		}
		id := n.get("id")
		if id == nil {
			m.log.add(n, fmt.Sprintf("this %s has no id", s.one), "id: a name that nothing else has")
			continue
		}
		if m.claimID(id, s.kind, n) {
			m.objects = append(m.objects, m.byID[id.text])
		}
	}
}

// claimID takes an id for an object, if its form is right and it is free.
func (m *merge) claimID(id *node, k kind, n *node) bool {
	if id.kind != scalarNode || !validID(id.text) {
		m.log.add(id, fmt.Sprintf("%q is not an id", short(id.text)), "1 to 80 letters, digits, - _ . or /, beginning with a letter or digit")
		return false
	}
	if first := m.byID[id.text]; first != nil {
		m.log.add(id, fmt.Sprintf("id %q is taken by the %s at %s:%d", id.text, first.kind.name(), first.node.src.name, first.node.line), "another id: ids are unique over all kinds and files")
		return false
	}
	m.byID[id.text] = &object{id: id.text, kind: k, node: n}
	return true
}

// validID reports whether text may name an object. A colon is left out
// because it parts a variant from its flow.
func validID(text string) bool {
	if len(text) == 0 || len(text) > 80 || text == "open-weights" {
		return false
	}
	for i, r := range text {
		word := r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9'
		if !word && (i == 0 || !strings.ContainsRune("-_./", r)) {
			return false
		}
	}
	return true
}

// target finds the object that an overlay changes.
func (m *merge) target(id *node, act string) *object {
	o := m.byID[id.text]
	switch {
	case o == nil && m.partial:
	case o == nil:
		m.log.add(id, fmt.Sprintf("there is no %q to %s", short(id.text), act), m.log.suggest(id.text, func() []string { return m.ids(^kind(0)) }, "the id of an object in this file or in one that is included before it"))
	case o.removed != nil:
		m.log.add(id, fmt.Sprintf("%q was removed at %s:%d", id.text, o.removed.src.name, o.removed.line), "take one of the two out")
	case o.kind == claim:
		m.log.add(id, "claims are appended, never changed", "a new claim with supersedes: ["+id.text+"]")
	default:
		return o
	}
	return nil
}

func (m *merge) set(set *node) {
	if set == nil || set.kind == nullNode {
		return
	}
	if set.kind != objectNode {
		m.log.add(set, "set is "+set.kind.String()+", not an object of ids", "set: {ID: {field: value}}")
		return
	}
	for _, e := range set.entries {
		o := m.target(e.key, "set")
		if o == nil {
			continue
		}
		if e.value.kind != objectNode || len(e.value.entries) == 0 {
			m.log.add(e.value, "nothing is set here", "fields and their new values, such as title: New title")
			continue
		}
		for _, f := range e.value.entries {
			if f.key.text == "id" {
				m.log.add(f.key, "an id cannot be set", "remove the object and add one with the new id")
				continue
			}
			o.node = o.node.with(f.key, f.value)
		}
	}
}

func (m *merge) remove(list *node) {
	if list == nil || list.kind == nullNode {
		return
	}
	if list.kind != listNode {
		m.log.add(list, "remove is "+list.kind.String()+", not a list of ids", "remove: [ID]")
		return
	}
	for _, n := range list.items {
		if n.kind != scalarNode {
			m.log.add(n, "remove lists ids", "remove: [ID]")
			continue
		}
		if o := m.target(n, "remove"); o != nil {
			o.removed = n
		}
	}
}

// ids are the ids of the kinds, for suggestions.
func (m *merge) ids(k kind) []string {
	if m.names == nil {
		m.names = map[kind][]string{}
	}
	if list, made := m.names[k]; made && k != ^kind(0) {
		return list
	}
	var list []string
	for _, o := range m.byID {
		if o.kind&k != 0 && o.removed == nil {
			list = append(list, o.id)
		}
	}
	slices.Sort(list)
	m.names[k] = list
	return list
}

// unknownKey notes a key that the format does not have.
func (l *faultLog) unknownKey(n *node, names []string) {
	names = slices.Sorted(slices.Values(names))
	l.add(n, fmt.Sprintf("unknown key %q", short(n.text)), l.suggest(n.text, func() []string { return names }, "one of "+strings.Join(names, ", ")))
}

// suggest says the nearest name if there is one, else what would be right.
func (l *faultLog) suggest(word string, names func() []string, otherwise string) string {
	if l.suggestions++; l.suggestions <= maxSuggestions {
		if name := nearest(word, names()); name != "" {
			return name + " (the nearest known name)"
		}
	}
	return otherwise
}

// short cuts a text for a message.
func short(text string) string {
	if r := []rune(text); len(r) > 60 {
		return string(r[:60]) + "..."
	}
	return text
}
