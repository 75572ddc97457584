package upstreamsim

import (
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"time"
)

// Limits of a script.
const (
	maxScriptBytes   = 256 << 10
	maxRules         = 1000
	maxBodyFileBytes = 16 << 20
	maxHeaders       = 32
	maxToolCalls     = 16
)

// Endpoints that a rule can be limited to.
const (
	EndpointChat       = "chat"
	EndpointEmbeddings = "embeddings"
	EndpointModels     = "models"
)

// Script is an ordered list of rules; the first that fires decides what happens
// to a request. A Script is not changed after it was given to a Server.
type Script struct {
	// Seed decides which requests a rule with a probability picks.
	Seed uint64
	// Rules are tried in order.
	Rules []Rule
}

// Rule matches requests by its filters, counts the matches from 1, and fires its
// action for the counts that Nth, First, Every and Probability all allow.
type Rule struct {
	// Name appears in GET /script; it has no meaning.
	Name string
	// Pool limits the rule to one pool; empty means all.
	Pool string
	// Model limits the rule to one model; empty means all.
	Model string
	// Endpoint limits the rule to chat, embeddings or models; empty means all.
	Endpoint string
	// Stream limits the rule to streamed (true) or plain (false) requests.
	Stream *bool
	// Nth fires for this one match.
	Nth int64
	// First fires for matches 1 to First.
	First int64
	// Every fires for each match whose count it divides.
	Every int64
	// Probability fires for this share of matches, chosen by seed and count; nil means always.
	Probability *float64
	// Action is what happens when the rule fires.
	Action Action
}

// Action is what a fired rule does. Fields combine; the zero value serves normally.
type Action struct {
	// Status, when 400 to 599, answers with an error object and bills nothing.
	Status int
	// ErrorMessage, ErrorType, ErrorCode and ErrorParam replace parts of the error object.
	ErrorMessage, ErrorType, ErrorCode, ErrorParam string
	// Headers are set on the answer as they are.
	Headers map[string]string
	// RetryAfter is the exact text of the Retry-After header.
	RetryAfter string
	// RetryAfterDate sends Retry-After as an HTTP date this far in the future.
	RetryAfterDate time.Duration

	// Body is the exact body of the answer. A usage object in it is what is billed.
	Body *string
	// ContentType belongs to Body; empty means JSON, or an event stream if it starts with "data:".
	ContentType string

	// Refuse closes the connection without an answer.
	Refuse bool
	// AnswerEarly acts before the request's body is read.
	AnswerEarly bool
	// CutAtByte closes the connection after this many bytes of the body.
	CutAtByte *int64
	// ResetAtByte resets the connection (TCP RST) after this many bytes of the body.
	ResetAtByte *int64
	// StallFirstByte waits this long more before the first byte of the answer.
	StallFirstByte time.Duration
	// StallAfterChunk is the count of events after which a stream stalls once for StallFor.
	StallAfterChunk int
	// StallFor is the length of that stall.
	StallFor time.Duration
	// ChunkDelay waits before every event of a stream.
	ChunkDelay time.Duration
	// ErrorAfterChunk ends a stream with an error event after this many events.
	ErrorAfterChunk int
	// Endless repeats the answer until the client leaves or EndlessChunks events are sent.
	Endless bool
	// EndlessChunks bounds Endless; 0 means the server's limit.
	EndlessChunks int
	// ContentLengthDelta is added to the Content-Length of a plain answer.
	ContentLengthDelta int64
	// OmitDone leaves out the closing [DONE] of a stream.
	OmitDone bool

	// UsageMissing leaves usage out of the answer; the invoice still has it.
	UsageMissing bool
	// Usage replaces single numbers of the reported usage; the invoice keeps the true ones.
	Usage WireUsage
	// FinishReason replaces the finish reason; "none" sends null.
	FinishReason string
	// Text is the exact text of the answer.
	Text *string
	// OutputTokens is the length of a generated answer.
	OutputTokens int
	// ToolCalls are made when the request has tools; see ToolCall.
	ToolCalls []ToolCall
	// CacheReadTokens, CacheWriteTokens and ReasoningTokens are served and billed as such.
	CacheReadTokens, CacheWriteTokens, ReasoningTokens int64
	// ServiceTier is the tier that is served and billed.
	ServiceTier string
	// Model is the model name in the answer.
	Model string
}

// ToolCall is one scripted call. An empty Name takes the request's first tool,
// empty Arguments are made from that tool's schema.
type ToolCall struct {
	Name, Arguments string
}

// WireUsage replaces numbers in the usage that an answer reports; nil leaves a
// number true. Values may be negative or disagree with each other.
type WireUsage struct {
	Input, Output, Total, CacheRead, Reasoning *int64
}

var endpoints = []string{EndpointChat, EndpointEmbeddings, EndpointModels}

// fault is one thing wrong with a rule, tied to the key that must change.
type fault struct {
	key, text string
}

// validate reports every fault of a script that was built in Go.
func (s *Script) validate() error {
	var faults []error
	if len(s.Rules) > maxRules {
		faults = append(faults, fmt.Errorf("%d rules are more than %d: merge some", len(s.Rules), maxRules))
	}
	for i := range s.Rules {
		for _, f := range s.Rules[i].faults() {
			faults = append(faults, fmt.Errorf("rule %d: %s: %s", i+1, f.key, f.text))
		}
	}
	return errors.Join(faults...)
}

func (r *Rule) faults() []fault {
	var out []fault
	if r.Endpoint != "" && !slices.Contains(endpoints, r.Endpoint) {
		out = append(out, fault{"endpoint", fmt.Sprintf("%q is unknown: write one of %s", r.Endpoint, strings.Join(endpoints, ", "))})
	}
	for _, c := range []struct {
		key   string
		value int64
	}{{"nth", r.Nth}, {"first", r.First}, {"every", r.Every}} {
		if c.value < 0 {
			out = append(out, fault{c.key, fmt.Sprintf("%d is negative: count from 1", c.value)})
		}
	}
	if p := r.Probability; p != nil && !(*p >= 0 && *p <= 1) {
		out = append(out, fault{"probability", fmt.Sprintf("%v is out of range: write 0 to 1", *p)})
	}
	if r.Action.AnswerEarly && (r.Model != "" || r.Stream != nil) {
		out = append(out, fault{"answer_early", "the body is not read, so the rule cannot filter by model or stream: remove that filter"})
	}
	return append(out, r.Action.faults()...)
}

func (a *Action) faults() []fault {
	var out []fault
	add := func(key, format string, args ...any) { out = append(out, fault{key, fmt.Sprintf(format, args...)}) }
	if a.Status != 0 && a.Status != http.StatusOK && (a.Status < 400 || a.Status > 599) {
		add("status", "%d is not an answer of a provider: write 200 or 400 to 599", a.Status)
	}
	if a.Status < 400 && a.ErrorMessage+a.ErrorType+a.ErrorCode+a.ErrorParam != "" && a.ErrorAfterChunk == 0 {
		add("error_message", "an error object needs a status of 400 to 599 or error_after_chunk: add one")
	}
	if a.Status >= 400 && (a.Text != nil || len(a.ToolCalls) > 0 || a.Endless || a.ErrorAfterChunk > 0) {
		add("status", "an error answer has no text, tool_calls, endless or error_after_chunk: remove the status or those keys")
	}
	if a.Text != nil && len(a.ToolCalls) > 0 {
		add("text", "text and tool_calls exclude each other: keep one")
	}
	if a.Body != nil && (a.Text != nil || len(a.ToolCalls) > 0 || a.Endless) {
		add("body", "an exact body excludes text, tool_calls and endless: keep one")
	}
	if a.ContentType != "" && a.Body == nil {
		add("content_type", "it belongs to an exact body: add body or body_file, or use headers")
	}
	if a.CutAtByte != nil && a.ResetAtByte != nil {
		add("cut_at_byte", "cut_at_byte and reset_at_byte exclude each other: keep one")
	}
	if a.RetryAfter != "" && a.RetryAfterDate != 0 {
		add("retry_after", "retry_after and retry_after_date exclude each other: keep one")
	}
	if (a.StallAfterChunk == 0) != (a.StallFor == 0) {
		add("stall_after_chunk", "stall_after_chunk and stall_for belong together: write both")
	}
	if a.EndlessChunks != 0 && !a.Endless {
		add("endless_chunks", "it bounds an endless stream: add endless: true")
	}
	out = append(out, a.rangeFaults()...)
	return append(out, a.listFaults()...)
}

func (a *Action) rangeFaults() []fault {
	var out []fault
	for _, c := range []struct {
		key        string
		value, max int64
	}{
		{"stall_after_chunk", int64(a.StallAfterChunk), maxOutputTokens},
		{"error_after_chunk", int64(a.ErrorAfterChunk), maxOutputTokens},
		{"endless_chunks", int64(a.EndlessChunks), 1 << 30},
		{"output_tokens", int64(a.OutputTokens), maxOutputTokens},
		{"cache_read_tokens", a.CacheReadTokens, 1 << 40},
		{"cache_write_tokens", a.CacheWriteTokens, 1 << 40},
		{"reasoning_tokens", a.ReasoningTokens, maxOutputTokens},
		{"cut_at_byte", deref(a.CutAtByte), 1 << 40},
		{"reset_at_byte", deref(a.ResetAtByte), 1 << 40},
	} {
		if c.value < 0 || c.value > c.max {
			out = append(out, fault{c.key, fmt.Sprintf("%d is out of range: write 0 to %d", c.value, c.max)})
		}
	}
	for _, c := range []struct {
		key   string
		value time.Duration
	}{
		{"stall_first_byte", a.StallFirstByte}, {"stall_for", a.StallFor}, {"chunk_delay", a.ChunkDelay}, {"retry_after_date", a.RetryAfterDate},
	} {
		if c.value < 0 || c.value > maxDelay {
			out = append(out, fault{c.key, fmt.Sprintf("%s is out of range: write 0s to %s", c.value, maxDelay)})
		}
	}
	if a.ContentLengthDelta < -maxBodyFileBytes || a.ContentLengthDelta > maxBodyFileBytes {
		out = append(out, fault{"content_length_delta", fmt.Sprintf("%d is out of range: write at most %d either way", a.ContentLengthDelta, maxBodyFileBytes)})
	}
	return out
}

func (a *Action) listFaults() []fault {
	var out []fault
	if len(a.ToolCalls) > maxToolCalls {
		out = append(out, fault{"tool_calls", fmt.Sprintf("%d calls are more than %d: remove some", len(a.ToolCalls), maxToolCalls)})
	}
	if len(a.Headers) > maxHeaders {
		out = append(out, fault{"headers", fmt.Sprintf("%d headers are more than %d: remove some", len(a.Headers), maxHeaders)})
	}
	for name := range a.Headers {
		if !validHeaderName(name) {
			out = append(out, fault{"headers", fmt.Sprintf("%q is not a header name: use letters, digits and '-'", name)})
		}
	}
	return out
}

func validHeaderName(name string) bool {
	return name != "" && !strings.ContainsFunc(name, func(c rune) bool {
		return !('a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || '0' <= c && c <= '9' || c == '-' || c == '_')
	})
}

func deref[T any](p *T) T {
	if p == nil {
		var zero T
		return zero
	}
	return *p
}
