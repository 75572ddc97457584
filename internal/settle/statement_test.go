package settle_test

import (
	"encoding/csv"
	"errors"
	"io"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/accordo-ai/accordo/internal/alliance"
	"github.com/accordo-ai/accordo/internal/contract"
	"github.com/accordo-ai/accordo/internal/ledger"
	"github.com/accordo-ai/accordo/internal/money"
	"github.com/accordo-ai/accordo/internal/record"
	"github.com/accordo-ai/accordo/internal/settle"
	"github.com/accordo-ai/accordo/internal/store/storetest"
)

// withParties names everybody that the random histories deal with.
func withParties(t *testing.T) *ledger.Terms {
	t.Helper()
	a, err := storetest.Terms("5ec0nd")
	if err != nil {
		t.Fatal(err)
	}
	for _, id := range []string{"aws", "azure", "neo", "amazon", "unknown"} {
		a.Parties = append(a.Parties, alliance.Party{ID: alliance.PartyID(id), Name: strings.ToUpper(id)})
	}
	for _, id := range []string{"t0", "t1", "t2"} {
		a.Tenants = append(a.Tenants, alliance.Tenant{ID: alliance.TenantID(id), Name: id})
	}
	return ledger.NewTerms(a)
}

func TestStatements_OfAllPartiesAddUpToTheLedger(t *testing.T) {
	s := storeOf(t, storetest.History(storetest.Random(21), 900))
	terms := withParties(t)
	balances, err := s.Balances(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	want, got := map[ledger.AccountID]money.Amount{}, map[ledger.AccountID]money.Amount{}
	for _, b := range balances {
		if c := b.Account.Class(); (c == contract.Asset || c == contract.Liability) && b.Account.Kind() != "capacity_clearing" && b.Account.Kind() != ledger.ExpectedKind {
			want[b.Account] = b.Amount
		}
	}
	if len(want) < 5 {
		t.Fatalf("only %d accounts", len(want))
	}
	for _, party := range []string{"aws", "azure", "neo", "amazon", "unknown", "t0", "t1", "t2"} {
		carried := money.Amount(0)
		for _, month := range []int32{202605, 202606, 202607, 202608} {
			st, err := settle.MakeStatement(t.Context(), s, terms, party, month, 0)
			if err != nil {
				t.Fatal(err)
			}
			if st.Opening != carried {
				t.Errorf("%s begins %d with %d, the month before ended with %d", party, month, st.Opening, carried)
			}
			carried = st.Closing
			mirrored := st.Mirror()
			if mirrored.Closing != -st.Closing {
				t.Errorf("%s sees %d, the operator %d", party, mirrored.Closing, st.Closing)
			}
			if diff := cmp.Diff(st, mirrored.Mirror()); diff != "" {
				t.Errorf("mirrored twice:\n%s", diff)
			}
			if month != 202608 {
				continue
			}
			for _, a := range st.Accounts {
				if _, twice := got[a.Account]; twice {
					t.Errorf("%s is on two statements", a.Account)
				}
				got[a.Account] = a.Closing
			}
		}
	}
	for a, v := range want {
		if v == 0 {
			delete(want, a)
			delete(got, a)
		}
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("-ledger +statements:\n%s", diff)
	}
	if _, err := settle.MakeStatement(t.Context(), s, terms, "nobody", 202606, 0); !errors.Is(err, settle.ErrNoParty) {
		t.Errorf("nobody: %v", err)
	}
}

func TestStatementCSV_AddsUp(t *testing.T) {
	s := storeOf(t, storetest.History(storetest.Random(21), 900))
	st, err := settle.MakeStatement(t.Context(), s, withParties(t), "aws", 202607, 0)
	if err != nil {
		t.Fatal(err)
	}
	var text strings.Builder
	if err := settle.WriteStatementCSV(&text, st); err != nil {
		t.Fatal(err)
	}
	if err := settle.WriteStatement(io.Discard, st); err != nil {
		t.Fatal(err)
	}
	rows, err := csv.NewReader(strings.NewReader(text.String())).ReadAll()
	if err != nil || len(rows) < 4 {
		t.Fatalf("%d rows, %v", len(rows), err)
	}
	sums, ends := map[string]money.Amount{}, map[string]money.Amount{}
	for _, row := range rows[1:] {
		amount, err := money.Parse(row[13])
		if err != nil {
			t.Fatal(err)
		}
		if row[5] == "carried_forward" {
			ends[row[4]] = amount
			continue
		}
		sums[row[4]] += amount
	}
	if diff := cmp.Diff(ends, sums); diff != "" {
		t.Error(diff)
	}
}

// storeOf posts a history into a store.
func storeOf(t *testing.T, history []record.Record) settle.Store {
	t.Helper()
	n := openNode(t, t.TempDir())
	t.Cleanup(func() { n.close(t) })
	for _, step := range storetest.Steps(t, history) {
		if err := n.store.Append(t.Context(), &step); err != nil {
			t.Fatal(err)
		}
	}
	return n.store
}
