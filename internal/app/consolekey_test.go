package app

import (
	"fmt"
	"testing"

	"github.com/accordo-ai/accordo/internal/alliance"
)

// The console lists a bounded number of keys, of every tenant that the operator
// may ask as.
func TestConsoleKeys_HaveALimit(t *testing.T) {
	for _, row := range []struct {
		name string
		file string
		keys []int // by tenant; the second is a party of its own
		want []int
	}{
		{"few are all there", "f", []int{150, 30, 50}, []int{150, 0, 50}},
		{"many are shared among the tenants", "f", []int{1000, 30, 1001}, []int{100, 0, 100}},
		{"what one lacks is not another's", "f", []int{1000, 30, 3}, []int{100, 0, 3}},
		{"the built-in example has all parties'", "", []int{70, 90, 90}, []int{67, 67, 66}},
	} {
		t.Run(row.name, func(t *testing.T) {
			a := &alliance.Alliance{Operator: "lab", Plans: []alliance.Plan{{ID: "p"}}}
			for i, n := range row.keys {
				of := alliance.Tenant{ID: alliance.TenantID(fmt.Sprint(i))}
				if i == 1 {
					of.Party = "other"
				}
				for j := range n {
					of.Keys = append(of.Keys, alliance.Key{ID: alliance.KeyID(fmt.Sprint(i, "-", j)), Plan: "p"})
				}
				a.Tenants = append(a.Tenants, of)
			}
			s := &server{o: UpOptions{File: row.file}}
			extra, err := s.consoleKeys(a.Build())
			if err != nil {
				t.Fatal(err)
			}
			got := map[alliance.TenantID]int{}
			for i, k := range extra {
				got[k.Tenant]++
				if k.SHA256 != hashSecret((*s.keys.Load())[i].secret) {
					t.Errorf("key %s has another secret in the console", k.ID)
				}
			}
			for i, want := range row.want {
				if n := got[a.Tenants[i].ID]; n != want {
					t.Errorf("tenant %d has %d keys, not %d", i, n, want)
				}
				if len(a.Tenants[i].Keys) != row.keys[i] {
					t.Errorf("tenant %d of the terms has lost keys", i)
				}
			}
		})
	}
}
