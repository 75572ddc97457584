// Package openai reads and writes OpenAI's wire format: chat completions,
// embeddings, their streams and error objects. A body is scanned once, never
// decoded, and every byte that the gateway has no business with is passed on
// as it came. It refuses to do I/O, to know keys, pools or prices, and to
// repair what is not valid: a body that is not strict JSON is an error, and
// usage that contradicts itself is reported as such.
package openai
