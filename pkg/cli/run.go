package cli

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/spf13/cobra"
	ctrlmetrics "sigs.k8s.io/controller-runtime/pkg/metrics"

	"github.com/rollspan/rollspan/pkg/failover"
	"github.com/rollspan/rollspan/pkg/history"
	"github.com/rollspan/rollspan/pkg/internal/interrupt"
	"github.com/rollspan/rollspan/pkg/journal"
	"github.com/rollspan/rollspan/pkg/metrics"
	"github.com/rollspan/rollspan/pkg/otlp"
	"github.com/rollspan/rollspan/pkg/otlp/export"
	"github.com/rollspan/rollspan/pkg/spans"
	"github.com/rollspan/rollspan/pkg/watcher"
	"github.com/rollspan/rollspan/pkg/webhook"
)

func (a *app) runCommand() *cobra.Command { return (&run{app: a}).command() }

func (r *run) command() *cobra.Command {
	a := r.app
	cmd := &cobra.Command{
		Use:   "run [flags]",
		Short: "Watch a cluster and send its rollouts as traces",
		Long: `Watch a cluster and send each change as a trace when it is finished. Of one that
takes longer than a minute, spans 'in progress' say meanwhile what it waits for.

Where no collector is named (--otlp-endpoint, OTEL_EXPORTER_OTLP_ENDPOINT), the
traces are printed as trees. rollspan lists and watches workloads and their pods,
Events, nodes, volume claims and autoscalers; and of what else owns those, the
metadata. It needs to read Deployments, ReplicaSets and Pods; what traces lose
without another kind it says, and goes on. While the API server does not answer, it
keeps trying.

It writes nothing but a Lease: in a pod, in the pod's namespace, and elsewhere only with
--leader-elect-namespace. That says what was sent, so that the next run tells what ended
meanwhile, as far as it is proven. With --leader-elect several replicas share one Lease:
all watch, and one sends.

On SIGINT or SIGTERM it stops watching, and sends what is over by then: changes that
have ended are not waited for to settle, so Events that are late, and pods that still
stop, are not in their traces. Changes that are still open are left to the next run,
which finds them again. All of it takes --drain-timeout at most; what the collector
has not taken by then is lost without --data-dir, which is logged. Whatever is stuck
then, the process exits two seconds later. A second signal ends it at once.

With --data-dir nothing of that is lost, however the process ends: what it sees is
written to a journal there, which the next run with the same directory reads. That one
goes on with what is open or has not settled, and sends what the collector has not
taken, which waits there, too, byte for byte; what was sent is not sent again. On SIGTERM
nothing is sent early then: changes settle in the next run.`,
		Example: `  # Watch the cluster kubectl points to, and print each rollout as a tree
  rollspan run

  # One namespace, and a collector
  rollspan run -n shop --otlp-endpoint http://localhost:4317

  # With all flags in a file: each by its name, as in 'otlp-endpoint: http://collector:4317'
  rollspan run --config rollspan.yaml

  # In a cluster, in each of two replicas, of which one sends
  rollspan run --leader-elect --health-address :8081 --metrics-address :8080`,
		Args: noArguments,
		PreRunE: func(*cobra.Command, []string) error {
			if r.conversion.format == "" {
				r.conversion.format = r.conversion.usualFormat()
				r.hint = r.conversion.format == outputTree
			}
			return a.usage(r.validate())
		},
		RunE: func(cmd *cobra.Command, _ []string) error { return r.run(cmd.Context()) },
	}
	fs := cmd.Flags()
	fs.SortFlags = false
	fs.StringSliceVarP(&r.namespaces, "namespace", "n", nil, "`NAMESPACE` to watch, repeatable; default all")
	fs.StringVarP(&r.conversion.format, "output", "o", "", "tree, otlp-json or otlp; default otlp if a collector is named, else tree")
	r.connection.AddFlags(fs)
	r.conversion.addFlags(fs, time.Minute, 10*time.Second)
	fs.StringVar(&r.dataDir, "data-dir", "", "`DIRECTORY` of this process's own that outlives it, to go on after a restart where it stopped; default none")
	fs.StringVar(&r.dataDirMaxBytes, "data-dir-max-bytes", "1Gi", "how much that may take on the disk: half for what was seen, half for spans that wait for the collector")
	fs.BoolVar(&r.manager.LeaderElect, "leader-elect", false, "let replicas elect the one that sends what all of them see")
	fs.StringVar(&r.manager.LeaderElectNamespace, "leader-elect-namespace", "", "`NAMESPACE` of the Leases; default the pod's own, and outside of a pod there are none")
	fs.StringVar(&r.manager.LeaderElectName, "leader-elect-name", failover.DefaultLease, "`NAME` of the Lease that replicas compete for; of all with the same name, one sends")
	fs.StringVar(&r.manager.HealthAddress, "health-address", "", "`HOST:PORT` to serve /healthz and /readyz on; default none")
	fs.StringVar(&r.manager.MetricsAddress, "metrics-address", "", "`HOST:PORT` to serve /metrics on, for Prometheus; default none")
	fs.StringVar(&r.manager.PprofAddress, "pprof-address", "", "`HOST:PORT` to serve profiles of the process on (/debug/pprof/); whoever reaches it may read its memory; default none")
	fs.BoolVar(&r.measure.WorkloadName, "metrics-workload-name", false,
		"label the metrics of changes with the name of what changed, which makes many more of them")
	r.page.addFlags(fs, "")
	r.webhook.AddFlags(fs)
	r.push.addFlags(fs)
	return cmd
}

type run struct {
	*app
	namespaces []string
	connection watcher.Connection
	conversion conversion
	manager    watcher.ManagerOptions
	measure    metrics.Options
	page       page
	webhook    webhook.Config
	push       push
	// dataDir is where the journal is; empty for none.
	dataDir, dataDirMaxBytes string
	dataDirMost              int64 // dataDirMaxBytes as a number
	// history has what the page shows; nil without one.
	history history.Store
	// trees says that traces are printed besides being sent.
	trees bool
	// hint says that trees are printed because no collector was named.
	hint bool
	// exporter is there once there is a collector to send to.
	exporter atomic.Pointer[export.Exporter]
	// told is the webhook's sender, which takes alarms, too, once there is one.
	told atomic.Pointer[webhook.Sender]
	// live is there once it watches, and clusterUID once that is known.
	live       atomic.Pointer[watcher.Live]
	clusterUID atomic.Pointer[string]
	// over says that the demonstration is: nothing is watched any more, and nothing is wrong.
	over atomic.Bool
	// queue is what waits for the collector on the disk, if there is a data directory.
	queue *journal.Queue
	// logQueue is the same of log records, if there are any.
	logQueue *journal.Queue
}

func (r *run) validate() error {
	var wrong error
	r.dataDirMost, wrong = parseDataDirBytes(r.dataDirMaxBytes)
	return errors.Join(
		wrong,
		validateNamespaces(r.namespaces),
		r.connection.Validate(),
		r.validateElection(),
		validateAddress("health-address", r.manager.HealthAddress),
		validateAddress("metrics-address", r.manager.MetricsAddress),
		validateAddress("pprof-address", r.manager.PprofAddress),
		r.conversion.validate(),
		r.page.validate(),
		r.webhook.Validate(),
		r.push.validate(&r.conversion),
	)
}

// validateElection finds a name for a Lease that nobody would compete for: whoever gives it
// means that one of several sends, and all of them would.
func (r *run) validateElection() error {
	if name := r.manager.LeaderElectName; !r.manager.LeaderElect && name != failover.DefaultLease {
		return fmt.Errorf("--leader-elect-name: %q is of no use without --leader-elect; give that, too", name)
	}
	return nil
}

func (r *run) run(ctx context.Context) error {
	config, err := restConfig(&r.connection)
	if err != nil {
		return err
	}
	unlock, err := r.lockDataDir()
	if err != nil {
		return err
	}
	defer unlock()
	hide, err := r.keep(ctx)
	if err != nil {
		return err
	}
	defer hide()
	return r.watch(ctx, watcher.LiveOptions{Config: config})
}

// lockDataDir makes the data directory this process's own, before anything in it is opened.
func (r *run) lockDataDir() (unlock func(), err error) {
	if r.dataDir == "" {
		return func() {}, nil
	}
	lock, err := journal.Lock(r.dataDir)
	if err != nil {
		return nil, fmt.Errorf("--data-dir: %w", err)
	}
	return func() { _ = lock.Close() }, nil // nothing is written into it
}

// watch watches the cluster that the options name until ctx is done.
func (r *run) watch(ctx context.Context, options watcher.LiveOptions) error {
	if r.hint {
		r.log.Info("traces are printed, because no collector is named; name one with --otlp-endpoint or OTEL_EXPORTER_OTLP_ENDPOINT")
	}

	changes := metrics.NewChanges(r.measure)
	r.conversion.exporter.Acknowledged = changes.Acknowledged
	r.conversion.exporter.Greet = true
	registered := registry{}
	defer registered.clear()
	alarmed := r.newAlarmed()
	if err := registered.add(changes, alarmed.metrics, collectors.NewGoCollector(),
		collectors.NewProcessCollector(collectors.ProcessCollectorOpts{})); err != nil {
		return err
	}

	opened := make(chan output, 1)
	var live *watcher.Live
	var err error
	if r.conversion.format == outputOTLP {
		r.conversion.exporter.Gone = func(list []*otlp.Packed) { live.Acknowledge(keysOf(list)...) }
	}
	ofJournal, _ := r.shareDataDir()
	options.DataDir, options.DataDirMaxBytes, options.Acknowledges = r.dataDir, ofJournal, r.conversion.format == outputOTLP
	options.Namespaces, options.Engine, options.Log = r.namespaces, r.conversion.engine, r.log
	options.Found, options.Hurry = r.found, r.hurry
	options.Budget = r.conversion.newBudget
	options.Sink = func(clusterUID string) (watcher.Sink, error) {
		r.clusterUID.Store(&clusterUID)
		sink, err := r.open(clusterUID, live, &registered)
		if err != nil {
			return nil, err
		}
		next, err := r.tell(r.logged(r.kept(sink)), clusterUID, &registered)
		if err != nil {
			return nil, err
		}
		if next, err = r.pushed(next, clusterUID); err != nil {
			return nil, err
		}
		// Traces are measured before they are sent, so that what is acknowledged was measured.
		measured := noticedOutput{next, func(t spans.Trace) {
			changes.Finished(t)
			alarmed.watch.Finished(t)
		}}
		out := withRecords{measured, sink}
		opened <- out
		return out, nil
	}
	options.Known, options.Observed, options.Ticked = alarmed.watch.Known, alarmed.observes(options.Observed), alarmed.tick
	live, err = watcher.NewLive(options)
	if err != nil {
		return err
	}
	r.live.Store(live)
	r.manager.Grace = r.conversion.drain
	r.life.drains(r.conversion.drain, func() []any { return r.left(live) })
	// The watch and the output have to end in the same time, which begins now if
	// nobody asked for the end.
	draining, cancel := interrupt.Grace(ctx, r.conversion.drain)
	defer cancel()
	err = watcher.Run(ctx, live, r.manager)
	select {
	case out := <-opened:
		closing, cancel := context.WithTimeout(draining, r.conversion.drain)
		defer cancel()
		return errors.Join(err, out.Close(closing), live.Close())
	default:
		return errors.Join(err, live.Close())
	}
}

// keysOf identifies spans to the journal.
func keysOf(list []*otlp.Packed) []journal.SpanKey {
	keys := make([]journal.SpanKey, len(list))
	for i, it := range list {
		keys[i].TraceID, keys[i].SpanID = it.IDs()
	}
	return keys
}

// left says what of the run has not ended, for the log.
func (r *run) left(live *watcher.Live) []any {
	left := []any{"at", live.At()}
	if exporter := r.exporter.Load(); exporter != nil {
		left = append(left, "spansNotSent", exporter.Stats().Queued)
	}
	return left
}

// found are the spans that the queue on the disk knows.
func (r *run) found() []journal.SpanKey {
	var found []journal.SpanKey
	for _, queue := range []*journal.Queue{r.queue, r.logQueue} {
		if queue != nil {
			found = append(found, queue.Found()...)
		}
	}
	return found
}

func (r *run) open(clusterUID string, live *watcher.Live, registered *registry) (outputWithRecords, error) {
	if r.conversion.format != outputOTLP {
		return r.conversion.print(r.Out, clusterUID)
	}
	encoder, err := r.conversion.newEncoder(clusterUID)
	if err != nil {
		return nil, err
	}
	if r.dataDir != "" {
		most, _ := r.shareQueue()
		if r.queue, err = r.openQueue(live, "queue", most); err != nil {
			return nil, err
		}
		if err := registered.add(watcher.QueueMetrics(r.queue.Stats)...); err != nil {
			return nil, err
		}
	}
	exporter, err := r.conversion.export(r.log, encoder, r.queue)
	if err != nil {
		return nil, err
	}
	r.exporter.Store(exporter)
	r.log.Info("sending traces", "to", exporter.Endpoint())
	if err := registered.add(metrics.NewExporter(exporter.Stats)); err != nil {
		return nil, err
	}
	var out output = otlpOutput{exporter, r.queue}
	if r.trees {
		out = bothOutputs{treeOutput{r.Out, r.conversion.traceURL.template}, out}
	}
	return r.openLogs(out, encoder, live, registered)
}

// bothOutputs prints traces, and sends them.
type bothOutputs struct {
	printed treeOutput
	output
}

func (o bothOutputs) Deliver(t spans.Trace) error {
	return errors.Join(o.printed.Deliver(t), o.output.Deliver(t))
}

// registry is what this run serves on the manager's endpoint: its metrics are in
// a registry of the whole process.
type registry struct{ collectors []prometheus.Collector }

func (r *registry) add(collectors ...prometheus.Collector) error {
	for _, c := range collectors {
		if err := ctrlmetrics.Registry.Register(c); err != nil {
			return err
		}
		r.collectors = append(r.collectors, c)
	}
	return nil
}

func (r *registry) clear() {
	for _, c := range r.collectors {
		ctrlmetrics.Registry.Unregister(c)
	}
}
