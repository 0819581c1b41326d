package records

import (
	"github.com/rollspan/rollspan/pkg/causality/internal/nodes"
	"github.com/rollspan/rollspan/pkg/causality/internal/podlife"
	"github.com/rollspan/rollspan/pkg/spans"
)

// mostOfNode is of how many Events of a node, that no span has, it is looked for the disruption
// that will have them: what comes after those is told apart.
const mostOfNode = 64

// ofNode is the root of the disruption that will have an Event about a node; nil where none is
// known. That a kubelet started may turn out to be part of a reboot.
func (l *lookout) ofNode(n *nodes.Record, ev *podlife.Event) *spans.Span {
	d := n.DisruptionOf(ev)
	switch {
	case d == nil, d.Ledger.Sent, d.Kind == nodes.KubeletRestarted, n.Gone, len(n.Untold()) > mostOfNode:
		return nil
	case d.Over && ev.Last().At.After(d.End.At()):
		return nil // it may be said again of what comes after it
	}
	at := d.Place()
	return &spans.Span{TraceID: at.TraceID(), SpanID: at.RootID()}
}
