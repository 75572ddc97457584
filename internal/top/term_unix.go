//go:build unix

package top

import (
	"os"

	"golang.org/x/sys/unix"
)

// terminalSize asks the terminal for its columns and rows.
func terminalSize(f *os.File) (width, height int, ok bool) {
	w, err := unix.IoctlGetWinsize(int(f.Fd()), unix.TIOCGWINSZ)
	if err != nil {
		return 0, 0, false
	}
	return int(w.Col), int(w.Row), true
}
