package contract

import "github.com/accordo-ai/accordo/internal/alliance"

// Says tells in a sentence what a shape means, for people who have not read
// the contract.
func Says(s alliance.Shape) string {
	switch s {
	case alliance.PayPerUse:
		return "Pay per use: tokens at the price book, nothing promised."
	case alliance.SpendFloor:
		return "Spend floor: usage is paid at the contract's price, and each interval at least its floor; what is missing at its end is owed as a shortfall."
	case alliance.OptionShape:
		return "Option: nothing is promised or paid, and nothing served, until it is exercised within its window."
	case alliance.HourlyRate:
		return "Hourly rate: an amount for every hour, used or not, which covers use at the contracted price until it is drawn; beyond it the list price is owed."
	case alliance.PrepaidCredit:
		return "Prepaid credit: paid at the start of each interval and drawn at the price book, and by fees where they are eligible; what is left at its end is forfeited, what goes beyond is billed."
	case alliance.TakeOrPay:
		return "Take or pay: a fixed fee per interval for chips, owed whether they are used or not."
	case alliance.ThroughputReserved:
		return "Throughput reservation: a fixed fee per interval for tokens a minute, owed whether they are used or not."
	}
	return ""
}
