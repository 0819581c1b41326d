package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"golang.org/x/term"

	"github.com/rollspan/rollspan/pkg/internal/terminal"
	"github.com/rollspan/rollspan/pkg/watcher"
)

func (a *app) recordCommand() *cobra.Command {
	r := record{app: a}
	cmd := &cobra.Command{
		Use:   "record [flags]",
		Short: "Record what happens in a cluster, for replay",
		Long: `Record what happens in a cluster as JSON lines, until Ctrl-C: first the objects
that are there, then every change, as whole objects. rollspan replay makes of a
recording the traces that rollspan run would have sent.

Kinds that may not be read are named and left out. Unless --kinds is given, other
kinds that own what is recorded, or that an Event is about, are recorded with
their metadata only. Secrets and ConfigMaps are never recorded.

A recording can be attached to a public report. What traces are made from is
recorded as it is: names, labels, images, conditions, and the messages of Events
and statuses, which spans show. Numbers and times are, too. All other text is
replaced by "redacted:" and 8 hex digits, which are the same for the same value
within one recording, so changes can still be seen. --keep names what to record as
it is all the same:

  args                  the arguments of containers
  commands              their commands, and those of probes and hooks
  headers               what probes and hooks ask for: hosts, paths, header values
  annotations           the values of annotations, but for copies of manifests
  volume-attributes     the options of CSI and flexVolume volumes
  termination-messages  what containers said last; spans show it

Of the annotations those are always kept that Kubernetes' controllers write for each
other, and traceparent. The values of environment variables and the data of
ControllerRevisions never are.`,
		Example: `  # One namespace, into a file
  rollspan record -n shop -o rollout.jsonl

  # For yourself: with what containers said last, and the options of volumes
  rollspan record --keep termination-messages,volume-attributes -o rollout.jsonl

  # Only what rollouts of Deployments are made from, compressed
  rollspan record --kinds Deployment,ReplicaSet,Pod,Event | gzip > rollout.jsonl.gz`,
		Args:    noArguments,
		PreRunE: func(*cobra.Command, []string) error { return a.usage(r.validate()) },
		RunE:    func(cmd *cobra.Command, _ []string) error { return r.run(cmd.Context()) },
	}
	fs := cmd.Flags()
	fs.SortFlags = false
	fs.StringVarP(&r.file, "output", "o", "-", "`FILE` to write, which must not exist; - is standard output")
	fs.StringSliceVarP(&r.options.Namespaces, "namespace", "n", nil, "`NAMESPACE` to record, repeatable; default all")
	fs.StringSliceVar(&r.options.Kinds, "kinds", nil, "kinds to record; default "+strings.Join(watcher.RecordKinds(), ","))
	fs.StringSliceVar(&r.options.Keep, "keep", nil, "`WHAT` to record as it is, repeatable: "+strings.Join(watcher.Keepable(), ", "))
	r.connection.AddFlags(fs)
	return cmd
}

type record struct {
	*app
	file       string
	connection watcher.Connection
	options    watcher.RecordOptions
}

func (r *record) validate() error {
	if err := watcher.CheckKinds(r.options.Kinds); err != nil {
		return fmt.Errorf("--kinds: %w", err)
	}
	if err := watcher.CheckKeep(r.options.Keep); err != nil {
		return fmt.Errorf("--keep: %w", err)
	}
	return errors.Join(validateNamespaces(r.options.Namespaces), r.connection.Validate())
}

func (r *record) run(ctx context.Context) (err error) {
	config, err := restConfig(&r.connection)
	if err != nil {
		return err
	}
	r.options.Config, r.options.Out, r.options.Log = config, r.Out, r.log
	if r.file != "-" {
		// Never over another recording: it cannot be made again. And for the
		// owner only: recordings say much about a cluster.
		f, err := os.OpenFile(r.file, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
		if errors.Is(err, os.ErrExist) {
			return fmt.Errorf("-o: %s is there already, and nothing is recorded over it; name another file", r.file)
		} else if err != nil {
			return fmt.Errorf("-o: %w; check that the folder is there and may be written to", err)
		}
		defer func() { err = errors.Join(err, finish(f)) }()
		r.options.Out = terminal.NewWriter(f) // recordings are looked at, too
	}
	recorder, err := watcher.NewRecorder(r.options)
	if err != nil {
		return err
	}
	progress, stop := context.WithCancel(ctx)
	shown := make(chan struct{})
	go func() {
		defer close(shown)
		showProgress(progress, r.progress, recorder)
	}()
	err = recorder.Run(ctx)
	stop()
	<-shown
	r.say("recorded %s", summary(recorder.Counts()))
	return err
}

// finish closes a recording. One that has nothing is removed: it would be in the way of the next, when
// what was wrong is right.
func finish(f *os.File) error {
	info, err := f.Stat()
	if err = errors.Join(err, f.Close()); err == nil && info.Size() == 0 {
		err = os.Remove(f.Name())
	}
	return err
}

func isTerminal(w io.Writer) bool {
	f, ok := w.(*os.File)
	return ok && term.IsTerminal(int(f.Fd()))
}

// showProgress rewrites one line on a terminal until ctx is done.
func showProgress(ctx context.Context, w io.Writer, recorder *watcher.Recorder) {
	if !isTerminal(w) {
		return
	}
	const clearLine = "\r\x1b[K"
	ticker := time.NewTicker(2 * time.Second)
	defer ticker.Stop()
	for {
		select {
		case <-ticker.C:
			fmt.Fprintf(w, "%srecording, Ctrl-C ends it: %s", clearLine, terminal.Line(summary(recorder.Counts())))
		case <-ctx.Done():
			fmt.Fprint(w, clearLine)
			return
		}
	}
}

// summary writes counts as "12 Pod, 3 Event".
func summary(counts []watcher.KindCount) string {
	if len(counts) == 0 {
		return "nothing"
	}
	parts := make([]string, len(counts))
	for i, c := range counts {
		parts[i] = fmt.Sprintf("%d %s", c.Lines, c.Kind)
	}
	return strings.Join(parts, ", ")
}
