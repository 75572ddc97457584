package file_test

import (
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/accordo-ai/accordo/internal/alliance"
	"github.com/accordo-ai/accordo/internal/alliance/file"
)

func TestClauses_AreReadAndWrittenBack(t *testing.T) {
	a, err := file.Load("testdata/good/clauses.yaml")
	if err != nil {
		t.Fatal(err)
	}
	again, err := file.Parse("again", file.Canonical(a))
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(a, again, cmpopts.IgnoreUnexported(alliance.Alliance{})); diff != "" {
		t.Errorf("-read +written back:\n%s", diff)
	}
	if l := a.Contract("K-fixed").LateDelivery; l == nil || l.Abates != alliance.AbatesFees {
		t.Errorf("late_delivery of K-fixed is %+v", l)
	}
}
