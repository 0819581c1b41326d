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
	if isNew && !startedBefore(pod) {
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
		endRun(pod, c)
	}
	if pod.Leaving() {
		by := pod.DeleteAskedBy
		if at := pod.DeleteAsked.Earliest; pod.LostFirst && !at.IsZero() {
			by = evidence.Write{Arrival: at}
		}
		w.Delete(pod.DeleteAsked, by)
	}
}

// startedBefore reports whether the pod's start was over when it was first
// seen, in the list that a watch starts with.
func startedBefore(pod *podlife.Pod) bool {
	if !pod.Initial {
		return false
	}
	if _, over := pod.StartResolved(); over {
		return true
	}
	for _, container := range pod.Containers {
		for _, r := range container.Runs {
			if r.Restart > 0 {
				return true // it may have been ready before, who knows
			}
		}
	}
	return false
}

// endRun ends the run of a pod when it is ready or has finished.
func endRun(pod *podlife.Pod, c *workloads.Change) {
	tr, ready := pod.FirstReady()
	switch {
	case pod.Finished.Known():
		how := attr.OutcomeComplete
		if pod.Phase == podlife.PodFailed {
			how = attr.OutcomeFailed
		}
		c.Finish(how, pod.Finished, pod.FinishedBy)
	case !pod.Finite && ready:
		c.Ready = 1
		c.Finish(attr.OutcomeComplete, tr.At, evidence.Write{Arrival: tr.Seen})
	case pod.Leaving():
		c.Finish(attr.OutcomeDeleted, pod.DeleteAsked, pod.DeleteAskedBy)
	case pod.Failed.Known():
		c.Finish(attr.OutcomeFailed, pod.Failed, pod.FailedBy)
	}
}
