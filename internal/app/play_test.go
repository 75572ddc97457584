package app

import (
	"net/http"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

func TestPlay_OutlivesAReloadThatLeavesNoKey(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var gone atomic.Bool
		p := &player{
			handler: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusOK) }),
			keys: func() []consoleKey {
				if gone.Load() {
					return nil
				}
				return []consoleKey{{ID: "k", Models: []string{"m"}, secret: "s"}}
			},
		}
		if !p.Play() {
			t.Fatal("a day cannot be played")
		}
		time.Sleep(playHour)
		gone.Store(true)
		time.Sleep(playHour)
		if st := p.State(); st.Running || st.Sent == 0 {
			t.Errorf("without keys: %+v", st)
		}
	})
}

func TestPlay_NothingStartsAfterStop(t *testing.T) {
	p := &player{handler: http.NotFoundHandler(), keys: func() []consoleKey { return []consoleKey{{ID: "k"}} }}
	p.Stop()
	if p.Play() {
		t.Error("a day begins while the program stops")
		p.Stop()
	}
}
