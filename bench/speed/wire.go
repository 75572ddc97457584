//go:build linux

package main

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
)

// The limits of what is read from the other side.
const (
	maxHead    = 64 << 10
	bufferSize = 32 << 10
)

// head is what matters of a message's header.
type head struct {
	first   []byte // line
	length  int    // of the body; -1: not stated
	chunked bool
	close   bool
}

var errHead = errors.New("a header that this bench does not read")

// readHead reads a header, lines and empty line, into dst.
func readHead(br *bufio.Reader, dst []byte) ([]byte, head, error) {
	h := head{length: -1}
	for {
		line, err := br.ReadSlice('\n')
		if err != nil {
			return dst, h, err
		}
		from := len(dst)
		dst = append(dst, line...)
		if len(dst) > maxHead {
			return dst, h, errHead
		}
		line = bytes.TrimRight(dst[from:], "\r\n")
		switch {
		case from == 0:
			h.first = line
		case len(line) == 0:
			h.first = dst[:len(h.first)]
			return dst, h, nil
		default:
			if err := h.field(line); err != nil {
				return dst, h, err
			}
		}
	}
}

func (h *head) field(line []byte) error {
	switch v, name := valueOf(line, "content-length"), line; {
	case v != nil:
		n := 0
		for _, c := range v {
			if c < '0' || c > '9' || n > 1<<30 {
				return errHead
			}
			n = n*10 + int(c-'0')
		}
		h.length = n
	default:
		if v := valueOf(name, "transfer-encoding"); v != nil {
			h.chunked = bytes.EqualFold(v, []byte("chunked"))
		} else if v := valueOf(name, "connection"); v != nil {
			h.close = bytes.EqualFold(v, []byte("close"))
		}
	}
	return nil
}

// valueOf is the value of the field with that lower-case name, or nil.
func valueOf(line []byte, name string) []byte {
	if len(line) <= len(name) || line[len(name)] != ':' {
		return nil
	}
	for i := range len(name) {
		if line[i]|0x20 != name[i] {
			return nil
		}
	}
	return bytes.TrimSpace(line[len(name)+1:])
}

func (h *head) status() string {
	if len(h.first) >= 12 {
		return string(h.first[9:12])
	}
	return "?"
}

// chunks follows a chunked body through any cut of its bytes.
type chunks struct {
	state byte // 's' size, 'x' its extension, 'd' data, 'e' end of data, 't' trailer
	left  int
	line  int // bytes of the current line
}

// feed reads p up to the body's end and hands its content to take, which may
// be nil.
func (c *chunks) feed(p []byte, take func([]byte)) (n int, done bool, err error) {
	if c.state == 0 {
		c.state = 's'
	}
	for n < len(p) {
		if c.state == 'd' {
			k := min(c.left, len(p)-n)
			if take != nil {
				take(p[n : n+k])
			}
			n, c.left = n+k, c.left-k
			if c.left == 0 {
				c.state, c.line = 'e', 0
			}
			continue
		}
		b := p[n]
		n++
		if b == '\r' {
			continue
		}
		if b != '\n' {
			c.line++
			if b == ';' && c.state == 's' {
				c.state = 'x'
			}
			if c.state == 's' {
				d := bytes.IndexByte([]byte("0123456789abcdef"), b|0x20)
				if d < 0 || c.left > 1<<26 {
					return n, false, fmt.Errorf("chunk size: %w", errHead)
				}
				c.left = c.left<<4 | d
			}
			continue
		}
		if c.state == 'x' {
			c.state = 's'
		}
		switch {
		case c.state == 's' && c.left > 0:
			c.state = 'd'
		case c.state == 's':
			c.state = 't'
		case c.state == 'e':
			c.state = 's'
		case c.line == 0: // the empty line after the trailer
			return n, true, nil
		}
		c.line = 0
	}
	return n, false, nil
}

// readBody reads a whole body and hands its content to take.
func readBody(br *bufio.Reader, h *head, take func([]byte)) error {
	var c chunks
	for left := h.length; h.chunked || left > 0; {
		if _, err := br.Peek(1); err != nil {
			return err
		}
		p, _ := br.Peek(br.Buffered())
		if !h.chunked {
			p = p[:min(left, len(p))]
			take(p)
			left -= len(p)
			_, _ = br.Discard(len(p))
			continue
		}
		n, done, err := c.feed(p, take)
		_, _ = br.Discard(n)
		if done || err != nil {
			return err
		}
	}
	return nil
}
