// Package llama serves a GGUF language model of the user's own machine in the
// OpenAI dialect. The engine is llama.cpp's shared library, called without cgo.
// Because a failed native assertion ends a process, the model runs in a child
// process of the same program (ServeCommand), which a Child starts, watches and
// restarts; to the gateway it is one more upstream behind a socket.
//
// It refuses to download anything, to write prompts or answers to a log, to
// mirror the engine's parameter structs beyond their first fields, and to hold
// more requests than its queue allows.
package llama
