package archtest

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// Every line of the threat model names tests that exist.
func TestSecurityDocument_NamesTestsThatExist(t *testing.T) {
	root := filepath.Join("..", "..")
	text, err := os.ReadFile(filepath.Join(root, "docs", "security.md"))
	if err != nil {
		t.Fatal(err)
	}
	exists := map[string]bool{}
	function := regexp.MustCompile(`(?m)^func (Test\w+)\(`)
	for _, dir := range []string{"internal", "cmd"} {
		if err := filepath.WalkDir(filepath.Join(root, dir), func(path string, _ os.DirEntry, err error) error {
			if err != nil || !strings.HasSuffix(path, "_test.go") {
				return err
			}
			source, err := os.ReadFile(path)
			for _, m := range function.FindAllSubmatch(source, -1) {
				exists[string(m[1])] = true
			}
			return err
		}); err != nil {
			t.Fatal(err)
		}
	}
	named, inThreats := regexp.MustCompile("`(Test\\w+)`"), false
	rows := 0
	for line := range strings.Lines(string(text)) {
		switch {
		case strings.HasPrefix(line, "| threat |"):
			inThreats = true
			continue
		case !strings.HasPrefix(line, "|"):
			inThreats = false
		}
		tests := named.FindAllStringSubmatch(line, -1)
		for _, m := range tests {
			if !exists[m[1]] {
				t.Errorf("%s is no test: %s", m[1], line)
			}
		}
		if inThreats && !strings.HasPrefix(line, "| ---") {
			if rows++; len(tests) == 0 {
				t.Errorf("no test shows this: %s", line)
			}
		}
	}
	if rows < 25 {
		t.Errorf("only %d threats were found", rows)
	}
}
