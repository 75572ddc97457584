package llama

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"unicode/utf8"
)

// Reasons why a generation ended, as the OpenAI dialect names them.
const (
	finishStop   = "stop"
	finishLength = "length"
)

const (
	// repeatWindow is how many tokens back repetition is looked for.
	repeatWindow = 64
	// defaultRepeatPenalty keeps very small models from saying one line for
	// ever; it is left out when the client sets a penalty of its own.
	defaultRepeatPenalty = 1.1
)

// errContextLength says that the input alone fills the context.
var errContextLength = errors.New("the input is longer than the model's context")

// sampling says how the next token is chosen. Temperature 0 takes the likeliest.
type sampling struct {
	temperature, topP   float32
	frequency, presence float32
	seed                uint32
	// grammar is GBNF, or empty.
	grammar string
}

// generation is one request to a slot.
type generation struct {
	input     []int32
	maxTokens int
	stop      []string
	sampling
}

// outcome is what a generation used. Output counts sampled tokens without the
// end token.
type outcome struct {
	finish                string
	input, cached, output int
}

// generate decodes the input and then token after token until the model ends,
// a limit is reached or ctx ends. It calls emit with whole UTF-8 text as it
// becomes final, and once with an empty text when the input is decoded. It owns
// the slot while it runs. The outcome is true also when an error is returned.
func (s *slot) generate(ctx context.Context, g generation, emit func(string) error) (outcome, error) {
	o := outcome{finish: finishLength, input: len(g.input)}
	room := s.m.context - len(g.input)
	if room <= 0 || len(g.input) == 0 {
		return o, errContextLength
	}
	chain, err := s.m.newChain(g.sampling)
	if err != nil {
		return o, err
	}
	defer s.m.lib.n.samplerFree(chain)

	o.cached = s.reusePrefix(g.input)
	for rest := g.input[o.cached:]; len(rest) > 0; {
		if err := ctx.Err(); err != nil {
			return o, err
		}
		n := min(len(rest), promptBatchTokens)
		if err := s.decode(rest[:n]); err != nil {
			return o, err
		}
		rest = rest[n:]
	}
	if err := emit(""); err != nil {
		return o, err
	}
	out := textBuffer{stops: g.stop}
	limit := min(g.maxTokens, room)
	for o.output < limit {
		if err := ctx.Err(); err != nil {
			return o, err
		}
		token := s.m.lib.n.samplerSample(chain, s.ctx, -1)
		if s.m.lib.n.tokenIsEnd(s.m.vocab, token) {
			o.finish = finishStop
			break
		}
		o.output++
		text, stopped := out.add(s.m.piece(token))
		if text != "" {
			if err := emit(text); err != nil {
				return o, err
			}
		}
		if stopped {
			o.finish = finishStop
			return o, nil
		}
		if o.output < limit {
			if err := s.decode([]int32{token}); err != nil {
				return o, err
			}
		}
	}
	if text := out.rest(); text != "" {
		return o, emit(text)
	}
	return o, nil
}

// newChain builds the sampler of one request; the caller frees it.
func (m *Model) newChain(p sampling) (samplerHandle, error) {
	n := m.lib.n
	chain := n.chainNew(true)
	if p.grammar != "" {
		m.lib.log.take()
		g := n.samplerGrammar(m.vocab, p.grammar, "root")
		if g == 0 {
			n.samplerFree(chain)
			return 0, m.lib.fail("read the grammar")
		}
		n.chainAdd(chain, g)
	}
	switch {
	case p.frequency != 0 || p.presence != 0:
		n.chainAdd(chain, n.samplerRepeat(repeatWindow, 1, p.frequency, p.presence))
	case p.grammar == "":
		n.chainAdd(chain, n.samplerRepeat(repeatWindow, defaultRepeatPenalty, 0, 0))
	}
	if p.temperature <= 0 {
		n.chainAdd(chain, n.samplerGreedy())
		return chain, nil
	}
	if p.topP < 1 {
		n.chainAdd(chain, n.samplerTopP(p.topP, 1))
	}
	n.chainAdd(chain, n.samplerTemp(p.temperature))
	n.chainAdd(chain, n.samplerDist(p.seed))
	return chain, nil
}

// textBuffer turns token bytes into text that may be sent: whole UTF-8
// sequences, and nothing that could still become a stop string.
type textBuffer struct {
	stops   []string
	pending []byte
}

// add takes the bytes of a token and returns the text that is final. After a
// stop string it returns what stood before it, and true.
func (t *textBuffer) add(b []byte) (text string, stopped bool) {
	t.pending = append(t.pending, b...)
	whole := len(t.pending) - incompleteTail(t.pending)
	s := string(t.pending[:whole])
	first := -1
	for _, stop := range t.stops {
		if i := strings.Index(s, stop); i >= 0 && (first < 0 || i < first) {
			first = i
		}
	}
	if first >= 0 {
		t.pending = nil
		return strings.ToValidUTF8(s[:first], "\uFFFD"), true
	}
	hold := 0
	for _, stop := range t.stops {
		for n := min(len(stop)-1, len(s)); n > hold; n-- {
			if strings.HasSuffix(s, stop[:n]) {
				hold = n
				break
			}
		}
	}
	// Text that is held back starts at a whole rune, because stop strings do.
	out := s[:len(s)-hold]
	t.pending = append(t.pending[:0], t.pending[len(out):]...)
	return strings.ToValidUTF8(out, "\uFFFD"), false
}

// rest returns what was held back, at the end of a generation.
func (t *textBuffer) rest() string {
	s := strings.ToValidUTF8(string(t.pending), "\uFFFD")
	t.pending = nil
	return s
}

// incompleteTail is the number of bytes at the end that begin a UTF-8 sequence
// without ending it.
func incompleteTail(b []byte) int {
	for n := 1; n < utf8.UTFMax && n <= len(b); n++ {
		c := b[len(b)-n]
		if utf8.RuneStart(c) {
			if c >= utf8.RuneSelf && !utf8.FullRune(b[len(b)-n:]) {
				return n
			}
			return 0
		}
	}
	return 0
}

// acquire waits for a free slot; release gives it back.
func (m *Model) acquire(ctx context.Context) (*slot, error) {
	select {
	case s := <-m.slots:
		return s, nil
	case <-ctx.Done():
		return nil, fmt.Errorf("wait for a slot: %w", ctx.Err())
	}
}

func (m *Model) release(s *slot) { m.slots <- s }
