package upstreamsim

import (
	"errors"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/openai/openai-go/v3"
	"github.com/openai/openai-go/v3/option"
)

// TestSDK_SeesAProvider drives the simulator with the official client, unmodified.
func TestSDK_SeesAProvider(t *testing.T) {
	s, url := start(t, Options{Pools: []PoolOptions{{Name: "p", APIKey: "k", Models: []string{"m"}}}})
	c := openai.NewClient(option.WithBaseURL(url+"/pools/p/v1"), option.WithAPIKey("k"), option.WithMaxRetries(0))
	params := openai.ChatCompletionNewParams{Model: "m", Messages: []openai.ChatCompletionMessageParamUnion{openai.UserMessage("hello there")}}
	plain, err := c.Chat.Completions.New(t.Context(), params)
	if err != nil {
		t.Fatal(err)
	}
	params.StreamOptions.IncludeUsage = openai.Bool(true)
	stream := c.Chat.Completions.NewStreaming(t.Context(), params)
	var acc openai.ChatCompletionAccumulator
	for stream.Next() {
		if !acc.AddChunk(stream.Current()) {
			t.Fatalf("chunk does not fit: %s", stream.Current().RawJSON())
		}
	}
	if err := stream.Err(); err != nil {
		t.Fatal(err)
	}
	if got, want := acc.Choices[0].Message.Content, plain.Choices[0].Message.Content; got != want || got == "" {
		t.Errorf("streamed %q, plain %q", got, want)
	}
	if acc.Usage.TotalTokens != plain.Usage.TotalTokens || acc.Choices[0].FinishReason != "stop" {
		t.Errorf("usage %+v, finish %q", acc.Usage, acc.Choices[0].FinishReason)
	}
	models, err := c.Models.List(t.Context())
	if err != nil || len(models.Data) != 1 || models.Data[0].ID != "m" {
		t.Errorf("models %+v, %v", models, err)
	}
	e, err := c.Embeddings.New(t.Context(), openai.EmbeddingNewParams{Model: "m", Input: openai.EmbeddingNewParamsInputUnion{OfString: openai.String("x")}})
	if err != nil || len(e.Data[0].Embedding) != DefaultEmbeddingSize {
		t.Errorf("embedding %v", err)
	}
	if err := s.SetScript(always(t, `status: 429, retry_after: "1"`)); err != nil {
		t.Fatal(err)
	}
	_, err = c.Chat.Completions.New(t.Context(), params)
	var fault *openai.Error
	if !errors.As(err, &fault) || fault.StatusCode != 429 || fault.Code != "rate_limit_exceeded" {
		t.Errorf("error %v", err)
	}
	if err := s.SetScript(always(t, "tool_calls: [{name: f, arguments: '{\"a\":1}'}, {name: g}]")); err != nil {
		t.Fatal(err)
	}
	params.Tools = []openai.ChatCompletionToolUnionParam{openai.ChatCompletionFunctionTool(openai.FunctionDefinitionParam{Name: "f"}), openai.ChatCompletionFunctionTool(openai.FunctionDefinitionParam{Name: "g"})}
	stream = c.Chat.Completions.NewStreaming(t.Context(), params)
	acc = openai.ChatCompletionAccumulator{}
	for stream.Next() {
		acc.AddChunk(stream.Current())
	}
	var names []string
	for _, call := range acc.Choices[0].Message.ToolCalls {
		names = append(names, call.Function.Name)
	}
	if !cmp.Equal(names, []string{"f", "g"}) || acc.Choices[0].Message.ToolCalls[0].Function.Arguments != `{"a":1}` {
		t.Errorf("calls %+v", acc.Choices[0].Message.ToolCalls)
	}
}
