package nodes

import "time"

// HoldingUp are the disruptions in a time that keep a kubelet from its work on pods which
// start: it was started itself, or could not do it. Nodes that lack something, or are
// cordoned, go on with the pods that they have.
func (n *Record) HoldingUp(from, until time.Time) (found []*Disruption) {
	for _, d := range n.Disruptions {
		switch d.Kind {
		case NotReady, Unreachable, Rebooted, KubeletRestarted:
		default:
			continue
		}
		if !d.Start.At().Before(until) || !d.End.At().After(from) && d.Over || n.PartOfReboot(d) {
			continue
		}
		found = append(found, d)
	}
	return found
}

// Restarted reports whether the node's kubelet was started, so that it had been away.
func (d *Disruption) Restarted() bool { return d.Kind == KubeletRestarted || d.Kind == Rebooted }
