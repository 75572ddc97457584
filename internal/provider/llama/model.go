package llama

import (
	"errors"
	"fmt"
	"os"
	"runtime"
	"sync"
	"unsafe"
)

const (
	// DefaultContextTokens is the context length used when none is asked for.
	DefaultContextTokens = 4096
	// promptBatchTokens is how many tokens of input are decoded between two
	// looks at whether the client is still there.
	promptBatchTokens = 256
	// maxThreads bounds the threads of one decode.
	maxThreads = 64
	// maxPieceBytes bounds the text of one token.
	maxPieceBytes = 512
)

// ModelOptions say how to load a model.
type ModelOptions struct {
	// Weights is the GGUF file.
	Weights string
	// ContextTokens bounds input plus output; 0 means DefaultContextTokens. It
	// is lowered to what the model was trained for.
	ContextTokens int
	// Threads per decode; 0 means 1.
	Threads int
	// Slots is how many requests are decoded at once, each with a context of
	// its own; 0 means 1.
	Slots int
	// ReusePrefix keeps the decoded input of a slot's last request, so that a
	// next request with the same beginning need not decode it again. Answers
	// may then differ in the last digit of a probability from a cold start.
	ReusePrefix bool
}

// Model is a loaded model with its decoding slots. Its methods may be called
// from several goroutines; each slot is used by one at a time.
type Model struct {
	lib      *Library
	model    modelHandle
	vocab    vocabHandle
	template templateText
	chat     bool
	context  int
	reuse    bool
	slots    chan *slot
	all      []*slot
	once     sync.Once
}

// LoadModel maps the weights and makes the slots.
func (l *Library) LoadModel(o ModelOptions) (*Model, error) {
	if st, err := os.Stat(o.Weights); err != nil {
		return nil, fmt.Errorf("open the weights: %w", err)
	} else if !st.Mode().IsRegular() {
		return nil, fmt.Errorf("open the weights: %s is not a regular file", o.Weights)
	}
	var p modelParams
	l.n.modelDefaults(unsafe.Pointer(&p))
	l.log.take()
	h := l.n.modelLoad(o.Weights, p)
	if h == 0 {
		return nil, l.fail("load the weights")
	}
	m := &Model{lib: l, model: h, vocab: l.n.modelVocab(h), reuse: o.ReusePrefix}
	if !l.n.modelDecoder(h) {
		m.Close()
		return nil, errors.New("load the weights: this model does not generate text")
	}
	m.context = o.ContextTokens
	if m.context <= 0 {
		m.context = DefaultContextTokens
	}
	if trained := int(l.n.modelTrained(h)); trained > 0 {
		m.context = min(m.context, trained)
	}
	m.template = l.n.modelTemplate(h, 0)
	m.chat = m.template != 0 && m.templateWorks()
	slots := max(1, o.Slots)
	m.slots = make(chan *slot, slots)
	for range slots {
		s, err := m.newSlot(min(max(1, o.Threads), maxThreads))
		if err != nil {
			m.Close()
			return nil, err
		}
		m.all = append(m.all, s)
		m.slots <- s
	}
	return m, nil
}

// Close frees the model. No request may be running.
func (m *Model) Close() {
	m.once.Do(func() {
		for _, s := range m.all {
			m.lib.n.ctxFree(s.ctx)
		}
		m.lib.n.modelFree(m.model)
	})
}

// ContextTokens is the most that input and output may take together.
func (m *Model) ContextTokens() int { return m.context }

// HasChatTemplate says whether the model's own chat template is used. Without
// one, messages are written as plain lines with the speaker's name.
func (m *Model) HasChatTemplate() bool { return m.chat }

// Tokenize returns the tokens of a text. With control, the text may contain the
// model's control tokens by name; without, such names are ordinary text. With
// begin, the model's begin token is added where the model wants one.
func (m *Model) Tokenize(text string, begin, control bool) ([]int32, error) {
	if text == "" && !begin {
		return nil, nil
	}
	b := append([]byte(text), 0)
	buf := make([]int32, len(text)+8)
	for range 2 {
		n := m.lib.n.tokenize(m.vocab, &b[0], int32(len(text)), &buf[0], int32(len(buf)), begin, control)
		if n >= 0 {
			return buf[:n], nil
		}
		buf = make([]int32, -n)
	}
	return nil, m.lib.fail("tokenize")
}

// piece returns the bytes of one token; control tokens have none.
func (m *Model) piece(token int32) []byte {
	buf := make([]byte, maxPieceBytes)
	n := m.lib.n.tokenPiece(m.vocab, token, &buf[0], int32(len(buf)), 0, false)
	return buf[:max(0, n)]
}

// slot is one context: the memory of one conversation at a time.
type slot struct {
	m   *Model
	ctx contextHandle
	mem memoryHandle
	// held are the tokens whose state the context's memory holds.
	held []int32
}

func (m *Model) newSlot(threads int) (*slot, error) {
	var p contextParams
	n := m.lib.n
	n.ctxDefaults(unsafe.Pointer(&p))
	p.setContextTokens(uint32(m.context))
	m.lib.log.take()
	ctx := n.ctxNew(m.model, p)
	if ctx == 0 {
		return nil, m.lib.fail("make a context")
	}
	n.ctxThreads(ctx, int32(threads), int32(threads))
	if got := int(n.ctxTokens(ctx)); got < m.context {
		m.context = got
	}
	if got := int(n.ctxBatch(ctx)); got < promptBatchTokens && got < m.context {
		n.ctxFree(ctx)
		return nil, fmt.Errorf("make a context: the engine takes %d tokens at once, %d are needed", got, promptBatchTokens)
	}
	return &slot{m: m, ctx: ctx, mem: n.ctxMemory(ctx)}, nil
}

// decode runs the model over tokens that follow what is held.
func (s *slot) decode(tokens []int32) error {
	var pin runtime.Pinner
	pin.Pin(&tokens[0])
	defer pin.Unpin()
	n := s.m.lib.n
	if rc := n.decode(s.ctx, n.batchOne(&tokens[0], int32(len(tokens)))); rc != 0 {
		s.forget()
		return fmt.Errorf("decode: the engine returned %d", rc)
	}
	s.held = append(s.held, tokens...)
	return nil
}

// forget empties the context's memory.
func (s *slot) forget() {
	s.m.lib.n.memoryClear(s.mem, true)
	s.held = s.held[:0]
}

// reusePrefix keeps the longest held beginning of the input and returns its
// length. At least the last token is decoded again, for its probabilities.
func (s *slot) reusePrefix(input []int32) int {
	keep := 0
	if s.m.reuse {
		for keep < len(s.held) && keep < len(input)-1 && s.held[keep] == input[keep] {
			keep++
		}
	}
	if keep == 0 || !s.m.lib.n.memoryRemove(s.mem, 0, int32(keep), -1) {
		s.forget()
		return 0
	}
	s.held = s.held[:keep]
	return keep
}
