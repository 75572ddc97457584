package llama

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"strings"
	"time"
)

// statusClientLeft is what the log says of a request whose client went away; it
// is never sent.
const statusClientLeft = 499

// answer writes one completion, whole or as a stream of events.
type answer struct {
	w           http.ResponseWriter
	rc          *http.ResponseController
	id          string
	created     int64
	model       string
	fingerprint string
	stream      bool
	wantUsage   bool

	whole strings.Builder
	began bool
}

type usageBody struct {
	PromptTokens     int `json:"prompt_tokens"`
	CompletionTokens int `json:"completion_tokens"`
	TotalTokens      int `json:"total_tokens"`
	PromptDetails    struct {
		CachedTokens int `json:"cached_tokens"`
	} `json:"prompt_tokens_details"`
	CompletionDetails struct {
		ReasoningTokens int `json:"reasoning_tokens"`
	} `json:"completion_tokens_details"`
}

func (o outcome) usage() *usageBody {
	u := &usageBody{PromptTokens: o.input, CompletionTokens: o.output, TotalTokens: o.input + o.output}
	u.PromptDetails.CachedTokens = o.cached
	return u
}

type completionBody struct {
	ID          string             `json:"id"`
	Object      string             `json:"object"`
	Created     int64              `json:"created"`
	Model       string             `json:"model"`
	Choices     []completionChoice `json:"choices"`
	Usage       *usageBody         `json:"usage"`
	Fingerprint string             `json:"system_fingerprint"`
}

type completionChoice struct {
	Index    int               `json:"index"`
	Message  completionMessage `json:"message"`
	Logprobs *struct{}         `json:"logprobs"`
	Finish   string            `json:"finish_reason"`
}

type completionMessage struct {
	Role    string  `json:"role"`
	Content string  `json:"content"`
	Refusal *string `json:"refusal"`
}

type chunkBody struct {
	ID          string        `json:"id"`
	Object      string        `json:"object"`
	Created     int64         `json:"created"`
	Model       string        `json:"model"`
	Fingerprint string        `json:"system_fingerprint"`
	Choices     []chunkChoice `json:"choices"`
	// Usage is absent unless asked for; then it is null in every chunk but the last.
	Usage json.RawMessage `json:"usage,omitempty"`
}

type chunkChoice struct {
	Index    int        `json:"index"`
	Delta    chunkDelta `json:"delta"`
	Logprobs *struct{}  `json:"logprobs"`
	Finish   *string    `json:"finish_reason"`
}

type chunkDelta struct {
	Role    string  `json:"role,omitempty"`
	Content *string `json:"content,omitempty"`
}

// text takes a piece of the answer. The first call, without text, says that the
// input was decoded: a stream begins with the role then.
func (a *answer) text(s string) error {
	if !a.stream {
		a.whole.WriteString(s)
		return nil
	}
	if !a.began {
		a.began = true
		h := a.w.Header()
		h.Set("Content-Type", "text/event-stream")
		h.Set("Cache-Control", "no-cache")
		a.w.WriteHeader(http.StatusOK)
		empty := ""
		if err := a.choice(chunkDelta{Role: roleAssistant, Content: &empty}, nil); err != nil {
			return err
		}
	}
	if s == "" {
		return nil
	}
	return a.choice(chunkDelta{Content: &s}, nil)
}

// finish ends a complete answer.
func (a *answer) finish(o outcome) error {
	if !a.stream {
		a.deadline()
		writeJSON(a.w, http.StatusOK, completionBody{
			ID: a.id, Object: "chat.completion", Created: a.created, Model: a.model, Fingerprint: a.fingerprint, Usage: o.usage(),
			Choices: []completionChoice{{Message: completionMessage{Role: roleAssistant, Content: a.whole.String()}, Finish: o.finish}},
		})
		return nil
	}
	if err := a.choice(chunkDelta{}, &o.finish); err != nil {
		return err
	}
	if a.wantUsage {
		u, err := json.Marshal(o.usage())
		if err != nil {
			return err
		}
		if err := a.event(a.chunk([]chunkChoice{}, u)); err != nil {
			return err
		}
	}
	return a.raw([]byte("[DONE]"))
}

// fail tells the client of an error in the way that is still open: a status, or
// the dialect's terminal event. It returns the status for the log.
func (a *answer) fail(err error) int {
	var e *apiError
	switch {
	case errors.As(err, &e):
	case errors.Is(err, context.Canceled):
		e = &apiError{statusClientLeft, "The request was cancelled.", "server_error", nil, optional("cancelled")}
	case errors.Is(err, errContextLength):
		e = invalid("messages", "context_length_exceeded", "The messages are longer than this model's context.")
	default:
		e = &apiError{http.StatusInternalServerError, "The model could not answer.", "server_error", nil, nil}
	}
	if !a.began {
		if e.status == statusClientLeft {
			// Either nobody reads this any more, or the server is stopping.
			stopping := *e
			stopping.status = http.StatusServiceUnavailable
			writeError(a.w, &stopping)
			return e.status
		}
		writeError(a.w, e)
		return e.status
	}
	_ = a.event(map[string]any{"error": e}) // The client may be the cause.
	return e.status
}

func (a *answer) chunk(choices []chunkChoice, usage json.RawMessage) chunkBody {
	return chunkBody{ID: a.id, Object: "chat.completion.chunk", Created: a.created, Model: a.model, Fingerprint: a.fingerprint, Choices: choices, Usage: usage}
}

func (a *answer) choice(d chunkDelta, finish *string) error {
	var usage json.RawMessage
	if a.wantUsage {
		usage = json.RawMessage("null")
	}
	return a.event(a.chunk([]chunkChoice{{Delta: d, Finish: finish}}, usage))
}

func (a *answer) event(v any) error {
	b, err := json.Marshal(v)
	if err != nil {
		return err
	}
	return a.raw(b)
}

// raw sends one event. A client that does not read gives up its slot after the
// write timeout.
func (a *answer) raw(data []byte) error {
	a.deadline()
	b := make([]byte, 0, len(data)+8)
	b = append(append(append(b, "data: "...), data...), "\n\n"...)
	if _, err := a.w.Write(b); err != nil {
		return context.Canceled
	}
	if err := a.rc.Flush(); err != nil {
		return context.Canceled
	}
	return nil
}

// deadline bounds the next write; a writer without deadlines has none to set.
func (a *answer) deadline() { _ = a.rc.SetWriteDeadline(time.Now().Add(writeTimeout)) }
