// Package top is the operator's live view in a terminal: it asks the admin
// API of a serving process again and again, and draws what it says. It reads
// nothing but that API, changes nothing in the process, keeps no more than the
// samples of its window, and refuses to draw control characters that came from
// a client.
package top

import (
	"context"
	"crypto/x509"
	"fmt"
	"io"
	"os"
	"time"
)

// Options say whom to ask and how to draw.
type Options struct {
	Admin string         // base address of the operator's listener
	Token string         // of an operator
	Roots *x509.CertPool // authorities for TLS; nil: the system's
	Every time.Duration  // between two frames
	Once  bool           // one frame, of two samples that lie Every apart
	Color bool           // unless the output is no terminal
	Out   io.Writer
}

const (
	// window is what rates and percentiles speak of.
	window = 15 * time.Second
	// MinEvery and MaxEvery bound the time between two frames.
	MinEvery = 100 * time.Millisecond
	MaxEvery = time.Minute
	// plainWidth and plainHeight are those of a frame that no terminal bounds.
	plainWidth, plainHeight = 160, 0
)

// The sequences of a terminal that a live view needs.
const (
	enterScreen = "\x1b[?1049h\x1b[?25l" // the other screen, without a cursor
	leaveScreen = "\x1b[?25h\x1b[?1049l"
	goHome      = "\x1b[H"
	clearBelow  = "\x1b[J"
	clearLine   = "\x1b[K"
)

// Run draws until ctx ends, or once. It returns an error when the first
// answer does not come; later a frame says so and the view goes on.
func Run(ctx context.Context, o Options) error {
	if o.Every < MinEvery || o.Every > MaxEvery {
		return fmt.Errorf("%s between two frames: ask for %s to %s", o.Every, MinEvery, MaxEvery)
	}
	c, err := newClient(o)
	if err != nil {
		return err
	}
	first, err := c.sample(ctx)
	if err != nil {
		return err
	}
	v := &view{samples: []*sample{first}, admin: o.Admin}
	if o.Once {
		return v.once(ctx, c, o)
	}
	return v.live(ctx, c, o)
}

// once prints one frame to what need not be a terminal.
func (v *view) once(ctx context.Context, c *client, o Options) error {
	if !wait(ctx, o.Every) {
		return ctx.Err()
	}
	s, err := c.sample(ctx)
	if err != nil {
		return err
	}
	v.add(s)
	width, _, terminal := size(o.Out)
	if !terminal {
		width = plainWidth
	}
	return write(o.Out, v.frame(width, plainHeight, o.Color && terminal), "\n", "")
}

// live redraws until ctx ends, and leaves the terminal as it was.
func (v *view) live(ctx context.Context, c *client, o Options) error {
	width, height, terminal := size(o.Out)
	if !terminal {
		return fmt.Errorf("the output is no terminal: use --once to print one frame")
	}
	if _, err := io.WriteString(o.Out, enterScreen); err != nil {
		return err
	}
	defer func() { _, _ = io.WriteString(o.Out, leaveScreen) }()
	for {
		if err := write(o.Out, v.frame(width, height, o.Color), clearLine+"\n", goHome); err != nil {
			return err
		}
		if !wait(ctx, o.Every) {
			return nil
		}
		s, err := c.sample(ctx)
		switch {
		case ctx.Err() != nil:
			return nil
		case err != nil:
			v.fault = err.Error()
		default:
			v.fault = ""
			v.add(s)
		}
		if w, h, ok := size(o.Out); ok {
			width, height = w, h
		}
	}
}

// write sends a frame as one write, so that it does not flicker.
func write(out io.Writer, lines []string, end, start string) error {
	b := []byte(start)
	for i, l := range lines {
		b = append(b, l...)
		if start == "" || i < len(lines)-1 {
			b = append(b, end...)
		}
	}
	if start != "" {
		b = append(b, clearLine+clearBelow...)
	}
	_, err := out.Write(b)
	return err
}

func wait(ctx context.Context, d time.Duration) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
		return false
	case <-t.C:
		return true
	}
}

// size is that of the terminal that out is, if it is one.
func size(out io.Writer) (width, height int, terminal bool) {
	f, ok := out.(*os.File)
	if !ok {
		return 0, 0, false
	}
	width, height, terminal = terminalSize(f)
	if terminal && (width < 20 || height < 5) { // a terminal that does not say
		width, height = 80, 24
	}
	return width, height, terminal
}
