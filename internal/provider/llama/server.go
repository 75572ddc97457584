package llama

import (
	"context"
	cryptorand "crypto/rand"
	"encoding/hex"
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"math/rand/v2"
	"net"
	"net/http"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"time"
)

// Limits of the server; those with a Default can be set in Options.
const (
	// DefaultQueueRequests is how many requests may wait for a slot.
	DefaultQueueRequests = 16
	// DefaultMaxOutputTokens is the output limit of a request that names none.
	DefaultMaxOutputTokens = 512
	// DefaultMaxBodyBytes bounds a request's body.
	DefaultMaxBodyBytes = 4 << 20

	retryAfterSeconds = 2
	maxHeaderBytes    = 64 << 10
	maxAttemptID      = 128
	readTimeout       = 30 * time.Second
	writeTimeout      = 30 * time.Second
	idleTimeout       = 2 * time.Minute
	stopGrace         = 5 * time.Second
)

// AttemptHeader carries the gateway's id of an attempt; it is logged.
const AttemptHeader = "X-Accordo-Attempt"

// Options say how a model is served.
type Options struct {
	// Model is the loaded model. Serve does not close it.
	Model *Model
	// Names are the model names that are answered; the first is the one that
	// /v1/models lists first.
	Names []string
	// QueueRequests, MaxOutputTokens and MaxBodyBytes are limits; 0 takes the default.
	QueueRequests   int
	MaxOutputTokens int
	MaxBodyBytes    int64
	// Log gets one line per request, without prompts and answers.
	Log *slog.Logger
}

// ModelName makes a model name of a weights file's name.
func ModelName(weights string) string {
	return strings.ToLower(strings.TrimSuffix(filepath.Base(weights), ".gguf"))
}

type server struct {
	Options
	waiting atomic.Int64
	started time.Time
}

// Serve answers on the listener until ctx ends, then lets running requests end
// for a few seconds. It closes the listener.
func Serve(ctx context.Context, l net.Listener, o Options) error {
	s := &server{Options: o, started: time.Now()}
	if s.QueueRequests <= 0 {
		s.QueueRequests = DefaultQueueRequests
	}
	if s.MaxOutputTokens <= 0 {
		s.MaxOutputTokens = DefaultMaxOutputTokens
	}
	if s.MaxBodyBytes <= 0 {
		s.MaxBodyBytes = DefaultMaxBodyBytes
	}
	if s.Log == nil {
		s.Log = slog.New(slog.DiscardHandler)
	}
	if len(s.Names) == 0 {
		l.Close()
		return errors.New("serve a model: it needs at least one name")
	}
	// Requests outlive ctx by the grace, so that a stop is not a cut.
	base, cut := context.WithCancel(context.WithoutCancel(ctx))
	defer cut()
	h := &http.Server{
		Handler: s.routes(), ReadHeaderTimeout: readTimeout, ReadTimeout: readTimeout, IdleTimeout: idleTimeout,
		MaxHeaderBytes: maxHeaderBytes, ErrorLog: slog.NewLogLogger(s.Log.Handler(), slog.LevelWarn),
		BaseContext: func(net.Listener) context.Context { return base },
	}
	served := make(chan error, 1)
	go func() { served <- h.Serve(l) }()
	select {
	case err := <-served:
		return err
	case <-ctx.Done():
	}
	grace, cancel := context.WithTimeout(context.WithoutCancel(ctx), stopGrace)
	defer cancel()
	if h.Shutdown(grace) != nil {
		cut()
		h.Close()
	}
	<-served
	s.drain()
	return nil
}

// drain waits until no handler decodes any more: all slots are back.
func (s *server) drain() {
	held := make([]*slot, 0, cap(s.Model.slots))
	for range cap(s.Model.slots) {
		held = append(held, <-s.Model.slots)
	}
	for _, sl := range held {
		s.Model.release(sl)
	}
}

func (s *server) routes() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("POST /v1/chat/completions", s.chat)
	mux.HandleFunc("GET /v1/models", s.models)
	mux.HandleFunc("GET /v1/models/{model}", s.model)
	mux.HandleFunc("GET /healthz", func(w http.ResponseWriter, _ *http.Request) {
		writeJSON(w, http.StatusOK, map[string]string{"status": "ok"})
	})
	mux.HandleFunc("POST /v1/embeddings", func(w http.ResponseWriter, _ *http.Request) {
		writeError(w, &apiError{
			http.StatusNotFound, "This model generates text; it has no embeddings.",
			"invalid_request_error", nil, optional("unsupported_endpoint"),
		})
	})
	mux.HandleFunc("/", func(w http.ResponseWriter, r *http.Request) {
		writeError(w, &apiError{
			http.StatusNotFound, "Invalid URL (" + r.Method + " " + r.URL.Path + ")",
			"invalid_request_error", nil, optional("unknown_url"),
		})
	})
	return mux
}

func (s *server) models(w http.ResponseWriter, _ *http.Request) {
	list := make([]any, len(s.Names))
	for i, n := range s.Names {
		list[i] = s.modelObject(n)
	}
	writeJSON(w, http.StatusOK, map[string]any{"object": "list", "data": list})
}

func (s *server) model(w http.ResponseWriter, r *http.Request) {
	name := r.PathValue("model")
	if !slices.Contains(s.Names, name) {
		writeError(w, s.unknownModel(name))
		return
	}
	writeJSON(w, http.StatusOK, s.modelObject(name))
}

func (s *server) modelObject(name string) map[string]any {
	return map[string]any{"id": name, "object": "model", "created": s.started.Unix(), "owned_by": "local"}
}

func (s *server) unknownModel(name string) *apiError {
	return &apiError{
		http.StatusNotFound, "The model '" + name + "' does not exist here; this server has " + strings.Join(s.Names, ", ") + ".",
		"invalid_request_error", optional("model"), optional("model_not_found"),
	}
}

// readBody reads a bounded body.
func (s *server) readBody(w http.ResponseWriter, r *http.Request) ([]byte, error) {
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, s.MaxBodyBytes))
	var large *http.MaxBytesError
	if errors.As(err, &large) {
		return nil, &apiError{
			http.StatusRequestEntityTooLarge, "The request body is longer than " + strconv.FormatInt(large.Limit, 10) + " bytes.",
			"invalid_request_error", nil, optional("request_too_large"),
		}
	}
	if err != nil {
		return nil, invalid("", "", "The request body could not be read.")
	}
	return body, nil
}

// enter takes a slot, or waits for one if the queue has room. The queue counts
// every request without a slot, so it may be full for an instant in which a
// slot is free; the client is then told to come back.
func (s *server) enter(ctx context.Context) (*slot, error) {
	if s.waiting.Add(1) > int64(s.QueueRequests) {
		s.waiting.Add(-1)
		select {
		case sl := <-s.Model.slots:
			return sl, nil
		default:
		}
		return nil, &apiError{
			http.StatusTooManyRequests, "The model is busy and its queue is full; try again later.",
			"rate_limit_error", nil, optional("queue_full"),
		}
	}
	defer s.waiting.Add(-1)
	return s.Model.acquire(ctx)
}

// prepare turns a body into a generation.
func (s *server) prepare(body []byte) (*chatRequest, generation, error) {
	r, messages, err := parseChat(body)
	if err != nil {
		return nil, generation{}, err
	}
	if !slices.Contains(s.Names, r.Model) {
		return nil, generation{}, s.unknownModel(r.Model)
	}
	g := generation{maxTokens: r.outputLimit(s.MaxOutputTokens), sampling: sampling{topP: 1, seed: rand.Uint32()}}
	if g.grammar, err = r.grammar(); err != nil {
		return nil, generation{}, err
	}
	if g.stop, err = r.stops(); err != nil {
		return nil, generation{}, err
	}
	g.stop = append(g.stop, s.Model.plainStops()...)
	for _, f := range []struct {
		to   *float32
		from *float64
	}{{&g.temperature, r.Temperature}, {&g.topP, r.TopP}, {&g.frequency, r.FrequencyPenalty}, {&g.presence, r.PresencePenalty}} {
		if f.from != nil {
			*f.to = float32(*f.from)
		}
	}
	if r.Seed != nil {
		g.seed = uint32(*r.Seed) ^ uint32(*r.Seed>>32)
	}
	if g.input, err = s.Model.Prompt(messages); err != nil {
		return nil, generation{}, invalid("messages", "", "The messages could not be turned into input: %v.", err)
	}
	if len(g.input) >= s.Model.ContextTokens() {
		return nil, generation{}, invalid("messages", "context_length_exceeded",
			"This model's maximum context length is %d tokens. However, your messages resulted in %d tokens. Please reduce the length of the messages.",
			s.Model.ContextTokens(), len(g.input))
	}
	return r, g, nil
}

// chat answers POST /v1/chat/completions.
func (s *server) chat(w http.ResponseWriter, r *http.Request) {
	began := time.Now()
	id := "chatcmpl-" + randomID()
	a := &answer{w: w, rc: http.NewResponseController(w), id: id, created: began.Unix(), fingerprint: "llama.cpp-" + s.Model.lib.Release()}
	o, err := s.answer(r, w, a)
	status := http.StatusOK
	if err != nil {
		status = a.fail(err)
	}
	s.Log.Info("chat completion", "id", id, "attempt", attemptID(r), "status", status, "stream", a.stream, "finish", o.finish,
		"input_tokens", o.input, "cached_tokens", o.cached, "output_tokens", o.output, "duration_ms", time.Since(began).Milliseconds())
}

func (s *server) answer(r *http.Request, w http.ResponseWriter, a *answer) (outcome, error) {
	body, err := s.readBody(w, r)
	if err != nil {
		return outcome{}, err
	}
	req, g, err := s.prepare(body)
	if err != nil {
		return outcome{}, err
	}
	a.model, a.stream, a.wantUsage = req.Model, req.Stream, req.StreamOptions != nil && req.StreamOptions.IncludeUsage
	sl, err := s.enter(r.Context())
	if err != nil {
		return outcome{input: len(g.input)}, err
	}
	defer s.Model.release(sl)
	o, err := sl.generate(r.Context(), g, a.text)
	if err != nil {
		return o, err
	}
	return o, a.finish(o)
}

// attemptID returns the gateway's id if it is one that may stand in a log.
func attemptID(r *http.Request) string {
	id := r.Header.Get(AttemptHeader)
	if len(id) > maxAttemptID || strings.ContainsFunc(id, func(c rune) bool { return c <= ' ' || c > '~' }) {
		return "invalid"
	}
	return id
}

func randomID() string {
	var b [12]byte
	_, _ = cryptorand.Read(b[:]) // It never fails: the runtime ends the program instead.
	return hex.EncodeToString(b[:])
}

func writeJSON(w http.ResponseWriter, status int, v any) {
	b, err := json.Marshal(v)
	if err != nil {
		status, b = http.StatusInternalServerError, []byte(`{"error":{"message":"internal error","type":"server_error","param":null,"code":null}}`)
	}
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_, _ = w.Write(append(b, '\n')) // The client may have left.
}

func writeError(w http.ResponseWriter, e *apiError) {
	if e.status == http.StatusTooManyRequests {
		w.Header().Set("Retry-After", strconv.Itoa(retryAfterSeconds))
	}
	writeJSON(w, e.status, map[string]any{"error": e})
}
