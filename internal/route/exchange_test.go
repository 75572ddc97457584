package route

import (
	"strings"
	"testing"
	"time"

	"github.com/accordo-ai/accordo/internal/alliance"
	"github.com/accordo-ai/accordo/internal/exchange"
	"github.com/accordo-ai/accordo/internal/money"
)

func quoted(t *testing.T, rates *exchange.Table, rate, on string) *exchange.Table {
	t.Helper()
	d, err := exchange.ParseDecimal(rate)
	if err != nil {
		t.Fatal(err)
	}
	return rates.With(exchange.Known{Quote: exchange.Quote{Base: "EUR", Quote: "USD", Rate: d, On: on, Source: "ECB"}})
}

// abroad has the pool "free", at 10 a million tokens, in EUR beside "floor"
// at 12 USD, and nothing else.
func abroad() *alliance.Alliance {
	a := trio()
	a.Currency = "USD"
	a.Contracts[2].Currency = "EUR"
	a.Pools = a.Pools[1:]
	return a.Build()
}

func TestDecide_ComparesPoolsInTheAlliancesCurrency(t *testing.T) {
	met := func(alliance.ContractID) money.Amount { return 1000 * money.Micro }
	r := New(abroad(), noon)
	r.Resolve(noon, met)
	expect(t, r, noon, ask(1000), "floor") // nothing is known of EUR
	x := r.Explain(noon, noon, ask(1000))
	said := ""
	for _, no := range x.Ineligible {
		if no.Pool.ID == "free" {
			said = no.Cause + ": " + no.Why
		}
	}
	if !strings.HasPrefix(said, NoRate) || !strings.Contains(said, "accordo record rate --base EUR --quote USD --rate RATE --on 2026-06-01") {
		t.Errorf("explained as %q", said)
	}
	cheap := quoted(t, nil, "1.1900", "2026-05-29")
	r.SetRates(cheap, noon)
	d := expect(t, r, noon, ask(1000), "free") // 11.90 USD
	if c := d.Considered[0]; c.Pool == "free" && c.Price != 11_900_000 || len(d.Considered) != 2 {
		t.Errorf("considered %+v", d.Considered)
	}
	r.SetRates(quoted(t, cheap, "1.2100", "2026-06-01"), noon)
	expect(t, r, noon, ask(1000), "floor") // 12.10 USD
	again := New(abroad(), noon)
	again.SetRates(cheap, noon)
	again.Reload(abroad(), noon.Add(time.Hour))
	again.Resolve(noon.Add(time.Hour), met)
	expect(t, again, noon.Add(time.Hour), ask(1000), "free") // a reload keeps the rates
}
