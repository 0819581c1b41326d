package causality

import (
	"time"

	"github.com/rollspan/rollspan/pkg/causality/internal/kube"
	"github.com/rollspan/rollspan/pkg/causality/internal/nodes"
	"github.com/rollspan/rollspan/pkg/causality/internal/podlife"
	"github.com/rollspan/rollspan/pkg/causality/internal/workloads"
)

// awaited are what objects wait for that have Events which no span has claimed, where that is
// no time: a review of a workload by which all of its changes are told, or that a disruption
// is told. A rollout may be open for hours, and until then there is nothing to look at.
//
// What they wait for is found anew at each look. So they are looked at after podlife.EventLife
// all the same, should it have become something else meanwhile.
type awaited struct {
	by      map[*podlife.Object]awaits
	reviews map[*workloads.Workload]map[*podlife.Object]struct{}
	told    map[*nodes.Disruption]map[*podlife.Object]struct{}
}

// awaits is what one object waits for.
type awaits struct {
	review *workloads.Workload
	told   *nodes.Disruption // of several the one that was found last
}

// note has an object wait for something else than before.
func (a *awaited) note(obj *podlife.Object, is awaits) {
	was := a.by[obj]
	if was == is {
		return
	}
	if a.by == nil {
		a.by, a.reviews, a.told = map[*podlife.Object]awaits{}, map[*workloads.Workload]map[*podlife.Object]struct{}{}, map[*nodes.Disruption]map[*podlife.Object]struct{}{}
	}
	refile(a.reviews, was.review, is.review, obj)
	refile(a.told, was.told, is.told, obj)
	if is == (awaits{}) {
		delete(a.by, obj)
	} else {
		a.by[obj] = is
	}
}

func refile[K any](filed map[*K]map[*podlife.Object]struct{}, was, is *K, obj *podlife.Object) {
	if was == is {
		return
	}
	delete(filed[was], obj)
	if len(filed[was]) == 0 {
		delete(filed, was)
	}
	if is == nil {
		return
	}
	if filed[is] == nil {
		filed[is] = map[*podlife.Object]struct{}{}
	}
	filed[is][obj] = struct{}{}
}

// awaitReview has the Events about an object wait for a review of a workload.
func (e *Engine) awaitReview(w *workloads.Workload, obj *podlife.Object) {
	is := e.awaited.by[obj]
	is.review = w
	e.awaited.note(obj, is)
}

// awaitTold has the Events about an object wait for a disruption to be told.
func (e *Engine) awaitTold(d *nodes.Disruption, obj *podlife.Object) {
	is := e.awaited.by[obj]
	is.told = d
	e.awaited.note(obj, is)
}

// settled notes that no Event about an object waits any more.
func (e *Engine) settled(obj *podlife.Object) {
	e.unsettled.Remove(obj)
	e.awaited.note(obj, awaits{})
}

// noteOpen notes, after a review of a workload, whether anything of its changes is open. If
// nothing is, the Events are looked at that waited for it.
func (e *Engine) noteOpen(w *workloads.Workload) {
	if w.Unsent() > 0 && e.workloads[w.ObjectID] == w {
		e.open[w] = struct{}{}
	} else {
		delete(e.open, w)
	}
	if !w.IsOpen() {
		e.lookAtAll(e.awaited.reviews[w], e.now)
		return
	}
	for obj := range e.awaited.reviews[w] {
		e.worked++
		if obj.Kind == kube.KindClaim { // it waits for the start of one pod: see wantedByPod
			e.lookAt(obj, e.now)
		}
	}
}

// forgetWorkload forgets that an object is a workload. The Events are looked at that waited for
// it; a review that is due still takes place.
func (e *Engine) forgetWorkload(w *workloads.Workload) {
	e.issued.ForgetCurrent(&w.Ledger)
	delete(e.workloads, w.ObjectID)
	delete(e.open, w)
	e.lookAtAll(e.awaited.reviews[w], e.now)
}

// toldOf has the Events looked at that waited for a disruption: it is told, or will not be.
func (e *Engine) toldOf(d *nodes.Disruption) {
	e.lookAtAll(e.awaited.told[d], e.now.Add(e.opts.Settle))
}

// lookAtAll has the Events about objects looked at when a time has come.
func (e *Engine) lookAtAll(objs map[*podlife.Object]struct{}, at time.Time) {
	for obj := range objs {
		e.lookAt(obj, at)
	}
}

func (e *Engine) lookAt(obj *podlife.Object, at time.Time) {
	e.worked++
	e.unsettled.Earlier(obj, at)
	e.awaited.note(obj, awaits{})
}
