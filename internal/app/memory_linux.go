package app

import (
	"bufio"
	"fmt"
	"os"
	"runtime/debug"
	"strings"
	"syscall"
)

// releaseMemory gives back to the system what a process at rest does not need:
// garbage, and pages of the program's own code and constants. The kernel maps
// sixteen pages for each that is touched, so that after a start through every
// package most of the program counts as resident. A page that is needed again
// is mapped again from the file.
func releaseMemory() {
	debug.FreeOSMemory()
	f, err := os.Open("/proc/self/smaps")
	if err != nil {
		return
	}
	defer f.Close()
	program, err := os.Readlink("/proc/self/exe")
	if err != nil {
		return
	}
	var from, to uintptr
	for lines := bufio.NewScanner(f); lines.Scan(); {
		line := lines.Text()
		if head, rest, ok := strings.Cut(line, " "); ok && !strings.HasSuffix(head, ":") {
			from, to = 0, 0
			if strings.HasPrefix(rest, "r-") && strings.HasSuffix(rest, " "+program) {
				_, _ = fmt.Sscanf(head, "%x-%x", &from, &to)
			}
			continue
		}
		// Only what is as it is in the file may be forgotten.
		if amount, ok := strings.CutPrefix(line, "Anonymous:"); ok && to > from && strings.TrimSpace(amount) == "0 kB" {
			_, _, _ = syscall.Syscall(syscall.SYS_MADVISE, from, to-from, syscall.MADV_DONTNEED)
		}
	}
}
