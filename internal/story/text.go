package story

import (
	"fmt"
	"io"
	"strconv"
	"strings"

	"github.com/accordo-ai/accordo/internal/alliance"
	"github.com/accordo-ai/accordo/internal/money"
)

// lineWidth is where text is broken, in characters.
const lineWidth = 100

// Write tells the whole story for a terminal.
func (st *Story) Write(w io.Writer) error {
	var b strings.Builder
	fmt.Fprintf(&b, "%s, as known on %s\n", st.Title, st.At.Format("2006-01-02"))
	wrap(&b, "", st.Notice)
	fmt.Fprintf(&b, "\n%d of %d built, %d not yet\n\nArticles\n", st.Built, st.Built+st.NotYet, st.NotYet)
	for i := range st.Articles {
		st.Articles[i].write(&b)
	}
	if len(st.Articles) == 0 {
		b.WriteString("  none had appeared\n")
	}
	for i := range st.Cards {
		b.WriteByte('\n')
		st.Cards[i].write(&b)
	}
	_, err := io.WriteString(w, b.String())
	return err
}

// Write shows one card for a terminal.
func (c *Card) Write(w io.Writer) error {
	var b strings.Builder
	c.write(&b)
	_, err := io.WriteString(w, b.String())
	return err
}

func (art *Article) write(b *strings.Builder) {
	fmt.Fprintf(b, "  %s  %s\n", art.Date, art.Title)
	dated := ""
	if art.Dated != "" {
		dated = "; " + art.Dated
	}
	wrap(b, "              ", fmt.Sprintf("%s; %d claims%s; cards %s", art.File, art.Claims, dated, strings.Join(art.Cards, " ")))
}

func (c *Card) write(b *strings.Builder) {
	state := "not yet"
	if c.Built {
		state = "built"
	}
	fmt.Fprintf(b, "%s  %s  [%s]\n", c.ID, c.Title, state)
	for i := range c.Claims {
		c.Claims[i].write(b)
	}
	if len(c.Claims) == 0 {
		b.WriteString("  no claim was known by then\n")
	}
	for _, o := range c.Objects {
		wrap(b, "  became  ", fmt.Sprintf("%s %s: %s", o.Kind, o.ID, o.Title))
	}
	if c.Built {
		// A command is copied: it is never broken over lines.
		fmt.Fprintf(b, "  proof   %s\n", c.Command)
		wrap(b, "          ", c.Proves)
	}
	if c.Missing != "" {
		wrap(b, "  not yet ", c.Missing)
	}
}

func (c *Claim) write(b *strings.Builder) {
	text := fmt.Sprintf("%s [%s, grade %s, %s, known %s] %s", c.ID, c.Status, c.Grade, c.Source, c.Known, c.Says)
	if c.Figure != "" {
		text += " Figure: " + c.Figure + "."
	}
	text += " (" + c.Mood + ")"
	if len(c.SupersededBy) > 0 {
		text += " Superseded by " + ids(c.SupersededBy) + "."
	}
	if len(c.Conflicts) > 0 {
		text += " Contradicted by " + ids(c.Conflicts) + "."
	}
	wrap(b, "  claim   ", text)
}

// figure renders a claim's figure with its bound, as its source gives it in
// each currency, and "" when it has none.
func figure(c *alliance.Claim) string {
	text := bounded(c)
	for i := range c.Also {
		f := &c.Also[i]
		text += "; the source gives it also as " + bounded(&alliance.Claim{Bound: c.Bound, Low: f.Low, High: f.High, Unit: f.Unit})
	}
	if len(c.Also) > 0 {
		text += ", as quoted " + c.AsOf + ", not converted here"
	}
	return text
}

func bounded(c *alliance.Claim) string {
	switch {
	case c.Bound == "range" && c.Low != nil && c.High != nil:
		return fmt.Sprintf("%s to %s %s", number(*c.Low), number(*c.High), c.Unit)
	case c.Bound == "ceiling" && c.High != nil:
		return fmt.Sprintf("at most %s %s", number(*c.High), c.Unit)
	case c.Low == nil:
		return ""
	case c.Bound == "floor":
		return fmt.Sprintf("at least %s %s", number(*c.Low), c.Unit)
	case c.Bound == "about":
		return fmt.Sprintf("about %s %s", number(*c.Low), c.Unit)
	}
	return fmt.Sprintf("%s %s", number(*c.Low), c.Unit)
}

// number renders an amount with separators between thousands and without a
// fraction of zeros.
func number(a money.Amount) string {
	text := strings.TrimSuffix(a.String(), ".00")
	sign := ""
	if text[0] == '-' {
		sign, text = "-", text[1:]
	}
	whole, frac, _ := strings.Cut(text, ".")
	if frac != "" {
		frac = "." + frac
	}
	return sign + separated(whole) + frac
}

// separated puts separators between the thousands of digits.
func separated(digits string) string {
	var b strings.Builder
	for i, r := range digits {
		if i > 0 && (len(digits)-i)%3 == 0 {
			b.WriteByte(',')
		}
		b.WriteRune(r)
	}
	return b.String()
}

// thousands renders a count, which is never negative.
func thousands(n int64) string { return separated(strconv.FormatInt(n, 10)) }

// wrap writes text broken between words, the first line after head and the
// others below its end.
func wrap(b *strings.Builder, head, text string) {
	indent := strings.Repeat(" ", len([]rune(head)))
	b.WriteString(head)
	column, begun := len([]rune(head)), false
	for _, word := range strings.Fields(text) {
		n := len([]rune(word))
		switch {
		case !begun:
		case column+1+n > lineWidth:
			b.WriteString("\n" + indent)
			column = len(indent)
		default:
			b.WriteByte(' ')
			column++
		}
		b.WriteString(word)
		column += n
		begun = true
	}
	b.WriteByte('\n')
}

func ids[T ~string](list []T) string {
	parts := make([]string, len(list))
	for i, id := range list {
		parts[i] = string(id)
	}
	return strings.Join(parts, ", ")
}

func plural(n int, noun string) string {
	if n == 1 {
		return "1 " + noun
	}
	return strconv.Itoa(n) + " " + noun + "s"
}
