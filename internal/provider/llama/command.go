package llama

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"os"
	"os/signal"
	"syscall"
)

// ServeCommand is the child process: it loads a model and serves it on a Unix
// socket. The tags are those of the command line parser.
type ServeCommand struct {
	Socket  string   `required:"" placeholder:"PATH" help:"Unix socket to listen on."`
	Lib     string   `required:"" placeholder:"DIR" help:"Folder with the llama.cpp shared libraries."`
	Weights string   `required:"" placeholder:"FILE" help:"GGUF file with the model's weights."`
	Name    []string `placeholder:"NAME" help:"Model name to answer to; may be repeated. Default: the file's name."`
	Threads int      `default:"1" help:"Threads per decode."`
	Slots   int      `default:"1" help:"Requests decoded at once."`
	Context int      `default:"4096" help:"Context length in tokens."`
	Queue   int      `default:"16" help:"Requests that may wait for a slot."`
	Reuse   bool     `help:"Keep the decoded input of the last request for one with the same beginning."`
}

// Run serves until ctx ends or the process is told to stop. Its log goes to
// standard error as JSON lines.
func (c *ServeCommand) Run(ctx context.Context) error {
	return c.serve(ctx, os.Stderr)
}

func (c *ServeCommand) serve(ctx context.Context, logTo io.Writer) error {
	ctx, stop := signal.NotifyContext(ctx, os.Interrupt, syscall.SIGTERM)
	defer stop()
	log := slog.New(slog.NewJSONHandler(logTo, nil))
	lib, err := OpenLibrary(c.Lib)
	if err != nil {
		return err
	}
	m, err := lib.LoadModel(ModelOptions{Weights: c.Weights, ContextTokens: c.Context, Threads: c.Threads, Slots: c.Slots, ReusePrefix: c.Reuse})
	if err != nil {
		return err
	}
	defer m.Close()
	names := c.Name
	if len(names) == 0 {
		names = []string{ModelName(c.Weights)}
	}
	if err := os.Remove(c.Socket); err != nil && !errors.Is(err, os.ErrNotExist) {
		return fmt.Errorf("remove an old socket: %w", err)
	}
	l, err := net.Listen("unix", c.Socket)
	if err != nil {
		return fmt.Errorf("listen on %s: %w", c.Socket, err)
	}
	log.Info("model ready", "engine", lib.Release(), "models", names, "context_tokens", m.ContextTokens(), "threads", c.Threads, "slots", c.Slots)
	if !m.HasChatTemplate() {
		log.Warn("model has no chat template that the engine knows; messages are written as plain lines")
	}
	return Serve(ctx, l, Options{Model: m, Names: names, QueueRequests: c.Queue, Log: log})
}
