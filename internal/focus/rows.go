package focus

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/accordo-ai/accordo/internal/alliance"
	"github.com/accordo-ai/accordo/internal/ledger"
	"github.com/accordo-ai/accordo/internal/money"
)

const (
	serviceCategory    = "AI and Machine Learning"
	serviceSubcategory = "Generative AI"
	tokensPerUnit      = "1000000 Tokens"
	defaultTier        = "default" // of a provider that names none
	byTokens           = "tokens_at_price"
)

// CostAndUsage writes the charges of the window. latest are the terms in
// force: they name the contracts whose fees accrue.
func (b *Books) CostAndUsage(latest *alliance.Alliance, v Version, w Window) (Table, error) {
	columns, err := Columns(CostAndUsage, v)
	if err != nil {
		return Table{}, err
	}
	list, err := b.charges(latest, w)
	if err != nil {
		return Table{}, err
	}
	out := newWriter(columns)
	for i := range list {
		c := &list[i]
		out.next()
		c.money(out)
		c.parties(out)
		c.time(out)
		c.commitment(out)
		if c.group != nil {
			c.served(out)
		} else {
			c.capacity(out)
		}
		if err := c.json(out); err != nil {
			return Table{}, err
		}
	}
	return out.table, nil
}

// money fills the four costs; list and contracted cost are the exact products
// of price and quantity.
func (c *charge) money(w *writer) {
	quantity, list, price := c.pricing()
	currency := Text(c.currency())
	w.set("BilledCost", Value(AmountDecimal(c.billed)))
	w.set("EffectiveCost", Value(AmountDecimal(c.effective)))
	w.set("PricingCurrencyEffectiveCost", Value(AmountDecimal(c.effective)))
	w.set("BillingCurrency", currency)
	w.set("PricingCurrency", currency)
	if c.group != nil {
		w.set("x_BookedCurrency", Text(string(c.terms.Currency)))
		w.set("x_BookedCost", Value(AmountDecimal(c.booking())))
	}
	if c.adjusts() {
		w.set("ListCost", Value(AmountDecimal(c.billed)))
		w.set("ContractedCost", Value(AmountDecimal(c.billed)))
		return
	}
	w.set("PricingQuantity", Value(quantity))
	w.set("ListUnitPrice", Value(list))
	w.set("PricingCurrencyListUnitPrice", Value(list))
	w.set("ContractedUnitPrice", Value(price))
	w.set("PricingCurrencyContractedUnitPrice", Value(price))
	w.set("ListCost", Value(list.Mul(quantity)))
	w.set("ContractedCost", Value(price.Mul(quantity)))
}

// adjusts reports whether the charge is an amount without a price.
func (c *charge) adjusts() bool { return c.category == adjustment || c.category == creditCharge }

// currency is that of the contract: what its provider prices and bills in.
func (c *charge) currency() string {
	if c.asset != "" {
		return string(c.asset)
	}
	return string(c.terms.CurrencyOf(c.contract))
}

// booking is the cost of a charge as the books have it as expense: in the
// alliance's currency, at the rates of the days of its requests.
func (c *charge) booking() money.Amount {
	if c.currency() == string(c.terms.Currency) {
		return c.effective
	}
	return c.group.inBooks
}

// pricing returns the quantity priced with its list and contracted price. A
// token under a fixed fee has the contracted price 0, and the list price 0
// unless the price book states one: the fee pays for it.
func (c *charge) pricing() (quantity, list, price Decimal) {
	switch g := c.group; {
	case g != nil:
		quantity = NewDecimal(g.tokens, 6)
		if g.listed {
			list = AmountDecimal(g.list)
		}
		if g.priced {
			price = AmountDecimal(g.rate)
		}
	case c.beyond != nil:
		quantity, list, price = NewDecimal(c.beyond.tokens, 6), AmountDecimal(c.beyond.list), AmountDecimal(c.beyond.rate)
	case c.category == purchaseCharge:
		quantity, list, price = NewDecimal(1, 0), AmountDecimal(c.billed), AmountDecimal(c.billed)
	default: // unused capacity was bought by its fee: nothing is priced again
		quantity = NewDecimal(c.quantity, 6)
	}
	return quantity, list, price
}

func (c *charge) providerID() alliance.PartyID {
	switch pool := c.pool(); {
	case c.contract != nil:
		return c.contract.Provider
	case pool != nil:
		return pool.Provider
	}
	return "unknown"
}

func (c *charge) pool() *alliance.Pool {
	if c.group == nil {
		return nil
	}
	return c.terms.Pool(alliance.PoolID(c.group.pool))
}

func partyName(a *alliance.Alliance, id alliance.PartyID) string {
	if p := a.Party(id); p != nil && p.Name != "" {
		return p.Name
	}
	return string(id)
}

func (c *charge) parties(w *writer) {
	provider := c.providerID()
	name := partyName(c.terms, provider)
	host := name
	if p := c.pool(); p != nil {
		host = partyName(c.terms, p.Provider)
	}
	w.set("ProviderName", Text(name))
	w.set("ServiceProviderName", Text(name))
	w.set("PublisherName", Text(host))
	w.set("HostProviderName", Text(host))
	w.set("InvoiceIssuerName", Text(name))
	w.set("BillingAccountId", Text(string(c.terms.Operator)+"@"+string(provider)))
	w.set("BillingAccountName", Text(partyName(c.terms, c.terms.Operator)+" at "+name))
	w.set("BillingAccountType", Text("Provider Account"))
	w.set("ServiceCategory", Text(serviceCategory))
	w.set("ServiceSubcategory", Text(serviceSubcategory))
	w.set("ServiceName", Text(name+" inference"))
}

func (c *charge) time(w *writer) {
	first := c.period()
	if !c.booked.IsZero() {
		w.set("ChargeClass", Text("Correction"))
	}
	w.set("BillingPeriodStart", Instant(first))
	w.set("BillingPeriodEnd", Instant(first.AddDate(0, 1, 0)))
	w.set("ChargePeriodStart", Instant(c.from))
	w.set("ChargePeriodEnd", Instant(c.until))
	w.set("ChargeCategory", Text(c.category))
	switch {
	case c.category == purchaseCharge && !c.credit:
		w.set("ChargeFrequency", Text("Recurring"))
	case c.category != usageCharge:
		w.set("ChargeFrequency", Text("One-Time"))
	default:
		w.set("ChargeFrequency", Text("Usage-Based"))
	}
}

// commitment fills what a fixed fee makes of a charge: the discount that
// covers it and the reservation it uses.
func (c *charge) commitment(w *writer) {
	category := "Standard"
	if c.status != "" {
		category = "Committed"
	}
	if !c.adjusts() {
		w.set("PricingCategory", Text(category))
	}
	if c.contract != nil {
		w.set("x_Contract", Text(string(c.contract.ID)))
	}
	if !c.fixed {
		return
	}
	id := Text(string(c.contract.ID))
	w.set("CommitmentDiscountId", id)
	w.set("CommitmentDiscountName", Text(c.contract.Title))
	unit, category := capacityUnit(c.contract), "Usage"
	if c.spends() {
		unit, category = c.currency(), "Spend"
	}
	w.set("CommitmentDiscountCategory", Text(category))
	w.set("CommitmentDiscountType", Text(string(c.contract.Shape)))
	w.set("CommitmentDiscountQuantity", Value(NewDecimal(c.quantity, 6)))
	w.set("CommitmentDiscountUnit", Text(unit))
	w.set("CommitmentDiscountStatus", Text(c.status))
	if c.spends() {
		return
	}
	w.set("CapacityReservationId", id)
	w.set("CapacityReservationStatus", Text(c.status))
}

// served fills a usage charge of requests served.
func (c *charge) served(w *writer) {
	g := c.group
	sku, price := c.sku()
	model, version := modelVersion(g.model)
	w.set("SkuId", Text(sku))
	w.set("SkuPriceId", Text(price))
	w.set("SkuMeter", Text(meterNames[g.meter]))
	w.set("PricingUnit", Text(tokensPerUnit))
	w.set("ConsumedQuantity", Value(NewDecimal(g.tokens, 0)))
	w.set("ConsumedUnit", Text("Tokens"))
	w.set("SubAccountId", Text(g.tenant))
	if g.tenant != "" {
		name := g.tenant
		if t := c.terms.Tenant(alliance.TenantID(g.tenant)); t != nil && t.Name != "" {
			name = t.Name
		}
		w.set("SubAccountName", Text(name))
		w.set("SubAccountType", Text("Tenant"))
	}
	w.set("ResourceId", Text(g.pool))
	w.set("ResourceType", Text("Pool"))
	if p := c.pool(); p != nil {
		w.set("RegionId", Text(string(p.Region)))
		w.set("RegionName", Text(string(p.Region)))
		if p.StandIn != nil {
			w.set("x_StandIn", Text(p.StandIn.Says))
		}
		if p.BilledBy == alliance.BilledByChipSecond {
			w.set("AllocatedMethodId", Text(byTokens))
			w.set("AllocatedResourceId", Text(g.pool))
			w.set("AllocatedResourceName", Text(g.pool))
		}
	}
	w.set("ChargeDescription", Text(meterNames[g.meter]+" of "+model+" on "+g.pool))
	w.set("x_Channel", Text(g.channel))
	w.set("x_Model", Text(model))
	w.set("x_ModelVersion", Text(version))
	w.set("x_Pool", Text(g.pool))
	w.set("x_Requests", Value(NewDecimal(g.requests, 0)))
	note := c.note
	if note == "" && c.fixed && !c.spends() && !g.priced {
		note = "no price per token: the fixed fee pays for it"
	}
	w.set("x_Note", Text(note))
}

func (c *charge) sku() (sku, price string) {
	g := c.group
	model, _ := modelVersion(g.model)
	tier := g.tier
	if tier == "" {
		tier = defaultTier
	}
	sku = model + "-" + tier
	price = g.price
	if price == "" {
		price = g.contract
	}
	return sku, strings.Join([]string{sku, price, meterTypes[g.meter]}, ":")
}

// capacity fills a charge that no request is behind.
func (c *charge) capacity(w *writer) {
	w.set("ChargeDescription", Text(c.description))
	w.set("x_Note", Text(c.note))
	if c.adjusts() || c.contract == nil {
		return
	}
	if c.beyond != nil {
		c.beyondCommitment(w)
		return
	}
	sku, meter := string(c.contract.ID)+"-capacity", "Reserved Capacity"
	if c.credit {
		sku, meter = string(c.contract.ID)+"-credit", "Prepaid Credit"
	}
	if c.hourly {
		sku, meter = string(c.contract.ID)+"-hour", "Hourly Commitment"
	}
	w.set("SkuId", Text(sku))
	w.set("SkuPriceId", Text(sku+":"+c.fee))
	w.set("SkuMeter", Text(meter))
	w.set("ResourceId", Text(string(c.contract.ID)))
	w.set("ResourceName", Text(c.contract.Title))
	w.set("ResourceType", Text("Commitment"))
	if c.status == used {
		w.set("ConsumedQuantity", Value(NewDecimal(c.tokens, 0)))
		w.set("ConsumedUnit", Text("Tokens"))
	}
	switch {
	case c.category == purchaseCharge:
		w.set("PricingUnit", Text("Units"))
	case c.spends():
		w.set("PricingUnit", Text(c.currency()))
	default:
		w.set("PricingUnit", Text(capacityUnit(c.contract)))
	}
}

// skuDetails is SkuPriceDetails in its order.
type skuDetails struct {
	Model   string `json:"x_Model"`
	Version string `json:"x_ModelVersion,omitempty"`
	Token   string `json:"x_TokenType"`
	Tier    string `json:"x_ServiceTier"`
	Channel string `json:"x_Channel,omitempty"`
}

// applied is one element of ContractApplied. The balance is what the
// commitment still has open after this charge.
type applied struct {
	Contract   string          `json:"ContractId"`
	Commitment string          `json:"ContractCommitmentId"`
	Cost       json.RawMessage `json:"ContractCommitmentAppliedCost"`
	Quantity   json.RawMessage `json:"ContractCommitmentAppliedQuantity"`
	Unit       *string         `json:"ContractCommitmentAppliedUnit"`
	Balance    json.RawMessage `json:"x_ContractCommitmentCostBalance,omitempty"`
}

type elements struct {
	Elements any `json:"Elements"`
}

func raw(d Decimal) json.RawMessage { return json.RawMessage(d.String()) }

// encode returns the JSON of v without the escapes that are for HTML only.
func encode(v any) (Cell, error) {
	var out strings.Builder
	enc := json.NewEncoder(&out)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(v); err != nil {
		return Null, fmt.Errorf("write a column as JSON: %w", err)
	}
	return Text(strings.TrimSuffix(out.String(), "\n")), nil
}

// json fills the columns whose values are JSON objects.
func (c *charge) json(w *writer) error {
	values := map[string]any{}
	if g := c.group; g != nil {
		model, version := modelVersion(g.model)
		tier := g.tier
		if tier == "" {
			tier = defaultTier
		}
		values["SkuPriceDetails"] = skuDetails{model, version, meterTypes[g.meter], tier, g.channel}
		values["Tags"] = struct {
			Channel string `json:"accordo/channel,omitempty"`
			Tenant  string `json:"accordo/tenant,omitempty"`
		}{g.channel, g.tenant}
		if p := c.pool(); p != nil && p.BilledBy == alliance.BilledByChipSecond {
			values["AllocatedMethodDetails"] = elements{[]map[string]string{{"x_Method": "tokens at the price book's rates; the provider counts chip-seconds of the whole pool"}}}
		}
	}
	if len(c.applied) > 0 {
		list := make([]applied, 0, len(c.applied))
		for _, a := range c.applied {
			e := applied{Contract: a.contract, Commitment: a.commitment, Cost: raw(AmountDecimal(a.cost))}
			if a.unit != "" {
				e.Quantity, e.Unit = raw(a.quantity), &a.unit
			}
			if a.balance != nil {
				e.Balance = raw(AmountDecimal(*a.balance))
			}
			list = append(list, e)
		}
		values["ContractApplied"] = elements{list}
	}
	for name, v := range values {
		if _, ok := w.at[name]; !ok {
			continue
		}
		cell, err := encode(v)
		if err != nil {
			return err
		}
		w.set(name, cell)
	}
	return nil
}

// Totals are the sums of an export, for people and tests. Billed and Effective
// are of the rows in the alliance's currency; those of others stand apart.
type Totals struct {
	Rows      int      `json:"rows"`
	Billed    string   `json:"billed_cost"`
	Effective string   `json:"effective_cost"`
	Others    []Sums   `json:"other_currencies,omitempty"`
	Suspense  Suspense `json:"suspense"`
}

// Sums are the totals of the rows in one currency.
type Sums struct {
	Currency  string `json:"currency"`
	Billed    string `json:"billed_cost"`
	Effective string `json:"effective_cost"`
}

// Totals adds up a table of Cost and Usage, by currency. own is the
// alliance's.
func (b *Books) Totals(t *Table, own money.Currency) (Totals, error) {
	type pair struct{ billed, effective Decimal }
	by := map[string]pair{string(own): {}}
	for i := range t.Rows {
		code := t.At(i, "BillingCurrency").Text
		billed, err := ParseDecimal(t.At(i, "BilledCost").Text)
		if err != nil {
			return Totals{}, fmt.Errorf("BilledCost of row %d: %w", i+1, err)
		}
		effective, err := ParseDecimal(t.At(i, "EffectiveCost").Text)
		if err != nil {
			return Totals{}, fmt.Errorf("EffectiveCost of row %d: %w", i+1, err)
		}
		by[code] = pair{by[code].billed.Add(billed), by[code].effective.Add(effective)}
	}
	out := Totals{Rows: len(t.Rows), Billed: by[string(own)].billed.String(), Effective: by[string(own)].effective.String()}
	for _, code := range slices.Sorted(maps.Keys(by)) {
		if code != string(own) {
			out.Others = append(out.Others, Sums{code, by[code].billed.String(), by[code].effective.String()})
		}
	}
	out.Suspense = Suspense{Attempts: b.suspended, Estimate: b.estimates[ledger.Asset(own)]}
	for _, asset := range slices.Sorted(maps.Keys(b.estimates)) {
		if asset != ledger.Asset(own) && b.estimates[asset] != 0 {
			out.Suspense.Others = append(out.Suspense.Others, Estimate{asset, b.estimates[asset]})
		}
	}
	return out, nil
}
