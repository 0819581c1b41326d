package plans

import (
	"slices"
	"time"

	"github.com/rollspan/rollspan/pkg/causality/internal/evidence"
	"github.com/rollspan/rollspan/pkg/causality/internal/podlife"
	"github.com/rollspan/rollspan/pkg/causality/internal/workloads"
	"github.com/rollspan/rollspan/pkg/spans/attr"
)

// StartOf dates the write that opened a change: not after the first thing the
// controllers did about it.
func (p *Plan) StartOf(c *workloads.Change) time.Time {
	if t, ok := p.startedAt[c]; ok {
		return t
	}
	at := c.Start
	for _, of := range p.StepsOf(c) {
		madeForIt := !c.Since.IsZero() && of.Set.Revision == c.Revision && of.Set.RolledBackTo[c.Revision] == 0
		if !of.Step.Initial || madeForIt {
			at = at.Before(p.Decided(of.Set, of.Step))
		}
	}
	recreates := p.Workload.Recreate && !c.Since.IsZero() // its ReplicaSet is made when the old pods have gone
	if c.Kind == attr.ChangeDelete || p.Workload.Direct() || recreates {
		for pod, stop := range p.Stops {
			switch asked := p.StopAsked(pod); {
			case stop.Change != c || !pod.Leaving():
			case asked.Before(at.Earliest) && pod.Mirrors != "":
				at = evidence.Exactly(asked) // its containers were stopped first
			default:
				at = at.Before(asked)
			}
		}
	}
	if p.Workload.Direct() {
		for pod, start := range p.Starts {
			if start.Change == c {
				at = at.Before(pod.CreatedAt())
			}
		}
	}
	p.startedAt[c] = at.At()
	return at.At()
}

// Decided dates a step: the controller has written the ReplicaSet by the time
// its Event says so, and before the step's first pod is there.
func (p *Plan) Decided(set *workloads.PodSet, step *workloads.Step) time.Time {
	if t, ok := p.decidedAt[step]; ok {
		return t
	}
	at := step.Decided
	if ev := p.scalingEvent(set, step); !ev.IsZero() {
		at = at.Before(ev)
	}
	for _, pod := range p.StartsOf[step] {
		at = at.Before(pod.CreatedAt())
	}
	for _, pod := range p.StopsOf[step] {
		at = at.Before(p.StopAsked(pod))
	}
	p.decidedAt[step] = at.At()
	return at.At()
}

// scalingEvent finds the Event of the workload for a step. The words are only a hint, which other
// rollouts repeat; of several the nearest in time is the one, and none from before the step that came
// before.
func (p *Plan) scalingEvent(set *workloads.PodSet, step *workloads.Step) time.Time {
	var best, after time.Time
	if i := slices.Index(set.Steps, step); i > 0 {
		after = p.Decided(set, set.Steps[i-1])
	}
	for _, ev := range p.Workload.Events {
		if ev.Reason != "ScalingReplicaSet" {
			continue
		}
		for _, o := range ev.Occurrences {
			if !o.At.Before(after) && step.DescribedBy(o.Message, set.Name) && (best.IsZero() || o.At.Sub(step.Decided.At()).Abs() < best.Sub(step.Decided.At()).Abs()) {
				best = o.At
			}
		}
	}
	return best
}

// StartOver is from when on a container of a pod that ends is restarted; ok is false if none is told
// of apart, as a pod that is to finish is told of as a whole. Of a pod that was there before rollspan
// was, and is in no rollout, it is taken that its start is over.
func (p *Plan) StartOver(pod *podlife.Pod) (at time.Time, ok bool) {
	if pod.Finite {
		return at, false
	}
	if pod.Initial && p.Starts[pod].Change == nil {
		return at, !pod.LostFirst
	}
	ready, ok := pod.FirstReady()
	return ready.At.At(), ok
}
