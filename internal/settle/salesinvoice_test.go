package settle_test

import (
	"encoding/csv"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/accordo-ai/accordo/internal/alliance"
	"github.com/accordo-ai/accordo/internal/ledger"
	"github.com/accordo-ai/accordo/internal/money"
	"github.com/accordo-ai/accordo/internal/settle"
	"github.com/accordo-ai/accordo/internal/store/storetest"
)

// salesTerms names everybody that buys in the random sales.
func salesTerms(t *testing.T) *ledger.Terms {
	t.Helper()
	a, err := storetest.SalesTerms("5a1e6")
	if err != nil {
		t.Fatal(err)
	}
	a.Parties = append(a.Parties, alliance.Party{ID: "amazon", Name: "Amazon"})
	for i := range a.Channels {
		a.Channels[i].Name = string(a.Channels[i].ID)
	}
	a.Tenants[0].Name, a.Tenants[1].Name = "Zero", "Idle"
	a.Tenants = append(a.Tenants, alliance.Tenant{ID: "t1", Name: "One", PaymentDays: 30}, alliance.Tenant{ID: "t2", Name: "Two"})
	return ledger.NewTerms(a)
}

// TestSalesInvoices_AddUpToTheReceivables makes the invoices of everybody for
// the months of random histories, before and after June is closed.
func TestSalesInvoices_AddUpToTheReceivables(t *testing.T) {
	customers := []string{"t0", "t1", "t2", "idle", "platform", "market", "amazon"}
	for seed := range uint64(6) {
		n := openNode(t, t.TempDir())
		book := ledger.New(storetest.SalesTerms)
		add := func(step ledger.Step, err error) {
			t.Helper()
			if err == nil {
				err = n.store.Append(t.Context(), &step)
			}
			if err != nil {
				t.Fatal(err)
			}
		}
		for _, b := range storetest.Split(storetest.SalesHistory(storetest.Random(seed), 800)) {
			add(book.Post(b))
		}
		terms := salesTerms(t)
		check := func(month int32, closedAt time.Time) {
			t.Helper()
			owed := map[ledger.AccountID]money.Amount{}
			periods, err := n.store.Periods(t.Context(), "lab/asset/receivable/")
			if err != nil {
				t.Fatal(err)
			}
			for _, p := range periods {
				if p.Period == month {
					owed[p.Account] = p.Amount
				}
			}
			for _, customer := range customers {
				v, err := settle.MakeSalesInvoice(t.Context(), n.store, storetest.SalesTerms, terms, customer, month, closedAt)
				if err != nil {
					t.Fatal(err)
				}
				addsUp(t, v, owed[v.Account])
				delete(owed, v.Account)
			}
			if len(owed) > 0 {
				t.Fatalf("nobody is invoiced for %v", owed)
			}
		}
		check(202606, time.Time{})
		check(202607, time.Time{})
		fact := func(e ledger.Event) {
			head := book.Head()
			add(book.PostFact(ledger.Fact{Number: head.Facts + 1, After: head.Last, At: head.At, Event: e}, ledger.Evidence{}))
		}
		fact(ledger.Event{PoolBilled: &ledger.PoolBilled{Pool: "aws-chips", Month: 202606, Reason: "invoice"}})
		fact(ledger.Event{MonthClosed: &ledger.MonthClosed{Month: 202606}})
		check(202606, time.Date(2026, 7, 3, 9, 0, 0, 0, time.UTC))
		check(202607, time.Time{})
		n.close(t)
	}
}

func addsUp(t *testing.T, v *settle.SalesInvoice, want money.Amount) {
	t.Helper()
	sum, rows := money.Amount(0), 0
	for i := range v.Lines {
		l := &v.Lines[i]
		sum += l.Amount
		if l.Item == settle.ItemRounding && (l.Amount < -money.Amount(len(v.Lines)) || l.Amount > money.Amount(len(v.Lines))) {
			t.Errorf("%s: %d of rounding in %d lines", v.Customer, l.Amount, len(v.Lines))
		}
		if exact, _, _ := money.Product(l.Quantity, int64(l.UnitPrice)).FloorDiv(1_000_000); l.Unit == "1,000,000 tokens" && money.Amount(exact) != l.Amount {
			t.Errorf("%s: %d tokens at %s are %s, not %s", v.Customer, l.Quantity, l.UnitPrice, money.Amount(exact), l.Amount)
		}
		if l.Unit != "1,000,000 tokens" && l.Quantity > 0 && money.Amount(l.Quantity)*l.UnitPrice != l.Amount {
			t.Errorf("%s: %d of %s are not %s", v.Customer, l.Quantity, l.UnitPrice, l.Amount)
		}
	}
	if sum != want || v.Total != want {
		t.Fatalf("%s in %d: lines come to %s, the total to %s, the ledger to %s", v.Customer, v.Month, sum, v.Total, want)
	}
	if (v.Number != "") != !v.Issued.IsZero() || v.Number != "" && v.Customer == "t1" && v.Due.String() != "2026-08-02" {
		t.Errorf("number %q, issued %s, due %s", v.Number, v.Issued, v.Due)
	}
	var text, csvText strings.Builder
	if err := errors.Join(settle.WriteSalesInvoice(&text, v), settle.WriteSalesInvoiceCSV(&csvText, v)); err != nil {
		t.Fatal(err)
	}
	list, err := csv.NewReader(strings.NewReader(csvText.String())).ReadAll()
	if err != nil {
		t.Fatal(err)
	}
	for _, row := range list[1:] {
		if row[7] == "line" {
			rows++
		}
	}
	if rows != len(v.Lines) || !strings.Contains(text.String(), v.Total.String()) || strings.HasPrefix(text.String(), "DRAFT") != (!v.Closed && rows > 0) {
		t.Errorf("%d rows of %d lines:\n%s", rows, len(v.Lines), text.String())
	}
}

func TestSalesInvoice_SaysWhoIsNoCustomer(t *testing.T) {
	n := openNode(t, t.TempDir())
	defer n.close(t)
	terms := salesTerms(t)
	for customer, want := range map[string]string{"nobody": "give a tenant", "aws": "give a tenant", "direct-api": "give a tenant"} {
		_, err := settle.MakeSalesInvoice(t.Context(), n.store, storetest.SalesTerms, terms, customer, 202606, time.Time{})
		if !errors.Is(err, settle.ErrNoCustomer) || !strings.Contains(fmt.Sprint(err), want) {
			t.Errorf("%s: %v", customer, err)
		}
	}
}

// TestStatements_OfAllWhoBuyAddUpToTheLedger gives every receivable to one
// statement: a channel's to the party that runs it.
func TestStatements_OfAllWhoBuyAddUpToTheLedger(t *testing.T) {
	s := storeOf(t, storetest.SalesHistory(storetest.Random(21), 900))
	a := salesTerms(t).Alliance()
	for _, id := range []string{"aws", "azure", "neo", "unknown"} {
		a.Parties = append(a.Parties, alliance.Party{ID: alliance.PartyID(id), Name: id})
	}
	balances, err := s.Balances(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	want, got := map[ledger.AccountID]money.Amount{}, map[ledger.AccountID]money.Amount{}
	for _, b := range balances {
		if k := b.Account.Kind(); k == "receivable" && b.Amount != 0 {
			want[b.Account] = b.Amount
		}
	}
	for _, party := range []string{"aws", "azure", "neo", "unknown", "amazon", "t0", "t1", "t2", "idle"} {
		st, err := settle.MakeStatement(t.Context(), s, ledger.NewTerms(a), party, 202608, 0)
		if err != nil {
			t.Fatal(err)
		}
		for _, account := range st.Accounts {
			if account.Account.Kind() != "receivable" || account.Closing == 0 {
				continue
			}
			if _, twice := got[account.Account]; twice {
				t.Errorf("%s is on two statements", account.Account)
			}
			got[account.Account] = account.Closing
		}
	}
	if diff := cmp.Diff(want, got); diff != "" || len(want) < 5 {
		t.Errorf("-ledger +statements:\n%s", diff)
	}
}
