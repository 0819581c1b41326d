package workloads

import (
	"strconv"
	"strings"
	"time"

	semconv "go.opentelemetry.io/otel/semconv/v1.43.0"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"

	"github.com/rollspan/rollspan/pkg/causality/internal/kube"
	"github.com/rollspan/rollspan/pkg/causality/internal/podlife"
	"github.com/rollspan/rollspan/pkg/causality/stream"
	"github.com/rollspan/rollspan/pkg/spans/attr"
)

// kindStatefulSet is the kind of StatefulSets.
const kindStatefulSet = "StatefulSet"

// A rollout is complete when the pods are ready (completeRollingUpdate of
// k8s.io/kubernetes/pkg/controller/statefulset), though the controller makes the next
// pod only after minReadySeconds.
var statefulSetController = Controller{
	GroupVersionKind:  appsv1.SchemeGroupVersion.WithKind(kindStatefulSet),
	service:           attr.ServiceStatefulSet,
	nameKey:           semconv.K8SStatefulSetNameKey,
	uidKey:            semconv.K8SStatefulSetUIDKey,
	labelKey:          semconv.K8SStatefulSetLabel,
	annotationKey:     semconv.K8SStatefulSetAnnotation,
	named:             namedForGood,
	Numbers:           numberedByNamedRevision,
	Replaces:          ReplacedByName,
	rolls:             true,
	CompleteWhenReady: true,
	States:            statesOf[*appsv1.StatefulSet](ReadStatefulSet),
	Template:          templateIn(func(in *appsv1.StatefulSet) *corev1.PodTemplateSpec { return &in.Spec.Template }),
}

// ReadStatefulSet reads the state of a StatefulSet.
func ReadStatefulSet(in *appsv1.StatefulSet, o stream.Observation, w *Workload) State {
	status := &in.Status
	st := State{
		generation:   in.Generation,
		observed:     status.ObservedGeneration,
		revisionName: status.UpdateRevision,
		replicas:     WantedReplicas(in.Spec.Replicas),
		total:        status.Replicas,
		Available:    status.ReadyReplicas,
		MinReady:     time.Duration(in.Spec.MinReadySeconds) * time.Second,
		IsNew:        status.ObservedGeneration == 0 || status.UpdateRevision == "",
		unnumbered:   status.UpdateRevision == "",
		First:        status.CurrentRevision == status.UpdateRevision,
	}
	if st.MinReady > 0 {
		st.Available = status.AvailableReplicas // older clusters leave it at 0
	}
	if ru := in.Spec.UpdateStrategy.RollingUpdate; ru != nil && ru.Partition != nil {
		st.partition = *ru.Partition
	}
	if in.Spec.Ordinals != nil {
		st.firstOrdinal = in.Spec.Ordinals.Start
	}
	st.readTemplate(&in.Spec.Template, w)

	// The controller counts all pods of the new revision. Those that a partition
	// protects are not waited for, but where they have that revision, as after a
	// rollback; nor can pods that a scale down is still to remove stand in for
	// others. kubectl overlooks both.
	protected := st.partition
	if st.First {
		protected = 0
	}
	st.ready, st.OnDelete = status.ReadyReplicas, in.Spec.UpdateStrategy.Type == appsv1.OnDeleteStatefulSetStrategyType
	st.InOrder = in.Spec.PodManagementPolicy != appsv1.ParallelPodManagement
	updated := status.UpdatedReplicas >= st.replicas-protected
	st.updated = updated && st.total <= st.replicas
	seen := st.observed >= st.generation && st.observed != 0
	ready := seen && st.ready >= st.replicas
	st.Complete = ready && st.updated
	st.Scaled = seen && st.total == st.replicas && st.Available >= st.replicas
	st.othersLeft = seen && st.First && !st.IsNew && status.Replicas > status.UpdatedReplicas
	st.readProgress(in, o, updated, ready)
	return st
}

// readProgress says how far a rollout of a StatefulSet has come, whose pods of the new revision are
// as many as they should be, or are Ready as well.
func (st *State) readProgress(in *appsv1.StatefulSet, o stream.Observation, updated, ready bool) {
	switch {
	case st.IsNew || st.Complete:
	case !st.First && !st.OnDelete && st.partition == 0:
		st.underWay = true // or the current revision would be the new one: completeRollingUpdate
	case ready && updated:
		st.RolledOut = true // but for the scale down
	case st.First:
		// Nothing says whether pods are missing because they are still to be
		// made or because they were lost.
		st.RolledOut = in.Generation > 1 || !recent(in.CreationTimestamp.Time, o)
	default:
		at := kube.Writer(in.ManagedFields, true, nil).At
		old := !recent(at, o)
		// The current revision stays the old one for good. So of a rollout that was over long ago the status says
		// as much, while a pod of the new revision is being replaced, as of one that waits for an old pod.
		st.othersLeft = !updated && old && !at.IsZero() && o.Initial && !o.Inferred
		st.underWay = !updated && !st.othersLeft
		st.RolledOut = updated && old || st.othersLeft
	}
}

// ordinals are the numbers that a StatefulSet's pods have.
type ordinals struct{ First, count int32 }

func (st *State) ordinals() ordinals { return ordinals{st.firstOrdinal, st.replicas} }

// NoteListed notes what the list that the watch began with says of how many pods a workload that makes
// them itself was to have: set is its own.
func (w *Workload) NoteListed(set *PodSet, st State, o stream.Observation) {
	switch {
	case !o.Initial || !w.Direct():
	case w.Controller.ScaledBy == ScaledByNodes: // its status says how many, and may be behind
	case w.Controller.Replaces == ReplacedByName:
		listed := st.ordinals()
		w.listed = &listed
	default:
		set.Listed = st.replicas
	}
}

// WasToGo reports whether a pod of a StatefulSet, which was there first, has a number that none was to
// have by then: a scale down was on its way, and nothing comes in its place.
func (w *Workload) WasToGo(pod *podlife.Pod) bool {
	if !pod.Initial || w.listed == nil {
		return false
	}
	n := Ordinal(pod) - int(w.listed.First)
	return n < 0 || n >= int(w.listed.count)
}

// without is how many of these are not among the others.
func (o ordinals) without(others ordinals) int32 {
	common := min(o.First+o.count, others.First+others.count) - max(o.First, others.First)
	return max(o.count-max(common, 0), 0)
}

// renumbering is what a change of spec.ordinals.start asks for: pods 2 to 4 in the place of
// 0 to 2. Pods are made at one end
// and removed at the other, so that the number of them, all that the status tells, is the
// same before the controller has begun as when it is done.
type renumbering struct {
	Was, Is ordinals // those that the pods had, and are to have
	due     int32    // how many of the pods that it asks for have not come
}

// renumber notes that pods are to have other numbers.
func (c *Change) renumber(w *Workload, st State) {
	was := w.ordinals()
	cur := w.Current()
	stopped := cur != nil && !cur.Ended && cur.due > 0
	if was.First == st.firstOrdinal && !stopped {
		return
	}
	if stopped && cur.due == cur.Is.without(cur.Was) {
		was = cur.Was // nothing of that was done
	}
	c.renumbering = renumbering{Was: was, Is: st.ordinals()}
	c.due = c.Is.without(c.Was)
}

// recount notes the pods that have come since the last state: there are more of them, or,
// where others went at the same time, fewer that are ready.
func (c *Change) recount(last, st State) {
	if c != nil && c.due > 0 {
		c.due = max(c.due-max(st.total-last.total, last.ready-st.ready, 0), 0)
	}
}

// Ordinal is the number of a StatefulSet's pod, -1 if its name has none.
func Ordinal(pod *podlife.Pod) int {
	n, err := strconv.Atoi(pod.Name[strings.LastIndexByte(pod.Name, '-')+1:])
	if err != nil {
		return -1
	}
	return n
}
