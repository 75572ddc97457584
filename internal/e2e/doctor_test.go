package e2e

import (
	"encoding/json"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// diagnosis is what `accordo doctor --json` says.
type diagnosis struct{ About, State, Says, Do string }

// examine runs the doctor with an environment and returns what it says.
func (d *deployment) examine(env []string, args ...string) (list []diagnosis, code int) {
	d.t.Helper()
	cmd := exec.Command(binary, append([]string{"doctor", d.file, "--data", d.data, "--json"}, args...)...)
	cmd.Env = append(cleanEnv(), env...)
	out, err := cmd.Output()
	if err != nil && cmd.ProcessState == nil {
		d.t.Fatal(err)
	}
	if err := json.Unmarshal(out, &list); err != nil {
		d.t.Fatalf("%v in %s", err, out)
	}
	return list, cmd.ProcessState.ExitCode()
}

func found(list []diagnosis, about, state, says string) bool {
	for _, x := range list {
		if x.About == about && x.State == state && strings.Contains(x.Says, says) && (state != "wrong" || x.Do != "") {
			return true
		}
	}
	return false
}

// The doctor finds nothing wrong with what works, beside the serving process
// and without it, and names each fault with what to do.
func TestDoctor_NamesWhatIsWrong(t *testing.T) {
	north, south := startProvider(t, northConfig), startProvider(t, southConfig)
	d := deploy(t, setup{north: north, south: south})
	resp, _ := d.post(keyOpen, helloBody)
	d.waitBooked(resp.Header.Get("X-Request-Id"))
	secret := []string{"ACCORDO_SECRET_TEST=" + providerSecret}
	list, code := d.examine(secret, "--limits", "--call")
	if code != 0 || !found(list, "pool north-floor-a", "fine", "answers GET /models") || !found(list, "books", "fine", "") || !found(list, "limits", "fine", "spend_per_month") {
		t.Errorf("beside what serves: exit code %d, %+v", code, list)
	}
	if list, code = d.examine(nil); code != 1 || !found(list, "pool north-floor-a", "wrong", "ACCORDO_SECRET_TEST") || found(list, "pool south-list-a", "wrong", "") {
		t.Errorf("without the credential: exit code %d, %+v", code, list)
	}
	if list, code = d.examine([]string{"ACCORDO_SECRET_TEST=wrong"}, "--call"); code != 1 || !found(list, "pool north-floor-a", "wrong", "refuses the credential") {
		t.Errorf("with a wrong credential: exit code %d, %+v", code, list)
	}
	d.stop(t)
	if list, code = d.examine(secret); code != 0 {
		t.Errorf("after the stop: exit code %d, %+v", code, list)
	}

	south.kill()
	if list, code = d.examine(secret); code != 1 || !found(list, "pool south-list-a", "wrong", "cannot be reached") {
		t.Errorf("a provider that is gone: exit code %d, %+v", code, list)
	}
	south.start()

	books := filepath.Join(d.data, "books.sqlite")
	kept, err := os.ReadFile(books)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(books, []byte("no books at all, but a text that is long enough to be looked at"), 0o600); err != nil {
		t.Fatal(err)
	}
	if list, code = d.examine(secret); code != 1 || !found(list, "books", "wrong", "") {
		t.Errorf("books that are none: exit code %d, %+v", code, list)
	}
	if err := os.WriteFile(books, kept, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(d.data, 0o755); err != nil {
		t.Fatal(err)
	}
	if list, code = d.examine(secret); code != 0 || !found(list, "data", "note", "others can look") {
		t.Errorf("a directory that is open to others: exit code %d, %+v", code, list)
	}
	segments, err := filepath.Glob(filepath.Join(d.data, "journal", "*"))
	if err != nil || len(segments) == 0 {
		t.Fatal(err, segments)
	}
	damaged, err := os.ReadFile(segments[0])
	if err != nil {
		t.Fatal(err)
	}
	damaged[len(damaged)/2] ^= 1
	if err := os.WriteFile(segments[0], damaged, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Remove(books); err != nil {
		t.Fatal(err)
	}
	if list, code = d.examine(secret); code != 1 || !found(list, "journal", "wrong", "") || !found(list, "books", "wrong", "there are no books") {
		t.Errorf("a damaged journal: exit code %d, %+v", code, list)
	}
	if err := os.WriteFile(d.file, []byte("include: [base.yaml]\nset: {no-such-id: {title: x}}\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if list, code = d.examine(secret); code != 1 || !found(list, "file", "wrong", "") {
		t.Errorf("a file with a fault: exit code %d, %+v", code, list)
	}
}

// The doctor does not wait for a provider that accepts and says nothing.
func TestDoctor_EndsWithASilentProvider(t *testing.T) {
	silent, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer silent.Close()
	d := &deployment{t: t, data: t.TempDir(), file: filepath.Join(t.TempDir(), "alliance.yaml")}
	base, err := os.ReadFile(filepath.Join("testdata", "alliance.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	address := strings.NewReplacer("http://NORTH/", "https://"+silent.Addr().String()+"/", "http://SOUTH/", "https://"+silent.Addr().String()+"/")
	if err := os.WriteFile(d.file, []byte(address.Replace(string(base))), 0o600); err != nil {
		t.Fatal(err)
	}
	begin := time.Now()
	list, code := d.examine([]string{"ACCORDO_SECRET_TEST=x"})
	if code != 1 || !found(list, "pool north-floor-a", "wrong", "does not agree on TLS") {
		t.Errorf("exit code %d, %+v", code, list)
	}
	if took := time.Since(begin); took > time.Minute {
		t.Errorf("it took %s", took)
	}
}
