package causality

import (
	"time"

	appsv1 "k8s.io/api/apps/v1"
	"k8s.io/apimachinery/pkg/watch"

	"github.com/rollspan/rollspan/pkg/causality/internal/evidence"
	"github.com/rollspan/rollspan/pkg/causality/internal/kube"
	"github.com/rollspan/rollspan/pkg/causality/internal/workloads"
)

// observeReplicaSet returns the object whose workload has news.
func (e *Engine) observeReplicaSet(o Observation, k *workloads.Controller, in *appsv1.ReplicaSet) *workloads.PodSet {
	id := k.ID(in)
	set := e.sets[id]
	var owner kube.ObjectID
	ref := kube.ControllerRef(in)
	by := workloads.OwningController(ref)
	if by != nil && by.Pods == workloads.PodsMadeBySets {
		owner = kube.NewOwnerRef(ref).In(in.Namespace)
		if by.Compose != nil && e.workloads[owner] == nil {
			e.keepUnseen(owner, by, o, in)
			owner = kube.ObjectID{} // it is a workload of its own as long as that is not seen
		}
	}
	if owner.UID != "" || by == nil {
		e.forgetUnseen(id)
	}
	if owner.UID == "" && (set == nil || set.Direct() || set.Owner.UID == "") {
		// No Deployment has it. One that a Deployment let go of (kubectl
		// delete --cascade=orphan) stays with it until another takes it.
		e.observeWorkload(o, k, in, func(last *workloads.Workload) workloads.State {
			return workloads.ReadReplicaSet(in, o, last)
		})
		return e.sets[id]
	}
	if set == nil && o.Type == watch.Deleted {
		return nil // nothing is known that could have ended
	}
	if set == nil || set.Direct() {
		if set != nil {
			e.endAsWorkload(set, in, o)
		}
		set = e.podSet(e.track(id, in.Name))
		e.firstSeen(set, o, in)
	}
	set.Touched = o.Time
	set.Owned = kube.OwnerRefOf(in)
	e.passOn(set, owner, by, o)
	if ref.UID == "" && set.ReleasedBy == (evidence.Write{}) {
		set.ReleasedBy = evidence.NewWrite(in.ResourceVersion, o)
	}
	if o.Type == watch.Deleted {
		set.Gone = true
		set.DeletedBy = evidence.NewWrite(in.ResourceVersion, o)
	} else {
		set.Observe(o, in)
	}
	e.passToOwner(set, o, in)
	return set
}

// passOn files a ReplicaSet under the workload that it names, if that is another one.
func (e *Engine) passOn(set *workloads.PodSet, owner kube.ObjectID, by *workloads.Controller, o Observation) {
	if owner.UID != "" && owner != set.Owner {
		e.tellLost(set.Owner, set.ObjectID, o)
		e.adoptSet(set, owner)
		set.By, set.ReleasedBy = by, evidence.Write{}
	}
}

// firstSeen begins the record of a ReplicaSet that is part of a workload.
func (e *Engine) firstSeen(set *workloads.PodSet, o Observation, in *appsv1.ReplicaSet) {
	arrival := o.Time
	if o.Initial || in.Generation > 1 {
		arrival = time.Time{}
	}
	set.ObserveDoubts(o.Doubts)
	set.Created = evidence.InSecond(in.CreationTimestamp.Time, arrival)
	if o.Initial {
		set.ListedContexts = e.contextsIn(in.Annotations)
	}
	set.Tried = in.Generation > 1
}
