//go:build !unix

package datadir

import (
	"errors"
	"fmt"
	"os"
)

// takeLock refuses: without flock two servers could write one journal.
func takeLock(name string) (*os.File, error) {
	return nil, fmt.Errorf("lock %s: %w: accordo serves on Unix systems", name, errors.ErrUnsupported)
}
