package file

import (
	"fmt"

	"github.com/accordo-ai/accordo/internal/alliance"
)

// maxWindow is the longest window of a reservation in seconds: capacity is
// counted by the minute.
const maxWindow = 60

// reservation checks what a pool says of reserved throughput.
func (c *checker) reservation(p *alliance.Pool, k *alliance.Contract) {
	if k != nil && k.Shape != "" && k.Shape != alliance.ThroughputReserved {
		for field, set := range map[string]bool{
			"bought_as": p.BoughtAs != nil, "window_seconds": p.WindowSeconds != 0, "output_tokens_per_minute": p.OutputTokensPerMinute != 0,
		} {
			if set {
				c.log.add(c.at(p, field), fmt.Sprintf("pool %s reserves no throughput: its contract %s is a %s", p.ID, k.ID, k.Shape), "take "+field+" out, or a contract of shape throughput_reservation")
			}
		}
		return
	}
	if p.WindowSeconds > maxWindow {
		c.log.add(c.at(p, "window_seconds"), fmt.Sprintf("pool %s averages over %d seconds, and capacity is counted by the minute", p.ID, p.WindowSeconds), "window_seconds: 1 to 60, or leave it out for a minute")
	}
	b := p.BoughtAs
	if b == nil || c.wrong(b, "count", "tokens_per_minute_each") {
		return
	}
	const limit = 1 << 40
	if b.Count < 1 || b.TokensPerMinute < 1 || b.Count > limit/b.TokensPerMinute {
		c.log.add(c.at(b, "count"), fmt.Sprintf("pool %s: %d units of %d tokens a minute are no throughput", p.ID, b.Count, b.TokensPerMinute), "count: and tokens_per_minute_each:, 1 or more")
		return
	}
	if total := b.Count * b.TokensPerMinute; p.TokensPerMinute != 0 && p.TokensPerMinute != total {
		c.log.add(c.at(p, "tokens_per_minute"), fmt.Sprintf("pool %s: %d %s of %d tokens a minute are %d, not %d", p.ID, b.Count, b.Unit, b.TokensPerMinute, total, p.TokensPerMinute), fmt.Sprintf("tokens_per_minute: %d", total))
	}
	step := max(b.Increment, 1)
	if b.Count < b.Minimum || (b.Count-b.Minimum)%step != 0 {
		c.log.add(c.at(b, "count"), fmt.Sprintf("pool %s: %d %s cannot be bought: at least %d, and from there on by %d", p.ID, b.Count, b.Unit, b.Minimum, step), "count: one that is sold, or other values of minimum and increment")
	}
}
