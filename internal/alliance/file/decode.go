package file

import (
	"encoding"
	"fmt"
	"reflect"
	"slices"
	"strconv"
	"strings"

	"github.com/accordo-ai/accordo/internal/alliance"
	"github.com/accordo-ai/accordo/internal/money"
)

// decoder fills the terms from nodes, strictly, and remembers which node
// every object came from.
type decoder struct {
	*merge
	rules map[string]rule
	plans map[reflect.Type][]field
	nodes map[any]*node // pointer to an object of the terms -> its node
	keys  map[string][]string
}

// field is one key of an object, fields of embedded structs included.
type field struct {
	key   string
	index []int
	typ   reflect.Type
}

func newDecoder(m *merge) *decoder {
	return &decoder{
		merge: m, rules: rules(), plans: map[reflect.Type][]field{},
		nodes: map[any]*node{}, keys: map[string][]string{},
	}
}

func (d *decoder) decode(root *node, a *alliance.Alliance) {
	d.object(root, reflect.ValueOf(a).Elem(), false)
	for i := range a.Prices {
		p := &a.Prices[i]
		d.rates(&p.List, d.nodes[&p.List])
		if p.Contracted != nil {
			d.rates(p.Contracted, d.nodes[p.Contracted])
		}
	}
	for i := range a.Contracts {
		if o := a.Contracts[i].Overage; o != nil {
			for j := range o.Rates {
				d.rates(&o.Rates[j].Rates, d.nodes[&o.Rates[j]])
			}
		}
	}
	for i := range a.Plans {
		for _, s := range a.Plans[i].Sales() {
			d.rates(&s.Rates, d.nodes[s])
		}
	}
}

// rates fills the prices that were not stated: caching costs what input
// costs, reasoning what output costs.
func (d *decoder) rates(r *alliance.Rates, n *node) {
	for _, f := range []struct {
		key  string
		to   *money.Amount
		from money.Amount
	}{{"cache_read", &r.CacheRead, r.Input}, {"cache_write", &r.CacheWrite, r.Input}, {"reasoning", &r.Reasoning, r.Output}} {
		if n.get(f.key) == nil {
			*f.to = f.from
		}
	}
}

// fields lists the keys of a struct in the order of the type.
func fields(t reflect.Type) []field {
	var out []field
	for i := range t.NumField() {
		f := t.Field(i)
		name, options, _ := strings.Cut(f.Tag.Get("yaml"), ",")
		switch {
		case !f.IsExported() || name == "-":
		case options == "inline":
			for _, inner := range fields(f.Type) {
				inner.index = append([]int{i}, inner.index...)
				out = append(out, inner)
			}
		default:
			out = append(out, field{name, []int{i}, f.Type})
		}
	}
	return out
}

func (d *decoder) fields(t reflect.Type) []field {
	list, made := d.plans[t]
	if !made {
		list = fields(t)
		d.plans[t] = list
		var keys []string
		for _, f := range list {
			keys = append(keys, f.key)
		}
		d.keys[t.Name()] = keys
	}
	return list
}

// object decodes one object; sourced says that an object around it states where its numbers come from.
func (d *decoder) object(n *node, v reflect.Value, sourced bool) {
	t := v.Type()
	if n.kind != objectNode {
		d.log.add(n, fmt.Sprintf("this should be an object, it is %s", n.kind), "keys and values: "+d.example(t))
		return
	}
	d.nodes[v.Addr().Interface()] = n
	plan := d.fields(t)
	for _, e := range n.entries {
		if !slices.ContainsFunc(plan, func(f field) bool { return f.key == e.key.text }) {
			d.log.unknownKey(e.key, d.keys[t.Name()])
		}
	}
	sourced = d.source(n, t, plan, sourced)
	for _, f := range plan {
		r := d.rules[t.Name()+"."+f.key]
		value := n.get(f.key)
		if value == nil {
			if r.required && !(d.partial && t == reflect.TypeFor[alliance.Alliance]()) {
				d.log.add(n.place(f.key), fmt.Sprintf("%s is missing", f.key), f.key+": "+d.wanted(f.typ, r))
			}
			continue
		}
		if d.log.wrong[value] {
			continue
		}
		if value.kind == scalarNode && value.text == "" && (r.required || r.ref != 0 || r.oneOf != nil || r.form.valid != nil) ||
			value.kind == listNode && len(value.items) == 0 && r.required {
			d.log.add(value, f.key+" is empty", f.key+": "+d.wanted(f.typ, r))
			continue
		}
		d.value(value, v.FieldByIndex(f.index), f.key, r, sourced)
	}
}

// source checks that an object that states a number says where it comes from.
func (d *decoder) source(n *node, t reflect.Type, plan []field, sourced bool) bool {
	if claims := n.get("claim"); claims != nil && (len(claims.items) > 0 || claims.kind == scalarNode) {
		return true
	}
	if a := n.get("assumption"); a != nil && a.text == "true" {
		return true
	}
	must := slices.ContainsFunc(plan, func(f field) bool { return f.key == "assumption" })
	if sourced || !must {
		return sourced
	}
	if key, number := d.number(n, plan); number != nil {
		for _, word := range []string{"claim", "assumption"} {
			if away := n.place(word); away.kind == nullNode && away.src != number.src {
				number = &node{src: away.src, line: away.line, column: away.column, text: number.text}
			}
		}
		d.log.add(number, fmt.Sprintf("%s: %s has no source", key, short(number.text)), "claim: [ID] with the claim that says so, or assumption: true, beside it")
		return true // one fault says it for the objects inside
	}
	return false
}

// number finds the first number that an object states itself, or in an
// object inside it that has no word on sources of its own.
func (d *decoder) number(n *node, plan []field) (string, *node) {
	for _, f := range plan {
		value := n.get(f.key)
		if value == nil {
			continue
		}
		t := f.typ
		if t.Kind() == reflect.Pointer {
			t = t.Elem()
		}
		if t.Kind() == reflect.Int64 {
			return f.key, value
		}
		if t.Kind() == reflect.Struct && t.NumField() > 1 && value.kind == objectNode {
			if key, number := d.number(value, d.fields(t)); number != nil {
				return f.key + "." + key, number
			}
		}
	}
	return "", nil
}

func (d *decoder) value(n *node, v reflect.Value, name string, r rule, sourced bool) {
	switch v.Kind() {
	case reflect.Pointer:
		v.Set(reflect.New(v.Type().Elem()))
		d.value(n, v.Elem(), name, r, sourced)
	case reflect.Slice:
		if n.kind != listNode {
			d.log.add(n, fmt.Sprintf("%s is %s, not a list", name, n.kind), fmt.Sprintf("%s: [%s]", name, d.wanted(v.Type().Elem(), r)))
			return
		}
		if len(n.items) == 0 {
			return
		}
		v.Set(reflect.MakeSlice(v.Type(), len(n.items), len(n.items)))
		for i, item := range n.items {
			d.value(item, v.Index(i), name, r, sourced)
		}
		d.unique(n, v)
	case reflect.Struct:
		if u, ok := v.Addr().Interface().(encoding.TextUnmarshaler); ok {
			d.text(n, u, name)
			return
		}
		d.object(n, v, sourced)
	default:
		d.scalar(n, v, name, r)
	}
}

// unique refuses the same word twice in a list of words.
func (d *decoder) unique(n *node, v reflect.Value) {
	if v.Type().Elem().Kind() != reflect.String {
		return
	}
	seen := make(map[string]bool, len(n.items))
	for _, item := range n.items {
		if item.kind == scalarNode && seen[item.text] {
			d.log.add(item, fmt.Sprintf("%q is in this list twice", short(item.text)), "list it once")
		}
		seen[item.text] = true
	}
}

// text decodes dates.
func (d *decoder) text(n *node, u encoding.TextUnmarshaler, name string) {
	if n.kind != scalarNode || u.UnmarshalText([]byte(n.text)) != nil {
		d.log.add(n, fmt.Sprintf("%s: %q is not a date", name, short(n.text)), "a day that exists, such as 2026-04-28, or an instant, such as 2026-04-28T12:00:00Z")
		return
	}
	if date, ok := u.(*alliance.Date); ok && (date.Year() < 1900 || date.Year() > 2999 || date.Nanosecond() != 0) {
		d.log.add(n, fmt.Sprintf("%s: %q is out of range", name, short(n.text)), "a year from 1900 to 2999, in whole seconds")
		*date = alliance.Date{}
	}
}

func (d *decoder) scalar(n *node, v reflect.Value, name string, r rule) {
	if n.kind != scalarNode {
		d.log.add(n, fmt.Sprintf("%s should be a single value, it is %s", name, n.kind), name+": "+d.wanted(v.Type(), r))
		return
	}
	switch v.Kind() {
	case reflect.String:
		v.SetString(n.text)
		d.word(n, name, r)
	case reflect.Bool:
		if n.quoted || n.text != "true" && n.text != "false" {
			d.log.add(n, fmt.Sprintf("%s: %q is neither true nor false", name, short(n.text)), "true or false")
			return
		}
		v.SetBool(n.text == "true")
	default:
		d.numeral(n, v, name, r)
	}
}

func (d *decoder) numeral(n *node, v reflect.Value, name string, r rule) {
	if !digits(n.text) {
		d.log.add(n, fmt.Sprintf("%s: %q is not a number", name, short(n.text)), "digits, such as "+d.wanted(v.Type(), r)+"; underscores between digits are allowed, exponents and units are not")
		return
	}
	var value int64
	var err error
	if v.Type() == reflect.TypeFor[money.Amount]() {
		var a money.Amount
		a, err = money.Parse(n.text)
		value = int64(a)
	} else {
		value, err = strconv.ParseInt(strings.ReplaceAll(n.text, "_", ""), 10, 64)
	}
	switch {
	case err != nil && strings.Contains(n.text, ".") && v.Type() != reflect.TypeFor[money.Amount]():
		d.log.add(n, fmt.Sprintf("%s: %q is not a whole number", name, short(n.text)), "a whole number, such as 400")
	case err != nil:
		d.log.add(n, fmt.Sprintf("%s: %q is too large or too precise", name, short(n.text)), "at most about 9.2e12 units and six decimals for an amount, 9.2e18 for a count")
	case value < 0 && !r.negative:
		d.log.add(n, fmt.Sprintf("%s: %s is negative", name, n.text), "0 or more")
	default:
		v.SetInt(value)
	}
}

// digits reports whether text is a decimal number, with underscores between digits only.
func digits(text string) bool {
	text = strings.TrimPrefix(text, "-")
	whole, fraction, pointed := strings.Cut(text, ".")
	for _, part := range []string{whole, fraction} {
		if strings.HasPrefix(part, "_") || strings.HasSuffix(part, "_") || strings.Contains(part, "__") || strings.Trim(part, "0123456789_") != "" {
			return false
		}
	}
	return whole != "" && (!pointed || fraction != "")
}

// word checks a text against the rule of its field.
func (d *decoder) word(n *node, name string, r rule) {
	switch {
	case r.ref != 0:
		d.reference(n, name, r)
	case r.oneOf != nil && !slices.Contains(r.oneOf, n.text):
		d.log.add(n, fmt.Sprintf("%s: unknown word %q", name, short(n.text)), d.log.suggest(n.text, func() []string { return r.oneOf }, "one of "+strings.Join(r.oneOf, ", ")))
	case r.form.valid != nil && !r.form.valid(n.text) && r.hidden:
		d.log.secret(n, name+" is not "+r.form.what, r.form.remedy)
	case r.form.valid != nil && !r.form.valid(n.text):
		d.log.add(n, fmt.Sprintf("%s: %q is not %s", name, short(n.text), r.form.what), r.form.remedy)
	}
}

func (d *decoder) reference(n *node, name string, r rule) {
	if slices.Contains(r.also, n.text) {
		return
	}
	o := d.byID[n.text]
	switch {
	case o == nil && d.partial:
	case o == nil:
		d.log.add(n, fmt.Sprintf("%s: there is no %s %q", name, r.ref.name(), short(n.text)),
			d.log.suggest(n.text, func() []string { return append(slices.Clone(d.ids(r.ref)), r.also...) }, "the id of a "+r.ref.name()+", or add one"))
	case o.kind&r.ref == 0:
		d.log.add(n, fmt.Sprintf("%s: %q is a %s, not a %s", name, n.text, o.kind.name(), r.ref.name()), "the id of a "+r.ref.name())
	case o.removed != nil:
		d.log.add(n, fmt.Sprintf("%s: %q was removed at %s:%d", name, n.text, o.removed.src.name, o.removed.line), "the id of another "+r.ref.name()+", or do not remove it")
	}
}

// wanted shows what a value of the type looks like.
func (d *decoder) wanted(t reflect.Type, r rule) string {
	if t.Kind() == reflect.Pointer {
		t = t.Elem()
	}
	switch {
	case r.show != "":
		return r.show
	case t == reflect.TypeFor[money.Amount]():
		return "2.75"
	case t == reflect.TypeFor[alliance.Date]():
		return "2026-04-28"
	case t.Kind() == reflect.Slice:
		if t.Elem().Kind() == reflect.Struct {
			return "a list of objects with " + d.example(t.Elem())
		}
		return "[" + d.wanted(t.Elem(), r) + "]"
	case t.Kind() == reflect.Struct:
		return "an object with " + d.example(t)
	case t.Kind() == reflect.Bool:
		return "true"
	case t.Kind() != reflect.String:
		return "400"
	case r.oneOf != nil:
		return strings.Join(r.oneOf, ", ") + " (one of these)"
	case r.ref != 0:
		return "the id of a " + r.ref.name()
	case r.form.valid != nil:
		return r.form.remedy
	}
	return "a text"
}

// example lists the required keys of an object, or all when none is.
func (d *decoder) example(t reflect.Type) string {
	var required, all []string
	for _, f := range d.fields(t) {
		all = append(all, f.key)
		if d.rules[t.Name()+"."+f.key].required {
			required = append(required, f.key)
		}
	}
	if required == nil {
		required = all
	}
	return strings.Join(required, ", ")
}
