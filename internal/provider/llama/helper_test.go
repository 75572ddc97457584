//go:build unix

package llama

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"sync"
	"testing"

	"go.uber.org/goleak"

	"github.com/accordo-ai/accordo/internal/provider/llama/tinymodel"
)

// childMarker makes the test binary act as the child process that it tests.
const childMarker = "ACCORDO_TEST_MODEL_CHILD"

func TestMain(m *testing.M) {
	if os.Getenv(childMarker) != "" {
		os.Exit(childMain(os.Args[1:]))
	}
	goleak.VerifyTestMain(m)
}

// notRun skips a test for want of something that make deps fetches; under CI
// that is a failure.
func notRun(t testing.TB, variable string) {
	t.Helper()
	const text = "not run: %s is not set; it names what the fetch step puts into the cache folder"
	if os.Getenv("CI") == "true" {
		t.Fatalf(text, variable)
	}
	t.Skipf(text, variable)
}

// library is loaded once for the whole test process, as in production.
var library = sync.OnceValues(func() (*Library, error) { return OpenLibrary(os.Getenv("ACCORDO_ENGINE_DIR")) })

func testLibrary(t testing.TB) *Library {
	t.Helper()
	if os.Getenv("ACCORDO_ENGINE_DIR") == "" {
		notRun(t, "ACCORDO_ENGINE_DIR")
	}
	l, err := library()
	if errors.Is(err, ErrUnavailable) {
		t.Skip(err)
	}
	if err != nil {
		t.Fatal(err)
	}
	return l
}

func tinyFile(t testing.TB, o tinymodel.Options) string {
	t.Helper()
	f := filepath.Join(t.TempDir(), "tiny.gguf")
	if err := tinymodel.WriteFile(f, o); err != nil {
		t.Fatal(err)
	}
	return f
}

func loadModel(t testing.TB, o ModelOptions) *Model {
	t.Helper()
	m, err := testLibrary(t).LoadModel(o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(m.Close)
	return m
}

func tinyModel(t testing.TB, o ModelOptions) *Model {
	t.Helper()
	o.Weights = tinyFile(t, tinymodel.Options{Seed: 7, ChatTemplate: tinymodel.ChatML})
	return loadModel(t, o)
}

// run generates on a slot and returns the text.
func run(ctx context.Context, m *Model, g generation) (string, outcome, error) {
	s, err := m.acquire(ctx)
	if err != nil {
		return "", outcome{}, err
	}
	defer m.release(s)
	text := ""
	o, err := s.generate(ctx, g, func(p string) error { text += p; return nil })
	return text, o, err
}

func input(t testing.TB, m *Model, text string) []int32 {
	t.Helper()
	in, err := m.Prompt([]Message{{Role: roleUser, Content: text}})
	if err != nil {
		t.Fatal(err)
	}
	return in
}
