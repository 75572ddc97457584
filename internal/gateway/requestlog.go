package gateway

import (
	"net/http"
	"unicode/utf8"

	"github.com/accordo-ai/accordo/internal/alliance"
)

// RequestLog keeps what tenants asked to have kept of their requests. Its
// methods return at once: a log that falls behind drops records.
type RequestLog interface {
	// Claim takes n bytes of the memory that texts may have until they are
	// written; false: there is no room.
	Claim(n int64) bool
	// Keep takes a record over, with what was claimed for it.
	Keep(r *LoggedRequest)
}

// LoggedRequest is one request as its tenant asked to have it kept. No header
// is in it.
type LoggedRequest struct {
	Row     Row
	EndUser string
	// Prompt and Answer begin what the client sent and was sent; empty where
	// they are not kept. PromptBytes and AnswerBytes are their whole lengths.
	Prompt, Answer           []byte
	PromptBytes, AnswerBytes int64
	Claimed                  int64
}

// recorder is a client's connection that keeps the beginning of what is
// written to it.
type recorder struct {
	http.ResponseWriter
	log     RequestLog
	terms   *alliance.RequestLog
	kept    []byte
	written int64
	claimed int64
	full    bool
}

// beginLog keeps what the client is sent, where its tenant asked for that.
func (c *call) beginLog() {
	if c.key.log != nil && c.g.requestLog != nil {
		c.logged = &recorder{ResponseWriter: c.w, log: c.g.requestLog, terms: c.key.log}
		c.w = c.logged
	}
}

// endLog hands the request to the log.
func (c *call) endLog() {
	w := c.logged
	if w == nil {
		return
	}
	r := &LoggedRequest{Row: c.row, EndUser: c.EndUser, Answer: whole(w.kept), AnswerBytes: w.written}
	if body := c.req; body != nil {
		r.PromptBytes = int64(len(body.Body()))
		if n := min(r.PromptBytes, w.terms.Bound()); w.terms.Prompts && w.claim(n) {
			r.Prompt = whole(append([]byte(nil), body.Body()[:n]...))
		}
	}
	r.Claimed = w.claimed
	c.g.requestLog.Keep(r)
}

// claim takes memory until it is refused once: a record without a part in its
// middle would mislead.
func (w *recorder) claim(n int64) bool {
	if w.full || !w.log.Claim(n) {
		w.full = true
		return false
	}
	w.claimed += n
	return true
}

// Write passes b on and keeps what there is room for.
func (w *recorder) Write(b []byte) (int, error) {
	n, err := w.ResponseWriter.Write(b)
	w.written += int64(n)
	if room := w.terms.Bound() - int64(len(w.kept)); w.terms.Answers && room > 0 {
		if part := b[:min(int64(n), room)]; w.claim(int64(len(part))) {
			w.kept = append(w.kept, part...)
		}
	}
	return n, err
}

// Unwrap lets http.ResponseController reach the connection.
func (w *recorder) Unwrap() http.ResponseWriter { return w.ResponseWriter }

// whole cuts off a character that was cut.
func whole(b []byte) []byte {
	for n := 1; n < utf8.UTFMax && n <= len(b); n++ {
		if last := b[len(b)-n:]; utf8.RuneStart(last[0]) {
			if !utf8.FullRune(last) {
				return b[:len(b)-n]
			}
			break
		}
	}
	return b
}
