package build

import (
	"time"

	"github.com/rollspan/rollspan/pkg/spans"
	"github.com/rollspan/rollspan/pkg/spans/attr"
	"github.com/rollspan/rollspan/pkg/spans/kind"
)

// InProgressTrace builds a span "in progress", which says what is waited for.
func (b *builder) InProgressTrace(n Node, w waiting) spans.Trace {
	n.parent, n.Kind = b.place.RootID(), kind.InProgress
	n.id = []string{kind.InProgress.ID(), n.End.UTC().Format(time.RFC3339Nano)}
	n.Attrs = append(append(n.Attrs, attr.WaitingForKey.String(w.sentence())), w.attrs...)
	if w.reason != "" {
		n.Attrs = append(n.Attrs, attr.WaitingReasonKey.String(w.reason))
	}
	b.add(n)
	return b.done()
}
