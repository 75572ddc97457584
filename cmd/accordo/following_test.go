package main

import (
	"bytes"
	"flag"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

var update = flag.Bool("update", false, "write what the commands of the documentation print now")

// numbers are those in the text of a page that a command prints.
var numbers = regexp.MustCompile("`(-?[0-9.]+)`")

// elided stands for any lines in what a page shows of a command's output.
const elided = "..."

// TestFollowingAnAmount runs the commands of docs/following-an-amount.md and
// compares what they print with what the page shows, so that the page cannot
// lie.
func TestFollowingAnAmount(t *testing.T) {
	page, err := filepath.Abs(filepath.Join("..", "..", "docs", "following-an-amount.md"))
	if err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile(page)
	if err != nil {
		t.Fatal(err)
	}
	t.Chdir(t.TempDir())
	var out strings.Builder
	ran, rest, all := 0, string(text), ""
	for {
		before, after, found := strings.Cut(rest, "```console\n")
		out.WriteString(before)
		if !found {
			break
		}
		block, after, closed := strings.Cut(after, "```\n")
		command, shown, _ := strings.Cut(block, "\n")
		if !closed || !strings.HasPrefix(command, "$ accordo ") {
			t.Fatalf("a block is not closed, or does not begin with a command: %q", command)
		}
		printed := printed(t, strings.Fields(strings.TrimPrefix(command, "$ accordo ")))
		ran, all = ran+1, all+printed
		if !shows(shown, printed) {
			if !*update || strings.Contains(shown, elided+"\n") {
				t.Errorf("%s prints\n%s\nand the page shows\n%s", command, printed, shown)
			} else {
				shown = printed
			}
		}
		out.WriteString("```console\n" + command + "\n" + shown + "```\n")
		rest = after
	}
	for _, number := range numbers.FindAllStringSubmatch(string(text), -1) {
		if !strings.Contains(all, " "+number[1]+" ") && !strings.Contains(all, " "+number[1]+",") {
			t.Errorf("the text says %s, and no command prints it", number[1])
		}
	}
	if ran < 6 {
		t.Errorf("the page has %d commands", ran)
	}
	if *update && !t.Failed() {
		if err := os.WriteFile(page, []byte(out.String()), 0o644); err != nil {
			t.Fatal(err)
		}
	}
}

// printed runs one command line and returns what it prints, without the spaces
// that end a table's lines.
func printed(t *testing.T, args []string) string {
	t.Helper()
	var out, failed bytes.Buffer
	if code := run(t.Context(), args, streams{&out, &failed}); code != 0 {
		t.Fatalf("accordo %s: exit code %d\n%s%s", strings.Join(args, " "), code, &out, &failed)
	}
	lines := strings.Split(strings.Trim(out.String(), "\n"), "\n")
	for i := range lines {
		lines[i] = strings.TrimRight(lines[i], " ")
	}
	return strings.Join(lines, "\n") + "\n"
}

// shows reports whether a page's text is the output, with lines left out where
// it says so.
func shows(page, output string) bool {
	if !strings.Contains(page, elided+"\n") {
		return page == output
	}
	for i, part := range strings.Split(page, elided+"\n") {
		at := strings.Index(output, part)
		if at < 0 || i == 0 && at > 0 {
			return false
		}
		output = output[at+len(part):]
	}
	return strings.HasSuffix(page, elided+"\n") || output == ""
}
