package openai

import (
	"bytes"
	"strings"
	"unicode/utf8"
)

// Kind says which endpoint a body is for.
type Kind uint8

// The kinds of request.
const (
	Chat Kind = 1 + iota
	Embedding
)

// String is the kind as the terms spell it.
func (k Kind) String() string {
	if k == Embedding {
		return "embedding"
	}
	return "chat"
}

// MaxChoices is the largest n of a request.
const MaxChoices = 128

// Request is what one scan found in a body. It keeps the body: the caller
// must not change or reuse the bytes while the Request is in use.
type Request struct {
	Kind  Kind
	Model string
	// Stream says that the client wants events; IncludeUsage that it wants
	// the usage at their end.
	Stream       bool
	IncludeUsage bool
	// MaxOutput is the client's limit on output tokens per choice, 0 if none.
	MaxOutput int64
	// Choices is n, at least 1.
	Choices     int64
	User        string
	ServiceTier string
	Tools       bool
	// TextBytes bounds the number of input tokens from above: it counts
	// every byte of the body but the data of images.
	TextBytes int64
	// Images counts the parts of messages that are images.
	Images int64

	body          []byte
	model         span
	stream        span
	streamOptions span // the object, or null
	includeUsage  span
	optionsEmpty  bool
	maxTokens     span
	maxCompletion span
	messages      int // offset after the [ of messages
	messagesEmpty bool
}

// Body is the body as it came.
func (r *Request) Body() []byte { return r.body }

// interpreted are the keys that Accordo acts on. A key that differs from one
// of them only in case is refused, because some servers would read it.
var interpreted = [...]string{"model", "messages", "input", "stream", "stream_options", "max_tokens", "max_completion_tokens", "n", "user", "service_tier", "tools"}

// Scan reads a request body. The error is the dialect's own and says what to
// change. The size of the body is the caller's to bound.
func Scan(kind Kind, body []byte) (*Request, *Error) {
	r := &Request{Kind: kind, body: body, Choices: 1}
	if !utf8.Valid(body) {
		return nil, Invalid("", "", "We could not parse the JSON body of your request: it is not valid UTF-8. Encode the body as UTF-8.")
	}
	s := &scanner{b: body}
	if e := r.scan(s); e != nil {
		return nil, e
	}
	if err := s.err(); err != nil {
		return nil, Invalid("", "", "We could not parse the JSON body of your request. (HINT: This likely means you aren't using your HTTP library correctly. The API expects a JSON payload; the problem is %s.)", err)
	}
	return r, r.check()
}

func (r *Request) scan(s *scanner) *Error {
	s.space()
	if s.peek() != '{' {
		return Invalid("", "", "The body of the request must be a JSON object, such as {\"model\": \"...\", \"messages\": [...]}.")
	}
	s.open('{')
	var room [24][]byte
	names := room[:0]
	var m members
	for s.member(&m) {
		for _, n := range names {
			if bytes.Equal(n, m.name) {
				return Invalid(clip(string(m.name), 64), "duplicate_parameter", "The key '%s' occurs twice in the body. Send it once.", clip(string(m.name), 64))
			}
		}
		if names = append(names, m.name); len(names) > MaxKeys {
			return Invalid("", "too_many_parameters", "The body has more than %d keys. Send fewer.", MaxKeys)
		}
		if e := r.member(s, m.name); e != nil && s.problem == "" {
			return e
		}
	}
	s.end()
	return nil
}

// member reads the value of one top-level key.
func (r *Request) member(s *scanner, name []byte) *Error {
	from := s.i
	isNull := s.peek() == 'n'
	switch string(name) {
	case "model":
		v, ok := s.str()
		r.Model, r.model = v, span{from, s.i}
		if !ok {
			return wrongType("model", "a string")
		}
	case "messages":
		if r.Kind != Chat || isNull {
			s.skip()
			return nil
		}
		if s.peek() != '[' {
			return wrongType("messages", "an array of objects")
		}
		r.scanMessages(s)
	case "input":
		r.messagesEmpty = isNull
		if r.Kind == Embedding {
			r.messages = from
		}
		s.skip()
	case "stream":
		r.stream = span{from, s.i}
		if !isNull {
			v, ok := s.boolean()
			if r.Stream = v; !ok {
				return wrongType("stream", "a boolean")
			}
			r.stream.to = s.i
			return nil
		}
		s.skip()
	case "stream_options":
		return r.scanStreamOptions(s, from, isNull)
	case "max_tokens":
		return r.scanMax(s, "max_tokens", &r.maxTokens, isNull)
	case "max_completion_tokens":
		return r.scanMax(s, "max_completion_tokens", &r.maxCompletion, isNull)
	case "n":
		return r.scanChoices(s, isNull)
	case "user":
		r.User, _ = s.str()
	case "service_tier":
		r.ServiceTier, _ = s.str()
	case "tools":
		r.Tools = !isNull
		s.skip()
	default:
		for _, known := range interpreted {
			if len(known) == len(name) && strings.EqualFold(known, string(name)) {
				return Invalid(clip(string(name), 64), "unknown_parameter", "Unrecognized request argument supplied: %s. Write it as '%s'.", clip(string(name), 64), known)
			}
		}
		s.skip()
	}
	return nil
}

func (r *Request) scanChoices(s *scanner, isNull bool) *Error {
	if isNull {
		s.skip()
		return nil
	}
	from := s.i
	v, ok := s.integer()
	switch {
	case !ok && s.isInteger(from):
		return Invalid("n", "integer_out_of_range", "Invalid 'n': expected an integer from 1 to %d, but got one that is far out of range.", MaxChoices)
	case !ok:
		return wrongType("n", "an integer")
	}
	if r.Choices = v; v < 1 || v > MaxChoices {
		return Invalid("n", "integer_out_of_range", "Invalid 'n': expected an integer from 1 to %d, but got %d instead.", MaxChoices, v)
	}
	return nil
}

func (r *Request) scanStreamOptions(s *scanner, from int, isNull bool) *Error {
	if isNull {
		s.skip()
		r.streamOptions = span{from, s.i}
		return nil
	}
	if s.peek() != '{' {
		return wrongType("stream_options", "an object")
	}
	s.open('{')
	var m members
	seen := false
	for s.member(&m) {
		if string(m.name) != "include_usage" {
			s.skip()
			continue
		}
		if seen {
			return Invalid("stream_options", "duplicate_parameter", "The key 'include_usage' occurs twice in stream_options. Send it once.")
		}
		seen = true
		at := s.i
		if s.peek() == 'n' {
			s.skip()
		} else {
			v, ok := s.boolean()
			if !ok {
				return wrongType("stream_options.include_usage", "a boolean")
			}
			r.IncludeUsage = v
		}
		r.includeUsage = span{at, s.i}
	}
	r.streamOptions, r.optionsEmpty = span{from, s.i}, !m.begun
	return nil
}

func (r *Request) scanMax(s *scanner, name string, where *span, isNull bool) *Error {
	from := s.i
	if isNull {
		s.skip()
		*where = span{from, s.i}
		return nil
	}
	v, ok := s.integer()
	*where = span{from, s.i}
	switch {
	case !ok && s.isInteger(from) && s.b[from] != '-':
		return Invalid(name, "integer_above_max_value", "Invalid '%s': the integer is out of range. Send a smaller one.", name)
	case !ok && s.isInteger(from):
		return Invalid(name, "integer_below_min_value", "Invalid '%s': integer below minimum value. Expected a value >= 1.", name)
	case !ok:
		return wrongType(name, "an integer")
	case v < 1:
		return Invalid(name, "integer_below_min_value", "Invalid '%s': integer below minimum value. Expected a value >= 1, but got %d instead.", name, v)
	case r.MaxOutput != 0:
		return Invalid(name, "invalid_parameter_combination", "Setting 'max_tokens' and 'max_completion_tokens' at the same time is not supported. Keep max_completion_tokens.")
	}
	r.MaxOutput = v
	return nil
}

func (r *Request) scanMessages(s *scanner) {
	if !s.open('[') {
		return
	}
	r.messages, r.messagesEmpty = s.i, true
	begun := false
	for s.element(&begun) {
		r.messagesEmpty = false
		if s.peek() != '{' {
			s.skip()
			continue
		}
		s.open('{')
		var m members
		for s.member(&m) {
			if string(m.name) == "content" && s.peek() == '[' {
				r.scanParts(s)
				continue
			}
			s.skip()
		}
	}
}

// scanParts looks for images among the parts of one message.
func (r *Request) scanParts(s *scanner) {
	s.open('[')
	begun := false
	for s.element(&begun) {
		if s.peek() != '{' {
			s.skip()
			continue
		}
		s.open('{')
		var m members
		for s.member(&m) {
			if string(m.name) != "image_url" {
				s.skip()
				continue
			}
			r.Images++
			if s.peek() != '{' {
				s.skip()
				continue
			}
			s.open('{')
			var u members
			for s.member(&u) {
				from := s.i
				s.skip()
				if string(u.name) == "url" && s.problem == "" && bytes.HasPrefix(s.b[from:s.i], []byte(`"data:image/`)) {
					r.TextBytes -= int64(s.i - from)
				}
			}
		}
	}
}

// check looks at what the scan found as a whole.
func (r *Request) check() *Error {
	r.TextBytes += int64(len(r.body))
	switch {
	case r.Model == "":
		return Invalid("model", "missing_required_parameter", "you must provide a model parameter. GET /v1/models lists what this key may use.")
	case len(r.Model) > 256:
		return NoModel(r.Model)
	case r.Kind == Embedding && (r.messages == 0 || r.messagesEmpty):
		return Invalid("input", "missing_required_parameter", "Missing required parameter: 'input'. Send a text or an array of texts.")
	case r.Kind == Embedding:
		r.Stream = false
	case r.messages == 0:
		return Invalid("messages", "missing_required_parameter", "Missing required parameter: 'messages'. Send an array with at least one message.")
	case r.messagesEmpty:
		return Invalid("messages", "empty_array", "Invalid 'messages': empty array. Expected an array with minimum length 1, but got an empty array instead.")
	case r.Choices > 1 && r.MaxOutput > (1<<40)/r.Choices, r.MaxOutput > 1<<40:
		name := "max_completion_tokens"
		if !r.maxCompletion.set() {
			name = "max_tokens"
		}
		return Invalid(name, "integer_above_max_value", "The output limit is out of range. Send a smaller one.")
	}
	return nil
}

func wrongType(param, want string) *Error {
	return Invalid(param, "invalid_type", "Invalid type for '%s': expected %s.", param, want)
}

// str reads a string or null; ok is false for null and for other kinds,
// which are consumed all the same.
func (s *scanner) str() (v string, ok bool) {
	if s.peek() != '"' {
		s.skip()
		return "", false
	}
	from, to, escaped := s.text()
	if s.problem != "" {
		return "", false
	}
	return s.plain(from, to, escaped), true
}

// boolean reads true or false; other kinds are consumed and reported.
func (s *scanner) boolean() (v, ok bool) {
	switch s.peek() {
	case 't':
		return true, s.literal("true")
	case 'f':
		return false, s.literal("false")
	}
	s.skip()
	return false, false
}
