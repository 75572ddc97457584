package invoice

// The kinds of difference between an invoice and the books.
const (
	WrongTier      = "wrong_tier"
	MissingUsage   = "missing_usage"
	DoubleLine     = "double_line"
	LateCredit     = "late_credit"
	Rounding       = "rounding"
	UnknownAttempt = "unknown_attempt"
	MissingLine    = "missing_line"
	UsageDiffers   = "usage_differs"
	PriceDiffers   = "price_differs"
	FeeDiffers     = "fee_differs"

	ShortfallDiffers   = "shortfall_differs"
	ShareDiffers       = "share_differs"
	OverageDiffers     = "overage_differs"
	InterestDiffers    = "interest_differs"
	DiscountDiffers    = "discount_differs"
	MarketplaceDiffers = "marketplace_differs"
	MissingCharge      = "missing_charge"

	Tax           = "tax"
	UnknownCharge = "unknown_charge"
	TotalDiffers  = "total_differs"
)

// RoundingLimit is the largest difference of one row that is rounding, in
// micro-units of the currency: half a hundredth.
const RoundingLimit = 5_000

// Explanation says what a kind of difference is and what to do about it.
type Explanation struct {
	Kind   string `json:"kind"`
	Says   string `json:"says"`
	Remedy string `json:"remedy"`
}

var explanations = [...]Explanation{
	{WrongTier, "billed in another service tier than the outcome states", "reject it and ask for a credit, unless the tier was asked for: then accept it and correct the price book's tier"},
	{MissingUsage, "billed use of attempts whose outcome stated none: they stand in suspense at an estimate", "compare the tokens with the estimate (accordo ledger suspense); accept it to close the suspense by the line's tokens"},
	{DoubleLine, "billed a second time: another line, or an earlier invoice, has billed it", "reject it and ask for a credit"},
	{LateCredit, "money back for an earlier month", "accept it, unless it answers a difference that was rejected: then reject it too, because the books took it already"},
	{Rounding, "the same tokens, with amounts that differ by no more than half a hundredth a row", "accept it"},
	{UnknownAttempt, "billed use that the journal does not have", "ask the provider for the attempt's id and time; reject it unless another gateway or key made it"},
	{MissingLine, "served in the month and not billed", "wait for a later invoice and reject it then; accept it to take the cost back when the provider waives it"},
	{UsageDiffers, "billed other tokens than the books have", "compare with accordo ledger trace; accept it when the provider proves its count"},
	{PriceDiffers, "billed the same tokens at another price", "compare the price book with the contract; correct the price book, or reject it and ask for a credit"},
	{FeeDiffers, "a fixed fee, or the bill of a pool, that is not what the contract says", "compare the contract's fees; accept it for a fee that changed, after correcting the terms, else reject it"},
	{ShortfallDiffers, "a shortfall, or a true-up to a floor, that is not what the close of the month found", "compare accordo contracts with the provider's count of what retires the floor; accept it when the provider proves its count, else reject it"},
	{ShareDiffers, "a share of revenue that is not what the close of the month booked", "compare the revenue and the cap that the provider counts; accept it when the contract is on its side, else reject it"},
	{OverageDiffers, "use beyond a commitment that is not what the books have", "compare when the commitment was used up (accordo contracts) and the price beyond it; accept it when the provider proves both, else reject it"},
	{InterestDiffers, "interest on a loan to the provider that is not what the contract says", "compare the loan's rate and days; reject it and ask for the rest, or accept it after correcting the terms"},
	{DiscountDiffers, "a discount that is not what the floor's height earns", "compare the tiers and what they are taken off; reject it and ask for the rest, or accept it after correcting the terms"},
	{MarketplaceDiffers, "marketplace charges that are not those on record", "record what is missing with accordo record marketplace and reject it, else accept it"},
	{MissingCharge, "a fee, or another charge of a contract, that the books expect and the invoice leaves out", "wait for a later invoice and reject it then; accept it to take the cost back when the provider waives it"},
	{Tax, "a tax: no cost of any pool, and in no price", "accept it, which books it as tax; reject it when you are exempt"},
	{UnknownCharge, "a charge that is neither use of tokens nor a fee that a contract names", "reject it, unless a contract that the file lacks stands behind it"},
	{TotalDiffers, "the lines do not come to what the invoice says that is to be paid", "ask for the lines that are missing; accept what the invoice is binding for"},
}

// Explain says what a kind of difference is. A kind that this version does not
// know has its name only.
func Explain(kind string) Explanation {
	for _, e := range explanations {
		if e.Kind == kind {
			return e
		}
	}
	return Explanation{Kind: kind}
}

// Kinds lists the kinds of difference, in the order of the documentation.
func Kinds() []string {
	list := make([]string, 0, len(explanations))
	for _, e := range explanations {
		list = append(list, e.Kind)
	}
	return list
}
