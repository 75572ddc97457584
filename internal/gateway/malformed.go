package gateway

import (
	"bytes"
	"fmt"
	"net/http"
	"strconv"

	"github.com/accordo-ai/accordo/internal/dialect/openai"
)

// How net/http refuses a request that no handler has seen: a status line, these
// fields, and the line again or why a transfer encoding is not served; or, for
// an expectation, an empty answer.
const (
	plainRefusal    = "Content-Type: text/plain; charset=utf-8\r\nConnection: close\r\n\r\n"
	encodingRefusal = plainRefusal + "Unsupported transfer encoding"
	emptyBegin      = "Connection: close\r\nDate: "
	emptyEnd        = "\r\nContent-Length: 0\r\n\r\n"
)

// InDialect returns the API's own error object when p, which net/http is about
// to write to a connection, is its refusal of a request that no handler has
// seen; otherwise nil. Without it a client would find a line of plain text
// where every other error is an object with a reason and a remedy.
//
// Only what is a refusal from its first byte to its last counts: a piece of an
// answer may quote the beginning of one, and to write anything else in its
// place would shift every answer behind it.
func InDialect(p []byte) []byte {
	const version = "HTTP/1.1 "
	if len(p) < 16 || len(p) > 512 || string(p[:len(version)]) != version || p[len(version)] < '4' {
		return nil
	}
	line, rest, _ := bytes.Cut(p[len(version):], []byte("\r\n"))
	code, words, _ := bytes.Cut(line, []byte(" "))
	status, err := strconv.Atoi(string(code))
	words, detail, _ := bytes.Cut(words, []byte(": "))
	if err != nil || string(words) != http.StatusText(status) {
		return nil
	}
	again, plain := bytes.CutPrefix(rest, []byte(plainRefusal))
	switch {
	case plain && bytes.Equal(again, line), string(rest) == encodingRefusal:
	case status == http.StatusExpectationFailed && len(rest) == len(emptyBegin+http.TimeFormat+emptyEnd) && bytes.HasPrefix(rest, []byte(emptyBegin)) && bytes.HasSuffix(rest, []byte(emptyEnd)):
	default:
		return nil
	}
	body := openai.Malformed(status, string(detail)).Append(nil)
	return fmt.Appendf(nil, "%s%d %s\r\nContent-Type: application/json\r\nConnection: close\r\nContent-Length: %d\r\n\r\n%s", version, status, http.StatusText(status), len(body), body)
}
