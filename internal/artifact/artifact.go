// Package artifact obtains the two things that the embedded model needs and
// that are too large for the repository: the engine's shared libraries and the
// weights. Both are asked for by package name and exact version through the
// ordinary package clients, so that a user's own mirror, proxy and credentials
// apply, and both are pinned by SHA-256.
//
// It refuses to open a connection of its own, to run anything that a package
// ships, to write outside its folder, and to keep a file whose size or hash is
// not the pinned one.
package artifact

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"time"
)

// Installed says where the verified files are.
type Installed struct {
	// EngineDir is the folder with the engine's shared libraries.
	EngineDir string
	// WeightsFile is the GGUF file with the model's weights.
	WeightsFile string
}

// Error is a failed step with what the user can do about it.
type Error struct {
	// What names the thing that could not be obtained.
	What string
	// Hint says what to change.
	Hint string
	// Err is the cause.
	Err error
}

// Error says what failed, why, and what to do.
func (e *Error) Error() string {
	return fmt.Sprintf("%s: %v\n  hint: %s", e.What, e.Err, e.Hint)
}

// Unwrap returns the cause.
func (e *Error) Unwrap() error { return e.Err }

// ErrMissing says that a file has not been fetched yet.
var ErrMissing = errors.New("not fetched yet")

// DefaultDir is the folder used when the user names none: accordo below
// $XDG_CACHE_HOME, else below .cache in the home directory.
func DefaultDir() (string, error) {
	if d := os.Getenv("XDG_CACHE_HOME"); filepath.IsAbs(d) {
		return filepath.Join(d, "accordo"), nil
	}
	home, err := os.UserHomeDir()
	if err != nil {
		return "", &Error{What: "cache folder", Err: err, Hint: "set HOME or XDG_CACHE_HOME, or name a folder"}
	}
	return filepath.Join(home, ".cache", "accordo"), nil
}

// Find returns what an earlier Fetch put into dir, without any download. A file
// whose size and time are those of its last verification is trusted; any other
// is hashed again. The error wraps ErrMissing when a file is not there.
func Find(dir string, m Manifest) (Installed, error) {
	dir, err := filepath.Abs(dir)
	if err != nil {
		return Installed{}, err
	}
	for _, s := range m.Sources {
		if err := verifyFolder(filepath.Join(dir, s.Folder), s); err != nil {
			return Installed{}, fmt.Errorf("%s in %s: %w", s.What, filepath.Join(dir, s.Folder), err)
		}
	}
	return installed(dir, m), nil
}

// Fetch makes sure that everything in the manifest is in dir, verified. What is
// there already is only checked. Progress goes to progress: a bar when it is a
// terminal, else a line every few seconds; nothing when there is nothing to do.
// Concurrent calls for one folder, also from other processes, wait for each
// other. When ctx ends the client is stopped and nothing half-done is kept.
func Fetch(ctx context.Context, dir string, m Manifest, progress io.Writer) (Installed, error) {
	if err := m.validate(); err != nil {
		return Installed{}, err
	}
	if in, err := Find(dir, m); err == nil {
		return in, nil
	}
	dir, err := filepath.Abs(dir)
	if err != nil {
		return Installed{}, err
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return Installed{}, &Error{What: "cache folder", Err: err, Hint: "name a folder that you can write to"}
	}
	unlock, err := lockFolder(ctx, filepath.Join(dir, ".lock"))
	if err != nil {
		return Installed{}, &Error{What: "cache folder", Err: err, Hint: "another fetch into this folder is running; wait for it or name another folder"}
	}
	defer unlock()
	if err := removeStale(dir); err != nil {
		return Installed{}, err
	}
	for _, s := range m.Sources {
		if verifyFolder(filepath.Join(dir, s.Folder), s) == nil {
			continue
		}
		if err := fetchSource(ctx, dir, s, progress); err != nil {
			return Installed{}, err
		}
	}
	return installed(dir, m), nil
}

// installed reads the well-known places out of a manifest.
func installed(dir string, m Manifest) Installed {
	var in Installed
	for _, s := range m.Sources {
		switch s.ID {
		case engineID:
			in.EngineDir = filepath.Join(dir, s.Folder)
		case weightsID:
			for _, f := range s.Files {
				if strings.HasSuffix(f.Name, ".gguf") {
					in.WeightsFile = filepath.Join(dir, s.Folder, f.Name)
				}
			}
		}
	}
	return in
}

const workPrefix = ".fetch-"

// removeStale removes the work folders of fetches that were killed. The caller
// holds the folder's lock, so none of them is in use.
func removeStale(dir string) error {
	stale, err := filepath.Glob(filepath.Join(dir, workPrefix+"*"))
	if err != nil {
		return err
	}
	for _, p := range stale {
		if err := os.RemoveAll(p); err != nil {
			return fmt.Errorf("remove an interrupted fetch: %w", err)
		}
	}
	return nil
}

// fetchSource downloads, verifies and unpacks one source beside its final
// place, and renames it there as the last step.
func fetchSource(ctx context.Context, dir string, s Source, progress io.Writer) error {
	work, err := os.MkdirTemp(dir, workPrefix)
	if err != nil {
		return &Error{What: s.What, Err: err, Hint: "name a folder that you can write to"}
	}
	defer os.RemoveAll(work)

	bar := startProgress(progress, s, work, time.Now)
	archive, err := download(ctx, s, work)
	if err != nil {
		bar.stop("failed")
		return err
	}
	staged := filepath.Join(work, "staged")
	if err = verifyArchive(archive, s); err == nil {
		err = unpack(archive, staged, s)
	}
	if err == nil {
		err = writeReceipt(staged, s)
	}
	if err == nil {
		err = replaceFolder(staged, filepath.Join(dir, s.Folder), work)
	}
	if err != nil {
		bar.stop("failed")
		return &Error{What: s.What, Err: err, Hint: "the package is not the pinned one or the disk is full; nothing was kept, try again, and check the mirror that your package client uses"}
	}
	bar.stop("verified")
	return nil
}

// replaceFolder puts staged in place of final. An older folder is moved into
// the work folder first, so that final is never half of each.
func replaceFolder(staged, final, work string) error {
	if err := os.Rename(final, filepath.Join(work, "replaced")); err != nil && !errors.Is(err, os.ErrNotExist) {
		return err
	}
	return os.Rename(staged, final)
}
