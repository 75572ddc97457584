package app

import (
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/accordo-ai/accordo/internal/alliance"
)

func TestDoctorRates_NamesEachCurrencyWithoutARateAndTheCommand(t *testing.T) {
	a := &alliance.Alliance{Currency: "USD", Contracts: []alliance.Contract{{ID: "home"}, {ID: "k1", Currency: "EUR"}, {ID: "k2", Currency: "GBP"}, {ID: "k3", Currency: "EUR"}}}
	d := &doctor{o: DoctorOptions{Data: filepath.Join(t.TempDir(), "none"), Now: time.Date(2026, 6, 1, 12, 0, 0, 0, time.UTC)}}
	d.rates(a)
	if len(d.list) != 2 {
		t.Fatalf("%+v", d.list)
	}
	for i, code := range []string{"EUR", "GBP"} {
		x := d.list[i]
		if x.State != stateWrong || !strings.Contains(x.Says, "rate of "+code+" in USD is not known") || !strings.Contains(x.Do, "accordo record rate --base "+code+" --quote USD --rate RATE --on 2026-06-01") {
			t.Errorf("%+v", x)
		}
	}
	d.list = nil
	a.Contracts = a.Contracts[:1]
	if d.rates(a); len(d.list) != 0 {
		t.Errorf("without another currency: %+v", d.list)
	}
}
