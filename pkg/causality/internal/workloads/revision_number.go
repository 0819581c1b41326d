package workloads

import (
	"slices"
	"strconv"

	appsv1 "k8s.io/api/apps/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/watch"

	"github.com/rollspan/rollspan/pkg/causality/internal/kube"
	"github.com/rollspan/rollspan/pkg/causality/stream"
	"github.com/rollspan/rollspan/pkg/spans/attr"
)

// The number of a Deployment's rollout is an annotation of the Deployment, and the API server takes
// one from whoever may write that: it comes with a manifest which was copied from another Deployment,
// or which is of an earlier day. When the controller gets to the Deployment it puts the number of the
// ReplicaSet there, be that higher or lower (getNewReplicaSet of
// k8s.io/kubernetes/pkg/controller/deployment). It writes that through the status, by which the
// managedFields tell its numbers from others. Where it would write the number that is there already,
// it writes nothing, and what is there stays somebody else's.

// revisionNumber is what a state says of the number of its rollout, beside State.Revision, which is
// the number that is believed.
type revisionNumber struct {
	// stated is the number that the workload has, whoever wrote it.
	stated int64
	// claimed says that it is not the controller's, as far as is known.
	claimed bool
}

// readNumber reads the number of a Deployment's rollout. The rest of the state has been read.
func (st *State) readNumber(in *appsv1.Deployment, o stream.Observation, last *Workload) {
	n, _ := strconv.ParseInt(in.Annotations[RevisionAnnotation], 10, 64)
	st.stated = max(n, 0)
	own, others := ownersOf(in.ManagedFields)
	switch {
	case o.Inferred:
		st.Revision = max(st.stated, last.Revision)
		return
	case st.stated == 0:
		st.Revision = last.Revision
		return
	}
	untouched := st.observed == 0 || st.paused && st.total == 0 && st.replicas > 0 // nothing was made of it
	st.claimed = !own && (others || untouched && (!last.Seen || last.claimed && last.stated == st.stated))
	switch {
	case own, !st.claimed && st.stated > last.Revision:
		st.Revision = st.stated
	case !last.Seen && !untouched:
		st.Revision = st.stated // it had its time to put another one there
	case st.letStand(last):
		st.Revision = st.stated
	default:
		st.Revision = last.Revision
	}
}

// ownersOf reports whether the controller owns the annotation, and whether others do. Who owns what
// may have been left out of the object, as kubectl does; then nobody does.
func ownersOf(fields []metav1.ManagedFieldsEntry) (controller, others bool) {
	for i := range fields {
		if m := &fields[i]; kube.Owns(m, `"f:`+RevisionAnnotation+`"`) {
			controller = controller || m.Subresource == "status"
			others = others || m.Subresource != "status"
		}
	}
	return controller, others
}

// letStand reports whether the controller has been through a new template, and has left a number that it
// is not known to have written: so that is the number of the template.
func (st *State) letStand(last *Workload) bool {
	switch {
	case st.paused || st.observed == 0 || !st.isObserved():
		return false
	case last.Revision == 0:
		return true
	case last.Pending == nil && st.template.Hash == last.template.Hash:
		return false
	case st.stated > last.Revision && st.begun:
		return true
	default:
		// It may have got to the ReplicaSet of a rollback, and not to the number yet.
		return st.Complete && !st.unmade()
	}
}

// unmade reports whether the controller may have made nothing of a template yet that it has seen, though the
// workload has all the pods that it wants. With the strategy Recreate it makes the ReplicaSet when the old pods
// are gone, and of those that are stopping the status counts none.
func (st *State) unmade() bool { return st.Recreate && st.replicas == 0 }

// renumber takes in a number that has changed though no other template was rolled out, and reports whether
// it has: the one before was somebody's, or somebody has deleted the ReplicaSets, after which the controller
// counts from 1 again.
func (w *Workload) renumber(st State) bool {
	if w.Pending != nil || w.Revision == 0 || !w.claimed && st.Revision > w.Revision {
		return false
	}
	if c := w.Current(); w.claimed && c != nil && c.Kind == attr.ChangeRollout && !c.Ended && c.Ledger.InProgress.IsZero() {
		w.giveNumber(c, st.Revision)
	}
	return true
}

// startsOver reports whether news of a ReplicaSet shows that the controller counts from 1 again. It numbers
// one that it makes above all that are there.
func (w *Workload) startsOver(st State, n *News) bool {
	return n.Part != nil && n.Part.revision == st.Revision && n.O.Type == watch.Added && !n.Listed()
}

// RolloutOf is the latest rollout that has a number, but for what a partition left to do of it; nil if none is
// kept.
func (w *Workload) RolloutOf(revision int64) *Change {
	for _, c := range slices.Backward(w.Changes) {
		if c.Kind == attr.ChangeRollout && c.Revision == revision && c.Partition == 0 && !c.samePartition {
			return c
		}
	}
	return nil
}

// giveNumber gives a rollout its number.
func (w *Workload) giveNumber(c *Change, revision int64) {
	c.Revision, c.sameNumber = revision, revision != 0 && revision <= w.highest
}
