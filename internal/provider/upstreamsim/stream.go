package upstreamsim

import (
	"bytes"
	"context"
	"net/http"
	"strconv"
	"strings"

	"github.com/tidwall/gjson"
)

// streamer renders the events of one streamed answer.
type streamer struct {
	j     *job
	c     *clock
	a     *answer
	head  []byte // Every event up to its choices.
	usage bool   // The client asked for usage, so every event names it.
	buf   []byte
	count int
}

func (j *job) stream(ctx context.Context, c *clock, a *answer, includeUsage bool) error {
	buf := buffers.Get().(*[]byte)
	defer buffers.Put(buf)
	t := &streamer{j: j, c: c, a: a, usage: includeUsage && !j.wire.act.UsageMissing}
	b := appendString(append((*buf)[:0], `data: {"id":`...), a.id)
	b = strconv.AppendInt(append(b, `,"object":"chat.completion.chunk","created":`...), a.created, 10)
	b = appendString(append(b, `,"model":`...), a.model)
	b = appendString(append(b, `,"service_tier":`...), a.tier)
	b = appendString(append(b, `,"system_fingerprint":`...), a.fingerprint)
	b = append(b, `,"choices":[`...)
	*buf = b
	t.head = b[:len(b):len(b)]
	j.eventStream()
	for i := range a.choices {
		if err := t.choice(ctx, i); err != nil {
			return err
		}
	}
	return t.tail(ctx)
}

func (j *job) eventStream() {
	j.wire.header("text/event-stream; charset=utf-8", j.s.opts.Now)
	j.wire.w.Header().Set("Cache-Control", "no-cache")
	j.wire.w.WriteHeader(http.StatusOK)
}

// choice sends everything of one choice but its finish reason.
func (t *streamer) choice(ctx context.Context, index int) error {
	ch := &t.a.choices[index]
	content := `"",`
	if len(ch.calls) > 0 {
		content = `null,`
	}
	t.open(index)
	t.buf = append(append(t.buf, `{"role":"assistant","content":`...), content...)
	t.buf = append(t.buf, `"refusal":null}`...)
	if err := t.event(ctx, 0, t.close("")); err != nil {
		return err
	}
	if err := t.text(ctx, index, ch.text); err != nil {
		return err
	}
	for i := range ch.calls {
		if err := t.call(ctx, index, i, &ch.calls[i]); err != nil {
			return err
		}
	}
	t.j.line.Output += tokens(t.j.partial)
	t.j.partial = 0
	return nil
}

// text streams s; an endless stream repeats it until its limit and is then cut.
func (t *streamer) text(ctx context.Context, index int, s string) error {
	act := t.j.wire.act
	limit := t.j.s.opts.EndlessMaxChunks
	if act.EndlessChunks > 0 {
		limit = min(limit, act.EndlessChunks)
	}
	for rest := s; ; {
		if rest == "" {
			if !act.Endless {
				return nil
			}
			rest = orDefault(s, "more")
		}
		if act.Endless && t.count >= limit {
			return errAbort
		}
		var part string
		part, rest = piece(rest, t.j.pool.pace.opts.TokensPerChunk)
		t.open(index)
		t.buf = appendString(append(t.buf, `{"content":`...), part)
		t.buf = append(t.buf, '}')
		if err := t.event(ctx, len(part), t.close("")); err != nil {
			return err
		}
	}
}

// call streams one tool call: its name first, then its arguments in pieces.
func (t *streamer) call(ctx context.Context, index, number int, c *call) error {
	t.open(index)
	t.buf = strconv.AppendInt(append(t.buf, `{"tool_calls":[{"index":`...), int64(number), 10)
	t.buf = appendString(append(t.buf, `,"id":`...), c.id)
	t.buf = appendString(append(t.buf, `,"type":"function","function":{"name":`...), c.name)
	t.buf = append(t.buf, `,"arguments":""}}]}`...)
	if err := t.event(ctx, len(c.name), t.close("")); err != nil {
		return err
	}
	for rest := c.arguments; rest != ""; {
		var part string
		part, rest = piece(rest, t.j.pool.pace.opts.TokensPerChunk)
		t.open(index)
		t.buf = strconv.AppendInt(append(t.buf, `{"tool_calls":[{"index":`...), int64(number), 10)
		t.buf = appendString(append(t.buf, `,"function":{"arguments":`...), part)
		t.buf = append(t.buf, `}}]}`...)
		if err := t.event(ctx, len(part), t.close("")); err != nil {
			return err
		}
	}
	return nil
}

// open starts an event of one choice; its delta follows.
func (t *streamer) open(index int) {
	t.buf = append(t.buf[:0], t.head...)
	t.buf = strconv.AppendInt(append(t.buf, `{"index":`...), int64(index), 10)
	t.buf = append(t.buf, `,"delta":`...)
}

// close ends the event of a choice; an empty finish reason is null.
func (t *streamer) close(finish string) []byte {
	t.buf = append(t.buf, `,"logprobs":null,"finish_reason":`...)
	t.buf = appendFinish(t.buf, orDefault(finish, "none"))
	t.buf = append(t.buf, "}]"...)
	if t.usage {
		t.buf = append(t.buf, `,"usage":null`...)
	}
	t.buf = append(t.buf, "}\n\n"...)
	return t.buf
}

// event generates size bytes of output, then sends p and whatever goes wrong after it.
func (t *streamer) event(ctx context.Context, size int, p []byte) error {
	if size > 0 {
		before := tokens(t.j.partial)
		if err := t.c.next(ctx, tokens(t.j.partial+size)-before); err != nil {
			return err
		}
		t.j.partial += size
	}
	return t.deliver(ctx, p)
}

// deliver sends one event that needs no generation.
func (t *streamer) deliver(ctx context.Context, p []byte) error {
	act := t.j.wire.act
	if act.ChunkDelay > 0 {
		if err := t.c.stall(ctx, act.ChunkDelay); err != nil {
			return err
		}
	}
	if err := t.j.send(p, true); err != nil {
		return err
	}
	t.count++
	if act.ErrorAfterChunk == t.count {
		if err := t.j.record(StatusCut); err != nil {
			return err
		}
		p := act.errorObject(http.StatusInternalServerError).appendJSON([]byte("data: "))
		if err := t.j.send(append(p, "\n\n"...), true); err != nil {
			return err
		}
		return errAbort
	}
	if act.StallAfterChunk == t.count {
		return t.c.stall(ctx, act.StallFor)
	}
	return ctx.Err()
}

// tail sends what follows the last output. The line is recorded before it,
// because a client that has read a finish reason has seen the answer whole.
func (t *streamer) tail(ctx context.Context) error {
	var events [][]byte
	size := 0
	add := func(p []byte) {
		events = append(events, bytes.Clone(p))
		size += len(p)
	}
	for i := range t.a.choices {
		t.open(i)
		t.buf = append(t.buf, "{}"...)
		add(t.close(t.a.choices[i].finish))
	}
	act := t.j.wire.act
	if t.usage {
		t.buf = append(append(t.buf[:0], t.head...), `],"usage":`...)
		t.buf = append(t.a.appendUsage(t.buf, act), "}\n\n"...)
		add(t.buf)
	}
	if !act.OmitDone {
		add([]byte("data: [DONE]\n\n"))
	}
	status := StatusComplete
	if t.j.wire.cuts(size) || act.ErrorAfterChunk > t.count && act.ErrorAfterChunk <= t.count+len(events) {
		status = StatusCut
	}
	if err := t.j.record(status); err != nil {
		return err
	}
	for _, p := range events {
		if err := t.deliver(ctx, p); err != nil {
			return err
		}
	}
	return nil
}

// exact sends the scripted body, an event stream event by event.
func (j *job) exact(ctx context.Context, c *clock, a *answer) error {
	act := j.wire.act
	body := *act.Body
	j.line.Output = a.output()
	j.billBody(body)
	sse := strings.HasPrefix(body, "data:") || strings.HasPrefix(act.ContentType, "text/event-stream")
	status := StatusComplete
	if j.wire.cuts(len(body)) || !sse && act.ContentLengthDelta != 0 {
		status = StatusCut
	}
	if !sse {
		j.wire.header(orDefault(act.ContentType, "application/json"), j.s.opts.Now)
		if err := j.record(status); err != nil {
			return err
		}
		return j.wire.whole(http.StatusOK, []byte(body))
	}
	j.eventStream()
	t := &streamer{j: j, c: c, a: a}
	for rest := body; rest != ""; {
		event, tail, found := strings.Cut(rest, "\n\n")
		if found {
			event += "\n\n"
		}
		rest = tail
		// A scripted body says in its own bytes when it is complete, so the line
		// goes out before the first event that could say so.
		if strings.Contains(event, `"finish_reason":"`) || strings.Contains(event, "[DONE]") || rest == "" {
			if err := j.record(status); err != nil {
				return err
			}
		}
		if err := t.deliver(ctx, []byte(event)); err != nil {
			return err
		}
	}
	return nil
}

// billBody bills by the usage object of a scripted body, when it has one.
func (j *job) billBody(body string) {
	usage := gjson.Get(body, "usage")
	if strings.HasPrefix(body, "data:") {
		for line := range strings.Lines(body) {
			if data, ok := strings.CutPrefix(line, "data:"); ok {
				if u := gjson.Get(data, "usage"); u.IsObject() {
					usage = u
				}
			}
		}
	}
	if !usage.IsObject() {
		return
	}
	number := func(path string) int64 { return min(max(usage.Get(path).Int(), 0), 1<<40) }
	j.line.CacheRead = number("prompt_tokens_details.cached_tokens")
	j.line.CacheWrite = number("prompt_tokens_details.cache_write_tokens")
	j.line.UncachedInput = max(number("prompt_tokens")-j.line.CacheRead-j.line.CacheWrite, 0)
	j.line.Reasoning = number("completion_tokens_details.reasoning_tokens")
	j.line.Output = max(number("completion_tokens")-j.line.Reasoning, 0)
}
