package app

import (
	"net"
	"strings"
	"testing"
	"time"
)

// A clock that is set is noticed whichever way it goes, is said for an hour,
// and a clock that only runs, or is slewed, is not.
func TestClockWatch_SaysThatTheClockWasSet(t *testing.T) {
	start := time.Date(2026, 11, 1, 12, 0, 0, 0, time.UTC)
	const back, forward, behind = "set back by 1h0m0s", "set forward by 24h0m0s while requests were served, or the machine slept.", "behind the journal's last record"
	type look struct {
		elapsed time.Duration // since the start
		off     time.Duration // of the clock
		journal time.Duration // of its last record, since the start
		says    string        // "" is nothing
	}
	for name, looks := range map[string][]look{
		"a clock that runs":      {{0, 0, 0, ""}, {time.Minute, 0, time.Minute, ""}, {48 * time.Hour, 0, 48 * time.Hour, ""}},
		"a clock that is slewed": {{0, 0, 0, ""}, {time.Hour, 2 * time.Second, time.Hour, ""}, {2 * time.Hour, 4 * time.Second, 2 * time.Hour, ""}},
		"an hour back":           {{0, 0, 0, ""}, {time.Minute, -time.Hour, time.Minute, back}, {time.Minute, -time.Hour, time.Minute, behind}, {50 * time.Minute, -time.Hour, time.Minute, back}, {3 * time.Hour, -time.Hour, 2 * time.Hour, ""}},
		"a day forward":          {{0, 0, 0, ""}, {time.Minute, 24 * time.Hour, time.Minute, forward}, {2 * time.Hour, 24 * time.Hour, 26 * time.Hour, ""}},
		"forward and back":       {{0, 0, 0, ""}, {time.Minute, 24 * time.Hour, time.Minute, forward}, {2 * time.Minute, 0, 24 * time.Hour, "set back by 24h0m0s"}},
		"behind from the start":  {{0, 0, 3 * time.Hour, behind}, {time.Hour, 0, 3 * time.Hour, "clock is 2h0m0s behind"}, {4 * time.Hour, 0, 4 * time.Hour, ""}},
	} {
		t.Run(name, func(t *testing.T) {
			var c clockWatch
			for i, l := range looks {
				got := strings.Join(c.problems(start.Add(l.elapsed+l.off), l.elapsed, start.Add(l.journal)), "\n")
				if l.says == "" && got != "" || !strings.Contains(got, l.says) {
					t.Errorf("look %d: %q, want %q", i, got, l.says)
				}
			}
		})
	}
}

// Refused connections are said while they are refused and a minute after.
func TestLimitedListener_SaysThatItRefuses(t *testing.T) {
	socket, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer socket.Close()
	l := &limitedListener{Listener: socket, most: func() int64 { return 1 }, plain: true}
	go func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			defer conn.Close()
		}
	}()
	if p := l.problems(nil, time.Now()); p != nil {
		t.Errorf("before: %q", p)
	}
	for range 2 {
		conn, err := net.Dial("tcp", socket.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
	}
	for end := time.Now().Add(10 * time.Second); l.refused.Load() == 0; time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			t.Fatal("the second connection is not refused")
		}
	}
	if p := strings.Join(l.problems(nil, time.Now()), " "); !strings.Contains(p, "1 are open, and 1 are the most") || !strings.Contains(p, "LimitNOFILE") {
		t.Errorf("refused: %q", p)
	}
	if p := l.problems(nil, time.Now().Add(crowdedTime)); p != nil {
		t.Errorf("a minute later: %q", p)
	}
}
