package upstreamsim

import (
	"strconv"

	"github.com/tidwall/gjson"
)

// call is one tool call of an answer.
type call struct {
	id, name, arguments string
}

// choice is one alternative of an answer: text or calls.
type choice struct {
	text   string
	calls  []call
	finish string
}

// answer is everything that is going to be said, before any of it is sent.
type answer struct {
	id, fingerprint, model, tier string
	created                      int64
	choices                      []choice
	input, cacheRead, cacheWrite int64 // input includes the other two.
	reasoning                    int64
}

// plan decides the whole answer to q.
func (s *Server) plan(pool *pool, q *chatRequest, act *Action) *answer {
	n := s.count.Add(1)
	var space [48]byte
	a := &answer{
		id:          string(appendID(append(space[:0], "chatcmpl-"...), s.opts.Seed, n)),
		fingerprint: pool.fingerprint,
		model:       orDefault(act.Model, q.model),
		tier:        servedTier(q.tier, act),
		created:     s.opts.Now().Unix(),
		input:       q.input,
	}
	a.cacheRead = min(act.CacheReadTokens, a.input)
	a.cacheWrite = min(act.CacheWriteTokens, a.input-a.cacheRead)
	budget := int64(-1)
	if q.maxOutput > 0 {
		a.reasoning = min(act.ReasoningTokens, q.maxOutput)
		budget = q.maxOutput - a.reasoning
	} else {
		a.reasoning = act.ReasoningTokens
	}
	a.choices = make([]choice, q.choices)
	for i := range a.choices {
		h := mix(q.hash + uint64(i))
		c := s.choose(pool, q, act, h)
		c.limit(budget)
		if act.FinishReason != "" {
			c.finish = act.FinishReason
		}
		a.choices[i] = c
	}
	return a
}

// servedTier is the tier that the provider says it used.
func servedTier(asked string, act *Action) string {
	switch {
	case act.ServiceTier != "":
		return act.ServiceTier
	case asked == "" || asked == "auto":
		return "default"
	}
	return asked
}

func (s *Server) choose(pool *pool, q *chatRequest, act *Action, h uint64) choice {
	if act.Text != nil {
		return choice{text: *act.Text, finish: "stop"}
	}
	if len(q.tools) > 0 && !q.noTools {
		switch {
		case len(act.ToolCalls) > 0:
			c := choice{finish: "tool_calls"}
			for i, t := range act.ToolCalls {
				c.calls = append(c.calls, q.call(t, mix(h+uint64(i))))
			}
			return c
		case q.forcedTool != "":
			// Providers report stop, not tool_calls, for a call that the client named.
			return choice{calls: []call{q.call(ToolCall{Name: q.forcedTool}, h)}, finish: "stop"}
		case q.toolRequired:
			return choice{calls: []call{q.call(ToolCall{}, h)}, finish: "tool_calls"}
		}
	}
	switch q.format {
	case "json_schema":
		return choice{text: sample(q.schema, h), finish: "stop"}
	case "json_object":
		return choice{text: sample(gjson.Result{}, h), finish: "stop"}
	}
	size := int64(pool.pace.opts.OutputTokens)
	if act.OutputTokens > 0 {
		size = int64(act.OutputTokens)
	}
	if q.maxOutput > 0 && size > q.maxOutput {
		// One token more than allowed is enough to end with finish_reason length.
		size = min(size, q.maxOutput+1)
	}
	return choice{text: generate(pool.name, h, size), finish: "stop"}
}

// call fills the parts that a script left open.
func (q *chatRequest) call(t ToolCall, h uint64) call {
	at := max(q.tool(t.Name), 0)
	if t.Name == "" {
		t.Name = q.tools[at].Get("name").String()
	}
	if t.Arguments == "" {
		t.Arguments = sample(q.tools[at].Get("parameters"), h)
	}
	return call{id: string(appendID([]byte("call_"), h, 0)[:29]), name: t.Name, arguments: t.Arguments}
}

// limit cuts a choice to a budget of tokens; a negative budget is none.
func (c *choice) limit(budget int64) {
	if budget < 0 || c.tokens() <= budget {
		return
	}
	c.finish = "length"
	c.text = truncate(c.text, budget)
	left := int(budget) * bytesPerToken
	for i := range c.calls {
		left -= len(c.calls[i].name)
		c.calls[i].arguments = truncate(c.calls[i].arguments, int64(max(left, 0)/bytesPerToken))
		left -= len(c.calls[i].arguments)
	}
}

// bytes is the size of everything that the choice generates.
func (c *choice) bytes() int {
	n := len(c.text)
	for _, t := range c.calls {
		n += len(t.name) + len(t.arguments)
	}
	return n
}

func (c *choice) tokens() int64 { return tokens(c.bytes()) }

// output is the output of all choices, in tokens.
func (a *answer) output() int64 {
	var n int64
	for i := range a.choices {
		n += a.choices[i].tokens()
	}
	return n
}

// appendUsage appends the usage object with the numbers that the action replaces.
func (a *answer) appendUsage(b []byte, act *Action) []byte {
	pick := func(p *int64, truth int64) int64 {
		if p != nil {
			return *p
		}
		return truth
	}
	u := &act.Usage
	input := pick(u.Input, a.input)
	output := pick(u.Output, a.output()+a.reasoning)
	b = strconv.AppendInt(append(b, `{"prompt_tokens":`...), input, 10)
	b = strconv.AppendInt(append(b, `,"completion_tokens":`...), output, 10)
	b = strconv.AppendInt(append(b, `,"total_tokens":`...), pick(u.Total, input+output), 10)
	b = strconv.AppendInt(append(b, `,"prompt_tokens_details":{"cached_tokens":`...), pick(u.CacheRead, a.cacheRead), 10)
	if a.cacheWrite > 0 {
		b = strconv.AppendInt(append(b, `,"cache_write_tokens":`...), a.cacheWrite, 10)
	}
	b = strconv.AppendInt(append(b, `,"audio_tokens":0},"completion_tokens_details":{"reasoning_tokens":`...), pick(u.Reasoning, a.reasoning), 10)
	return append(b, `,"audio_tokens":0,"accepted_prediction_tokens":0,"rejected_prediction_tokens":0}}`...)
}

// appendPlain appends the chat.completion object.
func (a *answer) appendPlain(b []byte, act *Action) []byte {
	b = appendString(append(b, `{"id":`...), a.id)
	b = strconv.AppendInt(append(b, `,"object":"chat.completion","created":`...), a.created, 10)
	b = appendString(append(b, `,"model":`...), a.model)
	b = append(b, `,"choices":[`...)
	for i := range a.choices {
		if i > 0 {
			b = append(b, ',')
		}
		b = a.choices[i].appendJSON(b, i)
	}
	b = append(b, ']')
	if !act.UsageMissing {
		b = a.appendUsage(append(b, `,"usage":`...), act)
	}
	b = appendString(append(b, `,"service_tier":`...), a.tier)
	b = appendString(append(b, `,"system_fingerprint":`...), a.fingerprint)
	return append(b, "}\n"...)
}

func (c *choice) appendJSON(b []byte, index int) []byte {
	b = strconv.AppendInt(append(b, `{"index":`...), int64(index), 10)
	b = append(b, `,"message":{"role":"assistant","content":`...)
	if len(c.calls) == 0 {
		b = appendString(b, c.text)
	} else {
		b = append(b, `null,"tool_calls":[`...)
		for i, t := range c.calls {
			if i > 0 {
				b = append(b, ',')
			}
			b = appendString(append(b, `{"id":`...), t.id)
			b = appendString(append(b, `,"type":"function","function":{"name":`...), t.name)
			b = appendString(append(b, `,"arguments":`...), t.arguments)
			b = append(b, "}}"...)
		}
		b = append(b, ']')
	}
	b = append(b, `,"refusal":null,"annotations":[]},"logprobs":null,"finish_reason":`...)
	return append(appendFinish(b, c.finish), '}')
}

// appendFinish writes a finish reason; "none" is a provider that forgot it.
func appendFinish(b []byte, reason string) []byte {
	if reason == "none" {
		return append(b, "null"...)
	}
	return appendString(b, reason)
}

// appendID appends 29 letters and digits that no other count of this seed has.
func appendID(b []byte, seed, count uint64) []byte {
	const digits = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
	for i := range uint64(3) {
		r := mix(mix(seed+i) + count)
		for range 10 {
			b = append(b, digits[r%62])
			r /= 62
		}
	}
	return b[:len(b)-1]
}
