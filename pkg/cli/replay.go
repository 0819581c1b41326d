package cli

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"

	"github.com/rollspan/rollspan/pkg/internal/interrupt"
	"github.com/rollspan/rollspan/pkg/spans"
	"github.com/rollspan/rollspan/pkg/spans/budget"
	"github.com/rollspan/rollspan/pkg/watcher"
)

func (a *app) replayCommand() *cobra.Command {
	r := replay{feeder: feeder{app: a}}
	cmd := &cobra.Command{
		Use:   "replay [flags] PATH...",
		Short: "Turn recordings, or dumps of a cluster, into traces",
		Long: `Turn recordings (see rollspan record) into the traces that a live run would have
sent. PATH may be packed (gzip, bzip2, xz, zst, zip); - is standard input. Each
file is a recording of its own: it begins with nothing known, and what is open at
its end is shown as open.

PATH may also be a dump, which holds the last state of objects only: the JSON or
YAML that kubectl get prints, a folder of kubectl cluster-info dump, and the tree
or archive (.tar.gz, .zip) of a support bundle or of must-gather. Folders are walked;
files without objects are passed over. All dumps named are one snapshot. From it
follows what the objects and Events still prove: rollouts by the revisions of
ReplicaSets, when by Events, conditions and pods. Nothing is told that nothing
dates; what was going on is shown as open.

A line or an object that cannot be read is named on stderr (of a file, the first
twenty), and the rest goes on; the exit code is then 1, unless --lenient is given.
So it is where what is read would take more than --max-memory: what was read until
then is converted.

What is sent to a collector keeps its times. Tempo finds spans that ended more than
minutes ago by their trace's ID, but hardly by a search: see docs/tempo.md.`,
		Example: `  # As trees, for people
  rollspan replay rollout.jsonl

  # To a collector
  rollspan replay --otlp-endpoint http://localhost:4317 rollout.jsonl

  # As OTLP JSON, which the Collector and the Jaeger UI read
  rollspan replay -o otlp-json rollout.jsonl > rollout.otlp.jsonl

  # What went on in a namespace lately, without having watched it
  kubectl get deployments,replicasets,pods,events -n shop -o json | rollspan replay -

  # A whole cluster
  kubectl cluster-info dump --all-namespaces --output-directory=dump
  rollspan replay dump

  # A support bundle, with all of the week before it
  rollspan replay --since 168h support-bundle.tar.gz`,
		Args: func(_ *cobra.Command, args []string) error {
			if len(args) == 0 {
				return errors.New("no recording or dump named; for example: rollspan replay rollout.jsonl")
			}
			return nil
		},
		PreRunE: func(*cobra.Command, []string) error {
			if r.conversion.format == "" {
				r.conversion.format = outputTree
				if r.conversion.exporter.Endpoint != "" {
					r.conversion.format = outputOTLP
				}
			}
			return a.usage(r.validate())
		},
		RunE: func(cmd *cobra.Command, args []string) error { return r.run(cmd.Context(), args) },
	}
	fs := cmd.Flags()
	fs.SortFlags = false
	fs.StringVarP(&r.conversion.format, "output", "o", "", "tree, otlp-json or otlp; default otlp if --otlp-endpoint is given, else tree")
	fs.BoolVar(&r.lenient, "lenient", false, "exit with 0 even if lines or objects were broken")
	r.addSince(fs, "tell")
	fs.StringVar(&r.clusterUID, "cluster-uid", "",
		"resource attribute k8s.cluster.uid of all spans; default the UID of the namespace kube-system, if it was recorded")
	r.addMaxMemory(fs)
	r.conversion.addFlags(fs, 0, time.Minute)
	return cmd
}

type replay struct {
	feeder
	conversion conversion
	clusterUID string
	lenient    bool
	since      time.Duration
	maxMemory  string
	// cut are the inputs that were not read to the end, as that would have taken
	// too much memory.
	cut []string
	// useless are the inputs that are neither recordings nor dumps.
	useless []string
	// into takes the traces, if it is set; else they are printed or sent.
	into output
}

// addSince adds --since; does is what is done with what began since.
func (r *replay) addSince(fs *pflag.FlagSet, does string) {
	fs.DurationVar(&r.since, "since", 24*time.Hour,
		"of a dump, "+does+" what began at most this long before it was taken, and what was not over")
}

func (r *replay) addMaxMemory(fs *pflag.FlagSet) {
	fs.StringVar(&r.maxMemory, "max-memory", "1Gi",
		"how much memory to take, such as 4Gi; half of it is for what is read and what becomes of it, and reading ends when that is used up")
}

func (r *replay) validate() error {
	if r.since <= 0 {
		return fmt.Errorf("--since: %s is not a time to look back; it must be more than 0", r.since)
	}
	var err error
	if r.memory.most, err = parseMemory("max-memory", r.maxMemory); err != nil {
		return err
	}
	return r.conversion.validate()
}

func (r *replay) run(ctx context.Context, paths []string) error {
	release := r.memory.hold()
	defer release()
	// All of them first: a typing error in the last name should not be found
	// after an hour.
	for _, path := range paths {
		if _, err := os.Stat(path); path != "-" && err != nil {
			return fmt.Errorf("recording or dump: %w", err)
		}
	}
	lines := 0
	snapshot := newSnapshot(r)
	for _, path := range paths {
		n, err := r.path(ctx, path, snapshot)
		lines += n
		if err != nil {
			return err
		}
	}
	if err := snapshot.tellPast(ctx); err != nil {
		return err
	}
	if len(r.useless) > 0 {
		return fmt.Errorf("neither a recording nor a dump: %s", strings.Join(r.useless, ", "))
	}
	if r.lenient {
		return nil
	}
	broken := damage(lines, snapshot.stats().Broken)
	switch {
	case len(r.cut) > 0:
		return fmt.Errorf("not all was read, as it takes more than --max-memory %s: %s; what was read was converted (--lenient makes this no error)",
			r.maxMemory, strings.Join(r.cut, ", "))
	case r.faults > 0:
		return fmt.Errorf("rollspan gave up on %s, named above; the rest was converted (--lenient makes this no error)", counted(int(r.faults), "object"))
	case broken != "":
		return fmt.Errorf("%s; the rest was converted (--lenient makes this no error)", broken)
	}
	return nil
}

// tooMuch says of errTooMuch what it is about, and which flag there is.
func (r *replay) tooMuch(label string, err error) error {
	if errors.Is(err, errTooMuch) {
		return fmt.Errorf("%q: what becomes of it takes more than --max-memory %s; not all of it was converted", label, r.maxMemory)
	}
	return err
}

// hinted says of an error that is one of memory which flag there is.
func hinted(err error) error {
	if errors.Is(err, watcher.ErrMemory) {
		return fmt.Errorf("%w (--max-memory)", err)
	}
	return err
}

// damage counts what was broken in words, none being "".
func damage(lines, objects int) string {
	switch {
	case lines > 0 && objects > 0:
		return counted(lines, "broken line") + " and " + counted(objects, "broken object")
	case lines > 0:
		return counted(lines, "broken line")
	case objects > 0:
		return counted(objects, "broken object")
	}
	return ""
}

// counted is a number of things in words.
func counted(n int, what string) string {
	if n != 1 {
		what += "s"
	}
	return fmt.Sprintf("%d %s", n, what)
}

// path replays a recording, or takes a dump into the snapshot. It returns how
// many lines were broken.
func (r *replay) path(ctx context.Context, path string, into *snapshot) (broken int, err error) {
	in, label := r.In, "stdin"
	if path != "-" {
		if info, err := os.Stat(path); err == nil && info.IsDir() {
			return 0, into.addFolder(ctx, path)
		}
		f, err := interrupt.Open(ctx, path)
		if err != nil {
			return 0, fmt.Errorf("recording or dump: %w", err)
		}
		defer func() { _ = f.Close() }() // only read
		in, label = f, path
	}
	buffered := bufio.NewReaderSize(interrupt.Reader(ctx, in), watcher.PeekBytes)
	if watcher.IsDump(buffered, label) {
		return 0, into.add(ctx, buffered, label)
	}
	return r.recording(ctx, buffered, label)
}

// recording replays one recording and returns how many of its lines were broken.
func (r *replay) recording(ctx context.Context, in io.Reader, label string) (broken int, err error) {
	to := r.newOutput(ctx)
	reader := watcher.NewRecordingReader(in, label)
	reader.LimitMemory(r.memory.most)
	observations, broken, err := r.convert(ctx, reader, label, to)
	err = errors.Join(r.tooMuch(label, err), to.close())
	r.say("%s: %s, %s, %s", label, counted(observations, "observation"), counted(to.changes, "change"), counted(broken, "broken line"))
	switch {
	case err != nil || observations > 0:
	case broken == 0:
		r.useless = append(r.useless, label+" (it is empty)")
	case reader.Undated():
		r.useless = append(r.useless, label+" (no watch event of it says when it came, as those of rollspan record do)")
	default:
		r.useless = append(r.useless, label+" (no line of it is a watch event)")
	}
	return broken, err
}

// convert feeds a recording through an engine of its own.
func (r *replay) convert(ctx context.Context, in *watcher.RecordingReader, label string, to *replayOutput) (observations, broken int, err error) {
	engine := r.newEngine(r.conversion.engine)
	defer func() { r.noteFaults(engine) }()
	wrong := complaints{say: r.say}
	var now time.Time
	for ctx.Err() == nil {
		if r.memory.enough() {
			r.cut = append(r.cut, fmt.Sprintf("%q (behind line %d)", label, in.Line()))
			return observations, broken, r.flush(engine, now, to.deliver)
		}
		o, err := in.Next()
		var line *watcher.LineError
		switch {
		case errors.Is(err, io.EOF):
			return observations, broken, r.flush(engine, now, to.deliver)
		case errors.As(err, &line):
			broken++
			wrong.add(hinted(line))
		case err != nil:
			return observations, broken, err
		}
		if o.Object == nil {
			continue
		}
		observations++
		now = o.Time
		to.notice(o.Object)
		if err := to.deliver(now, engine.Observe(o)); err != nil {
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
	stdout     *bufio.Writer
	clusterUID string
	out        output
	changes    int
	// budget is nil where traces are printed.
	budget *budget.Budget
}

func (r *replay) newOutput(ctx context.Context) *replayOutput {
	return &replayOutput{replay: r, ctx: ctx, stdout: bufio.NewWriter(r.Out), clusterUID: r.clusterUID}
}

// notice remembers the cluster's UID, which is that of kube-system.
func (o *replayOutput) notice(object runtime.Object) {
	m, ok := object.(*metav1.PartialObjectMetadata)
	if ok && m.Kind == "Namespace" && m.Name == metav1.NamespaceSystem && o.clusterUID == "" {
		o.clusterUID = string(m.UID)
	}
}

func (o *replayOutput) deliver(now time.Time, finished []spans.Trace) error {
	if len(finished) > 0 {
		if err := o.open(); err != nil {
			return err
		}
	}
	if o.budget != nil {
		finished = o.budget.Apply(now, finished)
	}
	return o.hand(finished)
}

// hand passes traces on.
func (o *replayOutput) hand(finished []spans.Trace) error {
	for _, t := range finished {
		if !t.Late && t.Record == nil {
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
	if o.into != nil {
		o.out = o.into
		return nil
	}
	o.budget = o.conversion.newBudget(o.clusterUID)
	if o.conversion.format != outputOTLP {
		printed, err := o.conversion.print(o.stdout, o.clusterUID)
		o.out = withRecords{printed, printed}
		return err
	}
	encoder, err := o.conversion.newEncoder(o.clusterUID)
	if err != nil {
		return err
	}
	exporter, err := o.conversion.export(o.log, encoder, nil)
	if err != nil {
		return err
	}
	o.out = patientOutput{ctx: o.ctx, exporter: exporter}
	if o.conversion.logs.on {
		return o.openLogs(encoder)
	}
	return nil
}

func (o *replayOutput) close() error {
	if o.out == nil {
		return nil
	}
	if o.budget != nil {
		if err := o.hand(o.budget.Flush()); err != nil {
			return err
		}
	}
	closing, cancel := context.WithTimeout(o.ctx, o.conversion.drain)
	defer cancel()
	return errors.Join(o.out.Close(closing), o.stdout.Flush())
}
