package ledger

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"strings"

	"github.com/accordo-ai/accordo/internal/invoice"
)

// InvoiceImported says that a provider's invoice came in. Importing matches
// it with the journal: what agrees becomes payable, every difference stands
// apart until a fact closes it.
type InvoiceImported struct {
	Provider string `json:"provider"`
	Month    int32  `json:"month"`          // civil month that it bills, YYYYMM
	Document string `json:"document"`       // SHA-256 of the file, in hexadecimal
	Name     string `json:"name,omitempty"` // of the file, for people
	// Issuer is the InvoiceIssuerName whose rows of a FOCUS file are the
	// invoice; empty: the file has one issuer.
	Issuer string `json:"issuer,omitempty"`
	// Detail is the SHA-256 of the Invoice Detail beside a FOCUS file; empty:
	// there is none.
	Detail string `json:"detail,omitempty"`
	// ByGroup names what an invoice of aggregates leaves out by groups of
	// attempts (period, model and tier); otherwise by attempts.
	ByGroup bool `json:"by_group,omitempty"`
	// Rules is the version of the rules that it is read and matched by, at
	// most invoice.Rules: a later version of the program makes of an old
	// invoice what its import made of it.
	Rules int32 `json:"rules,omitempty"`
}

func (v *InvoiceImported) check() error {
	if v.Provider == "" || v.Month < 197001 || v.Month%100 < 1 || v.Month%100 > 12 || len(v.Document) != 2*sha256.Size || len(v.Name) > MaxReason || len(v.Issuer) > MaxReason || v.Detail != "" && len(v.Detail) != 2*sha256.Size {
		return refuse("an invoice has a provider, a month and the hash of its file")
	}
	if v.Rules < 0 || v.Rules > invoice.Rules {
		return refuse("the invoice was matched by the rules %d, this version knows %d", v.Rules, invoice.Rules)
	}
	return nil
}

// InvoiceID is the short name of an invoice: the first digits of its file's
// hash, or, of a FOCUS file, which may hold several, of the hash of its own
// part of it.
func (v *InvoiceImported) InvoiceID() string {
	if v.Issuer == "" {
		return v.Document[:12]
	}
	sum := sha256.Sum256(fmt.Appendf(nil, "%s\n%s\n%s\n%d", v.Document, v.Provider, v.Issuer, v.Month))
	return hex.EncodeToString(sum[:6])
}

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

// The kinds of difference; invoice.Explain says what they are.
const (
	WrongTier      = invoice.WrongTier
	MissingUsage   = invoice.MissingUsage
	DoubleLine     = invoice.DoubleLine
	LateCredit     = invoice.LateCredit
	Rounding       = invoice.Rounding
	UnknownAttempt = invoice.UnknownAttempt
	MissingLine    = invoice.MissingLine
	UsageDiffers   = invoice.UsageDiffers
	PriceDiffers   = invoice.PriceDiffers
	FeeDiffers     = invoice.FeeDiffers

	ShortfallDiffers   = invoice.ShortfallDiffers
	ShareDiffers       = invoice.ShareDiffers
	OverageDiffers     = invoice.OverageDiffers
	InterestDiffers    = invoice.InterestDiffers
	DiscountDiffers    = invoice.DiscountDiffers
	MarketplaceDiffers = invoice.MarketplaceDiffers
	MissingCharge      = invoice.MissingCharge

	Tax           = invoice.Tax
	UnknownCharge = invoice.UnknownCharge
	TotalDiffers  = invoice.TotalDiffers
)

// DifferenceKind returns the kind of a difference from its entry.
func DifferenceKind(e *Entry) string {
	parts := strings.Split(e.Debit.Ref(), ",") // provider, kind, and a currency that is not the alliance's
	if len(parts) < 2 {
		return ""
	}
	return parts[1]
}

// MaxDifferences is how many differences one invoice may have.
const MaxDifferences = 100_000

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
