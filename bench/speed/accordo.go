//go:build linux

package main

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/signal"
	"path/filepath"
	"runtime/pprof"
	"strings"
	"syscall"

	"github.com/accordo-ai/accordo/internal/app"
)

// benchKey is the API key of the load.
const benchKey = "sk-bench"

// allianceFile is what accordo serves while it is measured: a reservation, a
// floor and list prices compete for every request, whose use is journalled,
// rated and booked.
func allianceFile(upstream string) string {
	var b strings.Builder
	b.WriteString(`version: 1
title: The alliance of the bench
operator: lab
currency: USD
parties:
  - {id: lab, name: The Lab, kinds: [lab]}
  - {id: north, name: North, kinds: [cloud]}
  - {id: south, name: South, kinds: [cloud]}
claims:
  - {id: paper, says: The contracts of the bench., mood: signed, status: effective, known: 2026-01-01, source: {kind: own_records, grade: A}}
contracts:
  - {id: floor, title: Spend at North, provider: north, shape: spend_floor, from: 2026-01-01, until: 2036-01-01, headline: 1000000000, floors: [{from: 2026-01-01, until: 2036-01-01, amount: 1000000000}], claim: [paper]}
  - {id: reserved, title: Throughput at South, provider: south, shape: throughput_reservation, from: 2026-01-01, until: 2036-01-01, headline: 10000,
     fees: [{from: 2026-01-01, until: 2036-01-01, amount: 10000}], ramp: [{from: 2026-01-01, tokens_per_minute: 66000000}], claim: [paper]}
  - {id: list-north, title: North at list prices, provider: north, shape: pay_per_use, from: 2026-01-01, claim: [paper]}
  - {id: list-south, title: South at list prices, provider: south, shape: pay_per_use, from: 2026-01-01, claim: [paper]}
channels: [{id: api, name: API, party: lab}]
`)
	var served, weighted, ids []string
	b.WriteString("models:\n")
	for _, m := range benchModels {
		fmt.Fprintf(&b, "  - {id: %s, name: %s, owner: lab, version: \"1\", weights: closed, kind: chat}\n", m, m)
		served = append(served, "{model: "+m+"}")
		weighted = append(weighted, "{model: "+m+", input_weight_ppm: 1000000, output_weight_ppm: 4000000}")
		ids = append(ids, m)
	}
	b.WriteString("pools:\n")
	pool := func(id, provider, contract, more string, models []string) {
		fmt.Fprintf(&b, "  - {id: %s, provider: %s, region: here, residency: US, contract: %s, %s, max_in_flight: 20000, claim: [paper], models: [%s], endpoint: {url: \"%s/v1\", dialect: openai}}\n",
			id, provider, contract, more, strings.Join(models, ", "), upstream)
	}
	pool("north-floor", "north", "floor", "billed_by: token", served)
	pool("south-reserved", "south", "reserved", "billed_by: fixed, tokens_per_minute: 60000000", weighted)
	pool("north-list", "north", "list-north", "billed_by: token", served)
	pool("south-list", "south", "list-south", "billed_by: token", served)
	b.WriteString("prices:\n")
	for _, m := range benchModels {
		fmt.Fprintf(&b, "  - {id: north-%[1]s, pools: [north-floor, north-list], model: %[1]s, from: 2026-01-01, list: {input: 2, output: 8}, claim: [paper]}\n", m)
		fmt.Fprintf(&b, "  - {id: south-%[1]s, pools: [south-list], model: %[1]s, from: 2026-01-01, list: {input: 3, output: 12}, claim: [paper]}\n", m)
	}
	sum := sha256.Sum256([]byte(benchKey))
	fmt.Fprintf(&b, `rights: [{id: all, title: The Lab sells its models, object: stateless_api, models: [%[1]s], channel: api, from: 2026-01-01, mode: non_exclusive, known: 2026-01-01, claim: [paper]}]
plans: [{id: open, name: Open, seller: lab, subject: key, models: [%[1]s], default_output_tokens: 256, assumption: true, limits: {tokens_per_day: 900000000000}, price: {id: sale, input: 5, output: 20}}]
tenants: [{id: acme, name: Acme, keys: [{id: acme-key, sha256: %[2]s, plan: open, channel: api, territory: US}]}]
`, strings.Join(ids, ", "), hex.EncodeToString(sum[:]))
	return b.String()
}

func writeAlliance(dir, upstream string) (string, error) {
	file := filepath.Join(dir, "alliance.yaml")
	return file, os.WriteFile(file, []byte(allianceFile(upstream)), 0o600)
}

// accordoArgs are the defaults as shipped, on ports of the bench.
func accordoArgs(address, dir string, more ...string) []string {
	return append([]string{"up", filepath.Join(dir, "alliance.yaml"), "--data", filepath.Join(dir, "data"), "--listen", address, "--admin-listen", "127.0.0.1:0"}, more...)
}

func startAccordo(b *bench, address, upstream, dir string) (*process, error) {
	return b.startAccordo(address, upstream, dir)
}

func (b *bench) startAccordo(address, upstream, dir string, more ...string) (*process, error) {
	if _, err := writeAlliance(dir, upstream); err != nil {
		return nil, err
	}
	return spawn([]string{"SSL_CERT_FILE=" + b.roots}, b.accordo, accordoArgs(address, dir, more...)...)
}

// runProfiled is the role "accordo": the whole program in this process, with
// its CPU profile written at the end.
func runProfiled(args []string) (err error) {
	if len(args) != 3 {
		return errors.New("want ADDRESS DIRECTORY PROFILE")
	}
	f, err := os.Create(args[2])
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM)
	defer stop()
	if err := pprof.StartCPUProfile(f); err != nil {
		return err
	}
	defer pprof.StopCPUProfile()
	return app.Up(ctx, app.UpOptions{
		File: filepath.Join(args[1], "alliance.yaml"), Data: filepath.Join(args[1], "data"), Listen: args[0], AdminListen: "127.0.0.1:0",
		Durability: "crash", Out: io.Discard, Progress: io.Discard, ModelLog: io.Discard, Log: slog.New(slog.NewJSONHandler(os.Stderr, nil)),
	})
}
