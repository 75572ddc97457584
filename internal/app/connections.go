package app

import (
	"errors"
	"io"
	"net"
	"sync"
	"sync/atomic"
	"time"
)

// The bounds of open connections.
const (
	// reservedFiles are the descriptors that connections leave to journal,
	// books and everything else; at most half of all.
	reservedFiles = 512
	// adminConnections is the most that the operator's listener accepts.
	adminConnections = 256
	// busyTime bounds telling a client that there is no room for it.
	busyTime = time.Second
)

// busyAnswer is what a connection for which there is no room is told. It is
// the API's own error object.
const busyAnswer = "HTTP/1.1 503 Service Unavailable\r\nContent-Type: application/json\r\nRetry-After: 1\r\nConnection: close\r\nContent-Length: 153\r\n\r\n" +
	`{"error":{"message":"The gateway has as many connections as it can take. Try again in a moment.","type":"server_error","param":null,"code":"overloaded"}}`

// apiConnections is the most connections of clients: each may need one to a
// provider, and both leave the reserve alone.
func apiConnections() int64 {
	files := int64(fileLimit())
	return (files - min(reservedFiles, files/2)) / 2
}

// limitedListener answers connections beyond a bound at once and closes them,
// so that whoever opens many cannot take the last file descriptor.
type limitedListener struct {
	net.Listener
	most  func() int64
	plain bool // HTTP without TLS: the refusal can be read
	open  atomic.Int64
	words func([]byte) []byte // of countedConn
	// refused is when a connection was refused last, in nanoseconds since 1970
	// UTC; 0: none was.
	refused atomic.Int64
}

// Accept returns the next connection for which there is room.
func (l *limitedListener) Accept() (net.Conn, error) {
	for {
		conn, err := l.Listener.Accept()
		if err != nil {
			return nil, err
		}
		if l.open.Add(1) <= l.most() {
			return &countedConn{Conn: conn, open: &l.open, words: l.words}, nil
		}
		l.open.Add(-1)
		l.refused.Store(time.Now().UnixNano())
		if l.plain {
			_ = conn.SetWriteDeadline(time.Now().Add(busyTime))
			_, _ = io.WriteString(conn, busyAnswer)
		}
		_ = conn.Close()
	}
}

// countedConn is a connection that gives its place back once.
type countedConn struct {
	net.Conn
	open *atomic.Int64
	once sync.Once
	// words returns what is written instead, or nil; it may be nil itself.
	words func([]byte) []byte
}

// Write writes p, or what the API says instead.
func (c *countedConn) Write(p []byte) (int, error) {
	if c.words != nil {
		if instead := c.words(p); instead != nil {
			_, err := c.Conn.Write(instead)
			return len(p), err
		}
	}
	return c.Conn.Write(p)
}

// Close closes the connection.
func (c *countedConn) Close() error {
	c.once.Do(func() { c.open.Add(-1) })
	return c.Conn.Close()
}

// CloseWrite ends what this side sends, which net/http asks for before it
// closes a connection whose client still sends.
func (c *countedConn) CloseWrite() error {
	if half, ok := c.Conn.(interface{ CloseWrite() error }); ok {
		return half.CloseWrite()
	}
	return errors.ErrUnsupported
}
