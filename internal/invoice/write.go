package invoice

import (
	"bytes"
	"cmp"
	"encoding/csv"
	"encoding/json"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/accordo-ai/accordo/internal/money"
)

// Format is a form of invoice.
type Format string

// The formats.
const (
	ByAttempt Format = "csv-by-attempt"
	Aggregate Format = "csv-aggregate"
	Focus12   Format = "focus-1.2"
	Focus14   Format = "focus-1.4"
)

func (f Format) focus() bool { return f == Focus12 || f == Focus14 }

// draft writes the rows of an invoice.
type draft struct {
	truth *Truth
	order *Order
	out   bytes.Buffer
	w     *csv.Writer
	names []string
	at    map[string]int
	cells []string
	rows  int // with the header
}

var csvNames = [...]string{"attempt_id", "kind", "model", "tier", "period", "uncached_input", "cache_read", "cache_write", "output", "reasoning", "amount", "currency", "contract", "pool", "text"}

// The columns of Cost and Usage that an invoice of tokens needs, besides those
// that only one version has.
var focusNames = [...]string{
	"BilledCost", "BillingAccountId", "BillingAccountName", "BillingCurrency", "BillingPeriodEnd", "BillingPeriodStart", "ChargeCategory", "ChargeClass",
	"ChargeDescription", "ChargeFrequency", "ChargePeriodEnd", "ChargePeriodStart", "CommitmentDiscountId", "ConsumedQuantity", "ConsumedUnit", "ContractedCost",
	"EffectiveCost", "InvoiceId", "InvoiceIssuerName", "ListCost", "PricingQuantity", "PricingUnit", "ServiceCategory", "ServiceName", "SkuId", "SkuMeter",
	"SkuPriceDetails", "SkuPriceId", "Tags", "ResourceId",
}

func newDraft(t *Truth, o *Order) *draft {
	d := &draft{truth: t, order: o, at: map[string]int{}}
	d.w = csv.NewWriter(&d.out)
	switch {
	case o.Format == Focus12:
		d.names = slices.Concat(focusNames[:], []string{"ProviderName", "PublisherName"})
	case o.Format == Focus14:
		d.names = slices.Concat(focusNames[:], []string{"HostProviderName", "ServiceProviderName"})
	default:
		d.names = csvNames[:]
	}
	for i, n := range d.names {
		d.at[n] = i
	}
	d.cells = make([]string, len(d.names))
	d.put(d.names)
	return d
}

func (d *draft) put(row []string) int {
	// A write to memory fails only where flushing does: finish sees it.
	_ = d.w.Write(row)
	d.rows++
	return d.rows
}

func (d *draft) set(name, text string) {
	if i, ok := d.at[name]; ok {
		d.cells[i] = text
	}
}

// item writes a line and returns the number of its first row.
func (d *draft) item(it *item) int {
	if !d.order.Format.focus() || it.kind != Use {
		return d.row(it, Input)
	}
	first := 0
	for m := range Meter(Meters) {
		if *count(&it.tokens, m) != 0 || it.amounts[m] != 0 {
			first = cmp.Or(first, d.row(it, m))
		}
	}
	return first
}

// row writes one row: in FOCUS that of one kind of token.
func (d *draft) row(it *item, m Meter) int {
	clear(d.cells)
	if d.order.Format.focus() {
		d.focusRow(it, m)
		return d.put(d.cells)
	}
	d.set("attempt_id", string(it.attempt))
	d.set("kind", it.kind.String())
	d.set("model", it.model)
	d.set("tier", it.tier)
	d.set("period", it.period)
	for m := range Meter(Meters) {
		d.set(meterColumns[m], strconv.FormatInt(*count(&it.tokens, m), 10))
	}
	d.set("amount", it.amount().String())
	d.set("currency", string(d.truth.Currency))
	d.set("contract", it.contract)
	d.set("pool", it.pool)
	d.set("text", it.text)
	return d.put(d.cells)
}

func (d *draft) focusRow(it *item, m Meter) {
	t := d.truth
	amount := it.amounts[m].String()
	start := time.Unix(0, t.start()).UTC()
	from, until := start, start.AddDate(0, 1, 0)
	category, frequency, description := "Usage", "Usage-Based", it.text
	switch it.kind {
	case Use:
		from, until = span(it.period)
		if it.attempt != "" {
			from = time.Unix(0, it.at).UTC().Truncate(time.Hour)
			until = from.Add(time.Hour)
		}
		description = meterNames[m] + " of " + it.model
		d.use(it, m)
	case Fee:
		category, frequency = "Purchase", "Recurring"
		d.set("CommitmentDiscountId", it.contract)
		d.set("ResourceId", cmp.Or(it.contract, it.pool))
	case OptionFee, Shortfall, Share, Overage, Interest, Discount, Marketplace:
		category, frequency = "Adjustment", "One-Time"
		d.set("CommitmentDiscountId", it.contract)
		d.set("ResourceId", it.contract)
	case Credit:
		category, frequency = "Credit", "One-Time"
		from, until = start.AddDate(0, -1, 0), start
	case Levy:
		category, frequency = "Tax", "One-Time"
	case Other:
		category, frequency = "Purchase", "One-Time"
	}
	name := cmp.Or(t.Name, t.Provider)
	for column, text := range map[string]string{
		"BilledCost": amount, "EffectiveCost": amount, "ListCost": amount, "ContractedCost": amount,
		"BillingAccountId": t.Customer, "BillingAccountName": t.Customer, "BillingCurrency": string(t.Currency),
		"BillingPeriodStart": start.Format(time.RFC3339), "BillingPeriodEnd": start.AddDate(0, 1, 0).Format(time.RFC3339),
		"ChargePeriodStart": from.Format(time.RFC3339), "ChargePeriodEnd": until.Format(time.RFC3339),
		"ChargeCategory": category, "ChargeFrequency": frequency, "ChargeDescription": description,
		"InvoiceId": fmt.Sprintf("%s-%d", t.Provider, t.Month), "InvoiceIssuerName": name,
		"ProviderName": name, "PublisherName": name, "HostProviderName": name, "ServiceProviderName": name,
		"ServiceCategory": "AI and Machine Learning", "ServiceName": name + " inference",
	} {
		d.set(column, text)
	}
}

// use fills what a row of tokens says of them.
func (d *draft) use(it *item, m Meter) {
	tokens := *count(&it.tokens, m)
	sku := it.model + "-" + TierName(it.tier)
	d.set("ConsumedQuantity", strconv.FormatInt(tokens, 10))
	d.set("ConsumedUnit", "Tokens")
	d.set("PricingQuantity", money.Amount(tokens).String())
	d.set("PricingUnit", "1000000 Tokens")
	d.set("SkuId", sku)
	d.set("SkuPriceId", sku+":"+meterTypes[m])
	d.set("SkuMeter", meterNames[m])
	model, version, _ := strings.Cut(it.model, "@")
	d.set("SkuPriceDetails", object("x_Model", model, "x_ModelVersion", version, "x_TokenType", meterTypes[m], "x_ServiceTier", it.tier))
	d.set("Tags", object(attemptTag, string(it.attempt)))
}

// object writes a JSON object of texts, without the empty ones; nothing when
// all are.
func object(pairs ...string) string {
	values := map[string]string{}
	for i := 0; i < len(pairs); i += 2 {
		if pairs[i+1] != "" {
			values[pairs[i]] = pairs[i+1]
		}
	}
	if len(values) == 0 {
		return ""
	}
	// A map of texts always encodes, in the order of its keys.
	text, _ := json.Marshal(values)
	return string(text)
}

// span is the time of a period.
func span(period string) (from, until time.Time) {
	switch GrainOf(period) {
	case Hourly:
		from, _ = time.Parse(hourLayout, period)
		return from, from.Add(time.Hour)
	case Monthly:
		from, _ = time.Parse(monthLayout, period)
		return from, from.AddDate(0, 1, 0)
	}
	from, _ = time.Parse(time.DateOnly, period)
	return from, from.AddDate(0, 0, 1)
}

func (d *draft) finish() ([]byte, error) {
	d.w.Flush()
	return d.out.Bytes(), d.w.Error()
}
