package gateway

import (
	"crypto/sha256"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/accordo-ai/accordo/internal/alliance"
	"github.com/accordo-ai/accordo/internal/dialect/openai"
	"github.com/accordo-ai/accordo/internal/money"
	"github.com/accordo-ai/accordo/internal/quota"
	"github.com/accordo-ai/accordo/internal/request"
)

// The headers by which a trusted key speaks for its customers.
const (
	headerEndUser   = "X-Accordo-End-User"
	headerTerritory = "X-Accordo-Territory"
	headerSurface   = "X-Accordo-Surface"
)

// authenticate finds the key by its hash: the same work whether it is known
// or not.
func (c *call) authenticate() *openai.Error {
	values := c.r.Header["Authorization"]
	if len(values) == 0 {
		return openai.MissingKey()
	}
	scheme, secret, _ := strings.Cut(values[0], " ")
	if len(values) > 1 || !strings.EqualFold(scheme, "bearer") || secret == "" {
		return openai.UnreadableKey(len(values))
	}
	c.st, c.secret = c.g.state.Load(), sha256.Sum256([]byte(secret))
	if !c.st.keys.find(&c.secret, &c.who) {
		return openai.WrongKey()
	}
	c.key = &c.who
	return c.assertions()
}

// adopt takes a request over to newer terms: who asks, for what and at which
// price is looked up anew, so that no attempt names what is not in the terms
// that it cites. What admission held stays held.
func (c *call) adopt(st *compiled) *openai.Error {
	var who principal
	if !st.keys.find(&c.secret, &who) {
		return openai.WrongKey()
	}
	c.st, c.who = st, who
	if e := c.assertions(); e != nil {
		return e
	}
	return c.Resolve()
}

// assertions reads what the key says about its customer.
func (c *call) assertions() *openai.Error {
	k := c.key
	c.Terms, c.Tenant, c.Key, c.Plan = c.st.terms, k.Tenant, &k.Key.Key, k.plan
	c.Territory, c.Surface = k.Territory, k.Surface
	for _, name := range [...]string{headerEndUser, headerTerritory, headerSurface} {
		values := c.r.Header[name]
		if len(values) == 0 {
			continue
		}
		v := values[0]
		switch {
		case !k.Trusted:
			return openai.Forbidden("key_not_trusted", "This key may not send the header %s, because it is not marked as trusted. Leave the header out, or ask the operator for a trusted key.", strings.ToLower(name))
		case len(values) > 1 || !saneHeader(v):
			return openai.Invalid(strings.ToLower(name), "invalid_header", "The header %s must occur once, with 1 to 128 visible ASCII characters.", strings.ToLower(name))
		}
		switch name {
		case headerEndUser:
			c.EndUser = v
		case headerSurface:
			c.Surface = v
		case headerTerritory:
			if t := alliance.Territory(v); t != k.Territory && !slices.Contains(k.Territories, t) {
				return openai.Forbidden("territory_not_allowed", "This key may not speak for customers in %s. Its territories are %s.", v, territories(k))
			}
			c.Territory = alliance.Territory(v)
		}
	}
	return nil
}

func saneHeader(v string) bool {
	return v != "" && len(v) <= 128 && !strings.ContainsFunc(v, func(r rune) bool { return r <= ' ' || r > '~' })
}

func territories(k *principal) string {
	list := []string{string(k.Territory)}
	for _, t := range k.Territories {
		if t != k.Territory {
			list = append(list, string(t))
		}
	}
	return strings.Join(list, ", ")
}

// admit holds the request's upper bound under the plan's limits.
func (c *call) admit() *openai.Error {
	return c.Admit(c.g.now(), lockedQuota{c.g}, c.g.limits.ofRequest())
}

// settle replaces the hold by what the customer was served, once: of two
// attempts at a time, when the last one ends.
func (c *call) settle() {
	if !c.racing && c.Held() && c.Settle(c.g.now(), lockedQuota{c.g}) {
		c.g.metrics.overshoot.Inc()
	}
}

// lockedQuota is the gateway's quota, one call at a time.
type lockedQuota struct{ g *Gateway }

func (q lockedQuota) Hold(now time.Time, subject string, l alliance.Limits, a quota.Ask) (quota.HoldID, *quota.Refusal) {
	q.g.quotaMu.Lock()
	defer q.g.quotaMu.Unlock()
	return q.g.quota.Hold(now, subject, l, a)
}

func (q lockedQuota) Settle(now time.Time, id quota.HoldID, tokens int64, spend money.Amount) (overshoot bool) {
	q.g.quotaMu.Lock()
	defer q.g.quotaMu.Unlock()
	return q.g.quota.Settle(now, id, tokens, spend)
}

// limitHeaders states what is left of the limits per minute.
func (c *call) limitHeaders(h http.Header) {
	l := c.key.plan.Bounds()
	if l.RequestsPerMinute == 0 && l.TokensPerMinute == 0 {
		return
	}
	now := c.g.now()
	c.g.quotaMu.Lock()
	states := c.g.quota.State(now, c.Subject, l)
	c.g.quotaMu.Unlock()
	for _, s := range states {
		unit := ""
		switch s.Limit {
		case quota.LimitRequestsPerMinute:
			unit = "Requests"
		case quota.LimitTokensPerMinute:
			unit = "Tokens"
		default:
			continue
		}
		h["X-Ratelimit-Limit-"+unit] = []string{itoa(s.Max)}
		h["X-Ratelimit-Remaining-"+unit] = []string{itoa(max(s.Left, 0))}
		h["X-Ratelimit-Reset-"+unit] = []string{request.Wait(max(s.Reset.Sub(now), 0)).String()}
	}
}
