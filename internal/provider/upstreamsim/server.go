package upstreamsim

import (
	"context"
	"crypto/subtle"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

// Server is a simulated provider; it is an http.Handler. Close it after the
// HTTP server that uses it has stopped.
type Server struct {
	opts     Options
	pools    map[string]*pool
	first    *pool
	invoice  *invoice
	recorder *recorder
	script   atomic.Pointer[liveScript]
	control  http.Handler
	active   atomic.Int64
	count    atomic.Uint64 // Answers planned, for ids.
	requests atomic.Uint64 // Requests seen, for ids.
}

// pool is one simulated pool.
type pool struct {
	name        string
	models      []string
	apiKey      string
	fingerprint string
	pace        *pacer
	created     int64
}

func (p *pool) serves(model string) bool {
	return len(p.models) == 0 || slices.Contains(p.models, model)
}

// buffers holds scratch space for rendered answers.
var buffers = sync.Pool{New: func() any { b := make([]byte, 0, 4<<10); return &b }}

// bodies holds scratch space for request bodies.
var bodies = sync.Pool{New: func() any { b := make([]byte, 0, 4<<10); return &b }}

// maxPooledBytes keeps one huge request from pinning its memory.
const maxPooledBytes = 1 << 20

// New checks the options and opens the invoice. It reports every fault at once.
func New(o Options) (*Server, error) {
	o = o.withDefaults()
	if err := o.validate(); err != nil {
		return nil, fmt.Errorf("simulated provider: %w", err)
	}
	s := &Server{opts: o, pools: make(map[string]*pool, len(o.Pools)), recorder: newRecorder(o.RecordRequests, o.MaxRecordBytes)}
	for _, po := range o.Pools {
		p := &pool{name: po.Name, models: slices.Clone(po.Models), apiKey: po.APIKey, pace: newPacer(po), created: o.Now().Unix()}
		p.fingerprint = fmt.Sprintf("fp_%010x", s.hash([]byte(po.Name))&0xffffffffff)
		s.pools[po.Name] = p
		if s.first == nil {
			s.first = p
		}
	}
	if o.Script != nil {
		if err := s.SetScript(o.Script); err != nil {
			return nil, err
		}
	}
	var err error
	if s.invoice, err = openInvoice(o.InvoicePath, o.MaxInvoiceLines); err != nil {
		return nil, err
	}
	s.control = s.controlHandler()
	return s, nil
}

// SetScript swaps the script and starts its counts at zero; nil serves every
// request. Requests under way finish under the script that they began with.
func (s *Server) SetScript(script *Script) error {
	if script == nil {
		s.script.Store(nil)
		return nil
	}
	if err := script.validate(); err != nil {
		return fmt.Errorf("script: %w", err)
	}
	for i, r := range script.Rules {
		if r.Pool != "" && s.pools[r.Pool] == nil {
			return fmt.Errorf("script: rule %d: pool %q is not hosted here: write one of %s", i+1, r.Pool, strings.Join(s.poolNames(), ", "))
		}
	}
	s.script.Store(newLiveScript(script))
	return nil
}

func (s *Server) poolNames() []string {
	names := make([]string, len(s.opts.Pools))
	for i, p := range s.opts.Pools {
		names[i] = p.Name
	}
	return names
}

// Lines gives the invoice lines of a pool, all when the name is empty, oldest
// first. It fails when memory had to drop lines; use a file for long runs.
func (s *Server) Lines(pool string) ([]Line, error) {
	var lines []Line
	dropped, err := s.invoice.each(pool, func(l *Line) error { lines = append(lines, *l); return nil })
	if err != nil {
		return nil, err
	}
	if dropped > 0 {
		return lines, fmt.Errorf("the oldest %d invoice lines were dropped: keep the invoice in a file", dropped)
	}
	return lines, nil
}

// Close syncs and closes the invoice file. Calling it again does nothing.
func (s *Server) Close() error { return s.invoice.close() }

// Run listens on o.Listen and serves until ctx ends, then stops gracefully.
func Run(ctx context.Context, o Options) error {
	s, err := New(o)
	if err != nil {
		return err
	}
	var lc net.ListenConfig
	ln, err := lc.Listen(ctx, "tcp", s.opts.Listen)
	if err != nil {
		return errors.Join(fmt.Errorf("listen on %s: %w", s.opts.Listen, err), s.Close())
	}
	if s.opts.OnListen != nil {
		s.opts.OnListen(ln.Addr())
	}
	return errors.Join(s.Serve(ctx, ln), s.Close())
}

// Serve answers connections of ln until ctx ends; it closes ln. Streams that do
// not end within a few seconds are then cut.
func (s *Server) Serve(ctx context.Context, ln net.Listener) error {
	hs := &http.Server{
		Handler:           s,
		ReadHeaderTimeout: 10 * time.Second,
		IdleTimeout:       2 * time.Minute,
		MaxHeaderBytes:    s.opts.MaxHeaderBytes,
	}
	stopped := make(chan struct{})
	done := make(chan error, 1)
	go func() {
		defer close(stopped)
		done <- hs.Serve(ln)
	}()
	select {
	case err := <-done:
		return fmt.Errorf("serve: %w", err)
	case <-ctx.Done():
	}
	grace, cancel := context.WithTimeout(context.WithoutCancel(ctx), 3*time.Second)
	defer cancel()
	if err := hs.Shutdown(grace); err != nil {
		// What is left is a stream that nobody ends; cutting it is what a crash would do.
		_ = hs.Close()
	}
	<-stopped
	// A cut handler still has its invoice line to write; it never takes long.
	for range 100 {
		if s.active.Load() == 0 {
			break
		}
		time.Sleep(10 * time.Millisecond)
	}
	return nil
}

// ServeHTTP answers one request of a client or of the control path.
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	path := r.URL.Path
	p := s.first
	if rest, ok := strings.CutPrefix(path, "/pools/"); ok {
		name, tail, _ := strings.Cut(rest, "/")
		if p = s.pools[name]; p == nil {
			writeError(w, &apiError{
				status: http.StatusNotFound, kind: "invalid_request_error", code: "unknown_pool",
				message: fmt.Sprintf("Pool %q is not hosted here.", name),
			})
			return
		}
		path = "/" + tail
	}
	rest, ok := strings.CutPrefix(path, "/v1/")
	if !ok {
		s.control.ServeHTTP(w, r)
		return
	}
	if s.active.Add(1) > int64(s.opts.MaxStreams) {
		s.active.Add(-1)
		writeError(w, &apiError{status: http.StatusServiceUnavailable, kind: "server_error", message: "The engine is currently overloaded, please try again later."})
		return
	}
	defer s.active.Add(-1)
	s.provider(w, r, p, rest)
}

// provider answers a request to an endpoint below /v1/.
func (s *Server) provider(w http.ResponseWriter, r *http.Request, p *pool, path string) {
	j := &job{s: s, pool: p, r: r, wire: wire{w: w, rc: http.NewResponseController(w), act: served}, script: s.script.Load()}
	j.requestID = s.requestID()
	h := w.Header()
	h["X-Request-Id"] = []string{j.requestID}
	h["X-Simulated"] = []string{"upstream-sim"}
	j.attemptID = r.Header.Get("X-Accordo-Attempt")
	if fail := j.precheck(path); fail != nil {
		j.fail(fail)
		return
	}
	defer j.wire.release()
	switch {
	case path == "models" || strings.HasPrefix(path, "models/"):
		j.models(strings.TrimPrefix(strings.TrimPrefix(path, "models"), "/"))
	case path == "embeddings":
		j.withBody(EndpointEmbeddings, j.embeddings)
	default:
		j.withBody(EndpointChat, j.chat)
	}
}

// precheck refuses what no endpoint would serve.
func (j *job) precheck(path string) *apiError {
	method := http.MethodPost
	switch {
	case path == "chat/completions" || path == "embeddings":
	case path == "models" || strings.HasPrefix(path, "models/"):
		method = http.MethodGet
	default:
		return &apiError{
			status: http.StatusNotFound, kind: "invalid_request_error", code: "unknown_url",
			message: fmt.Sprintf("Unknown request URL: %s /v1/%s. Please check the URL for typos, or see the docs at https://platform.openai.com/docs/api-reference/.", j.r.Method, path),
		}
	}
	if j.r.Method != method {
		j.wire.w.Header().Set("Allow", method)
		return &apiError{
			status: http.StatusMethodNotAllowed, kind: "invalid_request_error", code: "method_not_supported",
			message: fmt.Sprintf("Not allowed to %s on /v1/%s. (HINT: Perhaps you meant to use a different HTTP method?)", j.r.Method, path),
		}
	}
	if len(j.attemptID) > maxAttemptIDBytes {
		return invalid("", "The header x-accordo-attempt has more than %d bytes: send a shorter id.", maxAttemptIDBytes)
	}
	if key := j.pool.apiKey; key != "" {
		given := strings.TrimPrefix(j.r.Header.Get("Authorization"), "Bearer ")
		if subtle.ConstantTimeCompare([]byte(given), []byte(key)) != 1 {
			return &apiError{status: http.StatusUnauthorized, kind: "invalid_request_error", code: "invalid_api_key", message: "Incorrect API key provided."}
		}
	}
	return nil
}

// withBody reads the body and goes on with fn, unless a rule answers first.
func (j *job) withBody(endpoint string, fn func([]byte)) {
	if j.script != nil && j.script.early {
		if act := j.script.pick(&subject{pool: j.pool.name, endpoint: endpoint, early: true}); act != nil {
			j.early(act)
			return
		}
	}
	buf := bodies.Get().(*[]byte)
	body, fail := j.readBody((*buf)[:0])
	if fail != nil {
		j.fail(fail)
		return
	}
	defer func() {
		if cap(body) <= maxPooledBytes {
			*buf = body
			bodies.Put(buf)
		}
	}()
	j.s.recorder.record(j.r, j.pool.name, body, j.s.opts.Now())
	fn(body)
}

// early answers while the client may still be sending.
func (j *job) early(act *Action) {
	_ = j.wire.rc.EnableFullDuplex() // HTTP/2 always is.
	_ = j.wire.rc.SetReadDeadline(time.Now().Add(bodyReadTimeout))
	j.wire.w.Header().Set("Connection", "close")
	q := &chatRequest{model: "unread", choices: 1, format: "text", input: max(tokens(int(min(j.r.ContentLength, 1<<40))), 1)}
	j.serveChat(q, act)
}

func (j *job) readBody(b []byte) ([]byte, *apiError) {
	limit := j.s.opts.MaxBodyBytes
	if j.r.ContentLength > limit {
		return nil, tooLarge(limit)
	}
	// Recorders in tests have no deadline to set, and no network to wait for.
	_ = j.wire.rc.SetReadDeadline(time.Now().Add(bodyReadTimeout))
	defer func() { _ = j.wire.rc.SetReadDeadline(time.Time{}) }()
	r := io.LimitReader(j.r.Body, limit+1)
	for {
		if len(b) == cap(b) {
			b = append(b, 0)[:len(b)]
		}
		n, err := r.Read(b[len(b):cap(b)])
		b = b[:len(b)+n]
		if int64(len(b)) > limit {
			return nil, tooLarge(limit)
		}
		if errors.Is(err, io.EOF) {
			return b, nil
		}
		if err != nil {
			return nil, invalid("", "The request body ended early.")
		}
	}
}

func tooLarge(limit int64) *apiError {
	return &apiError{
		status: http.StatusRequestEntityTooLarge, kind: "invalid_request_error",
		message: fmt.Sprintf("The request body has more than %d bytes.", limit),
	}
}

// fail answers with an error object and bills nothing.
func (j *job) fail(e *apiError) { writeError(j.wire.w, e) }

func writeError(w http.ResponseWriter, e *apiError) {
	body := e.appendJSON(nil)
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Content-Length", strconv.Itoa(len(body)))
	w.WriteHeader(e.status)
	// A client that left needs no error.
	_, _ = w.Write(body)
}

func unknownModel(model string) *apiError {
	return &apiError{
		status: http.StatusNotFound, kind: "invalid_request_error", code: "model_not_found",
		message: fmt.Sprintf("The model `%s` does not exist or you do not have access to it.", model),
	}
}

// errorObject is the provider's usual error for a status, with the script's own parts.
func (a *Action) errorObject(status int) *apiError {
	e := &apiError{status: status, message: "The server had an error while processing your request. Sorry about that!", kind: "server_error"}
	switch {
	case status == http.StatusTooManyRequests:
		e.message, e.kind, e.code = "Rate limit reached. Please try again later.", "requests", "rate_limit_exceeded"
	case status == http.StatusUnauthorized:
		e.message, e.kind, e.code = "Incorrect API key provided.", "invalid_request_error", "invalid_api_key"
	case status == http.StatusServiceUnavailable:
		e.message = "The engine is currently overloaded, please try again later."
	case status < 500:
		e.message, e.kind = "The request was refused.", "invalid_request_error"
	}
	e.message = orDefault(a.ErrorMessage, e.message+" [simulated]")
	e.kind = orDefault(a.ErrorType, e.kind)
	e.code = orDefault(a.ErrorCode, e.code)
	e.param = a.ErrorParam
	return e
}

func (s *Server) requestID() string {
	n := s.requests.Add(1)
	var space [48]byte
	b := strconv.AppendUint(append(space[:0], "req_"...), mix(s.opts.Seed^n), 16)
	return string(strconv.AppendUint(append(b, '-'), n, 10))
}
