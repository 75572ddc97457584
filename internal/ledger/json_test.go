package ledger

import (
	"encoding/json"
	"strings"
	"testing"
)

func TestJSON_CountsTokensInTokensAndMoneyInMoney(t *testing.T) {
	for _, row := range []struct {
		name  string
		value any
		want  string
	}{
		{"money", Balance{Asset: "USD", Amount: -2_500_000}, `"amount":"-2.50"`},
		{"open commitment", Balance{Asset: "COMMIT-USD(c)", Amount: 1}, `"amount":"0.000001"`},
		{"tokens", Balance{Asset: "TOK(m)", Amount: -43}, `"amount":"-43"`},
		{"a trial balance of burn units", Total{Asset: "BURN(p)", Debits: 2030, Credits: 2030}, `"debits":"2030","credits":"2030","balanced":true`},
		{"an entry of tokens keeps its other fields", Entry{Key: Key{Asset: "TOK(m)", Kind: Tokens}, Amount: 7, Lines: 3}, `"lines":3`},
		{"an entry of tokens", Entry{Key: Key{Asset: "TOK(m)", Kind: Tokens}, Amount: 7}, `"amount":"7"`},
	} {
		t.Run(row.name, func(t *testing.T) {
			out, err := json.Marshal(row.value)
			if err != nil || !strings.Contains(string(out), row.want) {
				t.Errorf("%s, %v; want %s in it", out, err, row.want)
			}
		})
	}
}
