package settle_test

import (
	"crypto/sha256"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/accordo-ai/accordo/internal/alliance"
	"github.com/accordo-ai/accordo/internal/exchange"
	"github.com/accordo-ai/accordo/internal/ledger"
	"github.com/accordo-ai/accordo/internal/settle"
	"github.com/accordo-ai/accordo/internal/store/storetest"
)

func TestStatement_TotalsEachCurrencyByItself(t *testing.T) {
	terms := func(hash string) (*alliance.Alliance, error) {
		a, err := storetest.Terms(hash)
		for i := range a.Contracts {
			if a.Contracts[i].ID == "reserved" {
				a.Contracts[i].Currency = "EUR"
				a.Contracts[i].Shape = alliance.PayPerUse
			}
		}
		for i := range a.Pools {
			if a.Pools[i].ID == "azure-ptu" {
				a.Pools[i].BilledBy = alliance.BilledByToken
			}
		}
		a.Parties = append(a.Parties, alliance.Party{ID: "azure", Name: "Azure"})
		return a, err
	}
	records := storetest.History(storetest.Random(21), 900)
	for i := range records {
		if in := records[i].Intent; in != nil && in.Pool == "azure-ptu" {
			in.CostPrice = "cost-m1"
		}
	}
	n := openNode(t, t.TempDir())
	t.Cleanup(func() { n.close(t) })
	book := ledger.New(terms)
	keep := func(step ledger.Step, err error) {
		if err == nil {
			err = n.store.Append(t.Context(), &step)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	rate, _ := exchange.ParseDecimal("1.25")
	quote := &exchange.Quote{Base: "EUR", Quote: "USD", Rate: rate, On: "2026-06-01", Source: "ECB"}
	keep(book.PostFact(ledger.Fact{Number: 1, At: records[0].At, Digest: sha256.Sum256(nil), Event: ledger.Event{ExchangeRate: quote}}, ledger.Evidence{}))
	for _, batch := range storetest.Split(records) {
		keep(book.Post(batch))
	}
	latest, err := book.Terms("5ec0nd")
	if err != nil {
		t.Fatal(err)
	}
	st, err := settle.MakeStatement(t.Context(), n.store, latest, "azure", 202607, 0)
	if err != nil {
		t.Fatal(err)
	}
	want := map[ledger.Asset]settle.StatementTotal{"USD": {Currency: "USD"}, "EUR": {Currency: "EUR"}}
	for _, a := range st.Accounts {
		if foreign := strings.HasSuffix(string(a.Account), ",EUR"); foreign != (a.Currency == "EUR") {
			t.Errorf("%s is in %s", a.Account, a.Currency)
		}
		sum := want[a.Currency]
		sum.Opening, sum.Closing = sum.Opening+a.Opening, sum.Closing+a.Closing
		want[a.Currency] = sum
	}
	if diff := cmp.Diff([]settle.StatementTotal{want["USD"], want["EUR"]}, st.Totals); diff != "" || want["EUR"].Closing >= 0 {
		t.Errorf("-want +got:\n%s", diff)
	}
	if st.Closing != want["USD"].Closing {
		t.Errorf("the total in USD is %s, not %s", st.Closing, want["USD"].Closing)
	}
	if m := st.Mirror(); m.Totals[1].Closing != -st.Totals[1].Closing {
		t.Errorf("mirrored %s", m.Totals[1].Closing)
	}
	var text strings.Builder
	if err := settle.WriteStatement(&text, st); err != nil || strings.Count(text.String(), "TOTAL") != 2 {
		t.Errorf("%v\n%s", err, text.String())
	}
}
