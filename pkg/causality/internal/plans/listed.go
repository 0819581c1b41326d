package plans

import (
	"time"

	"github.com/rollspan/rollspan/pkg/causality/internal/evidence"
	"github.com/rollspan/rollspan/pkg/causality/internal/podlife"
	"github.com/rollspan/rollspan/pkg/causality/internal/workloads"
	"github.com/rollspan/rollspan/pkg/spans/attr"
)

// StartProof is how well it is known when a change began. If nothing but the first state that was
// seen of its workload tells, it was since the workload was created.
func (p *Plan) StartProof(c *workloads.Change) evidence.Proof {
	if c.Since.IsZero() {
		return evidence.Proof{}
	}
	return evidence.Proof{Precision: p.StartOf(c).Sub(c.Since), Source: attr.SourceArrival}
}

// Doubts are of the end of a change of which the first state that was seen of the workload tells, or
// that of the next one, and no other.
func (p *Plan) Doubts(c *workloads.Change) evidence.Doubts {
	var doubts evidence.Doubts
	start := p.StartOf(c)
	if c.MaybeOver && c.Over() && c.Outcome() != attr.OutcomeDeleted && !p.heldUp(c, start) {
		end := c.End.At()
		over := evidence.EndedBetween(start, end, end)
		doubts = doubts.With(over).With(over.OfStep())
	}
	if listed := p.Workload.Watched; c.Kind == attr.ChangeDelete && c.Opened.Version == 0 && c.Opened.Arrival.Before(listed) {
		// All that it took may have gone before the list.
		doubts = doubts.With(evidence.EndedBetween(start, listed, start))
	}
	if next := p.after(c); next != nil && !next.Since.IsZero() && c.Outcome() == attr.OutcomeSuperseded {
		end := p.StartOf(next)
		doubts = doubts.With(evidence.EndedBetween(start, end, end))
	}
	return doubts
}

// nextSlack is how long after a change begins, or a pod is Ready, a controller makes the next pod.
const nextSlack = 3 * time.Second

// heldUp reports whether a pod that was there first, and had never been Ready, was made when a change
// makes its pods, rather than in the place of one that was lost later: the change was not over.
func (p *Plan) heldUp(c *workloads.Change, start time.Time) bool {
	reach := start.Add(nextSlack)
	for _, pod := range InOrderOfBirth(p.Pods) {
		p.Work.Spend(1)
		if p.Starts[pod].Change != c || !pod.Initial || pod.Created.Earliest.After(reach) {
			continue
		}
		if !pod.ReadyFirst {
			return !pod.LostFirst
		}
		if ready, ok := pod.FirstReady(); ok {
			reach = evidence.Latest(reach, ready.At.Earliest.Add(nextSlack))
		}
	}
	return false
}

// PauseProof is how well it is known when a pause of a change began.
func (p *Plan) PauseProof(c *workloads.Change, i int, from time.Time) evidence.Proof {
	switch {
	case !c.Pauses[i].Listed && i == 0 && c.Pauses[0].From == c.Start:
		return p.StartProof(c) // the template was written in it
	case !c.Pauses[i].Listed:
		return evidence.Proof{}
	}
	return evidence.Proof{Precision: from.Sub(evidence.Earliest(from, p.readyWhenListed(c, p.StartOf(c)))), Source: attr.SourceArrival}
}

// readyWhenListed is when the last of the pods was Ready that were there first, had been Ready by then,
// and were made when a change makes its pods, rather than in the place of one that was lost later.
func (p *Plan) readyWhenListed(c *workloads.Change, start time.Time) time.Time {
	last := start
	for _, pod := range InOrderOfBirth(p.Pods) {
		p.Work.Spend(1)
		if p.Starts[pod].Change != c || !pod.ReadyFirst || pod.Created.Earliest.After(last.Add(nextSlack)) {
			continue
		}
		if ready, ok := pod.FirstReady(); ok {
			last = evidence.Latest(last, ready.At.Earliest)
		}
	}
	return last
}

// attributeListedDeletion gives a pod that was being deleted when rollspan came to the deletion of its
// Job, or to its own, if that was under way.
func (p *Plan) attributeListedDeletion(set *workloads.PodSet, pod *podlife.Pod) {
	asked := evidence.Write{Arrival: pod.LostAt().Earliest}
	if c := p.Workload.ChangeAt(asked); c != nil && c.Kind == attr.ChangeDelete && pod.Leaving() && !asked.Arrival.IsZero() {
		p.Stops[pod] = Attribution{Change: c, Set: set}
	}
}

// madeBefore reports whether a pod that was there first may have been made before a change of which
// nothing tells when it began: it has another revision, or had been Ready.
func madeBefore(pod *podlife.Pod, c *workloads.Change) bool {
	if c == nil || c.Since.IsZero() || !pod.Initial {
		return false
	}
	if c.RevisionName != "" && pod.RevisionName != "" {
		return pod.RevisionName != c.RevisionName
	}
	return pod.ReadyFirst
}

// after is the change that follows on another; nil if none does.
func (p *Plan) after(c *workloads.Change) *workloads.Change {
	for i, other := range p.Workload.Changes[:max(len(p.Workload.Changes)-1, 0)] {
		if other == c {
			return p.Workload.Changes[i+1]
		}
	}
	return nil
}
