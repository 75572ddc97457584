package admin

import (
	"crypto/sha256"
	"net"
	"net/netip"
	"slices"
	"strconv"
	"sync"
	"time"
)

// The bounds of guessing tokens.
const (
	// guessesAtOnce is how many different wrong tokens an address may send
	// before it has to wait.
	guessesAtOnce = 10
	// guessEvery is how long it takes until one more may be tried.
	guessEvery = 3 * time.Second
	// guessers bounds the addresses that are told apart; more share one count.
	guessers = 1024
	// sameGuesses is how many wrong tokens of an address are known again: a
	// program that was set up wrongly sends the same one for ever, and does
	// not guess.
	sameGuesses = 4
)

// guesses counts wrong tokens by the address that they came from. An address
// with too many is not listened to for a while, whatever it sends: were the
// right token let in, guessing would go on at full speed.
type guesses struct {
	mu    sync.Mutex
	by    map[netip.Prefix]*guesser
	tell  func(address string) // when an address has to wait from now on, or nil
	limit int                  // of addresses
	swept time.Time
}

// guesser is what one address has tried.
type guesser struct {
	count float64 // of wrong tokens that are not forgotten yet, as of at
	at    time.Time
	last  [sameGuesses][sha256.Size]byte
	next  int
	told  bool // that it has to wait; again only after a rest
}

// forget lowers the count by the time that has passed; a clock that stepped
// back forgets nothing.
func (g *guesser) forget(now time.Time) {
	if passed := now.Sub(g.at); passed > 0 {
		g.count = max(0, g.count-passed.Seconds()/guessEvery.Seconds())
	}
	g.at = now
	g.told = g.told && g.count > guessesAtOnce/2
}

// wait is how long an address is not listened to, 0 when it is.
func (g *guesses) wait(from string, now time.Time) time.Duration {
	g.mu.Lock()
	defer g.mu.Unlock()
	who := g.by[g.place(from, now)]
	if who == nil {
		return 0
	}
	who.forget(now)
	if who.count <= guessesAtOnce-1 {
		return 0
	}
	return time.Duration((who.count - (guessesAtOnce - 1)) * float64(guessEvery))
}

// wrong counts a token that is none.
func (g *guesses) wrong(from string, sum [sha256.Size]byte, now time.Time) {
	g.mu.Lock()
	defer g.mu.Unlock()
	place := g.place(from, now)
	who := g.by[place]
	if who == nil {
		who = &guesser{at: now}
		g.by[place] = who
	}
	if slices.Contains(who.last[:], sum) {
		return
	}
	who.forget(now)
	who.last[who.next], who.next = sum, (who.next+1)%sameGuesses
	who.count = min(who.count+1, guessesAtOnce)
	if g.tell != nil && !who.told && who.count > guessesAtOnce-1 {
		who.told = true
		g.tell(place.String())
	}
}

// place is whom an address counts for: itself, an IPv6 address its network, as
// whoever has one has all of it, and an address that is not known the common
// count while there are too many whose guesses are not forgotten.
func (g *guesses) place(from string, now time.Time) netip.Prefix {
	host, _, err := net.SplitHostPort(from)
	if err != nil {
		host = from
	}
	ip, err := netip.ParseAddr(host)
	if err != nil {
		return netip.Prefix{}
	}
	ip = ip.Unmap().WithZone("")
	bits := 32
	if ip.Is6() {
		bits = 64
	}
	place, _ := ip.Prefix(bits)
	if g.by[place] != nil {
		return place
	}
	if len(g.by) >= g.limit && now.Sub(g.swept).Abs() >= time.Second {
		g.sweep(now)
		g.swept = now
	}
	if len(g.by) >= g.limit {
		return netip.Prefix{}
	}
	return place
}

// sweep lets go of addresses whose guesses are forgotten.
func (g *guesses) sweep(now time.Time) {
	for place, who := range g.by {
		if who.forget(now); who.count == 0 {
			delete(g.by, place)
		}
	}
}

// waitSeconds is a time in whole seconds, at least one, as Retry-After has it.
func waitSeconds(d time.Duration) string {
	return strconv.Itoa(max(1, int((d+time.Second-1)/time.Second)))
}
