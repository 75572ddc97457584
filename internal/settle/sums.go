package settle

import (
	"github.com/accordo-ai/accordo/internal/ledger"
	"github.com/accordo-ai/accordo/internal/money"
	"github.com/accordo-ai/accordo/internal/usage"
)

// Sum is what the entries that agree in all that rates them did to one
// account in one month.
type Sum struct {
	Kind    ledger.Kind
	Contra  ledger.AccountID // the other account
	Price   string
	Terms   string
	Ref     string // month that it corrects, or what the entries are about
	Entries int64
	Lines   int64
	Usage   usage.Vector
	First   uint64 // first and last batch that holds one
	Last    uint64
	Amount  money.Amount // debits less credits
}
