package file

import (
	"net/url"
	"regexp"
	"strings"

	"github.com/accordo-ai/accordo/internal/alliance"
	"github.com/accordo-ai/accordo/internal/money"
)

// rule says what the values of one field must be, beyond their Go type. For
// a list it holds for every item, and required means that there is one.
type rule struct {
	required bool
	ref      kind     // the id of an object of one of these kinds
	also     []string // words that may stand for ids
	oneOf    []string
	form     form
	negative bool   // amounts may be negative
	hidden   bool   // a wrong value may be a secret: reports do not repeat it
	show     string // the value to write, where an example of the type would mislead
}

// form is the form of a text.
type form struct {
	valid  func(text string) bool
	what   string // "an ISO 4217 currency"
	remedy string
}

// rules are the rules of all fields by "Type.key"; a field without a rule may
// be absent and hold any value of its type.
func rules() map[string]rule {
	req := rule{required: true}
	ref := func(k kind, also ...string) rule { return rule{required: true, ref: k, also: also} }
	opt := func(k kind, also ...string) rule { return rule{ref: k, also: also} }
	oneOf := func(words ...string) rule { return rule{required: true, oneOf: words} }
	territory, web, name := territoryForm(), webForm(), nameForm()
	out := map[string]rule{
		"Alliance.version": {required: true, show: "1"}, "Alliance.title": req, "Alliance.operator": ref(party),
		"Alliance.currency": {required: true, form: currencyForm()},

		"Party.id": req, "Party.name": req,
		"Party.kinds": oneOf("lab", "cloud", "neocloud", "chipmaker", "investor", "customer"),

		"Claim.id": req, "Claim.says": req, "Claim.mood": req, "Claim.known": req, "Claim.source": req,
		"Claim.status":     oneOf(alliance.Statuses[:]...),
		"Claim.bound":      {oneOf: []string{"exact", "about", "floor", "ceiling", "range"}},
		"Claim.low":        {negative: true},
		"Claim.high":       {negative: true},
		"Claim.supersedes": opt(claim), "Claim.conflicts": opt(claim), "Claim.contains": opt(claim),
		"Figure.low": {negative: true}, "Figure.high": {negative: true}, "Figure.unit": {required: true, form: currencyForm()},
		"Claim.systems": {form: systemForm()},
		"Source.kind":   oneOf("filing", "company", "press_named", "press_anonymous", "analyst", "estimate", "own_records"),
		"Source.grade":  oneOf("A", "B", "C", "D"),
		"Source.url":    {form: web},

		"Deal.id": req, "Deal.title": req, "Deal.from": ref(party), "Deal.to": ref(party),
		"Deal.kind":     oneOf("equity", "compute_commitment", "chip_supply", "revenue_share", "licence", "distribution", "loan", "backstop", "warrant"),
		"Deal.contains": opt(deal), "Deal.claim": ref(claim),
		"Leg.payer": ref(party), "Leg.payee": ref(party), "Leg.asset": req, "Leg.claim": opt(claim),

		"Contract.id": req, "Contract.title": req, "Contract.provider": ref(party), "Contract.from": req,
		"Contract.shape":        oneOf(string(alliance.PayPerUse), string(alliance.SpendFloor), string(alliance.TakeOrPay), string(alliance.ThroughputReserved), string(alliance.PrepaidCredit), string(alliance.HourlyRate), string(alliance.OptionShape)),
		"Contract.currency":     {form: currencyForm()},
		"Contract.headline_gap": {negative: true}, "Contract.claim": opt(claim),
		"Floor.from": req, "Floor.until": req, "Floor.amount": req, "Floor.claim": opt(claim),
		"Fee.from": req, "Fee.until": req, "Fee.amount": req, "Fee.claim": opt(claim),
		"Rollover.share_ppm": req, "Rollover.months": req, "Rollover.claim": opt(claim),
		"RevenueShare.rate_ppm": req, "RevenueShare.from": req, "RevenueShare.claim": opt(claim),
		"RevenueShare.base": oneOf(alliance.ShareOfSales, alliance.ShareOfWholesale, alliance.ShareOfAll),
		"RevenueShare.of":   {oneOf: []string{alliance.GrossOfCommission, alliance.NetOfCommission}},
		"RampStep.from":     req, "RampStep.claim": opt(claim),
		"HourRate.from": req, "HourRate.until": req, "HourRate.per_hour": req, "HourRate.claim": opt(claim),
		"OptionPrice.factor_ppm": req,
		"Option.from":            req, "Option.until": req, "Option.claim": opt(claim),
		"Option.becomes": {oneOf: []string{string(alliance.SpendFloor), string(alliance.PrepaidCredit), string(alliance.TakeOrPay), string(alliance.ThroughputReserved)}},
		"Loan.from":      req, "Loan.until": req, "Loan.amount": req, "Loan.rate_ppm": req, "Loan.claim": opt(claim),
		"LateDelivery.abates": oneOf(alliance.AbatesFees, alliance.AbatesNothing), "LateDelivery.claim": opt(claim),
		"Overage.at":    oneOf(alliance.OverageAtList, alliance.OverageAtContract, alliance.OverageAtPremium, alliance.OverageStops),
		"Overage.claim": opt(claim), "Overage.tiers": {form: name}, "OverageRates.model": ref(model), "OverageRates.input": req, "OverageRates.output": req,
		"Eligibility.models": opt(model), "Eligibility.except_models": opt(model), "Eligibility.pools": opt(pool), "Eligibility.except_pools": opt(pool),
		"Eligibility.base": {oneOf: []string{alliance.EligibleNet, alliance.EligibleGross}}, "Eligibility.claim": opt(claim),
		"TrueUp.tiers": req, "TrueUp.claim": opt(claim), "DiscountTier.floor": req, "DiscountTier.discount_ppm": req,
		"TrueDown.max_ppm": req, "TrueDown.claim": opt(claim),

		"Chip.id": req, "Chip.name": req, "Chip.vendor": ref(party), "Chip.claim": opt(claim),
		"ChipThroughput.workload": req, "ChipThroughput.output_tokens_per_second": req, "ChipThroughput.claim": opt(claim),

		"Pool.id": req, "Pool.provider": ref(party), "Pool.region": {required: true, form: name},
		"Pool.residency": {required: true, form: territory}, "Pool.contract": ref(contract),
		"Pool.billed_by": oneOf(string(alliance.BilledByToken), string(alliance.BilledByChipSecond), string(alliance.BilledByFixed)),
		"Pool.chip":      opt(chip), "Pool.max_in_flight": req, "Pool.models": req, "Pool.endpoint": req, "Pool.claim": opt(claim),
		"Units.unit": {required: true, form: name}, "Units.count": req, "Units.tokens_per_minute_each": req, "Units.claim": opt(claim),
		"PoolModel.model": ref(model), "PoolModel.claim": opt(claim),
		"Endpoint.url": {required: true, form: endpointForm(), hidden: true}, "Endpoint.dialect": oneOf("openai"),
		"Endpoint.secret": {form: secretForm(), hidden: true},
		"Endpoint.ca":     {form: pathForm()}, "Endpoint.client_cert": {form: pathForm()}, "Endpoint.client_key": {form: pathForm(), hidden: true},
		"StandIn.kind": oneOf("local_model", "simulated"), "StandIn.says": req,
	}
	for k, r := range demandRules(territory, name) {
		out[k] = r
	}
	return out
}

// demandRules are the rules of what is sold, to whom and by which right.
func demandRules(territory, name form) map[string]rule {
	req := rule{required: true}
	ref := func(k kind, also ...string) rule { return rule{required: true, ref: k, also: also} }
	opt := func(k kind, also ...string) rule { return rule{ref: k, also: also} }
	oneOf := func(words ...string) rule { return rule{required: true, oneOf: words} }
	return map[string]rule{
		"Model.id": req, "Model.name": req, "Model.owner": ref(party), "Model.version": {required: true, form: name},
		"Model.weights": oneOf("open", "closed"), "Model.kind": oneOf("chat", "embedding"), "Model.claim": opt(claim),
		"Family.id": req, "Family.name": req, "Family.members": req,
		"FamilyMember.model": ref(model), "FamilyMember.from": req,
		"Channel.id": req, "Channel.name": req, "Channel.party": ref(party),
		"Channel.presentation": {oneOf: []string{alliance.Principal, alliance.Agent}}, "Channel.claim": opt(claim),

		"Right.id": req, "Right.title": req, "Right.from": req, "Right.known": req, "Right.claim": ref(claim),
		"Right.object": oneOf(alliance.StatelessAPI, alliance.StatefulRuntime, alliance.ManagedAgents, alliance.FirstPartyProduct, alliance.WeightsObject, alliance.ComputePurchase),
		"Right.models": ref(servable, "*", "open-weights"), "Right.seller": opt(party), "Right.channel": opt(channel), "Right.host": opt(party),
		"Right.territories": {form: territory}, "Right.regions": {form: name}, "Right.supersedes": opt(right),
		"Right.mode":       oneOf(string(alliance.Exclusive), string(alliance.NonExclusive), string(alliance.Denied)),
		"Exception.seller": opt(party), "Exception.channel": opt(channel), "Exception.host": opt(party),
		"Exception.models": opt(servable, "*", "open-weights"), "Exception.why": req,

		"Price.id": req, "Price.pools": ref(pool), "Price.model": ref(model), "Price.from": req, "Price.list": req, "Price.claim": opt(claim), "Price.currency": {form: currencyForm()},
		"Rates.input": req, "Rates.output": req,
		"Plan.id": req, "Plan.name": req, "Plan.seller": ref(party), "Plan.subject": oneOf("key", "end_user"), "Plan.priority": {oneOf: []string{alliance.Critical, alliance.Standard, alliance.Background}},
		"Plan.models": ref(servable), "Plan.default_output_tokens": req, "Plan.residency": {form: territory}, "Plan.surfaces": {form: name}, "Plan.claim": opt(claim),
		"Hedge.after_ms": req, "Hedge.max_cost": req,
		"SubscriptionFee.id": req, "SubscriptionFee.amount": req, "SubscriptionFee.per": oneOf(alliance.PerTenant, alliance.PerKey, alliance.PerEndUser),
		"IncludedUse.per": oneOf(alliance.PerTenant, alliance.PerKey, alliance.PerEndUser),
		"SalePrice.id":    req, "SalePrice.input": req, "SalePrice.output": req,

		"Variant.id": req, "Variant.name": req, "Variant.base": ref(model | family), "Variant.for": ref(party),
		"Variant.flows": req, "Variant.default_flow": req, "Variant.plans": ref(plan), "Variant.rollout": req, "Variant.surfaces": {form: name}, "Variant.claim": opt(claim),
		"Flow.id": {required: true, form: flowForm()}, "Flow.priorities": req,
		"Rollout.territory": {required: true, form: territory}, "Rollout.state": oneOf("on", "opt_in"), "Rollout.from": req, "Rollout.claim": opt(claim),

		"Tenant.id": req, "Tenant.name": req, "Tenant.party": opt(party), "RequestLog.retention_days": {required: true, show: "30"},
		"Key.id": req, "Key.sha256": {form: digestForm(), hidden: true}, "Key.plan": ref(plan), "Key.channel": ref(channel),
		"Key.territory": {required: true, form: territory}, "Key.territories": {form: territory}, "Key.surface": {form: name}, "Key.opt_in": opt(variant),
	}
}

func matches(pattern string) func(string) bool { return regexp.MustCompile(pattern).MatchString }

func territoryForm() form {
	return form{isTerritory, "a territory", "an ISO 3166 country code such as US or GB, EU, or \"*\" for anywhere"}
}

func currencyForm() form {
	return form{func(t string) bool { return money.Currency(t).Known() }, "an ISO 4217 currency", "three capital letters such as USD or EUR"}
}

func systemForm() form {
	return form{matches(`^S(0[1-9]|[123][0-9]|40)$`), "a system of the story", "S01 to S40"}
}

func nameForm() form {
	return form{matches(`^[A-Za-z0-9][A-Za-z0-9._/:-]{0,79}$`), "a name", "1 to 80 letters, digits, - _ . : or /, beginning with a letter or digit"}
}

func flowForm() form {
	return form{matches(`^[a-z][a-z0-9_-]{0,39}$`), "the name of a flow", "1 to 40 small letters, digits, - or _, beginning with a letter"}
}

func digestForm() form {
	return form{matches(`^[0-9a-f]{64}$`), "a SHA-256", "64 small hexadecimal digits: printf %s \"$KEY\" | sha256sum"}
}

func webForm() form {
	return form{func(t string) bool {
		u, err := url.Parse(t)
		return err == nil && (u.Scheme == "http" || u.Scheme == "https") && u.Host != ""
	}, "a web address", "https://host/page"}
}

func endpointForm() form {
	return form{func(t string) bool {
		if t == standIn {
			return true
		}
		u, err := url.Parse(t)
		return err == nil && (u.Scheme == "http" || u.Scheme == "https") && u.Hostname() != "" && u.User == nil &&
			u.RawQuery == "" && !u.ForceQuery && u.Fragment == "" && u.Opaque == ""
	}, "the address of a provider", "http:// or https://, a host and the path up to the version, such as https://host/v1; no user, password, query or fragment: credentials go into secret"}
}

func pathForm() form {
	return form{matches(`^/[^\x00-\x1f]{1,1000}$`), "the path of a file", "a path that begins with /; never what the file holds"}
}

func secretForm() form {
	variable := matches(`^ACCORDO_SECRET_[A-Z0-9_]{1,80}$`)
	return form{func(t string) bool {
		return strings.HasPrefix(t, "file:/") && len(t) > len("file:/") || variable(t)
	}, "a reference to a secret", "the name of an environment variable that begins with ACCORDO_SECRET_, or file:/path; never the secret itself"}
}

// standIn is the address of a pool that only its stand-in answers.
const standIn = "stand-in:"
