package nodes

import (
	"slices"
	"time"
)

// ofLoss reports whether in the disruption the node was not Ready, or nobody heard of it.
func (d *Disruption) ofLoss() bool { return d.Kind == NotReady || d.Kind == Unreachable }

// LostAround is the disruption in which the node was lost that began at most reach before a
// time, or after it; nil if there was none.
func (n *Record) LostAround(t time.Time, reach time.Duration) *Disruption {
	for _, d := range n.Disruptions {
		if d.ofLoss() && t.Sub(EarliestOf(d.Start)).Abs() <= reach {
			return d
		}
	}
	return nil
}

// Losses are the disruptions in which nodes were lost, in the order in which they began.
type Losses []*Disruption

// Losses are those of all nodes.
func (ns *Nodes) Losses() Losses {
	all := Losses{}
	for _, n := range ns.ByID {
		for _, d := range n.Disruptions {
			if d.ofLoss() {
				all = append(all, d)
			}
		}
	}
	slices.SortFunc(all, func(a, b *Disruption) int { return EarliestOf(a.Start).Compare(EarliestOf(b.Start)) })
	return all
}

// Around is the one node loss that began at most reach before a time, or after it; nil if
// there was none, or more than one.
func (ls Losses) Around(t time.Time, reach time.Duration) *Disruption {
	i, _ := slices.BinarySearchFunc(ls, t.Add(-reach), func(d *Disruption, t time.Time) int { return EarliestOf(d.Start).Compare(t) })
	within := func(i int) bool { return i < len(ls) && !EarliestOf(ls[i].Start).After(t.Add(reach)) }
	if !within(i) || within(i+1) {
		return nil
	}
	return ls[i]
}
