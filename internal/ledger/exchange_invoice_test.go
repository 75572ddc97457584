package ledger_test

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"strings"
	"testing"

	"github.com/accordo-ai/accordo/internal/alliance"
	"github.com/accordo-ai/accordo/internal/invoice"
	"github.com/accordo-ai/accordo/internal/ledger"
	"github.com/accordo-ai/accordo/internal/money"
)

// bill imports a CSV of ovh for March.
func (d *abroadDesk) bill(text string) error {
	sum := sha256.Sum256([]byte(text))
	hash := hex.EncodeToString(sum[:])
	if d.documents == nil {
		d.documents = map[string][]byte{}
	}
	d.documents[hash] = []byte(text)
	return d.fact(ledger.Event{InvoiceImported: &ledger.InvoiceImported{Provider: "ovh", Month: 202603, Document: hash, Rules: invoice.Rules}})
}

// both has a second contract of the same provider, in USD, with a pool of its own.
func both(hash string) (*alliance.Alliance, error) {
	a, err := euro(alliance.PayPerUse, nil)(hash)
	a.Contracts = append(a.Contracts, alliance.Contract{ID: "k-usd", Provider: "ovh", Shape: alliance.PayPerUse, Term: a.Contracts[0].Term})
	a.Pools = append(a.Pools, alliance.Pool{ID: "p-usd", Provider: "ovh", Contract: "k-usd", BilledBy: alliance.BilledByToken})
	a.Prices = append(a.Prices, alliance.Price{ID: "c-usd", Pools: []alliance.PoolID{"p-usd"}, Model: "m", Term: a.Contracts[0].Term, List: alliance.Rates{Output: 3 * money.Micro}})
	return a, err
}

func TestExchange_AnInvoiceIsPaidInItsCurrency(t *testing.T) {
	d := newAbroad(t, euro(alliance.PayPerUse, nil))
	d.do(rate(t, "EUR", "USD", "1.10", "2026-03-01"))
	d.serve("2026-03-02", 10*money.Micro)
	d.serve("2026-03-03", 5*money.Micro)
	if err := d.bill("attempt_id,model,output,amount,currency\na2026-03-02,m,10000000,20.00,USD\n"); !errors.Is(err, ledger.ErrFact) || !strings.Contains(err.Error(), "the invoice is in USD, the contracts of ovh are in EUR") {
		t.Fatalf("an invoice in USD: %v", err)
	}
	if err := d.bill("attempt_id,model,output,amount,currency\na2026-03-02,m,10000000,20.00,EUR\na2026-03-03,m,5000000,11.00,EUR\n"); err != nil {
		t.Fatal(err)
	}
	open := map[string]string{
		"liability/payable/ovh,EUR": "-31.00 EUR", "asset/difference/ovh,price_differs,EUR": "1.00 EUR", "equity/exchange/EUR": "30.00 EUR",
		"expense/compute/p": "33.00 USD", "equity/exchange/EUR,USD": "-33.00 USD",
	}
	d.want(open)
	list := d.book.State().Differences
	if len(list) != 1 || ledger.DifferenceKind(&list[0]) != ledger.PriceDiffers {
		t.Fatalf("differences %+v", list)
	}
	d.do(rate(t, "EUR", "USD", "1.20", "2026-03-04"))
	d.do(ledger.Event{DifferenceClosed: &ledger.DifferenceClosed{ID: list[0].Ref, By: ledger.Accepted, Reason: "the price rose"}})
	d.want(map[string]string{
		"liability/payable/ovh,EUR": "-31.00 EUR", "equity/exchange/EUR": "31.00 EUR",
		"expense/compute/p": "34.20 USD", "equity/exchange/EUR,USD": "-34.20 USD",
	})
}

func TestExchange_AProviderBillsEachCurrencyByItself(t *testing.T) {
	d := newAbroad(t, both)
	d.do(rate(t, "EUR", "USD", "1.10", "2026-03-01"))
	d.serve("2026-03-02", 10*money.Micro)
	d.serveOn("p-usd", "c-usd", "2026-03-03", 5*money.Micro)
	d.want(map[string]string{
		"liability/accrued/ovh,EUR": "-20.00 EUR", "liability/accrued/ovh": "-15.00 USD", "equity/exchange/EUR": "20.00 EUR", "equity/exchange/EUR,USD": "-22.00 USD",
		"expense/compute/p": "22.00 USD", "expense/compute/p-usd": "15.00 USD",
	})
	if err := d.bill("attempt_id,model,output,amount\na2026-03-02,m,10000000,20.00\n"); !errors.Is(err, ledger.ErrFact) || !strings.Contains(err.Error(), "column currency") {
		t.Fatalf("an invoice that does not say its currency: %v", err)
	}
	for _, text := range []string{
		"attempt_id,model,output,amount,currency\na2026-03-02,m,10000000,20.00,EUR\n",
		"attempt_id,model,output,amount,currency\na2026-03-03,m,5000000,15.00,USD\n",
	} {
		if err := d.bill(text); err != nil {
			t.Fatal(err)
		}
	}
	d.want(map[string]string{
		"liability/payable/ovh,EUR": "-20.00 EUR", "liability/payable/ovh": "-15.00 USD", "equity/exchange/EUR": "20.00 EUR", "equity/exchange/EUR,USD": "-22.00 USD",
		"expense/compute/p": "22.00 USD", "expense/compute/p-usd": "15.00 USD",
	})
	if open := d.book.State().Differences; len(open) != 0 {
		t.Errorf("differences %+v", open)
	}
}

// TestExchange_AggregatesOfTwoCurrenciesAreNotDouble bills one day of one
// model in each currency.
func TestExchange_AggregatesOfTwoCurrenciesAreNotDouble(t *testing.T) {
	d := newAbroad(t, both)
	d.do(rate(t, "EUR", "USD", "1.10", "2026-03-01"))
	d.serve("2026-03-02", 10*money.Micro)
	d.serveOn("p-usd", "c-usd", "2026-03-02", 5*money.Micro)
	for _, text := range []string{
		"day,model,output,amount,currency\n2026-03-02,m,10000000,20.00,EUR\n",
		"day,model,output,amount,currency\n2026-03-02,m,5000000,15.00,USD\n",
	} {
		if err := d.bill(text); err != nil {
			t.Fatal(err)
		}
	}
	if open := d.book.State().Differences; len(open) != 0 {
		t.Errorf("differences %+v", open)
	}
	d.want(map[string]string{
		"liability/payable/ovh,EUR": "-20.00 EUR", "liability/payable/ovh": "-15.00 USD", "equity/exchange/EUR": "20.00 EUR", "equity/exchange/EUR,USD": "-22.00 USD",
		"expense/compute/p": "22.00 USD", "expense/compute/p-usd": "15.00 USD",
	})
}
