package cli

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"time"

	"github.com/spf13/cobra"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/rollspan/rollspan/pkg/causality"
	"github.com/rollspan/rollspan/pkg/spans"
	"github.com/rollspan/rollspan/pkg/watcher"
)

func (a *app) replayCommand() *cobra.Command {
	r := replay{app: a}
	cmd := &cobra.Command{
		Use:   "replay [flags] FILE...",
		Short: "Turn recordings into traces",
		Long: `Turn recordings (see rollspan record) into the traces that a live run would have
sent. FILE may be gzipped; - is standard input. Each file is a recording of its
own: it begins with nothing known, and what is open at its end is shown as open.

A line that cannot be read is named on stderr, and the rest goes on; the exit
code is then 1, unless --lenient is given.`,
		Example: `  # As trees, for people
  rollspan replay rollout.jsonl

  # To a collector
  rollspan replay -o otlp --otlp-endpoint http://localhost:4317 rollout.jsonl

  # As OTLP JSON, which the Collector and the Jaeger UI read
  rollspan replay -o otlp-json rollout.jsonl > rollout.otlp.jsonl`,
		Args: func(_ *cobra.Command, args []string) error {
			if len(args) == 0 {
				return errors.New("no recording named; for example: rollspan replay rollout.jsonl")
			}
			return nil
		},
		PreRunE: func(*cobra.Command, []string) error { return a.usage(r.conversion.validate()) },
		RunE:    func(cmd *cobra.Command, args []string) error { return r.run(cmd.Context(), args) },
	}
	fs := cmd.Flags()
	fs.SortFlags = false
	fs.StringVarP(&r.conversion.format, "output", "o", outputTree, "tree, otlp-json or otlp")
	fs.BoolVar(&r.lenient, "lenient", false, "exit with 0 even if lines were broken")
	fs.StringVar(&r.clusterUID, "cluster-uid", "",
		"resource attribute k8s.cluster.uid of all spans; default the UID of the namespace kube-system, if it was recorded")
	r.conversion.addFlags(fs, time.Minute)
	return cmd
}

type replay struct {
	*app
	conversion conversion
	clusterUID string
	lenient    bool
}

func (r *replay) run(ctx context.Context, files []string) error {
	// All of them first: a typing error in the last name should not be found
	// after an hour.
	for _, name := range files {
		if _, err := os.Stat(name); name != "-" && err != nil {
			return fmt.Errorf("recording: %w", err)
		}
	}
	broken := 0
	for _, name := range files {
		n, err := r.file(ctx, name)
		broken += n
		if err != nil {
			return err
		}
	}
	if broken > 0 && !r.lenient {
		return fmt.Errorf("%d broken lines; the rest was converted (--lenient makes this no error)", broken)
	}
	return nil
}

// file replays one recording and returns how many of its lines were broken.
func (r *replay) file(ctx context.Context, name string) (broken int, err error) {
	in, label := r.In, "stdin"
	if name != "-" {
		f, err := os.Open(name)
		if err != nil {
			return 0, fmt.Errorf("recording: %w", err)
		}
		defer func() { _ = f.Close() }() // only read
		in, label = f, name
	}
	stdout := bufio.NewWriter(r.Out)
	to := &replayOutput{replay: r, ctx: ctx, stdout: stdout, clusterUID: r.clusterUID}
	observations, broken, err := r.convert(ctx, watcher.NewRecordingReader(in, label), to)

	closing, cancel := context.WithTimeout(ctx, r.conversion.drain)
	defer cancel()
	err = errors.Join(err, to.close(closing), stdout.Flush())
	fmt.Fprintf(r.Err, "%s: %d observations, %d changes, %d broken lines\n", label, observations, to.changes, broken)
	return broken, err
}

// convert feeds a recording through an engine of its own.
func (r *replay) convert(ctx context.Context, in *watcher.RecordingReader, to *replayOutput) (observations, broken int, err error) {
	engine := causality.New(r.conversion.engine)
	for ctx.Err() == nil {
		o, err := in.Next()
		var line *watcher.LineError
		switch {
		case errors.Is(err, io.EOF):
			return observations, broken, to.deliver(engine.Flush())
		case errors.As(err, &line):
			broken++
			fmt.Fprintln(r.Err, line)
		case err != nil:
			return observations, broken, err
		}
		if o.Object == nil {
			continue
		}
		observations++
		to.notice(o)
		if err := to.deliver(engine.Observe(o)); err != nil {
			return observations, broken, err
		}
	}
	return observations, broken, ctx.Err()
}

// replayOutput opens a recording's output with its first trace: by then the
// cluster's UID has been seen, if it was recorded.
type replayOutput struct {
	*replay
	ctx        context.Context
	stdout     io.Writer
	clusterUID string
	out        output
	changes    int
}

// notice remembers the cluster's UID, which is that of kube-system.
func (o *replayOutput) notice(seen causality.Observation) {
	m, ok := seen.Object.(*metav1.PartialObjectMetadata)
	if ok && m.Kind == "Namespace" && m.Name == metav1.NamespaceSystem && o.clusterUID == "" {
		o.clusterUID = string(m.UID)
	}
}

func (o *replayOutput) deliver(finished []spans.Trace) error {
	for _, t := range finished {
		if err := o.open(); err != nil {
			return err
		}
		if !t.Late {
			o.changes++
		}
		if err := o.out.Deliver(t); err != nil {
			return err
		}
	}
	return nil
}

func (o *replayOutput) open() (err error) {
	if o.out != nil {
		return nil
	}
	if o.conversion.format != outputOTLP {
		o.out, err = o.conversion.print(o.stdout, o.clusterUID)
		return err
	}
	exporter, err := o.conversion.export(o.log, o.clusterUID)
	if err != nil {
		return err
	}
	o.out = patientOutput{ctx: o.ctx, exporter: exporter, maxSpans: o.conversion.exporter.QueueSpans}
	return nil
}

func (o *replayOutput) close(ctx context.Context) error {
	if o.out == nil {
		return nil
	}
	return o.out.Close(ctx)
}
