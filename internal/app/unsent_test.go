package app

import (
	"bytes"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"testing"
)

func TestUnsent_TellsEachFaultOnceAndNotMoreThanItsLimit(t *testing.T) {
	var b bytes.Buffer
	u := &unsent{log: slog.New(slog.NewTextHandler(&b, nil)), said: map[string]bool{}}
	for range 3 {
		u.Handle(errors.New("refused"))
		u.Handle(errors.New("timed out"))
	}
	if n := strings.Count(b.String(), "\n"); n != 2 {
		t.Errorf("two faults, three times each, are told in %d lines: %s", n, b.String())
	}
	for i := range 3 * unsentKinds {
		u.Handle(fmt.Errorf("fault %d", i))
	}
	if n := strings.Count(b.String(), "\n"); n != unsentKinds {
		t.Errorf("%d lines, want the limit, %d", n, unsentKinds)
	}
}
