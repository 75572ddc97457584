package ledger

import (
	"strings"

	"github.com/accordo-ai/accordo/internal/contract"
	"github.com/accordo-ai/accordo/internal/money"
)

// AccountID is the path of an account, "party/class/kind/ref", such as
// "openai/expense/compute/aws-use1-gb300". A ref of several ids joins them by
// commas.
type AccountID string

// NewAccount returns the path of an account of the party whose books these are.
func NewAccount(party string, class contract.Class, kind string, refs ...string) AccountID {
	return AccountID(party + "/" + string(class) + "/" + kind + "/" + strings.Join(refs, ","))
}

func (a AccountID) part(i int) string {
	parts := strings.SplitN(string(a), "/", 4)
	if i >= len(parts) {
		return ""
	}
	return parts[i]
}

// Party is the organisation whose account it is.
func (a AccountID) Party() string { return a.part(0) }

// Class is asset, liability, equity, revenue, expense or memo.
func (a AccountID) Class() contract.Class { return contract.Class(a.part(1)) }

// Kind is the account's purpose, such as "compute" or "accrued".
func (a AccountID) Kind() string { return a.part(2) }

// Ref is what the account is kept for, such as a pool.
func (a AccountID) Ref() string { return a.part(3) }

// Asset is what an account counts: a currency in micro-units ("USD"), open
// commitment in micro-units ("COMMIT-USD(contract)"), chip-seconds
// ("CHIPSEC(pool)"), burn units ("BURN(pool)"), tokens ("TOK(model)"), what a
// plan includes in tokens ("INCLUDED(plan)") or in micro-units of its price
// ("INCLUDED-USD(plan)"), or the subjects of a plan ("SUBJECTS(plan)"). Every
// account has exactly one.
type Asset string

// IsCommitment reports whether the asset is open commitment of a contract.
func (a Asset) IsCommitment() bool { return strings.HasPrefix(string(a), "COMMIT-") }

// IsCurrency reports whether the asset is money, or a commitment or quota
// counted in it.
func (a Asset) IsCurrency() bool {
	return !strings.Contains(string(a), "(") || a.IsCommitment() || strings.HasPrefix(string(a), "INCLUDED-")
}

// Format renders a quantity of the asset for people: money with its decimals,
// the others as whole numbers.
func (a Asset) Format(n money.Amount) string {
	if a.IsCurrency() {
		return n.String()
	}
	return integer(int64(n))
}

// Balance is the sum of an account's debits less its credits, in units of its
// asset.
type Balance struct {
	Account AccountID    `json:"account"`
	Asset   Asset        `json:"asset"`
	Amount  money.Amount `json:"amount"`
}

// Total is one row of the trial balance: the debit balances and the credit
// balances of all accounts in one asset. They are equal, or the books are
// broken.
type Total struct {
	Asset   Asset        `json:"asset"`
	Debits  money.Amount `json:"debits"`
	Credits money.Amount `json:"credits"`
}

// Balanced reports whether debits equal credits.
func (t Total) Balanced() bool { return t.Debits == t.Credits }
