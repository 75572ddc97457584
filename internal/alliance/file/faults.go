package file

import (
	"encoding/json"
	"fmt"
	"io"
	"strings"
)

// Fault is one thing that is wrong, where it is and what to write instead.
type Fault struct {
	File    string `json:"file"`
	Line    int    `json:"line"`    // from 1; 0 when the fault is about the file as a whole
	Column  int    `json:"column"`  // from 1, in characters
	Source  string `json:"source"`  // the line as written
	Problem string `json:"problem"` // what is wrong
	Remedy  string `json:"remedy"`  // what to write
	// Warning says that the terms can be served all the same.
	Warning bool `json:"warning,omitempty"`
}

// Faults is everything that is wrong with the terms, sorted by the order in
// which the files were read, then line, then column. It is never empty.
type Faults struct {
	List []Fault `json:"faults"`
	// Omitted counts the faults beyond MaxFaults, which are not in List.
	Omitted int `json:"omitted,omitempty"`
}

// Error says how many faults there are and the first one; Report says all.
func (f *Faults) Error() string {
	if len(f.List) == 0 {
		return "the alliance file is wrong"
	}
	first := f.List[0]
	text := fmt.Sprintf("%s: %s: %s", first.place(), first.Problem, first.Remedy)
	if n := len(f.List) + f.Omitted - 1; n > 0 {
		text += fmt.Sprintf(" (and %s)", count(n, "more fault"))
	}
	return text
}

// Report writes all faults for a person at a terminal: place, what is wrong,
// the source line with a caret, and what to write.
func Report(w io.Writer, f *Faults) error {
	var b strings.Builder
	for i := range f.List {
		f.List[i].write(&b)
	}
	if f.Omitted > 0 {
		fmt.Fprintf(&b, "... and %s\n\n", count(f.Omitted, "more fault"))
	}
	fmt.Fprintf(&b, "%s\n", count(len(f.List)+f.Omitted, "fault"))
	_, err := io.WriteString(w, b.String())
	return err
}

// ReportJSON writes all faults as one JSON object with a list "faults".
func ReportJSON(w io.Writer, f *Faults) error {
	e := json.NewEncoder(w)
	e.SetEscapeHTML(false)
	e.SetIndent("", "  ")
	return e.Encode(f)
}

// maxSourceColumns bounds the part of a source line that a report shows.
const maxSourceColumns = 160

func (f *Fault) place() string {
	if f.Line == 0 {
		return f.File
	}
	return fmt.Sprintf("%s:%d:%d", f.File, f.Line, f.Column)
}

func (f *Fault) write(b *strings.Builder) {
	problem := f.Problem
	if f.Warning {
		problem = "warning: " + problem
	}
	fmt.Fprintf(b, "%s: %s\n", f.place(), problem)
	if f.Line > 0 {
		line, column := window([]rune(strings.ReplaceAll(f.Source, "\t", " ")), f.Column)
		number := fmt.Sprint(f.Line)
		fmt.Fprintf(b, "  %s | %s\n", number, line)
		fmt.Fprintf(b, "  %s | %s^\n", strings.Repeat(" ", len(number)), strings.Repeat(" ", column-1))
	}
	fmt.Fprintf(b, "  write: %s\n\n", f.Remedy)
}

// window cuts a long line around the column, which it returns adjusted.
func window(line []rune, column int) (string, int) {
	column = max(1, min(column, len(line)+1))
	start := 0
	if column > maxSourceColumns-20 {
		start = column - maxSourceColumns/2
	}
	return string(line[start:min(len(line), start+maxSourceColumns)]), column - start
}

func count(n int, noun string) string {
	if n == 1 {
		return "1 " + noun
	}
	return fmt.Sprintf("%d %ss", n, noun)
}
