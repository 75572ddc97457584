package llama

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
)

const (
	// maxMessages bounds the turns of one conversation.
	maxMessages = 2048
	// maxStops is the dialect's limit on stop strings, and maxStopBytes bounds each.
	maxStops     = 4
	maxStopBytes = 256
)

// apiError is an error of the dialect: a status and the body's error object.
type apiError struct {
	status  int
	Message string  `json:"message"`
	Type    string  `json:"type"`
	Param   *string `json:"param"`
	Code    *string `json:"code"`
}

func (e *apiError) Error() string { return e.Message }

func optional(s string) *string {
	if s == "" {
		return nil
	}
	return &s
}

// invalid is a request that the client must change.
func invalid(param, code, format string, args ...any) *apiError {
	return &apiError{http.StatusBadRequest, fmt.Sprintf(format, args...), "invalid_request_error", optional(param), optional(code)}
}

// chatRequest is what is read of a chat completion request. Unknown fields and
// tools are accepted and have no effect.
type chatRequest struct {
	Model               string          `json:"model"`
	Messages            []wireMessage   `json:"messages"`
	Stream              bool            `json:"stream"`
	StreamOptions       *streamOptions  `json:"stream_options"`
	MaxTokens           *int64          `json:"max_tokens"`
	MaxCompletionTokens *int64          `json:"max_completion_tokens"`
	Temperature         *float64        `json:"temperature"`
	TopP                *float64        `json:"top_p"`
	FrequencyPenalty    *float64        `json:"frequency_penalty"`
	PresencePenalty     *float64        `json:"presence_penalty"`
	Seed                *int64          `json:"seed"`
	Stop                json.RawMessage `json:"stop"`
	N                   *int64          `json:"n"`
	Logprobs            *bool           `json:"logprobs"`
	ResponseFormat      *responseFormat `json:"response_format"`
}

type streamOptions struct {
	IncludeUsage bool `json:"include_usage"`
}

type responseFormat struct {
	Type       string `json:"type"`
	JSONSchema *struct {
		Schema json.RawMessage `json:"schema"`
	} `json:"json_schema"`
}

type wireMessage struct {
	Role      string          `json:"role"`
	Content   json.RawMessage `json:"content"`
	ToolCalls json.RawMessage `json:"tool_calls"`
}

// parseChat reads and checks a request body. The error is an *apiError.
func parseChat(body []byte) (*chatRequest, []Message, error) {
	var r chatRequest
	if err := json.Unmarshal(body, &r); err != nil {
		var te *json.UnmarshalTypeError
		if errors.As(err, &te) && te.Field != "" {
			return nil, nil, invalid(te.Field, "invalid_type", "Invalid type for '%s': got %s.", te.Field, te.Value)
		}
		return nil, nil, invalid("", "", "We could not parse the JSON body of your request.")
	}
	if err := r.check(); err != nil {
		return nil, nil, err
	}
	messages := make([]Message, len(r.Messages))
	for i, m := range r.Messages {
		msg, err := m.plain(i)
		if err != nil {
			return nil, nil, err
		}
		messages[i] = msg
	}
	return &r, messages, nil
}

// check refuses what this server cannot do, field by field.
func (r *chatRequest) check() error {
	switch {
	case r.Model == "":
		return invalid("model", "", "you must provide a model parameter")
	case len(r.Messages) == 0:
		return invalid("messages", "empty_array", "Invalid 'messages': empty array. Expected at least one message.")
	case len(r.Messages) > maxMessages:
		return invalid("messages", "array_above_max_length", "Invalid 'messages': at most %d messages are taken.", maxMessages)
	case r.StreamOptions != nil && !r.Stream:
		return invalid("stream_options", "", "The 'stream_options' parameter is only allowed when 'stream' is enabled.")
	case r.N != nil && *r.N != 1:
		return invalid("n", "unsupported_value", "This model answers with one choice only: leave 'n' out or set it to 1.")
	case r.Logprobs != nil && *r.Logprobs:
		return invalid("logprobs", "unsupported_value", "This model does not report 'logprobs'.")
	}
	for _, f := range []struct {
		name string
		v    *int64
	}{{"max_tokens", r.MaxTokens}, {"max_completion_tokens", r.MaxCompletionTokens}} {
		if f.v != nil && *f.v < 1 {
			return invalid(f.name, "integer_below_min_value", "Invalid '%s': expected a value of at least 1.", f.name)
		}
	}
	for _, f := range []struct {
		name     string
		v        *float64
		min, max float64
	}{
		{"temperature", r.Temperature, 0, 2},
		{"top_p", r.TopP, 0, 1},
		{"frequency_penalty", r.FrequencyPenalty, -2, 2},
		{"presence_penalty", r.PresencePenalty, -2, 2},
	} {
		if f.v != nil && (*f.v < f.min || *f.v > f.max) {
			return invalid(f.name, "", "Invalid '%s': expected a value from %g to %g.", f.name, f.min, f.max)
		}
	}
	return nil
}

// outputLimit is the client's maximum of output tokens, or the default.
func (r *chatRequest) outputLimit(byDefault int) int {
	limit := int64(byDefault)
	switch {
	case r.MaxCompletionTokens != nil:
		limit = *r.MaxCompletionTokens
	case r.MaxTokens != nil:
		limit = *r.MaxTokens
	}
	return int(min(limit, 1<<30))
}

// stops reads a stop string or a list of them.
func (r *chatRequest) stops() ([]string, error) {
	raw := bytes.TrimSpace(r.Stop)
	if len(raw) == 0 || bytes.Equal(raw, []byte("null")) {
		return nil, nil
	}
	var one string
	var many []string
	if json.Unmarshal(raw, &one) == nil {
		many = []string{one}
	} else if json.Unmarshal(raw, &many) != nil {
		return nil, invalid("stop", "invalid_type", "Invalid 'stop': expected a string or an array of strings.")
	}
	if len(many) > maxStops {
		return nil, invalid("stop", "array_above_max_length", "Invalid 'stop': at most %d strings are taken.", maxStops)
	}
	if i := slices.IndexFunc(many, func(s string) bool { return s == "" || len(s) > maxStopBytes }); i >= 0 {
		return nil, invalid("stop", "", "Invalid 'stop': each string must have 1 to %d bytes.", maxStopBytes)
	}
	return many, nil
}

// grammar returns the GBNF of the wanted response format, or nothing.
func (r *chatRequest) grammar() (string, error) {
	if r.ResponseFormat == nil {
		return "", nil
	}
	switch r.ResponseFormat.Type {
	case "", "text":
		return "", nil
	case "json_object":
		return jsonObjectGrammar, nil
	case "json_schema":
		if r.ResponseFormat.JSONSchema == nil || len(r.ResponseFormat.JSONSchema.Schema) == 0 {
			return "", invalid("response_format.json_schema", "", "Missing required parameter: 'response_format.json_schema.schema'.")
		}
		g, err := schemaGrammar(r.ResponseFormat.JSONSchema.Schema)
		if err != nil {
			return "", invalid("response_format", "invalid_json_schema", "Invalid schema for response_format: %v.", err)
		}
		return g, nil
	}
	return "", invalid("response_format.type", "invalid_value", "Invalid 'response_format.type': expected text, json_object or json_schema.")
}

// plain turns a message of the wire into role and text.
func (m wireMessage) plain(i int) (Message, error) {
	at := fmt.Sprintf("messages[%d]", i)
	role := m.Role
	switch role {
	case roleSystem, roleUser, roleAssistant:
	case "developer":
		role = roleSystem
	case "tool", "function":
		role = roleUser
	default:
		return Message{}, invalid(at+".role", "invalid_value", "Invalid '%s.role': expected developer, system, user, assistant or tool.", at)
	}
	text, err := m.text(at)
	if err != nil {
		return Message{}, err
	}
	if text == "" && bytes.HasPrefix(m.ToolCalls, []byte("[")) {
		text = string(m.ToolCalls)
	}
	return Message{Role: role, Content: text}, nil
}

// text reads content that is a string, null or a list of text parts.
func (m wireMessage) text(at string) (string, error) {
	raw := bytes.TrimSpace(m.Content)
	if len(raw) == 0 || bytes.Equal(raw, []byte("null")) {
		return "", nil
	}
	var s string
	if json.Unmarshal(raw, &s) == nil {
		return s, nil
	}
	var parts []struct {
		Type    string `json:"type"`
		Text    string `json:"text"`
		Refusal string `json:"refusal"`
	}
	if json.Unmarshal(raw, &parts) != nil {
		return "", invalid(at+".content", "invalid_type", "Invalid type for '%s.content': expected a string or an array of parts.", at)
	}
	var b strings.Builder
	for j, p := range parts {
		switch p.Type {
		case "text":
			b.WriteString(p.Text)
		case "refusal":
			b.WriteString(p.Refusal)
		default:
			return "", invalid(fmt.Sprintf("%s.content[%d]", at, j), "unsupported_content",
				"This model reads text only: '%s.content[%d]' is of type %q.", at, j, p.Type)
		}
	}
	return b.String(), nil
}
