package build

import (
	"time"

	"github.com/rollspan/rollspan/pkg/spans"
	"github.com/rollspan/rollspan/pkg/spans/attr"
	"github.com/rollspan/rollspan/pkg/spans/kind"
)

// InProgressTrace builds a span "in progress", which says what is waited for.
func (b *builder) InProgressTrace(spec SpanSpec, w waiting) spans.Trace {
	spec.parent, spec.Kind = b.place.RootID(), kind.InProgress
	b.below(spec.parent, parent{service: spec.Service}) // who tells of it is who the root will be of
	spec.id = []string{kind.InProgress.ID(), spec.End.UTC().Format(time.RFC3339Nano)}
	spec.Attrs = append(append(spec.Attrs, attr.WaitingForKey.String(w.sentence())), w.attrs...)
	if w.reason != "" {
		spec.Attrs = append(spec.Attrs, attr.WaitingReasonKey.String(w.reason))
	}
	b.add(spec)
	return b.done()
}
