package e2e

import (
	"encoding/json"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// Over real books the pages, the API and the command tell the same invoices
// under the same numbers, a line leads to a request, a partner sees its own
// invoices only, and margins are those of the command.
func TestSales_OverRealBooks(t *testing.T) {
	p := playBooks(t)
	finance, partner := p.access("anna", "--role", "finance"), p.access("amz", "--role", "partner", "--party", "amazon")
	type invoice struct{ Number, Customer, Party, Total, Name string }
	var list []invoice
	p.get(finance, "/api/sales?month=2026-06", &list)
	if len(list) < 3 {
		t.Fatalf("%d invoices", len(list))
	}
	var others []string
	for i, v := range list {
		if want := fmt.Sprintf("OPENAI-%06d", len(list)-i); v.Number != want {
			t.Errorf("%s has the number %s, want %s", v.Customer, v.Number, want)
		}
		if v.Party != "amazon" {
			others = append(others, v.Customer, v.Number, v.Name)
		}
		var api, command invoice
		p.get(finance, "/api/sales/"+v.Customer, &api)
		if err := json.Unmarshal([]byte(p.run("invoice", v.Customer, "--month", "2026-06", "--data", p.data, "--json")), &command); err != nil {
			t.Fatal(err)
		}
		if api != v || command != v {
			t.Errorf("the list says %+v, the API %+v, the command %+v", v, api, command)
		}
		_, page := p.ask(finance, "GET", "/sales/"+v.Customer+"?month=2026-06", nil)
		if !strings.Contains(page, "<h1>Invoice "+v.Number+"</h1>") {
			t.Errorf("the page of %s has no number %s", v.Customer, v.Number)
		}
	}

	var own []invoice
	p.get(partner, "/api/sales", &own)
	if slices.ContainsFunc(own, func(v invoice) bool { return v.Party != "amazon" }) || !slices.ContainsFunc(own, func(v invoice) bool { return v.Customer == "aws-bedrock" }) || len(others) < 6 {
		t.Fatalf("the partner sees %+v; others %v", own, others)
	}
	others = append(others, "asset/receivable", "revenue/", "sale-api")
	for _, path := range []string{"/sales", "/sales/aws-bedrock", "/sales/aws-bedrock/lines?line=1", "/sales/aws-bedrock?csv=lines", "/api/sales", "/api/sales/aws-bedrock", "/sales/aws-bedrock/pdf"} {
		code, body := p.ask(partner, "GET", path, nil)
		if code != 200 {
			t.Errorf("%s: status %d", path, code)
		}
		for _, word := range others {
			if strings.Contains(body, word) {
				t.Errorf("%s tells a partner %q", path, word)
			}
		}
	}
	for _, path := range []string{"/sales/demo-tenant", "/api/sales/demo-tenant", "/margin", "/api/margin"} {
		if code, _ := p.ask(partner, "GET", path, nil); code != 404 {
			t.Errorf("%s answers a partner %d", path, code)
		}
	}

	follow := func(path, pattern string) string {
		t.Helper()
		_, body := p.ask(finance, "GET", path, nil)
		m := regexp.MustCompile(pattern).FindStringSubmatch(body)
		if m == nil {
			t.Fatalf("%s leads no further", path)
		}
		return strings.ReplaceAll(m[1], "&amp;", "&")
	}
	request := follow(follow(follow("/sales/demo-tenant", `href="(/sales/demo-tenant/lines[^"]*)"`), `href="(/ledger/entries/[^"]*)"`), `href="(/requests/[^"]*)"`)
	if code, body := p.ask(finance, "GET", request, nil); code != 200 || !strings.Contains(body, "demo-tenant") {
		t.Errorf("%s: status %d", request, code)
	}

	type margin struct {
		Total struct{ Sales, Cost, Margin string }
		Rows  []struct{ Name, Margin string }
	}
	var api, again, command margin
	p.get(finance, "/api/margin?by=model", &api)
	p.get(finance, "/api/margin?by=model&month=2026-06", &again)
	if err := json.Unmarshal([]byte(p.run("margin", "--by", "model", "--month", "2026-06", "--data", p.data, "--json")), &command); err != nil {
		t.Fatal(err)
	}
	if fmt.Sprint(api) != fmt.Sprint(command) || fmt.Sprint(again) != fmt.Sprint(api) || len(api.Rows) < 3 {
		t.Errorf("the API says %+v, the command %+v", api, command)
	}
}
