package main

import (
	"errors"
	"os/exec"
	"path/filepath"
	"strconv"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"
)

func TestMain(m *testing.M) {
	testscript.Main(m, map[string]func(){"accordo": main})
}

// scripts runs commands as people type them. $EXAMPLES is the folder of the
// examples; `exits N accordo ...` demands an exit code.
func scripts(t *testing.T, p testscript.Params) {
	t.Helper()
	examples, err := filepath.Abs(filepath.Join("..", "..", "examples"))
	if err != nil {
		t.Fatal(err)
	}
	p.RequireExplicitExec = true
	p.Setup = func(e *testscript.Env) error {
		e.Setenv("EXAMPLES", examples)
		return nil
	}
	p.Cmds = map[string]func(*testscript.TestScript, bool, []string){"exits": exits}
	testscript.Run(t, p)
}

func exits(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 2 {
		ts.Fatalf("usage: exits CODE COMMAND [ARGUMENT...]")
	}
	want, err := strconv.Atoi(args[0])
	if err != nil {
		ts.Fatalf("exits: %v", err)
	}
	code := 0
	err = ts.Exec(args[1], args[2:]...)
	var exit *exec.ExitError
	switch {
	case errors.As(err, &exit):
		code = exit.ExitCode()
	case err != nil:
		ts.Fatalf("exits: %v", err)
	}
	if code != want {
		ts.Fatalf("exit code %d, want %d", code, want)
	}
}

// TestScripts_Commands runs every command with good and with bad input.
func TestScripts_Commands(t *testing.T) {
	scripts(t, testscript.Params{Dir: filepath.Join("testdata", "script")})
}

// TestScripts_Story runs the command that proves each card of the story.
func TestScripts_Story(t *testing.T) {
	scripts(t, testscript.Params{Files: []string{filepath.Join("..", "..", "examples", "openai-amazon", "story.txtar")}})
}
