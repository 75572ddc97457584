package llama

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
)

const (
	// maxSchemaDepth bounds how deep a JSON schema may nest.
	maxSchemaDepth = 16
	// maxSchemaRules bounds the grammar that a JSON schema may become.
	maxSchemaRules = 256
	// maxRepeat bounds minItems and maxItems.
	maxRepeat = 64
)

// jsonRules are the grammar rules of JSON values. White space is bounded, so
// that a model cannot fill its answer with it.
const jsonRules = `value ::= object | array | string | number | boolean | null
object ::= "{" ws ( string ws ":" ws value ws ( "," ws string ws ":" ws value ws )* )? "}"
array ::= "[" ws ( value ws ( "," ws value ws )* )? "]"
string ::= "\"" char* "\""
char ::= [^"\\\x7F\x00-\x1F] | "\\" ( ["\\/bfnrt] | "u" [0-9a-fA-F]{4} )
number ::= integer ( "." [0-9]{1,15} )? ( [eE] [-+]? [0-9]{1,3} )?
integer ::= "-"? ( "0" | [1-9] [0-9]{0,15} )
boolean ::= "true" | "false"
null ::= "null"
ws ::= | " " | "\n" [ \t]{0,8}
`

// jsonObjectGrammar allows any one JSON object.
const jsonObjectGrammar = "root ::= object\n" + jsonRules

// schemaGrammar turns a JSON schema into a grammar. It knows types, properties
// (all of them are written, in the schema's order), items with minItems and
// maxItems, enum, const and anyOf; a keyword that it would have to ignore is an
// error, because the answer would not keep what the schema promises.
func schemaGrammar(schema []byte) (string, error) {
	b := grammarBuilder{}
	root, err := b.rule(schema, "schema", 0)
	if err != nil {
		return "", err
	}
	return "root ::= " + root + "\n" + b.rules.String() + jsonRules, nil
}

type grammarBuilder struct {
	rules strings.Builder
	count int
}

// define adds a rule and returns its name.
func (b *grammarBuilder) define(body string) (string, error) {
	if b.count++; b.count > maxSchemaRules {
		return "", fmt.Errorf("the schema needs more than %d rules", maxSchemaRules)
	}
	name := "s" + strconv.Itoa(b.count)
	fmt.Fprintf(&b.rules, "%s ::= %s\n", name, body)
	return name, nil
}

// schemaNode is the part of JSON Schema that is understood.
type schemaNode struct {
	Type                 json.RawMessage   `json:"type"`
	Properties           json.RawMessage   `json:"properties"`
	Required             []string          `json:"required"`
	AdditionalProperties *bool             `json:"additionalProperties"`
	Items                json.RawMessage   `json:"items"`
	MinItems             *int              `json:"minItems"`
	MaxItems             *int              `json:"maxItems"`
	Enum                 []json.RawMessage `json:"enum"`
	Const                json.RawMessage   `json:"const"`
	AnyOf                []json.RawMessage `json:"anyOf"`

	Title       json.RawMessage `json:"title"`
	Description json.RawMessage `json:"description"`
	Schema      json.RawMessage `json:"$schema"`
	Default     json.RawMessage `json:"default"`
}

// rule returns the name of a rule for a schema; at names its place for people.
func (b *grammarBuilder) rule(raw []byte, at string, depth int) (string, error) {
	if depth > maxSchemaDepth {
		return "", fmt.Errorf("%s nests deeper than %d", at, maxSchemaDepth)
	}
	var n schemaNode
	d := json.NewDecoder(bytes.NewReader(raw))
	d.DisallowUnknownFields()
	if err := d.Decode(&n); err != nil {
		return "", fmt.Errorf("%s: %w", at, err)
	}
	switch {
	case len(n.Const) > 0:
		return b.literals([]json.RawMessage{n.Const})
	case len(n.Enum) > 0:
		return b.literals(n.Enum)
	case len(n.AnyOf) > 0:
		return b.anyOf(n.AnyOf, at, depth)
	}
	types, err := typeNames(n.Type)
	if err != nil {
		return "", fmt.Errorf("%s: %w", at, err)
	}
	var alternatives []string
	for _, t := range types {
		name, err := b.typed(t, n, at, depth)
		if err != nil {
			return "", err
		}
		alternatives = append(alternatives, name)
	}
	if len(alternatives) == 1 {
		return alternatives[0], nil
	}
	return b.define(strings.Join(alternatives, " | "))
}

// typeNames reads a type that is one name or a list of them; none is any value.
func typeNames(raw json.RawMessage) ([]string, error) {
	if len(raw) == 0 {
		return []string{""}, nil
	}
	var one string
	if json.Unmarshal(raw, &one) == nil {
		return []string{one}, nil
	}
	var many []string
	if err := json.Unmarshal(raw, &many); err != nil || len(many) == 0 {
		return nil, errors.New("type must be a name or a list of names")
	}
	return many, nil
}

func (b *grammarBuilder) typed(t string, n schemaNode, at string, depth int) (string, error) {
	switch t {
	case "":
		return "value", nil
	case "string", "number", "integer", "boolean", "null":
		return t, nil
	case "array":
		return b.array(n, at, depth)
	case "object":
		return b.object(n, at, depth)
	}
	return "", fmt.Errorf("%s: unknown type %q", at, t)
}

func (b *grammarBuilder) literals(values []json.RawMessage) (string, error) {
	var alternatives []string
	for _, v := range values {
		var compact bytes.Buffer
		if err := json.Compact(&compact, v); err != nil {
			return "", err
		}
		alternatives = append(alternatives, quote(compact.String()))
	}
	return b.define(strings.Join(alternatives, " | "))
}

func (b *grammarBuilder) anyOf(schemas []json.RawMessage, at string, depth int) (string, error) {
	var alternatives []string
	for i, s := range schemas {
		name, err := b.rule(s, fmt.Sprintf("%s.anyOf[%d]", at, i), depth+1)
		if err != nil {
			return "", err
		}
		alternatives = append(alternatives, name)
	}
	return b.define(strings.Join(alternatives, " | "))
}

func (b *grammarBuilder) array(n schemaNode, at string, depth int) (string, error) {
	item := "value"
	if len(n.Items) > 0 {
		var err error
		if item, err = b.rule(n.Items, at+".items", depth+1); err != nil {
			return "", err
		}
	}
	least, most := 0, maxRepeat
	if n.MinItems != nil {
		least = *n.MinItems
	}
	if n.MaxItems != nil {
		most = *n.MaxItems
	}
	if least < 0 || most < least || most > maxRepeat {
		return "", fmt.Errorf("%s: minItems and maxItems must be in order and at most %d", at, maxRepeat)
	}
	if most == 0 {
		return b.define(`"[" ws "]"`)
	}
	list := fmt.Sprintf(`%s ws ( "," ws %s ws ){%d,%d}`, item, item, max(0, least-1), most-1)
	if least == 0 {
		list = "( " + list + " )?"
	}
	return b.define(`"[" ws ` + list + ` "]"`)
}

func (b *grammarBuilder) object(n schemaNode, at string, depth int) (string, error) {
	names, schemas, err := orderedMembers(n.Properties)
	if err != nil {
		return "", fmt.Errorf("%s.properties: %w", at, err)
	}
	for _, r := range n.Required {
		if !slices.Contains(names, r) {
			return "", fmt.Errorf("%s: required property %q is not among the properties", at, r)
		}
	}
	if len(names) == 0 {
		if n.AdditionalProperties != nil && !*n.AdditionalProperties {
			return b.define(`"{" ws "}"`)
		}
		return "object", nil
	}
	var members []string
	for i, name := range names {
		value, err := b.rule(schemas[i], at+"."+name, depth+1)
		if err != nil {
			return "", err
		}
		key, err := json.Marshal(name)
		if err != nil {
			return "", err
		}
		members = append(members, fmt.Sprintf(`%s ws ":" ws %s ws`, quote(string(key)), value))
	}
	return b.define(`"{" ws ` + strings.Join(members, ` "," ws `) + ` "}"`)
}

// orderedMembers reads an object's members in the order in which they stand.
func orderedMembers(raw json.RawMessage) (names []string, values []json.RawMessage, err error) {
	if len(raw) == 0 {
		return nil, nil, nil
	}
	d := json.NewDecoder(bytes.NewReader(raw))
	if t, err := d.Token(); err != nil || t != json.Delim('{') {
		return nil, nil, errors.New("an object is needed")
	}
	for d.More() {
		t, err := d.Token()
		if err != nil {
			return nil, nil, err
		}
		var v json.RawMessage
		if err := d.Decode(&v); err != nil {
			return nil, nil, err
		}
		name, _ := t.(string)
		names, values = append(names, name), append(values, v)
	}
	return names, values, nil
}

// quote writes a text as a GBNF literal.
func quote(s string) string {
	var b strings.Builder
	b.WriteByte('"')
	for _, r := range s {
		switch {
		case r == '"' || r == '\\':
			b.WriteByte('\\')
			b.WriteRune(r)
		case r < 0x20 || r == 0x7f:
			fmt.Fprintf(&b, `\x%02X`, r)
		default:
			b.WriteRune(r)
		}
	}
	b.WriteByte('"')
	return b.String()
}
