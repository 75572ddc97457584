package upstreamsim

import (
	"fmt"
	"hash/crc32"
	"net/http"
	"strings"

	"github.com/tidwall/gjson"
)

// chatRequest is what the simulator reads of a chat request; all else is accepted unread.
type chatRequest struct {
	model        string
	stream       bool
	includeUsage bool
	maxOutput    int64 // 0 when the client named none.
	choices      int
	tools        []gjson.Result // The function objects, in order.
	forcedTool   string         // Name that tool_choice forces.
	toolRequired bool
	noTools      bool
	format       string // text, json_object or json_schema.
	schema       gjson.Result
	tier         string
	input        int64  // Input tokens by the declared rule.
	hash         uint64 // Of the conversation and the tools, not of options.
}

// apiError is an OpenAI error object with its HTTP status.
type apiError struct {
	status                     int
	message, kind, param, code string
}

func invalid(param, format string, args ...any) *apiError {
	return &apiError{status: http.StatusBadRequest, message: fmt.Sprintf(format, args...), kind: "invalid_request_error", param: param}
}

func (e *apiError) appendJSON(b []byte) []byte {
	b = appendString(append(b, `{"error":{"message":`...), e.message)
	b = appendString(append(b, `,"type":`...), e.kind)
	b = appendNullable(append(b, `,"param":`...), e.param)
	b = appendNullable(append(b, `,"code":`...), e.code)
	return append(b, "}}"...)
}

func appendNullable(b []byte, s string) []byte {
	if s == "" {
		return append(b, "null"...)
	}
	return appendString(b, s)
}

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

func (s *Server) hash(parts ...[]byte) uint64 {
	h := s.opts.Seed
	for _, p := range parts {
		// A checksum in hardware is enough: nothing depends on it being hard to forge.
		h = mix(h + uint64(crc32.Checksum(p, castagnoli)))
	}
	return h
}

// rawBytes gives the bytes of body that v was parsed from, without a copy.
func rawBytes(body []byte, v gjson.Result) []byte {
	return body[v.Index : v.Index+len(v.Raw)]
}

const badJSON = "We could not parse the JSON body of your request. (HINT: This likely means you aren't using your HTTP library correctly. The API expects a JSON payload.)"

func parseObject(body []byte) (gjson.Result, *apiError) {
	if !gjson.ValidBytes(body) {
		return gjson.Result{}, invalid("", badJSON)
	}
	root := gjson.ParseBytes(body)
	if !root.IsObject() {
		return root, invalid("", badJSON)
	}
	return root, nil
}

func (s *Server) decodeChat(body []byte) (*chatRequest, *apiError) {
	root, fail := parseObject(body)
	if fail != nil {
		return nil, fail
	}
	q := &chatRequest{choices: 1, format: "text"}
	var messages, tools gjson.Result
	root.ForEach(func(key, v gjson.Result) bool {
		switch key.String() {
		case "model":
			q.model = strings.Clone(v.String())
		case "messages":
			messages = v
		case "tools":
			tools = v
		case "stream":
			q.stream = v.Type == gjson.True
		case "stream_options":
			q.includeUsage = v.Get("include_usage").Bool()
		case "max_completion_tokens", "max_tokens":
			if v.Type != gjson.Null {
				fail = q.setMaxOutput(key.String(), v)
			}
		case "n":
			if v.Type != gjson.Null {
				q.choices = int(v.Int())
			}
		case "tool_choice":
			q.setToolChoice(v)
		case "response_format":
			q.format = v.Get("type").String()
			q.schema = v.Get("json_schema.schema")
		case "service_tier":
			q.tier = strings.Clone(v.String())
		}
		return fail == nil
	})
	switch {
	case fail != nil:
	case q.model == "":
		fail = invalid("", "you must provide a model parameter")
	case !messages.IsArray():
		fail = invalid("messages", "Missing required parameter: 'messages'.")
	case messages.Get("#").Int() == 0:
		fail = invalid("messages", "Invalid 'messages': empty array. Expected an array with minimum length 1, but got an empty array instead.")
	case q.choices < 1 || q.choices > maxChoices:
		fail = invalid("n", "Invalid 'n': expected a value between 1 and %d.", maxChoices)
	}
	if fail != nil {
		return nil, fail
	}
	if fail := q.setTools(tools); fail != nil {
		return nil, fail
	}
	q.input = countInput(messages) + tokens(len(tools.Raw))
	q.hash = s.hash(rawBytes(body, messages), rawBytes(body, tools))
	return q, nil
}

func (q *chatRequest) setMaxOutput(key string, v gjson.Result) *apiError {
	n := v.Int()
	if v.Type != gjson.Number || n < 1 {
		return invalid(key, "Invalid '%s': integer below minimum value. Expected a value >= 1.", key)
	}
	// The newer key wins wherever it stands.
	if q.maxOutput == 0 || key == "max_completion_tokens" {
		q.maxOutput = n
	}
	return nil
}

func (q *chatRequest) setToolChoice(v gjson.Result) {
	switch {
	case v.Type == gjson.String && v.Str == "required":
		q.toolRequired = true
	case v.Type == gjson.String && v.Str == "none":
		q.noTools = true
	case v.IsObject():
		q.forcedTool = strings.Clone(v.Get("function.name").String())
	}
}

func (q *chatRequest) setTools(tools gjson.Result) *apiError {
	if tools.IsArray() {
		for _, t := range tools.Array() {
			if f := t.Get("function"); f.IsObject() {
				q.tools = append(q.tools, f)
			}
		}
	}
	if q.forcedTool != "" && q.tool(q.forcedTool) < 0 {
		return invalid("tool_choice", "Tool choice '%s' not found in 'tools' parameter.", q.forcedTool)
	}
	if q.toolRequired && len(q.tools) == 0 {
		return invalid("tool_choice", "Invalid value for 'tool_choice': 'tool_choice' is only allowed when 'tools' are specified.")
	}
	return nil
}

// tool gives the place of the named tool, or -1.
func (q *chatRequest) tool(name string) int {
	for i, t := range q.tools {
		if t.Get("name").String() == name {
			return i
		}
	}
	return -1
}

// countInput applies the declared token rule to messages.
func countInput(messages gjson.Result) int64 {
	var text int
	var images int64
	messages.ForEach(func(_, m gjson.Result) bool {
		m.ForEach(func(key, v gjson.Result) bool {
			switch key.String() {
			case "content":
				if !v.IsArray() {
					text += stringBytes(v)
					return true
				}
				v.ForEach(func(_, part gjson.Result) bool {
					if t := part.Get("text"); t.Type == gjson.String {
						text += stringBytes(t)
					} else {
						images++
					}
					return true
				})
			case "tool_calls":
				v.ForEach(func(_, call gjson.Result) bool {
					text += stringBytes(call.Get("function.name")) + stringBytes(call.Get("function.arguments"))
					return true
				})
			}
			return true
		})
		return true
	})
	return max(tokens(text)+images*tokensPerImage, 1)
}

// stringBytes is the length of a JSON string's value; other values have none.
func stringBytes(v gjson.Result) int {
	if v.Type != gjson.String {
		return 0
	}
	return len(v.Str)
}
