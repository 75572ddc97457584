package e2e

import (
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

// crashConfig is a provider that takes its time and breaks in many ways.
func crashConfig(seed uint64, pools ...string) string {
	var b strings.Builder
	fmt.Fprintf(&b, "seed: %d\npools:\n", seed>>1)
	for _, p := range pools {
		key := ""
		if strings.HasPrefix(p, "north") {
			key = ", api_key: " + providerSecret
		}
		fmt.Fprintf(&b, "  - {name: %s, ttft_base: 5ms, output_tokens_per_second: 300%s}\n", p, key)
	}
	b.WriteString(crashRules)
	return b.String()
}

// crashRules break about one call in five.
const crashRules = `
rules:
  - {probability: 0.02, action: {status: 429, retry_after: "0.05"}}
  - {probability: 0.02, action: {status: 500}}
  - {probability: 0.01, action: {status: 503}}
  - {probability: 0.01, action: {status: 400, error_message: refused by the script}}
  - {probability: 0.01, action: {refuse: true}}
  - {probability: 0.02, endpoint: chat, action: {usage_missing: true}}
  - {probability: 0.02, endpoint: chat, action: {usage: {total: 1}}}
  - {probability: 0.02, endpoint: chat, action: {cut_at_byte: 0}}
  - {probability: 0.03, endpoint: chat, action: {cut_at_byte: 700}}
  - {probability: 0.02, endpoint: chat, action: {reset_at_byte: 1500}}
  - {probability: 0.02, endpoint: chat, stream: true, action: {error_after_chunk: 4}}
  - {probability: 0.02, endpoint: chat, stream: true, action: {omit_done: true}}
  - {probability: 0.02, endpoint: chat, stream: false, action: {content_length_delta: 5}}
  - {probability: 0.20, endpoint: chat, stream: true, action: {chunk_delay: 25ms, output_tokens: 6}}
  - {probability: 0.03, endpoint: chat, action: {cache_read_tokens: 3, cache_write_tokens: 2, reasoning_tokens: 4, service_tier: priority}}
`

// crashes is how often the program is killed: ACCORDO_CRASHES, or n.
func crashes(t *testing.T, n int) int {
	t.Helper()
	if text := os.Getenv("ACCORDO_CRASHES"); text != "" {
		v, err := strconv.Atoi(text)
		if err != nil || v < 1 {
			t.Fatalf("ACCORDO_CRASHES=%q: write how often the program is to be killed", text)
		}
		return v
	}
	return n
}

// seedOf is the seed of a test: ACCORDO_SEED, or a new one.
func seedOf(t *testing.T) uint64 {
	t.Helper()
	seed := rand.Uint64()
	if text := os.Getenv("ACCORDO_SEED"); text != "" {
		v, err := strconv.ParseUint(text, 10, 64)
		if err != nil {
			t.Fatalf("ACCORDO_SEED=%q is not a number", text)
		}
		seed = v
	}
	t.Logf("ACCORDO_SEED=%d", seed)
	return seed
}

// A program that is killed at any instant under load, over and over on one
// data directory, has every answer that a client saw complete in its books,
// once, as the providers bill it, and nothing else.
func TestCrash_BooksAgreeWithInvoiceAndClients(t *testing.T) {
	rows := []struct {
		name  string
		kills int
		flags []string
		// provider says that a provider is killed together with the program.
		provider bool
	}{
		{"providers keep running", 20, nil, false},
		{"a provider dies too", 5, nil, true},
		{"durability disk", 5, []string{"--durability=disk"}, false},
	}
	for _, row := range rows {
		t.Run(row.name, func(t *testing.T) {
			seed := seedOf(t)
			north := startProvider(t, crashConfig(seed, "north-floor-a", "north-list-a"))
			south := startProvider(t, crashConfig(seed+1, "south-reserved-a", "south-list-a"))
			d := deploy(t, setup{north: north, south: south, flags: row.flags})
			c := &crasher{t: t, d: d, rng: rand.New(rand.NewPCG(seed, 0)), load: mixed(16, seed), addresses: addressesOf(north, south)}
			if row.provider {
				c.victims = []*provider{north, south}
			}
			kills := crashes(t, row.kills)
			c.run(kills)
			results := c.load.stop()
			d.stop(t)
			north.stop(t)
			south.stop(t)
			sum := audit(t, d, slices.Concat(north.lines(), south.lines()), results)
			t.Logf("%d kills, and %d while it started; %d reloads: %s", kills, c.early, c.terms, sum)
			if sum.abandoned == 0 || sum.served == 0 || sum.unserved == 0 || sum.complete == 0 || sum.invoice["cut"] == 0 || sum.invoice["cancelled"] == 0 {
				t.Error("the load did not reach what is to be tested")
			}
		})
	}
}

// crasher kills a deployment under load.
type crasher struct {
	t       *testing.T
	d       *deployment
	rng     *rand.Rand
	load    *load
	victims []*provider
	early   int

	addresses *strings.Replacer
	versions  []string // of the terms; nil is priceVersions
	terms     int      // reloads asked for
}

func (c *crasher) run(kills int) {
	c.load.start(c.t)
	for n := range kills {
		c.load.resume(c.d.api)
		c.atSomeInstant(10*time.Millisecond, 500*time.Millisecond)
		if c.rng.IntN(3) == 0 {
			c.changeTerms()
		}
		c.atSomeInstant(time.Millisecond, 200*time.Millisecond)
		var victim *provider
		if len(c.victims) > 0 {
			victim = c.victims[n%len(c.victims)]
			_ = victim.cmd.Process.Kill() // at once with the program, which waits for nobody
		}
		c.d.kill()
		c.load.pause()
		if victim != nil {
			victim.kill()
			victim.start()
		}
		if n+1 < kills && c.rng.IntN(3) == 0 {
			c.killStarting()
		}
		c.d.start()
	}
	c.load.resume(c.d.api)
	before := c.load.count(func(s *seen) bool { return s.complete })
	eventually(c.t, requestTime, "clients are not served after the last kill", func() bool {
		return c.load.count(func(s *seen) bool { return s.complete }) >= before+50
	})
}

// atSomeInstant lets a random time pass: the kill is to come at no instant
// that the program chose.
func (c *crasher) atSomeInstant(least, most time.Duration) {
	<-time.After(least + time.Duration(c.rng.Int64N(int64(most-least))))
}

// changeTerms asks for a reload and does not wait for it.
func (c *crasher) changeTerms() {
	c.terms++
	versions := c.versions
	if versions == nil {
		versions = priceVersions
	}
	text := c.addresses.Replace("include: [base.yaml]\n" + versions[c.terms%len(versions)])
	// The file is replaced as a whole: a start may read it at any instant.
	next := c.d.file + ".next"
	if err := os.WriteFile(next, []byte(text), 0o600); err != nil {
		c.t.Fatal(err)
	}
	if err := os.Rename(next, c.d.file); err != nil {
		c.t.Fatal(err)
	}
	if err := c.d.cmd.Process.Signal(syscall.SIGHUP); err != nil {
		c.t.Fatal(err)
	}
}

// killStarting starts the program and kills it while it recovers.
func (c *crasher) killStarting() {
	cmd := exec.Command(binary, "up", c.d.file, "--data", c.d.data, "--listen", "127.0.0.1:0", "--admin-listen", "127.0.0.1:0")
	cmd.Env = append(cleanEnv(), c.d.env...)
	cmd.SysProcAttr = childAttributes()
	if err := cmd.Start(); err != nil {
		c.t.Fatal(err)
	}
	c.atSomeInstant(time.Millisecond, 120*time.Millisecond)
	_ = cmd.Process.Kill()
	_ = cmd.Wait() // killed: the error is expected
	c.early++
}
