package main

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"os"

	"github.com/accordo-ai/accordo/internal/app"
)

type upCommand struct {
	File        string `arg:"" optional:"" help:"Alliance file." type:"path"`
	Listen      string `help:"Address of the API." default:"127.0.0.1:8080"`
	AdminListen string `help:"Address of the console, its API and the metrics." default:"127.0.0.1:8081"`
	Data        string `help:"Data directory: journal, facts and books." default:"data" type:"path"`
	Durability  string `help:"When an outcome is safe: crash (of the process) or disk (loss of power)." enum:"crash,disk" default:"crash"`
	TLSCert     string `name:"tls-cert" help:"Certificate for both listeners." type:"existingfile"`
	TLSKey      string `name:"tls-key" help:"Key of the certificate." type:"existingfile"`
	ClientCA    string `name:"client-ca" help:"Certificate authorities in PEM: the API lets in only clients with a certificate of theirs." type:"existingfile"`
	AdminCA     string `name:"admin-client-ca" help:"The same for the console, its API and the metrics." type:"existingfile"`
	BehindTLS   bool   `name:"behind-tls" help:"A proxy in front speaks TLS; allow plain listeners beyond loopback."`
	NoModel     bool   `name:"no-model" help:"Do not fetch or run the local model; its pools are simulated."`
	Weights     string `help:"Another GGUF file for the local model." type:"existingfile"`
	CacheDir    string `help:"Folder for engine and weights (default: the user's cache)." type:"path"`
	RequestLog  int64  `name:"request-log-mb" help:"Megabytes that the logs of requests may take together, of tenants that asked for them; 1 to 1048576." default:"1024"`
	SimInvoice  string `name:"sim-invoice" help:"File that simulated providers append their invoice to." type:"path"`
}

// maxRequestLogMB is a terabyte.
const maxRequestLogMB = 1 << 20

// Run serves until it is told to stop.
func (c upCommand) Run(ctx context.Context, s streams) error {
	if c.RequestLog < 1 || c.RequestLog > maxRequestLogMB {
		return app.ExitError{Code: app.ExitUsage, Err: fmt.Errorf("--request-log-mb is 1 to %d; to keep no requests, leave request_log out of the tenants", maxRequestLogMB)}
	}
	return app.Up(ctx, app.UpOptions{
		File: c.File, Listen: c.Listen, AdminListen: c.AdminListen, Data: c.Data, Durability: c.Durability,
		TLSCert: c.TLSCert, TLSKey: c.TLSKey, ClientCA: c.ClientCA, AdminClientCA: c.AdminCA, BehindTLS: c.BehindTLS, NoModel: c.NoModel, Weights: c.Weights,
		CacheDir: c.CacheDir, SimInvoice: c.SimInvoice, RequestLogBytes: c.RequestLog << 20,
		DemoKey: os.Getenv("ACCORDO_DEMO_KEY"), AdminToken: os.Getenv("ACCORDO_ADMIN_TOKEN"),
		Version: version, Out: s.out, Progress: s.err, ModelLog: io.Discard, Log: logger(s.err),
	})
}

// logger writes structured lines; ACCORDO_LOG=debug says more.
func logger(w io.Writer) *slog.Logger {
	level := slog.LevelInfo
	if os.Getenv("ACCORDO_LOG") == "debug" {
		level = slog.LevelDebug
	}
	return slog.New(slog.NewJSONHandler(w, &slog.HandlerOptions{Level: level}))
}
