// Package upstreamsim is a scriptable provider: an HTTP server that looks to a
// client like an OpenAI-compatible provider, breaks in every way that a script
// asks for, and keeps an invoice of what it served, by attempt id.
//
// One Server hosts several named pools under /pools/NAME/v1; the first pool
// also answers under /v1. Answers are made from a hash of the conversation and
// a seed, so the same request gets the same text, and they say that they are
// simulated. Waiting follows a declared model of latency and throughput; a pool
// without one answers at once, which makes it a benchmark's mock.
//
// Token rule, the same for wire and invoice: text is counted as its UTF-8 bytes
// divided by four, rounded up; each image or other non-text part adds 85 tokens;
// each tool definition counts as the bytes of its JSON.
//
// It refuses to be a model: it does not read a prompt for meaning. It refuses to
// forget a bill: the invoice line of a request is recorded before the last byte
// of its answer leaves. It is meant for loopback and has no protection against a
// hostile network beyond its limits.
package upstreamsim
