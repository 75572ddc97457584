package console

import (
	"fmt"
	"html/template"
	"net/url"
	"regexp"
	"strconv"
	"strings"
	"time"

	"github.com/accordo-ai/accordo/internal/contract"
	"github.com/accordo-ai/accordo/internal/ledger"
	"github.com/accordo-ai/accordo/internal/money"
	"github.com/accordo-ai/accordo/internal/route"
)

// functions are what templates call. Each returns its figure with its unit.
var functions = template.FuncMap{
	"money": units, "micro": micro, "short": shortMoney, "nano": nanoMoney, "num": number, "percent": percent,
	"dur": duration, "day": day, "clock": clock, "stamp": stamp, "seg": url.PathEscape, "join": strings.Join,
	"capacity": capacity, "mu": mu, "asset": asAsset, "loadWidth": loadWidth, "words": words, "head": head,
	"add":   func(a, b int) int { return a + b },
	"month": monthText, "nanos": nanos,
	"months": func(c monthChoice, all bool) map[string]any { return map[string]any{"Choice": c, "All": all} },
	"soft":   soft, "figures": figures,
	"grade": gradeSays, "entriesOf": func(a ledger.AccountID, month int32) string { return entriesOf(string(a), month) }, "host": hostOf,
}

// separated puts commas between the thousands of digits.
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

// number renders a count with separators.
func number(v any) string {
	text := fmt.Sprint(v)
	if a, ok := v.(money.Amount); ok {
		text = strconv.FormatInt(int64(a), 10)
	}
	if rest, negative := strings.CutPrefix(text, "-"); negative {
		return "−" + separated(rest)
	}
	return separated(text)
}

// units renders an amount in units of its currency: whole, with cents, or
// with all six decimals where less than a cent counts.
func units(a money.Amount) string {
	switch {
	case a%money.Micro == 0 && (a >= 1000*money.Micro || a <= -1000*money.Micro):
		return decimals(a, 0)
	case a%(money.Micro/100) == 0:
		return decimals(a, 2)
	}
	return decimals(a, 6)
}

// decimals renders an amount with 0, 2 or 6 decimals; what they leave out is
// cut off.
func decimals(a money.Amount, n int) string {
	const micros = 6
	digits := fmt.Sprintf("%07d", uint64(max(a, -a)))
	whole, rest := digits[:len(digits)-micros], digits[len(digits)-micros:]
	text := separated(whole)
	if n > 0 {
		text += "." + rest[:n]
	}
	if a < 0 {
		return "−" + text
	}
	return text
}

// micro renders an amount in micro-units.
func micro(a money.Amount, currency string) string { return number(a) + " micro-" + currency }

// shortMoney renders large amounts in millions and billions, rounded down to
// one decimal: for the labels of charts, never for sums.
func shortMoney(a money.Amount) string {
	for _, step := range [...]struct {
		size money.Amount
		word string
	}{{1e9 * money.Micro, " bn"}, {1e6 * money.Micro, " m"}, {1e3 * money.Micro, " k"}} {
		if a >= step.size {
			tenths := int64(a / (step.size / 10))
			if tenths%10 == 0 {
				return number(tenths/10) + step.word
			}
			return fmt.Sprintf("%s.%d%s", number(tenths/10), tenths%10, step.word)
		}
	}
	if a == 0 {
		return "0"
	}
	return units(a)
}

// nanoMoney renders nano-units as micro-units with three decimals.
func nanoMoney(n int64) string {
	sign := ""
	if n < 0 {
		sign, n = "−", -n
	}
	return fmt.Sprintf("%s%s.%03d", sign, separated(strconv.FormatInt(n/1000, 10)), n%1000)
}

func percent(ppm int64) string {
	sign := ""
	if ppm < 0 {
		sign, ppm = "−", -ppm
	}
	return fmt.Sprintf("%s%d.%d %%", sign, ppm/10_000, ppm%10_000/1000)
}

func duration(d time.Duration) string {
	switch {
	case d == 0:
		return "none"
	case d < time.Millisecond:
		return fmt.Sprintf("%d µs", d.Microseconds())
	case d < 10*time.Second:
		return number(d.Milliseconds()) + " ms"
	}
	tenths := d.Milliseconds() / 100
	return fmt.Sprintf("%s.%d s", number(tenths/10), tenths%10)
}

func day(t any) string {
	switch t := t.(type) {
	case time.Time:
		return t.Format("2 January 2006")
	case interface{ Format(string) string }:
		return t.Format("2 January 2006")
	}
	return fmt.Sprint(t)
}

func clock(t time.Time) string { return t.UTC().Format("15:04:05") }

func stamp(t time.Time) string { return t.UTC().Format("2006-01-02 15:04:05") + " UTC" }

// nanos renders nanoseconds since 1970 UTC.
func nanos(n int64) string { return stamp(time.Unix(0, n)) }

// unitOf names what the router's unit counts, for people.
func unitOf(unit string) string {
	if unit == route.MicroBurnUnits {
		return "burn units"
	}
	return "chip-seconds"
}

// capacity renders micro-units of capacity in whole units with one decimal.
func capacity(micro int64, unit string) string {
	sign := ""
	if micro < 0 {
		sign, micro = "−", -micro
	}
	whole, tenth := micro/contract.UseDivisor, micro%contract.UseDivisor/(contract.UseDivisor/10)
	return fmt.Sprintf("%s%s.%d %s", sign, number(whole), tenth, unitOf(unit))
}

// mu renders the shadow price of capacity.
func mu(nano int64, unit, currency string) string {
	one := "chip-second"
	if unit == route.MicroBurnUnits {
		one = "burn unit"
	}
	return nanoMoney(nano) + " micro-" + currency + " per " + one
}

// asAsset renders a quantity of an account with its unit.
func asAsset(n money.Amount, a ledger.Asset) string {
	name := string(a)
	kind, _, _ := strings.Cut(name, "(")
	switch {
	case a.IsCurrency():
		return decimals(n, 6) + " " + strings.TrimPrefix(kind, "COMMIT-")
	case kind == "TOK":
		return number(n) + " tokens"
	case kind == "CHIPSEC":
		return number(n) + " chip-seconds"
	case kind == "BURN":
		return number(n) + " burn units"
	}
	return number(n) + " " + name
}

// loadWidth is a share in parts per million as a width of 0 to 100.
func loadWidth(ppm int64) int64 { return min(max(ppm, 0), 1_000_000) / 10_000 }

// words writes a constant such as "throughput_reservation" for people.
func words(s any) string { return strings.ReplaceAll(fmt.Sprint(s), "_", " ") }

// head is the beginning of a hash or id.
func head(s string) string { return s[:min(len(s), 12)] }

// gradeSays explains the grade of a source.
func gradeSays(g string) string {
	switch g {
	case "A":
		return "grade A: a primary text"
	case "B":
		return "grade B: established press, or a summary of a filing"
	case "C":
		return "grade C: a trade page or an aggregator"
	case "D":
		return "grade D: no page is kept"
	}
	return "grade " + g
}

// hostOf is the site of an address, and "" of what is none.
func hostOf(source string) string {
	u, err := url.Parse(source)
	if err != nil || u.Scheme != "https" {
		return ""
	}
	return strings.TrimPrefix(u.Host, "www.")
}

// soft lets a path, or a list without spaces, break after its separators;
// figures stay whole.
func soft(text string) template.HTML {
	var b strings.Builder
	for {
		n := strings.IndexAny(text, "/,") + 1
		if n == 0 || n == len(text) {
			b.WriteString(template.HTMLEscapeString(text))
			return template.HTML(b.String())
		}
		b.WriteString(template.HTMLEscapeString(text[:n]))
		if text = text[n:]; text[0] >= 'a' && text[0] <= 'z' {
			b.WriteString("<wbr>")
		}
	}
}

// figures puts commas between the thousands of the whole numbers in a
// sentence, and leaves ids, dates and cents of nothing out of it.
func figures(says string) string {
	return longNumber.ReplaceAllStringFunc(says, func(n string) string {
		whole, rest, cents := strings.Cut(n, ".")
		if cents && strings.Trim(rest, "0") != "" {
			return separated(whole) + "." + rest
		}
		return separated(whole)
	})
}

// longNumber is a number of five digits or more that stands by itself.
var longNumber = regexp.MustCompile(`\b[0-9]{5,}(?:\.[0-9]+)?\b`)
