// Package sheet writes tables as CSV for programs and spreadsheets: RFC 4180
// quoting, and no cell that a spreadsheet would run as a formula. It refuses
// to know what a table means and to change a figure.
package sheet

import (
	"encoding/csv"
	"io"
	"strings"
	"unicode/utf8"
)

// Write writes rows, the names of the columns first.
func Write(w io.Writer, rows [][]string) error {
	c := csv.NewWriter(w)
	c.UseCRLF = true
	safe := []string{}
	for _, row := range rows {
		safe = safe[:0]
		for _, cell := range row {
			safe = append(safe, Cell(cell))
		}
		if err := c.Write(safe); err != nil {
			return err
		}
	}
	c.Flush()
	return c.Error()
}

// Cell returns text that no spreadsheet takes for a formula: what begins like
// one gets an apostrophe in front, unless it is a plain number.
func Cell(text string) string {
	first, _ := utf8.DecodeRuneInString(strings.TrimLeft(text, " \t\r\n\v\f\u00a0\ufeff"))
	formula := strings.ContainsRune("=+-@|%\uff1d\uff0b\uff0d\uff20", first) && !isNumber(text)
	if formula || text != "" && strings.ContainsRune("\t\r\n", rune(text[0])) {
		return "'" + text
	}
	return text
}

// isNumber reports a plain decimal number such as -12.50.
func isNumber(text string) bool {
	digits := strings.TrimPrefix(text, "-")
	whole, fraction, point := strings.Cut(digits, ".")
	return allDigits(whole) && (!point || allDigits(fraction))
}

func allDigits(s string) bool {
	for _, r := range s {
		if r < '0' || r > '9' {
			return false
		}
	}
	return s != ""
}
