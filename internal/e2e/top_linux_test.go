package e2e

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"sync"
	"testing"

	"golang.org/x/sys/unix"
)

// screen collects what a program draws on a terminal.
type screen struct {
	mu   sync.Mutex
	seen bytes.Buffer
}

func (s *screen) text() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.seen.String()
}

// terminal opens a pseudo-terminal of 100 columns and 30 rows and collects
// what is written to it.
func terminal(t *testing.T) (tty *os.File, shown *screen) {
	t.Helper()
	master, err := os.OpenFile("/dev/ptmx", os.O_RDWR, 0)
	if err != nil && os.Getenv("CI") == "true" {
		t.Fatalf("no pseudo-terminals here: %v", err)
	}
	if err != nil {
		t.Skipf("no pseudo-terminals here: %v", err)
	}
	t.Cleanup(func() { _ = master.Close() })
	fd := int(master.Fd())
	if err := unix.IoctlSetPointerInt(fd, unix.TIOCSPTLCK, 0); err != nil {
		t.Fatal(err)
	}
	n, err := unix.IoctlGetInt(fd, unix.TIOCGPTN)
	if err != nil {
		t.Fatal(err)
	}
	if err := unix.IoctlSetWinsize(fd, unix.TIOCSWINSZ, &unix.Winsize{Row: 30, Col: 100}); err != nil {
		t.Fatal(err)
	}
	if tty, err = os.OpenFile(fmt.Sprintf("/dev/pts/%d", n), os.O_RDWR|unix.O_NOCTTY, 0); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = tty.Close() })
	shown = &screen{}
	go func() {
		b := make([]byte, 64<<10)
		for {
			n, err := master.Read(b)
			if err != nil {
				return
			}
			shown.mu.Lock()
			shown.seen.Write(b[:n])
			shown.mu.Unlock()
		}
	}()
	return tty, shown
}

// The live view takes the other screen, fits it, outlives its process, and
// gives the terminal back at Ctrl-C.
func TestTop_GivesTheTerminalBack(t *testing.T) {
	north, south := startProvider(t, northConfig), startProvider(t, southConfig)
	d := deploy(t, setup{north: north, south: south})
	tty, shown := terminal(t)
	cmd := exec.Command(binary, "top", "--admin", d.admin, "--every", "100ms")
	cmd.Env = append(cleanEnv(), "ACCORDO_ADMIN_TOKEN="+d.token, "TERM=xterm", "NO_COLOR=1")
	cmd.Stdout, cmd.Stderr = tty, tty
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = cmd.Process.Kill() })
	eventually(t, startTime, "no second frame", func() bool { return strings.Count(shown.text(), "north-floor-a") >= 2 })
	d.stop(t)
	eventually(t, startTime, "nothing says that the process is gone", func() bool { return strings.Contains(shown.text(), "! these figures are old") })
	if err := cmd.Process.Signal(os.Interrupt); err != nil {
		t.Fatal(err)
	}
	if err := cmd.Wait(); err != nil {
		t.Errorf("after Ctrl-C: %v", err)
	}
	eventually(t, startTime, "the terminal is not given back", func() bool { return strings.HasSuffix(shown.text(), "\x1b[?25h\x1b[?1049l") })
	text := shown.text()
	if !strings.HasPrefix(text, "\x1b[?1049h\x1b[?25l\x1b[H") || strings.Contains(text, "\x1b[1m") {
		t.Errorf("begins %q", text[:min(len(text), 200)])
	}
	for _, frame := range strings.Split(text, "\x1b[H")[1:] {
		if rows := strings.Count(frame, "\n") + 1; rows > 30 {
			t.Errorf("a frame of %d rows on a terminal of 30", rows)
		}
	}
}
