// Package app wires the others into the commands of the program: it reads
// files and flags, starts and stops what runs, and prints what people asked
// for. It refuses to decide: rights, routes, ratings and entries are made in
// the packages that it calls.
package app

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"os/signal"
	"runtime"
	"syscall"
	"time"

	"github.com/accordo-ai/accordo/internal/gateway"
	"github.com/accordo-ai/accordo/internal/journal"
)

// UpOptions say what to serve and where.
type UpOptions struct {
	File        string // empty: the built-in example
	Listen      string
	AdminListen string
	Data        string
	Durability  string // crash or disk
	TLSCert     string
	TLSKey      string
	// ClientCA and AdminClientCA are files of certificate authorities whose
	// clients the API and the operator's listener let in; empty: any.
	ClientCA, AdminClientCA string
	// BehindTLS says that something in front ends TLS, so that a listener
	// beyond loopback may speak plainly.
	BehindTLS bool

	NoModel    bool
	CacheDir   string // of engine and weights; empty: the user's cache
	Weights    string // another GGUF file; empty: the fetched one
	SimInvoice string // file that the simulator appends its invoice to
	// RequestLogBytes bounds all request logs together; 0: DefaultRequestLogBytes.
	RequestLogBytes int64
	DemoKey         string // replace the random ones, with the built-in example only
	AdminToken      string

	Version  string
	Out      io.Writer // what people read
	Progress io.Writer // bars of long work
	ModelLog io.Writer // the local model's own log
	Log      *slog.Logger

	disk journal.FS // of the journal; nil: the system's
}

const (
	drainTime   = 20 * time.Second
	resolveEach = 2 * time.Second
	// afterStart is when the start's memory is given back: its loops have run once.
	afterStart = 500 * time.Millisecond
	// checkpointEach is how much a crash makes the router forget at most.
	checkpointEach = 10 * time.Second
)

// Up serves until ctx ends, then drains and closes everything. SIGHUP reloads
// the alliance file.
func Up(ctx context.Context, o UpOptions) error {
	if err := o.check(); err != nil {
		return ExitError{ExitUsage, err}
	}
	HideMemory()
	listeners, err := listen(o)
	if err != nil {
		return err
	}
	defer listeners.Close()
	s, err := newServer(ctx, o)
	if err != nil {
		return err
	}
	defer s.close()
	return s.serve(ctx, listeners)
}

func (o *UpOptions) check() error {
	if o.File != "" && (o.DemoKey != "" || o.AdminToken != "") {
		return errors.New("ACCORDO_DEMO_KEY and ACCORDO_ADMIN_TOKEN are for the built-in example only, and one of them is set: a file's own are made and printed at the start. Unset them here (env -u ACCORDO_ADMIN_TOKEN accordo up FILE), or leave out the file")
	}
	if (o.TLSCert == "") != (o.TLSKey == "") {
		return errors.New("--tls-cert and --tls-key go together")
	}
	if o.TLSCert == "" && (o.ClientCA != "" || o.AdminClientCA != "") {
		return errors.New("client certificates need TLS: give --tls-cert and --tls-key too")
	}
	for _, address := range []string{o.Listen, o.AdminListen} {
		if _, _, err := net.SplitHostPort(address); err != nil {
			return fmt.Errorf("%q is not host:port: write 127.0.0.1:8080", address)
		}
		if !loopback(address) && o.TLSCert == "" && !o.BehindTLS {
			return fmt.Errorf("%s can be reached from other machines: give --tls-cert and --tls-key, or --behind-tls when a proxy in front speaks TLS", address)
		}
	}
	return nil
}

// loopback reports whether only this machine reaches an address, host:port.
func loopback(address string) bool {
	host, _, _ := net.SplitHostPort(address)
	ip := net.ParseIP(host)
	return host == "localhost" || ip != nil && ip.IsLoopback()
}

// listenerPair are the sockets of the API and of the operator.
type listenerPair struct {
	api   *limitedListener
	admin net.Listener
}

func listen(o UpOptions) (listenerPair, error) {
	api, err := net.Listen("tcp", o.Listen)
	if err != nil {
		return listenerPair{}, fmt.Errorf("listen for the API: %w (choose another with --listen)", err)
	}
	admin, err := net.Listen("tcp", o.AdminListen)
	if err != nil {
		_ = api.Close()
		return listenerPair{}, fmt.Errorf("listen for the console: %w (choose another with --admin-listen)", err)
	}
	plain := o.TLSCert == ""
	words := gateway.InDialect
	if !plain { // what is written is encrypted
		words = nil
	}
	return listenerPair{
		api:   &limitedListener{Listener: api, most: apiConnections, plain: plain, words: words},
		admin: &limitedListener{Listener: admin, most: func() int64 { return adminConnections }, plain: plain},
	}, nil
}

// Close closes both sockets; closing them again does nothing.
func (l listenerPair) Close() {
	_ = l.api.Close()
	_ = l.admin.Close()
}

// serve answers on both listeners until ctx ends or one fails, and drains.
func (s *server) serve(ctx context.Context, l listenerPair) error {
	s.clients.Store(l.api)
	api := s.gateway.Server()
	console := &http.Server{
		Handler: s.operatorHandler(l), ReadHeaderTimeout: 10 * time.Second, ReadTimeout: time.Minute,
		IdleTimeout: 2 * time.Minute, MaxHeaderBytes: 32 << 10,
		BaseContext: api.BaseContext, // the end of a drain cuts what the console asks, too
		ErrorLog:    api.ErrorLog,
	}
	apiCertificates, err := newCertificates(&s.o, s.o.ClientCA)
	if err != nil {
		return err
	}
	consoleCertificates, err := newCertificates(&s.o, s.o.AdminClientCA)
	if err != nil {
		return err
	}
	api.TLSConfig, console.TLSConfig = apiCertificates.config(), consoleCertificates.config()
	failed := make(chan error, 2)
	start := func(h *http.Server, ln net.Listener) {
		var err error
		if s.o.TLSCert != "" {
			err = h.ServeTLS(ln, "", "")
		} else {
			err = h.Serve(ln)
		}
		if !errors.Is(err, http.ErrServerClosed) {
			failed <- err
		}
	}
	go start(api, l.api)
	go start(console, l.admin)
	s.announce(l)
	room := newHeadRoom()
	released := time.AfterFunc(afterStart, releaseMemory)
	defer released.Stop()

	hup := make(chan os.Signal, 1)
	signal.Notify(hup, syscall.SIGHUP)
	defer signal.Stop(hup)
	for running := true; running; {
		select {
		case <-hup:
			s.rereadCertificates(apiCertificates, consoleCertificates)
			s.reload()
		case err = <-failed:
			running = false
		case <-ctx.Done():
			running = false
		}
	}
	s.shutdown(api, console)
	runtime.KeepAlive(room)
	return err
}

// operatorHandler is the operator's listener with the check of names that a
// plain one on loopback needs.
func (s *server) operatorHandler(l listenerPair) http.Handler {
	h := s.adminHandler(l)
	if s.o.TLSCert == "" && !s.o.BehindTLS {
		return onlyLoopbackNames(h)
	}
	return h
}

func (s *server) shutdown(api, console *http.Server) {
	fmt.Fprintln(s.o.Out, "\nStopping: requests under way may end, new ones are refused.")
	ctx, cancel := context.WithTimeout(context.Background(), drainTime)
	defer cancel()
	s.play.Stop()
	if cut := s.gateway.Drain(ctx); cut > 0 {
		s.o.Log.Warn("requests were cut at the end of the drain", "requests", cut)
	}
	if _, left := s.gateway.WriteLate(ctx); left > 0 {
		s.o.Log.Error("outcomes could not be written; they stand as suspense after the next start", "outcomes", left)
	}
	_ = api.Shutdown(ctx) // what is left is idle connections
	_ = console.Shutdown(ctx)
	_ = api.Close()
	_ = console.Close()
}
