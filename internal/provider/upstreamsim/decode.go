package upstreamsim

import (
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/goccy/go-yaml/ast"
)

// decoder turns a YAML tree into a Config and collects faults with their places.
type decoder struct {
	name   string
	dir    string // Where body_file may read; empty refuses it.
	faults []error
}

// keys says how each known key of one kind of mapping is read.
type keys map[string]func(ast.Node)

func (d *decoder) fault(n ast.Node, format string, args ...any) {
	line, column := 1, 1
	if m, ok := n.(ast.MapNode); ok {
		// The token of a mapping is a colon inside it; its first key says more.
		if it := m.MapRange(); it.Next() {
			n = it.Key()
		}
	}
	if n != nil {
		if t := n.GetToken(); t != nil && t.Position != nil {
			line, column = t.Position.Line, t.Position.Column
		}
	}
	d.faults = append(d.faults, fmt.Errorf("%s:%d:%d: %s", d.name, line, column, fmt.Sprintf(format, args...)))
}

// mapping reads n by ks and gives the node of each key it found.
func (d *decoder) mapping(n ast.Node, what string, ks keys) map[string]ast.Node {
	found := make(map[string]ast.Node)
	m, ok := n.(ast.MapNode)
	if !ok {
		d.fault(n, "%s must be a mapping of keys to values", what)
		return found
	}
	for it := m.MapRange(); it.Next(); {
		key, value := it.Key(), it.Value()
		name := key.GetToken().Value
		set, known := ks[name]
		switch {
		case !known:
			d.fault(key, "unknown key %q in %s: %s", name, what, suggest(name, ks))
		case found[name] != nil:
			d.fault(key, "key %q is given twice in %s: keep one", name, what)
		case value == nil:
			d.fault(key, "key %q has no value: write one or remove the key", name)
		default:
			found[name] = key
			set(value)
		}
	}
	return found
}

func (d *decoder) sequence(n ast.Node, what string, each func(ast.Node)) {
	s, ok := n.(*ast.SequenceNode)
	if !ok {
		d.fault(n, "%s must be a list, each item starting with '- '", what)
		return
	}
	for _, item := range s.Values {
		each(item)
	}
}

func (d *decoder) config(n ast.Node, cfg *Config) {
	found := d.mapping(n, "the file", keys{
		"version": func(v ast.Node) {
			var version int64
			if d.integer(&version)(v); version != 1 {
				d.fault(v, "version %d is unknown: write 1", version)
			}
		},
		"seed": func(v ast.Node) {
			var seed int64
			d.integer(&seed)(v)
			cfg.Script.Seed = uint64(seed)
		},
		"pools": func(v ast.Node) {
			d.sequence(v, "pools", func(item ast.Node) { d.pool(item, cfg) })
		},
		"rules": func(v ast.Node) {
			d.sequence(v, "rules", func(item ast.Node) { d.rule(item, cfg.Script) })
		},
	})
	if len(cfg.Script.Rules) > maxRules {
		d.fault(found["rules"], "%d rules are more than %d: merge some", len(cfg.Script.Rules), maxRules)
	}
}

func (d *decoder) pool(n ast.Node, cfg *Config) {
	var p PoolOptions
	before := len(d.faults)
	d.mapping(n, "a pool", keys{
		"name":                     d.text(&p.Name),
		"models":                   func(v ast.Node) { d.sequence(v, "models", d.appendText(&p.Models)) },
		"api_key":                  d.text(&p.APIKey),
		"ttft_base":                d.duration(&p.TTFTBase),
		"input_tokens_per_second":  d.number(&p.InputTokensPerSecond),
		"output_tokens_per_second": d.number(&p.OutputTokensPerSecond),
		"tokens_per_chip_second":   d.number(&p.TokensPerChipSecond),
		"chips":                    d.small(&p.Chips),
		"scale":                    d.number(&p.Scale),
		"burst":                    d.duration(&p.Burst),
		"max_concurrent":           d.small(&p.MaxConcurrent),
		"max_queue":                d.small(&p.MaxQueue),
		"output_tokens":            d.small(&p.OutputTokens),
		"tokens_per_chunk":         d.small(&p.TokensPerChunk),
		"embedding_size":           d.small(&p.EmbeddingSize),
	})
	if len(d.faults) == before {
		if err := p.validate(); err != nil {
			d.fault(n, "%s", strings.ReplaceAll(err.Error(), "\n", "; "))
		}
	}
	cfg.Pools = append(cfg.Pools, p)
}

func (d *decoder) rule(n ast.Node, s *Script) {
	var r Rule
	before := len(d.faults)
	var inAction map[string]ast.Node
	found := d.mapping(n, "a rule", keys{
		"name": d.text(&r.Name), "pool": d.text(&r.Pool), "model": d.text(&r.Model), "endpoint": d.text(&r.Endpoint),
		"stream":      d.optionalBool(&r.Stream),
		"nth":         d.positive(&r.Nth),
		"first":       d.positive(&r.First),
		"every":       d.positive(&r.Every),
		"probability": func(v ast.Node) { r.Probability = new(float64); d.number(r.Probability)(v) },
		"action":      func(v ast.Node) { inAction = d.mapping(v, "an action", d.actionKeys(&r.Action)) },
	})
	if found["action"] == nil {
		d.fault(n, "the rule has no action: add one, or write action: {} to serve normally")
	}
	if len(d.faults) == before {
		for _, f := range r.faults() {
			at := inAction[f.key]
			if at == nil {
				at = found[f.key]
			}
			if at == nil {
				at = n
			}
			d.fault(at, "%s: %s", f.key, f.text)
		}
	}
	s.Rules = append(s.Rules, r)
}

func (d *decoder) actionKeys(a *Action) keys {
	return keys{
		"status":        d.small(&a.Status),
		"error_message": d.text(&a.ErrorMessage), "error_type": d.text(&a.ErrorType),
		"error_code": d.text(&a.ErrorCode), "error_param": d.text(&a.ErrorParam),
		"headers":              func(v ast.Node) { d.headers(v, a) },
		"retry_after":          d.text(&a.RetryAfter),
		"retry_after_date":     d.duration(&a.RetryAfterDate),
		"body":                 d.optionalText(&a.Body),
		"body_file":            func(v ast.Node) { d.bodyFile(v, a) },
		"content_type":         d.text(&a.ContentType),
		"refuse":               d.boolean(&a.Refuse),
		"answer_early":         d.boolean(&a.AnswerEarly),
		"cut_at_byte":          d.optionalInteger(&a.CutAtByte),
		"reset_at_byte":        d.optionalInteger(&a.ResetAtByte),
		"stall_first_byte":     d.duration(&a.StallFirstByte),
		"stall_after_chunk":    d.small(&a.StallAfterChunk),
		"stall_for":            d.duration(&a.StallFor),
		"chunk_delay":          d.duration(&a.ChunkDelay),
		"error_after_chunk":    d.small(&a.ErrorAfterChunk),
		"endless":              d.boolean(&a.Endless),
		"endless_chunks":       d.small(&a.EndlessChunks),
		"content_length_delta": d.integer(&a.ContentLengthDelta),
		"omit_done":            d.boolean(&a.OmitDone),
		"usage_missing":        d.boolean(&a.UsageMissing),
		"usage": func(v ast.Node) {
			d.mapping(v, "usage", keys{
				"input": d.optionalInteger(&a.Usage.Input), "output": d.optionalInteger(&a.Usage.Output),
				"total": d.optionalInteger(&a.Usage.Total), "cache_read": d.optionalInteger(&a.Usage.CacheRead),
				"reasoning": d.optionalInteger(&a.Usage.Reasoning),
			})
		},
		"finish_reason": d.text(&a.FinishReason),
		"text":          d.optionalText(&a.Text),
		"output_tokens": d.small(&a.OutputTokens),
		"tool_calls": func(v ast.Node) {
			d.sequence(v, "tool_calls", func(item ast.Node) {
				var c ToolCall
				d.mapping(item, "a tool call", keys{"name": d.text(&c.Name), "arguments": d.text(&c.Arguments)})
				a.ToolCalls = append(a.ToolCalls, c)
			})
		},
		"cache_read_tokens":  d.integer(&a.CacheReadTokens),
		"cache_write_tokens": d.integer(&a.CacheWriteTokens),
		"reasoning_tokens":   d.integer(&a.ReasoningTokens),
		"service_tier":       d.text(&a.ServiceTier),
		"model":              d.text(&a.Model),
	}
}

func (d *decoder) headers(n ast.Node, a *Action) {
	m, ok := n.(ast.MapNode)
	if !ok {
		d.fault(n, "headers must be a mapping of names to values")
		return
	}
	a.Headers = make(map[string]string)
	for it := m.MapRange(); it.Next(); {
		var value string
		d.text(&value)(it.Value())
		a.Headers[it.Key().GetToken().Value] = value
	}
}

func (d *decoder) bodyFile(n ast.Node, a *Action) {
	var path string
	if d.text(&path)(n); path == "" {
		return
	}
	if a.Body != nil {
		d.fault(n, "body and body_file exclude each other: keep one")
		return
	}
	if d.dir == "" || !filepath.IsLocal(path) {
		d.fault(n, "body_file %q may only name a file beside a script that was loaded from disk: write its content under body", path)
		return
	}
	text, err := readBodyFile(d.dir, path)
	if err != nil {
		d.fault(n, "body_file: %v", err)
		return
	}
	a.Body = &text
}

// readBodyFile reads path without ever leaving dir.
func readBodyFile(dir, path string) (string, error) {
	root, err := os.OpenRoot(dir)
	if err != nil {
		return "", err
	}
	defer root.Close()
	f, err := root.Open(path)
	if err != nil {
		return "", err
	}
	defer f.Close()
	data, err := io.ReadAll(io.LimitReader(f, maxBodyFileBytes+1))
	if err != nil {
		return "", err
	}
	if len(data) > maxBodyFileBytes {
		return "", fmt.Errorf("%s has more than %d bytes: use a smaller body", path, maxBodyFileBytes)
	}
	return string(data), nil
}

// scalar gives the text of a plain value and whether n is one.
func scalar(n ast.Node) (string, bool) {
	switch v := n.(type) {
	case *ast.StringNode:
		return v.Value, true
	case *ast.LiteralNode:
		return v.Value.Value, true
	case *ast.IntegerNode, *ast.FloatNode, *ast.BoolNode:
		return v.GetToken().Value, true
	}
	return "", false
}

func (d *decoder) text(p *string) func(ast.Node) {
	return func(n ast.Node) {
		v, ok := scalar(n)
		if !ok {
			d.fault(n, "expected text: write one value, in quotes if it has special characters")
			return
		}
		*p = v
	}
}

func (d *decoder) optionalText(p **string) func(ast.Node) {
	return func(n ast.Node) {
		if *p != nil {
			d.fault(n, "body and body_file exclude each other: keep one")
			return
		}
		*p = new(string)
		d.text(*p)(n)
	}
}

func (d *decoder) appendText(p *[]string) func(ast.Node) {
	return func(n ast.Node) {
		var v string
		d.text(&v)(n)
		*p = append(*p, v)
	}
}

func (d *decoder) integer(p *int64) func(ast.Node) {
	return func(n ast.Node) {
		if _, ok := n.(*ast.IntegerNode); ok {
			if v, err := strconv.ParseInt(strings.ReplaceAll(n.GetToken().Value, "_", ""), 10, 64); err == nil {
				*p = v
				return
			}
		}
		d.fault(n, "expected a whole number in decimal digits")
	}
}

func (d *decoder) positive(p *int64) func(ast.Node) {
	return func(n ast.Node) {
		before := len(d.faults)
		if d.integer(p)(n); len(d.faults) == before && *p < 1 {
			d.fault(n, "%d matches nothing: count from 1", *p)
		}
	}
}

func (d *decoder) optionalInteger(p **int64) func(ast.Node) {
	return func(n ast.Node) { *p = new(int64); d.integer(*p)(n) }
}

func (d *decoder) small(p *int) func(ast.Node) {
	return func(n ast.Node) {
		var v int64
		if d.integer(&v)(n); v != int64(int32(v)) {
			d.fault(n, "%d is too large", v)
			return
		}
		*p = int(v)
	}
}

func (d *decoder) number(p *float64) func(ast.Node) {
	return func(n ast.Node) {
		if text, ok := scalar(n); ok {
			if v, err := strconv.ParseFloat(strings.ReplaceAll(text, "_", ""), 64); err == nil {
				*p = v
				return
			}
		}
		d.fault(n, "expected a number")
	}
}

func (d *decoder) boolean(p *bool) func(ast.Node) {
	return func(n ast.Node) {
		b, ok := n.(*ast.BoolNode)
		if !ok {
			d.fault(n, "expected true or false")
			return
		}
		*p = b.Value
	}
}

func (d *decoder) optionalBool(p **bool) func(ast.Node) {
	return func(n ast.Node) { *p = new(bool); d.boolean(*p)(n) }
}

func (d *decoder) duration(p *time.Duration) func(ast.Node) {
	return func(n ast.Node) {
		text, _ := scalar(n)
		v, err := time.ParseDuration(text)
		if err != nil {
			d.fault(n, "expected a duration with its unit, such as 250ms or 3s")
			return
		}
		if v < 0 || v > maxDelay {
			d.fault(n, "%s is out of range: write 0s to %s", v, maxDelay)
			return
		}
		*p = v
	}
}

// suggest names the nearest known key, or all of them when none is near.
func suggest(name string, ks keys) string {
	known := make([]string, 0, len(ks))
	for k := range ks {
		known = append(known, k)
	}
	slices.Sort(known)
	best, distance := "", len(name)/3+2
	for _, k := range known {
		if n := editDistance(name, k, distance); n < distance {
			best, distance = k, n
		}
	}
	if best != "" {
		return fmt.Sprintf("did you mean %q?", best)
	}
	return "known keys are " + strings.Join(known, ", ")
}

// editDistance counts single-letter edits between a and b, and gives up at limit.
func editDistance(a, b string, limit int) int {
	if len(a)-len(b) >= limit || len(b)-len(a) >= limit {
		return limit
	}
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := 1; i <= len(a); i++ {
		diagonal := row[0]
		row[0] = i
		for j := 1; j <= len(b); j++ {
			cost := diagonal
			if a[i-1] != b[j-1] {
				cost = 1 + min(diagonal, row[j], row[j-1])
			}
			diagonal, row[j] = row[j], cost
		}
	}
	return row[len(b)]
}
