package openai

import "strconv"

// Edit is what may change between the client's body and the provider's.
type Edit struct {
	// Model is the model's name in the provider's API.
	Model string
	// Usage asks the provider for usage at the end of a stream.
	Usage bool
	// MaxOutput, when it is not 0, replaces or adds the limit on output
	// tokens per choice.
	MaxOutput int64
	// System, when it is not empty, is the text of a system message put
	// before all others.
	System string
}

// Pieces is a body as a list of ranges that are sent one after another, so
// that the client's bytes are never copied.
type Pieces [][]byte

// Len is the number of bytes of all pieces.
func (p Pieces) Len() (n int64) {
	for _, b := range p {
		n += int64(len(b))
	}
	return n
}

// Append appends all pieces to dst.
func (p Pieces) Append(dst []byte) []byte {
	for _, b := range p {
		dst = append(dst, b...)
	}
	return dst
}

type change struct {
	span
	text string
}

// Splice returns the body with the edit applied. Every byte outside the
// edited values is the client's own.
func (r *Request) Splice(e Edit) Pieces {
	var room [6]change
	changes := append(room[:0], change{r.model, string(quote(nil, e.Model))})
	tail := ""
	if e.Usage && r.Stream && !r.IncludeUsage {
		switch o := r.streamOptions; {
		case r.includeUsage.set():
			changes = append(changes, change{r.includeUsage, "true"})
		case o.set() && r.body[o.from] == '{' && r.optionsEmpty:
			changes = append(changes, change{span{o.from + 1, o.from + 1}, `"include_usage":true`})
		case o.set() && r.body[o.from] == '{':
			changes = append(changes, change{span{o.from + 1, o.from + 1}, `"include_usage":true,`})
		case o.set():
			changes = append(changes, change{o, `{"include_usage":true}`})
		default:
			tail += `,"stream_options":{"include_usage":true}`
		}
	}
	if e.MaxOutput > 0 && r.Kind == Chat && e.MaxOutput != r.MaxOutput {
		n := strconv.FormatInt(e.MaxOutput, 10)
		switch {
		case r.maxTokens.set() && r.body[r.maxTokens.from] != 'n', r.maxTokens.set() && !r.maxCompletion.set():
			changes = append(changes, change{r.maxTokens, n})
		case r.maxCompletion.set():
			changes = append(changes, change{r.maxCompletion, n})
		default:
			tail += `,"max_completion_tokens":` + n
		}
	}
	if e.System != "" && r.Kind == Chat {
		text := string(append(quote([]byte(`{"role":"system","content":`), e.System), `},`...))
		changes = append(changes, change{span{r.messages, r.messages}, text})
	}
	if tail != "" {
		end := len(r.body) - 1
		for r.body[end] != '}' {
			end--
		}
		changes = append(changes, change{span{end, end}, tail})
	}
	sortChanges(changes)
	return apply(r.body, changes)
}

// sortChanges sorts by position; there are at most five.
func sortChanges(c []change) {
	for i := 1; i < len(c); i++ {
		for j := i; j > 0 && c[j].from < c[j-1].from; j-- {
			c[j], c[j-1] = c[j-1], c[j]
		}
	}
}

func apply(body []byte, changes []change) Pieces {
	out := make(Pieces, 0, 2*len(changes)+1)
	at := 0
	for _, c := range changes {
		if c.from > at {
			out = append(out, body[at:c.from])
		}
		if c.text != "" {
			out = append(out, []byte(c.text))
		}
		at = c.to
	}
	return append(out, body[at:])
}
