package app

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"math"
	"math/rand/v2"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/accordo-ai/accordo/internal/admin"
)

// A played day: simulated demand sent through the real gateway, a simulated
// hour in a few seconds.
const (
	playHour     = 2500 * time.Millisecond
	playPeak     = 24.0 // requests per second at the busiest hour
	playTrough   = 0.15 // of the peak, at the quietest
	playParallel = 96   // requests under way; more are left out and counted as failed
	playSeed     = 1
	playSays     = "Simulated load: one day of invented requests in one minute, sent through the real gateway, journalled and booked like any other."
)

// player plays days.
type player struct {
	handler http.Handler
	keys    func() []consoleKey

	mu      sync.Mutex
	cancel  context.CancelFunc
	stopped bool // for good
	wait    sync.WaitGroup
	started time.Time
	hour    atomic.Int64
	sent    atomic.Int64
	done    atomic.Int64
	failed  atomic.Int64
	running atomic.Bool
}

// Play starts a day and returns false when one is being played or there is
// nothing to play it with.
func (p *player) Play() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.stopped || len(p.keys()) == 0 || !p.running.CompareAndSwap(false, true) {
		return false
	}
	ctx, cancel := context.WithCancel(context.Background())
	p.cancel, p.started = cancel, time.Now()
	for _, n := range []*atomic.Int64{&p.hour, &p.sent, &p.done, &p.failed} {
		n.Store(0)
	}
	p.wait.Add(1)
	go func() {
		defer p.wait.Done()
		defer p.running.Store(false)
		p.day(ctx)
	}()
	return true
}

// Stop ends the day that is being played and waits for its requests. No other
// begins after it.
func (p *player) Stop() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.stopped = true
	if p.cancel != nil {
		p.cancel()
	}
	p.wait.Wait()
}

// State says how far the day is.
func (p *player) State() admin.Play {
	p.mu.Lock()
	started := p.started
	p.mu.Unlock()
	return admin.Play{Running: p.running.Load(), Hour: int(p.hour.Load()), Sent: p.sent.Load(), Done: p.done.Load(), Failed: p.failed.Load(), Started: started, Describe: playSays}
}

// day sends requests at the rate of a diurnal curve until 24 hours are over.
func (p *player) day(ctx context.Context) {
	random := rand.New(rand.NewPCG(playSeed, playSeed))
	slots := make(chan struct{}, playParallel)
	var requests sync.WaitGroup
	defer requests.Wait()
	start := time.Now()
	for ctx.Err() == nil {
		elapsed := time.Since(start)
		hour := float64(elapsed) / float64(playHour)
		if hour >= 24 {
			p.hour.Store(24)
			return
		}
		p.hour.Store(int64(hour))
		rate := playPeak * (playTrough + (1-playTrough)*(0.5-0.5*math.Cos(2*math.Pi*(hour-3)/24)))
		select {
		case <-time.After(time.Duration(random.ExpFloat64() / rate * float64(time.Second))):
		case <-ctx.Done():
			return
		}
		keys := p.keys()
		if len(keys) == 0 { // a reload has left none
			return
		}
		key := keys[random.IntN(len(keys))]
		request := playRequest(ctx, key, random)
		if request == nil {
			continue
		}
		p.sent.Add(1)
		select {
		case slots <- struct{}{}:
		default:
			p.failed.Add(1)
			continue
		}
		requests.Add(1)
		go func() {
			defer requests.Done()
			defer func() { <-slots }()
			w := &discardWriter{}
			p.handler.ServeHTTP(w, request)
			if w.status >= 400 {
				p.failed.Add(1)
			} else {
				p.done.Add(1)
			}
		}()
	}
}

// playRequest invents one request of a key, or nil when the key has no model
// to chat with.
func playRequest(ctx context.Context, key consoleKey, random *rand.Rand) *http.Request {
	if len(key.Models) == 0 {
		return nil
	}
	const minInput, moreInput, minOutput, moreOutput = 40, 800, 16, 120 // words of input, tokens of output
	body, err := json.Marshal(map[string]any{
		"model": key.Models[random.IntN(len(key.Models))], "stream": random.IntN(2) == 0,
		"max_tokens": minOutput + random.IntN(moreOutput),
		"messages":   []map[string]string{{"role": "user", "content": strings.Repeat("load ", minInput+random.IntN(moreInput))}},
	})
	if err != nil {
		return nil
	}
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, "/v1/chat/completions", bytes.NewReader(body))
	if err != nil {
		return nil
	}
	r.Header.Set("Authorization", "Bearer "+key.secret)
	r.Header.Set("Content-Type", "application/json")
	if key.Trusted {
		r.Header.Set("X-Accordo-End-User", fmt.Sprintf("simulated-%d", random.IntN(200)))
	}
	return r
}

// discardWriter takes an answer that nobody reads.
type discardWriter struct {
	header http.Header
	status int
}

func (w *discardWriter) Header() http.Header {
	if w.header == nil {
		w.header = http.Header{}
	}
	return w.header
}

func (w *discardWriter) WriteHeader(status int) {
	if w.status == 0 {
		w.status = status
	}
}

func (w *discardWriter) Write(b []byte) (int, error) {
	w.WriteHeader(http.StatusOK)
	return len(b), nil
}

// Flush and the deadlines do nothing: there is no connection.
func (w *discardWriter) Flush()                           {}
func (w *discardWriter) SetReadDeadline(time.Time) error  { return nil }
func (w *discardWriter) SetWriteDeadline(time.Time) error { return nil }
func (w *discardWriter) EnableFullDuplex() error          { return nil }
