package focus

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
)

// The limits of a file of rules.
const (
	MaxRules     = 10_000
	MaxRuleBytes = 16 << 20
	maxNesting   = 32
)

// ErrRules reports a file of rules that cannot be used.
var ErrRules = errors.New("the file of rules cannot be used")

// Check is one call of a check function, with other calls inside for AND and
// OR.
type Check struct {
	Function string
	Items    []Check
	Column   string // also the first of two columns
	Other    string // the second column
	Result   string // the column of a product
	Rule     string // of CheckModelRule
	Value    Cell   // compared with; null is a value of its own
	Count    int
}

// String renders the check for people ("CheckValue(ChargeClass, Correction)").
func (c *Check) String() string {
	var parts []string
	for i := range c.Items {
		parts = append(parts, c.Items[i].String())
	}
	for _, s := range [...]string{c.Column, c.Other, c.Result, c.Rule} {
		if s != "" {
			parts = append(parts, s)
		}
	}
	switch c.Function {
	case "CheckValue", "CheckNotValue", "CheckGreaterOrEqualThanValue":
		if c.Value.Valid {
			parts = append(parts, c.Value.Text)
		} else {
			parts = append(parts, "null")
		}
	case "CheckDistinctCount":
		parts = append(parts, fmt.Sprint(c.Count))
	}
	return c.Function + "(" + strings.Join(parts, ", ") + ")"
}

// Rule is one requirement.
type Rule struct {
	ID           string
	Text         string
	Keyword      string   // MUST, SHOULD, MAY, ...
	Criteria     []string // what a provider must support for the rule to apply
	Requirement  *Check   // nil: no file alone can show it
	Condition    *Check   // rows to which it applies; nil: all
	Dependencies []string
	// Corrected says how the rule differs from its published form, and why;
	// empty for a rule that is judged as published.
	Corrected string

	parents []string
}

// Rules is a set of rules by id. It is immutable.
type Rules struct {
	Version  string
	Criteria []string // all criteria that rules name
	byID     map[string]*Rule
	ids      []string
}

// Len is the number of rules.
func (r *Rules) Len() int { return len(r.ids) }

// Rule returns the rule of an id, or nil.
func (r *Rules) Rule(id string) *Rule { return r.byID[id] }

// IDs lists the rules by id.
func (r *Rules) IDs() []string { return slices.Clone(r.ids) }

// fileOfRules is the published form.
type fileOfRules struct {
	Details        struct{ FOCUSVersion string }
	CheckFunctions map[string]json.RawMessage
	ModelRules     map[string]struct {
		Status                string
		ApplicabilityCriteria []string
		ValidationCriteria    struct {
			MustSatisfy            string
			Keyword                string
			Requirement, Condition json.RawMessage
			Dependencies           []string
		}
	}
}

// ParseRules reads the published requirement rules. It refuses check functions
// that it does not know, rules that name rules that are not there, and rules
// that rest on themselves. Where a published check contradicts the sentence it
// stands for, and the contradiction is known, the sentence is checked, and
// Rule.Corrected says so.
func ParseRules(data []byte) (*Rules, error) {
	if len(data) > MaxRuleBytes {
		return nil, fmt.Errorf("%w: %d bytes, at most %d", ErrRules, len(data), MaxRuleBytes)
	}
	var f fileOfRules
	if err := json.Unmarshal(data, &f); err != nil {
		return nil, fmt.Errorf("%w: %w: give the JSON file that FOCUS publishes", ErrRules, err)
	}
	if len(f.ModelRules) == 0 || len(f.ModelRules) > MaxRules {
		return nil, fmt.Errorf("%w: %d rules, want 1 to %d", ErrRules, len(f.ModelRules), MaxRules)
	}
	for name := range f.CheckFunctions {
		if _, ok := functions[name]; !ok {
			return nil, fmt.Errorf("%w: its check function %s is unknown", ErrRules, name)
		}
	}
	rules := make([]Rule, 0, len(f.ModelRules))
	for _, id := range slices.Sorted(maps.Keys(f.ModelRules)) {
		p := f.ModelRules[id]
		if p.Status != "" && p.Status != "Active" {
			continue
		}
		v := &p.ValidationCriteria
		r := Rule{ID: id, Text: v.MustSatisfy, Keyword: v.Keyword, Criteria: p.ApplicabilityCriteria, Dependencies: v.Dependencies}
		var err error
		if r.Requirement, err = parseCheck(v.Requirement, 0); err != nil {
			return nil, fmt.Errorf("%w: requirement of %s: %w", ErrRules, id, err)
		}
		if r.Condition, err = parseCheck(v.Condition, 0); err != nil {
			return nil, fmt.Errorf("%w: condition of %s: %w", ErrRules, id, err)
		}
		correct(&r)
		rules = append(rules, r)
	}
	return newRules(f.Details.FOCUSVersion, rules)
}

// newRules indexes rules and checks what they refer to.
func newRules(version string, list []Rule) (*Rules, error) {
	r := &Rules{Version: version, byID: make(map[string]*Rule, len(list))}
	criteria := map[string]bool{}
	for i := range list {
		if r.byID[list[i].ID] != nil {
			return nil, fmt.Errorf("%w: there are two rules %s", ErrRules, list[i].ID)
		}
		r.byID[list[i].ID] = &list[i]
		r.ids = append(r.ids, list[i].ID)
		for _, c := range list[i].Criteria {
			criteria[c] = true
		}
	}
	slices.Sort(r.ids)
	r.Criteria = slices.Sorted(maps.Keys(criteria))
	for _, id := range r.ids {
		rule := r.byID[id]
		for _, d := range rule.Dependencies {
			if r.byID[d] == nil {
				return nil, fmt.Errorf("%w: %s rests on %s, which is not there", ErrRules, id, d)
			}
		}
		if err := rule.pure(); err != nil {
			return nil, err
		}
		for _, item := range rule.items() {
			child := r.byID[item]
			if child == nil {
				return nil, fmt.Errorf("%w: %s contains %s, which is not there", ErrRules, id, item)
			}
			if rule.Requirement.Function == or && len(child.items()) > 0 {
				return nil, fmt.Errorf("%w: the alternative %s of %s contains rules itself", ErrRules, item, id)
			}
			child.parents = append(child.parents, id)
		}
	}
	return r, r.circles()
}

// circles refuses rules that contain or rest on themselves.
func (r *Rules) circles() error {
	const under, done = 1, 2
	state := map[string]int{}
	var visit func(id string) error
	visit = func(id string) error {
		switch state[id] {
		case done:
			return nil
		case under:
			return fmt.Errorf("%w: %s rests on itself", ErrRules, id)
		}
		state[id] = under
		for _, next := range slices.Concat(r.byID[id].items(), r.byID[id].Dependencies) {
			if err := visit(next); err != nil {
				return err
			}
		}
		state[id] = done
		return nil
	}
	for _, id := range r.ids {
		if err := visit(id); err != nil {
			return err
		}
	}
	return nil
}

// items lists the rules that a composite rule contains.
func (r *Rule) items() (ids []string) {
	var walk func(c *Check)
	walk = func(c *Check) {
		if c.Rule != "" {
			ids = append(ids, c.Rule)
		}
		for i := range c.Items {
			walk(&c.Items[i])
		}
	}
	if r.Requirement != nil {
		walk(r.Requirement)
	}
	return ids
}

// pure refuses a requirement that mixes other rules with checks of its own:
// its parts are judged as rules, or its rows by its checks.
func (r *Rule) pure() error {
	items := r.items()
	if len(items) == 0 {
		return nil
	}
	c := r.Requirement
	for i := range c.Items {
		if c.Items[i].Rule == "" {
			return fmt.Errorf("%w: %s mixes rules and checks: %s", ErrRules, r.ID, c)
		}
	}
	return nil
}

// parseCheck reads one check; an empty object is none.
func parseCheck(data json.RawMessage, depth int) (*Check, error) {
	if depth > maxNesting {
		return nil, fmt.Errorf("nested deeper than %d", maxNesting)
	}
	fields := map[string]json.RawMessage{}
	if len(data) > 0 {
		if err := json.Unmarshal(data, &fields); err != nil {
			return nil, err
		}
	}
	if len(fields) == 0 {
		return nil, nil
	}
	if _, named := fields["CheckFunction"]; !named {
		return parseShort(fields, depth)
	}
	c := &Check{}
	for key, value := range fields {
		if err := c.field(key, value, depth); err != nil {
			return nil, fmt.Errorf("%s: %w", key, err)
		}
	}
	f, ok := functions[c.Function]
	if !ok {
		return nil, fmt.Errorf("check function %q is unknown", c.Function)
	}
	return c, f.complete(c)
}

// parseShort reads {"AND": check or [checks]}, a form that published rules use
// beside the one with CheckFunction.
func parseShort(fields map[string]json.RawMessage, depth int) (*Check, error) {
	if len(fields) != 1 {
		return nil, errors.New("a check without CheckFunction")
	}
	c := &Check{}
	for name, value := range fields {
		if name != and && name != or {
			return nil, fmt.Errorf("%q is no check", name)
		}
		c.Function = name
		if !strings.HasPrefix(strings.TrimSpace(string(value)), "[") {
			value = json.RawMessage("[" + string(value) + "]")
		}
		if err := c.field("Items", value, depth); err != nil {
			return nil, err
		}
	}
	return c, functions[c.Function].complete(c)
}

func (c *Check) field(key string, value json.RawMessage, depth int) error {
	switch key {
	case "CheckFunction":
		return json.Unmarshal(value, &c.Function)
	case "ColumnName", "ColumnAName", "CheckCondition": // the last is how some published conditions name the column
		return json.Unmarshal(value, &c.Column)
	case "ColumnBName":
		return json.Unmarshal(value, &c.Other)
	case "ResultColumnName":
		return json.Unmarshal(value, &c.Result)
	case "ModelRuleId":
		return json.Unmarshal(value, &c.Rule)
	case "ExpectedCount":
		return json.Unmarshal(value, &c.Count)
	case "ExpectedType":
		return nil // says again what the function's name says
	case "Value":
		var number json.Number
		if json.Unmarshal(value, &c.Value.Text) != nil {
			if err := json.Unmarshal(value, &number); err != nil {
				return err
			}
			c.Value.Text = number.String()
		}
		c.Value.Valid = string(value) != "null"
		return nil
	case "Items":
		var list []json.RawMessage
		if err := json.Unmarshal(value, &list); err != nil {
			return err
		}
		for _, raw := range list {
			item, err := parseCheck(raw, depth+1)
			if err != nil {
				return err
			}
			if item == nil {
				return errors.New("an empty check")
			}
			c.Items = append(c.Items, *item)
		}
		return nil
	}
	return errors.New("the argument is unknown")
}
