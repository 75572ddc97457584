//go:build unix

package datadir

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
)

// takeLock takes the lock that the kernel gives back when the process ends,
// and writes the process's id into the file, for people.
func takeLock(name string) (*os.File, error) {
	f, err := os.OpenFile(name, os.O_RDWR|os.O_CREATE, ownerFile)
	if err != nil {
		return nil, fmt.Errorf("lock the data directory: %w; give a directory that can be written", err)
	}
	for {
		err = syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB)
		if !errors.Is(err, syscall.EINTR) {
			break
		}
	}
	if err == nil {
		if err = f.Truncate(0); err == nil {
			_, err = f.WriteAt([]byte(strconv.Itoa(os.Getpid())+"\n"), 0)
		}
	}
	if err == nil {
		return f, nil
	}
	defer f.Close()
	if !errors.Is(err, syscall.EWOULDBLOCK) {
		return nil, fmt.Errorf("lock the data directory: %w", err)
	}
	who := "another process"
	if b, rerr := io.ReadAll(io.LimitReader(f, 20)); rerr == nil {
		if pid, perr := strconv.Atoi(strings.TrimSpace(string(b))); perr == nil {
			who = fmt.Sprintf("process %d", pid)
		}
	}
	return nil, fmt.Errorf("%w: %s serves from %s: stop it, or give another directory with --data", ErrLocked, who, filepath.Dir(name))
}
