package invoice

import "strings"

// Rules is the version of the rules by which invoices are read and matched.
// Version 1 knows the charges of contracts besides fees, and names what an
// invoice leaves out of them. Version 2 counts attempts that cost less than a
// micro-unit into the groups that no line bills. An invoice stays what the
// rules of its import made of it.
const Rules = 2

// chargeWords are the words by which rows of FOCUS name a charge of a
// contract, in the order in which they are looked for.
var chargeWords = [...]struct {
	word string
	kind LineKind
}{
	{"shortfall", Shortfall},
	{"true-up", Shortfall},
	{"true up", Shortfall},
	{"revenue share", Share},
	{"option fee", OptionFee},
	{"overage", Overage},
	{"interest", Interest},
	{"marketplace", Marketplace},
	{"discount", Discount},
}

// Contractual reports whether lines of the kind charge what a contract makes
// owed besides tokens.
func (k LineKind) Contractual() bool { return k == Fee || k >= OptionFee }

// Gathers reports whether several lines of the kind are one charge of a
// contract and month, such as use beyond a commitment by model.
func (k LineKind) Gathers() bool { return k == Overage || k == Marketplace || k == Discount }

// DiffersAs is the kind of difference of a charge whose amount is not what the
// books have: "" for a line that is no contract's charge.
func (k LineKind) DiffersAs() string {
	switch k {
	case Fee, OptionFee:
		return FeeDiffers
	case Shortfall:
		return ShortfallDiffers
	case Share:
		return ShareDiffers
	case Overage:
		return OverageDiffers
	case Interest:
		return InterestDiffers
	case Discount:
		return DiscountDiffers
	case Marketplace:
		return MarketplaceDiffers
	}
	return ""
}

// kindOf reads the column kind; empty is use of tokens.
func kindOf(text string) (LineKind, bool) {
	switch text {
	case "":
		return Use, true
	case "true_up": // a provider's word for what brings use up to the floor
		return Shortfall, true
	}
	for k := range LineKind(len(lineKinds)) {
		if lineKinds[k] == text {
			return k, true
		}
	}
	return 0, false
}

// chargeOf tells which charge of a contract a row is by its words. What gives
// money back is an interest or a discount, else a credit.
func chargeOf(negative bool, words string) (LineKind, bool) {
	words = strings.ToLower(words)
	for _, w := range chargeWords {
		if strings.Contains(words, w.word) && (!negative || w.kind == Interest || w.kind == Discount) {
			return w.kind, true
		}
	}
	return 0, false
}

// ChargePlace names a charge that an invoice leaves out: its kind, and the
// contract, or the pool of a bill by the chip-second.
func ChargePlace(k LineKind, id string) string { return k.String() + "-" + id }

// ParseChargePlace reads what ChargePlace wrote.
func ParseChargePlace(place string) (k LineKind, id string, ok bool) {
	kind, id, ok := strings.Cut(place, "-")
	if k, known := kindOf(kind); ok && known && k.Contractual() && id != "" {
		return k, id, true
	}
	return 0, "", false
}
