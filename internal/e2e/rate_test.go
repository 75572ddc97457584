package e2e

import (
	"net/http"
	"strings"
	"testing"
	"time"
)

// inEuros adds a contract in EUR whose pool is the only one of its model.
const inEuros = `
contracts: [{id: south-euros, title: South in euros, provider: south, shape: pay_per_use, currency: EUR, from: 2026-01-01, claim: [paper]}]
models: [{id: euro-1, name: A model sold in euros, owner: lab, version: "1", weights: open, kind: chat}]
rights: [{id: euro-right, title: Its own model, object: stateless_api, models: [euro-1], seller: lab, territories: ["*"], from: 2026-01-01, mode: non_exclusive, known: 2026-01-01, claim: [paper]}]
pools:
  - {id: south-euro-a, provider: south, region: eu-west-1, residency: EU, contract: south-euros, billed_by: token, max_in_flight: 64, claim: [paper],
     models: [{model: euro-1, upstream_name: chat-1}], endpoint: {url: "http://SOUTH/pools/south-list-a/v1", dialect: openai}}
prices: [{id: euro-price, pools: [south-euro-a], model: euro-1, from: 2026-01-01, currency: EUR, list: {input: 2, output: 8}, claim: [paper]}]
set:
  open: {models: [chat, embed-1, euro-1]}
`

// A pool whose currency has no rate serves nobody, and says what to do; a rate
// that is recorded while the program serves opens it.
func TestRate_RecordedWhileServingOpensAPool(t *testing.T) {
	t.Parallel()
	north, south := startProvider(t, quickNorth), startProvider(t, quickSouth)
	d := deploy(t, setup{north: north, south: south, more: inEuros})
	body := strings.Replace(shortChat, "chat-1", "euro-1", 1)
	resp, answer := d.post(keyOpen, body)
	if resp.StatusCode == http.StatusOK {
		t.Fatalf("served without a rate: %s", answer)
	}
	refused := resp.Header.Get("x-request-id")
	today := time.Now().UTC().Format(time.DateOnly)
	if out, code := d.command("record", "rate", "--base", "EUR", "--quote", "USD", "--rate", "1.2500", "--on", today, "--source", "a test", "--data", d.data); code != 0 {
		t.Fatalf("exit code %d: %s", code, out)
	}
	resp, answer = d.post(keyOpen, body)
	if resp.StatusCode != http.StatusOK {
		t.Fatalf("%s: %s", resp.Status, answer)
	}
	id := resp.Header.Get("x-request-id")
	d.waitBooked(id)
	kinds := map[string]string{}
	for _, p := range d.trace(id).Attempts[0].Line.Postings {
		kinds[p.Kind] = p.Debit + " " + p.Credit + " " + p.Asset + " " + p.Price
	}
	if kinds["cost"] != "lab/equity/exchange/EUR lab/liability/accrued/south,EUR EUR euro-price" ||
		kinds["converted"] != "lab/expense/compute/south-euro-a lab/equity/exchange/EUR,USD USD euro-price,EUR/USD=1.2500@"+today {
		t.Errorf("postings %v", kinds)
	}
	// The refusal is explained by what was known then, also now.
	if out, code := d.command("explain", refused, "--data", d.data); code != 0 || !strings.Contains(out, "no rate of it in USD is known") {
		t.Errorf("exit code %d: %s", code, out)
	}
	d.stop(t)
	if out, code := d.command("ledger", "verify", "--data", d.data); code != 0 {
		t.Errorf("exit code %d: %s", code, out)
	}
}
