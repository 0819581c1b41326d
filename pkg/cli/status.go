package cli

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/rollspan/rollspan/pkg/history"
	"github.com/rollspan/rollspan/pkg/internal/terminal"
)

func (a *app) statusCommand() *cobra.Command {
	s, format := &server{}, formatTable
	cmd := &cobra.Command{
		Use:   "status [flags]",
		Short: "Say how a running rollspan fares, and what is in progress",
		Long: `Say how a running rollspan fares, and what is in progress: what it watches, whether the
collector takes what it sends, and which changes are open, with what they wait for.

It asks the page of that rollspan, which is there with --ui-address. In a cluster
'kubectl port-forward' leads to it.`,
		Example: `  # One that runs in the cluster
  kubectl port-forward -n rollspan deployment/rollspan 7655
  rollspan status

  # One that asks for a token
  rollspan status --server https://rollspan.example.com --server-token-file token`,
		Args: cobra.NoArgs,
		PreRunE: func(*cobra.Command, []string) error {
			if s.Server == "" {
				return a.usage(fmt.Errorf("--server: it is empty; write it as %s", usualServer))
			}
			return a.usage(errors.Join(s.validate(), format.validate()))
		},
		RunE: func(cmd *cobra.Command, _ []string) error { return a.status(cmd.Context(), s, format) },
	}
	fs := cmd.Flags()
	fs.SortFlags = false
	format.addFlag(fs)
	s.addFlags(fs, usualServer)
	return cmd
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
	return w.Flush()
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
