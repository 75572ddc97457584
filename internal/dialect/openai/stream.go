package openai

import (
	"bytes"
	"errors"
	"fmt"
	"math/bits"

	"github.com/accordo-ai/accordo/internal/usage"
)

// Phase is where a stream stands. Phases only go forward.
type Phase uint8

// The phases of a stream.
const (
	// Waiting: no event with data has come.
	Waiting Phase = iota
	// Open: content is coming and may be passed on.
	Open
	// Holding: a finish reason has come; everything from it on is held back
	// until the caller has made the outcome safe.
	Holding
	// Done: [DONE] has come.
	Done
)

// MaxHeldBytes bounds what is held back from the first finish reason on.
const MaxHeldBytes = 4 << 20

// The faults of a stream.
var (
	ErrStreamFault = errors.New("the provider's stream is not what the dialect allows")
	ErrStreamError = errors.New("the provider sent an error inside the stream")
)

// Stream reads a provider's stream event by event, rewrites the model's
// name, takes out usage that the client did not ask for, and separates what
// may be passed on at once from what must wait for the record.
type Stream struct {
	// ID, Model and ServiceTier are what the chunks state.
	ID, Model, ServiceTier string
	// Usage is valid when UsageErr is nil.
	Usage    usage.Vector
	UsageErr error
	// Deltas counts the chunks with choices: an estimate of output tokens
	// when the provider states none.
	Deltas int64

	events    Events
	pattern   pattern
	phase     Phase
	name      []byte
	keepUsage bool
	choices   int64
	finished  int64
	masks     [2]uint64
	out, held []byte
}

// NewStream prepares for a stream of the given number of choices. name is
// the model as the client is to see it; keepUsage says that the client asked
// for usage.
func NewStream(name string, keepUsage bool, choices int64) *Stream {
	return &Stream{name: quote(nil, name), keepUsage: keepUsage, choices: choices, UsageErr: ErrNoUsage}
}

// Reset makes the stream ready for another one, as NewStream does, and keeps
// its buffers unless one has grown beyond maxKept.
func (s *Stream) Reset(name string, keepUsage bool, choices int64) {
	keep := func(b []byte) []byte {
		if cap(b) > maxKept {
			return nil
		}
		return b[:0]
	}
	*s = Stream{
		name: quote(s.name[:0], name), keepUsage: keepUsage, choices: choices, UsageErr: ErrNoUsage,
		events: Events{buf: keep(s.events.buf)}, pattern: pattern{body: keep(s.pattern.body)}, out: keep(s.out), held: keep(s.held),
	}
}

// maxKept is the size up to which a buffer outlives its stream.
const maxKept = 128 << 10

// Phase is where the stream stands.
func (s *Stream) Phase() Phase { return s.phase }

// Complete reports whether every choice has its finish reason.
func (s *Stream) Complete() bool { return s.finished >= s.choices }

// Held is what must go out after the outcome is safe.
func (s *Stream) Held() []byte { return s.held }

// Feed reads the next bytes and returns what may be passed on now; the slice
// is valid until the next call. An error ends the stream: what was returned
// with it may still be passed on, what is held must not.
func (s *Stream) Feed(p []byte) ([]byte, error) {
	s.out = s.out[:0]
	err := s.events.Feed(p, s.event)
	return s.out, err
}

// Close tells that the provider's bytes have ended.
func (s *Stream) Close() error { return s.events.Close(s.event) }

func (s *Stream) event(e Event) error {
	if s.phase == Done {
		return nil // nothing after [DONE] is of meaning
	}
	if e.Data == nil {
		if s.phase == Waiting {
			return nil // comments do not open an answer
		}
		return s.put(e.Raw)
	}
	if string(bytes.TrimSpace(e.Data)) == "[DONE]" {
		if s.finished == 0 {
			return fmt.Errorf("%w: [DONE] before a finish reason", ErrStreamFault)
		}
		s.phase = Done
		return s.hold(e.Raw)
	}
	facts := s.ID == "" || s.Model == ""
	if a, ok := s.pattern.match(e.Data); ok && !facts {
		return s.chunk(e, &a)
	}
	var h holes
	a, err := scanAnswer(e.Data, facts, &h)
	switch {
	case err != nil:
		return fmt.Errorf("%w: %w", ErrStreamFault, err)
	case a.HasError:
		return ErrStreamError
	}
	s.pattern.keep(&a, &h)
	return s.chunk(e, &a)
}

func (s *Stream) chunk(e Event, a *Answer) error {
	s.learn(a)
	if s.phase == Waiting {
		s.phase = Open
	}
	if a.choices > 0 {
		s.Deltas++
	}
	for i := range s.masks {
		s.masks[i] |= a.masks[i]
	}
	if s.finished = int64(bits.OnesCount64(s.masks[0]) + bits.OnesCount64(s.masks[1])); s.finished > 0 {
		s.phase = Holding
	}
	if a.hasUsage && a.choices == 0 && !s.keepUsage {
		return nil
	}
	if e.At >= 0 {
		if s.phase == Holding {
			s.held = s.rewrite(s.held, e.Raw, e.At, a)
			return s.bound()
		}
		s.out = s.rewrite(s.out, e.Raw, e.At, a)
		return nil
	}
	// Several data lines: line ends between JSON tokens are white space.
	line := append([]byte("data: "), bytes.ReplaceAll(a.Rewrite(nil, s.name, !s.keepUsage), []byte("\n"), []byte(" "))...)
	return s.put(append(line, "\n\n"...))
}

func (s *Stream) rewrite(dst, raw []byte, at int, a *Answer) []byte {
	dst = append(dst, raw[:at]...)
	dst = a.Rewrite(dst, s.name, !s.keepUsage)
	return append(dst, raw[at+len(a.body):]...)
}

func (s *Stream) learn(a *Answer) {
	if a.ID != "" && s.ID == "" {
		s.ID = a.ID
	}
	if a.Model != "" && s.Model == "" {
		s.Model = a.Model
	}
	if a.ServiceTier != "" {
		s.ServiceTier = a.ServiceTier
	}
	if a.hasUsage {
		s.Usage, s.UsageErr = a.Usage, a.UsageErr
	}
}

func (s *Stream) put(raw []byte) error {
	if s.phase >= Holding {
		return s.hold(raw)
	}
	s.out = append(s.out, raw...)
	return nil
}

func (s *Stream) hold(raw []byte) error {
	s.held = append(s.held, raw...)
	return s.bound()
}

func (s *Stream) bound() error {
	if len(s.held) > MaxHeldBytes {
		return fmt.Errorf("%w: more than %d bytes after the finish reason", ErrStreamFault, MaxHeldBytes)
	}
	return nil
}
