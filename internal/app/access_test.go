package app

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/accordo-ai/accordo/internal/admin"
	"github.com/accordo-ai/accordo/internal/datadir"
)

func newDataDir(t *testing.T) string {
	t.Helper()
	data := filepath.Join(t.TempDir(), "data")
	dir, err := datadir.Open(data)
	if err != nil {
		t.Fatal(err)
	}
	if err := dir.Close(); err != nil {
		t.Fatal(err)
	}
	return data
}

func TestAccess_IsAFactAndTheTokenIsNot(t *testing.T) {
	data, now := newDataDir(t), time.Unix(1_800_000_000, 0)
	var out bytes.Buffer
	if err := GrantAccess(t.Context(), &out, AccessOrder{Data: data, ID: "anna", Role: "partner", Party: "amazon"}, now); err != nil {
		t.Fatal(err)
	}
	token := strings.Fields(out.String())[1]
	if !strings.HasPrefix(token, "partner-") || len(token) != len("partner-")+32 {
		t.Errorf("token %q", token)
	}
	facts, err := os.ReadFile(filepath.Join(data, "facts.jsonl"))
	if err != nil {
		t.Fatal(err)
	}
	if strings.Contains(string(facts), token) || !strings.Contains(string(facts), hashSecret(token)) {
		t.Errorf("facts: %s", facts)
	}
	for name, o := range map[string]AccessOrder{
		"the same name":          {Data: data, ID: "anna", Role: "finance"},
		"a name with a dot":      {Data: data, ID: "a.b", Role: "finance"},
		"no name":                {Data: data, Role: "finance"},
		"an unknown role":        {Data: data, ID: "b", Role: "auditor"},
		"a partner of nobody":    {Data: data, ID: "b", Role: "partner"},
		"an operator of a party": {Data: data, ID: "b", Role: "operator", Party: "amazon"},
		"no data directory":      {Data: data + "-none", ID: "b", Role: "finance"},
	} {
		if err := GrantAccess(t.Context(), &out, o, now); err == nil {
			t.Errorf("%s was granted", name)
		}
	}
	list := func() (got []admin.Access) {
		var out bytes.Buffer
		if err := ListAccess(&out, data, true); err != nil {
			t.Fatal(err)
		}
		if err := json.Unmarshal(out.Bytes(), &got); err != nil {
			t.Fatal(err)
		}
		return got
	}
	if got := list(); len(got) != 1 || got[0] != (admin.Access{ID: "anna", Role: admin.Partner, Party: "amazon"}) {
		t.Errorf("accesses %v", got)
	}
	revoke := AccessOrder{Data: data, ID: "anna", Reason: "left"}
	if err := RevokeAccess(t.Context(), &out, revoke, now); err != nil {
		t.Fatal(err)
	}
	if err := RevokeAccess(t.Context(), &out, revoke, now); err == nil {
		t.Error("revoked twice")
	}
	if got := list(); len(got) != 0 {
		t.Errorf("accesses after revoking %v", got)
	}
}
