package focus

import (
	"cmp"
	"fmt"
	"slices"
)

// definition is what FOCUS says of a column, as far as our own rules check it.
type definition struct {
	name     string
	kind     Type
	format   string // check function of the format; empty: that of the type
	required bool   // never null
	allowed  []string
}

// Formats besides those of the types.
const (
	asUnit     = "FormatUnit"
	asCurrency = "CheckNationalCurrency"
	asFlat     = "FormatKeyValue"
	asNested   = "x_FormatObject" // a JSON object whose values may be nested
)

func text(name string) definition   { return definition{name: name, kind: String} }
func needed(name string) definition { return definition{name: name, kind: String, required: true} }
func number(name string) definition { return definition{name: name, kind: Number} }
func neededNumber(name string) definition {
	return definition{name: name, kind: Number, required: true}
}
func instant(name string) definition { return definition{name: name, kind: DateTime} }
func neededInstant(name string) definition {
	return definition{name: name, kind: DateTime, required: true}
}
func unit(name string) definition { return definition{name: name, kind: String, format: asUnit} }
func currency(name string) definition {
	return definition{name: name, kind: String, format: asCurrency, required: true}
}
func flat(name string) definition   { return definition{name: name, kind: JSON, format: asFlat} }
func nested(name string) definition { return definition{name: name, kind: JSON, format: asNested} }
func oneOf(name string, required bool, allowed ...string) definition {
	return definition{name: name, kind: String, required: required, allowed: allowed}
}

// costAndUsage lists the columns that versions 1.2 and 1.4 have in common.
func costAndUsage() []definition {
	return []definition{
		text("AvailabilityZone"), neededNumber("BilledCost"), needed("BillingAccountId"), text("BillingAccountName"), text("BillingAccountType"),
		currency("BillingCurrency"), neededInstant("BillingPeriodEnd"), neededInstant("BillingPeriodStart"), text("CapacityReservationId"),
		oneOf("CapacityReservationStatus", false, "Used", "Unused"),
		oneOf("ChargeCategory", true, "Usage", "Purchase", "Tax", "Credit", "Adjustment"), oneOf("ChargeClass", false, "Correction"),
		text("ChargeDescription"), oneOf("ChargeFrequency", true, "One-Time", "Recurring", "Usage-Based"),
		neededInstant("ChargePeriodEnd"), neededInstant("ChargePeriodStart"),
		oneOf("CommitmentDiscountCategory", false, "Spend", "Usage"), text("CommitmentDiscountId"), text("CommitmentDiscountName"),
		number("CommitmentDiscountQuantity"), oneOf("CommitmentDiscountStatus", false, "Used", "Unused"), text("CommitmentDiscountType"),
		unit("CommitmentDiscountUnit"), number("ConsumedQuantity"), unit("ConsumedUnit"), neededNumber("ContractedCost"), number("ContractedUnitPrice"),
		neededNumber("EffectiveCost"), text("InvoiceId"), needed("InvoiceIssuerName"), neededNumber("ListCost"), number("ListUnitPrice"),
		oneOf("PricingCategory", false, "Standard", "Committed", "Dynamic", "Other"), currency("PricingCurrency"),
		number("PricingCurrencyContractedUnitPrice"), neededNumber("PricingCurrencyEffectiveCost"), number("PricingCurrencyListUnitPrice"),
		number("PricingQuantity"), unit("PricingUnit"), text("RegionId"), text("RegionName"), text("ResourceId"), text("ResourceName"), text("ResourceType"),
		needed("ServiceCategory"), needed("ServiceName"), needed("ServiceSubcategory"),
		text("SkuId"), text("SkuMeter"), flat("SkuPriceDetails"), text("SkuPriceId"), text("SubAccountId"), text("SubAccountName"), text("SubAccountType"),
		flat("Tags"),
	}
}

func before14() []definition { return []definition{needed("ProviderName"), needed("PublisherName")} }

// since13 are the columns of Cost and Usage that 1.3 and 1.4 added.
func since13() []definition {
	return []definition{
		nested("AllocatedMethodDetails"), text("AllocatedMethodId"), text("AllocatedResourceId"), text("AllocatedResourceName"), flat("AllocatedTags"),
		nested("CommitmentProgramEligibilityDetails"), nested("ContractApplied"), needed("HostProviderName"), text("InvoiceDetailId"), needed("ServiceProviderName"),
	}
}

// customCharges are our own columns of Cost and Usage.
func customCharges() []definition {
	return []definition{
		number("x_BookedCost"), text("x_BookedCurrency"), text("x_Channel"), text("x_Contract"), text("x_Model"), text("x_ModelVersion"), text("x_Note"), text("x_Pool"), number("x_Requests"), text("x_StandIn"),
	}
}

func contractCommitment() []definition {
	return []definition{
		currency("BillingCurrency"), nested("ContractCommitmentApplicability"),
		oneOf("ContractCommitmentBenefitCategory", true, "Discount", "Entitlement", "Availability", "Other"),
		oneOf("ContractCommitmentCategory", true, "Spend", "Usage"), number("ContractCommitmentCost"), instant("ContractCommitmentCreated"),
		text("ContractCommitmentDescription"), number("ContractCommitmentDiscountPercentage"), text("ContractCommitmentDurationType"),
		oneOf("ContractCommitmentFulfillmentInterval", true, "Hourly", "Daily", "Weekly", "Monthly", "Quarterly", "Semi-Annual", "Annual", "Full Period", "Transactional", "Custom"),
		needed("ContractCommitmentId"), instant("ContractCommitmentLastUpdated"),
		oneOf("ContractCommitmentLifecycleStatus", true, "Proposed", "Pending", "Active", "Exhausted", "Expired", "Canceled", "Superseded"),
		oneOf("ContractCommitmentModel", true, "Continuous", "Discontinuous"), oneOf("ContractCommitmentOfferCategory", true, "Public", "Negotiated"),
		text("ContractCommitmentPaymentInterval"), oneOf("ContractCommitmentPaymentModel", false, "No Upfront", "Partial Upfront", "All Upfront"),
		number("ContractCommitmentPaymentUpfrontPercentage"), instant("ContractCommitmentPeriodEnd"), neededInstant("ContractCommitmentPeriodStart"),
		number("ContractCommitmentQuantity"), needed("ContractCommitmentType"), unit("ContractCommitmentUnit"),
		needed("ContractId"), instant("ContractPeriodEnd"), neededInstant("ContractPeriodStart"), needed("InvoiceIssuerName"),
		currency("PricingCurrency"), number("PricingCurrencyContractCommitmentCost"), needed("ServiceProviderName"),
	}
}

// customCommitments are our own columns of Contract Commitment: what the books
// say of it, and where its figure comes from.
func customCommitments() []definition {
	return []definition{text("x_Assumption"), text("x_Claims"), number("x_CostOpen"), number("x_CostUsed"), number("x_QuantityUsed")}
}

func billingPeriod() []definition {
	return []definition{
		neededInstant("BillingPeriodCreated"), neededInstant("BillingPeriodEnd"), neededInstant("BillingPeriodLastUpdated"), neededInstant("BillingPeriodStart"),
		oneOf("BillingPeriodStatus", true, "Open", "Closed"), needed("InvoiceIssuerName"),
	}
}

func invoiceDetail() []definition {
	return []definition{
		neededNumber("BilledCost"), needed("BillingAccountId"), currency("BillingCurrency"), neededInstant("BillingPeriodEnd"), neededInstant("BillingPeriodStart"),
		oneOf("ChargeCategory", true, "Usage", "Purchase", "Tax", "Credit", "Adjustment"), neededInstant("InvoiceDetailCreated"), text("InvoiceDetailDescription"),
		nested("InvoiceDetailGrain"), needed("InvoiceDetailId"), neededInstant("InvoiceDetailLastUpdated"), needed("InvoiceId"), instant("InvoiceIssueDate"),
		needed("InvoiceIssuerName"), oneOf("InvoiceIssueStatus", true, "Open", "Issued", "Voided"), text("PaymentCurrency"),
		number("PaymentCurrencyBilledCost"), text("PaymentCurrencyInvoiceDetailId"), instant("PaymentDueDate"), text("PaymentTerms"),
		text("PurchaseOrderNumber"), text("ReferenceInvoiceId"),
	}
}

// definitions lists FOCUS's columns and ours, each by name.
func definitions(d Dataset, v Version) (standard, custom []definition, err error) {
	switch {
	case d == CostAndUsage && v == V12:
		standard, custom = slices.Concat(costAndUsage(), before14()), customCharges()
	case d == CostAndUsage && v == V14:
		standard, custom = slices.Concat(costAndUsage(), since13()), customCharges()
	case d == ContractCommitment && v == V14:
		standard, custom = contractCommitment(), customCommitments()
	case d == BillingPeriod && v == V14:
		standard = billingPeriod()
	case d == InvoiceDetail && v == V14:
		standard = invoiceDetail()
	case v != V12 && v != V14:
		return nil, nil, fmt.Errorf("FOCUS version %q cannot be written: choose %s or %s", v, V14, V12)
	case v == V12:
		return nil, nil, fmt.Errorf("FOCUS %s has no dataset %s: choose version %s", v, d, V14)
	default:
		return nil, nil, fmt.Errorf("there is no dataset %q: choose %s, %s, %s or %s", d, CostAndUsage, ContractCommitment, BillingPeriod, InvoiceDetail)
	}
	byName := func(x, y definition) int { return cmp.Compare(x.name, y.name) }
	slices.SortFunc(standard, byName)
	slices.SortFunc(custom, byName)
	return standard, custom, nil
}

// Columns returns the columns of a dataset in the order in which they are
// written: FOCUS's by name, then ours, whose names begin with "x_".
func Columns(d Dataset, v Version) ([]Column, error) {
	standard, custom, err := definitions(d, v)
	if err != nil {
		return nil, err
	}
	list := make([]Column, 0, len(standard)+len(custom))
	for _, def := range slices.Concat(standard, custom) {
		list = append(list, Column{def.name, def.kind})
	}
	return list, nil
}
