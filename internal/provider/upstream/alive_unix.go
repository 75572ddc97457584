//go:build unix

package upstream

import (
	"net"
	"syscall"
)

// probe tells whether an idle connection can take a request.
type probe struct {
	raw    syscall.RawConn // nil: no socket
	peek   func(fd uintptr) bool
	silent bool // what peek found
	broken bool
}

// of prepares to probe conn.
func (p *probe) of(conn net.Conn) {
	s, ok := conn.(syscall.Conn)
	if !ok {
		return
	}
	raw, err := s.SyscallConn()
	p.raw, p.broken = raw, err != nil
	p.peek = func(fd uintptr) bool {
		var b [1]byte
		n, _, err := syscall.Recvfrom(int(fd), b[:], syscall.MSG_PEEK|syscall.MSG_DONTWAIT)
		p.silent = n < 0 && (err == syscall.EAGAIN || err == syscall.EWOULDBLOCK)
		return true
	}
}

// alive reports that the other side has not closed the connection and has sent
// nothing that nobody asked for. A connection that is no socket passes:
// writing to it tells.
func (p *probe) alive() bool {
	if p.raw == nil {
		return !p.broken
	}
	p.silent = false
	return p.raw.Read(p.peek) == nil && p.silent
}
