package cli

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/rollspan/rollspan/pkg/history"
	"github.com/rollspan/rollspan/pkg/internal/terminal"
)

func (a *app) statusCommand() *cobra.Command {
	s, format := &server{}, formatTable
	f := &following{app: a, format: &format}
	cmd := &cobra.Command{
		Use:   "status [flags] [KIND/NAME]",
		Short: "Follow a rollout until it has ended; without KIND/NAME, say how a running rollspan fares",
		Long: `Follow the rollout of a workload from the cluster itself until it has ended, as 'kubectl
rollout status' does (of a Rollout, as 'kubectl argo rollouts status' does), and say what
it waits for now, how long the one before took, and when this one is over if it takes as long. It needs no running rollspan, and writes
nothing to the cluster. At a terminal its tree is drawn anew each second; elsewhere there
is a line whenever it waits for something else.

It ends when the rollout is complete or has failed, when another one supersedes it or the
workload is deleted, or after --timeout; with --fail-fast, as soon as it does not recover
by itself: an image name that is invalid, an image that is not there or that nobody is let
at after three pulls, a container that has crashed five times in a row with one exit code.
What others may still mend is waited for.

With TRACEPARENT set, and a collector (--otlp-endpoint, OTEL_EXPORTER_OTLP_ENDPOINT), it
sends one span of the time that it waited, with a link to the rollout's trace.

Without KIND/NAME it asks the page of a rollspan that runs, which is there with
--ui-address, what that watches, whether the collector takes what it sends, and which
changes are open. In a cluster 'kubectl port-forward' leads to it.`,
		Example: `  # Wait for a rollout in a pipeline, for five minutes, but not for what cannot become right
  rollspan status deployment/web -n shop --timeout 5m --fail-fast

  # For a program
  rollspan status statefulset/db -o json

  # How the rollspan fares that runs in the cluster
  kubectl port-forward -n rollspan deployment/rollspan 7655
  rollspan status`,
		Annotations: map[string]string{ownExitCodes: statusExitCodes},
		Args: func(_ *cobra.Command, args []string) error {
			if len(args) == 0 {
				return nil
			}
			return f.about(args)
		},
		PreRunE: func(cmd *cobra.Command, args []string) error {
			if err := givenInVain(cmd, len(args) > 0); err != nil {
				return a.usage(err)
			}
			if len(args) > 0 {
				return a.usage(errors.Join(format.validate(), f.validate()))
			}
			if s.Server == "" {
				return a.usage(fmt.Errorf("--server: it is empty; write it as %s", usualServer))
			}
			return a.usage(errors.Join(s.validate(), format.validate()))
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			if len(args) > 0 {
				return f.follow(cmd.Context())
			}
			return a.status(cmd.Context(), s, format)
		},
	}
	fs := cmd.Flags()
	fs.SortFlags = false
	format.addFlag(fs)
	f.addFlags(cmd)
	s.addFlags(fs, usualServer)
	return cmd
}

// givenInVain finds a flag that is of no use with a KIND/NAME, or without one.
func givenInVain(cmd *cobra.Command, followed bool) (err error) {
	cmd.Flags().Visit(func(flag *pflag.Flag) {
		ofServer := strings.HasPrefix(flag.Name, "server")
		switch {
		case err != nil || flag.Name == "output" || cmd.InheritedFlags().Lookup(flag.Name) != nil:
		case followed && ofServer:
			err = fmt.Errorf("--%s: a rollout is followed from the cluster itself; leave out the flag, or the KIND/NAME", flag.Name)
		case !followed && !ofServer:
			err = fmt.Errorf("--%s: it is of no use without a workload to follow; name one as KIND/NAME, such as deployment/web", flag.Name)
		}
	})
	return err
}

func (a *app) status(ctx context.Context, s *server, format answerFormat) error {
	status, err := s.Status(ctx)
	if err != nil {
		return s.unanswered(err)
	}
	if format == formatJSON {
		return a.printJSON(status)
	}
	if err := a.printStatus(&status, time.Now()); err != nil {
		return err
	}
	fmt.Fprintln(a.Out)
	if len(status.Open) == 0 {
		fmt.Fprintln(a.Out, "Nothing is in progress.")
		return nil
	}
	w := a.table()
	fmt.Fprintln(w, "NAMESPACE\tOBJECT\tCHANGE\tFOR\tWAITS FOR")
	for i := range status.Open {
		c := &status.Open[i]
		fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%s\n", terminal.Line(cmp.Or(c.Namespace, "-")), terminal.Line(strings.ToLower(c.Kind)+"/"+c.Name),
			terminal.Line(changeWords(c)), tookSeconds(c), terminal.Line(cmp.Or(c.WaitingFor, "-")))
	}
	if err := w.Flush(); err != nil {
		return err
	}
	if status.OpenMore {
		fmt.Fprintln(a.Out, "\nMore is in progress, which began before these.")
	}
	return nil
}

// printStatus says how a rollspan fares, a line for each thing.
func (a *app) printStatus(s *history.StatusJSON, now time.Time) error {
	w := a.table()
	line := func(what, format string, args ...any) {
		fmt.Fprintf(w, "%s:\t%s\n", what, terminal.Line(fmt.Sprintf(format, args...)))
	}
	line("Version", "%s", s.Version)
	if s.Server != "" {
		line("Cluster", "%s", strings.TrimSpace(s.Server+"  "+s.Cluster))
	}
	line("Namespaces", "%s", cmp.Or(strings.Join(s.Namespaces, ", "), "all"))
	ready := "yes"
	if !s.Ready {
		ready = "no: the first lists are not through, or a watch is down"
	}
	line("Ready", "%s", ready)
	line("Watched", "%s", cmp.Or(strings.Join(s.Watched, ", "), "nothing yet"))
	if len(s.Without) > 0 {
		line("Without", "%s", strings.Join(s.Without, ", "))
	}
	if s.LastObserved != nil {
		line("Last news", "%s ago", ago(now, *s.LastObserved))
	}
	line("Doing", "%s; %d observations wait", cmp.Or(s.At, "nothing that it says"), s.ObservationsWaiting)
	if c := s.Collector; c != nil {
		state := "takes what is sent"
		if c.Down {
			state = "does not take what is sent: " + c.LastError
		}
		line("Collector", "%s: %s", c.Endpoint, state)
		line("Spans", "%d sent, %d wait in memory and %d on the disk, %d dropped, %d rejected", c.Sent, c.Queued, c.Behind, c.Dropped, c.Rejected)
	}
	since := ""
	if s.History.Oldest != nil {
		since = fmt.Sprintf(" since %s", s.History.Oldest.UTC().Format(time.RFC3339))
	}
	line("History", "%s%s in %.1f MiB", counted(int(s.History.Changes), "change"), since, float64(s.History.Bytes)/(1<<20))
	if s.History.Trouble != "" {
		line("Trouble", "the history is not kept: %s", s.History.Trouble)
	}
	return w.Flush()
}

func ago(now, then time.Time) time.Duration { return max(now.Sub(then), 0).Round(time.Second) }
