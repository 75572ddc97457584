package gateway

import (
	"bytes"
	"fmt"
	"net/http"
	"strconv"

	"github.com/accordo-ai/accordo/internal/dialect/openai"
)

// plainRefusal is how net/http goes on after the status line when it refuses a
// request that no handler has seen.
const plainRefusal = "\r\nContent-Type: text/plain; charset=utf-8\r\nConnection: close\r\n\r\n"

// InDialect returns the API's own error object when p, which net/http is about
// to write to a connection, is its refusal of a request that no handler has
// seen; otherwise nil. Without it a client would find a line of plain text
// where every other error is an object with a reason and a remedy.
func InDialect(p []byte) []byte {
	const version = "HTTP/1.1 "
	if len(p) < 16 || len(p) > 512 || string(p[:len(version)]) != version || p[9] < '4' {
		return nil
	}
	line, rest, _ := bytes.Cut(p, []byte("\r\n"))
	status, err := strconv.Atoi(string(line[len(version) : len(version)+3]))
	refused := bytes.HasPrefix(rest, []byte(plainRefusal[2:])) || status == http.StatusExpectationFailed
	if err != nil || !refused {
		return nil
	}
	_, detail, _ := bytes.Cut(line, []byte(": "))
	body := openai.Malformed(status, string(detail)).Append(nil)
	return fmt.Appendf(nil, "%s%d %s\r\nContent-Type: application/json\r\nConnection: close\r\nContent-Length: %d\r\n\r\n%s", version, status, http.StatusText(status), len(body), body)
}
