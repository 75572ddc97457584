package gateway

import (
	"net/http"
	"strconv"
	"strings"
	"time"
)

// MaxRetryAfter bounds what a provider may make us wait.
const MaxRetryAfter = time.Hour

// retryAfter reads how long a provider asks to be left alone: milliseconds,
// seconds with or without a fraction, or a date in one of HTTP's three forms.
// Of several the longest counts. What cannot be read, is negative or lies in
// the past asks for nothing, and 0 is returned.
func retryAfter(h http.Header, now time.Time) (d time.Duration) {
	for _, v := range h["Retry-After-Ms"] {
		d = max(d, decimal(v, time.Millisecond))
	}
	if d > 0 {
		return d
	}
	for _, v := range h["Retry-After"] {
		d = max(d, decimal(v, time.Second))
		if at, err := http.ParseTime(strings.TrimSpace(v)); err == nil {
			d = max(d, min(at.Sub(now), MaxRetryAfter))
		}
	}
	return d
}

// decimal reads digits with at most one point as so many units, at most
// MaxRetryAfter; anything else is 0. strconv alone would also take "Inf",
// hexadecimal and exponents, none of which is a time to wait.
func decimal(v string, unit time.Duration) time.Duration {
	v = strings.TrimSpace(v)
	if strings.Trim(v, "0123456789.") != "" {
		return 0
	}
	n, _ := strconv.ParseFloat(v, 64) // beyond all numbers it is infinite, else 0
	return time.Duration(min(n*float64(unit), float64(MaxRetryAfter)))
}
