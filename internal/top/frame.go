package top

import (
	"cmp"
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/accordo-ai/accordo/internal/money"
)

// The styles of a cell. Only a terminal shows them.
const (
	plain  = ""
	bold   = "\x1b[1m"
	faint  = "\x1b[2m"
	red    = "\x1b[31m"
	green  = "\x1b[32m"
	yellow = "\x1b[33m"
	reset  = "\x1b[0m"
)

// piece is text in one style.
type piece struct {
	text  string
	style string
}

// line is one row of a frame.
type line []piece

// say is a line in one style.
func say(style, format string, args ...any) line {
	return line{{fmt.Sprintf(format, args...), style}}
}

// render cuts a line to width columns and takes out what a terminal would
// obey: names come from files and from clients.
func (l line) render(width int, color bool) string {
	var b strings.Builder
	left := width
	for _, p := range l {
		text := clip(clean(p.text), left)
		left -= utf8.RuneCountInString(text)
		if color && p.style != plain && text != "" {
			b.WriteString(p.style + text + reset)
		} else {
			b.WriteString(text)
		}
	}
	return strings.TrimRight(b.String(), " ")
}

// clean replaces what is not one visible column. Wide characters count as one;
// names in them may end a line early, never break it.
func clean(s string) string {
	return strings.Map(func(r rune) rune {
		if r == utf8.RuneError || !unicode.IsPrint(r) {
			return '?'
		}
		return r
	}, s)
}

func clip(s string, width int) string {
	if utf8.RuneCountInString(s) <= width {
		return s
	}
	if width < 1 {
		return ""
	}
	return string([]rune(s)[:width-1]) + "…"
}

// frame draws the view in width columns and height rows; height 0 has no end.
func (v *view) frame(width, height int, color bool) []string {
	head := v.head()
	sections := [][]line{v.poolTable(), v.contractTable(), v.requestTable()}
	if height > 0 {
		fit(sections, height-len(head))
	}
	all := head
	for _, s := range sections {
		all = append(all, s...)
	}
	if height > 0 && len(all) > height {
		all = all[:height]
	}
	lines := make([]string, len(all))
	for i := range all {
		lines[i] = all[i].render(width, color)
	}
	return lines
}

// fit cuts tables to rows: each keeps its share, what one does not need goes
// to the next; the last row of a cut table says how many are not shown.
func fit(tables [][]line, rows int) {
	for i := range tables {
		share := rows / (len(tables) - i)
		if n := len(tables[i]); n > share {
			keep := max(share-1, 0)
			tables[i] = append(slices.Clone(tables[i][:keep]), say(faint, "… %d more", n-keep))
			if share <= 0 {
				tables[i] = nil
			}
		}
		rows -= len(tables[i])
	}
}

// head says how the process is and how much goes through it.
func (v *view) head() []line {
	s := v.last()
	o := &s.overview
	head := []line{{
		{"accordo " + o.Version, bold},
		{"  " + o.Title, plain},
		{"  " + v.admin + "  up " + brief(s.at.Sub(o.Started)) + "  " + s.at.UTC().Format("15:04:05Z"), faint},
	}}
	if o.Notice != "" {
		head = append(head, say(faint, "%s", o.Notice))
	}
	for _, p := range o.Problems {
		head = append(head, say(red, "! %s", p))
	}
	if v.fault != "" {
		head = append(head, say(red, "! these figures are old: %s", v.fault))
	}
	head = append(head, line{}, line{
		{"requests ", faint},
		{perSecond(v.rate("accordo_requests_total", nil)), bold},
		{"   in flight ", faint},
		{count(s.total("accordo_requests_in_flight", nil)) + waiting(s), bold},
		{"   refusals ", faint},
		{perSecond(v.rate("accordo_refusals_total", nil)), plain},
		{" " + causes(v.rates("accordo_refusals_total", "code", nil)), yellow},
		{"   since the start ", faint},
		{count(float64(o.Requests)), plain},
	})
	in := v.rate("gen_ai_client_token_usage_total", labels{"gen_ai_token_type": "input"}) + v.rate("gen_ai_client_token_usage_total", labels{"gen_ai_token_type": "cache_read"}) + v.rate("gen_ai_client_token_usage_total", labels{"gen_ai_token_type": "cache_write"})
	out := v.rate("gen_ai_client_token_usage_total", labels{"gen_ai_token_type": "output"}) + v.rate("gen_ai_client_token_usage_total", labels{"gen_ai_token_type": "reasoning"})
	head = append(head,
		line{{"tokens   ", faint}, {perSecond(in) + " in  " + perSecond(out) + " out", plain}, {"   cost ", faint}, {v.cost(), plain}, {"   suspense ", faint}, {s.suspense(), plain}, {"   books behind ", faint}, {count(float64(o.Lag)) + " records", plain}},
		line{{"TTFT     ", faint}, {v.times("gen_ai_server_time_to_first_token_seconds"), plain}, {"   TPOT ", faint}, {v.times("gen_ai_server_time_per_output_token_seconds"), plain}},
	)
	return head
}

// causes are the three most frequent, in parentheses.
func causes(list []named) string {
	if len(list) == 0 {
		return ""
	}
	var parts []string
	for _, n := range list[:min(3, len(list))] {
		parts = append(parts, n.name+" "+perSecond(n.rate))
	}
	return "(" + strings.Join(parts, ", ") + ")"
}

// cost is what served attempts cost a second, by currency.
func (v *view) cost() string {
	var parts []string
	for _, n := range v.rates("accordo_attempt_cost_micro_total", "currency", nil) {
		parts = append(parts, money.Amount(n.rate).String()+" "+n.name+"/s")
	}
	if len(parts) == 0 {
		return "0/s"
	}
	return strings.Join(parts, ", ")
}

// suspense is what may be owed to providers, by asset that is a currency.
func (s *sample) suspense() string {
	sums := map[string]money.Amount{}
	for _, b := range s.balances {
		if strings.HasPrefix(b.Account, "asset/suspense/") && len(b.Asset) == 3 {
			sums[b.Asset] += b.Amount
		}
	}
	var parts []string
	for asset, sum := range sums {
		parts = append(parts, sum.String()+" "+asset)
	}
	if len(parts) == 0 {
		return "0"
	}
	slices.Sort(parts)
	return strings.Join(parts, ", ")
}

// times are the median and the 99th percentile of a histogram.
func (v *view) times(family string) string {
	q, recent, ok := v.quantiles(family, 0.5, 0.99)
	if !ok {
		return "-"
	}
	since := " (since the start)"
	if recent {
		since = ""
	}
	return "p50 " + short(q[0]) + "  p99 " + short(q[1]) + since
}

// poolTable has the busiest pools first, those that fail before them.
func (v *view) poolTable() []line {
	pools := slices.Clone(v.last().pools)
	slices.SortStableFunc(pools, func(a, b pool) int {
		if a.Healthy != b.Healthy {
			if a.Healthy {
				return 1
			}
			return -1
		}
		return cmp.Or(cmp.Compare(b.LoadPPM, a.LoadPPM), cmp.Compare(b.InFlight, a.InFlight), strings.Compare(a.ID, b.ID))
	})
	table := []line{{}, say(bold, "%-28s %-16s %9s %8s %9s %10s %8s  %s", "POOL", "LOAD", "IN FLIGHT", "ATT/S", "TTFT", "MU", "LAMBDA", "HEALTH")}
	for i := range pools {
		p := &pools[i]
		health := piece{"ok", green}
		if !p.Healthy {
			health = piece{cmp.Or(p.Reason, "takes no requests"), red}
		}
		table = append(table, line{
			{fmt.Sprintf("%-28s ", clip(clean(p.ID), 28)), plain},
			{fmt.Sprintf("%-16s ", bar(float64(p.LoadPPM)/1e6)), load(p.LoadPPM)},
			{fmt.Sprintf("%9s %8s %9s %10d %8s  ", inFlight(p), rateText(v.rate("accordo_attempts_total", labels{"pool": p.ID})), short(p.TTFT), p.Mu, percent(p.LambdaPPM)), plain},
			health,
		})
	}
	return table
}

func inFlight(p *pool) string {
	if p.MaxInFlight > 0 {
		return fmt.Sprintf("%d/%d", p.InFlight, p.MaxInFlight)
	}
	return strconv.FormatInt(p.InFlight, 10)
}

func load(ppm int64) string {
	switch {
	case ppm >= 950_000:
		return red
	case ppm >= 750_000:
		return yellow
	}
	return plain
}

// day leaves the hour out of an instant that is a midnight.
func day(at string) string { return strings.TrimSuffix(at, "T00:00:00Z") }

// contractTable shows what each contract has burnt of the interval's floor.
func (v *view) contractTable() []line {
	table := []line{{}, say(bold, "%-28s %-22s %20s %20s %-16s %8s  %s", "CONTRACT", "SHAPE", "BURNT", "OF FLOOR", "", "LAMBDA", "INTERVAL")}
	for _, k := range v.last().contracts {
		burnt, of, drawn, interval := k.BurntTotal.String(), "-", "", ""
		switch {
		case k.Floor > 0:
			burnt, of, drawn = k.Burnt.String(), k.Floor.String(), bar(float64(k.Burnt)/float64(k.Floor))
		case k.Fee > 0:
			of = k.Fee.String() + " fee"
		}
		if k.Floor > 0 || k.Fee > 0 {
			interval = day(k.IntervalFrom) + " to " + day(k.IntervalUntil)
		}
		table = append(table, say(plain, "%-28s %-22s %20s %20s %-16s %8s  %s", clip(clean(k.ID), 28), clip(clean(k.Shape), 22), burnt+" "+k.Currency, of, drawn, percent(k.LambdaPPM), interval))
	}
	return table
}

// requestTable has the newest requests first.
func (v *view) requestTable() []line {
	table := []line{{}, say(bold, "%-8s %4s %-9s %-14s %-28s %-24s %7s %7s %10s %8s %8s", "AT", "HTTP", "OUTCOME", "PLAN", "ASKED", "POOL", "IN", "OUT", "COST", "TTFT", "TOTAL")}
	for i := range v.last().requests {
		r := &v.last().requests[i]
		style := plain
		switch {
		case r.Status == "refused" || r.HTTP >= 500:
			style = red
		case r.Status == "suspense" || r.HTTP >= 400:
			style = yellow
		}
		where := cmp.Or(r.Pool, r.Reason)
		table = append(table, line{
			{r.At.UTC().Format("15:04:05") + " ", plain},
			{fmt.Sprintf("%4d %-9s ", r.HTTP, r.Status), style},
			{fmt.Sprintf("%-14s %-28s %-24s %7d %7d %10s %8s %8s", clip(clean(r.Plan), 14), clip(clean(r.Asked), 28), clip(clean(where), 24), r.Tokens.Input(), r.Tokens.AllOutput(), r.Cost.String(), short(r.TTFT), short(r.Duration)), plain},
		})
	}
	return table
}

// bar draws a share with its figure.
func bar(share float64) string {
	const cells = 10
	full := int(math.Round(min(max(share, 0), 1) * cells))
	return strings.Repeat("█", full) + strings.Repeat("·", cells-full) + fmt.Sprintf(" %3.0f%%", share*100)
}

func percent(ppm int64) string { return fmt.Sprintf("%.1f%%", float64(ppm)/1e4) }

func perSecond(r float64) string { return rateText(r) + "/s" }

func rateText(r float64) string {
	switch {
	case r == 0:
		return "0"
	case r < 10:
		return strconv.FormatFloat(r, 'f', 2, 64)
	case r < 1000:
		return strconv.FormatFloat(r, 'f', 1, 64)
	}
	return count(r)
}

// count shortens figures from a hundred thousand on.
func count(n float64) string {
	switch {
	case n < 1e5:
		return strconv.FormatFloat(n, 'f', 0, 64)
	case n < 1e8:
		return strconv.FormatFloat(n/1e3, 'f', 0, 64) + "k"
	}
	return strconv.FormatFloat(n/1e6, 'f', 0, 64) + "M"
}

// short is a latency in three figures.
func short(d time.Duration) string {
	switch {
	case d == 0:
		return "-"
	case d < 10*time.Millisecond:
		return fmt.Sprintf("%.1fms", float64(d)/1e6)
	case d < time.Second:
		return fmt.Sprintf("%dms", d.Milliseconds())
	}
	return fmt.Sprintf("%.1fs", d.Seconds())
}

// brief is an age in its two largest units.
func brief(d time.Duration) string {
	switch {
	case d >= 24*time.Hour:
		return fmt.Sprintf("%dd%dh", d/(24*time.Hour), d%(24*time.Hour)/time.Hour)
	case d >= time.Hour:
		return fmt.Sprintf("%dh%dm", d/time.Hour, d%time.Hour/time.Minute)
	}
	return d.Truncate(time.Second).String()
}

// waiting says how many of the requests in flight wait for a processor; ""
// where none does.
func waiting(s *sample) string {
	if n := s.total("accordo_requests_waiting", nil); n > 0 {
		return " (" + count(n) + " waiting)"
	}
	return ""
}
