package main

import (
	"time"

	"github.com/accordo-ai/accordo/internal/app"
)

type logCommand struct {
	Data    string `help:"Data directory." default:"data" type:"path"`
	Tenant  string `help:"Only requests of this tenant."`
	Request string `help:"Only the request with this id."`
	Since   string `help:"Only requests since then: 2026-05-31, 2026-05-31T08:00:00Z, 90m or 7d before now."`
	JSON    bool   `name:"json" help:"One JSON object a line, as docs/format/requests.md has them."`
}

// Run shows what is kept of requests.
func (c logCommand) Run(s streams) error {
	return app.RequestLog(s.out, app.LogOptions{Data: c.Data, Tenant: c.Tenant, Request: c.Request, Since: c.Since, JSON: c.JSON, Now: time.Now()})
}
