package e2e

import (
	"math/rand/v2"
	"net/http"
	"os"
	"slices"
	"strings"
	"testing"
	"time"
)

// soakRules are the faults of crashRules, and stalls: some that end in time
// and some that do not.
const soakRules = crashRules + `
  - {probability: 0.01, endpoint: chat, stream: true, action: {stall_first_byte: 2s}}
  - {probability: 0.02, endpoint: chat, action: {stall_first_byte: 150ms}}
  - {probability: 0.01, endpoint: chat, stream: true, action: {stall_after_chunk: 2, stall_for: 3s}}
  - {probability: 0.02, endpoint: chat, stream: true, action: {stall_after_chunk: 2, stall_for: 150ms}}
`

// impatient are pools of South that wait for half a second at most, and
// soakVersions the terms between which reloads switch.
const impatient = `
  south-reserved-a: {endpoint: {url: "http://SOUTH/pools/south-reserved-a/v1", dialect: openai, first_token_ms: 500, between_tokens_ms: 500}}
  south-list-a: {endpoint: {url: "http://SOUTH/pools/south-list-a/v1", dialect: openai, first_token_ms: 500, between_tokens_ms: 500}}
`

var soakVersions = []string{
	"set:" + impatient,
	"set:" + impatient + `  open: {price: {id: open-price-2, input: 6, cache_read: 0.60, cache_write: 6, output: 24, reasoning: 24}}
`,
}

// sample is what the program needs at an instant.
type sample struct {
	at               time.Duration // since the soak began
	goroutines, heap float64
	rss              float64 // bytes, as heap
}

// soakLength is how long the soak lasts: ACCORDO_SOAK, or ten seconds, which
// show that it works.
func soakLength(t *testing.T) time.Duration {
	t.Helper()
	text := os.Getenv("ACCORDO_SOAK")
	if text == "" {
		return 10 * time.Second
	}
	length, err := time.ParseDuration(text)
	if err != nil || length < 5*time.Second || length > 24*time.Hour {
		t.Fatalf("ACCORDO_SOAK=%q: write a duration from 5s to 24h, as 30m", text)
	}
	return length
}

// A program that serves through faults of its providers, clients that leave,
// reloads and a kill in the middle needs no more memory and no more
// goroutines as time passes, leaves no intent open, and its books agree with
// the providers' invoices. `make soak` runs it for half an hour.
func TestSoak(t *testing.T) {
	length, seed := soakLength(t), seedOf(t)
	config := func(seed uint64, pools ...string) string {
		return strings.Replace(crashConfig(seed, pools...), crashRules, soakRules, 1)
	}
	north := startProvider(t, config(seed, "north-floor-a", "north-list-a"))
	south := startProvider(t, config(seed+1, "south-reserved-a", "south-list-a"))
	d := deploy(t, setup{north: north, south: south, more: soakVersions[0]})
	s := &soak{crasher: crasher{t: t, d: d, rng: rand.New(rand.NewPCG(seed, 0)), load: mixed(16, seed), addresses: addressesOf(north, south), versions: soakVersions}, length: length}
	s.load.rest = 20 * time.Millisecond
	if length > time.Minute { // what clients saw is kept until the end
		s.load.rest = 200 * time.Millisecond
	}
	idle := d.sample()
	s.load.start(t)
	s.load.resume(d.api)
	s.begun = time.Now()
	lives := [][]sample{s.run(length / 2)}
	d.kill()
	s.load.pause()
	d.start()
	s.load.resume(d.api)
	lives = append(lives, s.run(length))
	results := s.load.stop()
	s.load.client.CloseIdleConnections()
	eventually(t, time.Minute, "goroutines outlive their requests", func() bool { return d.sample().goroutines <= idle.goroutines+goroutineRoom })
	if r, status := d.readyz(); status != http.StatusOK || r.says("journal refused") {
		t.Errorf("at the end: %d %+v", status, r)
	}
	d.stop(t)
	north.stop(t)
	south.stop(t)
	codes := map[string]int{}
	for i := range results {
		codes[results[i].code]++
	}
	sum := audit(t, d, slices.Concat(north.lines(), south.lines()), results)
	t.Logf("%s, %d reloads, one kill: %s; answers by error code %v", length, s.terms, sum, codes)
	if sum.abandoned == 0 || sum.served == 0 || sum.unserved == 0 || sum.complete == 0 {
		t.Error("the load did not reach what is to be tested")
	}
	stayed, complete := 0, 0
	for i := range results {
		if results[i].kind != kindLeaving {
			stayed++
			if results[i].complete {
				complete++
			}
		}
	}
	share := float64(complete) / float64(max(1, stayed))
	t.Logf("%.1f %% of the %d requests whose client stayed were answered in full", 100*share, stayed)
	if share < servedShare {
		t.Errorf("%.1f %% of the requests were answered: providers that break one call in five leave more", 100*share)
	}
	for i, life := range lives {
		flat(t, i+1, life)
	}
}

// servedShare is what must be answered in full: of five calls one breaks, and
// most of those are made again elsewhere.
const servedShare = 0.8

// soak is a crasher that takes its time.
type soak struct {
	crasher
	begun    time.Time
	length   time.Duration
	reloaded time.Duration
}

// run samples the program until so much of the soak has passed, and reloads
// its terms ten times in all.
func (s *soak) run(until time.Duration) (list []sample) {
	s.t.Helper()
	tick := time.NewTicker(min(s.length/100, 5*time.Second))
	defer tick.Stop()
	for range tick.C {
		v := s.d.sample()
		v.at = time.Since(s.begun)
		list = append(list, v)
		if v.at-s.reloaded >= s.length/10 {
			s.reloaded = v.at
			s.changeTerms()
			s.t.Logf("%6s of %s: %d requests, %.0f goroutines, heap %.1f MB, resident %.1f MB", v.at.Truncate(time.Second), s.length, s.load.count(func(*seen) bool { return true }), v.goroutines, v.heap/1e6, v.rss/1e6)
		}
		if v.at >= until {
			return list
		}
	}
	return list
}

// sample reads the program's own metrics and, on Linux, its resident memory.
func (d *deployment) sample() (v sample) {
	d.t.Helper()
	v.goroutines, v.heap = d.metric("go_goroutines"), d.metric("go_memstats_heap_inuse_bytes")
	if v.goroutines == 0 || v.heap == 0 {
		d.t.Fatal("the metrics state no goroutines or no memory")
	}
	v.rss = float64(d.rss())
	return v
}

// What a program may need more at the end of its life than after the first
// third of it: goroutines vary with the requests that happen to be under way,
// memory with the collector.
const (
	goroutineRoom = 32
	memoryRoom    = 16 << 20
	shareRoom     = 0.10 // of the mean, besides
)

// flat fails when a straight line through the samples after the first third
// rises by more than there is room for.
func flat(t *testing.T, life int, samples []sample) {
	t.Helper()
	late := samples[len(samples)/3:]
	for _, f := range []struct {
		name string
		of   func(sample) float64
		room float64
	}{
		{"goroutines", func(s sample) float64 { return s.goroutines }, goroutineRoom},
		{"bytes of heap", func(s sample) float64 { return s.heap }, memoryRoom},
		{"bytes resident", func(s sample) float64 { return s.rss }, memoryRoom},
	} {
		mean, rise := trend(late, f.of)
		t.Logf("life %d: %s: mean %.4g, rise %.3g over %s", life, f.name, mean, rise, (late[len(late)-1].at - late[0].at).Truncate(time.Second))
		if rise > f.room+shareRoom*mean {
			t.Errorf("life %d: %s rise by %.4g from a mean of %.4g", life, f.name, rise, mean)
		}
	}
}

// trend is the mean, and by how much the line of least squares rises from the
// first to the last sample.
func trend(samples []sample, of func(sample) float64) (mean, rise float64) {
	var at, value float64
	for _, s := range samples {
		at += s.at.Seconds()
		value += of(s)
	}
	n := float64(len(samples))
	at, mean = at/n, value/n
	var both, square float64
	for _, s := range samples {
		dx := s.at.Seconds() - at
		both += dx * (of(s) - mean)
		square += dx * dx
	}
	if square == 0 {
		return mean, 0
	}
	return mean, both / square * (samples[len(samples)-1].at - samples[0].at).Seconds()
}

// The line through samples finds a rise behind noise.
func TestSoak_TrendFindsALeak(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 2))
	for _, row := range []struct {
		name        string
		each        float64 // leaked from one sample to the next
		least, most float64
	}{{"flat", 0, -2e6, 2e6}, {"a leak", 1e6, 97e6, 101e6}, {"a fall", -1e6, -101e6, -97e6}} {
		t.Run(row.name, func(t *testing.T) {
			var list []sample
			for i := range 100 {
				list = append(list, sample{at: time.Duration(i) * time.Second, rss: 50e6 + float64(i)*row.each + 4e6*(rng.Float64()-0.5)})
			}
			if _, rise := trend(list, func(s sample) float64 { return s.rss }); rise < row.least || rise > row.most {
				t.Errorf("a rise of %.3g", rise)
			}
		})
	}
}
