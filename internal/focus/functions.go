package focus

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"regexp"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"
)

// The names of the functions that hold others.
const (
	and = "AND"
	or  = "OR"
)

// verdict is what a check says of one row. Unknown is the comparison of a null
// with a value: it breaks no requirement and meets no condition.
type verdict uint8

const (
	unknown verdict = iota
	holds
	broken
)

func verdictOf(ok bool) verdict {
	if ok {
		return holds
	}
	return broken
}

// scope is how much of a table a function judges at once.
type scope uint8

const (
	ofRow   scope = iota
	ofTable       // ColumnPresent, CheckDistinctCount
	ofRules       // AND, OR, CheckModelRule
)

// function is one of the check functions of the published rules, or one of
// ours, which begin with "x_".
type function struct {
	scope scope
	needs string // arguments: c column, o other column, r result, m rule, i items, n count
	row   func(c *Check, t *Table, row []Cell, at func(string) int) verdict
}

// functions holds the check functions by name.
var functions = map[string]function{
	and:                               {scope: ofRules, needs: "i"},
	or:                                {scope: ofRules, needs: "i"},
	"CheckModelRule":                  {scope: ofRules, needs: "m"},
	"ColumnPresent":                   {scope: ofTable, needs: "c"},
	"CheckDistinctCount":              {scope: ofTable, needs: "con"},
	"CheckValue":                      {needs: "c", row: checkValue},
	"CheckNotValue":                   {needs: "c", row: checkNotValue},
	"CheckSameValue":                  {needs: "co", row: checkSame},
	"CheckNotSameValue":               {needs: "co", row: checkNotSame},
	"CheckDecimalValue":               {needs: "c", row: value(isDecimal)},
	"CheckGreaterOrEqualThanValue":    {needs: "c", row: checkAtLeast},
	"CheckNationalCurrency":           {needs: "c", row: value(isNationalCurrency)},
	"ColumnByColumnEqualsColumnValue": {needs: "cor", row: checkProduct},
	"TypeDecimal":                     {needs: "c", row: typed(Number, isDecimal)},
	"TypeString":                      {needs: "c", row: typed(String, utf8.ValidString)},
	"TypeDateTime":                    {needs: "c", row: typed(DateTime, isInstant)},
	"FormatNumeric":                   {needs: "c", row: value(numericFormat.MatchString)},
	"FormatString":                    {needs: "c", row: value(isPlainText)},
	"FormatDateTime":                  {needs: "c", row: value(isUTC)},
	"FormatUnit":                      {needs: "c", row: value(unitFormat.MatchString)},
	"FormatCurrency":                  {needs: "c", row: value(isCurrency)},
	"FormatKeyValue":                  {needs: "c", row: value(isFlatObject)},

	"x_FormatObject":    {needs: "c", row: value(isObject)},
	"x_ContractApplied": {needs: "c", row: value(isContractApplied)},
	"x_PascalCase":      {scope: ofTable, needs: ""},
}

// complete reports an argument that the function needs and the check lacks.
func (f function) complete(c *Check) error {
	for _, n := range f.needs {
		missing := false
		switch n {
		case 'c':
			missing = c.Column == ""
		case 'o':
			missing = c.Other == ""
		case 'r':
			missing = c.Result == ""
		case 'm':
			missing = c.Rule == ""
		case 'i':
			missing = len(c.Items) == 0
		case 'n':
			missing = c.Count < 1
		}
		if missing {
			return fmt.Errorf("%s lacks an argument: %s", c.Function, c)
		}
	}
	return nil
}

func cell(row []Cell, at func(string) int, column string) Cell {
	if i := at(column); i >= 0 {
		return row[i]
	}
	return Null
}

// value judges every value that is not null by its text.
func value(ok func(string) bool) func(*Check, *Table, []Cell, func(string) int) verdict {
	return func(c *Check, _ *Table, row []Cell, at func(string) int) verdict {
		v := cell(row, at, c.Column)
		if !v.Valid {
			return unknown
		}
		return verdictOf(ok(v.Text))
	}
}

// typed judges by the column's type where it has one, else by the text. A
// JSON object is kept as a string.
func typed(want Type, ok func(string) bool) func(*Check, *Table, []Cell, func(string) int) verdict {
	return func(c *Check, t *Table, row []Cell, at func(string) int) verdict {
		i := at(c.Column)
		if i >= 0 {
			if kind := t.Columns[i].Type; kind != Untyped && kind != want && (kind != JSON || want != String) {
				return broken
			}
		}
		v := cell(row, at, c.Column)
		if !v.Valid {
			return unknown
		}
		return verdictOf(ok(v.Text))
	}
}

func equal(x, y string) bool {
	if x == y {
		return true
	}
	a, err := ParseDecimal(x)
	if err != nil {
		return false
	}
	b, err := ParseDecimal(y)
	return err == nil && a.Cmp(b) == 0
}

func checkValue(c *Check, _ *Table, row []Cell, at func(string) int) verdict {
	v := cell(row, at, c.Column)
	switch {
	case !c.Value.Valid:
		return verdictOf(!v.Valid)
	case !v.Valid:
		return unknown
	}
	return verdictOf(equal(v.Text, c.Value.Text))
}

func checkNotValue(c *Check, _ *Table, row []Cell, at func(string) int) verdict {
	v := cell(row, at, c.Column)
	if !c.Value.Valid {
		return verdictOf(v.Valid)
	}
	return verdictOf(!v.Valid || !equal(v.Text, c.Value.Text))
}

func same(c *Check, row []Cell, at func(string) int) bool {
	x, y := cell(row, at, c.Column), cell(row, at, c.Other)
	return x.Valid == y.Valid && (!x.Valid || equal(x.Text, y.Text))
}

func checkSame(c *Check, _ *Table, row []Cell, at func(string) int) verdict {
	return verdictOf(same(c, row, at))
}

func checkNotSame(c *Check, _ *Table, row []Cell, at func(string) int) verdict {
	return verdictOf(!same(c, row, at))
}

func checkAtLeast(c *Check, _ *Table, row []Cell, at func(string) int) verdict {
	v := cell(row, at, c.Column)
	if !v.Valid {
		return unknown
	}
	d, err := ParseDecimal(v.Text)
	low, lowErr := ParseDecimal(c.Value.Text)
	return verdictOf(err == nil && lowErr == nil && d.Cmp(low) >= 0)
}

// checkProduct compares exactly: a product that was rounded is broken.
func checkProduct(c *Check, _ *Table, row []Cell, at func(string) int) verdict {
	var d [3]Decimal
	for i, column := range [...]string{c.Column, c.Other, c.Result} {
		v := cell(row, at, column)
		if !v.Valid {
			return unknown
		}
		var err error
		if d[i], err = ParseDecimal(v.Text); err != nil {
			return broken
		}
	}
	return verdictOf(d[0].Mul(d[1]).Cmp(d[2]) == 0)
}

func isDecimal(s string) bool {
	_, err := ParseDecimal(s)
	return err == nil
}

// numericFormat is an integer, a decimal or E notation, with a sign for
// negative values only and a dot as the only punctuation.
var numericFormat = regexp.MustCompile(`^-?(\d+(\.\d+)?|\.\d+)([eE]-?\d+)?$`)

// unitFormat is a unit with an optional whole quantity before it, a time that
// it is multiplied by, or a time that it is divided by ("1000000 Tokens",
// "Chip-Seconds", "GB/Hour", "Units/3 Months").
var unitFormat = regexp.MustCompile(`^(\d+ )?(b|[A-Z][A-Za-z]*)(-(Years|Months|Days|Hours|Minutes|Seconds)|/(Year|Month|Day|Hour|Minute|Second)|/\d+ (Years|Months|Days|Hours|Minutes|Seconds))?$`)

// isInstant accepts what databases write for an instant, with or without a
// zone.
func isInstant(s string) bool {
	for _, layout := range [...]string{time.RFC3339, "2006-01-02T15:04:05", "2006-01-02T15:04Z07:00", "2006-01-02 15:04:05", "2006-01-02 15:04:05Z07:00", "2006-01-02 15:04:05 MST", time.DateOnly} {
		if _, err := time.Parse(layout, s); err == nil {
			return true
		}
	}
	return false
}

var utcFormat = regexp.MustCompile(`^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z$`)

func isUTC(s string) bool {
	_, err := time.Parse(time.RFC3339, s)
	return err == nil && utcFormat.MatchString(s)
}

// isPlainText accepts text that a person can read: valid Unicode, not blank,
// without control characters.
func isPlainText(s string) bool {
	return utf8.ValidString(s) && strings.TrimSpace(s) != "" && !strings.ContainsFunc(s, unicode.IsControl) && !strings.ContainsRune(s, utf8.RuneError)
}

func isNationalCurrency(s string) bool {
	return len(s) == 3 && strings.Contains(currencies, " "+s+" ")
}

// isCurrency accepts a national currency, or the name of a virtual one, which
// is not three letters long.
func isCurrency(s string) bool {
	if len(s) == 3 {
		return isNationalCurrency(s)
	}
	return isPlainText(s)
}

// isFlatObject accepts a JSON object with distinct keys whose values are
// numbers, texts, truth values or null.
func isFlatObject(s string) bool { return objectOf(s, 1) == nil }

func isObject(s string) bool { return objectOf(s, maxNesting) == nil }

var errObject = errors.New("not an object with distinct keys")

// objectOf walks a JSON object, whose depth is at most the given one.
func objectOf(s string, depth int) error {
	dec := json.NewDecoder(strings.NewReader(s))
	dec.UseNumber()
	first, err := dec.Token()
	if err != nil || first != json.Delim('{') {
		return errObject
	}
	if err := walkObject(dec, depth); err != nil {
		return err
	}
	if _, err := dec.Token(); !errors.Is(err, io.EOF) {
		return errObject
	}
	return nil
}

func walkObject(dec *json.Decoder, depth int) error {
	keys := map[string]bool{}
	for dec.More() {
		key, err := dec.Token()
		name, ok := key.(string)
		if err != nil || !ok || keys[name] {
			return errObject
		}
		keys[name] = true
		if err := walkValue(dec, depth); err != nil {
			return err
		}
	}
	_, err := dec.Token()
	return err
}

func walkValue(dec *json.Decoder, depth int) error {
	token, err := dec.Token()
	if err != nil {
		return err
	}
	switch token {
	case json.Delim('{'):
		if depth <= 1 {
			return errObject
		}
		return walkObject(dec, depth-1)
	case json.Delim('['):
		if depth <= 1 {
			return errObject
		}
		for dec.More() {
			if err := walkValue(dec, depth-1); err != nil {
				return err
			}
		}
		_, err = dec.Token()
	}
	return err
}
