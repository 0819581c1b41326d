package build

import (
	"time"

	"github.com/rollspan/rollspan/pkg/causality/internal/plans"
	"github.com/rollspan/rollspan/pkg/causality/internal/waits"
	"github.com/rollspan/rollspan/pkg/causality/internal/workloads"
	"github.com/rollspan/rollspan/pkg/spans"
	"github.com/rollspan/rollspan/pkg/spans/kind"
)

// InProgressTrace builds a span "in progress", which says what is waited for.
func (b *builder) InProgressTrace(spec SpanSpec, w waits.Waiting) spans.Trace {
	spec.parent, spec.Kind = b.place.RootID(), kind.InProgress
	b.below(spec.parent, parent{service: spec.Service}) // who tells of it is who the root will be of
	spec.id = []string{kind.InProgress.ID(), spec.End.UTC().Format(time.RFC3339Nano)}
	spec.Attrs = append(spec.Attrs, w.Attributes()...)
	b.add(spec)
	return b.done()
}

// PreviewTrace builds the trace of a change as it is known now, and says on its root what the
// change waits for, if it is open. Ledgers are written as if it was handed out.
func PreviewTrace(p *plans.Plan, c *workloads.Change, now time.Time) spans.Trace {
	t := ChangeTrace(p, c, now)
	root := t.Root()
	if root == nil || c.Over() {
		return t
	}
	w := waits.ForChange(p, c, now)
	t.Waits = &w.Waits
	for _, kv := range w.Attributes() {
		if _, has := root.Attribute(kv.Key); !has {
			root.Attributes = append(root.Attributes, kv)
		}
	}
	return t
}
