//go:build linux

package main

import (
	"bufio"
	"bytes"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"os"
	"strings"
	"time"
)

// The models of the mock upstream name how it answers.
const (
	modelPlain  = "bench-plain"  // 1 KB at once
	modelDelay  = "bench-delay"  // 1 KB after delay
	modelStream = "bench-stream" // streamChunks chunks at once
	modelGaps   = "bench-gaps"   // the same with gap between them
	modelIdle   = "bench-idle"   // one chunk, then nothing until idleTime is over
)

const (
	delay        = 60 * time.Millisecond
	gap          = 5 * time.Millisecond
	streamChunks = 128
	maxKept      = 1 << 20          // of a body's buffer
	idleTime     = 25 * time.Second // below the gateway's limit between tokens
	mark         = "word "          // how the content of each chunk begins
	endOfPrompt  = "end-of-prompt"
)

var benchModels = []string{modelPlain, modelDelay, modelStream, modelGaps, modelIdle}

// plainContent is the text of a plain answer, checked by the client.
var plainContent = strings.Repeat("lorem ipsum ", 68)

// mock answers like a provider at the least cost: everything is prepared.
type mock struct {
	plain, start, tail []byte
	chunks             [streamChunks][]byte // all different: some gateways end a stream that repeats itself
}

func newMock() *mock {
	body := `{"id":"chatcmpl-1","object":"chat.completion","created":1790000000,"model":"bench","choices":[{"index":0,"message":{"role":"assistant","content":"` + plainContent + `"},"finish_reason":"stop"}],"usage":{"prompt_tokens":250,"completion_tokens":200,"total_tokens":450}}`
	const common = `{"id":"chatcmpl-1","object":"chat.completion.chunk","created":1790000000,"model":"bench","choices":`
	event := func(s string) string { s = "data: " + s + "\n\n"; return fmt.Sprintf("%x\r\n%s\r\n", len(s), s) }
	m := &mock{
		plain: fmt.Appendf(nil, "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%s", len(body), body),
		start: []byte("HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n"),
		tail: []byte(event(common+`[{"index":0,"delta":{},"finish_reason":"stop"}]}`) +
			event(common+`[],"usage":{"prompt_tokens":250,"completion_tokens":128,"total_tokens":378}}`) + event("[DONE]") + "0\r\n\r\n"),
	}
	for i := range m.chunks {
		m.chunks[i] = []byte(event(common + `[{"index":0,"delta":{"content":"` + chunkText(i) + `"},"finish_reason":null}]}`))
	}
	return m
}

// chunkText is the content of chunk i.
func chunkText(i int) string { return fmt.Sprintf("%s%03d ", mark, i) }

// runMock is the role "upstream": ADDRESS plain, TLS-ADDRESS with TLS 1.3.
func runMock(args []string) error {
	if len(args) != 4 {
		return fmt.Errorf("want ADDRESS TLS-ADDRESS CERT KEY")
	}
	cert, err := tls.LoadX509KeyPair(args[2], args[3])
	if err != nil {
		return err
	}
	plain, err := net.Listen("tcp", args[0])
	if err != nil {
		return err
	}
	secure, err := net.Listen("tcp", args[1])
	if err != nil {
		return err
	}
	m := newMock()
	go accept(tls.NewListener(secure, &tls.Config{MinVersion: tls.VersionTLS13, Certificates: []tls.Certificate{cert}}), m.serve)
	accept(plain, m.serve)
	return nil
}

// accept serves connections until the listener is closed.
func accept(ln net.Listener, serve func(net.Conn)) {
	for {
		conn, err := ln.Accept()
		if errors.Is(err, net.ErrClosed) {
			return
		}
		if err != nil { // out of descriptors: some are given back
			time.Sleep(10 * time.Millisecond)
			continue
		}
		go func() {
			defer conn.Close()
			serve(conn)
		}()
	}
}

func (m *mock) serve(conn net.Conn) {
	br := bufio.NewReaderSize(conn, 4<<10)
	var room, body []byte
	for {
		var h head
		var err error
		if room, h, err = readHead(br, room[:0]); err != nil {
			return
		}
		body = body[:0]
		if err := readBody(br, &h, func(p []byte) { body = append(body, p...) }); err != nil {
			return
		}
		if err := m.answer(conn, body); err != nil || h.close {
			return
		}
		if cap(body) > maxKept {
			body = nil
		}
	}
}

func (m *mock) answer(conn net.Conn, body []byte) error {
	model, whole := between(body, `"model":`, ','), bytes.LastIndex(body, []byte(endOfPrompt))
	if whole < 0 || body[len(body)-1] != '}' {
		_, err := conn.Write([]byte("HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n"))
		return err
	}
	switch name := strings.Trim(model, `" `); name {
	case modelDelay:
		time.Sleep(delay)
		fallthrough
	default:
		_, err := conn.Write(m.plain)
		return err
	case modelStream, modelGaps, modelIdle:
		return m.stream(conn, name)
	}
}

func (m *mock) stream(conn net.Conn, name string) error {
	if _, err := conn.Write(m.start); err != nil {
		return err
	}
	for i := range m.chunks {
		if name == modelGaps && i > 0 {
			time.Sleep(gap)
		}
		if _, err := conn.Write(m.chunks[i]); err != nil {
			return err
		}
		if name == modelIdle {
			// Until the time is over or the gateway has hung up.
			_ = conn.SetReadDeadline(time.Now().Add(idleTime))
			var one [1]byte
			if _, err := conn.Read(one[:]); !errors.Is(err, os.ErrDeadlineExceeded) {
				return net.ErrClosed
			}
			_ = conn.SetReadDeadline(time.Time{})
			break
		}
	}
	_, err := conn.Write(m.tail)
	return err
}

// between is what stands between a text and the next byte end.
func between(b []byte, after string, end byte) string {
	i := bytes.Index(b, []byte(after))
	if i < 0 {
		return ""
	}
	b = b[i+len(after):]
	if j := bytes.IndexByte(b, end); j >= 0 {
		b = b[:j]
	}
	return string(b)
}
