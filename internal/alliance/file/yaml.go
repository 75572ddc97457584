package file

import (
	"errors"
	"fmt"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/goccy/go-yaml/ast"
	"github.com/goccy/go-yaml/lexer"
	"github.com/goccy/go-yaml/parser"
	"github.com/goccy/go-yaml/token"
)

// readYAML turns one file into nodes. It returns nil after a fault that leaves
// nothing to go on with. The YAML library is used for syntax only: values
// keep their text, so that no number ever becomes a float.
func readYAML(src *source, log *faultLog) (n *node) {
	if !checkText(src, log) {
		return nil
	}
	c := converter{src: src, log: log}
	// A panic of the library on odd input is a fault of the input, not the
	// end of a program that serves.
	defer func() {
		if p := recover(); p != nil {
			c.fault(1, 1, "this cannot be read as YAML", "simplify the syntax: keys, lists with \"- \", plain or quoted values")
			n = nil
		}
	}()
	tokens := lexer.Tokenize(src.text)
	if !c.scan(tokens) {
		return nil
	}
	// Duplicate keys are found while converting, with both places.
	tree, err := parser.Parse(tokens, 0, parser.AllowDuplicateMapKey())
	if err != nil {
		c.syntax(err)
		return nil
	}
	var body ast.Node
	for _, d := range tree.Docs {
		if d == nil || d.Body == nil {
			continue
		}
		if body != nil {
			second := c.node(d.Body)
			c.fault(second.line, second.column, "a second YAML document begins here", "keep one document a file and list others under include:")
			return nil
		}
		body = d.Body
	}
	if body == nil {
		c.fault(1, 1, "the file is empty", "begin with version: 1")
		return nil
	}
	return c.node(body)
}

// checkText refuses what no editor shows: bytes that are not UTF-8 and control characters.
func checkText(src *source, log *faultLog) bool {
	src.text = strings.TrimPrefix(src.text, "\ufeff")
	src.text = strings.ReplaceAll(src.text, "\r\n", "\n")
	line, start := 1, 0
	marks := 0
	for i, r := range src.text {
		switch r {
		case '\n':
			line, start = line+1, i+1
			marks++
		case ':', ',', '[', ']', '{', '}':
			marks++
		}
		problem := ""
		if r == utf8.RuneError {
			if _, size := utf8.DecodeRuneInString(src.text[i:]); size == 1 {
				problem = "this is not UTF-8"
			}
		} else if unicode.IsControl(r) && r != '\n' && r != '\t' {
			problem = fmt.Sprintf("control character U+%04X", r)
		}
		if problem != "" {
			src.text = strings.ToValidUTF8(src.text, "?")
			column := utf8.RuneCountInString(src.text[start:i]) + 1
			log.add(&node{src: src, line: line, column: column}, problem, "save the file as UTF-8 text without control characters")
			return false
		}
	}
	if marks > MaxMarks {
		log.add(&node{src: src}, fmt.Sprintf("the file has %d separators; at most %d are read", marks, MaxMarks), "split it and list the parts under include:")
		return false
	}
	return true
}

// converter makes nodes from the library's syntax tree.
type converter struct {
	src *source
	log *faultLog
}

func (c *converter) fault(line, column int, problem, remedy string) {
	c.log.add(&node{src: c.src, line: line, column: column}, problem, remedy)
}

func (c *converter) syntax(err error) {
	var at interface {
		GetToken() *token.Token
		GetMessage() string
	}
	if errors.As(err, &at) && at.GetToken() != nil {
		p := at.GetToken().Position
		c.fault(p.Line, max(1, p.Column), "YAML syntax: "+at.GetMessage(), "correct the syntax; a text with : # { [ or a quote in it needs quotes around it")
		return
	}
	c.fault(1, 1, "this cannot be read as YAML", "correct the syntax")
}

// level is one open list or object while scanning.
type level struct {
	column int
	flow   bool
	keys   int
}

// scan refuses, before anything recursive or quadratic runs, what nests too
// deep or has too many keys, and the YAML features that the format leaves out.
func (c *converter) scan(tokens token.Tokens) bool {
	var open []level
	block := func(column int) {
		for len(open) > 0 && !open[len(open)-1].flow && open[len(open)-1].column > column {
			open = open[:len(open)-1]
		}
		if len(open) == 0 || open[len(open)-1].flow || open[len(open)-1].column < column {
			open = append(open, level{column: column})
		}
	}
	for _, t := range tokens {
		inFlow := len(open) > 0 && open[len(open)-1].flow
		switch t.Type {
		case token.MappingStartType, token.SequenceStartType:
			open = append(open, level{flow: true})
		case token.MappingEndType, token.SequenceEndType:
			for len(open) > 0 {
				top := open[len(open)-1]
				open = open[:len(open)-1]
				if top.flow {
					break
				}
			}
		case token.SequenceEntryType:
			if !inFlow {
				block(t.Position.Column)
			}
		case token.MappingValueType:
			if !inFlow && t.Prev != nil {
				block(t.Prev.Position.Column)
			}
			if len(open) > 0 {
				open[len(open)-1].keys++
			}
		default:
			if feature := refused(t); feature != "" {
				c.fault(t.Position.Line, t.Position.Column, feature+" are not read", "write the value out")
				return false
			}
		}
		if len(open) > MaxNesting {
			c.fault(t.Position.Line, t.Position.Column, fmt.Sprintf("this nests deeper than %d levels", MaxNesting), "check the indentation and the brackets")
			return false
		}
		if len(open) > 0 && open[len(open)-1].keys > MaxKeys {
			c.fault(t.Position.Line, t.Position.Column, fmt.Sprintf("this object has more than %d keys", MaxKeys), "split it over files listed under include:")
			return false
		}
	}
	return true
}

// refused names the YAML feature of a token that the format leaves out.
func refused(t *token.Token) string {
	switch t.Type {
	case token.AnchorType:
		return "anchors (&name)"
	case token.AliasType:
		return "aliases (*name)"
	case token.MergeKeyType:
		return "merge keys (<<)"
	case token.TagType:
		return "tags (!name)"
	case token.MappingKeyType:
		return "complex keys (?)"
	case token.DirectiveType:
		return "directives (%NAME)"
	}
	return ""
}

func place(n ast.Node) (line, column int) {
	if t := n.GetToken(); t != nil && t.Position != nil {
		return t.Position.Line, max(1, t.Position.Column)
	}
	return 1, 1
}

func (c *converter) node(n ast.Node) *node {
	if n == nil {
		return &node{src: c.src, line: 1, column: 1}
	}
	line, column := place(n)
	out := &node{src: c.src, line: line, column: column}
	switch x := n.(type) {
	case *ast.MappingNode:
		c.object(out, x.Values, x.IsFlowStyle)
	case *ast.MappingValueNode:
		c.object(out, []*ast.MappingValueNode{x}, false)
	case *ast.SequenceNode:
		out.kind = listNode
		out.items = make([]*node, 0, len(x.Values))
		for _, v := range x.Values {
			item := c.node(v)
			if v == nil {
				item.line, item.column = line, column
			}
			out.items = append(out.items, item)
		}
	case *ast.NullNode:
	case *ast.LiteralNode:
		out.kind, out.quoted = scalarNode, true
		if x.Value != nil {
			out.text = x.Value.Value
		}
	case *ast.StringNode:
		out.kind, out.text = scalarNode, x.Value
		out.quoted = x.Token != nil && (x.Token.Type == token.SingleQuoteType || x.Token.Type == token.DoubleQuoteType)
	case *ast.IntegerNode, *ast.FloatNode, *ast.BoolNode, *ast.InfinityNode, *ast.NanNode:
		out.kind, out.text = scalarNode, strings.TrimSpace(n.GetToken().Value)
	default:
		c.fault(line, column, "this YAML feature is not read", "write the value out")
	}
	if len(out.text) > MaxTextBytes {
		c.log.add(out, fmt.Sprintf("this text has %d bytes; at most %d are read", len(out.text), MaxTextBytes), "shorten it")
		out.text = out.text[:0]
	}
	for _, r := range out.text {
		if unicode.IsControl(r) && r != '\n' && r != '\t' {
			c.log.add(out, fmt.Sprintf("control character U+%04X in a text", r), "take it out")
			out.text = ""
			break
		}
	}
	return out
}

func (c *converter) object(out *node, values []*ast.MappingValueNode, flow bool) {
	out.kind = objectNode
	out.entries = make([]entry, 0, len(values))
	seen := make(map[string]*node, len(values))
	for i, v := range values {
		if v == nil || v.Key == nil {
			continue
		}
		key := &node{kind: scalarNode, src: c.src}
		key.line, key.column = place(v.Key)
		if t := v.Key.GetToken(); t != nil {
			key.text = t.Value
		}
		if i == 0 && !flow {
			out.line, out.column = key.line, key.column
		}
		if first := seen[key.text]; first != nil {
			c.log.add(key, fmt.Sprintf("key %q is written twice in this object; first on line %d", key.text, first.line), "keep one of the two")
			continue
		}
		seen[key.text] = key
		value := c.node(v.Value)
		if v.Value == nil {
			value.line, value.column = key.line, key.column
		}
		out.entries = append(out.entries, entry{key, value})
	}
}
