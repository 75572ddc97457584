package gateway

import (
	"crypto/sha256"
	"math"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/accordo-ai/accordo/internal/alliance"
	"github.com/accordo-ai/accordo/internal/dialect/openai"
	"github.com/accordo-ai/accordo/internal/money"
	"github.com/accordo-ai/accordo/internal/quota"
	"github.com/accordo-ai/accordo/internal/rating"
	"github.com/accordo-ai/accordo/internal/usage"
	"github.com/accordo-ai/accordo/internal/variant"
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
		return openai.MissingKey()
	}
	c.st, c.secret = c.g.state.Load(), sha256.Sum256([]byte(secret))
	c.key = c.st.keys[c.secret]
	if c.key == nil {
		return openai.WrongKey()
	}
	return c.assertions()
}

// adopt takes a request over to newer terms: who asks, for what and at which
// price is looked up anew, so that no attempt names what is not in the terms
// that it cites. What admission held stays held.
func (c *call) adopt(st *compiled) *openai.Error {
	key := st.keys[c.secret]
	if key == nil {
		return openai.WrongKey()
	}
	c.st, c.key = st, key
	if e := c.assertions(); e != nil {
		return e
	}
	if e := c.resolve(); e != nil {
		return e
	}
	c.system = ""
	if c.flow != nil {
		c.system = st.systems[c.flow]
	}
	return nil
}

// assertions reads what the key says about its customer.
func (c *call) assertions() *openai.Error {
	k := c.key
	c.territory, c.surface = k.Territory, k.Surface
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
			c.endUser = v
		case headerSurface:
			c.surface = v
		case headerTerritory:
			if t := alliance.Territory(v); t != k.Territory && !slices.Contains(k.Territories, t) {
				return openai.Forbidden("territory_not_allowed", "This key may not speak for customers in %s. Its territories are %s.", v, territories(k))
			}
			c.territory = alliance.Territory(v)
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

// resolve finds what was asked for and checks plan, surface and rollout.
func (c *call) resolve() *openai.Error {
	asked := c.req.Model
	id, version := splitVersion(asked)
	m, v, flow, ok := c.st.a.Resolve(alliance.ModelID(id), c.started)
	if !ok {
		return openai.NoModel(asked)
	}
	c.shown = shown(m, v)
	if _, have, _ := strings.Cut(c.shown, "@"); version != "" && version != have {
		return openai.NoModel(asked)
	}
	c.model, c.variant, c.flow = m, v, flow
	plan := c.key.plan
	if v == nil && !c.st.inPlan(plan, alliance.ModelID(id), m, nil) || c.kindOf(m) != c.kind.String() {
		return openai.NoModel(asked)
	}
	if len(plan.Surfaces) > 0 && !slices.Contains(plan.Surfaces, c.surface) {
		return openai.Forbidden("surface_not_in_plan", "The plan %s is for the surfaces %s; this request comes from %q. A trusted key states it in x-accordo-surface.", plan.ID, strings.Join(plan.Surfaces, ", "), c.surface)
	}
	if v == nil {
		return nil
	}
	if ok, why := variant.Allowed(v, plan.ID, c.surface); !ok {
		return openai.Forbidden("variant_not_allowed", "Refused: %s.", why)
	}
	if r := variant.RolledOut(v, c.territory, slices.Contains(c.key.OptIn, v.ID), c.started); !r.On {
		source := ""
		if len(r.Claims) > 0 {
			source = " (" + joinIDs(r.Claims) + ")"
		}
		return openai.Forbidden("variant_not_rolled_out", "Refused: %s%s.", r.Why, source)
	}
	return nil
}

func (c *call) kindOf(m *alliance.Model) string {
	if m.Kind == "" {
		return "chat"
	}
	return m.Kind
}

func joinIDs(ids []alliance.ClaimID) string {
	parts := make([]string, len(ids))
	for i, id := range ids {
		parts[i] = string(id)
	}
	return strings.Join(parts, ", ")
}

// admit bounds the request and holds its upper bound under the plan's limits.
func (c *call) admit() *openai.Error {
	plan, req := c.key.plan, c.req
	if plan.Subject == "end_user" && c.key.Trusted && c.endUser == "" {
		return openai.Invalid("x-accordo-end-user", "missing_header", "The plan %s counts per end user. Send the header x-accordo-end-user.", plan.ID)
	}
	c.subject = subjectOf(plan, c.key.ID, c.key.Tenant, c.endUser)
	if c.flow != nil {
		c.system = c.st.systems[c.flow]
	}
	text := req.TextBytes + int64(len(c.system))
	input := text + req.Images*ImageTokens + TemplateTokens
	c.estimate.UncachedInput = text/BytesPerToken + req.Images*ImageEstimate + 1
	out, chosen := c.outputLimit()
	for range 3 {
		refusal := c.hold(input, out*req.Choices)
		if refusal == nil {
			break
		}
		smaller := c.outputLeft(refusal, input)
		if chosen || smaller < MinOutput || smaller >= out {
			return c.limited(refusal)
		}
		out = smaller
	}
	if !c.held {
		return c.limited(&quota.Refusal{Limit: quota.LimitTokensPerDay, RetryAfter: time.Minute})
	}
	if out != req.MaxOutput {
		c.maxOutput = out
	}
	c.estimate.Output = min(out*req.Choices, OutputEstimate)
	if out == 0 && c.kind == openai.Chat {
		c.estimate.Output = OutputEstimate
	}
	return nil
}

// outputLimit is the most output tokens per choice, and whether the client
// chose it. 0 is "no limit", for a plan that has none either.
func (c *call) outputLimit() (out int64, chosen bool) {
	if c.kind == openai.Embedding {
		return 0, true
	}
	plan := c.key.plan
	out, chosen = c.req.MaxOutput, c.req.MaxOutput > 0
	if !chosen {
		out = plan.DefaultOutputTokens
		l := plan.Bounds()
		if out == 0 && (l.TokensPerDay > 0 || l.TokensPerMonth > 0 || l.SpendPerDay > 0 || l.SpendPerMonth > 0) {
			out = DefaultOutput
		}
	}
	if c.flow != nil && c.flow.MaxOutputTokens > 0 && (out == 0 || out > c.flow.MaxOutputTokens) {
		out = c.flow.MaxOutputTokens
	}
	return out, chosen
}

// hold asks the quota for the upper bound; nil means that it is held.
func (c *call) hold(input, output int64) *quota.Refusal {
	now := c.g.now()
	ask := quota.Ask{
		Tokens:         input + output,
		EstimateTokens: c.estimate.UncachedInput + min(output, OutputEstimate),
		Spend:          rating.Ceil(dearest(c.key.plan.Price), usage.Vector{UncachedInput: input, Output: output}),
		Expires:        now.Add(max(c.g.limits.Total, c.st.longest)*time.Duration(c.g.limits.Attempts) + time.Minute),
	}
	c.g.quotaMu.Lock()
	defer c.g.quotaMu.Unlock()
	id, refusal := c.g.quota.Hold(now, c.subject, c.key.plan.Bounds(), ask)
	if refusal == nil {
		c.holdID, c.held = id, true
	}
	return refusal
}

// dearest are rates at which no split of the tokens costs more.
func dearest(p *alliance.SalePrice) alliance.Rates {
	if p == nil {
		return alliance.Rates{}
	}
	return alliance.Rates{Input: max(p.Input, p.CacheRead, p.CacheWrite), Output: max(p.Output, p.Reasoning)}
}

// outputLeft is the output per choice that what is left of a limit allows.
func (c *call) outputLeft(r *quota.Refusal, input int64) int64 {
	switch r.Limit {
	case quota.LimitTokensPerDay, quota.LimitTokensPerMonth:
		return (r.Left - input) / c.req.Choices
	case quota.LimitSpendPerDay, quota.LimitSpendPerMonth:
		rates := dearest(c.key.plan.Price)
		if rates.Output <= 0 {
			return 0
		}
		rest := money.Product(r.Left, rating.Divisor).Add(money.Product(-int64(rates.Input), input))
		q, _, ok := rest.FloorDiv(int64(rates.Output))
		if !ok {
			return 0
		}
		return q / c.req.Choices
	}
	return 0
}

// limited is the dialect's 429 for a limit that refused.
func (c *call) limited(r *quota.Refusal) *openai.Error {
	kind := openai.TypeQuota
	unit := "tokens"
	switch r.Limit {
	case quota.LimitRequestsPerMinute:
		kind, unit = openai.TypeRequests, "requests"
	case quota.LimitTokensPerMinute:
		kind = openai.TypeTokens
	case quota.LimitSpendPerDay, quota.LimitSpendPerMonth:
		return openai.Limited(kind, r.RetryAfter, "You exceeded your current quota (%s of the plan %s): %s %s is the limit, %s is left. Send a smaller request or a smaller max_completion_tokens, wait, or ask for a larger plan.", r.Limit, c.key.plan.ID, money.Amount(r.Max), c.st.a.Currency, money.Amount(r.Left))
	case quota.LimitSubjects, quota.LimitHolds:
		return openai.Server(503, "overloaded", max(r.RetryAfter, time.Second), "The gateway counts as many customers as it can. Try again in a moment.")
	}
	return openai.Limited(kind, r.RetryAfter, "Rate limit reached (%s of the plan %s): limit %d %s, left %d. Please try again in %s, or send a smaller request.", r.Limit, c.key.plan.ID, r.Max, unit, r.Left, wait(r.RetryAfter))
}

func wait(d time.Duration) time.Duration {
	return time.Duration(math.Ceil(d.Seconds())) * time.Second
}

// settle replaces the hold by what the customer was served, once.
func (c *call) settle() {
	if !c.held {
		return
	}
	c.held = false
	now := c.g.now()
	c.g.quotaMu.Lock()
	defer c.g.quotaMu.Unlock()
	if c.used.IsZero() {
		c.g.quota.Release(now, c.holdID)
		return
	}
	var spend money.Amount
	if p := c.key.plan.Price; p != nil {
		spend = rating.Ceil(p.Rates, c.used)
	}
	if c.g.quota.Settle(now, c.holdID, c.used.Total(), spend) {
		c.g.metrics.overshoot.Inc()
	}
}

// limitHeaders states what is left of the limits per minute.
func (c *call) limitHeaders(h http.Header) {
	l := c.key.plan.Bounds()
	if l.RequestsPerMinute == 0 && l.TokensPerMinute == 0 {
		return
	}
	now := c.g.now()
	c.g.quotaMu.Lock()
	states := c.g.quota.State(now, c.subject, l)
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
		h["X-Ratelimit-Reset-"+unit] = []string{wait(max(s.Reset.Sub(now), 0)).String()}
	}
}
