package workloads

import (
	"fmt"
	"maps"
	"strconv"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"github.com/rollspan/rollspan/pkg/causality/internal/evidence"
	"github.com/rollspan/rollspan/pkg/causality/internal/kube"
	"github.com/rollspan/rollspan/pkg/causality/stream"
	"github.com/rollspan/rollspan/pkg/spans/attr"
)

const kindRollout = "Rollout"

// rolloutController is that of Argo Rollouts (github.com/argoproj/argo-rollouts, v1.9).
var rolloutController = Controller{
	GroupVersionKind:   schema.GroupVersionKind{Group: "argoproj.io", Version: "v1alpha1", Kind: kindRollout},
	service:            attr.ServiceRollout,
	named:              namedForGood,
	Pods:               PodsMadeBySets,
	Numbers:            numberedByAnnotation,
	revisionAnnotation: "rollout.argoproj.io/revision",
	historyAnnotation:  "rollout.argoproj.io/revision-history",
	rolls:              true,
	FreedBy:            FreedWhenEnded,
	Compose:            &composer{part: partOfRollout, template: templateOfRollout, state: composeRollout},
}

// What the controller writes to ReplicaSets (utils/annotations, and
// pkg/apis/rollouts/v1alpha1 for the deadline and the label).
const (
	// rolloutReplicasAnnotation is the Rollout's spec.replicas.
	rolloutReplicasAnnotation = "rollout.argoproj.io/desired-replicas"
	// scaleDownDeadlineAnnotation says until when the pods are kept though they are out
	// of use: those before a blue-green switch, or those of a rollout that was aborted.
	scaleDownDeadlineAnnotation = "scale-down-deadline"
	// rolloutHashLabel tells the pods of a Rollout's ReplicaSets apart.
	rolloutHashLabel = "rollouts-pod-template-hash"
)

// reasonRolloutAborted is what the controller calls it in its status and Events.
const reasonRolloutAborted = "RolloutAborted"

func partOfRollout(in *appsv1.ReplicaSet) part {
	p := part{
		generation: in.Generation,
		observed:   in.Status.ObservedGeneration,
		replicas:   WantedReplicas(in.Spec.Replicas),
		total:      in.Status.Replicas,
		available:  in.Status.AvailableReplicas,
		minReady:   time.Duration(in.Spec.MinReadySeconds) * time.Second,
		leaving:    in.Annotations[scaleDownDeadlineAnnotation] != "",
	}
	p.wanted = p.replicas
	if n, err := strconv.ParseInt(in.Annotations[rolloutReplicasAnnotation], 10, 32); err == nil {
		p.wanted = int32(n)
	}
	return p
}

// templateOfRollout is the template of a ReplicaSet as the Rollout has it, without the label
// by which ReplicaSets are told apart.
func templateOfRollout(in *appsv1.ReplicaSet) kube.PodTemplate {
	template := in.Spec.Template
	template.Labels = maps.Clone(template.Labels)
	delete(template.Labels, rolloutHashLabel)
	return kube.NewPodTemplate(&template)
}

// composeRollout reads a Rollout off its ReplicaSets, the newest of which is the last.
//
// It is complete when that alone wants pods, as many as the Rollout is to have, and has
// them; ones that are only kept until a deadline do not count. It was aborted when the
// newest was tried, wants no pods any more, and another has them again. When all have what
// they want and it is neither, the next step waits for a person, a timer or an analysis.
func composeRollout(w *Workload, parts []part, last *News) (st State, ok bool) {
	if len(parts) == 0 || parts[len(parts)-1].revision == 0 {
		return st, false
	}
	newest, before := &parts[len(parts)-1], parts[:len(parts)-1]
	replicas := w.Composition.wantedBy(newest)
	st = State{
		Revision:  newest.revision,
		replicas:  replicas,
		Available: newest.available,
		MinReady:  newest.minReady,
		template:  newest.template,
		IsNew:     len(before) == 0 && !newest.tried,
		First:     newest.revision == 1,
	}
	settled, wanted := true, int32(0)
	for i := range parts {
		p := &parts[i]
		if p.leaving {
			st.Leaving = true
			continue
		}
		settled = settled && p.settled()
		wanted += p.replicas
		st.total += p.total
	}
	back := inUse(before)
	alone := back == nil && newest.replicas == replicas && !newest.leaving
	st.Scaled = settled && wanted == replicas
	st.Complete = alone && newest.settled() // the others' pods may still be going
	if gaveUp := newest.tried && (newest.replicas == 0 || newest.leaving); gaveUp && back != nil {
		st.abort(w, back, last)
		return st, true
	}
	st.atRest = settled && !st.Complete
	st.RolledOut = alone && !st.Complete && !st.IsNew && rolledOutBefore(w.Composition, newest, last.O)
	return st, true
}

// abort notes that the newest revision was given up for the pods of another one, which a scale is about from
// then on.
func (st *State) abort(w *Workload, back *part, last *News) {
	st.failure = evidence.Failure{Reason: reasonRolloutAborted, Message: fmt.Sprintf("the pods are those of revision %d again", back.revision)}
	st.failedAt = abortedAt(w, st.Revision, last)
	if w.Revision == st.Revision && !w.failedAt.IsZero() {
		st.Available = back.available
	}
}

// inUse is the newest of some ReplicaSets that wants pods and is not leaving, nil if none
// does.
func inUse(parts []part) (p *part) {
	for i := range parts {
		if parts[i].replicas > 0 && !parts[i].leaving {
			p = &parts[i]
		}
	}
	return p
}

// abortedAt is when a revision was aborted, which the last news shows, or news before.
func abortedAt(w *Workload, revision int64, last *News) time.Time {
	switch {
	case w.Revision == revision && !w.failedAt.IsZero():
		return w.failedAt
	case last.Part != nil && !last.Part.written.IsZero():
		return last.Part.written
	}
	return last.O.Time
}

// rolledOutBefore reports whether a Rollout whose newest ReplicaSet alone is in use, and
// misses pods, was complete: then these were lost, or it was scaled.
func rolledOutBefore(k *Composition, newest *part, o stream.Observation) bool {
	if newest.revision == 1 {
		return newest.generation > 2 || !recent(k.Created.At(), o)
	}
	return k.Replicas.At.After(k.Template.At) || !recent(k.Template.At, o)
}

// failAborted ends a rollout that the watch began in, and that had been aborted by then and is tried again: of
// that its ReplicaSets show nothing, and the controller's Event does, if it is still there.
func (w *Workload) failAborted(c *Change) {
	if c == nil || !c.Listed {
		return
	}
	for _, ev := range w.Events {
		at := ev.First()
		if ev.Reason != reasonRolloutAborted || !ev.Initial() || at.Before(c.Start.At()) {
			continue
		}
		c.Failure = evidence.Failure{Reason: reasonRolloutAborted, Message: ev.Message()}
		c.Finish(attr.OutcomeFailed, evidence.Exactly(at), evidence.Write{Arrival: at})
		return
	}
}
