package build

import (
	"slices"

	"github.com/rollspan/rollspan/pkg/causality/internal/nodes"
	"github.com/rollspan/rollspan/pkg/causality/internal/plans"
	"github.com/rollspan/rollspan/pkg/causality/internal/podlife"
	"github.com/rollspan/rollspan/pkg/spans/attr"
)

// podsUnknown reports whether a change was over before a snapshot was taken, and
// pods that it wanted are nowhere in that, or nothing tells when they were Ready. They have
// gone since, with their Events, or were never made: nothing tells. So nothing is said of how
// the change fared.
func (b *changeBuilder) podsUnknown() bool {
	if b.change.Kind == attr.ChangeRun {
		return b.plan.Pods[0].ReadyUnknown
	}
	superseded := b.change.Outcome() == attr.OutcomeSuperseded
	if !b.plan.Workload.Inferred {
		return superseded && b.countsUnseen()
	}
	if !b.change.Over() {
		return false
	}
	if b.change.CountUnknown {
		return true
	}
	if len(b.plan.Sets) > 0 && !b.plan.Sets[0].Direct() && slices.ContainsFunc(b.plan.StepsOf(b.change), b.stepUnknown) {
		return true
	}
	made := int32(0)
	for pod, at := range b.plan.Starts {
		if at.Change == b.change {
			made++
			if pod.ReadyUnknown {
				return true
			}
		}
	}
	direct := len(b.plan.Sets) == 0 || b.plan.Sets[0].Direct()
	return direct && b.endHidesPods() && made < b.change.Wanted
}

// endHidesPods reports whether a change ended in a way that says nothing of the pods that are
// not there: each that it wanted has gone since, or was never made.
func (b *changeBuilder) endHidesPods() bool {
	switch b.change.Outcome() {
	case attr.OutcomeSuperseded:
		return true
	case attr.OutcomeComplete:
		return b.change.Kind == attr.ChangeRollout
	}
	return false
}

// countUnknown reports whether nothing tells how many pods were ready at the end of a change.
// At the end of one that is complete, all were.
func (b *changeBuilder) countUnknown() bool {
	if b.plan.Workload.Inferred && !b.change.Over() {
		return b.podsNotInSnapshot()
	}
	return (b.change.Outcome() != attr.OutcomeComplete || b.change.Kind == attr.ChangeRun) && b.podsUnknown()
}

// podsNotInSnapshot reports whether a workload has pods that the snapshot has not, as whoever
// took it may not have been allowed to read them.
func (b *changeBuilder) podsNotInSnapshot() bool {
	there := int32(0)
	for _, pod := range b.plan.Pods {
		if !pod.Lost() {
			there++
		}
	}
	return there < b.plan.Workload.Total()
}

// countsUnseen reports whether a ReplicaSet counted pods of a rollout as available of which
// none was seen to be: the stream lacks them.
func (b *changeBuilder) countsUnseen() bool {
	if b.change.Kind != attr.ChangeRollout {
		return false
	}
	for _, set := range b.plan.Sets {
		if set.Direct() || set.Revision != b.change.Revision || b.change.Revision == 0 {
			continue
		}
		seen := 0
		for _, pod := range b.plan.Pods {
			ready, ok := pod.FirstReady()
			if ok && b.plan.Starts[pod].Set == set && !nodes.EarliestOf(ready.At).After(b.end) {
				seen++
			}
		}
		if set.MostAvailable(b.end) > seen {
			return true
		}
	}
	return false
}

// stepUnknown is podsUnknown of a step. That pods could not be made, Events tell.
func (b *changeBuilder) stepUnknown(at plans.Attribution) bool {
	if !b.plan.Workload.Inferred || !b.endHidesPods() {
		return false
	}
	for _, ev := range at.Set.Events {
		if ev.Reason == "FailedCreate" && b.during(ev) {
			return false
		}
	}
	return at.Step.Ledger.Filled+int32(len(b.plan.StartsOf[at.Step])) < at.Step.To-at.Step.From //nolint:gosec // no ReplicaSet has that many pods
}

// StartUnknown reports whether a snapshot shows of a pod that it has ended, and nothing of how
// it had started: its status has lost that.
func StartUnknown(p *plans.Plan, pod *podlife.Pod) bool {
	if _, ready := pod.FirstReady(); ready || !p.Workload.Inferred || !pod.EndedUndeleted() || !podlife.Admitted(pod.Reason, pod.Message) {
		return false
	}
	return !slices.ContainsFunc(pod.Containers, func(c *podlife.Container) bool { return len(c.Runs) > 0 || len(c.Waits) > 0 })
}
