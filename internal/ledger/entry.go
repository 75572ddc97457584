package ledger

import (
	"cmp"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"slices"
	"strconv"

	"github.com/accordo-ai/accordo/internal/money"
	"github.com/accordo-ai/accordo/internal/usage"
)

// Kind says what an entry is; its values are part of the format.
type Kind uint8

// The kinds of entry.
const (
	Cost       Kind = 1  // what the operator owes or uses up for requests served
	Sale       Kind = 2  // what customers owe the operator
	Wholesale  Kind = 3  // what a party that sells the plan owes the operator
	Tokens     Kind = 4  // tokens bought from a pool and served under a plan
	Commitment Kind = 5  // open commitment used
	Capacity   Kind = 6  // chip-seconds or burn units used of fixed capacity
	Suspense   Kind = 7  // one attempt that may be owed, at its estimate
	Opening    Kind = 8  // a floor that came into the books or was amended
	Invoice    Kind = 9  // accrued cost that a provider's invoice agrees with
	Difference Kind = 10 // between an invoice and the books, and what came of it
	Fee        Kind = 11 // a month's part of a fixed fee, or a bill by the chip-second
	Unused     Kind = 12 // fixed capacity that was paid and not used
	Shortfall  Kind = 13 // what a floor was missed by
	Lapse      Kind = 14 // open commitment that ended with its interval
	Rollover   Kind = 15 // part of a paid shortfall that counts later, and its use
	Forfeiture Kind = 16 // credit that expired
	Prepayment Kind = 17 // credit that was paid ahead
	Overage    Kind = 18 // use beyond what was paid ahead
	Share      Kind = 19 // revenue shared with a provider

	LateDelivery Kind = 30 // what late delivery takes off a fixed fee
	Loan         Kind = 31 // a loan to a provider, paid out or back
	Interest     Kind = 32 // on it
	Surcharge    Kind = 40 // what usage beyond a commitment costs on top of the contract's price
	Turn         Kind = 41 // the request by which a commitment was used up, or came to be open again
	Marketplace  Kind = 42 // a charge of the provider's marketplace, and what it retires of a floor
	Expected     Kind = 43 // a shortfall that is likely, accrued at a close and taken back at the next
	TrueUp       Kind = 44 // what a floor was raised by
	TrueDown     Kind = 45 // what a floor was cut by
	Discount     Kind = 46 // what a floor's height took off a month's usage

	Converted   Kind = 50 // a cost owed in another currency, in the alliance's
	Revaluation Kind = 51 // debts in another currency at the rate of a month's end

	Subscriber   Kind = 60 // a subject of a plan that was served in the month
	Grant        Kind = 61 // what a plan includes for its subjects
	Included     Kind = 62 // use inside what a plan includes
	Subscription Kind = 63 // a month's fee of a plan
	Commission   Kind = 64 // what a channel keeps of a sale
)

// kindNames are the names of the kinds; a number without a name is no kind.
var kindNames = [...]string{
	"", "cost", "sale", "wholesale", "tokens", "commitment", "capacity", "suspense", "opening", "invoice", "difference", "fee", "unused", "shortfall", "lapse", "rollover", "forfeiture", "prepayment", "overage", "share",
	LateDelivery: "late_delivery", Loan: "loan", Interest: "interest",
	Surcharge: "surcharge", Turn: "turn", Marketplace: "marketplace", Expected: "expected", TrueUp: "true_up", TrueDown: "true_down", Discount: "discount",
	Converted: "converted", Revaluation: "revaluation",
	Subscriber: "subscriber", Grant: "grant", Included: "included", Subscription: "subscription", Commission: "commission",
}

// String names the kind.
func (k Kind) String() string {
	if int(k) < len(kindNames) && kindNames[k] != "" {
		return kindNames[k]
	}
	return "kind " + strconv.Itoa(int(k))
}

// MarshalText renders the kind's name.
func (k Kind) MarshalText() ([]byte, error) { return []byte(k.String()), nil }

// UnmarshalText reads the kind's name.
func (k *Kind) UnmarshalText(text []byte) error {
	i := slices.Index(kindNames[:], string(text))
	if i < 1 {
		return fmt.Errorf("%q is no kind of entry", text)
	}
	*k = Kind(i)
	return nil
}

// Key is what the lines of one entry have in common.
type Key struct {
	Kind     Kind      `json:"kind"`
	Debit    AccountID `json:"debit"`
	Credit   AccountID `json:"credit"`
	Asset    Asset     `json:"asset"`
	Price    string    `json:"price,omitempty"`    // id of the price version, or contract@interval for a standard rate
	Contract string    `json:"contract,omitempty"` // contract that the entry retires, uses or owes under
	Terms    string    `json:"terms"`              // hash of the terms that rated it
	Period   int32     `json:"period"`             // civil month of the requests in UTC, as YYYYMM
	Ref      string    `json:"ref,omitempty"`      // attempt id of a suspense entry
}

// Digest is a SHA-256.
type Digest [sha256.Size]byte

// String renders the digest in hex.
func (d Digest) String() string { return hex.EncodeToString(d[:]) }

// MarshalText renders the digest in hex.
func (d Digest) MarshalText() ([]byte, error) { return []byte(d.String()), nil }

// UnmarshalText reads hex.
func (d *Digest) UnmarshalText(text []byte) error {
	if hex.DecodedLen(len(text)) != len(d) {
		return fmt.Errorf("%q is no SHA-256 in hex", text)
	}
	_, err := hex.Decode(d[:], text)
	return err
}

// Entry moves Amount of one asset from the credit to the debit account. It
// sums the lines of one batch that share a Key and cites them: the range of
// the journal that holds their outcomes, and the digest of their bytes. An
// entry whose Amount rounds to nothing is kept, so that every outcome that is
// owed stands in an entry.
type Entry struct {
	Key
	Amount money.Amount `json:"amount"`
	// Remainder is the carry after the entry, in [0, Divisor); Divisor turns
	// numerators into units of the asset. Σ numerators of the lines =
	// Amount × Divisor + Remainder - the Remainder before.
	Remainder int64        `json:"remainder"`
	Divisor   int64        `json:"divisor"`
	Lines     int64        `json:"lines"`
	Tokens    usage.Vector `json:"tokens"`
	First     uint64       `json:"first"` // first and last sequence of its outcomes
	Last      uint64       `json:"last"`
	From      int64        `json:"from"` // earliest and latest intent, nanoseconds since 1970 UTC
	Until     int64        `json:"until"`
	Digest    Digest       `json:"digest"`
}

// Batch is what the records between two marks of one node's journal became.
type Batch struct {
	Sequence uint64 `json:"sequence"` // from 1
	Node     string `json:"node"`
	First    uint64 `json:"first"` // first and last record, the last being the mark
	Last     uint64 `json:"last"`
	At       int64  `json:"at"` // time of the mark, nanoseconds since 1970 UTC: when the books knew
	Served   int64  `json:"served"`
	Unserved int64  `json:"unserved"`
	Suspense int64  `json:"suspense"`
	// Unmatched are outcomes that had no open intent: a second outcome of an
	// attempt, or one whose intent is missing. They post nothing.
	Unmatched []uint64 `json:"unmatched,omitempty"`
	Entries   []Entry  `json:"entries"`
	// Fact is the number of the fact that the batch posts instead of records,
	// 0 for none, and FactDigest its bytes' SHA-256. Such a batch holds no
	// record: First is Last + 1.
	Fact       uint64 `json:"fact,omitempty"`
	FactDigest Digest `json:"fact_digest,omitzero"`
	Prev       Digest `json:"prev"` // hash of the batch before, zero for the first
	Hash       Digest `json:"hash"` // of Canonical
}

// The first byte of a batch's canonical form: a batch of records has the
// first version, one of a fact the second.
const (
	batchVersion     = 1
	batchVersionFact = 2
)

// Canonical appends the canonical bytes of the batch to dst, as
// docs/format/books.md says. They include Prev, so their hash chains.
func (b *Batch) Canonical(dst []byte) []byte {
	version := byte(batchVersion)
	if b.Fact > 0 {
		version = batchVersionFact
	}
	dst = append(dst, version)
	dst = appendString(dst, b.Node)
	for _, v := range [...]uint64{b.Sequence, b.First, b.Last, uint64(b.At), uint64(b.Served), uint64(b.Unserved), uint64(b.Suspense), uint64(len(b.Unmatched))} {
		dst = binary.AppendUvarint(dst, v)
	}
	for _, v := range b.Unmatched {
		dst = binary.AppendUvarint(dst, v)
	}
	if b.Fact > 0 {
		dst = binary.AppendUvarint(dst, b.Fact)
		dst = append(dst, b.FactDigest[:]...)
	}
	dst = append(dst, b.Prev[:]...)
	dst = binary.AppendUvarint(dst, uint64(len(b.Entries)))
	for i := range b.Entries {
		dst = b.Entries[i].canonical(dst)
	}
	return dst
}

// Sum returns the hash that the batch must have.
func (b *Batch) Sum() Digest { return sha256.Sum256(b.Canonical(nil)) }

func (e *Entry) canonical(dst []byte) []byte {
	dst = append(dst, byte(e.Kind))
	for _, s := range [...]string{string(e.Debit), string(e.Credit), string(e.Asset), e.Price, e.Contract, e.Terms, e.Ref} {
		dst = appendString(dst, s)
	}
	for _, v := range [...]int64{int64(e.Period), int64(e.Amount), e.Remainder, e.Divisor, e.Lines, e.From, e.Until} {
		dst = binary.AppendVarint(dst, v)
	}
	dst = appendVector(dst, e.Tokens)
	dst = binary.AppendUvarint(dst, e.First)
	dst = binary.AppendUvarint(dst, e.Last)
	return append(dst, e.Digest[:]...)
}

func compareKeys(a, b Key) int {
	return cmp.Or(
		cmp.Compare(a.Kind, b.Kind), cmp.Compare(a.Debit, b.Debit), cmp.Compare(a.Credit, b.Credit),
		cmp.Compare(a.Asset, b.Asset), cmp.Compare(a.Price, b.Price), cmp.Compare(a.Contract, b.Contract),
		cmp.Compare(a.Terms, b.Terms), cmp.Compare(a.Period, b.Period), cmp.Compare(a.Ref, b.Ref))
}

func appendString(dst []byte, s string) []byte {
	return append(binary.AppendUvarint(dst, uint64(len(s))), s...)
}

func appendVector(dst []byte, v usage.Vector) []byte {
	for _, n := range [...]int64{v.UncachedInput, v.CacheRead, v.CacheWrite, v.Output, v.Reasoning} {
		dst = binary.AppendVarint(dst, n)
	}
	return dst
}

func integer(n int64) string { return strconv.FormatInt(n, 10) }
