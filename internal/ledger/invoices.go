package ledger

import (
	"crypto/sha256"
	"strings"
)

// InvoiceImported says that a provider's invoice came in. Importing matches
// it with the journal: what agrees becomes payable, every difference stands
// apart until a fact closes it.
type InvoiceImported struct {
	Provider string `json:"provider"`
	Month    int32  `json:"month"`          // civil month that it bills, YYYYMM
	Document string `json:"document"`       // SHA-256 of the file, in hexadecimal
	Name     string `json:"name,omitempty"` // of the file, for people
}

func (v *InvoiceImported) check() error {
	if v.Provider == "" || v.Month < 197001 || v.Month%100 < 1 || v.Month%100 > 12 || len(v.Document) != 2*sha256.Size || len(v.Name) > MaxReason {
		return refuse("an invoice has a provider, a month and the hash of its file")
	}
	return nil
}

// InvoiceID is the short name of an invoice: the first digits of its file's hash.
func (v *InvoiceImported) InvoiceID() string { return v.Document[:12] }

// DifferenceClosed says what came of a difference between invoice and books.
type DifferenceClosed struct {
	ID     string `json:"id"`
	By     string `json:"by"` // Accepted or Rejected
	Reason string `json:"reason"`
}

// The ways in which a difference is closed.
const (
	Accepted = "accepted" // the books follow the invoice
	Rejected = "rejected" // the provider corrects it, by a credit or a later line
)

func (d *DifferenceClosed) check() error {
	if d.ID == "" || d.By != Accepted && d.By != Rejected {
		return refuse("a difference is closed by its id, %s or %s", Accepted, Rejected)
	}
	return checkReason(d.Reason)
}

// The kinds of difference.
const (
	WrongTier      = "wrong_tier"      // billed in another tier than served
	MissingUsage   = "missing_usage"   // the outcome stated no usage: the attempt is suspense
	DoubleLine     = "double_line"     // billed before
	LateCredit     = "late_credit"     // money back for an earlier month
	Rounding       = "rounding"        // the same tokens, amounts that differ below RoundingLimit a line
	UnknownAttempt = "unknown_attempt" // the journal does not have it
	MissingLine    = "missing_line"    // served in the month, and not billed
	UsageDiffers   = "usage_differs"   // other tokens than booked
	PriceDiffers   = "price_differs"   // the same tokens at another price
)

// DifferenceKind returns the kind of a difference from its entry.
func DifferenceKind(e *Entry) string {
	_, kind, _ := strings.Cut(e.Debit.Ref(), ",")
	return kind
}

// Limits of importing.
const (
	// RoundingLimit is the largest difference of one line that is rounding,
	// in micro-units of the currency: half a hundredth.
	RoundingLimit = 5_000
	// MaxDifferences is how many differences one invoice may have.
	MaxDifferences = 100_000
)

// bookedIn returns the month in which an entry of a month is booked: itself,
// or the first open one when it is closed.
func (b *Book) bookedIn(period int32) int32 {
	if period > b.closedMonth {
		return period
	}
	return nextMonth(b.closedMonth)
}

func nextMonth(period int32) int32 {
	if period%100 == 12 {
		return period + 100 - 11
	}
	return period + 1
}
