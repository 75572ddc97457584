package upstream

import (
	"bufio"
	"errors"
	"io"
	"net/http"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/google/go-cmp/cmp"
)

// parsed is what a parser makes of an answer, and what it leaves.
type parsed struct {
	Status, Proto        string
	Code, Major, Minor   int
	Header               http.Header
	Length               int64
	Close, Empty, Broken bool
	Body, Rest           string
}

func readAll(resp *http.Response, br *bufio.Reader) parsed {
	b, err := io.ReadAll(resp.Body)
	p := parsed{resp.Status, resp.Proto, resp.StatusCode, resp.ProtoMajor, resp.ProtoMinor, resp.Header, resp.ContentLength, resp.Close, resp.Body == http.NoBody, err != nil, string(b), ""}
	if err == nil {
		rest, _ := io.ReadAll(br)
		p.Rest = string(rest)
	}
	return p
}

// sameAsStandard reports whether reply took the answer, and fails unless it
// saw what net/http sees. What it did not take must still be there.
func sameAsStandard(t *testing.T, text string, reader func(io.Reader) io.Reader) (took bool) {
	t.Helper()
	br := bufio.NewReaderSize(reader(strings.NewReader(text)), linkBuffer)
	var r reply
	if !r.common(br) {
		if rest, err := io.ReadAll(br); err != nil || string(rest) != text {
			t.Fatalf("%q is left of what was not taken, %v", rest, err)
		}
		return false
	}
	ours := readAll(&r.resp, br)
	standard := bufio.NewReaderSize(reader(strings.NewReader(text)), linkBuffer)
	resp, err := http.ReadResponse(standard, nil)
	if err != nil {
		t.Fatalf("net/http refuses what was taken: %v", err)
	}
	if diff := cmp.Diff(readAll(resp, standard), ours); diff != "" {
		t.Fatalf("net/http sees -, we see +\n%s", diff)
	}
	return true
}

func TestReply_TakesCommonAnswersOnly(t *testing.T) {
	const ok, short = "HTTP/1.1 200 OK\r\n", "Content-Length: 5\r\n\r\nhello"
	rows := []struct {
		name, text string
		took       bool
	}{
		{"a length", ok + "content-type: a/b\r\nX-Odd:\t v \r\nX-None:\r\nX-Twice: 1\r\nx-twice: 2\r\n" + short + "rest", true},
		{"more fields than have room", ok + strings.Repeat("X-A: 1\r\n", 3) + strings.Repeat("A: 1\r\nB: 2\r\nC: 3\r\nD: 4\r\nE: 5\r\nF: 6\r\nG: 7\r\nH: 8\r\n", 2) + short, true},
		{"a length that is not reached", ok + "Content-Length: 9\r\n\r\nhello", true},
		{"a length of nothing", ok + "Content-Length: 0\r\n\r\nrest", true},
		{"a status without words", "HTTP/1.1 429\r\n" + short, true},
		{"chunks", ok + "Transfer-Encoding: CHUNKED\r\n\r\n3\r\nhel\r\n2;x=y\r\nlo\r\n0\r\n\r\nrest", true},
		{"chunks and fields behind them", ok + "Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\nX-T: v\r\n\r\nrest", true},
		{"chunks and no field behind them", ok + "Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\nno colon\r\n\r\nrest", true},
		{"chunks and endless fields", ok + "Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\nX-T: " + strings.Repeat("v", 2*linkBuffer) + "\r\n\r\n", true},
		{"a bad chunk", ok + "Transfer-Encoding: chunked\r\n\r\nzz\r\nhel\r\n", true},
		{"a chunk that is cut", ok + "Transfer-Encoding: chunked\r\n\r\n5\r\nhe", true},
		{"a connection that is kept", ok + "Connection: keep-alive\r\n" + short, true},
		{"a connection that ends", ok + "Connection: close\r\n" + short, false},
		{"an old server", "HTTP/1.0 200 OK\r\n" + short, false},
		{"early hints", "HTTP/1.1 103 Early Hints\r\n\r\n" + ok + short, false},
		{"no content", "HTTP/1.1 204 No Content\r\n" + short, false},
		{"two lengths", ok + "Content-Length: 5\r\n" + short, false},
		{"a length and chunks", ok + "Transfer-Encoding: chunked\r\n" + short, false},
		{"two encodings", ok + "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n", false},
		{"another encoding", ok + "Transfer-Encoding: gzip\r\n" + short, false},
		{"neither", ok + "\r\nhello", false},
		{"a negative length", ok + "Content-Length: -5\r\n\r\nhello", false},
		{"a huge length", ok + "Content-Length: 9999999999999999999\r\n\r\nhello", false},
		{"a folded field", ok + "X-A: 1\r\n 2\r\n" + short, false},
		{"a field that names fields behind the chunks", ok + "Trailer: X-T\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", false},
		{"pragma", ok + "Pragma: no-cache\r\n" + short, false},
		{"a space before a colon", ok + "X-A : 1\r\n" + short, false},
		{"no name", ok + ": 1\r\n" + short, false},
		{"no colon", ok + "X-A\r\n" + short, false},
		{"a bare line end", ok + "X-A: 1\nX-B: 2\r\n" + short, false},
		{"a control character", ok + "X-A: \x00\r\n" + short, false},
		{"a head that has not arrived whole", ok + "X-A: 1\r\n", false},
		{"a head above the buffer", ok + "X-A: " + strings.Repeat("a", linkBuffer) + "\r\n" + short, false},
		{"no HTTP", "SSH-2.0-OpenSSH\r\n\r\n", false},
		{"nothing", "", false},
	}
	for _, row := range rows {
		t.Run(row.name, func(t *testing.T) {
			if took := sameAsStandard(t, row.text, func(r io.Reader) io.Reader { return r }); took != row.took {
				t.Errorf("took %v", took)
			}
			sameAsStandard(t, row.text, iotest.HalfReader)
		})
	}
}

// TestReply_SaysWhyABodyEnded: the cause of a cut reaches who reads the body.
func TestReply_SaysWhyABodyEnded(t *testing.T) {
	cause := errors.New("cut")
	for _, text := range []string{"Content-Length: 9\r\n\r\nhello", "Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n"} {
		br := bufio.NewReaderSize(io.MultiReader(strings.NewReader("HTTP/1.1 200 OK\r\n"+text), iotest.ErrReader(cause)), linkBuffer)
		var r reply
		if !r.common(br) {
			t.Fatal("not taken")
		}
		if b, err := io.ReadAll(r.resp.Body); string(b) != "hello" || !errors.Is(err, cause) {
			t.Errorf("%q, %v", b, err)
		}
	}
}

// FuzzReply holds the parser against net/http's.
func FuzzReply(f *testing.F) {
	for _, text := range answers {
		if len(text) < 4*linkBuffer {
			f.Add(text)
		}
	}
	f.Fuzz(func(t *testing.T, text string) { sameAsStandard(t, text, func(r io.Reader) io.Reader { return r }) })
}
