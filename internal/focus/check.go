package focus

import (
	"fmt"
	"slices"
	"strings"
)

// Status is what checking a rule came to.
type Status string

// The statuses.
const (
	Passed Status = "passed"
	Failed Status = "failed"
	Warned Status = "warned" // a SHOULD that is not followed
	// NotApplicable is a rule that this file cannot pass or fail: see Why.
	NotApplicable Status = "not applicable"
)

// Why a rule is not applicable.
const (
	whyDynamic   = "a file alone cannot show it"
	whyMay       = "it permits and requires nothing"
	whyCriteria  = "the data generator does not claim its criterion: "
	whyAbsent    = "the file lacks a column: "
	whyRests     = "it rests on a rule that fails: "
	whyRows      = "no row is concerned"
	whyParts     = "none of its parts is applicable"
	whyAlternate = "another alternative holds: "
)

// Result is what one rule came to.
type Result struct {
	Rule    string `json:"rule"`
	Status  Status `json:"status"`
	Keyword string `json:"keyword"`
	Text    string `json:"text"`
	Why     string `json:"why,omitempty"`
	// Of a rule that fails or warns: the first row (from 1, without the
	// header; 0 for the table as a whole), its column and value, how many rows
	// break it, and the rules that a composite fails by.
	Column    string   `json:"column,omitempty"`
	Row       int      `json:"row,omitempty"`
	Value     string   `json:"value,omitempty"`
	Rows      int      `json:"rows,omitempty"`
	Parts     []string `json:"parts,omitempty"`
	Check     string   `json:"check,omitempty"`
	Corrected string   `json:"corrected,omitempty"`
}

// Report is the outcome of checking a table: one result per rule, by id.
type Report struct {
	Version string   `json:"focus_version"`
	Rows    int      `json:"rows"`
	Results []Result `json:"results"`
}

// Count returns how many rules have a status.
func (r *Report) Count(s Status) (n int) {
	for i := range r.Results {
		if r.Results[i].Status == s {
			n++
		}
	}
	return n
}

// Reasons counts the rules that are not applicable by the kind of their Why,
// without the names in it.
func (r *Report) Reasons() map[string]int {
	counts := map[string]int{}
	for _, v := range r.Of(NotApplicable) {
		for _, why := range [...]string{whyDynamic, whyMay, whyCriteria, whyAbsent, whyRests, whyRows, whyParts, whyAlternate} {
			if strings.HasPrefix(v.Why, why) {
				counts[strings.TrimRight(why, ": ")]++
				break
			}
		}
	}
	return counts
}

// Of returns the results with a status, by id.
func (r *Report) Of(s Status) (list []Result) {
	for _, v := range r.Results {
		if v.Status == s {
			list = append(list, v)
		}
	}
	return list
}

// Check judges a table by the rules. supported names the applicability
// criteria that the data generator claims; rules of other criteria, and what
// they contain, do not apply.
func (r *Rules) Check(t *Table, supported []string) *Report {
	k := checker{rules: r, table: t, supported: map[string]bool{}, at: map[string]int{}, results: map[string]*Result{}, masks: map[string][]bool{}, missing: map[string]string{}}
	for _, s := range supported {
		k.supported[s] = true
	}
	for i := len(t.Columns) - 1; i >= 0; i-- {
		k.at[t.Columns[i].Name] = i
	}
	report := &Report{Version: r.Version, Rows: len(t.Rows)}
	for _, id := range r.ids {
		k.result(id)
	}
	for _, id := range r.ids { // only now: a rule can change the result of its parts
		report.Results = append(report.Results, *k.results[id])
	}
	return report
}

// checker is one call of Check.
type checker struct {
	rules     *Rules
	table     *Table
	supported map[string]bool
	at        map[string]int
	results   map[string]*Result
	masks     map[string][]bool
	missing   map[string]string // by rule: the criterion that is not claimed, or empty
}

func (k *checker) position(column string) int {
	if i, ok := k.at[column]; ok {
		return i
	}
	return -1
}

// result judges one rule, after those that it contains or rests on.
func (k *checker) result(id string) *Result {
	if r := k.results[id]; r != nil {
		return r
	}
	rule := k.rules.byID[id]
	r := &Result{Rule: id, Keyword: rule.Keyword, Text: rule.Text, Corrected: rule.Corrected, Status: NotApplicable}
	if rule.Requirement != nil {
		r.Check = rule.Requirement.String()
	}
	k.results[id] = r
	if missing := k.unsupported(rule); missing != "" {
		r.Why = whyCriteria + missing
		return r
	}
	if rule.Requirement == nil {
		r.Why = whyDynamic
		return r
	}
	items := rule.items()
	for _, d := range rule.Dependencies {
		if !slices.Contains(items, d) && k.result(d).Status == Failed {
			r.Why = whyRests + d
			return r
		}
	}
	switch {
	case len(items) == 0:
		k.single(rule, r)
	case rule.Requirement.Function == or:
		k.alternatives(rule, items, r)
	default:
		k.composite(items, r)
	}
	return k.judged(rule, r)
}

// judged weighs a broken rule by its keyword.
func (k *checker) judged(rule *Rule, r *Result) *Result {
	switch keyword := rule.Keyword; {
	case keyword == "MAY":
		*r = Result{Rule: r.Rule, Keyword: r.Keyword, Text: r.Text, Status: NotApplicable, Why: whyMay, Check: r.Check}
	case len(r.Parts) > 0 && rule.Requirement.Function != or: // a part that must hold fails
	case r.Status == Failed && (strings.HasPrefix(keyword, "SHOULD") || keyword == "RECOMMENDED"):
		r.Status = Warned
	}
	return r
}

// unsupported returns a criterion of the rule, or of all rules that contain
// it, that is not claimed.
func (k *checker) unsupported(rule *Rule) string {
	if m, ok := k.missing[rule.ID]; ok {
		return m
	}
	missing := ""
	for _, p := range rule.parents {
		if missing = k.unsupported(k.rules.byID[p]); missing == "" {
			break
		}
	}
	for _, c := range rule.Criteria {
		if !k.supported[c] {
			missing = c
		}
	}
	k.missing[rule.ID] = missing
	return missing
}

// composite fails by its parts.
func (k *checker) composite(items []string, r *Result) {
	r.Why = whyParts
	for _, id := range items {
		switch k.result(id).Status {
		case Failed:
			r.Status, r.Why = Failed, ""
			r.Parts = append(r.Parts, id)
		case Passed, Warned:
			if r.Status != Failed {
				r.Status, r.Why = Passed, ""
			}
		}
	}
}

// alternatives judges a rule of which each row must meet one part. A part that
// some row does not meet is no failure while another part makes up for it.
func (k *checker) alternatives(rule *Rule, items []string, r *Result) {
	k.single(rule, r)
	for _, id := range items {
		part := k.result(id)
		if part.Status == Failed && r.Status == Passed {
			*part = Result{Rule: part.Rule, Keyword: part.Keyword, Text: part.Text, Check: part.Check, Status: NotApplicable, Why: whyAlternate + rule.ID}
		}
	}
	if r.Status == Failed {
		r.Parts = items
	}
}

// single judges a rule by its own check.
func (k *checker) single(rule *Rule, r *Result) {
	c := rule.Requirement
	if f := functions[c.Function]; f.scope == ofTable {
		k.whole(rule, r)
		return
	}
	if absent := k.absent(c); absent != "" {
		r.Why = whyAbsent + absent
		return
	}
	mask := k.mask(rule)
	concerned := false
	for i, row := range k.table.Rows {
		if mask != nil && !mask[i] {
			continue
		}
		concerned = true
		if k.row(c, row) != broken {
			continue
		}
		r.Rows++
		if r.Rows == 1 {
			r.Status, r.Row, r.Column = Failed, i+1, k.columnOf(c)
			r.Value = describe(row[max(0, k.position(r.Column))])
		}
	}
	switch {
	case r.Status == Failed:
	case concerned || len(k.table.Rows) == 0 && mask == nil:
		r.Status = Passed
	default:
		r.Why = whyRows
	}
}

func describe(c Cell) string {
	if !c.Valid {
		return "null"
	}
	const most = 120
	if len(c.Text) > most {
		return c.Text[:most] + "…"
	}
	return c.Text
}

// columnOf names the column that a check is about: the first that it reads.
func (k *checker) columnOf(c *Check) string {
	if c.Column != "" {
		return c.Column
	}
	if c.Rule != "" {
		return k.columnOf(k.rules.byID[c.Rule].Requirement)
	}
	if len(c.Items) > 0 {
		return k.columnOf(&c.Items[0])
	}
	return ""
}

// absent returns a column that the check reads and the table lacks.
func (k *checker) absent(c *Check) string {
	for _, column := range [...]string{c.Column, c.Other, c.Result} {
		if column != "" && k.position(column) < 0 {
			return column
		}
	}
	if c.Rule != "" && k.rules.byID[c.Rule].Requirement != nil {
		return k.absent(k.rules.byID[c.Rule].Requirement)
	}
	for i := range c.Items {
		if a := k.absent(&c.Items[i]); a != "" {
			return a
		}
	}
	return ""
}

// row judges one row by a check.
func (k *checker) row(c *Check, row []Cell) verdict {
	switch c.Function {
	case and, or:
		ends := broken
		if c.Function == or {
			ends = holds
		}
		rest := verdict(holds + broken - ends)
		open := false
		for i := range c.Items {
			switch k.row(&c.Items[i], row) {
			case ends:
				return ends
			case unknown:
				open = true
			}
		}
		if open {
			return unknown
		}
		return rest
	case "CheckModelRule":
		rule := k.rules.byID[c.Rule]
		if rule.Requirement == nil || rule.Condition != nil && k.row(rule.Condition, row) != holds {
			return unknown
		}
		return k.row(rule.Requirement, row)
	}
	f := functions[c.Function]
	if f.row == nil {
		return unknown
	}
	return f.row(c, k.table, row, k.position)
}

// mask returns the rows that a rule is about: its own condition, and that of
// one of the rules that contain it. Nil means all rows.
func (k *checker) mask(rule *Rule) []bool {
	if m, ok := k.masks[rule.ID]; ok {
		return m
	}
	outer := k.outer(rule)
	if rule.Condition != nil {
		own := make([]bool, len(k.table.Rows))
		for i, row := range k.table.Rows {
			own[i] = (outer == nil || outer[i]) && k.row(rule.Condition, row) == holds
		}
		outer = own
	}
	k.masks[rule.ID] = outer
	return outer
}

func (k *checker) outer(rule *Rule) []bool {
	var union []bool
	for _, p := range rule.parents {
		m := k.mask(k.rules.byID[p])
		if m == nil {
			return nil
		}
		if union == nil {
			union = slices.Clone(m)
			continue
		}
		for i := range union {
			union[i] = union[i] || m[i]
		}
	}
	return union
}

// whole judges a rule about the table.
func (k *checker) whole(rule *Rule, r *Result) {
	c := rule.Requirement
	switch c.Function {
	case "ColumnPresent":
		r.Status, r.Column = Passed, ""
		if k.position(c.Column) < 0 {
			r.Status, r.Column, r.Value = Failed, c.Column, "absent"
		}
	case "CheckDistinctCount":
		if a := k.absent(c); a != "" {
			r.Why = whyAbsent + a
			return
		}
		k.distinct(rule, r)
	case "x_PascalCase":
		k.names(r)
	}
}

// distinct counts the values of the other column beside each value of the
// first.
func (k *checker) distinct(rule *Rule, r *Result) {
	c, mask := rule.Requirement, k.mask(rule)
	type seen struct {
		first  int
		values map[string]bool
	}
	groups := map[string]*seen{}
	var order []string
	for i, row := range k.table.Rows {
		key, other := row[k.at[c.Column]], row[k.at[c.Other]]
		if mask != nil && !mask[i] || !key.Valid {
			continue
		}
		s := groups[key.Text]
		if s == nil {
			s = &seen{i, map[string]bool{}}
			groups[key.Text] = s
			order = append(order, key.Text)
		}
		if other.Valid {
			s.values[other.Text] = true
		}
	}
	r.Status = Passed
	if len(order) == 0 {
		r.Status, r.Why = NotApplicable, whyRows
	}
	for _, key := range order {
		s := groups[key]
		if len(s.values) == c.Count {
			continue
		}
		r.Rows++
		if r.Rows == 1 {
			r.Status, r.Row, r.Column = Failed, s.first+1, c.Column
			r.Value = fmt.Sprintf("%s with %d values of %s", key, len(s.values), c.Other)
		}
	}
}
