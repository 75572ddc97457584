package invoice

import (
	"encoding/json"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/accordo-ai/accordo/internal/money"
)

// fractions is how many of decimal's rest make a micro-unit.
const fractions = 1_000_000_000_000

// decimal reads a number exactly, as micro-units rounded down and what is left
// in 10^-18.
func decimal(text string) (micro money.Amount, rest int64, err error) {
	if strings.ContainsAny(text, "eE") {
		return 0, 0, fmt.Errorf("%q has an exponent, which tools write when they read money as binary fractions: export plain decimals, such as 0.0000012", text)
	}
	whole, frac, _ := strings.Cut(text, ".")
	if len(frac) > 18 {
		if strings.Trim(frac[18:], "0") != "" {
			return 0, 0, fmt.Errorf("%q has more than 18 decimals: round it", text)
		}
		frac = frac[:18]
	}
	head, tail := frac, ""
	if len(frac) > 6 {
		head, tail = frac[:6], frac[6:]
	}
	if head != "" {
		whole += "." + head
	}
	micro, err = money.Parse(strings.TrimPrefix(whole, "+"))
	if err != nil {
		return 0, 0, fmt.Errorf("%q is no decimal number: write it like 12.345678, without signs of currency or thousands", text)
	}
	if tail != "" {
		n, err := strconv.ParseUint(tail+strings.Repeat("0", 12-len(tail)), 10, 64)
		if err != nil {
			return 0, 0, fmt.Errorf("%q is no decimal number", text)
		}
		if rest = int64(n); rest > 0 && strings.HasPrefix(text, "-") {
			micro, rest = micro-1, fractions-rest
		}
	}
	return micro, rest, nil
}

// instantOf reads a time of FOCUS, and what exports write in its place.
func instantOf(text string) (time.Time, error) {
	for _, layout := range [...]string{time.RFC3339Nano, "2006-01-02T15:04:05", "2006-01-02 15:04:05", "2006-01-02 15:04:05Z07:00", "2006-01-02T15:04Z07:00", time.DateOnly} {
		if at, err := time.Parse(layout, text); err == nil {
			return at.UTC(), nil
		}
	}
	return time.Time{}, fmt.Errorf("%q is no instant: write it like 2026-06-30T05:00:00Z", text)
}

// objectOf reads the texts of a flat JSON object. A cell that is none says
// nothing: tags are the customer's.
func objectOf(text string) map[string]string {
	if !strings.HasPrefix(text, "{") {
		return nil
	}
	var values map[string]any
	if json.Unmarshal([]byte(text), &values) != nil {
		return nil
	}
	texts := make(map[string]string, len(values))
	for k, v := range values {
		if s, ok := v.(string); ok {
			texts[k] = s
		}
	}
	return texts
}

func pick(m map[string]string, names ...string) string {
	for _, n := range names {
		if m[n] != "" {
			return m[n]
		}
	}
	return ""
}
