package upstreamsim

import (
	"strconv"
	"strings"

	"github.com/tidwall/gjson"
)

// Bounds of a value made from a client's schema.
const (
	maxSchemaDepth = 16
	maxSchemaBytes = 64 << 10
	maxSchemaInput = 256 << 10
	maxSchemaItems = 16
)

// sampler makes a JSON value that fits a JSON Schema, as far as common schemas go.
type sampler struct {
	root gjson.Result
	hash uint64
	out  []byte
}

// sample gives a JSON value for schema; without a schema, or with one that is too
// large to walk, it gives a small object.
func sample(schema gjson.Result, hash uint64) string {
	if !schema.IsObject() || len(schema.Raw) > maxSchemaInput {
		return `{"simulated":true,"number":` + strconv.FormatUint(hash%1000, 10) + `}`
	}
	p := &sampler{root: schema, hash: hash}
	p.value(schema, 0)
	return string(p.out)
}

func (p *sampler) random() uint64 {
	p.hash = mix(p.hash)
	return p.hash
}

func (p *sampler) value(schema gjson.Result, depth int) {
	if depth > maxSchemaDepth || len(p.out) > maxSchemaBytes {
		p.out = append(p.out, "null"...)
		return
	}
	if ref := schema.Get("$ref"); ref.Exists() {
		p.value(p.resolve(ref.String()), depth+1)
		return
	}
	if v := schema.Get("const"); v.Exists() {
		p.out = append(p.out, v.Raw...)
		return
	}
	if v := schema.Get("enum").Array(); len(v) > 0 {
		p.out = append(p.out, v[p.random()%uint64(len(v))].Raw...)
		return
	}
	for _, key := range []string{"anyOf", "oneOf", "allOf"} {
		if v := schema.Get(key + ".0"); v.Exists() {
			p.value(v, depth+1)
			return
		}
	}
	p.typed(schema, depth)
}

func (p *sampler) typed(schema gjson.Result, depth int) {
	kind := schema.Get("type")
	if kind.IsArray() {
		kind = kind.Get("0")
	}
	name := kind.String()
	if name == "" && schema.Get("properties").Exists() {
		name = "object"
	}
	switch name {
	case "object":
		p.object(schema, depth)
	case "array":
		p.array(schema, depth)
	case "integer", "number":
		p.number(schema)
	case "boolean":
		p.out = strconv.AppendBool(p.out, p.random()&1 == 0)
	case "null":
		p.out = append(p.out, "null"...)
	default:
		p.text(schema)
	}
}

func (p *sampler) object(schema gjson.Result, depth int) {
	p.out = append(p.out, '{')
	first := true
	schema.Get("properties").ForEach(func(key, v gjson.Result) bool {
		if len(p.out) > maxSchemaBytes {
			return false
		}
		if !first {
			p.out = append(p.out, ',')
		}
		first = false
		p.out = append(appendString(p.out, key.String()), ':')
		p.value(v, depth+1)
		return true
	})
	p.out = append(p.out, '}')
}

func (p *sampler) array(schema gjson.Result, depth int) {
	n := min(max(schema.Get("minItems").Int(), 1), maxSchemaItems)
	if v := schema.Get("maxItems"); v.Exists() {
		n = min(n, max(v.Int(), 0))
	}
	p.out = append(p.out, '[')
	for i := range n {
		if i > 0 {
			p.out = append(p.out, ',')
		}
		p.value(schema.Get("items"), depth+1)
	}
	p.out = append(p.out, ']')
}

func (p *sampler) number(schema gjson.Result) {
	low := schema.Get("minimum").Int()
	if v := schema.Get("exclusiveMinimum"); v.Exists() {
		low = v.Int() + 1
	}
	span := uint64(100)
	if v := schema.Get("maximum"); v.Exists() {
		if v.Int() < low {
			low = v.Int()
		}
		span = min(span, uint64(v.Int()-low)+1)
	}
	p.out = strconv.AppendInt(p.out, low+int64(p.random()%max(span, 1)), 10)
}

func (p *sampler) text(schema gjson.Result) {
	s := "[simulated] " + strconv.FormatUint(p.random()%1000, 10)
	switch schema.Get("format").String() {
	case "date":
		s = "2030-01-01"
	case "date-time":
		s = "2030-01-01T00:00:00Z"
	case "email":
		s = "simulated@example.com"
	case "uri":
		s = "https://example.com/simulated"
	}
	if n := schema.Get("minLength").Int(); n > int64(len(s)) {
		s += strings.Repeat(".", int(min(n, 1<<10))-len(s))
	}
	if v := schema.Get("maxLength"); v.Exists() && v.Int() < int64(len(s)) {
		s = s[:max(v.Int(), 0)]
	}
	p.out = appendString(p.out, s)
}

// resolve follows a local reference such as #/$defs/Name.
func (p *sampler) resolve(ref string) gjson.Result {
	at := p.root
	path, ok := strings.CutPrefix(ref, "#")
	if !ok {
		return gjson.Result{}
	}
	for name := range strings.SplitSeq(strings.TrimPrefix(path, "/"), "/") {
		if name == "" {
			continue
		}
		name = strings.NewReplacer("~1", "/", "~0", "~").Replace(name)
		next := gjson.Result{}
		at.ForEach(func(key, v gjson.Result) bool {
			if key.String() == name {
				next = v
				return false
			}
			return true
		})
		at = next
	}
	return at
}
