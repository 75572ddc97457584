// Package tinymodel writes a small GGUF file of random weights, so that tests
// run the engine's real loader, tokenizer, decoder and grammar without any
// download. Its text is noise; it refuses to be of any other use.
package tinymodel

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"math"
	"math/rand/v2"
	"os"
)

// Sizes of the model.
const (
	// ContextTokens is the context length that the file declares.
	ContextTokens = 512

	embedding   = 64
	heads       = 2
	blocks      = 2
	feedForward = 128
	vocabulary  = 352
	alignment   = 32
	weightScale = 0.08
)

// Types of metadata values and tokens in GGUF version 3.
const (
	typeUint32  = 4
	typeInt32   = 5
	typeFloat32 = 6
	typeString  = 8
	typeArray   = 9

	tokenNormal  = 1
	tokenUnknown = 2
	tokenControl = 3
	tokenUnused  = 5
	tokenByte    = 6
)

// Options change what the file says.
type Options struct {
	// Seed selects the weights; the same seed gives the same bytes.
	Seed uint64
	// ChatTemplate is put into the metadata when it is not empty.
	ChatTemplate string
}

// ChatML is the template under which the file gets the tokens <|im_start|> and
// <|im_end|> as control tokens.
const ChatML = "{% for message in messages %}{{'<|im_start|>' + message['role'] + '\n' + message['content'] + '<|im_end|>' + '\n'}}{% endfor %}{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}"

// WriteFile writes the model to a file.
func WriteFile(name string, o Options) error {
	b, err := Bytes(o)
	if err != nil {
		return err
	}
	return os.WriteFile(name, b, 0o600)
}

// Bytes returns the model as a GGUF file.
func Bytes(o Options) ([]byte, error) {
	tensors := tensorList()
	w := &writer{}
	w.raw([]byte("GGUF"))
	w.u32(3)
	w.u64(uint64(len(tensors)))
	w.u64(0) // The count of metadata is known at the end.
	countAt := w.buf.Len() - 8
	writeMetadata(w, o)

	var offset uint64
	for _, t := range tensors {
		w.str(t.name)
		w.u32(uint32(len(t.shape)))
		for _, d := range t.shape {
			w.u64(uint64(d))
		}
		w.u32(0) // F32.
		w.u64(offset)
		offset += uint64(aligned(4 * t.values()))
	}
	w.pad()
	rng := rand.New(rand.NewPCG(o.Seed, 1))
	for _, t := range tensors {
		for range t.values() {
			v := float32(1)
			if len(t.shape) > 1 {
				v = float32(rng.NormFloat64() * weightScale)
			}
			w.u32(math.Float32bits(v))
		}
		w.pad()
	}
	b := w.buf.Bytes()
	binary.LittleEndian.PutUint64(b[countAt:], w.keys)
	if got := len(vocab()); got != vocabulary {
		return nil, fmt.Errorf("tiny model: %d tokens, want %d", got, vocabulary)
	}
	return b, nil
}

type tensor struct {
	name  string
	shape []int
}

func (t tensor) values() int {
	n := 1
	for _, d := range t.shape {
		n *= d
	}
	return n
}

func tensorList() []tensor {
	all := []tensor{{"token_embd.weight", []int{embedding, vocabulary}}}
	for i := range blocks {
		add := func(name string, shape ...int) {
			all = append(all, tensor{fmt.Sprintf("blk.%d.%s.weight", i, name), shape})
		}
		add("attn_norm", embedding)
		for _, n := range []string{"attn_q", "attn_k", "attn_v", "attn_output"} {
			add(n, embedding, embedding)
		}
		add("ffn_norm", embedding)
		add("ffn_gate", embedding, feedForward)
		add("ffn_up", embedding, feedForward)
		add("ffn_down", feedForward, embedding)
	}
	return append(all, tensor{"output_norm.weight", []int{embedding}}, tensor{"output.weight", []int{embedding, vocabulary}})
}

func writeMetadata(w *writer, o Options) {
	w.keyString("general.architecture", "llama")
	w.keyString("general.name", "tiny random model for tests")
	w.keyU32("general.alignment", alignment)
	w.keyU32("llama.context_length", ContextTokens)
	w.keyU32("llama.embedding_length", embedding)
	w.keyU32("llama.block_count", blocks)
	w.keyU32("llama.feed_forward_length", feedForward)
	w.keyU32("llama.attention.head_count", heads)
	w.keyU32("llama.attention.head_count_kv", heads)
	w.keyU32("llama.rope.dimension_count", embedding/heads)
	w.keyU32("llama.vocab_size", vocabulary)
	w.key("llama.attention.layer_norm_rms_epsilon", typeFloat32)
	w.u32(math.Float32bits(1e-5))
	w.keyString("tokenizer.ggml.model", "llama")
	tokens := vocab()
	w.keyArray("tokenizer.ggml.tokens", typeString, len(tokens))
	for _, t := range tokens {
		w.str(t.text)
	}
	w.keyArray("tokenizer.ggml.scores", typeFloat32, len(tokens))
	for i := range tokens {
		w.u32(math.Float32bits(float32(-i)))
	}
	w.keyArray("tokenizer.ggml.token_type", typeInt32, len(tokens))
	for _, t := range tokens {
		w.u32(t.kind)
	}
	w.keyU32("tokenizer.ggml.unknown_token_id", 0)
	w.keyU32("tokenizer.ggml.bos_token_id", 1)
	w.keyU32("tokenizer.ggml.eos_token_id", 2)
	if o.ChatTemplate != "" {
		w.keyString("tokenizer.chat_template", o.ChatTemplate)
	}
}

type token struct {
	text string
	kind uint32
}

func vocab() []token {
	all := []token{{"<unk>", tokenUnknown}, {"<s>", tokenControl}, {"</s>", tokenControl}}
	for i := range 256 {
		all = append(all, token{fmt.Sprintf("<0x%02X>", i), tokenByte})
	}
	add := func(from, to rune) {
		for r := from; r <= to; r++ {
			all = append(all, token{string(r), tokenNormal})
		}
	}
	add('▁', '▁')
	add('a', 'z')
	add('A', 'Z')
	add('0', '9')
	for _, r := range `.,!?"{}:[]` {
		add(r, r)
	}
	all = append(all, token{"<|im_start|>", tokenControl}, token{"<|im_end|>", tokenControl})
	for i := len(all); i < vocabulary; i++ {
		all = append(all, token{fmt.Sprintf("<unused%d>", i), tokenUnused})
	}
	return all
}

func aligned(n int) int { return (n + alignment - 1) / alignment * alignment }

// writer writes GGUF's little-endian values.
type writer struct {
	buf  bytes.Buffer
	keys uint64
}

func (w *writer) raw(b []byte) { w.buf.Write(b) }
func (w *writer) u32(v uint32) { w.raw(binary.LittleEndian.AppendUint32(nil, v)) }
func (w *writer) u64(v uint64) { w.raw(binary.LittleEndian.AppendUint64(nil, v)) }
func (w *writer) str(s string) { w.u64(uint64(len(s))); w.raw([]byte(s)) }
func (w *writer) pad()         { w.raw(make([]byte, aligned(w.buf.Len())-w.buf.Len())) }

func (w *writer) key(name string, kind uint32) {
	w.keys++
	w.str(name)
	w.u32(kind)
}

func (w *writer) keyString(name, v string)     { w.key(name, typeString); w.str(v) }
func (w *writer) keyU32(name string, v uint32) { w.key(name, typeUint32); w.u32(v) }

func (w *writer) keyArray(name string, kind uint32, n int) {
	w.key(name, typeArray)
	w.u32(kind)
	w.u64(uint64(n))
}
