package openai

import (
	"bytes"
	"errors"
)

// MaxEventBytes is the largest event of a stream that is read.
const MaxEventBytes = 4 << 20

// ErrEventTooLarge reports an event above MaxEventBytes.
var ErrEventTooLarge = errors.New("an event of the stream is too large")

// Event is one server-sent event. Raw is all its bytes with the empty line;
// Data is the content of its data lines joined by \n, nil if it has none.
// At is the offset of Data in Raw, or -1 when the data was joined from
// several lines. Both are valid until the next call of Feed.
type Event struct {
	Raw, Data []byte
	At        int
}

// Events splits a stream into events, however its bytes are cut into reads.
// The zero value is ready to use.
type Events struct {
	buf   []byte
	start int // of the event
	line  int // of the line
	seen  int // looked at, no line end before it
	begun bool
	data  span // of the first data line's content, relative to start
	has   bool
	more  []byte // joined data when there are several lines
}

// Feed adds bytes and calls visit for every event that is now complete. It
// stops at the first error, its own or visit's.
func (e *Events) Feed(p []byte, visit func(Event) error) error {
	e.compact()
	e.buf = append(e.buf, p...)
	return e.drain(false, visit)
}

// Close tells that the stream has ended: a carriage return at the end counts
// as a line end. An event without its empty line is dropped, as the standard
// for server-sent events says.
func (e *Events) Close(visit func(Event) error) error { return e.drain(true, visit) }

// Rest reports whether bytes of an incomplete event are left over.
func (e *Events) Rest() bool { return e.start < len(e.buf) }

func (e *Events) compact() {
	if e.start == 0 {
		return
	}
	n := copy(e.buf, e.buf[e.start:])
	e.buf = e.buf[:n]
	e.line -= e.start
	e.seen -= e.start
	e.start = 0
}

func (e *Events) drain(closed bool, visit func(Event) error) error {
	if !e.begun && len(e.buf) > 0 {
		bom := []byte("\ufeff")
		if len(e.buf) < len(bom) && bytes.HasPrefix(bom, e.buf) && !closed {
			return nil
		}
		e.begun = true
		if bytes.HasPrefix(e.buf, bom) {
			e.start, e.line, e.seen = len(bom), len(bom), len(bom)
		}
	}
	for {
		end, next := e.lineEnd(closed)
		if next == 0 {
			break
		}
		from := e.line
		e.line, e.seen = next, next
		if end > from {
			e.take(from, end)
			continue
		}
		ev := Event{Raw: e.buf[e.start:next], At: -1}
		switch {
		case e.has && e.more != nil:
			ev.Data = e.more
		case e.has:
			ev.Data, ev.At = ev.Raw[e.data.from:e.data.to], e.data.from
		}
		e.start, e.has, e.more = next, false, nil
		if err := visit(ev); err != nil {
			return err
		}
	}
	if len(e.buf)-e.start > MaxEventBytes {
		return ErrEventTooLarge
	}
	return nil
}

// lineEnd finds the end of the current line and the start of the next; next
// is 0 when the line is not complete.
func (e *Events) lineEnd(closed bool) (end, next int) {
	rest := e.buf[e.seen:]
	n := bytes.IndexByte(rest, '\n')
	look := rest
	if n >= 0 {
		look = rest[:n]
	}
	switch r := bytes.IndexByte(look, '\r'); {
	case r >= 0 && r+1 < len(rest):
		end, next = e.seen+r, e.seen+r+1
		if rest[r+1] == '\n' {
			next++
		}
	case r >= 0 && closed:
		end, next = e.seen+r, e.seen+r+1
	case r >= 0: // a \n may follow
		e.seen += r
		return 0, 0
	case n >= 0:
		end, next = e.seen+n, e.seen+n+1
	default:
		e.seen = len(e.buf)
		return 0, 0
	}
	return end, next
}

// take notes the content of a data line.
func (e *Events) take(from, end int) {
	line := e.buf[from:end]
	rest, ok := bytes.CutPrefix(line, []byte("data:"))
	switch {
	case ok && len(rest) > 0 && rest[0] == ' ':
		rest = rest[1:]
	case ok, string(line) == "data":
	default:
		return
	}
	if !ok {
		rest = nil
	}
	if !e.has {
		e.has = true
		e.data = span{end - len(rest) - e.start, end - e.start}
		return
	}
	if e.more == nil {
		e.more = append([]byte{}, e.buf[e.start+e.data.from:e.start+e.data.to]...)
	}
	e.more = append(append(e.more, '\n'), rest...)
}
