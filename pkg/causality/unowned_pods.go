package causality

import (
	"slices"

	"github.com/rollspan/rollspan/pkg/causality/internal/evidence"
	"github.com/rollspan/rollspan/pkg/causality/internal/podlife"
	"github.com/rollspan/rollspan/pkg/causality/internal/workloads"
	"github.com/rollspan/rollspan/pkg/spans/attr"
)

// runOf is the workload that a pod is for itself, made if need be.
func (e *Engine) runOf(pod *podlife.Pod) *workloads.Workload {
	w := e.workloads[pod.ObjectID]
	if w == nil {
		w = &workloads.Workload{Object: pod.Object, Controller: &workloads.PodController, Seen: true}
		e.workloads[pod.ObjectID] = w
		e.adoptSet(e.podSet(pod.Object), pod.ObjectID)
	}
	return w
}

// observeUnowned opens and ends the run of a pod that no workload made, or
// none that the engine knows: a custom resource may own it.
func (e *Engine) observeUnowned(pod *podlife.Pod, isNew bool) {
	w := e.runOf(pod)
	w.Runs = pod.Runs
	if isNew && !pod.StartedBefore() {
		cause := attr.CauseCreate
		if e.changedFrom(pod) != nil {
			cause = attr.CauseTemplate
		}
		c := w.Offer(&workloads.Change{Kind: attr.ChangeRun, Cause: cause, Opened: pod.FirstSeen, Start: pod.Created, Wanted: 1})
		for _, container := range pod.Containers {
			if !slices.Contains(c.ImagesAfter, container.Image) {
				c.ImagesAfter = append(c.ImagesAfter, container.Image)
			}
		}
		if pod.Initial {
			c.Opened = evidence.Write{Arrival: pod.Created.Earliest}
		}
		w.Begin(c)
	}
	if c := w.Current(); c != nil && c.Kind == attr.ChangeRun && !c.Ended {
		c.FinishRunOf(pod)
	}
	if pod.Leaving() {
		by := pod.DeleteAskedBy
		if at := pod.DeleteAsked.Earliest; pod.LostFirst && !at.IsZero() {
			by = evidence.Write{Arrival: at}
		}
		w.Delete(pod.DeleteAsked, by)
	}
}
