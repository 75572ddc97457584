package gateway

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"time"

	"github.com/accordo-ai/accordo/internal/alliance"
	"github.com/accordo-ai/accordo/internal/record"
	"github.com/accordo-ai/accordo/internal/request"
	"github.com/accordo-ai/accordo/internal/route"
)

// errHedged is the cause of an attempt that another one overtook.
var errHedged = errors.New("another pool answered first")

// answered is what came of sending an attempt.
type answered struct {
	a    *attempt
	resp *http.Response
	err  error
}

// sendTo sends the attempt and says what came of it. A panic here would not
// be net/http's to catch.
func (a *attempt) sendTo(out chan<- answered) {
	v := answered{a: a, err: errors.New("the call did not return")}
	defer func() {
		if p := recover(); p != nil {
			v.err = fmt.Errorf("the call panicked: %v", p)
		}
		out <- v
	}()
	if v.resp, v.err = a.send(); v.err == nil && a.c.req.Stream && v.resp.StatusCode == http.StatusOK {
		v.err = begun(v.resp)
	}
}

// begun waits for the first bytes of a stream: some providers send the header
// at once, long before they have anything to say.
func begun(resp *http.Response) error {
	first := make([]byte, slowBytes)
	n, err := resp.Body.Read(first)
	if n == 0 && err != nil && !errors.Is(err, io.EOF) {
		resp.Body.Close()
		return err
	}
	resp.Body = struct {
		io.Reader
		io.Closer
	}{io.MultiReader(bytes.NewReader(first[:n]), resp.Body), resp.Body}
	return nil
}

// hedged sends the attempt and, when no answer has begun after the plan's
// delay, the same request to a second pool, if one may serve it within the
// plan's cap. The first answer that begins goes to the client. The other is
// cancelled: its provider may bill it, so it stands as suspense.
func (a *attempt) hedged(h *alliance.Hedge) verdict {
	answers := make(chan answered, 2)
	go a.sendTo(answers)
	timer := time.NewTimer(time.Duration(h.AfterMS) * time.Millisecond)
	defer timer.Stop()
	select {
	case first := <-answers:
		return a.take(first.resp, first.err)
	case <-timer.C:
	}
	b := a.c.second(h)
	if b == nil {
		first := <-answers
		return a.take(first.resp, first.err)
	}
	defer b.finally()
	defer b.watch.stop()
	a.c.racing = true
	go b.sendTo(answers)
	first := <-answers
	other := a
	if first.a == a {
		other = b
	}
	if first.err == nil && first.resp.StatusCode == http.StatusOK {
		other.overtaken(<-cancelled(other, answers))
		a.c.racing = false
		a.c.row.choose(first.a)
		return first.a.take(first.resp, nil)
	}
	v := first.a.take(first.resp, first.err)
	if v.err == nil || a.c.wrote || !v.retry {
		other.overtaken(<-cancelled(other, answers))
		return v
	}
	rest := <-answers
	a.c.racing = false
	a.c.row.choose(rest.a)
	return rest.a.take(rest.resp, rest.err)
}

// cancelled ends the attempt's call, which then returns at once.
func cancelled(a *attempt, answers chan answered) chan answered {
	a.watch.end(context.Canceled, errHedged)
	return answers
}

// overtaken ends an attempt whose answer nobody waits for.
func (a *attempt) overtaken(v answered) {
	if v.err != nil {
		a.noAnswer(v.err)
		return
	}
	v.resp.Body.Close()
	a.broken(request.ReasonHedged)
}

// second is an attempt at another pool whose marginal cost is within the
// hedge's cap, ready to be sent, or nil.
func (c *call) second(h *alliance.Hedge) (b *attempt) {
	g := c.g
	if c.Attempts >= g.limits.Attempts || !g.retries.take() {
		return nil
	}
	defer func() {
		if b == nil {
			g.retries.giveBack()
		}
	}()
	c.Considered = nil // the first decision is still read
	now := g.now()
	d, e := g.decide(now, c)
	if e != nil || d.Pool == nil {
		return nil
	}
	for i := range d.Considered {
		if x := &d.Considered[i]; x.Verdict == record.Chosen && x.Cost/1000 > int64(h.MaxCost) {
			g.observe(now, route.Outcome{Reservation: d.Reservation, Pool: d.Pool.ID, Failure: route.FailureCancelled})
			return nil
		}
	}
	c.Began(&d)
	b = &attempt{c: c, st: c.st, d: &d, started: now, hedge: true}
	if _, ready := b.prepare(); !ready {
		return nil
	}
	g.metrics.hedges.Inc()
	return b
}
