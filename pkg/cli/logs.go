package cli

import (
	"context"
	"errors"
	"log/slog"

	"github.com/spf13/pflag"
	corev1 "k8s.io/api/core/v1"

	"github.com/rollspan/rollspan/pkg/causality"
	"github.com/rollspan/rollspan/pkg/filter"
	"github.com/rollspan/rollspan/pkg/journal"
	"github.com/rollspan/rollspan/pkg/metrics"
	"github.com/rollspan/rollspan/pkg/otlp"
	"github.com/rollspan/rollspan/pkg/otlp/export"
	"github.com/rollspan/rollspan/pkg/spans"
	"github.com/rollspan/rollspan/pkg/spans/text"
	"github.com/rollspan/rollspan/pkg/watcher"
)

// eventLogs is whether Events are logged, and which.
type eventLogs struct {
	on               bool
	include, exclude []string
}

func (l *eventLogs) addFlags(fs *pflag.FlagSet) {
	fs.BoolVar(&l.on, "logs", false,
		"send each Event as a log record, too, within ten seconds and with the ID of its trace; the collector needs a pipeline of logs")
	fs.StringArrayVar(&l.include, "events-include", nil,
		"`RULE` of Events to log, such as type=Warning,reason=BackOff|Failed*,namespace=shop,kind=Pod; repeatable, one that matches is enough; default all")
	fs.StringArrayVar(&l.exclude, "events-exclude", nil,
		"`RULE` of Events that are not to be logged, written as above, repeatable; it wins")
}

// wanted says of which Events log records are made; nil for none.
func (l *eventLogs) wanted() (func(*corev1.Event) bool, error) {
	wanted, err := filter.Parse("events", eventFields, l.include, l.exclude)
	if err != nil {
		return nil, err
	}
	if !l.on {
		if len(l.include)+len(l.exclude) > 0 {
			return nil, errors.New("--events-include and --events-exclude are of no use without --logs; give that, too")
		}
		return nil, nil
	}
	return func(in *corev1.Event) bool {
		return wanted.Passes(func(field string) string {
			switch field {
			case "namespace":
				return in.Namespace
			case "type":
				return in.Type
			case "reason":
				return in.Reason
			default:
				return in.InvolvedObject.Kind
			}
		})
	}, nil
}

// eventFields are what an Event is selected by: the namespace is that of the Event itself, as
// `kubectl get events --all-namespaces` shows it, and the kind that of the object that it is about.
// The types are those that there are (k8s.io/kubernetes/pkg/apis/core/validation/events.go).
var eventFields = []filter.Field{
	{Name: "namespace"}, {Name: "type", Values: []string{corev1.EventTypeNormal, corev1.EventTypeWarning}}, {Name: "reason"},
	{Name: "kind", Known: filter.Kinds()},
}

// recordOutput is where log records go.
type recordOutput interface {
	DeliverRecord(r *spans.Record) error
}

// outputWithRecords is an output that takes both.
type outputWithRecords interface {
	output
	recordOutput
}

// withRecords is an output of traces that passes log records by it, to another.
type withRecords struct {
	output
	records recordOutput
}

func (o withRecords) Deliver(t spans.Trace) error {
	if t.Record != nil {
		return o.records.DeliverRecord(t.Record)
	}
	return o.output.Deliver(t)
}

// DeliverRecord prints the record as a line.
func (o treeOutput) DeliverRecord(r *spans.Record) error { return text.WriteRecord(o.w, r) }

// DeliverRecord prints the record as OTLP JSON, one request a line.
func (o jsonOutput) DeliverRecord(r *spans.Record) error {
	return o.w.WriteRecords([]*spans.Record{r})
}

// DeliverRecord has the record go where records go.
func (o withRecords) DeliverRecord(r *spans.Record) error { return o.records.DeliverRecord(r) }

// noRecords takes none, as none are made.
type noRecords struct{ output }

// DeliverRecord does nothing.
func (noRecords) DeliverRecord(*spans.Record) error { return nil }

// logOutput sends log records to a collector. It never waits.
type logOutput struct{ otlpOutput }

// DeliverRecord has the record sent.
func (o logOutput) DeliverRecord(r *spans.Record) error {
	o.exporter.EnqueueRecords(r)
	return nil
}

// patientLogs sends log records, for a replay, as patientOutput does traces.
type patientLogs struct{ patientOutput }

// DeliverRecord has the record sent when there is room.
func (o patientLogs) DeliverRecord(r *spans.Record) error {
	if err := o.wait(); err != nil {
		return err
	}
	o.exporter.EnqueueRecords(r)
	return nil
}

// tracesAndLogs sends both.
type tracesAndLogs struct {
	withRecords
	logs output
}

func (o tracesAndLogs) Close(ctx context.Context) error { return closeBoth(ctx, o.output, o.logs) }

// exportLogs is export for log records.
func (c *conversion) exportLogs(log *slog.Logger, encoder *otlp.Encoder, queue *journal.Queue) (*export.Exporter, error) {
	ofLogs := *c
	ofLogs.exporter.Signal, ofLogs.exporter.Acknowledged = export.SignalLogs, nil
	return ofLogs.export(log, encoder, queue)
}

// openLogs opens where log records go beside the traces, if they are sent.
func (r *run) openLogs(traces output, encoder *otlp.Encoder, live *watcher.Live, registered *registry) (outputWithRecords, error) {
	if !r.conversion.logs.on {
		return noRecords{traces}, nil
	}
	if r.dataDir != "" {
		var err error
		_, most := r.shareQueue()
		if r.logQueue, err = r.openQueue(live, "queue-logs", most); err != nil {
			return nil, err
		}
		if err := registered.add(watcher.LogQueueMetrics(r.logQueue.Stats)...); err != nil {
			return nil, err
		}
	}
	exporter, err := r.conversion.exportLogs(r.log, encoder, r.logQueue)
	if err != nil {
		return nil, err
	}
	r.log.Info("sending Events as log records", "to", exporter.Endpoint())
	if settle := r.conversion.engine.Settle; settle > causality.RecordsWithin {
		r.log.Warn("log records name only traces that are told already, as by --settle it is certain too late to which trace an Event belongs",
			"settle", settle, "most", causality.RecordsWithin)
	}
	logs := logOutput{otlpOutput{exporter, r.logQueue}}
	return tracesAndLogs{withRecords{traces, logs}, logs}, registered.add(metrics.NewLogExporter(exporter.Stats))
}

// openLogs opens where log records go beside the traces.
func (o *replayOutput) openLogs(encoder *otlp.Encoder) error {
	exporter, err := o.conversion.exportLogs(o.log, encoder, nil)
	if err != nil {
		return err
	}
	logs := patientLogs{patientOutput{ctx: o.ctx, exporter: exporter}}
	o.out = tracesAndLogs{withRecords{o.out, logs}, logs}
	return nil
}
