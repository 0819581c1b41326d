package causality

import (
	"time"

	"github.com/rollspan/rollspan/pkg/causality/internal/clocks"
)

// Clock is a clock that is off: that of a node, of a component such as a controller, or
// rollspan's own. The API server's is the one that they are compared with.
type Clock struct {
	// Node is the node whose kubelet states times by it, Component who else does. Both are
	// empty for the clock by which Observations are dated.
	Node, Component string
	// Namespace is whose Events show it, as whoever may write Events there could have written
	// them; empty where nobody else can. It counts for that namespace alone.
	Namespace string
	// Offset is how far it is ahead of the API server's; behind, if it is negative.
	Offset time.Duration
	// At is when that was noticed.
	At time.Time
}

func clockOf(f clocks.Finding) Clock {
	c := Clock{Node: f.Source.Node, Component: f.Source.Component, Namespace: f.Namespace, Offset: f.Offset, At: f.At}
	if f.Source == clocks.Watcher {
		c.Component = ""
	}
	return c
}

// clockFound is who is told of clocks; nil if nobody is.
func (o *Options) clockFound() func(clocks.Finding) {
	if o.OnClock == nil {
		return nil
	}
	return func(f clocks.Finding) { o.OnClock(clockOf(f)) }
}

// wrongClocks are those of nodes that are off, and rollspan's, if it is.
func (e *Engine) wrongClocks() (wrong []Clock) {
	for _, f := range e.clocks.Wrong() {
		wrong = append(wrong, clockOf(f))
	}
	return wrong
}
