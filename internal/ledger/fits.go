package ledger

import (
	"strings"

	"github.com/accordo-ai/accordo/internal/alliance"
)

// Fits returns ErrFact when these terms would post another currency to an
// account than it holds: a contract, and a pool that clears a fee, keep their
// currency for as long as they keep their id. Terms that do not fit would stop
// the books, so they are refused before they serve.
func (t *Terms) Fits(balances []Balance) error {
	own := Asset(t.alliance.Currency)
	for i := range balances {
		b := &balances[i]
		if !b.Asset.IsCurrency() {
			continue
		}
		if result(b.Account) && b.Asset != own {
			return refuse("the books are in %s: currency %s needs a data directory of its own", b.Asset, own)
		}
		first, _, _ := strings.Cut(b.Account.Ref(), ",")
		c := t.contracts[alliance.ContractID(first)]
		if p := t.pools[alliance.PoolID(first)]; p != nil {
			c = t.contracts[p.Contract]
		}
		if c == nil || result(b.Account) {
			continue
		}
		want := t.moneyOf(c)
		if b.Asset.IsCommitment() {
			want = commitAsset(t, c)
		}
		if b.Asset != want {
			return refuse("%s of these books is in %s, and contract %s would make it %s: give the contract of the other currency, and its pools, new ids", b.Account, b.Asset, c.ID, want)
		}
	}
	return nil
}
