package causality

import (
	"maps"
	"slices"
	"time"

	"github.com/rollspan/rollspan/pkg/spans/attr"
)

// comparable reports whether later rollouts are measured against this one.
func (c *change) comparable() bool {
	return c.kind == attr.ChangeRollout && c.how() == attr.OutcomeComplete
}

// comparePrevious tells on the root how long the completed rollout before took,
// and, if this one took longer, which phase of the critical path grew most.
//
// The one before may not have been handed out yet, because an old pod of its is
// slow to stop. How long it took is known, its critical path not.
func (b *changeBuilder) comparePrevious() {
	if b.change.kind != attr.ChangeRollout {
		return
	}
	previous := b.lastCompleted
	for _, c := range b.changes {
		if c == b.change {
			break
		}
		if c.comparable() {
			previous = c
		}
	}
	if previous == nil {
		return
	}
	var took time.Duration
	if previous.ledger.root != nil {
		took = previous.ledger.root.end.Sub(previous.ledger.root.start)
	} else {
		took = b.endOf(previous, b.end).Sub(b.startOf(previous))
	}
	b.root.Attributes = append(b.root.Attributes, seconds(attr.PreviousDurationKey, took))
	if previous.revision > 0 {
		b.root.Attributes = append(b.root.Attributes, attr.PreviousRevisionKey.Int64(previous.revision))
	}
	if b.end.Sub(b.start) <= took || previous.ledger.phases == nil {
		return // something always grows, if only by chance
	}
	if phase, by := grewMost(previous.ledger.phases, b.change.ledger.phases); by > 0 {
		b.root.Attributes = append(b.root.Attributes, attr.SlowerPhaseKey.String(string(phase)), seconds(attr.SlowerByKey, by))
	}
}

// grewMost is the phase that takes the most more time now than before.
func grewMost(before, now map[attr.Phase]time.Duration) (phase attr.Phase, by time.Duration) {
	for _, p := range slices.Sorted(maps.Keys(now)) {
		if more := now[p] - before[p]; more > by {
			phase, by = p, more
		}
	}
	return phase, by
}
