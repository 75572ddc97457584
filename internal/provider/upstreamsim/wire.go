package upstreamsim

import (
	"context"
	"errors"
	"net"
	"net/http"
	"strconv"
	"time"
)

// errAbort says that the connection must end now, without a proper end of the answer.
var errAbort = errors.New("the connection ends here")

// wire sends one answer and breaks it where the action says.
type wire struct {
	w       http.ResponseWriter
	rc      *http.ResponseController
	act     *Action
	written int64
	limited bool // A write deadline is set on the connection.
}

// cutAt gives the byte of the body at which the connection ends, or -1.
func (a *Action) cutAt() int64 {
	switch {
	case a.CutAtByte != nil:
		return *a.CutAtByte
	case a.ResetAtByte != nil:
		return *a.ResetAtByte
	}
	return -1
}

// cuts reports whether the next n bytes reach past the scripted end.
func (w *wire) cuts(n int) bool {
	at := w.act.cutAt()
	return at >= 0 && w.written+int64(n) > at
}

// write sends p, or the part of it before the scripted end and then errAbort.
func (w *wire) write(p []byte, flush bool) error {
	cut := w.cuts(len(p))
	if cut {
		p = p[:w.act.cutAt()-w.written]
	}
	if flush || len(p) > largeWrite {
		// A client that never reads must not hold a stream for ever.
		w.limited = w.rc.SetWriteDeadline(time.Now().Add(writeTimeout)) == nil
	}
	n, err := w.w.Write(p)
	w.written += int64(n)
	if err != nil {
		return err
	}
	if cut || flush {
		if err := w.rc.Flush(); err != nil {
			return err
		}
	}
	if cut {
		return errAbort
	}
	return nil
}

// release takes the deadline off a connection that another request may use.
func (w *wire) release() {
	if w.limited {
		_ = w.rc.SetWriteDeadline(time.Time{})
	}
}

// header sets what every answer carries and the script's own headers last.
func (w *wire) header(contentType string, now func() time.Time) {
	h := w.w.Header()
	h["Content-Type"] = []string{contentType}
	switch {
	case w.act.RetryAfter != "":
		h.Set("Retry-After", w.act.RetryAfter)
	case w.act.RetryAfterDate != 0:
		h.Set("Retry-After", now().Add(w.act.RetryAfterDate).UTC().Format(http.TimeFormat))
	}
	for name, value := range w.act.Headers {
		h.Set(name, value)
	}
}

// whole sends a complete body with its length, wrong by as much as the script says.
func (w *wire) whole(status int, body []byte) error {
	declared := max(int64(len(body))+w.act.ContentLengthDelta, 0)
	w.w.Header()["Content-Length"] = []string{strconv.FormatInt(declared, 10)}
	w.w.WriteHeader(status)
	if declared < int64(len(body)) {
		body = body[:declared]
	}
	// A declared length that is never reached makes net/http close the connection.
	return w.write(body, w.act != served)
}

// abort ends the connection; it does not return normally. A reset needs the
// socket itself, which HTTP/2 and test recorders do not give.
func (w *wire) abort() {
	if w.act.ResetAtByte != nil {
		if conn, _, err := w.rc.Hijack(); err == nil {
			if tcp, ok := conn.(*net.TCPConn); ok {
				// Lingering for zero seconds turns the close into a reset.
				_ = tcp.SetLinger(0)
			}
			_ = conn.Close()
			return
		}
	}
	panic(http.ErrAbortHandler)
}

// left reports whether err means that the client went away.
func left(ctx context.Context, err error) bool {
	return err != nil && !errors.Is(err, errAbort) && ctx.Err() != nil
}
