package app

import (
	"bufio"
	"fmt"
	"os"
	"strings"
	"testing"
)

// residentFile is what of files, the program's own above all, is mapped into
// memory now, in KB.
func residentFile(t *testing.T) (kb int) {
	t.Helper()
	f, err := os.Open("/proc/self/status")
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	for lines := bufio.NewScanner(f); lines.Scan(); {
		if rest, ok := strings.CutPrefix(lines.Text(), "RssFile:"); ok {
			if _, err := fmt.Sscan(rest, &kb); err != nil {
				t.Fatal(err)
			}
		}
	}
	return kb
}

// TestReleaseMemory_LetsGoOfTheProgramsPages looks at what is resident and at
// that the constants that were let go of come back as they were.
func TestReleaseMemory_LetsGoOfTheProgramsPages(t *testing.T) {
	text := strings.Repeat("a", 3)
	before := residentFile(t)
	releaseMemory()
	after := residentFile(t)
	if after > before*3/4 {
		t.Errorf("RssFile: %d KB before, %d KB after", before, after)
	}
	if text != "aaa" || demoKey == "" {
		t.Error("constants have changed")
	}
}
