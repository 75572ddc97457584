package focus

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/accordo-ai/accordo/internal/alliance"
	"github.com/accordo-ai/accordo/internal/contract"
	"github.com/accordo-ai/accordo/internal/ledger"
	"github.com/accordo-ai/accordo/internal/money"
)

// commitment is one interval of a contract: a floor of spend, or a fixed fee
// with the capacity that it buys.
type commitment struct {
	contract *alliance.Contract
	alliance.Term
	amount   money.Amount
	sourced  alliance.Sourced
	capacity bool
	proposed bool // by an option that nobody exercised
}

// Commitments writes one row per interval of every contract that promises
// something, as it stands at an instant. Columns whose fact the terms do not
// state (discount, payment terms, dates of entry) are null.
func (b *Books) Commitments(latest *alliance.Alliance, w Window) (Table, error) {
	columns, err := Columns(ContractCommitment, V14)
	if err != nil {
		return Table{}, err
	}
	// Use is counted over all time, whatever part of it is asked for.
	applied, err := b.appliedUntil(latest, w.AsOf)
	if err != nil {
		return Table{}, err
	}
	out := newWriter(columns)
	for i := range latest.Contracts {
		list, err := commitmentsOf(&latest.Contracts[i])
		if err != nil {
			return Table{}, err
		}
		for _, c := range list {
			out.next()
			c.amount += b.moved[c.id()]
			if err := c.write(out, latest, applied[c.id()], w.AsOf); err != nil {
				return Table{}, err
			}
		}
	}
	return out.table, nil
}

func commitmentsOf(c *alliance.Contract) (list []commitment, err error) {
	for _, f := range c.Floors {
		list = append(list, commitment{c, ending(f.Term, c), f.Amount, f.Sourced, false, false})
	}
	if paysFees(c) { // fees besides use are no commitment of their own
		var fees []alliance.Fee
		fees, err = contract.FeesOf(c)
		for _, f := range fees {
			list = append(list, commitment{c, ending(f.Term, c), f.Amount, f.Sourced, contract.Perishes(c.Shape), false})
		}
	}
	if contract.Open(c) {
		for _, f := range c.Option.Floors {
			list = append(list, commitment{c, ending(f.Term, c), f.Amount, f.Sourced, false, true})
		}
		for _, f := range contract.Offered(c).Fees {
			if !paysFees(contract.Offered(c)) {
				break
			}
			list = append(list, commitment{c, ending(f.Term, c), f.Amount, f.Sourced, true, true})
		}
	}
	return list, err
}

func ending(t alliance.Term, c *alliance.Contract) alliance.Term {
	t.Until = cmp.Or(t.Until, c.Until)
	return t
}

// retired is what was used of one commitment.
type retired struct {
	cost  money.Amount
	micro int64
}

func (b *Books) appliedUntil(latest *alliance.Alliance, at time.Time) (map[string]retired, error) {
	list, _, err := b.usage(latest, Window{Until: at.Add(time.Nanosecond)})
	if err != nil {
		return nil, err
	}
	sums := map[string]retired{}
	for id, amount := range b.retired {
		sums[id] = retired{cost: amount}
	}
	for i := range list {
		for _, a := range list[i].applied {
			r := sums[a.commitment]
			r.cost += a.cost
			if a.unit != "" {
				r.micro += list[i].quantity
			}
			sums[a.commitment] = r
		}
	}
	return sums, nil
}

func (c *commitment) id() string {
	id := commitmentID(string(c.contract.ID), c.From.String())
	if c.proposed { // it may be on top of an interval that is in force
		id += ",option"
	}
	return id
}

func (c *commitment) write(w *writer, a *alliance.Alliance, r retired, at time.Time) error {
	k := c.contract
	name := Text(partyName(a, k.Provider))
	currency := Text(string(a.CurrencyOf(k)))
	for column, cell := range map[string]Cell{
		"BillingCurrency": currency, "PricingCurrency": currency, "InvoiceIssuerName": name, "ServiceProviderName": name,
		"ContractId": Text(string(k.ID)), "ContractPeriodStart": Instant(k.From.Time), "ContractPeriodEnd": Instant(k.Until.Time),
		"ContractCommitmentId": Text(c.id()), "ContractCommitmentPeriodStart": Instant(c.From.Time), "ContractCommitmentPeriodEnd": Instant(c.Until.Time),
		"ContractCommitmentDescription": Text(k.Title), "ContractCommitmentType": Text(string(k.Shape)),
		"ContractCommitmentCost": Value(AmountDecimal(c.amount)), "PricingCurrencyContractCommitmentCost": Value(AmountDecimal(c.amount)),
		"ContractCommitmentOfferCategory": Text("Negotiated"), "ContractCommitmentDurationType": Text(duration(c.From.Time, c.Until.Time)),
		"ContractCommitmentFulfillmentInterval": Text(fulfilment(c.Term, k.Term)), "ContractCommitmentLifecycleStatus": Text(c.lifecycle(r, at)),
		"x_CostUsed": Value(AmountDecimal(r.cost)), "x_CostOpen": Value(AmountDecimal(c.amount - r.cost)), "x_Claims": Text(c.claims()),
	} {
		w.set(column, cell)
	}
	category, benefit, model := "Spend", "Discount", "Discontinuous"
	if c.capacity {
		category, benefit, model = "Usage", "Availability", "Continuous"
		of := k
		if c.proposed {
			of = contract.Offered(k)
		}
		w.set("ContractCommitmentQuantity", Value(NewDecimal(contract.Contracted(of, c.From.Time, c.Until.Time), 0)))
		w.set("ContractCommitmentUnit", Text(capacityUnit(of)))
		w.set("x_QuantityUsed", Value(NewDecimal(r.micro, 6)))
	}
	if prepays(k) {
		benefit, model = "Entitlement", "Continuous"
		w.set("ContractCommitmentPaymentModel", Text("All Upfront"))
		w.set("ContractCommitmentPaymentUpfrontPercentage", Text("100"))
	}
	if contract.Covers(k.Shape) {
		model = "Continuous"
		w.set("ContractCommitmentFulfillmentInterval", Text("Hourly"))
	}
	w.set("ContractCommitmentCategory", Text(category))
	w.set("ContractCommitmentBenefitCategory", Text(benefit))
	w.set("ContractCommitmentModel", Text(model))
	if c.sourced.Assumption || len(c.sourced.Claim) == 0 && k.Assumption {
		w.set("x_Assumption", Text("assumed: no source states this figure"))
	}
	scope, err := encode(applicability(a, k))
	w.set("ContractCommitmentApplicability", scope)
	return err
}

func (c *commitment) claims() string {
	list := c.sourced.Claim
	if len(list) == 0 && !c.sourced.Assumption {
		list = c.contract.Claim
	}
	texts := make([]string, 0, len(list))
	for _, id := range list {
		texts = append(texts, string(id))
	}
	return strings.Join(texts, " ")
}

// applicability lists what may retire the commitment: pools and models.
func applicability(a *alliance.Alliance, k *alliance.Contract) any {
	var pools, models []string
	for i := range a.Pools {
		if a.Pools[i].Contract != k.ID {
			continue
		}
		pools = append(pools, string(a.Pools[i].ID))
		for _, m := range a.Pools[i].Models {
			models = append(models, string(m.Model))
		}
	}
	slices.Sort(models)
	return struct {
		Pools  []string `json:"x_Pools"`
		Models []string `json:"x_Models"`
	}{append([]string{}, pools...), append([]string{}, slices.Compact(models)...)}
}

// lifecycle says how the interval stands. A contract in the terms is in
// force, so before its begin it is pending, not proposed.
func (c *commitment) lifecycle(r retired, at time.Time) string {
	switch {
	case c.proposed && !at.Before(contract.NoticeEnds(c.contract.Option)):
		return "Expired"
	case c.proposed:
		return "Proposed"
	case at.Before(c.From.Time):
		return "Pending"
	case !c.Until.IsZero() && !at.Before(c.Until.Time):
		return "Expired"
	case !c.capacity && r.cost >= c.amount:
		return "Exhausted"
	}
	return "Active"
}

// duration names a length in the largest civil unit that divides it ("7 Years").
func duration(from, until time.Time) string {
	if until.IsZero() {
		return ""
	}
	months := (until.Year()-from.Year())*12 + int(until.Month()) - int(from.Month())
	if from.AddDate(0, months, 0).Equal(until) && months > 0 {
		if months%12 == 0 {
			return plural(months/12, "Year")
		}
		return plural(months, "Month")
	}
	return plural(int(until.Sub(from)/(24*time.Hour)), "Day")
}

func plural(n int, what string) string {
	if n == 1 {
		return "1 " + what
	}
	return fmt.Sprintf("%d %ss", n, what)
}

// fulfilment names the interval in which use is compared with the promise.
func fulfilment(interval, whole alliance.Term) string {
	if interval.From.Equal(whole.From.Time) && interval.Until.Equal(whole.Until.Time) {
		return "Full Period"
	}
	switch duration(interval.From.Time, interval.Until.Time) {
	case "1 Day":
		return "Daily"
	case "7 Days":
		return "Weekly"
	case "1 Month":
		return "Monthly"
	case "3 Months":
		return "Quarterly"
	case "6 Months":
		return "Semi-Annual"
	case "1 Year":
		return "Annual"
	}
	return "Custom"
}

// Periods writes one row per provider and month that the books hold costs of.
// closed is the last month that the books have closed, as YYYYMM, or 0.
func (b *Books) Periods(latest *alliance.Alliance, w Window, closed int32) (Table, error) {
	columns, err := Columns(BillingPeriod, V14)
	if err != nil {
		return Table{}, err
	}
	w = b.window(w)
	type key struct {
		month  int32
		issuer string
	}
	spans := map[key]periodSpan{}
	for k, span := range b.periods {
		issuer := "unknown"
		if c := latest.Contract(alliance.ContractID(k.contract)); c != nil {
			issuer = partyName(latest, c.Provider)
		}
		s, ok := spans[key{k.month, issuer}]
		if !ok {
			s = *span
		}
		spans[key{k.month, issuer}] = periodSpan{min(s.created, span.created), max(s.updated, span.updated)}
	}
	keys := make([]key, 0, len(spans))
	for k := range spans {
		keys = append(keys, k)
	}
	slices.SortFunc(keys, func(x, y key) int {
		return cmp.Or(cmp.Compare(x.month, y.month), cmp.Compare(x.issuer, y.issuer))
	})
	out := newWriter(columns)
	for _, k := range keys {
		from := time.Date(int(k.month/100), time.Month(k.month%100), 1, 0, 0, 0, 0, time.UTC)
		if from.Before(month(w.From)) || !from.Before(w.Until) {
			continue
		}
		out.next()
		out.set("BillingPeriodStart", Instant(from))
		out.set("BillingPeriodEnd", Instant(from.AddDate(0, 1, 0)))
		status := "Open"
		if k.month <= closed {
			status = "Closed"
		}
		out.set("BillingPeriodStatus", Text(status))
		out.set("InvoiceIssuerName", Text(k.issuer))
		out.set("BillingPeriodCreated", Instant(time.Unix(0, spans[k].created)))
		out.set("BillingPeriodLastUpdated", Instant(time.Unix(0, spans[k].updated)))
	}
	return out.table, nil
}

// Invoices writes what became payable by providers' invoices: one row per
// entry, so that the rows of an invoice add up to what it made payable. What
// was taken back stands in a row of its own.
func (b *Books) Invoices(latest *alliance.Alliance, w Window) (Table, error) {
	columns, err := Columns(InvoiceDetail, V14)
	if err != nil {
		return Table{}, err
	}
	w = b.window(w)
	out := newWriter(columns)
	for _, v := range b.invoiced {
		from := monthStart(v.entry.Period)
		if from.Before(month(w.From)) || !from.Before(w.Until) {
			continue
		}
		out.next()
		if err := v.write(out, latest, from); err != nil {
			return Table{}, err
		}
	}
	return out.table, nil
}

func (v *invoiced) write(w *writer, a *alliance.Alliance, from time.Time) error {
	e := &v.entry
	id, place, _ := strings.Cut(e.Ref, ".")
	party, _, _ := strings.Cut(e.Credit.Ref(), ",")
	provider := alliance.PartyID(party)
	category, description := usageCharge, "Cost that the invoice agrees with"
	grain := map[string]string{}
	if e.Kind == ledger.Difference {
		category, description = adjustment, "Difference between invoice and books: "+ledger.DifferenceKind(e)
		grain["x_Place"], grain["x_Difference"] = place, ledger.DifferenceKind(e)
	} else if price, place, ok := strings.Cut(e.Price, ","); ok {
		what := "x_Pool"
		if place == string(e.Asset) {
			what = "x_Currency" // accrued by the position in it, not by pool
		}
		if strings.Contains(place, ",") { // of what goes beyond a commitment
			what = "x_Commitment"
		}
		grain["x_Price"], grain[what] = price, place
	}
	if e.Contract != "" {
		grain["x_Contract"] = e.Contract
	}
	cell, err := encode(grain)
	if err != nil {
		return err
	}
	amount, currency := Value(AmountDecimal(e.Amount)), Text(string(e.Asset))
	for column, cell := range map[string]Cell{
		"BilledCost": amount, "PaymentCurrencyBilledCost": amount, "BillingCurrency": currency, "PaymentCurrency": currency,
		"BillingAccountId": Text(string(a.Operator) + "@" + string(provider)), "InvoiceIssuerName": Text(partyName(a, provider)),
		"BillingPeriodStart": Instant(from), "BillingPeriodEnd": Instant(from.AddDate(0, 1, 0)), "ChargeCategory": Text(category),
		"InvoiceId": Text(id), "InvoiceDetailId": Text(fmt.Sprintf("%d-%d", v.batch, v.number)), "InvoiceIssueStatus": Text("Issued"),
		"InvoiceDetailDescription": Text(description), "InvoiceDetailGrain": cell,
		"InvoiceDetailCreated": Instant(time.Unix(0, v.at)), "InvoiceDetailLastUpdated": Instant(time.Unix(0, v.at)),
	} {
		w.set(column, cell)
	}
	return nil
}
