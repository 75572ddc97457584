// Command accordo runs the gateway and reads its books. This package only
// parses the command line and maps errors to exit codes; internal/app does
// the work.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"syscall"

	"github.com/alecthomas/kong"

	"github.com/accordo-ai/accordo/internal/app"
)

// version is set by the build.
var version = "unversioned"

// cli is the command line: one field a command.
type cli struct {
	Up          upCommand          `cmd:"" help:"Serve an alliance file (without FILE: the built-in example)."`
	Check       checkCommand       `cmd:"" help:"Check an alliance file and report every fault with its place."`
	Explain     explainCommand     `cmd:"" help:"Explain why a request went where it went, or whether one would be allowed."`
	Size        sizeCommand        `cmd:"" help:"Tell what a load takes of a pool's reserved throughput, and how many units it needs."`
	Ledger      ledgerCommand      `cmd:"" help:"Read the books: balances, entries, trace, verify."`
	Contracts   contractsCommand   `cmd:"" help:"Show what each contract has burnt of its floor or capacity."`
	Invoices    invoicesCommand    `cmd:"" help:"Import providers' invoices and close what differs from the books."`
	Invoice     invoiceCommand     `cmd:"" help:"What a customer, a channel or a seller of plans is invoiced for a month."`
	Margin      marginCommand      `cmd:"" help:"Revenue and cost of a month by plan, model, channel or tenant, and per user."`
	Statement   statementCommand   `cmd:"" help:"What stands between the operator and a party in a month."`
	Close       closeCommand       `cmd:"" help:"Close a month: accrue fees, expense unused capacity, settle floors."`
	Record      recordCommand      `cmd:"" help:"Record what happened besides usage."`
	Simulate    simulateCommand    `cmd:"" help:"Play months of traffic into a data directory: journal, books, invoices, closes."`
	Export      exportCommand      `cmd:"" help:"Write the books for other tools: FOCUS as CSV or Parquet."`
	Story       storyCommand       `cmd:"" help:"Tell the story of the example: the articles and what became of each system they name."`
	Claims      claimsCommand      `cmd:"" help:"Show claims with their status, source and what they contradict."`
	Migrate     migrateCommand     `cmd:"" help:"Bring a data directory to the formats of this version; --dry-run shows the plan."`
	Top         topCommand         `cmd:"" help:"Watch a serving process in the terminal: requests, tokens, cost, latency, pools, contracts."`
	Log         logCommand         `cmd:"" help:"Show requests of tenants that asked to have them kept."`
	Doctor      doctorCommand      `cmd:"" help:"Examine file, keys, providers, disk, clock, journal, books and limits: what is wrong, and what to do."`
	Key         keyCommand         `cmd:"" help:"Make an API key for an alliance file."`
	Access      accessCommand      `cmd:"" help:"Who may come to the console and the admin API, in which role."`
	UpstreamSim upstreamSimCommand `cmd:"" name:"upstream-sim" help:"Run a scriptable provider that keeps an invoice of what it served."`
	Fetch       fetchCommand       `cmd:"" help:"Fetch the engine and weights of the local model, checked by hash."`
	ModelServe  modelServeCommand  `cmd:"" name:"model-serve" hidden:"" help:"Serve the local model on a socket (started by up)."`
	Version     versionCommand     `cmd:"" help:"Print the version."`
}

// streams are where a command writes; tests replace them.
type streams struct {
	out, err io.Writer
}

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	code := run(ctx, os.Args[1:], streams{os.Stdout, os.Stderr})
	stop()
	os.Exit(code)
}

// run executes one command line and returns the exit code: 0 fine, 1 input or
// books wrong, 2 usage, 3 refused by policy.
func run(ctx context.Context, args []string, s streams) (code int) {
	var c cli
	exit := -1
	parser, err := kong.New(&c,
		kong.Name("accordo"),
		kong.Description("Runs AI requests over the contracts and rights that you hold, and books every token."),
		kong.Writers(s.out, s.err),
		kong.Exit(func(n int) { exit = n }),
		kong.ConfigureHelp(kong.HelpOptions{Compact: true}),
		kong.BindTo(ctx, (*context.Context)(nil)),
		kong.Bind(s),
	)
	if err != nil {
		fmt.Fprintln(s.err, "accordo:", err)
		return app.ExitUsage
	}
	parsed, err := parser.Parse(args)
	if exit >= 0 { // --help printed and asked to leave
		return exit
	}
	if err != nil {
		fmt.Fprintf(s.err, "accordo: %v\nTry: %s --help\n", err, commandOf(err))
		return app.ExitUsage
	}
	err = parsed.Run()
	var coded app.ExitError
	switch {
	case err == nil:
		return app.ExitFine
	case errors.As(err, &coded):
		if coded.Err != nil {
			fmt.Fprintln(s.err, "accordo:", coded.Err)
		}
		return coded.Code
	}
	fmt.Fprintln(s.err, "accordo:", err)
	return app.ExitWrong
}

// commandOf is the command whose help tells what a line of arguments lacks.
func commandOf(err error) string {
	var parse *kong.ParseError
	if errors.As(err, &parse) && parse.Context != nil {
		if node := parse.Context.Selected(); node != nil {
			return node.FullPath()
		}
	}
	return "accordo"
}

type versionCommand struct {
	SBOM bool `name:"sbom" help:"Print what the program is made of, as CycloneDX in JSON."`
}

// Run prints the version, or the bill of materials.
func (c versionCommand) Run(s streams) error {
	if c.SBOM {
		return app.BillOfMaterials(s.out, version)
	}
	_, err := fmt.Fprintln(s.out, "accordo", version)
	return err
}
