package main

import (
	"time"

	"github.com/accordo-ai/accordo/internal/app"
)

type checkCommand struct {
	File string `arg:"" help:"Alliance file." type:"path"`
	JSON bool   `name:"json" help:"Report as JSON."`
}

// Run checks the file; a fault exits with 1.
func (c checkCommand) Run(s streams) error {
	return app.Check(s.out, c.File, c.JSON)
}

type explainCommand struct {
	Request   string `arg:"" optional:"" help:"x-request-id of a request in the data directory."`
	Data      string `help:"Data directory." default:"data" type:"path"`
	File      string `short:"f" help:"Alliance file to ask about rights (without: the built-in example)." type:"path"`
	Model     string `help:"Model, family or variant."`
	Object    string `help:"What is offered: stateless_api, stateful_runtime, managed_agents, first_party_product, weights or compute_purchase." enum:"stateless_api,stateful_runtime,managed_agents,first_party_product,weights,compute_purchase" default:"stateless_api"`
	Channel   string `help:"Channel."`
	Territory string `help:"Where the customer is." default:"US"`
	Plan      string `help:"Plan; it names the seller, and has to offer the model."`
	Surface   string `help:"Where the request comes from, such as web or device (default: any that would do)."`
	At        string `help:"The day or instant that is asked about (default: now)."`
	KnownAt   string `name:"known-at" help:"Judge by what was known then (default: now)."`
	JSON      bool   `name:"json" help:"Answer as JSON."`
}

// Run explains one request of the journal, or asks the rights of a file;
// refused exits with 3.
func (c explainCommand) Run(s streams) error {
	if c.Request != "" {
		return app.ExplainRequest(s.out, c.Data, c.Request, c.JSON)
	}
	return app.ExplainRights(s.out, app.RightsQuestion{
		File: c.File, Model: c.Model, Object: c.Object, Channel: c.Channel, Territory: c.Territory,
		Plan: c.Plan, Surface: c.Surface, At: c.At, KnownAt: c.KnownAt, Now: time.Now(), JSON: c.JSON,
	})
}

type sizeCommand struct {
	File              string `arg:"" help:"Alliance file." type:"path"`
	Pool              string `required:"" help:"Pool with tokens_per_minute."`
	Model             string `help:"Model, where the pool serves several."`
	RequestsPerMinute int64  `required:"" name:"requests-per-minute" help:"Requests a minute, at the peak."`
	Input             int64  `required:"" help:"Input tokens of a request, cached ones included."`
	Cached            int64  `help:"Of these, read from a cache."`
	CacheWrite        int64  `name:"cache-write" help:"Of these, written to a cache."`
	Output            int64  `help:"Output tokens of a request."`
	JSON              bool   `name:"json" help:"Answer as JSON."`
}

// Run tells what a load takes of a reservation.
func (c sizeCommand) Run(s streams) error {
	return app.SizeReservation(s.out, c.File, c.Pool, c.Model, app.Load{RequestsPerMinute: c.RequestsPerMinute, Input: c.Input, Cached: c.Cached, CacheWrite: c.CacheWrite, Output: c.Output}, c.JSON)
}
