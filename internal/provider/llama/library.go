package llama

import (
	"fmt"
	"path/filepath"
	"strings"
	"sync"
)

// maxNativeLog bounds one message of the engine's log, in bytes.
const maxNativeLog = 4096

// nativeError is the level from which the engine's messages are kept.
const nativeError = 4

// Library is the loaded engine. One process loads it once and keeps it.
type Library struct {
	n   *native
	log lastMessages
}

// OpenLibrary loads the engine's shared libraries from a folder. On platforms
// without an engine the error is ErrUnavailable.
func OpenLibrary(dir string) (*Library, error) {
	dir, err := filepath.Abs(dir)
	if err != nil {
		return nil, err
	}
	n, err := openNative(dir)
	if err != nil {
		return nil, err
	}
	l := &Library{n: n}
	n.logSet(newLogCallback(l.log.add), 0)
	n.loadBackends(dir)
	n.backendInit()
	return l, nil
}

// Release is the engine's release, as its file name states it.
func (l *Library) Release() string { return l.n.release }

// lastMessages keeps the engine's last error, for the text of ours.
type lastMessages struct {
	mu   sync.Mutex
	last string
}

func (m *lastMessages) add(level int, text string) {
	if level != nativeError {
		return
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	m.last = strings.TrimSpace(text)
}

// take returns the last error and forgets it.
func (m *lastMessages) take() string {
	m.mu.Lock()
	defer m.mu.Unlock()
	s := m.last
	m.last = ""
	return s
}

// fail makes an error of what the engine said last.
func (l *Library) fail(doing string) error {
	if said := l.log.take(); said != "" {
		return fmt.Errorf("%s: %s", doing, said)
	}
	return fmt.Errorf("%s: the engine gave no reason", doing)
}
