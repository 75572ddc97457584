package app_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/accordo-ai/accordo/internal/app"
)

func TestExplainRights_AsksThePlanAsTheGatewayDoes(t *testing.T) {
	for _, row := range []struct {
		name    string
		q       app.RightsQuestion
		allowed bool
		says    string // in the answer as JSON
	}{
		{"no plan is named", app.RightsQuestion{Model: "openai-frontier", Channel: "openai-api", Territory: "US"}, true, "no --plan was named"},
		{"no plan, of a variant that another party sells", app.RightsQuestion{Model: "assistant-custom", Channel: "alexa", Territory: "US"}, false, "assistant-included (sold by amazon)"},
		{"its plan", app.RightsQuestion{Model: "assistant-custom", Channel: "alexa", Territory: "US", Plan: "assistant-included"}, true, `"surfaces"`},
		{"its plan, on another surface", app.RightsQuestion{Model: "assistant-custom", Channel: "alexa", Territory: "US", Plan: "assistant-included", Surface: "fridge"}, false, "this request comes from: fridge"},
		{"where it is not rolled out", app.RightsQuestion{Model: "assistant-custom", Channel: "alexa", Territory: "JP", Plan: "assistant-included"}, false, "not rolled out in JP"},
		{"a plan whose seller has no right", app.RightsQuestion{Model: "openai-frontier", Channel: "openai-api", Territory: "US", Plan: "assistant-included"}, false, "refused"},
	} {
		t.Run(row.name, func(t *testing.T) {
			var out bytes.Buffer
			row.q.Object, row.q.At, row.q.JSON, row.q.Now = "stateless_api", "2026-11-22", true, time.Date(2026, 11, 22, 0, 0, 0, 0, time.UTC)
			err := app.ExplainRights(&out, row.q)
			var exit app.ExitError
			if err != nil && (!errors.As(err, &exit) || exit.Code != app.ExitRefused) {
				t.Fatal(err)
			}
			var answer struct {
				Allowed bool     `json:"allowed"`
				Plans   []string `json:"plans"`
			}
			if err := json.Unmarshal(out.Bytes(), &answer); err != nil {
				t.Fatal(err)
			}
			if answer.Allowed != row.allowed || answer.Allowed != (err == nil) || !strings.Contains(out.String(), row.says) {
				t.Errorf("want allowed %v and %q:\n%s", row.allowed, row.says, out.String())
			}
			if row.q.Plan == "" && !slices.Contains(append(answer.Plans, "x"), "demonstration") {
				t.Errorf("plans that offer it: %v", answer.Plans)
			}
		})
	}
}
