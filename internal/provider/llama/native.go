package llama

import (
	"errors"
	"unsafe"
)

// ErrUnavailable says that this build cannot run a model inside itself.
var ErrUnavailable = errors.New("the embedded model is not available on this platform (it needs linux/amd64); point a pool at a model server instead")

// Handles of the engine's objects. They are addresses outside Go's memory.
type (
	modelHandle   uintptr
	vocabHandle   uintptr
	contextHandle uintptr
	memoryHandle  uintptr
	samplerHandle uintptr
	templateText  uintptr
)

const (
	// modelParamWords and contextParamWords are eight-byte words reserved for
	// the engine's parameter structs, which are passed on as it filled them.
	// A larger block than the struct is harmless while it is the last argument.
	modelParamWords   = 16
	contextParamWords = 24
	// probeBytes is the memory offered when a struct's true size is measured.
	probeBytes = 1024
)

type modelParams struct{ words [modelParamWords]uint64 }

// contextParams is opaque but for its first field, the context length in tokens.
type contextParams struct{ words [contextParamWords]uint64 }

func (p *contextParams) setContextTokens(n uint32) { *(*uint32)(unsafe.Pointer(&p.words)) = n }

// batch has the layout of llama_batch: a count, then six pointers. The engine
// makes it and the engine reads it.
type batch struct {
	_, _             int32
	_, _, _, _, _, _ uintptr
}

// chatMessage has the layout of llama_chat_message.
type chatMessage struct{ role, content *byte }

// native holds the engine's functions. It is filled from the shared library.
type native struct {
	release string

	loadBackends   func(dir string)
	backendInit    func()
	logSet         func(callback, data uintptr)
	modelDefaults  func(out unsafe.Pointer)
	ctxDefaults    func(out unsafe.Pointer)
	modelLoad      func(file string, p modelParams) modelHandle
	modelFree      func(modelHandle)
	modelVocab     func(modelHandle) vocabHandle
	modelTrained   func(modelHandle) int32
	modelTemplate  func(modelHandle, uintptr) templateText
	modelDecoder   func(modelHandle) bool
	ctxNew         func(modelHandle, contextParams) contextHandle
	ctxFree        func(contextHandle)
	ctxTokens      func(contextHandle) uint32
	ctxBatch       func(contextHandle) uint32
	ctxThreads     func(contextHandle, int32, int32)
	ctxMemory      func(contextHandle) memoryHandle
	memoryClear    func(memoryHandle, bool)
	memoryRemove   func(memoryHandle, int32, int32, int32) bool
	tokenize       func(vocabHandle, *byte, int32, *int32, int32, bool, bool) int32
	tokenPiece     func(vocabHandle, int32, *byte, int32, int32, bool) int32
	tokenIsEnd     func(vocabHandle, int32) bool
	chatTemplate   func(templateText, *chatMessage, uintptr, bool, *byte, int32) int32
	batchOne       func(*int32, int32) batch
	decode         func(contextHandle, batch) int32
	chainNew       func(noPerformance bool) samplerHandle
	chainAdd       func(samplerHandle, samplerHandle)
	samplerFree    func(samplerHandle)
	samplerSample  func(samplerHandle, contextHandle, int32) int32
	samplerGreedy  func() samplerHandle
	samplerTopP    func(p float32, minKeep uintptr) samplerHandle
	samplerTemp    func(float32) samplerHandle
	samplerDist    func(seed uint32) samplerHandle
	samplerRepeat  func(last int32, repeat, frequency, presence float32) samplerHandle
	samplerGrammar func(v vocabHandle, gbnf, root string) samplerHandle
}

// structSize has the engine fill memory that was poisoned in two ways, and
// returns how far it wrote, in bytes rounded up to whole words. It relies on the
// System V rule that a large result is written through a hidden first pointer.
func structSize(fill func(unsafe.Pointer)) int {
	var a, b [probeBytes]byte
	for i := range a {
		a[i], b[i] = 0xA5, 0x5A
	}
	fill(unsafe.Pointer(&a))
	fill(unsafe.Pointer(&b))
	size := 0
	for i := range a {
		if a[i] != 0xA5 || b[i] != 0x5A {
			size = i + 1
		}
	}
	return (size + 7) / 8 * 8
}
