package app

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"iter"
	"log/slog"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"time"

	"github.com/accordo-ai/accordo/internal/datadir"
	"github.com/accordo-ai/accordo/internal/journal"
	"github.com/accordo-ai/accordo/internal/ledger"
	"github.com/accordo-ai/accordo/internal/record"
	"github.com/accordo-ai/accordo/internal/settle"
	"github.com/accordo-ai/accordo/internal/store/sqlite"
)

// recorder records facts in the books of a data directory: by itself when
// nothing serves from it, else through the process that does.
type recorder interface {
	Record(ctx context.Context, event ledger.Event, dry bool) (ledger.Batch, error)
	SaveDocument(ctx context.Context, data []byte) (string, error)
	Close() error
}

const (
	// socketName is the socket of the serving process, in the run directory.
	// Its directory is the owner's alone, so whoever reaches it may record.
	socketName = "books.sock"
	// maxSocketPath is what every system takes as the path of a socket.
	maxSocketPath = 100
	// maxEventBytes bounds one event on the socket.
	maxEventBytes = datadir.MaxFactBytes
)

// openRecorder opens the books of a data directory for recording facts.
func openRecorder(ctx context.Context, data string) (recorder, error) {
	if _, err := datadir.OpenReadOnly(data); err != nil {
		return nil, err // do not make a directory to record nothing in
	}
	dir, err := datadir.Open(data)
	if errors.Is(err, datadir.ErrLocked) {
		return dialRecorder(data, err)
	}
	if err != nil {
		return nil, err
	}
	o := &offline{dir: dir}
	if err := o.open(ctx); err != nil {
		return nil, errors.Join(err, o.Close())
	}
	return o, nil
}

// offline owns the books while nothing serves.
type offline struct {
	dir     *datadir.Dir
	store   *sqlite.Store
	settler *settle.Settler
}

func (o *offline) open(ctx context.Context) (err error) {
	if o.store, err = sqlite.Open(ctx, o.dir.Books()); err != nil {
		return err
	}
	head, err := o.store.Head(ctx)
	if err != nil {
		return err
	}
	j := &atRest{dir: o.dir.Journal(), last: head.Last}
	for r, err := range journal.Read(j.dir, head.Last+1) {
		if err != nil {
			return err
		}
		j.last = r.Sequence
	}
	if o.settler, err = settle.New(ctx, j, o.store, termsFrom(o.dir), slog.New(slog.DiscardHandler)); err != nil {
		return err
	}
	if err := o.settler.UseFacts(o.dir); err != nil {
		return err
	}
	return o.settler.CatchUp(ctx)
}

// Record records one event.
func (o *offline) Record(ctx context.Context, event ledger.Event, dry bool) (ledger.Batch, error) {
	step, err := o.settler.Record(ctx, event, dry)
	return step.Batch, err
}

// SaveDocument keeps a document.
func (o *offline) SaveDocument(_ context.Context, data []byte) (string, error) {
	return o.dir.SaveDocument(data)
}

// Close gives the directory back.
func (o *offline) Close() error {
	var err error
	if o.store != nil {
		err = o.store.Close()
	}
	return errors.Join(err, o.dir.Close())
}

// atRest is a journal that nothing writes.
type atRest struct {
	dir  string
	last uint64
}

var errAtRest = errors.New("the journal is not being written")

func (j *atRest) Mark(context.Context) (uint64, error)         { return 0, errAtRest }
func (j *atRest) Wait(context.Context, uint64) (uint64, error) { return 0, errAtRest }
func (j *atRest) Last() uint64                                 { return j.last }
func (j *atRest) ReadInto(_ *record.Memory, from uint64) iter.Seq2[record.Record, error] {
	return journal.Read(j.dir, from)
}

// recordRequest and recordAnswer travel over the socket.
type recordRequest struct {
	Event ledger.Event `json:"event"`
	Dry   bool         `json:"dry,omitempty"`
}

type recordAnswer struct {
	Batch   ledger.Batch `json:"batch"`
	Hash    string       `json:"hash,omitempty"`
	Error   string       `json:"error,omitempty"`
	Refused bool         `json:"refused,omitempty"` // the event contradicts the books
}

// serveBooks lets commands record facts while this process serves.
func (s *server) serveBooks() {
	path := filepath.Join(s.dir.Run(), socketName)
	if len(path) > maxSocketPath {
		s.o.Log.Warn("facts cannot be recorded while serving: the data directory's path is too long for a socket", "path", path)
		return
	}
	if err := os.Remove(path); err != nil && !errors.Is(err, os.ErrNotExist) {
		s.o.Log.Warn("facts cannot be recorded while serving", "error", err)
		return
	}
	l, err := net.Listen("unix", path)
	if err != nil {
		s.o.Log.Warn("facts cannot be recorded while serving", "error", err)
		return
	}
	mux := http.NewServeMux()
	mux.HandleFunc("POST /record", s.handleRecord)
	mux.HandleFunc("POST /document", s.handleDocument)
	mux.HandleFunc("POST /access", s.handleAccess)
	s.booksSocket = &http.Server{Handler: mux, ReadHeaderTimeout: 10 * time.Second, ReadTimeout: 5 * time.Minute, MaxHeaderBytes: 8 << 10}
	s.loop(func() { _ = s.booksSocket.Serve(l) })
}

func (s *server) handleRecord(w http.ResponseWriter, r *http.Request) {
	var q recordRequest
	err := json.NewDecoder(http.MaxBytesReader(w, r.Body, maxEventBytes)).Decode(&q)
	var step ledger.Step
	if err == nil {
		step, err = s.settler.Record(r.Context(), q.Event, q.Dry)
	}
	if err == nil && !q.Dry && q.Event.ExchangeRate != nil {
		err = s.learnRates()
	}
	if err == nil && !q.Dry {
		s.refold()
	}
	answerRecord(w, recordAnswer{Batch: step.Batch}, err)
}

func (s *server) handleDocument(w http.ResponseWriter, r *http.Request) {
	data, err := io.ReadAll(http.MaxBytesReader(w, r.Body, datadir.MaxDocumentBytes))
	var hash string
	if err == nil {
		hash, err = s.dir.SaveDocument(data)
	}
	answerRecord(w, recordAnswer{Hash: hash}, err)
}

func answerRecord(w http.ResponseWriter, a recordAnswer, err error) {
	if err != nil {
		a.Error, a.Refused = err.Error(), errors.Is(err, ledger.ErrFact)
	}
	w.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(w).Encode(a) // the command is gone: nobody to tell
}

// remote records through the serving process.
type remote struct{ client *http.Client }

func dialRecorder(data string, locked error) (recorder, error) {
	path := filepath.Join(data, "run", socketName)
	if _, err := os.Stat(path); err != nil {
		return nil, fmt.Errorf("%w (it does not take facts while it serves)", locked)
	}
	dial := func(ctx context.Context, _, _ string) (net.Conn, error) {
		var d net.Dialer
		return d.DialContext(ctx, "unix", path)
	}
	return &remote{&http.Client{Transport: &http.Transport{DialContext: dial}}}, nil
}

func (c *remote) post(ctx context.Context, path string, body []byte) (a recordAnswer, err error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, "http://books"+path, bytes.NewReader(body))
	if err != nil {
		return a, err
	}
	resp, err := c.client.Do(req)
	if err != nil {
		return a, fmt.Errorf("ask the serving process: %w", err)
	}
	defer resp.Body.Close()
	if err := json.NewDecoder(resp.Body).Decode(&a); err != nil {
		return a, fmt.Errorf("read the answer of the serving process: %w", err)
	}
	switch {
	case a.Refused:
		return a, refusedThere{a.Error}
	case a.Error != "":
		return a, errors.New(a.Error)
	}
	return a, nil
}

// refusedThere is ledger.ErrFact with the text of the serving process.
type refusedThere struct{ text string }

func (e refusedThere) Error() string        { return e.text }
func (e refusedThere) Is(target error) bool { return target == ledger.ErrFact }

// Record records one event.
func (c *remote) Record(ctx context.Context, event ledger.Event, dry bool) (ledger.Batch, error) {
	body, err := json.Marshal(recordRequest{event, dry})
	if err != nil {
		return ledger.Batch{}, err
	}
	a, err := c.post(ctx, "/record", body)
	return a.Batch, err
}

// SaveDocument keeps a document.
func (c *remote) SaveDocument(ctx context.Context, data []byte) (string, error) {
	a, err := c.post(ctx, "/document", data)
	return a.Hash, err
}

// Close closes idle connections.
func (c *remote) Close() error {
	c.client.CloseIdleConnections()
	return nil
}
