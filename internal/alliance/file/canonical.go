package file

import (
	"bytes"
	"cmp"
	"encoding"
	"fmt"
	"reflect"
	"slices"
	"strconv"
	"unicode"

	"github.com/accordo-ai/accordo/internal/alliance"
)

// Canonical renders the terms as one document whose bytes depend on the terms
// only, not on the order of keys or objects or on how they were split: lists
// of objects sorted by id, one object a line, keys sorted, defaults written
// out. Parse reads it back to an equal value.
func Canonical(a *alliance.Alliance) []byte {
	v := reflect.ValueOf(a).Elem()
	e := encoder{plans: map[reflect.Type][]field{}}
	b := &e.Buffer
	for _, f := range e.sorted(v.Type()) {
		value := v.FieldByIndex(f.index)
		switch {
		case value.IsZero():
		case value.Kind() == reflect.Slice:
			fmt.Fprintf(b, "%s:\n", f.key)
			for _, i := range orderByID(value) {
				b.WriteString("- ")
				e.value(value.Index(i))
				b.WriteByte('\n')
			}
		default:
			fmt.Fprintf(b, "%s: ", f.key)
			e.value(value)
			b.WriteByte('\n')
		}
	}
	return b.Bytes()
}

func canonicalObject(object any) []byte {
	e := encoder{plans: map[reflect.Type][]field{}}
	e.value(reflect.ValueOf(object).Elem())
	return e.Bytes()
}

// orderByID returns the positions of a list of objects in order of their ids.
func orderByID(list reflect.Value) []int {
	ids, order := make([]string, list.Len()), make([]int, list.Len())
	for i := range ids {
		ids[i], order[i] = list.Index(i).FieldByName("ID").String(), i
	}
	slices.SortStableFunc(order, func(i, j int) int { return cmp.Compare(ids[i], ids[j]) })
	return order
}

// encoder writes values in the part of YAML that looks like JSON.
type encoder struct {
	bytes.Buffer
	plans map[reflect.Type][]field
}

// sorted are the keys of a type in alphabetical order, so that the order of
// fields in the program does not matter.
func (e *encoder) sorted(t reflect.Type) []field {
	list, made := e.plans[t]
	if !made {
		list = fields(t)
		slices.SortFunc(list, func(a, b field) int { return cmp.Compare(a.key, b.key) })
		e.plans[t] = list
	}
	return list
}

func (e *encoder) value(v reflect.Value) {
	if m, ok := v.Interface().(encoding.TextMarshaler); ok && v.Kind() != reflect.Pointer {
		text, _ := m.MarshalText() // amounts and dates always have a text
		e.Write(text)
		return
	}
	switch v.Kind() {
	case reflect.Pointer:
		e.value(v.Elem())
	case reflect.Slice:
		e.WriteByte('[')
		for i := range v.Len() {
			if i > 0 {
				e.WriteString(", ")
			}
			e.value(v.Index(i))
		}
		e.WriteByte(']')
	case reflect.Struct:
		e.object(v)
	case reflect.String:
		e.text(v.String())
	case reflect.Bool:
		e.WriteString(strconv.FormatBool(v.Bool()))
	default:
		e.WriteString(strconv.FormatInt(v.Int(), 10))
	}
}

// stated are the keys that mean something else when they are absent than when
// they are zero, and so are always written.
func stated(t reflect.Type, key string) bool {
	switch t.Name() + "." + key {
	case "Floor.amount", "Fee.amount", "HourRate.per_hour", "Loan.rate_ppm", "SubscriptionFee.amount", "Plan.default_output_tokens", "Pool.max_in_flight", "ChipThroughput.output_tokens_per_second", "DiscountTier.floor":
		return true
	}
	if t == reflect.TypeFor[alliance.Rates]() || t == reflect.TypeFor[alliance.SalePrice]() || t == reflect.TypeFor[alliance.OverageRates]() {
		return key != "id" && key != "model"
	}
	return false
}

func (e *encoder) object(v reflect.Value) {
	e.WriteByte('{')
	first := true
	for _, f := range e.sorted(v.Type()) {
		value := v.FieldByIndex(f.index)
		if value.IsZero() && !stated(v.Type(), f.key) || value.Kind() == reflect.Slice && value.Len() == 0 {
			continue
		}
		if !first {
			e.WriteString(", ")
		}
		first = false
		e.WriteString(f.key)
		e.WriteString(": ")
		e.value(value)
	}
	e.WriteByte('}')
}

func (e *encoder) text(text string) {
	e.WriteByte('"')
	for _, r := range text {
		switch {
		case r == '"' || r == '\\':
			e.WriteByte('\\')
			e.WriteRune(r)
		case r == '\n':
			e.WriteString(`\n`)
		case r == '\t':
			e.WriteString(`\t`)
		case r == ' ' || unicode.IsPrint(r):
			e.WriteRune(r)
		case r <= 0xffff:
			fmt.Fprintf(e, `\u%04X`, r)
		default:
			fmt.Fprintf(e, `\U%08X`, r)
		}
	}
	e.WriteByte('"')
}
