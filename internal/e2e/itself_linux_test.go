package e2e

import (
	"context"
	"database/sql"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
	"unsafe"

	_ "modernc.org/sqlite"

	"github.com/accordo-ai/accordo/internal/settle"
)

// readiness is what /readyz says.
type readiness struct {
	Ready    bool     `json:"ready"`
	Problems []string `json:"problems"`
}

func (d *deployment) readyz() (r readiness, status int) {
	d.t.Helper()
	resp, err := http.Get(d.admin + "/readyz")
	if err != nil {
		d.t.Fatal(err)
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	if err != nil {
		d.t.Fatal(err)
	}
	decode(d.t, string(b), &r)
	return r, resp.StatusCode
}

func (r readiness) says(part string) bool {
	return strings.Contains(strings.Join(r.Problems, "\n"), part)
}

// overview is what the console shows on every page.
func (d *deployment) overviewProblems() string {
	d.t.Helper()
	var o struct {
		Problems []string `json:"problems"`
	}
	getJSON(d.t, d.admin+"/api/overview", d.token, &o)
	return strings.Join(o.Problems, "\n")
}

// smallDisk mounts a file system of its own with so many bytes.
func smallDisk(t *testing.T, size string) string {
	t.Helper()
	dir := t.TempDir()
	if err := syscall.Mount("tmpfs", dir, "tmpfs", 0, "size="+size+",mode=0700"); err != nil {
		t.Skipf("not run: a small disk cannot be mounted (%v); the journal's own tests fill one in memory", err)
	}
	t.Cleanup(func() { _ = syscall.Unmount(dir, syscall.MNT_DETACH) })
	return dir
}

// On a full disk nothing is served that cannot be recorded; the refusal, the
// health check and the console say so; when there is room again the program
// serves without a restart, and the books are whole.
func TestItself_FullDisk(t *testing.T) {
	disk := smallDisk(t, "24m")
	north, south := startProvider(t, northConfig), startProvider(t, southConfig)
	d := deployOn(t, setup{north: north, south: south}, disk)
	resp, body := d.post(keyOpen, helloBody)
	if resp.StatusCode != http.StatusOK {
		t.Fatalf("%s %s", resp.Status, body)
	}
	first := resp.Header.Get("X-Request-Id")
	d.waitBooked(first)
	if r, _ := d.readyz(); !r.Ready || !r.says("MB left") {
		t.Errorf("a small disk is not mentioned: %+v", r)
	}

	ballast, err := os.Create(filepath.Join(disk, "ballast"))
	if err != nil {
		t.Fatal(err)
	}
	defer ballast.Close()
	chunk := make([]byte, 64<<10)
	for size := len(chunk); size > 0; {
		if _, err := ballast.Write(chunk[:size]); err != nil {
			size /= 2
		}
	}
	var sent []string
	eventually(t, 30*time.Second, "a full disk refuses nothing", func() bool {
		resp, body = d.post(keyOpen, helloBody)
		sent = append(sent, resp.Header.Get("X-Request-Id"))
		return resp.StatusCode != http.StatusOK
	})
	if resp.StatusCode != http.StatusServiceUnavailable && resp.StatusCode != http.StatusInternalServerError ||
		resp.Header.Get("Retry-After") == "" || !strings.Contains(body, "journal_unavailable") && !strings.Contains(body, "outcome_not_recorded") {
		t.Errorf("%s %v %s", resp.Status, resp.Header, body)
	}
	eventually(t, 10*time.Second, "the health check does not say so", func() bool {
		r, status := d.readyz()
		return status == http.StatusServiceUnavailable && !r.Ready && r.says("The journal cannot be written")
	})
	if p := d.overviewProblems(); !strings.Contains(p, "The journal cannot be written") {
		t.Errorf("the console says %q", p)
	}

	if err := ballast.Truncate(0); err != nil {
		t.Fatal(err)
	}
	eventually(t, 30*time.Second, "it does not recover by itself", func() bool {
		r, status := d.readyz()
		return status == http.StatusOK && r.Ready && !r.says("journal") && !r.says("books")
	})
	resp, body = d.post(keyOpen, helloBody)
	if resp.StatusCode != http.StatusOK {
		t.Fatalf("after the disk has room again: %s %s", resp.Status, body)
	}
	d.waitBooked(append(sent[:len(sent)-1], first, resp.Header.Get("X-Request-Id"))...)
	d.stop(t)
	if out, code := d.command("ledger", "verify", "--data", d.data); code != 0 {
		t.Errorf("verify: exit code %d\n%s", code, out)
	}
}

// A data directory that cannot be written is refused at the start, with a
// reason; reading what is there still works.
func TestItself_ReadOnlyDisk(t *testing.T) {
	disk := smallDisk(t, "24m")
	north, south := startProvider(t, northConfig), startProvider(t, southConfig)
	d := deployOn(t, setup{north: north, south: south}, disk)
	resp, _ := d.post(keyOpen, helloBody)
	id := resp.Header.Get("X-Request-Id")
	d.waitBooked(id)
	d.stop(t)
	if err := syscall.Mount("", disk, "", syscall.MS_REMOUNT|syscall.MS_RDONLY, ""); err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(binary, "up", d.file, "--data", d.data, "--listen", "127.0.0.1:0", "--admin-listen", "127.0.0.1:0")
	cmd.Env = append(cleanEnv(), d.env...)
	out, err := cmd.CombinedOutput()
	if code := cmd.ProcessState.ExitCode(); code != 1 || !strings.Contains(string(out), "read-only file system; give a directory that can be written") {
		t.Errorf("up: %v, exit code %d\n%s", err, code, out)
	}
	if out, code := d.command("ledger", "verify", "--data", d.data); code != 0 || !strings.Contains(out, "the books are right") {
		t.Errorf("verify on the read-only disk: exit code %d\n%s", code, out)
	}
	if tr := d.trace(id); len(tr.Attempts) != 1 || tr.Attempts[0].State != settle.Posted {
		t.Errorf("trace on the read-only disk: %+v", tr)
	}
	if err := syscall.Mount("", disk, "", syscall.MS_REMOUNT, ""); err != nil {
		t.Fatal(err)
	}
	// What a kill left in the log beside the books would be overlooked there, and
	// an empty log is that of a process that goes on to write from elsewhere.
	wal := filepath.Join(d.data, "books.sqlite-wal")
	if err := os.WriteFile(wal, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := syscall.Mount("", disk, "", syscall.MS_REMOUNT|syscall.MS_RDONLY, ""); err != nil {
		t.Fatal(err)
	}
	out, err = exec.Command(binary, "ledger", "verify", "--data", d.data).CombinedOutput()
	if err == nil || !strings.Contains(string(out), "copy the data directory to one that can be written") {
		t.Errorf("verify of books with a log: %v\n%s", err, out)
	}
	if err := syscall.Mount("", disk, "", syscall.MS_REMOUNT, ""); err != nil {
		t.Fatal(err)
	}
	if err := os.Remove(wal); err != nil {
		t.Fatal(err)
	}
	d.start()
	if resp, body := d.post(keyOpen, helloBody); resp.StatusCode != http.StatusOK {
		t.Errorf("writable again: %s %s", resp.Status, body)
	}
}

// setFileLimit changes how many files a running child may have open.
func setFileLimit(t *testing.T, p *process, n uint64) {
	t.Helper()
	l := syscall.Rlimit{Cur: n, Max: n}
	if _, _, errno := syscall.RawSyscall6(syscall.SYS_PRLIMIT64, uintptr(p.cmd.Process.Pid), syscall.RLIMIT_NOFILE, uintptr(unsafe.Pointer(&l)), 0, 0, 0); errno != 0 {
		t.Fatal(errno)
	}
}

// Whoever opens all the connections there are is told so; whoever was served
// before still is, and what comes after is served once there is room.
func TestItself_OutOfFileDescriptors(t *testing.T) {
	north, south := startProvider(t, northConfig), startProvider(t, southConfig)
	d := deploy(t, setup{north: north, south: south})
	stop := d.beside()
	eventually(t, 10*time.Second, "the client beside is not served", func() bool { return len(north.recorded())+len(south.recorded()) > 0 })
	setFileLimit(t, d.process, 160) // of which the connections of clients get 40
	var conns []net.Conn
	refused := 0
	for range 300 {
		conn := d.dial()
		conns = append(conns, conn)
		_ = conn.SetReadDeadline(time.Now().Add(200 * time.Millisecond))
		if b, _ := io.ReadAll(conn); len(b) > 0 {
			refused++
			if !strings.HasPrefix(string(b), "HTTP/1.1 503 ") || !strings.Contains(string(b), "Retry-After: 1\r\n") || !strings.HasSuffix(string(b), `"code":"overloaded"}}`) {
				t.Fatalf("%q", b)
			}
		}
		if refused == 100 {
			break
		}
	}
	if refused < 100 {
		t.Errorf("%d of %d connections were refused", refused, len(conns))
	}
	if r, status := d.readyz(); status != http.StatusOK || !r.says("Clients' connections were refused with 503: ") || !r.says("LimitNOFILE") {
		t.Errorf("%d %+v", status, r)
	}
	if p := d.overviewProblems(); !strings.Contains(p, "Clients' connections were refused") {
		t.Errorf("the console says %q", p)
	}
	stop()
	for _, c := range conns {
		_ = c.Close()
	}
	eventually(t, 15*time.Second, "nobody is served after the connections have gone", func() bool {
		resp, _, err := d.try(keyOpen, helloBody)
		return err == nil && resp.StatusCode == http.StatusOK
	})
	d.stop(t)
	if out, code := d.command("ledger", "verify", "--data", d.data); code != 0 {
		t.Errorf("verify: exit code %d\n%s", code, out)
	}
}

// While the books are locked by somebody else requests are served, the health
// check and the console say that booking waits, and it catches up by itself.
func TestItself_BooksUnavailable(t *testing.T) {
	north, south := startProvider(t, northConfig), startProvider(t, southConfig)
	d := deploy(t, setup{north: north, south: south})
	db, err := sql.Open("sqlite", "file:"+filepath.Join(d.data, "books.sqlite")+"?_txlock=immediate")
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	tx, err := db.BeginTx(context.Background(), nil)
	if err != nil {
		t.Fatal(err)
	}
	resp, body := d.post(keyOpen, helloBody)
	if resp.StatusCode != http.StatusOK {
		t.Fatalf("with the books locked: %s %s", resp.Status, body)
	}
	id := resp.Header.Get("X-Request-Id")
	eventually(t, 30*time.Second, "the health check does not say so", func() bool {
		r, status := d.readyz()
		return status == http.StatusOK && r.Ready && r.says("The books cannot be written")
	})
	if p := d.overviewProblems(); !strings.Contains(p, "The books cannot be written") {
		t.Errorf("the console says %q", p)
	}
	resp, body = d.post(keyOpen, helloBody)
	if resp.StatusCode != http.StatusOK {
		t.Errorf("still: %s %s", resp.Status, body)
	}
	if tr := d.trace(id); len(tr.Attempts) != 1 || tr.Attempts[0].State == settle.Posted {
		t.Errorf("%+v", tr)
	}
	if err := tx.Rollback(); err != nil {
		t.Fatal(err)
	}
	d.waitBooked(id, resp.Header.Get("X-Request-Id"))
	if r, _ := d.readyz(); r.says("books") {
		t.Errorf("%+v", r)
	}
}

// deployOn is deploy with the data directory on a disk.
func deployOn(t *testing.T, s setup, disk string) *deployment {
	t.Helper()
	s.flags = append(s.flags, "--data", filepath.Join(disk, "data"))
	d := deploy(t, s)
	d.data = filepath.Join(disk, "data")
	return d
}
