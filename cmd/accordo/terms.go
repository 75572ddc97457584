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
	Plan      string `help:"Plan; it names the seller."`
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
		Plan: c.Plan, At: c.At, KnownAt: c.KnownAt, Now: time.Now(), JSON: c.JSON,
	})
}
