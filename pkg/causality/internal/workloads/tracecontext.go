package workloads

import (
	"context"
	"strings"

	"go.opentelemetry.io/otel/propagation"
	"go.opentelemetry.io/otel/trace"

	"github.com/rollspan/rollspan/pkg/causality/internal/evidence"
	"github.com/rollspan/rollspan/pkg/spans/attr"
)

const (
	// MaxContexts bounds how many values are remembered of a workload: each
	// deployment brings one, and the oldest are those that a rollback to a
	// revision within the default history of 10 cannot restore.
	MaxContexts = 32
	// MaxContextText bounds the length of a value. The W3C's version 00 has 55
	// bytes; later versions may add to that what need not be read.
	MaxContextText = 256
)

// ContextValue is a value that an annotation for trace contexts had.
type ContextValue struct {
	Text    string
	Context trace.SpanContext // not valid if the text is no context
	// First is the write that it was first seen in.
	First evidence.Write
	// Listed says that it was there when the watcher came, so that nobody
	// knows since when.
	Listed bool
}

// Offer is a trace context that a workload carries in an annotation when a change begins.
type Offer struct {
	ContextValue
	Template bool // it is on the pod template
}

// FreshFor reports whether the context came since the change before this one began. One
// that was there already was meant for that one.
func (o *Offer) FreshFor(c *Change) bool { return !o.Listed && c.previous.Before(o.First) }

// traceContexts is what is known of the contexts that a workload carries, or
// has carried.
type traceContexts struct {
	// Values are in the order in which they were last seen.
	Values []ContextValue
	// Offers are there now, the workload's own first, each in order of the keys.
	Offers []Offer
}

// ParseContext reads a W3C traceparent; what it returns is not valid if the text
// is none.
func ParseContext(text string) trace.SpanContext {
	carrier := propagation.MapCarrier{"traceparent": strings.TrimSpace(text)}
	return trace.SpanContextFromContext(propagation.TraceContext{}.Extract(context.Background(), carrier))
}

// Deployed reports whether the change is one that a deployer makes, who could
// have left a context for it.
func (c *Change) Deployed() bool {
	return c.Kind != attr.ChangeDelete && c.Cause != attr.CauseAutoscale && c.Cause != attr.CauseNodes
}

// Offer gives a change the contexts that its workload carries as it begins.
func (w *Workload) Offer(c *Change) *Change {
	c.Offers, c.previous, c.CountUnknown = w.Contexts.Offers, w.lastDeployed, w.CountUnknown
	if w.Pending != nil {
		c.previous = w.Pending.Opened // what came with a template that waits is for its rollout
	}
	return c
}

// Begin adds a change to the workload's.
func (w *Workload) Begin(c *Change) {
	if c.Deployed() {
		w.lastDeployed = c.Opened
	}
	w.Changes = append(w.Changes, c)
}

// SameSpan reports whether two contexts are of one span, whatever else they carry.
func SameSpan(a, b trace.SpanContext) bool {
	return a.TraceID() == b.TraceID() && a.SpanID() == b.SpanID()
}
