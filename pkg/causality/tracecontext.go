package causality

import (
	"context"
	"slices"
	"strings"

	"go.opentelemetry.io/otel/propagation"
	"go.opentelemetry.io/otel/trace"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/rollspan/rollspan/pkg/spans"
	"github.com/rollspan/rollspan/pkg/spans/attr"
)

// TraceContextMode is what becomes of the trace context that a deployer leaves
// on a workload.
type TraceContextMode string

const (
	// TraceContextParent makes a change a child of the deployer's span, in the
	// deployer's trace, if the context is new. An old one gives a link.
	TraceContextParent TraceContextMode = "parent"
	// TraceContextLink leaves each change a trace of its own, with a link to the
	// deployer's span.
	TraceContextLink TraceContextMode = "link"
	// TraceContextIgnore does not read contexts.
	TraceContextIgnore TraceContextMode = "ignore"
)

// DefaultTraceContextKeys are the annotations that contexts are read from: that
// of KEP-5915, and the name of the W3C's header.
func DefaultTraceContextKeys() []string {
	return []string{"tracing.k8s.io/traceparent", "traceparent"}
}

const (
	// maxContexts bounds how many values are remembered of a workload: each
	// deployment brings one, and the oldest are those that a rollback to a
	// revision within the default history of 10 cannot restore.
	maxContexts = 32
	// maxContextText bounds the length of a value. The W3C's version 00 has 55
	// bytes; later versions may add to that what need not be read.
	maxContextText = 256
)

// contextValue is a value that an annotation for trace contexts had.
type contextValue struct {
	text    string
	context trace.SpanContext // not valid if the text is no context
	// first is the write that it was first seen in.
	first stamp
	// listed says that it was there when the watcher came, so that nobody
	// knows since when.
	listed bool
}

// offer is a context that a workload carries when a change begins.
type offer struct {
	contextValue
	template bool // it is on the pod template
}

// freshFor reports whether the context came since the change before c began.
// One that was there already was meant for that one.
func (o *offer) freshFor(c *change) bool { return !o.listed && c.previous.before(o.first) }

// traceContexts is what is known of the contexts that a workload carries, or
// has carried.
type traceContexts struct {
	// values are in the order in which they were last seen.
	values []contextValue
	// offers are there now, the workload's own first, each in order of the keys.
	offers []offer
}

// observeContexts reads the contexts of a workload's state. listed says that
// the values it did not have before may be of any age.
func (e *Engine) observeContexts(d *workload, meta metav1.Object, s stamp, listed bool) {
	d.contexts.offers = nil
	if e.opts.TraceContext == TraceContextIgnore {
		return
	}
	e.offerContexts(d, meta.GetAnnotations(), false, s, listed)
	if t := templateOf(meta); t != nil {
		e.offerContexts(d, t.Annotations, true, s, listed)
	}
}

// joins reports whether the workloads of a namespace may join their deployers' traces.
func (e *Engine) joins(namespace string) bool {
	allowed := e.opts.TraceContextNamespaces
	return e.opts.TraceContext == TraceContextParent && (len(allowed) == 0 || slices.Contains(allowed, namespace))
}

func (e *Engine) offerContexts(d *workload, annotations map[string]string, template bool, s stamp, listed bool) {
	for _, key := range e.opts.TraceContextKeys {
		text, ok := annotations[key]
		if !ok {
			continue
		}
		v := contextValue{text: text[:min(len(text), maxContextText)], first: s, listed: listed}
		i := slices.IndexFunc(d.contexts.values, func(have contextValue) bool { return have.text == v.text })
		if i >= 0 {
			v = d.contexts.values[i]
			d.contexts.values = slices.Delete(d.contexts.values, i, i+1)
		} else {
			v.text = strings.Clone(v.text) // not with all that was cut off
			if v.context = parseContext(v.text); !v.context.IsValid() {
				e.stats.MalformedContexts++
			}
		}
		d.contexts.values = append(d.contexts.values, v)
		if len(d.contexts.values) > maxContexts {
			d.contexts.values = slices.Delete(d.contexts.values, 0, 1)
		}
		if v.context.IsValid() {
			d.contexts.offers = append(d.contexts.offers, offer{v, template})
		}
	}
}

// contextsIn are the contexts among annotations.
func (e *Engine) contextsIn(annotations map[string]string) (found []trace.SpanContext) {
	if e.opts.TraceContext == TraceContextIgnore {
		return nil
	}
	for _, key := range e.opts.TraceContextKeys {
		if sc := parseContext(annotations[key]); sc.IsValid() {
			found = append(found, sc)
		}
	}
	return found
}

// parseContext reads a W3C traceparent; what it returns is not valid if the text
// is none.
func parseContext(text string) trace.SpanContext {
	carrier := propagation.MapCarrier{"traceparent": strings.TrimSpace(text)}
	return trace.SpanContextFromContext(propagation.TraceContext{}.Extract(context.Background(), carrier))
}

// deployed reports whether the change is one that a deployer makes, who could
// have left a context for it.
func (c *change) deployed() bool {
	return c.kind != attr.ChangeDelete && c.cause != attr.CauseAutoscale && c.cause != attr.CauseNodes
}

// offer gives a change the contexts that its workload carries as it begins.
func (d *workload) offer(c *change) *change {
	c.offers, c.previous = d.contexts.offers, d.lastDeployed
	if d.pending != nil {
		c.previous = d.pending.opened // what came with a template that waits is for its rollout
	}
	return c
}

// begin adds a change to the workload's.
func (d *workload) begin(c *change) {
	if c.deployed() {
		d.lastDeployed = c.opened
	}
	d.changes = append(d.changes, c)
}

// linkContexts links a change to the deployers' spans that it is not below.
func (c *change) linkContexts(root *spans.Span) {
	told := []trace.SpanContext{c.ledger.joined}
	for _, o := range c.offers {
		if slices.ContainsFunc(told, func(sc trace.SpanContext) bool { return sameSpan(sc, o.context) }) {
			continue
		}
		told = append(told, o.context)
		addLink(root, o.context.TraceID(), o.context.SpanID(), attr.LinkContext)
	}
}

func sameSpan(a, b trace.SpanContext) bool {
	return a.TraceID() == b.TraceID() && a.SpanID() == b.SpanID()
}
