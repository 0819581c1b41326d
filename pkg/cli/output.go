package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"slices"
	"strings"
	"time"

	"github.com/go-logr/logr"
	"github.com/spf13/pflag"
	"k8s.io/apimachinery/pkg/util/validation"

	"github.com/rollspan/rollspan/pkg/causality"
	"github.com/rollspan/rollspan/pkg/journal"
	"github.com/rollspan/rollspan/pkg/otlp"
	"github.com/rollspan/rollspan/pkg/otlp/export"
	"github.com/rollspan/rollspan/pkg/spans"
	"github.com/rollspan/rollspan/pkg/spans/text"
	"github.com/rollspan/rollspan/pkg/spans/traceurl"
)

// What -o can be.
const (
	outputTree = "tree"
	outputJSON = "otlp-json"
	outputOTLP = "otlp"
)

// output is where finished traces go. It is a watcher.Sink.
type output interface {
	Deliver(spans.Trace) error
	// Close delivers what is left, until ctx is done.
	Close(ctx context.Context) error
}

// noticedOutput has somebody notice traces on their way, before they go on.
type noticedOutput struct {
	output
	notice func(spans.Trace)
}

func (o noticedOutput) Deliver(t spans.Trace) error {
	o.notice(t)
	return o.output.Deliver(t)
}

// closer is what delivers what it has left, until ctx is done.
type closer interface {
	Close(ctx context.Context) error
}

// closeBoth closes two at the same time, so that neither takes the other's.
func closeBoth(ctx context.Context, one, other closer) error {
	closed := make(chan error, 1)
	go func() { closed <- other.Close(ctx) }()
	return errors.Join(one.Close(ctx), <-closed)
}

// conversion is what the commands that make spans have in common.
type conversion struct {
	// format is outputTree, outputJSON or outputOTLP.
	format   string
	engine   causality.Options
	encoder  otlp.Options
	exporter export.Config
	budget   traceBudget
	traceURL traceURL
	logs     eventLogs
	// drain is how long to wait for the collector at the end.
	drain time.Duration
}

// addFlags adds the flags; inProgress and drain are defaults in which the
// commands differ.
func (c *conversion) addFlags(fs *pflag.FlagSet, inProgress, drain time.Duration) {
	fs.DurationVar(&c.engine.Settle, "settle", 5*time.Second,
		"how long a finished change waits for late Events before its spans are sent")
	fs.DurationVar(&c.engine.Linger, "linger", time.Minute,
		"how long a finished change waits for pods that are still stopping before it is sent without them")
	fs.DurationVar(&c.engine.Quiet, "quiet", 30*time.Second,
		"how long Events about an object that is not changing wait for more of them")
	fs.StringVar((*string)(&c.engine.TraceContext), "trace-context", string(causality.TraceContextParent),
		"what to do with the trace context that a deployer left on a workload: join that trace if it is new (parent), only link to it (link), or nothing (ignore)")
	fs.StringSliceVar(&c.engine.TraceContextKeys, "trace-context-keys", causality.DefaultTraceContextKeys(),
		"annotations of workloads, or of their pod templates, that hold a W3C traceparent; the first counts most")
	fs.StringSliceVar(&c.engine.TraceContextNamespaces, "trace-context-namespaces", nil,
		"`NAMESPACE` whose workloads may join their deployers' traces, repeatable; the contexts of others are only linked to; default all")
	fs.DurationVar(&c.engine.InProgressAfter, "in-progress-after", inProgress,
		"how long a change is open before a span 'in progress' says what it waits for; 0 for never")
	fs.DurationVar(&c.engine.InProgressEvery, "in-progress-every", 3*time.Minute,
		"how long until the next such span, and so on; after an hour there is one an hour")
	fs.StringSliceVar(&c.engine.WorkloadLabels, "workload-labels", nil,
		"`LABEL` of workloads that is to be on their spans, such as app.kubernetes.io/version, repeatable; default none")
	fs.StringSliceVar(&c.engine.WorkloadAnnotations, "workload-annotations", nil,
		"`ANNOTATION` of workloads that is to be on their spans, repeatable; default none")
	fs.StringVar(&c.encoder.ClusterName, "cluster-name", "", "resource attribute k8s.cluster.name of all spans")
	fs.StringVar(&c.encoder.ServiceName, "service-name", "",
		"service.name of all spans; default the component that did the work, such as kubelet")
	fs.StringVar((*string)(&c.encoder.SpanNames), "span-names", string(otlp.SpanNamesObject),
		"what the root of a workload's change is called where traces are sent: 'Deployment rollout shop/web' (object) or 'Deployment rollout' (kind)")
	fs.StringVar((*string)(&c.encoder.ServiceNameFrom), "service-name-from", string(otlp.ServiceNameFromComponent),
		"whose name the service.name of a span is: that of the component that did the work (component), or that of the service which the workload's pods run, from their labels and annotations (workload)")
	fs.BoolVar(&c.encoder.ObjectNames, "object-names", false, "put the names of objects into the names of all spans")
	fs.DurationVar(&c.drain, "drain-timeout", drain, "how long to wait at the end until the collector has all spans")
	c.addNodeFlags(fs)
	c.budget.addFlags(fs)
	c.traceURL.addFlags(fs)
	c.logs.addFlags(fs)
	c.exporter.AddFlags(fs)
}

func (c *conversion) validate() error {
	for flag, d := range map[string]time.Duration{
		"settle": c.engine.Settle, "linger": c.engine.Linger, "quiet": c.engine.Quiet, "drain-timeout": c.drain,
	} {
		if d <= 0 {
			return fmt.Errorf("--%s: %s is not a time to wait; it must be more than 0", flag, d)
		}
	}
	if err := c.budget.validate(); err != nil {
		return err
	}
	if err := c.traceURL.validate(); err != nil {
		return err
	}
	var err error
	if c.engine.Records, err = c.logs.wanted(); err != nil {
		return err
	}
	if err := c.validateTraceContext(); err != nil {
		return err
	}
	if err := errors.Join(c.validateShown(), c.validateNodeFlags()); err != nil {
		return err
	}
	if names := c.encoder.SpanNames; names != otlp.SpanNamesObject && names != otlp.SpanNamesKind {
		return fmt.Errorf("--span-names: %q is not one of %s, %s", names, otlp.SpanNamesObject, otlp.SpanNamesKind)
	}
	if err := c.validateServiceName(); err != nil {
		return err
	}
	// Their ends are counted from a whole second, which is how fine the API is.
	for flag, d := range map[string]time.Duration{
		"in-progress-after": c.engine.InProgressAfter, "in-progress-every": c.engine.InProgressEvery,
	} {
		if d < time.Second && (flag != "in-progress-after" || d != 0) {
			orNever := ""
			if flag == "in-progress-after" {
				orNever = ", or 0 for never"
			}
			return fmt.Errorf("--%s: %s is too short; it must be 1s or more%s", flag, d, orNever)
		}
	}
	switch c.format {
	case outputTree, outputJSON:
		return nil
	case outputOTLP:
		return c.exporter.Validate()
	}
	return fmt.Errorf("-o: %q is not one of %s, %s, %s", c.format, outputTree, outputJSON, outputOTLP)
}

func (c *conversion) validateServiceName() error {
	switch from := c.encoder.ServiceNameFrom; {
	case from != otlp.ServiceNameFromComponent && from != otlp.ServiceNameFromWorkload:
		return fmt.Errorf("--service-name-from: %q is not one of %s, %s", from, otlp.ServiceNameFromComponent, otlp.ServiceNameFromWorkload)
	case from == otlp.ServiceNameFromWorkload && c.encoder.ServiceName != "":
		return errors.New("--service-name gives all spans one name, and --service-name-from=workload each workload's its own: leave one of them out")
	}
	return nil
}

func (c *conversion) validateTraceContext() error {
	modes := []causality.TraceContextMode{causality.TraceContextParent, causality.TraceContextLink, causality.TraceContextIgnore}
	if !slices.Contains(modes, c.engine.TraceContext) {
		return fmt.Errorf("--trace-context: %q is not one of %s, %s, %s", c.engine.TraceContext, modes[0], modes[1], modes[2])
	}
	for _, namespace := range c.engine.TraceContextNamespaces {
		if why := validation.IsDNS1123Label(namespace); len(why) > 0 {
			return fmt.Errorf("--trace-context-namespaces: %q is not the name of a namespace: %s", namespace, why[0])
		}
	}
	for _, key := range c.engine.TraceContextKeys {
		if why := validation.IsQualifiedName(strings.ToLower(key)); len(why) > 0 {
			return fmt.Errorf("--trace-context-keys: %q is not the key of an annotation: %s", key, why[0])
		}
	}
	if len(c.engine.TraceContextKeys) == 0 {
		return errors.New("--trace-context-keys: no key is given; to read none, use --trace-context=ignore")
	}
	return nil
}

// validateShown checks what of the metadata of workloads is to be on spans.
func (c *conversion) validateShown() error {
	for _, key := range c.engine.WorkloadLabels {
		if why := validation.IsQualifiedName(key); len(why) > 0 {
			return fmt.Errorf("--workload-labels: %q is not the key of a label: %s", key, why[0])
		}
	}
	for _, key := range c.engine.WorkloadAnnotations {
		if why := validation.IsQualifiedName(strings.ToLower(key)); len(why) > 0 {
			return fmt.Errorf("--workload-annotations: %q is not the key of an annotation: %s", key, why[0])
		}
		if causality.IsCopy(key) {
			return fmt.Errorf("--workload-annotations: %s is a copy of the object, with its environment variables, which are never sent; name other annotations", key)
		}
	}
	return nil
}

// usualFormat is the one of a run that is told none.
func (c *conversion) usualFormat() string {
	if c.exporter.Configured() {
		return outputOTLP
	}
	return outputTree
}

// print returns the output that writes to w, in the format outputTree or
// outputJSON. The cluster's UID may be empty.
func (c *conversion) print(w io.Writer, clusterUID string) (outputWithRecords, error) {
	if c.format == outputTree {
		return treeOutput{w, c.traceURL.template}, nil
	}
	encoder, err := c.newEncoder(clusterUID)
	if err != nil {
		return nil, err
	}
	return jsonOutput{otlp.NewJSONWriter(w, encoder)}, nil
}

// export returns an exporter to the collector, with a queue on the disk; nil for none.
func (c *conversion) export(log *slog.Logger, encoder *otlp.Encoder, queue *journal.Queue) (*export.Exporter, error) {
	config := c.exporter
	if queue != nil {
		config.Store = diskQueue{queue, encoder.Around()}
	}
	return export.New(config, encoder, logr.FromSlogHandler(log.Handler()))
}

func (c *conversion) newEncoder(clusterUID string) (*otlp.Encoder, error) {
	options := c.encoder
	options.ClusterUID = clusterUID
	options.Version = buildVersion()
	return otlp.NewEncoder(options)
}

// treeOutput prints traces for people, with an empty line behind each.
type treeOutput struct {
	w  io.Writer
	at traceurl.Template
}

func (o treeOutput) Deliver(t spans.Trace) error {
	if err := text.WriteTreeAt(o.w, t, o.at.Of(t.Root())); err != nil {
		return err
	}
	_, err := io.WriteString(o.w, "\n")
	return err
}

func (o treeOutput) Close(context.Context) error { return nil }

// jsonOutput prints traces as OTLP JSON, one request a line.
type jsonOutput struct{ w *otlp.JSONWriter }

func (o jsonOutput) Deliver(t spans.Trace) error { return o.w.Write([]spans.Trace{t.Sent()}) }

func (o jsonOutput) Close(context.Context) error { return nil }

// otlpOutput sends traces to a collector. It never waits: a watch must not
// stand still because a collector does.
type otlpOutput struct {
	exporter *export.Exporter
	queue    *journal.Queue // on the disk; nil for none
}

func (o otlpOutput) Deliver(t spans.Trace) error {
	o.exporter.Enqueue([]spans.Trace{t.Sent()})
	return nil
}

func (o otlpOutput) Close(ctx context.Context) error {
	_, err := o.exporter.Shutdown(ctx)
	if o.queue != nil {
		err = errors.Join(err, o.queue.Close())
	}
	return err
}

// patientOutput sends traces to a collector, for a replay, which can wait: it
// holds back while half of the queue is full, so that no span is dropped, and
// in the end it takes every span that was lost for an error.
type patientOutput struct {
	ctx      context.Context
	exporter *export.Exporter
}

func (o patientOutput) full() bool {
	s := o.exporter.Stats()
	return s.Queued > s.MaxQueued/2 || s.QueuedBytes > s.MaxQueuedBytes/2
}

// wait waits for room.
func (o patientOutput) wait() error {
	for o.full() {
		select {
		case <-o.ctx.Done():
			return o.ctx.Err()
		case <-time.After(10 * time.Millisecond):
		}
	}
	return nil
}

func (o patientOutput) Deliver(t spans.Trace) error {
	if err := o.wait(); err != nil {
		return err
	}
	o.exporter.Enqueue([]spans.Trace{t.Sent()})
	return nil
}

func (o patientOutput) Close(ctx context.Context) error {
	_, err := o.exporter.Shutdown(ctx)
	stats := o.exporter.Stats()
	if n := stats.Rejected + stats.Dropped.Total(); n > 0 {
		err = errors.Join(err, fmt.Errorf("the collector did not take %d of %d spans: %s", n, stats.Enqueued, stats.LastError))
	}
	return err
}
