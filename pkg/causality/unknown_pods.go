package causality

import (
	"slices"

	"github.com/rollspan/rollspan/pkg/spans/attr"
)

// podsUnknown reports whether a change was over before a snapshot was taken, and
// pods that it wanted are nowhere in that. They have gone since, with their Events,
// or were never made: nothing tells. So nothing is said of how they fared.
func (b *changeBuilder) podsUnknown() bool {
	if !b.inferred || b.change.how() != attr.OutcomeSuperseded {
		return false
	}
	if len(b.sets) > 0 && !b.sets[0].direct() {
		return slices.ContainsFunc(b.stepsOf(b.change), b.stepUnknown)
	}
	made := int32(0)
	for _, s := range b.starts {
		if s.change == b.change {
			made++
		}
	}
	return made < b.change.wanted
}

// stepUnknown is podsUnknown of a step. That pods could not be made, Events tell.
func (b *changeBuilder) stepUnknown(s slot) bool {
	if !b.inferred || b.change.how() != attr.OutcomeSuperseded {
		return false
	}
	for _, ev := range s.rs.events {
		if ev.reason == "FailedCreate" && b.during(ev) {
			return false
		}
	}
	return s.step.ledger.filled+int32(len(b.startsOf[s.step])) < s.step.to-s.step.from //nolint:gosec // no ReplicaSet has that many pods
}
