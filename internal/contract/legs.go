package contract

import "github.com/accordo-ai/accordo/internal/alliance"

// Event is something that moves the accounts of a contract.
type Event uint8

// The events.
const (
	Usage        Event = 1  // a request was served
	FeeAccrued   Event = 2  // time passed under a fixed fee
	CapacityLost Event = 3  // an interval ended with capacity unused
	FloorMissed  Event = 4  // an interval ended below its floor
	FloorOpened  Event = 5  // an interval with a floor came into the books
	CreditBought Event = 6  // an interval of a prepaid credit began
	CreditEnded  Event = 7  // it ended with credit unused
	CreditPassed Event = 8  // a month ended with more used than was paid ahead
	ShareDue     Event = 9  // a month's revenue was shared with the provider
	ShareOpened  Event = 10 // the cap of a revenue share came into the books
	PoolBill     Event = 40 // a pool by the chip-second was billed for a month
	FeeAbated    Event = 30 // capacity was delivered late under a fixed fee
	AbatedLate   Event = 31 // the same, of a month that is closed
	UsageBeyond  Event = 41 // a request was served beyond the commitment
	CommitTurned Event = 42 // a commitment was used up by usage, or came to be open again
	MarketCharge Event = 43 // the provider's marketplace charged something
	MarketOpened Event = 44 // what marketplace charges may retire came into the books
	FloorRaised  Event = 45 // a floor was raised by the right to do so
	FloorCut     Event = 46 // a floor was cut by the right to do so
	MissExpected Event = 47 // a month ended in which a floor is likely to be missed
	TierReached  Event = 48 // a month ended in which a floor earned a discount
	HoursOpened  Event = 32 // the commitments of a month's hours came into the books
	HoursLost    Event = 33 // the month ended with some of them unused
	LoanPaid     Event = 34 // a loan to the provider was paid out
	LoanReturned Event = 35 // it was paid back
	InterestDue  Event = 36 // a month's interest on it
)

// Class is the class of an account.
type Class string

// The classes.
const (
	Asset     Class = "asset"
	Liability Class = "liability"
	Equity    Class = "equity"
	Revenue   Class = "revenue"
	Expense   Class = "expense"
	Memo      Class = "memo"
)

// Of says what an account is kept for; the ledger fills in the id.
type Of uint8

// What accounts are kept for.
const (
	OfPool     Of = 1
	OfProvider Of = 2
	OfContract Of = 3
	OfInterval Of = 4 // the contract and the interval of its floor
	OfCurrency Of = 5
)

// Account is the class, kind and object of one side of a leg.
type Account struct {
	Class Class
	Kind  string
	Of    Of
}

// Basis says what a leg's amount is.
type Basis uint8

// The bases.
const (
	AtPrice      Basis = 1  // tokens × the price-book entry of the cost, in currency
	AtStandard   Basis = 2  // use of capacity × the standard rate, in currency
	AtUse        Basis = 3  // use of capacity, in chip-seconds or burn units
	AtCommitment Basis = 4  // tokens × the price of the cost, in open commitment
	AtFee        Basis = 5  // the share of the fee, in currency
	AtRest       Basis = 6  // what is left: of the clearing account, or of the floor
	AtFloor      Basis = 7  // the floor, in open commitment
	AtCovered    Basis = 8  // covered tokens × the contracted price, in currency
	AtBeyond     Basis = 9  // tokens beyond the hour's commitment × the list price, in currency
	AtDrawn      Basis = 10 // covered tokens × the contracted price, in open commitment
)

// Leg is one debit and its credit.
type Leg struct {
	Debit, Credit Account
	Basis         Basis
}

// InterestKind is the kind of the account of interest earned, which is no
// revenue of what is sold.
const InterestKind = "interest"

// The accounts that contracts move.
var (
	compute     = Account{Expense, "compute", OfPool}
	unused      = Account{Expense, "unused_capacity", OfPool}
	shortfall   = Account{Expense, "shortfall", OfContract}
	prepaid     = Account{Asset, "prepaid", OfInterval}
	fixedFee    = Account{Expense, "fixed_fee", OfContract}
	forfeiture  = Account{Expense, "forfeiture", OfContract}
	shareCost   = Account{Expense, "revenue_share", OfProvider}
	shareOwed   = Account{Liability, "revenue_share_payable", OfProvider}
	shareCap    = Account{Memo, "share_cap", OfContract}
	shareOpen   = Account{Memo, "share_open", OfContract}
	shareUsed   = Account{Memo, "share_used", OfContract}
	clearing    = Account{Asset, "capacity_clearing", OfPool}
	hourPaid    = Account{Asset, "capacity_clearing", OfContract}
	loan        = Account{Asset, "loan", OfContract}
	cash        = Account{Asset, "cash", OfCurrency}
	receivable  = Account{Asset, "receivable", OfProvider}
	interest    = Account{Revenue, InterestKind, OfContract}
	accrued     = Account{Liability, "accrued", OfProvider}
	payable     = Account{Liability, "payable", OfProvider}
	ownCapacity = Account{Asset, "own_capacity", OfContract}
	commitFloor = Account{Memo, "commit_floor", OfInterval}
	commitOpen  = Account{Memo, "commit_open", OfInterval}
	commitUsed  = Account{Memo, "commit_used", OfInterval}
	commitLost  = Account{Memo, "commit_lapsed", OfInterval}
	commitTurn  = Account{Memo, "commit_turned", OfInterval}
	overage     = Account{Expense, "overage", OfInterval}
	commitRaise = Account{Memo, "commit_raised", OfInterval}
	commitCut   = Account{Memo, "commit_cut", OfInterval}
	marketplace = Account{Expense, "marketplace", OfContract}
	marketUsed  = Account{Memo, "marketplace_used", OfInterval}
	marketOpen  = Account{Memo, "marketplace_open", OfInterval}
	marketCap   = Account{Memo, "marketplace_cap", OfInterval}
	expected    = Account{Liability, "expected_shortfall", OfInterval}
	discount    = Account{Expense, "discount", OfContract}
	capUsed     = Account{Memo, "capacity_used", OfPool}
	capOpen     = Account{Memo, "capacity_open", OfPool}
)

// Legs returns what an event moves under c, for a pool billed as billing says.
// A pool billed by the chip-second owes its provider by a usage event of the
// pool; its requests are allocations of that bill, so they clear against
// capacity like those of a fixed fee.
func Legs(c *alliance.Contract, billing alliance.Billing, ev Event) []Leg {
	if c.Loan != nil {
		switch ev {
		case LoanPaid:
			return []Leg{{loan, cash, AtRest}}
		case LoanReturned:
			return []Leg{{cash, loan, AtRest}}
		case InterestDue:
			return []Leg{{receivable, interest, AtRest}}
		}
	}
	if r := c.RevenueShare; r != nil {
		switch {
		case ev == ShareDue && r.Cap == nil:
			return []Leg{{shareCost, shareOwed, AtRest}}
		case ev == ShareDue:
			return []Leg{{shareCost, shareOwed, AtRest}, {shareUsed, shareOpen, AtRest}}
		case ev == ShareOpened && r.Cap != nil:
			return []Leg{{shareOpen, shareCap, AtFloor}}
		}
	}
	if ev == PoolBill {
		return []Leg{{clearing, accrued, AtFee}}
	}
	switch c.Shape {
	case alliance.PayPerUse:
		if ev == Usage {
			return []Leg{metered(billing)}
		}
	case alliance.SpendFloor:
		switch ev {
		case Usage:
			return []Leg{metered(billing), {commitUsed, commitOpen, AtCommitment}}
		case UsageBeyond:
			return []Leg{{overage, accrued, AtPrice}}
		case CommitTurned:
			return []Leg{{commitTurn, commitOpen, AtCommitment}}
		case FloorOpened:
			return []Leg{{commitOpen, commitFloor, AtFloor}}
		case FloorMissed:
			return []Leg{{shortfall, payable, AtRest}, {commitLost, commitOpen, AtRest}}
		}
		return adjusting(ev)
	case alliance.HourlyRate:
		switch ev {
		case Usage:
			return []Leg{{compute, hourPaid, AtCovered}, {commitUsed, commitOpen, AtDrawn}, {compute, accrued, AtBeyond}}
		case FeeAccrued:
			return []Leg{{hourPaid, accrued, AtFee}}
		case HoursOpened:
			return []Leg{{commitOpen, commitFloor, AtFee}}
		case HoursLost:
			return []Leg{{commitLost, commitOpen, AtRest}}
		}
	case alliance.PrepaidCredit:
		switch ev {
		case Usage:
			return []Leg{{compute, prepaid, AtPrice}, {commitUsed, commitOpen, AtCommitment}}
		case UsageBeyond:
			return []Leg{{overage, accrued, AtPrice}}
		case CommitTurned:
			return []Leg{{commitTurn, commitOpen, AtCommitment}}
		case FloorOpened:
			return []Leg{{commitOpen, commitFloor, AtFloor}}
		case CreditBought:
			return []Leg{{prepaid, payable, AtFloor}}
		case CreditEnded:
			return []Leg{{forfeiture, prepaid, AtRest}, {commitLost, commitOpen, AtRest}}
		case CreditPassed:
			return []Leg{{prepaid, accrued, AtRest}}
		case FeeAccrued:
			if DrawnByFees(c) {
				return []Leg{{fixedFee, prepaid, AtFee}, {commitUsed, commitOpen, AtCommitment}}
			}
			return []Leg{{fixedFee, accrued, AtFee}}
		}
	case alliance.TakeOrPay, alliance.ThroughputReserved:
		switch ev {
		case Usage:
			return []Leg{{compute, clearing, AtStandard}, {capUsed, capOpen, AtUse}}
		case UsageBeyond:
			return []Leg{{compute, accrued, AtPrice}}
		case FeeAccrued:
			return []Leg{{clearing, accrued, AtFee}}
		case CapacityLost:
			return []Leg{{unused, clearing, AtRest}}
		case FeeAbated:
			return []Leg{{accrued, clearing, AtRest}}
		case AbatedLate:
			return []Leg{{accrued, compute, AtRest}}
		}
	}
	return nil
}

// adjusting are the events that change a spend floor, or what retires it,
// besides usage.
func adjusting(ev Event) []Leg {
	switch ev {
	case MarketCharge:
		return []Leg{{marketplace, accrued, AtFee}, {commitUsed, commitOpen, AtCommitment}, {marketUsed, marketOpen, AtRest}}
	case MarketOpened:
		return []Leg{{marketOpen, marketCap, AtFloor}}
	case FloorRaised:
		return []Leg{{commitOpen, commitRaise, AtFloor}}
	case FloorCut:
		return []Leg{{commitCut, commitOpen, AtFloor}}
	case MissExpected:
		return []Leg{{shortfall, expected, AtRest}}
	case TierReached:
		return []Leg{{accrued, discount, AtRest}}
	}
	return nil
}

// Own returns the account that stands in for a where the operator provides
// the contract itself: nothing accrues to a creditor then. What the capacity
// costs comes off an asset instead, as depreciation accumulates: below zero by
// all that was given off so far.
func Own(a Account) Account {
	if a == accrued {
		return ownCapacity
	}
	return a
}

func metered(billing alliance.Billing) Leg {
	if billing == alliance.BilledByChipSecond {
		return Leg{compute, clearing, AtPrice}
	}
	return Leg{compute, accrued, AtPrice}
}
