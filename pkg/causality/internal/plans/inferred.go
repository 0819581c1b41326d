package plans

import (
	"slices"
	"time"

	"github.com/rollspan/rollspan/pkg/causality/internal/evidence"
	"github.com/rollspan/rollspan/pkg/causality/internal/podlife"
	"github.com/rollspan/rollspan/pkg/causality/internal/workloads"
	"github.com/rollspan/rollspan/pkg/spans/attr"
)

// stepsOpenTo says which steps of a set can have made a pod; nil is all. Of a snapshot, those of
// a change that was complete before the pod was made cannot: all the pods that they had asked
// for were there by then, and if they are not in the snapshot, they have gone since.
func (p *Plan) stepsOpenTo(set *workloads.PodSet, pod *podlife.Pod) func(*workloads.Step) bool {
	if !p.Workload.Inferred {
		return nil
	}
	return func(step *workloads.Step) bool {
		c := p.changeFor(set, step.Write)
		return c == nil || !c.Over() || c.Outcome() != attr.OutcomeComplete || !pod.Created.Earliest.After(c.End.At().Add(evidence.ArrivalSlack))
	}
}

// replacedWithin is how long after a pod was lost its controller makes another, if nothing
// keeps it from that: ReplicaSets do so at once, the others when the pod is gone.
const replacedWithin = 30 * time.Second

// replacesInTime reports whether a pod of a snapshot can have come in the place of a lost one.
// One that came later may have replaced another, of which nothing is left.
func replacesInTime(lost, pod *podlife.Pod, rule workloads.Replacement) bool {
	at := lost.LostAt().At()
	if rule.InTheWay() {
		at = evidence.Latest(at.Add(lost.Grace), lost.Gone.At())
	}
	return !pod.Created.Earliest.After(at.Add(replacedWithin))
}

// ReplacementUnknown reports whether nothing in a snapshot tells what became of the place of a
// pod that was lost: the pod that came in it has gone since.
func (p *Plan) ReplacementUnknown(lost *podlife.Pod, now time.Time) bool {
	if !p.Workload.Inferred || !now.After(lost.LostAt().At().Add(replacedWithin)) {
		return false
	}
	if p.Workload.Controller.Replaces.InTheWay() && !lost.Gone.Known() {
		return false // it is still in the way
	}
	set := p.Stops[lost].Set
	return set == nil || !slices.ContainsFunc(set.Events, func(ev *podlife.Event) bool {
		return ev.Reason == "FailedCreate" && !ev.First().Before(lost.LostAt().Earliest)
	})
}
