package build

import (
	"time"

	"go.opentelemetry.io/otel/attribute"

	"github.com/rollspan/rollspan/pkg/causality/internal/plans"
	"github.com/rollspan/rollspan/pkg/causality/internal/workloads"
	"github.com/rollspan/rollspan/pkg/spans"
	"github.com/rollspan/rollspan/pkg/spans/attr"
	"github.com/rollspan/rollspan/pkg/spans/kind"
)

// InProgressTrace builds a span "in progress", which says what is waited for.
func (b *builder) InProgressTrace(spec SpanSpec, w waiting) spans.Trace {
	spec.parent, spec.Kind = b.place.RootID(), kind.InProgress
	b.below(spec.parent, parent{service: spec.Service}) // who tells of it is who the root will be of
	spec.id = []string{kind.InProgress.ID(), spec.End.UTC().Format(time.RFC3339Nano)}
	spec.Attrs = append(spec.Attrs, w.attributes()...)
	b.add(spec)
	return b.done()
}

// attributes say what is waited for.
func (w *waiting) attributes() []attribute.KeyValue {
	attrs := append([]attribute.KeyValue{attr.WaitingForKey.String(w.String())}, w.attrs...)
	if w.reason != "" {
		attrs = append(attrs, attr.WaitingReasonKey.String(w.reason))
	}
	return attrs
}

// PreviewTrace builds the trace of a change as it is known now, and says on its root what the
// change waits for, if it is open. Ledgers are written as if it was handed out.
func PreviewTrace(p *plans.Plan, c *workloads.Change, now time.Time) spans.Trace {
	t := ChangeTrace(p, c, now)
	root := t.Root()
	if root == nil || c.Over() {
		return t
	}
	w := WaitingFor(p, c, now)
	t.Waits = &w.Waits
	for _, kv := range w.attributes() {
		if _, has := root.Attribute(kv.Key); !has {
			root.Attributes = append(root.Attributes, kv)
		}
	}
	return t
}
