//go:build !noengine

package llama

import (
	"errors"
	"fmt"
	"path/filepath"
	"strings"
	"unsafe"

	"github.com/ebitengine/purego"
)

// openNative loads the shared libraries of a folder and finds the functions.
func openNative(dir string) (*native, error) {
	dir, err := filepath.Abs(dir)
	if err != nil {
		return nil, err
	}
	ggml, err := findLibrary(dir, "libggml")
	if err != nil {
		return nil, err
	}
	llama, err := findLibrary(dir, "libllama")
	if err != nil {
		return nil, err
	}
	n := &native{release: release(llama)}
	for _, l := range []struct {
		file  string
		calls []call
	}{{ggml, n.ggmlCalls()}, {llama, n.llamaCalls()}} {
		h, err := purego.Dlopen(l.file, purego.RTLD_NOW|purego.RTLD_GLOBAL)
		if err != nil {
			return nil, fmt.Errorf("load %s: %w", filepath.Base(l.file), err)
		}
		for _, c := range l.calls {
			addr, err := purego.Dlsym(h, c.symbol)
			if err != nil {
				return nil, fmt.Errorf("%s has no %s; use the release that this program pins: %w", filepath.Base(l.file), c.symbol, err)
			}
			purego.RegisterFunc(c.fn, addr)
		}
	}
	return n, n.checkLayouts()
}

// newLogCallback makes a native callback for log(level, text). The engine calls
// it on the threads that call the engine. It is never freed.
func newLogCallback(log func(level int, text string)) uintptr {
	return purego.NewCallback(func(level int32, text *byte, _ uintptr) {
		log(int(level), cString(text))
	})
}

// cString copies a zero-terminated text, up to a limit.
func cString(p *byte) string {
	if p == nil {
		return ""
	}
	b := unsafe.Slice(p, maxNativeLog)
	for i := range maxNativeLog {
		if b[i] == 0 {
			return string(b[:i])
		}
	}
	return string(b)
}

type call struct {
	fn     any
	symbol string
}

func (n *native) ggmlCalls() []call {
	return []call{{&n.loadBackends, "ggml_backend_load_all_from_path"}}
}

func (n *native) llamaCalls() []call {
	return []call{
		{&n.backendInit, "llama_backend_init"},
		{&n.logSet, "llama_log_set"},
		{&n.modelDefaults, "llama_model_default_params"},
		{&n.ctxDefaults, "llama_context_default_params"},
		{&n.modelLoad, "llama_model_load_from_file"},
		{&n.modelFree, "llama_model_free"},
		{&n.modelVocab, "llama_model_get_vocab"},
		{&n.modelTrained, "llama_model_n_ctx_train"},
		{&n.modelTemplate, "llama_model_chat_template"},
		{&n.modelDecoder, "llama_model_has_decoder"},
		{&n.ctxNew, "llama_init_from_model"},
		{&n.ctxFree, "llama_free"},
		{&n.ctxTokens, "llama_n_ctx"},
		{&n.ctxBatch, "llama_n_batch"},
		{&n.ctxThreads, "llama_set_n_threads"},
		{&n.ctxMemory, "llama_get_memory"},
		{&n.memoryClear, "llama_memory_clear"},
		{&n.memoryRemove, "llama_memory_seq_rm"},
		{&n.tokenize, "llama_tokenize"},
		{&n.tokenPiece, "llama_token_to_piece"},
		{&n.tokenIsEnd, "llama_vocab_is_eog"},
		{&n.chatTemplate, "llama_chat_apply_template"},
		{&n.batchOne, "llama_batch_get_one"},
		{&n.decode, "llama_decode"},
		{&n.chainNew, "llama_sampler_chain_init"},
		{&n.chainAdd, "llama_sampler_chain_add"},
		{&n.samplerFree, "llama_sampler_free"},
		{&n.samplerSample, "llama_sampler_sample"},
		{&n.samplerGreedy, "llama_sampler_init_greedy"},
		{&n.samplerTopP, "llama_sampler_init_top_p"},
		{&n.samplerTemp, "llama_sampler_init_temp"},
		{&n.samplerDist, "llama_sampler_init_dist"},
		{&n.samplerRepeat, "llama_sampler_init_penalties"},
		{&n.samplerGrammar, "llama_sampler_init_grammar"},
	}
}

// findLibrary finds NAME.so or NAME.<release>.so in a folder.
func findLibrary(dir, name string) (string, error) {
	var found []string
	for _, pattern := range []string{name + ".so", name + ".*.so"} {
		m, err := filepath.Glob(filepath.Join(dir, pattern))
		if err != nil {
			return "", err
		}
		found = append(found, m...)
	}
	switch len(found) {
	case 0:
		return "", fmt.Errorf("no %s.so in %s; fetch the engine first, or name the folder of a llama.cpp build", name, dir)
	case 1:
		return found[0], nil
	}
	return "", fmt.Errorf("several releases of %s.so in %s; keep one", name, dir)
}

// release reads b10361 out of libllama.b10361.so.
func release(file string) string {
	r := strings.TrimSuffix(strings.TrimPrefix(filepath.Base(file), "libllama."), ".so")
	if r == "" || r == "so" {
		return "unknown"
	}
	return r
}

// checkLayouts measures the parameter structs and compares the leading fields
// with the engine's documented defaults, so that a release with another layout
// is refused before it can corrupt memory.
func (n *native) checkLayouts() error {
	if size := structSize(n.modelDefaults); size < 64 || size > 8*modelParamWords {
		return fmt.Errorf("engine %s: model parameters take %d bytes; use the release that this program pins", n.release, size)
	}
	if size := structSize(n.ctxDefaults); size < 96 || size > 8*contextParamWords {
		return fmt.Errorf("engine %s: context parameters take %d bytes; use the release that this program pins", n.release, size)
	}
	var probe [probeBytes / 4]uint32
	n.ctxDefaults(unsafe.Pointer(&probe))
	if probe[0] != 512 || probe[1] != 2048 || probe[2] != 512 {
		return errors.New("engine " + n.release + ": context parameters start with unknown fields; use the release that this program pins")
	}
	return nil
}
