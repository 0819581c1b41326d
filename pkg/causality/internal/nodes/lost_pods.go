package nodes

import "time"

// LostAround is the disruption in which the node was not Ready, or nobody heard of it, that
// began at most reach before a time, or after it; nil if there was none.
func (n *Record) LostAround(t time.Time, reach time.Duration) *Disruption {
	for _, d := range n.Disruptions {
		lost := d.Kind == NotReady || d.Kind == Unreachable
		if off := t.Sub(EarliestOf(d.Start)).Abs(); lost && off <= reach {
			return d
		}
	}
	return nil
}
