package upstreamsim

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"

	"github.com/goccy/go-yaml/ast"
	"github.com/goccy/go-yaml/parser"
)

// Config is what a file given at the start holds: pools and a script.
type Config struct {
	// Pools are the pools to host, in the order of the file.
	Pools []PoolOptions
	// Script holds the file's rules; it is never nil.
	Script *Script
}

// ParseConfig reads YAML or JSON strictly and reports every fault at once, each
// as name:line:column with a hint. The name is used in messages only. An action
// may not name a body_file; LoadConfig allows it.
func ParseConfig(name string, data []byte) (*Config, error) {
	return parseConfig(name, data, "")
}

// LoadConfig reads the file at path like ParseConfig; each body_file in it is a
// path inside the file's own directory.
func LoadConfig(path string) (*Config, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, fmt.Errorf("open script: %w", err)
	}
	defer f.Close()
	data, err := io.ReadAll(io.LimitReader(f, maxScriptBytes+1))
	if err != nil {
		return nil, fmt.Errorf("read script: %w", err)
	}
	return parseConfig(path, data, filepath.Dir(path))
}

// ParseScript reads a script without pools, as POST /script takes it.
func ParseScript(name string, data []byte) (*Script, error) {
	cfg, err := parseConfig(name, data, "")
	if err != nil {
		return nil, err
	}
	if len(cfg.Pools) > 0 {
		return nil, fmt.Errorf("%s: pools are fixed when the server starts: put them in the file given at the start", name)
	}
	return cfg.Script, nil
}

func parseConfig(name string, data []byte, dir string) (*Config, error) {
	if len(data) > maxScriptBytes {
		return nil, fmt.Errorf("%s: the script has more than %d bytes: move long bodies to body_file", name, maxScriptBytes)
	}
	if err := checkNesting(name, data); err != nil {
		return nil, err
	}
	if json.Valid(data) {
		// A tab can only be white space in valid JSON, and YAML refuses it there.
		data = bytes.ReplaceAll(data, []byte("\t"), []byte(" "))
	}
	body, err := parseTree(name, data)
	if err != nil {
		return nil, err
	}
	d := &decoder{name: name, dir: dir}
	cfg := &Config{Script: &Script{}}
	if body != nil {
		d.config(body, cfg)
	}
	if len(d.faults) > 0 {
		return nil, errors.Join(d.faults...)
	}
	return cfg, nil
}

// parseTree gives the body of the single document, nil when it is empty.
func parseTree(name string, data []byte) (body ast.Node, err error) {
	defer func() {
		// The YAML parser is not ours; a script that it cannot take must not end the server.
		if p := recover(); p != nil {
			body, err = nil, fmt.Errorf("%s: the file cannot be read as YAML: check its quotes and indentation", name)
		}
	}()
	file, err := parser.ParseBytes(data, 0)
	if err != nil {
		return nil, syntaxError(name, err)
	}
	if len(file.Docs) > 1 {
		return nil, fmt.Errorf("%s: the file holds %d documents: keep one and remove the '---' lines", name, len(file.Docs))
	}
	if len(file.Docs) == 0 || file.Docs[0].Body == nil {
		return nil, nil
	}
	switch file.Docs[0].Body.(type) {
	case *ast.CommentGroupNode, *ast.NullNode:
		return nil, nil
	}
	return file.Docs[0].Body, nil
}

func syntaxError(name string, err error) error {
	text, _, _ := strings.Cut(err.Error(), "\n")
	// The library writes "[line:column] message".
	if pos, rest, ok := strings.Cut(strings.TrimPrefix(text, "["), "] "); ok && strings.HasPrefix(text, "[") {
		return fmt.Errorf("%s:%s: not valid YAML: %s", name, pos, rest)
	}
	return fmt.Errorf("%s: not valid YAML: %s", name, text)
}

// checkNesting refuses nesting that no script needs, before a parser recurses into it.
func checkNesting(name string, data []byte) error {
	const limit = 64
	depth, line := 0, 1
	inString, lineDashes, lineStart := false, 0, true
	for i, c := range data {
		switch {
		case c == '\n':
			line++
			inString, lineDashes, lineStart = false, 0, true
			continue
		case c == '"' && (i == 0 || data[i-1] != '\\'):
			inString = !inString
		case inString:
		case c == '[' || c == '{':
			depth++
		case c == ']' || c == '}':
			depth = max(depth-1, 0)
		}
		// Block nesting on one line: "- - -" and "? ? ?".
		if lineStart && (c == '-' || c == '?' || c == ':') {
			lineDashes++
		} else if c != ' ' && c != '\t' {
			lineStart = false
		}
		if depth > limit || lineDashes > limit {
			return fmt.Errorf("%s:%d: more than %d levels inside each other: a script needs four", name, line, limit)
		}
	}
	return nil
}
