package critpath

import (
	"time"

	"github.com/rollspan/rollspan/pkg/causality/internal/evidence"
	"github.com/rollspan/rollspan/pkg/spans"
	"github.com/rollspan/rollspan/pkg/spans/attr"
)

// Loss is what a lost pod's replacement waited for: the stop of the lost pod, and the start of
// the one in its place. Either is nil where there is nothing to tell of it.
type Loss struct {
	Stop, Start *spans.Span
	// InTheWay is set where the lost pod had to be gone before there could be another, which has
	// its name or its node.
	InTheWay bool
	// Refused is when the API first refused the next pod, for a quota or a webhook: the
	// controller tries again until it may. It is zero if it did not.
	Refused time.Time
}

// Replace walks through a replacement, from where the path has come to the root's beginning.
func (path *Path) Replace(l Loss) {
	if l.Start != nil && !l.Start.Start.After(path.At) {
		path.Self(path.root, evidence.Earliest(l.Start.End, path.At))
		path.Descend(l.Start)
	}
	free := path.root.Start // when there could be another, but for what refused it
	if l.InTheWay && l.Stop != nil {
		free = l.Stop.End
	}
	if !l.Refused.IsZero() {
		path.Take(path.root, attr.PhaseCreatePod, attr.PhaseCreatePod.String(), evidence.Latest(l.Refused, free))
	}
	// When the API has the next pod is stated in whole seconds, so that it may seem to be there
	// before the lost one was gone.
	if l.InTheWay && l.Stop != nil && l.Stop.End.After(path.At) && l.Stop.Start.Before(path.At) {
		path.Descend(l.Stop)
	}
	path.parts(path.root, false)
}
