package plans

import (
	"slices"

	"github.com/rollspan/rollspan/pkg/causality/internal/evidence"
	"github.com/rollspan/rollspan/pkg/causality/internal/podlife"
	"github.com/rollspan/rollspan/pkg/causality/internal/workloads"
)

// returnedPods are pods that their set let go of, replaced, and took back. For each
// it has one too many, and removes one.
type returnedPods []*podlife.Pod

func returnedOf(pods []*podlife.Pod) returnedPods {
	var back returnedPods
	for _, pod := range pods {
		if pod.ReturnedBy != (evidence.Write{}) && !pod.Ledger.SurplusForgotten {
			back = append(back, pod)
		}
	}
	return back
}

// take returns the pod that had come back when another was removed, and takes it from the
// list; nil if there is none. Pods are asked for in the order in which they were lost.
func (back *returnedPods) take(pod *podlife.Pod, work *evidence.Work) *podlife.Pod {
	work.Spend(len(*back))
	at := pod.LostBy()
	i := slices.IndexFunc(*back, func(r *podlife.Pod) bool {
		return r != pod && !at.Before(r.ReturnedBy) && (!r.Leaving() || !r.DeleteAskedBy.Before(at))
	})
	if i < 0 {
		return nil
	}
	r := (*back)[i]
	*back = slices.Delete(*back, i, i+1)
	return r
}

// OrphanedAt reports whether the workload of a ReplicaSet had been deleted without it when
// a write was made, as by `kubectl delete --cascade=orphan`.
func OrphanedAt(set *workloads.PodSet, write evidence.Write) bool {
	return set.ReleasedBy != (evidence.Write{}) && !write.Before(set.ReleasedBy)
}

// changeFor is the change of the workload during or after which a write was made about one
// of its sets; nil if the set was not its own any more.
func (p *Plan) changeFor(set *workloads.PodSet, write evidence.Write) *workloads.Change {
	if OrphanedAt(set, write) || p.Workload.Awaits(write) {
		return nil
	}
	pending := p.Workload.Pending
	if pending != nil && pending != p.Workload.Current() && !write.Before(pending.Opened) &&
		!set.Direct() && (set.Revision > p.Workload.Revision || set.MadeAfter(pending.Opened)) {
		// The controller numbers the ReplicaSet first, and the workload when
		// it gets to it: after a conflict, a pause, or in a long queue.
		return pending
	}
	c := p.Workload.ChangeAt(write)
	listed := write.Version == 0 && write.Before(evidence.Write{Arrival: p.Workload.Watched})
	if listed && c != nil && !c.Since.IsZero() && !set.Direct() && set.Revision != c.Revision {
		return nil // it is of a revision before, whose pods were there first
	}
	return c
}

// dropLostWithSet leaves out the pods that an orphaned ReplicaSet took along when it
// was deleted: no workload is left that this would be a change of.
func (p *Plan) dropLostWithSet(set *workloads.PodSet, lost []*podlife.Pod) {
	for _, pod := range lost {
		if set.Gone && OrphanedAt(set, pod.LostBy()) && set.DeletedBy.Arrival.Sub(pod.LostBy().Arrival) < DeletionReach {
			delete(p.Stops, pod)
		}
	}
}
