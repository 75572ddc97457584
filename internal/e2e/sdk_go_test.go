package e2e

import (
	"context"
	"crypto/sha256"
	little "encoding/binary"
	"encoding/hex"
	"encoding/json"
	"errors"
	"math"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/openai/openai-go/v3"
	"github.com/openai/openai-go/v3/option"
)

func digest(secret string) string {
	sum := sha256.Sum256([]byte(secret))
	return hex.EncodeToString(sum[:])
}

func float32At(b []byte) float32 { return math.Float32frombits(little.LittleEndian.Uint32(b)) }

// runGo makes the calls with the official Go SDK, in this process.
func runGo(t *testing.T, api string, cases []sdkCase) []sdkResult {
	transport := &http.Transport{}
	defer transport.CloseIdleConnections()
	var list []sdkResult
	for _, c := range cases {
		g := &goClient{T: t, sdkCase: c, result: sdkResult{Name: c.Name}}
		g.SDK = openai.NewClient(option.WithBaseURL(api), option.WithAPIKey(c.Key), option.WithHTTPClient(&http.Client{Transport: transport}), option.WithMiddleware(g.count))
		if c.Pad > 0 {
			g.Params = json.RawMessage(strings.Replace(string(c.Params), "hello", strings.Repeat("x", c.Pad), 1))
		}
		for range c.Repeat {
			if g.result.Before = g.call(0); g.result.Before != nil {
				break
			}
		}
		g.result.Sent = 0
		g.result.Error = g.call(c.Retries)
		list = append(list, g.result)
	}
	return list
}

type goClient struct {
	*testing.T
	sdkCase
	SDK    openai.Client
	result sdkResult
}

// count sees every request that the SDK sends.
func (g *goClient) count(r *http.Request, next option.MiddlewareNext) (*http.Response, error) {
	g.result.Sent++
	resp, err := next(r)
	if err == nil {
		g.result.RequestID = resp.Header.Get("X-Request-Id")
	}
	return resp, err
}

func (g *goClient) call(retries int) *sdkError {
	options := []option.RequestOption{option.WithMaxRetries(retries)}
	if g.TimeoutMS > 0 {
		options = append(options, option.WithRequestTimeout(time.Duration(g.TimeoutMS)*time.Millisecond))
	}
	var extra map[string]json.RawMessage
	if len(g.Extra) > 0 {
		g.parse(g.Extra, &extra)
	}
	for k, v := range extra {
		options = append(options, option.WithJSONSet(k, v))
	}
	var err error
	switch g.Call {
	case "chat":
		err = g.chat(options)
	case "stream", "helper":
		err = g.stream(options)
	case "embeddings":
		err = g.embeddings(options)
	case "models":
		pages := g.SDK.Models.ListAutoPaging(g.Context(), options...)
		for pages.Next() {
			m := pages.Current()
			g.result.IDs = append(g.result.IDs, m.ID+" "+m.OwnedBy)
		}
		err = pages.Err()
	case "model":
		var p struct{ Model string }
		g.parse(g.Params, &p)
		var m *openai.Model
		if m, err = g.SDK.Models.Get(g.Context(), p.Model, options...); err == nil {
			g.result.IDs = []string{m.ID + " " + m.OwnedBy}
		}
	}
	return goError(err)
}

func (g *goClient) parse(data []byte, into any) {
	if err := json.Unmarshal(data, into); err != nil {
		g.Fatalf("%s: %v", g.Name, err)
	}
}

func goError(err error) *sdkError {
	var e *openai.Error
	switch {
	case err == nil:
		return nil
	case errors.As(err, &e):
		return &sdkError{Status: e.StatusCode, Code: e.Code, Type: e.Type, Param: e.Param, Message: e.Message, RetryAfter: e.Response != nil && e.Response.Header.Get("Retry-After") != ""}
	case errors.Is(err, context.DeadlineExceeded):
		return &sdkError{}
	}
	return &sdkError{Message: err.Error()}
}

func (g *goClient) chat(options []option.RequestOption) error {
	p := g.chatParams()
	c, err := g.SDK.Chat.Completions.New(g.Context(), p, options...)
	if err != nil {
		return err
	}
	g.take(c)
	return nil
}

// chatParams reads the parameters into the SDK's type.
func (g *goClient) chatParams() (p openai.ChatCompletionNewParams) {
	g.parse(g.Params, &p)
	// The type does not read its own tool choice back from JSON.
	var named struct {
		Choice json.RawMessage `json:"tool_choice"`
	}
	g.parse(g.Params, &named)
	if strings.HasPrefix(string(named.Choice), "{") {
		var choice struct {
			Function openai.ChatCompletionNamedToolChoiceFunctionParam `json:"function"`
		}
		g.parse(named.Choice, &choice)
		p.ToolChoice = openai.ToolChoiceOptionFunctionToolChoice(choice.Function)
	}
	return p
}

func (g *goClient) take(c *openai.ChatCompletion) {
	g.result.Text, g.result.Finish, g.result.Model = c.Choices[0].Message.Content, c.Choices[0].FinishReason, c.Model
	g.result.Tools = nil
	for _, call := range c.Choices[0].Message.ToolCalls {
		g.result.Tools = append(g.result.Tools, sdkTool{call.Function.Name, call.Function.Arguments})
	}
	if u := c.Usage; u.TotalTokens > 0 {
		g.result.Usage = &sdkUsage{u.PromptTokens, u.CompletionTokens, u.TotalTokens, u.PromptTokensDetails.CachedTokens, u.CompletionTokensDetails.ReasoningTokens}
	}
}

func (g *goClient) stream(options []option.RequestOption) error {
	p := g.chatParams()
	s := g.SDK.Chat.Completions.NewStreaming(g.Context(), p, options...)
	defer s.Close()
	var sum openai.ChatCompletionAccumulator
	for s.Next() {
		chunk := s.Current()
		if !sum.AddChunk(chunk) {
			g.Errorf("%s: a chunk does not fit: %s", g.Name, chunk.RawJSON())
		}
		if chunk.JSON.Usage.Valid() && g.Call == "stream" {
			g.result.UsageChunks++
		}
	}
	if len(sum.Choices) > 0 {
		g.take(&sum.ChatCompletion)
	}
	return s.Err()
}

func (g *goClient) embeddings(options []option.RequestOption) error {
	var p openai.EmbeddingNewParams
	g.parse(g.Params, &p)
	e, err := g.SDK.Embeddings.New(g.Context(), p, options...)
	if err != nil {
		return err
	}
	g.result.Model, g.result.Usage = e.Model, &sdkUsage{Input: e.Usage.PromptTokens, Total: e.Usage.TotalTokens}
	for _, d := range e.Data {
		v := d.Embedding
		if p.EncodingFormat == openai.EmbeddingNewParamsEncodingFormatBase64 { // the SDK leaves it to its caller
			var raw struct{ Embedding string }
			g.parse([]byte(d.RawJSON()), &raw)
			v = floats(g.T, raw.Embedding)
		}
		g.result.Vectors = append(g.result.Vectors, v)
	}
	return nil
}
