package upstream

import (
	"bufio"
	"bytes"
	"errors"
	"io"
	"net/http"
	"net/http/httputil"
	"net/textproto"
	"strings"
)

// reply is an answer with all that reads it, in one piece of memory.
type reply struct {
	resp   http.Response
	answer answer
	whole  bounded
	length lengthBody
}

// crlf ends a line.
const crlf = "\r\n"

// common reads the head of an answer of the common kind that has arrived
// whole: HTTP/1.1, one valid length or chunks, nothing that net/http would
// change. Of any other it reports false and has consumed nothing: net/http
// reads it, and says what is wrong with it.
func (r *reply) common(br *bufio.Reader) bool {
	if _, err := br.Peek(1); err != nil {
		return false
	}
	arrived, _ := br.Peek(br.Buffered())
	end := bytes.Index(arrived, []byte(crlf+crlf))
	if end < 0 {
		return false
	}
	length, ok := r.parse(string(arrived[:end+len(crlf)]))
	if !ok {
		return false
	}
	_, _ = br.Discard(end + len(crlf+crlf))
	switch {
	case length > 0:
		r.length = lengthBody{br, length}
		r.resp.Body = &r.length
	case length == 0:
		r.resp.Body = http.NoBody
	default:
		r.resp.Body = &chunkBody{src: httputil.NewChunkedReader(br), br: br}
	}
	return true
}

// parse reads lines, each with its end. The length is -1 for chunks.
func (r *reply) parse(text string) (length int64, ok bool) {
	status, fields, _ := strings.Cut(text, crlf)
	code, ok := statusCode(status)
	if !ok {
		return 0, false
	}
	lines := strings.Count(fields, crlf)
	h, values := make(http.Header, lines), make([]string, 0, lines)
	length, chunked := -1, false
	for fields != "" {
		var line string
		line, fields, _ = strings.Cut(fields, crlf)
		name, value, ok := fieldOf(line)
		if !ok {
			return 0, false
		}
		switch name {
		case "Content-Length":
			if length >= 0 {
				return 0, false
			}
			if length, ok = digits(value); !ok {
				return 0, false
			}
		case "Transfer-Encoding":
			if chunked || !strings.EqualFold(value, "chunked") {
				return 0, false
			}
			chunked = true
			continue // as net/http
		case "Connection":
			if !strings.EqualFold(value, "keep-alive") {
				return 0, false
			}
		case "Trailer", "Pragma":
			return 0, false
		}
		if earlier := h[name]; earlier != nil {
			h[name] = append(earlier, value)
			continue
		}
		n := len(values)
		values = append(values, value)
		h[name] = values[n : n+1 : n+1]
	}
	if chunked == (length >= 0) {
		return 0, false
	}
	r.resp = http.Response{Status: status[len(version):], StatusCode: code, Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1, Header: h, ContentLength: length}
	return length, true
}

const version = "HTTP/1.1 "

// statusCode reads the first line of a final answer that has a body.
func statusCode(line string) (code int, ok bool) {
	if !strings.HasPrefix(line, version) || !printable(line) {
		return 0, false
	}
	text, _, _ := strings.Cut(line[len(version):], " ")
	n, ok := digits(text)
	return int(n), ok && len(text) == 3 && n >= 200 && n != http.StatusNoContent && n != http.StatusNotModified
}

// fieldOf reads one line of a header.
func fieldOf(line string) (name, value string, ok bool) {
	name, value, ok = strings.Cut(line, ":")
	if !ok || name == "" || !printable(value) {
		return "", "", false
	}
	for i := range len(name) {
		if c := name[i]; (c < 'a' || c > 'z') && (c < 'A' || c > 'Z') && (c < '0' || c > '9') && c != '-' && c != '_' {
			return "", "", false
		}
	}
	return textproto.CanonicalMIMEHeaderKey(name), strings.Trim(value, " \t"), true
}

// printable reports whether a text may stand in a line.
func printable(s string) bool {
	for i := range len(s) {
		if c := s[i]; c < ' ' && c != '\t' || c == 0x7f {
			return false
		}
	}
	return true
}

// digits reads a number of at most 18 digits.
func digits(s string) (n int64, ok bool) {
	if s == "" || len(s) > 18 {
		return 0, false
	}
	for i := range len(s) {
		if s[i] < '0' || s[i] > '9' {
			return 0, false
		}
		n = 10*n + int64(s[i]-'0')
	}
	return n, true
}

// lengthBody is a body of a known length.
type lengthBody struct {
	br   *bufio.Reader
	left int64
}

// Read says that the body has ended with its last byte.
func (b *lengthBody) Read(p []byte) (int, error) {
	if b.left == 0 {
		return 0, io.EOF
	}
	if int64(len(p)) > b.left {
		p = p[:b.left]
	}
	n, err := b.br.Read(p)
	b.left -= int64(n)
	switch {
	case b.left == 0 && err == nil:
		err = io.EOF
	case b.left > 0 && err == io.EOF:
		err = io.ErrUnexpectedEOF
	}
	return n, err
}

// Close does nothing: the end of the call closes the connection.
func (b *lengthBody) Close() error { return nil }

// chunkBody is a body in chunks.
type chunkBody struct {
	src   io.Reader
	br    *bufio.Reader
	ended error
}

var errTrailer = errors.New("the trailer of the answer is malformed or too long")

// Read reads what the chunks hold. The body has ended when what follows the
// last one has been read, too; fields there are dropped.
func (b *chunkBody) Read(p []byte) (int, error) {
	if b.ended != nil {
		return 0, b.ended
	}
	n, err := b.src.Read(p)
	if err == io.EOF {
		b.ended = b.trailer()
		err = b.ended
	}
	return n, err
}

// trailer reads what follows the last chunk, and answers EOF.
func (b *chunkBody) trailer() error {
	next, err := b.br.Peek(len(crlf))
	switch {
	case string(next) == crlf:
		_, _ = b.br.Discard(len(crlf))
		return io.EOF
	case err == io.EOF:
		return io.ErrUnexpectedEOF
	case err != nil:
		return err
	}
	for n := 2 * len(crlf); !bytes.HasSuffix(next, []byte(crlf+crlf)); n++ {
		if next, err = b.br.Peek(n); err != nil {
			return errTrailer
		}
	}
	if _, err := textproto.NewReader(b.br).ReadMIMEHeader(); err != nil {
		return errTrailer
	}
	return io.EOF
}

// Close does nothing: the end of the call closes the connection.
func (b *chunkBody) Close() error { return nil }
