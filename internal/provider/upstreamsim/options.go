package upstreamsim

import (
	"errors"
	"fmt"
	"log/slog"
	"net"
	"strings"
	"time"
)

// Limits that a Server applies when Options leaves the field at zero.
const (
	DefaultMaxBodyBytes     = 32 << 20 // Request body, in bytes.
	DefaultMaxHeaderBytes   = 64 << 10 // Request line and headers, in bytes.
	DefaultMaxStreams       = 4096     // Requests in progress over all pools.
	DefaultMaxRecordBytes   = 64 << 20 // Recorded request bodies, in bytes.
	DefaultMaxInvoiceLines  = 100_000  // Invoice lines kept in memory when there is no file.
	DefaultOutputTokens     = 48       // Length of an answer when neither client nor script says.
	DefaultEmbeddingSize    = 1536     // Dimensions of an embedding when the request names none.
	DefaultEndlessMaxChunks = 100_000  // Chunks after which an endless stream is cut.
)

// Fixed limits; none of them is worth an option.
const (
	maxPools           = 256
	maxChoices         = 8
	maxOutputTokens    = 1 << 20
	maxEmbeddingInputs = 2048
	maxEmbeddingSize   = 4096
	maxAttemptIDBytes  = 128
	maxRecordedCount   = 10_000
	maxTotals          = 1024
	maxDelay           = time.Hour
	bodyReadTimeout    = time.Minute
	writeTimeout       = 2 * time.Minute
	largeWrite         = 32 << 10
	tokensPerImage     = 85
	bytesPerToken      = 4
)

// PoolOptions says how one simulated pool answers. The zero value of every
// latency field means no waiting.
type PoolOptions struct {
	// Name is the NAME in /pools/NAME/v1: letters, digits, '-', '_' and '.'.
	Name string
	// Models lists the models that the pool has; empty means any name is served.
	Models []string
	// APIKey, when set, is the bearer token that the pool asks for.
	APIKey string
	// TTFTBase is the part of the time to first token that does not depend on the input.
	TTFTBase time.Duration
	// InputTokensPerSecond is the speed at which one request's uncached input is read.
	InputTokensPerSecond float64
	// OutputTokensPerSecond is the speed of one stream; TPOT is its reciprocal.
	OutputTokensPerSecond float64
	// TokensPerChipSecond is the chip's table throughput, input and output together.
	TokensPerChipSecond float64
	// Chips is how many chips share the work; 0 counts as 1.
	Chips int
	// Scale is the declared factor on the shared throughput; 0 counts as 1.
	Scale float64
	// Burst is how far the shared throughput may run ahead after idle time.
	Burst time.Duration
	// MaxConcurrent is how many requests are served at once; 0 means no limit.
	MaxConcurrent int
	// MaxQueue is how many requests wait beyond MaxConcurrent before the pool answers 429.
	MaxQueue int
	// OutputTokens is the length of an answer, in tokens, when nothing else says.
	OutputTokens int
	// TokensPerChunk is how many tokens one stream event carries; 0 counts as 1.
	TokensPerChunk int
	// EmbeddingSize is the number of dimensions of an embedding.
	EmbeddingSize int
}

// Options says what a Server hosts and what it may use.
type Options struct {
	// Pools lists the pools; an empty list gives one pool named "default" without latency.
	Pools []PoolOptions
	// Seed changes every generated text, vector and id.
	Seed uint64
	// Script is the script at the start; nil means every request is served.
	Script *Script
	// InvoicePath, when set, is the file that invoice lines are appended to.
	InvoicePath string
	// RecordRequests is how many of the latest request bodies are kept for GET /requests.
	RecordRequests int
	// Now stamps answers and invoice lines; nil means time.Now. Waiting uses
	// timers of package time, which testing/synctest replaces.
	Now func() time.Time
	// Logger receives the server's own faults; nil discards them.
	Logger *slog.Logger
	// Listen is the address of Run; empty means a free port on loopback.
	Listen string
	// OnListen, when set, is told the address that Run listens on.
	OnListen func(net.Addr)

	MaxBodyBytes     int64 // Limit of a request body; see DefaultMaxBodyBytes.
	MaxHeaderBytes   int   // Limit of a request's headers; see DefaultMaxHeaderBytes.
	MaxStreams       int   // Limit of requests in progress; see DefaultMaxStreams.
	MaxRecordBytes   int64 // Limit of recorded bodies together; see DefaultMaxRecordBytes.
	MaxInvoiceLines  int   // Limit of lines in memory; see DefaultMaxInvoiceLines.
	EndlessMaxChunks int   // Limit of an endless stream; see DefaultEndlessMaxChunks.
}

// withDefaults fills zero fields; it does not validate.
func (o Options) withDefaults() Options {
	if len(o.Pools) == 0 {
		o.Pools = []PoolOptions{{Name: "default"}}
	}
	pools := make([]PoolOptions, len(o.Pools))
	for i, p := range o.Pools {
		p.Chips = orDefault(p.Chips, 1)
		p.Scale = orDefault(p.Scale, 1)
		p.OutputTokens = orDefault(p.OutputTokens, DefaultOutputTokens)
		p.TokensPerChunk = orDefault(p.TokensPerChunk, 1)
		p.EmbeddingSize = orDefault(p.EmbeddingSize, DefaultEmbeddingSize)
		pools[i] = p
	}
	o.Pools = pools
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	if o.Listen == "" {
		o.Listen = "127.0.0.1:0"
	}
	o.MaxBodyBytes = orDefault(o.MaxBodyBytes, DefaultMaxBodyBytes)
	o.MaxHeaderBytes = orDefault(o.MaxHeaderBytes, DefaultMaxHeaderBytes)
	o.MaxStreams = orDefault(o.MaxStreams, DefaultMaxStreams)
	o.MaxRecordBytes = orDefault(o.MaxRecordBytes, DefaultMaxRecordBytes)
	o.MaxInvoiceLines = orDefault(o.MaxInvoiceLines, DefaultMaxInvoiceLines)
	o.EndlessMaxChunks = orDefault(o.EndlessMaxChunks, DefaultEndlessMaxChunks)
	return o
}

func orDefault[T comparable](v, fallback T) T {
	var zero T
	if v == zero {
		return fallback
	}
	return v
}

// validate reports every fault of the options at once.
func (o Options) validate() error {
	var faults []error
	if len(o.Pools) > maxPools {
		faults = append(faults, fmt.Errorf("%d pools are more than the %d that one server hosts: start a second server", len(o.Pools), maxPools))
	}
	seen := make(map[string]bool)
	for _, p := range o.Pools {
		if err := p.validate(); err != nil {
			faults = append(faults, err)
		}
		if seen[p.Name] {
			faults = append(faults, fmt.Errorf("pool %q is given twice: give every pool its own name", p.Name))
		}
		seen[p.Name] = true
	}
	if o.RecordRequests < 0 || o.RecordRequests > maxRecordedCount {
		faults = append(faults, fmt.Errorf("recording %d requests is out of range: use 0 to %d", o.RecordRequests, maxRecordedCount))
	}
	if o.MaxBodyBytes < 0 || o.MaxHeaderBytes < 0 || o.MaxStreams < 0 || o.MaxRecordBytes < 0 || o.MaxInvoiceLines < 0 || o.EndlessMaxChunks < 0 {
		faults = append(faults, errors.New("a limit is negative: use 0 for its default"))
	}
	return errors.Join(faults...)
}

func (p PoolOptions) validate() error {
	if !validPoolName(p.Name) {
		return fmt.Errorf("pool name %q is not usable in a path: use 1 to 64 letters, digits, '-', '_' or '.'", p.Name)
	}
	var faults []error
	for _, rate := range []struct {
		name  string
		value float64
	}{
		{"input_tokens_per_second", p.InputTokensPerSecond},
		{"output_tokens_per_second", p.OutputTokensPerSecond},
		{"tokens_per_chip_second", p.TokensPerChipSecond},
		{"scale", p.Scale},
	} {
		// The negated form also refuses NaN.
		if !(rate.value >= 0 && rate.value <= 1e12) || rate.value > 0 && rate.value < 1e-3 {
			faults = append(faults, fmt.Errorf("pool %q: %s is %v: use 0 (no limit) or 0.001 to 1e12", p.Name, rate.name, rate.value))
		}
	}
	for _, delay := range []time.Duration{p.TTFTBase, p.Burst} {
		if delay < 0 || delay > maxDelay {
			faults = append(faults, fmt.Errorf("pool %q: a delay of %s is out of range: use 0s to %s", p.Name, delay, maxDelay))
		}
	}
	for _, count := range []struct {
		name       string
		value, max int
	}{
		{"chips", p.Chips, 100_000_000},
		{"max_concurrent", p.MaxConcurrent, 1 << 20},
		{"max_queue", p.MaxQueue, 1 << 20},
		{"output_tokens", p.OutputTokens, maxOutputTokens},
		{"tokens_per_chunk", p.TokensPerChunk, maxOutputTokens},
		{"embedding_size", p.EmbeddingSize, maxEmbeddingSize},
	} {
		if count.value < 0 || count.value > count.max {
			faults = append(faults, fmt.Errorf("pool %q: %s is %d: use 0 to %d", p.Name, count.name, count.value, count.max))
		}
	}
	return errors.Join(faults...)
}

func validPoolName(name string) bool {
	if name == "" || len(name) > 64 || strings.Trim(name, ".") == "" {
		return false
	}
	for _, c := range []byte(name) {
		if !('a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || '0' <= c && c <= '9' || c == '-' || c == '_' || c == '.') {
			return false
		}
	}
	return true
}
