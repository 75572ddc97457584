package app

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/accordo-ai/accordo/internal/alliance"
	"github.com/accordo-ai/accordo/internal/alliance/file"
	"github.com/accordo-ai/accordo/internal/datadir"
	"github.com/accordo-ai/accordo/internal/gateway"
	"github.com/accordo-ai/accordo/internal/journal"
	"github.com/accordo-ai/accordo/internal/provider/upstream"
	"github.com/accordo-ai/accordo/internal/record"
	"github.com/accordo-ai/accordo/internal/requestlog"
	"github.com/accordo-ai/accordo/internal/store/sqlite"
)

// DoctorOptions say what to examine. Call asks every provider for its models,
// with the credential; Limits drives every kind of limit.
type DoctorOptions struct {
	File, Data   string
	Call, Limits bool
	JSON         bool
	Now          time.Time
}

// The bounds of an examination.
const (
	dialTime         = 5 * time.Second
	callTime         = 15 * time.Second
	expirySoon       = 21 * 24 * time.Hour
	fewFiles         = 4096
	slowSync         = 50 * time.Millisecond
	clockSlack       = 5 * time.Second
	maxUpstreamsSeen = 500
)

// Diagnosis is one thing that was examined.
type Diagnosis struct {
	About string `json:"about"`
	State string `json:"state"` // fine, note or wrong
	Says  string `json:"says"`
	Do    string `json:"do,omitempty"`
}

// The states of a diagnosis. Only wrong changes the exit code.
const (
	stateFine  = "fine"
	stateNote  = "note"
	stateWrong = "wrong"
)

// doctor collects diagnoses.
type doctor struct {
	o    DoctorOptions
	list []Diagnosis
}

func (d *doctor) fine(about, says string, args ...any) {
	d.list = append(d.list, Diagnosis{about, stateFine, fmt.Sprintf(says, args...), ""})
}

func (d *doctor) note(about, do, says string, args ...any) {
	d.list = append(d.list, Diagnosis{about, stateNote, fmt.Sprintf(says, args...), do})
}

func (d *doctor) wrong(about, do, says string, args ...any) {
	d.list = append(d.list, Diagnosis{about, stateWrong, fmt.Sprintf(says, args...), do})
}

// Doctor examines a file, what it needs and a data directory, and writes what
// is wrong and what to do. Something wrong exits with 1.
func Doctor(ctx context.Context, w io.Writer, o DoctorOptions) error {
	d := &doctor{o: o}
	if a := d.terms(); a != nil {
		d.keys(a)
		d.offers(a)
		d.endpoints(ctx, a)
		d.rates(a)
	}
	d.machine()
	d.data(ctx)
	if o.Limits {
		if err := d.limits(ctx); err != nil {
			return err
		}
	}
	if err := show(w, o.JSON, d.list, d.write); err != nil {
		return err
	}
	if slices.ContainsFunc(d.list, func(x Diagnosis) bool { return x.State == stateWrong }) {
		return ExitError{Code: ExitWrong}
	}
	return nil
}

// failed reports whether something was found wrong with what is named.
func (d *doctor) failed(about string) bool {
	return slices.ContainsFunc(d.list, func(x Diagnosis) bool { return x.About == about && x.State == stateWrong })
}

func (d *doctor) write(w io.Writer) error {
	count := map[string]int{}
	for _, x := range d.list {
		count[x.State]++
		if _, err := fmt.Fprintf(w, "%-5s  %-10s  %s\n", x.State, x.About, x.Says); err != nil {
			return err
		}
		if x.Do != "" {
			if _, err := fmt.Fprintf(w, "%-5s  %-10s  do: %s\n", "", "", x.Do); err != nil {
				return err
			}
		}
	}
	_, err := fmt.Fprintf(w, "\n%d wrong, %d to note, %d fine.\n", count[stateWrong], count[stateNote], count[stateFine])
	return err
}

func (d *doctor) terms() *alliance.Alliance {
	a, warnings, err := loadTermsWarned(d.o.File)
	var faults *file.Faults
	switch {
	case errors.As(err, &faults):
		d.wrong("file", "run `accordo check "+d.o.File+"` for all faults with their places and what to write", "%s", firstLine(err))
		return nil
	case err != nil:
		d.wrong("file", "name the file that `accordo up` serves; without one the built-in example is examined", "%s", err)
		return nil
	}
	d.fine("file", "%d pools, %d contracts, %d rights, %d plans. Terms %s.", len(a.Pools), len(a.Contracts), len(a.Rights), len(a.Plans), a.Hash[:12])
	if len(warnings) > 0 {
		d.note("file", "run `accordo check "+d.o.File+"`", "%d warnings", len(warnings))
	}
	return a
}

func firstLine(err error) string {
	line, _, more := strings.Cut(err.Error(), "\n")
	if more {
		line += " …"
	}
	return line
}

// keys looks for keys that nobody can use.
func (d *doctor) keys(a *alliance.Alliance) {
	issued := map[string]bool{}
	if dir, err := datadir.OpenReadOnly(d.o.Data); err == nil {
		facts, err := dir.Facts()
		_ = dir.Close()
		if err != nil {
			d.wrong("keys", "restore facts.jsonl from a copy", "the facts cannot be read: %s", err)
		}
		for _, f := range facts {
			if f.KeyIssued != nil {
				issued[f.KeyIssued.ID] = true
			}
			if f.KeyRevoked != nil {
				delete(issued, f.KeyRevoked.ID)
			}
		}
	}
	keys, missing := gateway.TermsKeys(a), []string{}
	for _, k := range keys {
		if k.SHA256 == "" && !issued[string(k.ID)] {
			missing = append(missing, string(k.ID))
		}
	}
	d.fine("keys", "%d keys of %d tenants", len(keys), len(a.Tenants))
	if len(missing) > 0 && d.o.File != "" {
		d.note("keys", "start `accordo up` to have them issued and shown once, or write the sha256 that `accordo key` prints", "not issued yet: %s", few(missing))
	}
}

func few(list []string) string {
	if len(list) > 8 {
		return strings.Join(list[:8], ", ") + fmt.Sprintf(" and %d more", len(list)-8)
	}
	return strings.Join(list, ", ")
}

// endpoints looks at credentials, certificates and addresses of pools.
func (d *doctor) endpoints(ctx context.Context, a *alliance.Alliance) {
	standIns, reached := 0, map[string]error{}
	for i := range a.Pools {
		p := &a.Pools[i]
		if p.StandIn != nil {
			standIns++
			continue
		}
		about := "pool " + string(p.ID)
		credential, err := upstream.Secret(p.Endpoint.Secret, os.Getenv)
		if err != nil {
			d.wrong(about, "give the credential to the process that serves, and to this one: export "+p.Endpoint.Secret+"=…, or a file that secret names", "%s", err)
			continue
		}
		d.secretFile(about, p.Endpoint.Secret)
		options := upstream.Options{URL: p.Endpoint.URL, Credential: credential}
		if err := endpointTLS(&p.Endpoint, &options); err != nil {
			d.wrong(about, "put the file back, or take it out of the endpoint", "%s", err)
			continue
		}
		u, err := url.Parse(p.Endpoint.URL)
		if err != nil {
			continue // the loader has refused it
		}
		if u.Scheme == "http" && credential != "" && !loopbackHost(u.Hostname()) {
			d.note(about, "https:, unless nobody else is on that network", "the credential goes to %s in clear", u.Host)
		}
		place := u.Scheme + "://" + u.Host + p.Endpoint.CA + p.Endpoint.ClientCert
		if _, known := reached[place]; !known && len(reached) < maxUpstreamsSeen {
			reached[place] = d.reach(ctx, about, u, &options)
		}
		if reached[place] == nil && d.o.Call {
			d.call(ctx, about, &options)
		}
	}
	if standIns > 0 {
		d.note("pools", "", "%d of %d pools are answered by stand-ins; their providers are not called", standIns, len(a.Pools))
	}
}

func (d *doctor) secretFile(about, reference string) {
	path, isFile := strings.CutPrefix(reference, "file:")
	if !isFile {
		return
	}
	if info, err := os.Stat(path); err == nil && info.Mode().Perm()&0o077 != 0 {
		d.note(about, "chmod 600 "+path, "others can read the credential: its file has mode %o", info.Mode().Perm())
	}
}

func loopbackHost(host string) bool {
	ip := net.ParseIP(host)
	return host == "localhost" || ip != nil && ip.IsLoopback()
}

// reach opens a connection, with TLS where there is TLS, and sends nothing.
func (d *doctor) reach(ctx context.Context, about string, u *url.URL, o *upstream.Options) error {
	ctx, cancel := context.WithTimeout(ctx, dialTime)
	defer cancel()
	port := u.Port()
	if port == "" {
		port = map[string]string{"http": "80", "https": "443"}[u.Scheme]
	}
	address := net.JoinHostPort(u.Hostname(), port)
	begin := time.Now()
	conn, err := (&net.Dialer{}).DialContext(ctx, "tcp", address)
	if err != nil {
		d.wrong(about, "check the address in the file, name service, routes and firewalls", "%s cannot be reached: %s", address, err)
		return err
	}
	defer conn.Close()
	if u.Scheme == "http" {
		d.fine(about, "%s accepts connections (%s)", address, time.Since(begin).Round(time.Millisecond))
		return nil
	}
	secured := tls.Client(conn, &tls.Config{MinVersion: tls.VersionTLS12, RootCAs: o.Roots, Certificates: o.Certificates, ServerName: u.Hostname()})
	if err := secured.HandshakeContext(ctx); err != nil {
		d.wrong(about, tlsRemedy(err, u.Hostname()), "%s does not agree on TLS: %s", address, err)
		return err
	}
	state := secured.ConnectionState()
	d.fine(about, "%s speaks %s (%s)", address, tls.VersionName(state.Version), time.Since(begin).Round(time.Millisecond))
	if until := state.PeerCertificates[0].NotAfter; until.Before(d.o.Now.Add(expirySoon)) {
		d.note(about, "ask the provider to renew it", "the certificate of %s ends on %s", address, until.UTC().Format(time.DateOnly))
	}
	return nil
}

// tlsRemedy says what to do about a handshake that failed.
func tlsRemedy(err error, host string) string {
	var unknown x509.UnknownAuthorityError
	var name x509.HostnameError
	var invalid x509.CertificateInvalidError
	var plain tls.RecordHeaderError
	var sent *net.OpError
	switch {
	case errors.As(err, &plain):
		return "there is no TLS at that port: check the port, or write http: where the network is private"
	case errors.As(err, &unknown):
		return "if the provider has authorities of its own, name their file as the endpoint's ca; if not, somebody else may answer there"
	case errors.As(err, &name):
		return "write the name that the certificate is for into the endpoint's url, instead of " + host
	case errors.As(err, &invalid) && invalid.Reason == x509.Expired:
		return "look at this machine's clock; if it is right, ask the provider for a certificate that is valid"
	case errors.As(err, &sent) && sent.Op == "remote error": // an alert of the other side
		return "the provider refuses this client: give the endpoint its client_cert and client_key, or newer ones"
	}
	return "a certificate of this name from an authority that this machine or the endpoint's ca knows"
}

// call asks the provider for its models, which costs nothing.
func (d *doctor) call(ctx context.Context, about string, o *upstream.Options) {
	ctx, cancel := context.WithTimeout(ctx, callTime)
	defer cancel()
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, strings.TrimSuffix(o.URL, "/")+"/models", nil)
	if err != nil {
		return
	}
	if o.Credential != "" {
		r.Header.Set("Authorization", "Bearer "+o.Credential)
	}
	client := http.Client{
		Transport:     &http.Transport{Proxy: nil, DisableKeepAlives: true, TLSClientConfig: &tls.Config{MinVersion: tls.VersionTLS12, RootCAs: o.Roots, Certificates: o.Certificates}},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
	resp, err := client.Do(r)
	if err != nil {
		d.wrong(about, "look at the provider's status page", "GET /models: %s", err)
		return
	}
	defer resp.Body.Close()
	if at, err := http.ParseTime(resp.Header.Get("Date")); err == nil {
		if off := d.o.Now.Sub(at).Abs(); off > time.Minute {
			d.wrong("clock", "set the clock, and keep it with NTP", "this machine and %s are %s apart", r.URL.Host, off.Round(time.Second))
		}
	}
	switch c := resp.StatusCode; {
	case c == http.StatusOK:
		d.fine(about, "answers GET /models")
	case c == http.StatusUnauthorized || c == http.StatusForbidden:
		d.wrong(about, "put the right credential into what secret names", "the provider refuses the credential (status %d)", c)
	default:
		d.note(about, "check that the address goes up to the version, such as https://host/v1", "GET /models has status %d", c)
	}
}

// machine looks at what the system gives the process.
func (d *doctor) machine() {
	if n := fileLimit(); n < fewFiles {
		d.note("files", "raise it: ulimit -n 65536, or LimitNOFILE= of the service", "a process may have %d files open: %d connections of clients at once", n, apiConnections())
	} else {
		d.fine("files", "a process may have %d files open: %d connections of clients at once", n, apiConnections())
	}
}

// data looks at the data directory: room, speed, state, journal and books.
func (d *doctor) data(ctx context.Context) {
	info, err := os.Stat(d.o.Data)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		d.note("data", "", "there is no data directory at %s yet; `accordo up` makes it", d.o.Data)
		return
	case err != nil:
		d.wrong("data", "give a directory that can be read", "%s", err)
		return
	case !info.IsDir():
		d.wrong("data", "name the directory that `accordo up --data` was given", "%s is a file", d.o.Data)
		return
	case info.Mode().Perm()&0o077 != 0:
		d.note("data", "chmod 700 "+d.o.Data, "others can look into the data directory: it has mode %o", info.Mode().Perm())
	}
	dir, err := datadir.OpenReadOnly(d.o.Data)
	if errors.Is(err, datadir.ErrNone) {
		d.wrong("data", "name the directory that `accordo up --data` was given", "%s is no data directory", d.o.Data)
		return
	}
	d.disk()
	if err != nil {
		d.wrong("data", "put the file back from a copy of the directory", "%s", err)
		return
	}
	d.requestLog(dir)
	defer dir.Close()
	d.books(ctx, dir)
}

func (d *doctor) disk() {
	if free, ok := diskFree(d.o.Data); ok && free < lowDisk {
		d.wrong("disk", fmt.Sprintf("make room, at least %d MB: when the disk is full requests are refused, and request logs have stopped already", uint64(lowDisk)>>20), "%d MB are left", free>>20)
	} else if ok {
		d.fine("disk", "%d MB are left", free>>20)
	}
	f, err := os.CreateTemp(d.o.Data, "doctor-*")
	if err != nil {
		d.wrong("disk", writeRemedy(err), "the data directory cannot be written: %s", err)
		return
	}
	defer os.Remove(f.Name())
	defer f.Close()
	begin := time.Now()
	if _, err = f.Write(make([]byte, 4096)); err == nil {
		err = f.Sync()
	}
	switch took := time.Since(begin); {
	case err != nil:
		d.wrong("disk", writeRemedy(err), "writing fails, so that requests would be refused: %s", err)
	case took > slowSync:
		d.note("disk", "with --durability=disk every answer waits for this; use a faster disk", "making 4 KB safe takes %s", took.Round(time.Millisecond))
	default:
		d.fine("disk", "making 4 KB safe takes %s", took.Round(10*time.Microsecond))
	}
}

// writeRemedy says what to do about a disk that refuses.
func writeRemedy(err error) string {
	switch {
	case errors.Is(err, syscall.ENOSPC), errors.Is(err, syscall.EDQUOT):
		return "make room, or raise the quota; what serves goes on by itself then"
	case errors.Is(err, syscall.EROFS):
		return "mount the file system for writing; if the system made it read-only, look at the kernel's log first, and at the disk"
	case errors.Is(err, fs.ErrPermission):
		return "run this as the user that serves, or make the directory that user's: chown -R"
	}
	return "look at the kernel's log: the disk may be failing"
}

// requestLog looks at what tenants asked to have kept.
func (d *doctor) requestLog(dir *datadir.Dir) {
	size, tenants, err := requestlog.Size(dir.Requests())
	switch {
	case err != nil:
		d.wrong("log", "give the directory to the user that serves, and its files mode 600", "the request log cannot be read: %s", err)
	case tenants > 0:
		d.fine("log", "request logs of %d tenants have %d MB", tenants, size>>20)
	}
}

// books reads the journal from where the books end, and compares.
func (d *doctor) books(ctx context.Context, dir *datadir.Dir) {
	store, err := sqlite.OpenReader(ctx, dir.Books())
	if err != nil && d.failed("disk") {
		d.wrong("books", "the disk first, see above; then run this again", "%s", err)
		d.journal(dir, 1)
		return
	}
	if err != nil {
		do := "see whether another program holds the file; the journal is the truth, so that books which are moved away are posted anew at the next start"
		if errors.Is(err, fs.ErrNotExist) {
			do = "start `accordo up` once: the books are posted from the journal"
		}
		d.wrong("books", do, "%s", err)
		d.journal(dir, 1)
		return
	}
	defer store.Close()
	head, err := store.Head(ctx)
	if err != nil {
		d.wrong("books", "run `accordo ledger verify`", "%s", err)
		return
	}
	last := d.journal(dir, head.Last+1)
	switch lag := last - head.Last; {
	case last == 0 && head.Last > 0:
		d.fine("books", "%d batches; nothing in the journal waits", head.Batch)
	case last < head.Last:
	case lag > maxLag:
		d.wrong("books", "see /readyz and the log for what stops the books; start `accordo up` if it does not run", "%d records of the journal are not in the books", lag)
	default:
		d.fine("books", "%d batches; %d records of the journal are not in the books yet", head.Batch, lag)
	}
	if list, err := store.Suspended(ctx); err == nil && len(list) > 0 {
		d.note("books", "import the provider's invoice, or close them by the estimate", "%d amounts are in suspense: the provider did not say what it served", len(list))
	}
}

// journal reads the journal from a record on and returns its last.
func (d *doctor) journal(dir *datadir.Dir, from uint64) (last uint64) {
	names, err := filepath.Glob(filepath.Join(dir.Journal(), "*"))
	if err != nil || len(names) == 0 {
		d.note("journal", "", "the journal is empty")
		return 0
	}
	open, at, starts := map[uint64]bool{}, int64(0), 0
	for r, err := range journal.Read(dir.Journal(), from) {
		if err != nil {
			d.wrong("journal", "keep a copy of the directory before anything else; an unfinished write at the end is cut off at the next start, other damage needs the files from a copy", "after record %d: %s", last, err)
			return last
		}
		last, at = r.Sequence, r.At
		switch r.Kind {
		case record.KindIntent:
			open[r.Sequence] = true
		case record.KindOutcome:
			delete(open, r.Outcome.Intent)
		case record.KindStart:
			starts++
		}
	}
	if ahead := time.Unix(0, at).Sub(d.o.Now); ahead > clockSlack {
		d.wrong("clock", "set the clock, and keep it with NTP: limits and rights are judged by it. If it is right now, it was wrong then: what was recorded bears those times", "this machine says %s, and the journal's last record is %s later: the clock was set back, or the directory comes from a machine whose clock is ahead", d.o.Now.UTC().Format(time.RFC3339), ahead.Round(time.Second))
	} else {
		d.fine("clock", "%s, not before the journal's last record", d.o.Now.UTC().Format(time.RFC3339))
	}
	if last == 0 {
		d.fine("journal", "%d segments; all of it is in the books", len(names))
		return 0
	}
	d.fine("journal", "%d segments, the last record is %d; read from record %d without a fault", len(names), last, from)
	if len(open) > 0 {
		d.note("journal", "", "%d requests are under way, or were when the process ended; then the next start books them as suspense", len(open))
	}
	return last
}
