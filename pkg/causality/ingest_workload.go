package causality

import (
	"slices"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/watch"

	"github.com/rollspan/rollspan/pkg/causality/internal/evidence"
	"github.com/rollspan/rollspan/pkg/causality/internal/kube"
	"github.com/rollspan/rollspan/pkg/causality/internal/workloads"
)

// workload returns the record of a workload, made if need be. Nil means that
// there is nothing to observe.
func (e *Engine) workload(o Observation, k *workloads.Controller, meta metav1.Object) *workloads.Workload {
	id := k.ID(meta)
	w := e.workloads[id]
	if w == nil {
		if o.Type == watch.Deleted {
			return nil // nothing is known that could have ended
		}
		w = &workloads.Workload{Object: e.track(id, meta.GetName()), Controller: k}
		e.workloads[id] = w
		if w.Direct() {
			set := e.podSet(w.Object)
			if set.Owner != id {
				e.adoptSet(set, id)
			}
		}
	}
	w.ObserveDoubts(o.Doubts)
	w.Touched = o.Time
	w.Owned = kube.OwnerRefOf(meta)
	if o.Type != watch.Deleted { // of what is gone there may be the name alone
		w.Show(meta, e.shown)
	}
	return w
}

// observeWorkload takes in a state of a workload that has revisions or
// replicas. read reduces it; last is the state before.
func (e *Engine) observeWorkload(o Observation, k *workloads.Controller, meta metav1.Object, read func(last *workloads.Workload) workloads.State) *workloads.Workload {
	w := e.workload(o, k, meta)
	if w == nil {
		return nil
	}
	// What went before may be missing for as long as something of then is still to be told.
	w.Inferred = o.Inferred || w.Inferred && slices.ContainsFunc(w.Changes, func(c *workloads.Change) bool { return !c.Ledger.Sent })
	w.CountUnknown = o.CountUnknown
	write := evidence.NewWrite(meta.GetResourceVersion(), o)
	if o.Type == watch.Deleted {
		w.Vanish(e.goneBy(w, o, write))
		return w
	}
	if w.Deleted {
		return w // in the foreground; its pods tell the rest
	}
	fields := meta.GetManagedFields()
	arrival := o.Arrival()
	state := read(w)
	e.observeContexts(w, meta, write, o.Initial || !w.Seen && !state.IsNew && !state.First)
	if !w.Seen {
		w.Watched = o.Time
		w.NoteListed(e.sets[w.ObjectID], state, o)
		w.FirstState(meta, state, write, o)
	} else {
		w.NextState(fields, state, write, arrival)
	}
	w.Keep(fields, state)
	w.Stated = write
	w.Progress(fields, state, write, arrival)
	if w.Direct() {
		e.sets[w.ObjectID].ObserveAvailable(state.Available, o.Time)
	}
	if at := meta.GetDeletionTimestamp(); !at.IsZero() {
		// Foreground deletion: no grace period for workloads.
		w.Delete(evidence.InSecond(at.Time, arrival), write.Stated(at.Time, o))
	}
	return w
}
