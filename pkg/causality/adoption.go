package causality

import (
	"slices"

	appsv1 "k8s.io/api/apps/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/rollspan/rollspan/pkg/spans/attr"
)

// Owners change. `kubectl delete --cascade=orphan` leaves pods and ReplicaSets
// behind, and a workload takes in what its selector matches and nobody controls
// (k8s.io/kubernetes/pkg/controller, controller_ref_manager.go): so is a
// StatefulSet re-created around its pods to change what the API does not let
// change.

// released reports whether the pod was let go of, and not taken in since.
func (p *pod) released() bool { return p.failed.known() && p.reason == attr.CauseReleased }

// makerOf is the built-in controller that a pod has, in the pod's own namespace; zero
// if it has none.
func makerOf(meta metav1.Object) objectID {
	ref := controllerRef(meta)
	if k := owningController(ref); k == nil || k.pods != podsMadeItself {
		return objectID{}
	}
	return newOwnerRef(ref).in(meta.GetNamespace())
}

// takeIn files a pod under its controller, if that is not the one that it had. For
// the new one it is there from the write s on, in the place of a pod that would have
// been made; what it went through before is no longer news. One that is taken back
// has been told of as lost, and stays so.
func (e *Engine) takeIn(p *pod, owner objectID, s stamp) {
	if owner == p.owner {
		if p.released() && p.returned == (stamp{}) {
			p.returned = s
		}
		return
	}
	e.unfile(p)
	p.owner = owner
	e.podsOf[owner] = append(e.podsOf[owner], p)
	if p.released() {
		p.failed, p.failure, p.reason = moment{}, stamp{}, ""
	}
	_, over := p.startResolved()
	p.firstSeen = s
	if over {
		p.ledger.passOverStart()
	}
	p.initial, p.lostFirst, p.readyFirst, p.returned = false, false, false, stamp{}
}

// returnedPods are pods that their set let go of, replaced, and took back. For each
// it has one too many, and removes one.
type returnedPods []*pod

func returnedOf(pods []*pod) returnedPods {
	var back returnedPods
	for _, q := range pods {
		if q.returned != (stamp{}) && !q.ledger.evened {
			back = append(back, q)
		}
	}
	return back
}

// take returns the pod that had come back when q was removed, and takes it from the
// list; nil if there is none. Pods are asked for in the order in which they were lost.
func (back *returnedPods) take(q *pod, work *work) *pod {
	work.spend(len(*back))
	at := q.lostStamp()
	i := slices.IndexFunc(*back, func(r *pod) bool {
		return r != q && !at.before(r.returned) && (!r.leaving() || !r.deletion.before(at))
	})
	if i < 0 {
		return nil
	}
	r := (*back)[i]
	*back = slices.Delete(*back, i, i+1)
	return r
}

// unfile takes a pod from its workload.
func (e *Engine) unfile(p *pod) {
	e.podsOf[p.owner] = slices.DeleteFunc(e.podsOf[p.owner], func(o *pod) bool { return o == p })
	if len(e.podsOf[p.owner]) == 0 {
		delete(e.podsOf, p.owner)
	}
}

// taken ends the ReplicaSet's time as a workload of its own: a Deployment took it.
// Its pods are there already, so its number of them is no step of that one.
func (e *Engine) taken(rs *podSet, in *appsv1.ReplicaSet, o Observation) {
	rs.known, rs.replicas = true, wantedReplicas(in.Spec.Replicas)
	if d := e.workloads[rs.objectID]; d != nil {
		if c := d.current(); c != nil && !c.ended {
			c.finish(attr.OutcomeSuperseded, arrived(o.Time), newStamp(in.ResourceVersion, o))
		}
		e.touch(d) // for the last time
		e.issued.forgetCurrent(&d.ledger)
		delete(e.workloads, rs.objectID)
	}
}

// orphanedAt reports whether the Deployment of a ReplicaSet had been deleted
// without it when s was written.
func (rs *podSet) orphanedAt(s stamp) bool {
	return rs.released != (stamp{}) && !s.before(rs.released)
}

// changeFor is the change of the workload during or after which s was written
// about one of its sets; nil if that was not its own any more.
func (p *plan) changeFor(rs *podSet, s stamp) *change {
	if rs.orphanedAt(s) {
		return nil
	}
	if p.pending != nil && p.pending != p.current() && !rs.direct() && rs.revision > p.revision && !s.before(p.pending.opened) {
		// The controller numbers the ReplicaSet first, and the Deployment when
		// it gets to it: after a conflict, a pause, or in a long queue.
		return p.pending
	}
	return p.changeAt(s)
}

// lostWithSet leaves out the pods that an orphaned ReplicaSet took along when it
// was deleted: no workload is left that this would be a change of.
func (p *plan) lostWithSet(rs *podSet, lost []*pod) {
	for _, q := range lost {
		if rs.gone && rs.orphanedAt(q.lostStamp()) && rs.deleted.arrival.Sub(q.lostStamp().arrival) < deletionReach {
			delete(p.stops, q)
		}
	}
}
