package cli

import (
	"fmt"
	"log/slog"
	"time"

	"github.com/spf13/pflag"
	"go.opentelemetry.io/otel/codes"
	semconv "go.opentelemetry.io/otel/semconv/v1.43.0"

	"github.com/rollspan/rollspan/pkg/spans"
	"github.com/rollspan/rollspan/pkg/spans/attr"
	"github.com/rollspan/rollspan/pkg/spans/traceurl"
)

// traceURL is how links to traces are made.
type traceURL struct {
	text     string
	template traceurl.Template
}

func (t *traceURL) addFlags(fs *pflag.FlagSet) {
	fs.StringVar(&t.text, "trace-url", "",
		"`URL` of a trace in the backend's UI, such as https://jaeger.example/trace/{trace_id}, for trees, logs and webhooks; {span_id}, {start_ms} and {end_ms} are replaced, too; default none")
}

func (t *traceURL) validate() (err error) {
	if t.template, err = traceurl.Parse(t.text); err != nil {
		return fmt.Errorf("--trace-url: %w", err)
	}
	return nil
}

// logged has changes that fail logged on their way to next, if there are links to them that are
// not printed with their trees.
func (r *run) logged(next output) output {
	if !r.conversion.traceURL.template.Set() || r.conversion.format != outputOTLP {
		return next
	}
	return &loggedOutput{output: next, log: r.log, at: r.conversion.traceURL.template, now: time.Now}
}

const (
	// loggedAtMost is how many failed changes are logged in loggedEvery; the rest is counted.
	loggedAtMost = 20
	loggedEvery  = time.Minute
)

// loggedOutput logs each change that failed, with the link to its trace.
type loggedOutput struct {
	output
	log *slog.Logger
	at  traceurl.Template
	now func() time.Time

	since        time.Time
	said, unsaid int
}

func (o *loggedOutput) Deliver(t spans.Trace) error {
	if root := t.Root(); root != nil && !t.Late && root.Status == codes.Error {
		if what, ok := root.Attribute(attr.ChangeKey); ok {
			o.say(root, what.AsString())
		}
	}
	return o.output.Deliver(t)
}

func (o *loggedOutput) say(root *spans.Span, change string) {
	if now := o.now(); now.Sub(o.since) >= loggedEvery {
		if o.unsaid > 0 {
			o.log.Warn("more changes failed than are logged", "changes", o.unsaid)
		}
		o.since, o.said, o.unsaid = now, 0, 0
	}
	if o.said == loggedAtMost {
		o.unsaid++
		return
	}
	o.said++
	namespace, _ := root.Attribute(semconv.K8SNamespaceNameKey)
	o.log.Warn("a change failed", "change", change, "object", root.Subject, "namespace", namespace.AsString(),
		"reason", root.Message, "traceID", root.TraceID.String(), "url", o.at.Of(root))
}
