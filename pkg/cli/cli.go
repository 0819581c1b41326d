// Package cli is rollspan's command line: it turns flags into the options of
// packages watcher, causality and spans, and errors into exit codes.
package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"

	"github.com/spf13/cobra"

	"github.com/rollspan/rollspan/pkg/internal/terminal"
)

// Exit codes of the program.
const (
	// ExitOK says that everything was done.
	ExitOK = 0
	// ExitError says that something failed, that input was broken, or that what a
	// signal asked to end did not end in time.
	ExitError = 1
	// ExitUsage says that the command line was wrong; nothing was done. Of status that is
	// ExitError.
	ExitUsage = 2
)

// Streams are the program's standard streams.
type Streams struct {
	In  io.Reader
	Out io.Writer
	Err io.Writer
}

// app is what the commands share.
type app struct {
	// Out and Err make all that is written to them safe for a terminal: whoever
	// may create an object, or packed an archive, has a say in what is printed.
	Streams
	// progress is standard error as it is, for what moves the cursor on purpose.
	progress io.Writer
	// screen is standard output as it is, for the same; terminal what it is written to.
	screen, terminal io.Writer
	// newLog makes a log as the flags have it, that is written elsewhere.
	newLog func(io.Writer) *slog.Logger
	// atTerminal says that standard output is one: Out hides that.
	atTerminal bool
	log        *slog.Logger
	life       *life
	// jsonLog says that everything on Err is JSON, the last words too.
	jsonLog bool
	// started is set when a command was found and its flags were right, which
	// tells what it fails at from wrong usage.
	started bool
}

// Main runs the command that args (without the program's name) ask for, until
// it is through or ctx is done, and returns the exit code.
func Main(ctx context.Context, args []string, s Streams) int {
	return execute(ctx, args, s, newLife(s))
}

func execute(ctx context.Context, args []string, s Streams, life *life) int {
	a := &app{progress: s.Err, atTerminal: isTerminal(s.Out), log: slog.New(slog.DiscardHandler), life: life}
	out, errs := &checkedWriter{w: s.Out}, terminal.NewWriter(s.Err)
	safe := terminal.NewWriter(out)
	a.screen, a.terminal = out, s.Out
	a.Streams = Streams{In: s.In, Out: safe, Err: errs}
	root := a.rootCommand()
	root.SetArgs(args)
	cmd, err := root.ExecuteContextC(ctx)
	_ = safe.Flush()                    // out has the error
	defer func() { _ = errs.Flush() }() // nobody is left to tell
	if err == nil && out.err != nil {
		// Of a command that only prints; --help is one without having started.
		a.started, err = true, fmt.Errorf("standard output: %w", out.err)
	}
	code := ExitError
	if ended, ok := errors.AsType[*exitError](err); ok {
		code = ended.code
	}
	switch {
	case err == nil:
		return ExitOK
	case !a.started:
		fmt.Fprintf(a.Err, "rollspan: %s\nRun '%s --help' for usage.\n", inLines(err), cmd.CommandPath())
		return exitOfUsage(cmd)
	case a.jsonLog:
		a.log.Error("rollspan failed", "error", err)
	default:
		fmt.Fprintf(a.Err, "rollspan: %s\n", inLines(err))
	}
	return code
}

// exitError ends the program with a code of its own.
type exitError struct {
	code int
	error
}

// Unwrap returns what went wrong.
func (e *exitError) Unwrap() error { return e.error }

// ownExitCodes is the annotation of a command whose exit codes mean something else, with what its
// help says of them. Its wrong usage is ExitError: ExitUsage is one of them.
const ownExitCodes = "rollspan-exit-codes"

// exitOfUsage is the exit code for a wrong command line.
func exitOfUsage(cmd *cobra.Command) int {
	if cmd.Annotations[ownExitCodes] != "" {
		return ExitError
	}
	return ExitUsage
}

// checkedWriter remembers the first error: neither cobra's help nor fmt.Fprintf
// to standard output says that nobody got it.
type checkedWriter struct {
	w   io.Writer
	err error
}

// Write writes to the underlying writer.
func (c *checkedWriter) Write(p []byte) (int, error) {
	n, err := c.w.Write(p)
	if c.err == nil {
		c.err = err
	}
	return n, err
}

// usage returns an error about flags as one of wrong usage.
func (a *app) usage(err error) error {
	if err != nil {
		a.started = false
	}
	return err
}

func (a *app) rootCommand() *cobra.Command {
	var logging logOptions
	var config configFile
	root := &cobra.Command{
		Use:   "rollspan",
		Short: "See Kubernetes rollouts as OpenTelemetry traces",
		Long: `rollspan watches a Kubernetes cluster and sends each rollout as an OpenTelemetry
trace: what happened, in what order, what waited for what, and why it failed.`,
		Example: `  # See what it is, without a cluster
  rollspan demo

  # Watch the cluster kubectl points to, and print each rollout as a tree
  rollspan run

  # Send the rollouts of two namespaces to a collector
  rollspan run -n shop -n payments --otlp-endpoint http://localhost:4317

  # Record what happens, and look at it later
  rollspan record -n shop -o rollout.jsonl
  rollspan replay rollout.jsonl`,
		SilenceErrors: true,
		SilenceUsage:  true,
		PersistentPreRunE: func(cmd *cobra.Command, _ []string) error {
			if err := config.apply(cmd); err != nil {
				return err
			}
			if err := logging.validate(); err != nil {
				return err
			}
			a.started = true
			a.newLog = logging.logger
			a.log, a.jsonLog = logging.logger(a.Err), logging.format == "json"
			routeLogs(a.log)
			a.life.logTo(a.log)
			return nil
		},
	}
	root.SetIn(a.In)
	root.SetOut(a.Out)
	root.SetErr(a.Err)
	root.SetFlagErrorFunc(suggestFlag)
	root.SetHelpFunc(writeHelp)
	root.CompletionOptions.HiddenDefaultCmd = true
	logging.addFlags(root.PersistentFlags())
	config.addFlags(root.PersistentFlags())
	root.SetHelpCommand(a.helpCommand())
	root.AddCommand(a.demoCommand(), a.runCommand(), a.whyCommand(), a.historyCommand(), a.statusCommand(), a.replayCommand(), a.uiCommand(), a.recordCommand(), a.doctorCommand(), a.versionCommand())
	return root
}

// helpCommand is cobra's, but that a command which does not exist is wrong usage.
func (a *app) helpCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "help [COMMAND]",
		Short: "Show the help of a command",
		RunE: func(cmd *cobra.Command, args []string) error {
			about, _, err := cmd.Root().Find(args)
			if err != nil {
				return a.usage(err)
			}
			about.InitDefaultHelpFlag() // it is in the text
			return about.Help()
		},
	}
}
