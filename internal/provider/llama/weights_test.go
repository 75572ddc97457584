//go:build unix

package llama

import (
	"encoding/json"
	"os"
	"strings"
	"testing"
)

// realModel loads the weights that the fetch step obtained.
func realModel(t testing.TB, threads int) *Model {
	t.Helper()
	file := os.Getenv("ACCORDO_WEIGHTS")
	if file == "" {
		notRun(t, "ACCORDO_WEIGHTS")
	}
	return loadModel(t, ModelOptions{Weights: file, ContextTokens: 2048, Threads: threads})
}

func TestRealWeights_KnowTheCapitalOfFrance(t *testing.T) {
	m := realModel(t, 1)
	if !m.HasChatTemplate() {
		t.Fatal("the model's chat template was not recognised")
	}
	text, o, err := run(t.Context(), m, generation{input: input(t, m, "What is the capital of France?"), maxTokens: 32})
	if err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(text, "Paris") || o.finish != finishStop {
		t.Errorf("answer %q, %+v", text, o)
	}
	t.Logf("%q %+v", text, o)
}

func TestRealWeights_WriteJSONUnderAGrammar(t *testing.T) {
	m := realModel(t, 1)
	g, err := schemaGrammar([]byte(`{"type":"object","properties":{"city":{"type":"string"},"country":{"type":"string"}},"required":["city","country"],"additionalProperties":false}`))
	if err != nil {
		t.Fatal(err)
	}
	text, o, err := run(t.Context(), m, generation{input: input(t, m, "Name the capital of France as JSON with city and country."), maxTokens: 120, sampling: sampling{grammar: g}})
	if err != nil {
		t.Fatal(err)
	}
	var a struct{ City, Country string }
	if err := json.Unmarshal([]byte(text), &a); err != nil || o.finish != finishStop {
		t.Errorf("answer %q: %v, %+v", text, err, o)
	}
	t.Logf("%q %+v", text, o)
}

// BenchmarkRealWeights reports tokens per second for input and output.
func BenchmarkRealWeights(b *testing.B) {
	for _, bench := range []struct {
		name    string
		threads int
		grammar string
	}{{"1thread", 1, ""}, {"2threads", 2, ""}, {"2threads_json", 2, jsonObjectGrammar}} {
		b.Run("output/"+bench.name, func(b *testing.B) {
			m := realModel(b, bench.threads)
			g := generation{input: input(b, m, "Tell a long story about a ship."), maxTokens: 128, sampling: sampling{grammar: bench.grammar}}
			tokens := 0
			for b.Loop() {
				_, o, err := run(b.Context(), m, g)
				if err != nil {
					b.Fatal(err)
				}
				tokens += o.output
			}
			b.ReportMetric(float64(tokens)/b.Elapsed().Seconds(), "tokens/s")
		})
	}
	for _, threads := range []int{1, 2} {
		b.Run(map[int]string{1: "input/1thread", 2: "input/2threads"}[threads], func(b *testing.B) {
			m := realModel(b, threads)
			g := generation{input: input(b, m, strings.Repeat("The ship sailed on and the sea was calm. ", 50)), maxTokens: 1}
			tokens := 0
			for b.Loop() {
				_, o, err := run(b.Context(), m, g)
				if err != nil {
					b.Fatal(err)
				}
				tokens += o.input
			}
			b.ReportMetric(float64(tokens)/b.Elapsed().Seconds(), "tokens/s")
		})
	}
}
