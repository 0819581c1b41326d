package causality

import (
	"fmt"
	"maps"
	"strconv"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
)

const kindRollout = "Rollout"

// rolloutController is that of Argo Rollouts (github.com/argoproj/argo-rollouts, v1.9).
var rolloutController = controller{
	GroupVersionKind:   schema.GroupVersionKind{Group: "argoproj.io", Version: "v1alpha1", Kind: kindRollout},
	service:            "rollouts-controller",
	pods:               podsMadeBySets,
	numbers:            numberedByAnnotation,
	revisionAnnotation: "rollout.argoproj.io/revision",
	historyAnnotation:  "rollout.argoproj.io/revision-history",
	rolls:              true,
	freedBy:            freedWhenEnded,
	compose:            &composer{part: partOfRollout, state: composeRollout},
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
		replicas:   wantedReplicas(in.Spec.Replicas),
		total:      in.Status.Replicas,
		available:  in.Status.AvailableReplicas,
		minReady:   time.Duration(in.Spec.MinReadySeconds) * time.Second,
		leaving:    in.Annotations[scaleDownDeadlineAnnotation] != "",
	}
	p.wanted = p.replicas
	if n, err := strconv.ParseInt(in.Annotations[rolloutReplicasAnnotation], 10, 32); err == nil {
		p.wanted = int32(n)
	}
	template := in.Spec.Template
	template.Labels = maps.Clone(template.Labels)
	delete(template.Labels, rolloutHashLabel)
	p.template = newPodTemplate(&template)
	return p
}

// composeRollout reads a Rollout off its ReplicaSets, the newest of which is the last.
//
// It is complete when that alone wants pods, as many as the Rollout is to have, and has
// them; ones that are only kept until a deadline do not count. It was aborted when the
// newest was tried, wants no pods any more, and another has them again. When all have what
// they want and it is neither, the next step waits for a person, a timer or an analysis.
func composeRollout(d *workload, parts []part, last *news) (st workloadState, ok bool) {
	if len(parts) == 0 || parts[len(parts)-1].revision == 0 {
		return st, false
	}
	newest, before := &parts[len(parts)-1], parts[:len(parts)-1]
	st = workloadState{
		revision:  newest.revision,
		replicas:  newest.wanted,
		available: newest.available,
		minReady:  newest.minReady,
		template:  newest.template,
		isNew:     len(before) == 0 && !newest.tried,
		first:     newest.revision == 1,
	}
	settled, wanted := true, int32(0)
	for i := range parts {
		p := &parts[i]
		if p.leaving {
			st.leaving = true
			continue
		}
		settled = settled && p.settled()
		wanted += p.replicas
		st.total += p.total
	}
	back := inUse(before)
	alone := back == nil && newest.replicas == newest.wanted && !newest.leaving
	st.scaled = settled && wanted == newest.wanted
	st.complete = alone && newest.settled() // the others' pods may still be going
	if gaveUp := newest.tried && (newest.replicas == 0 || newest.leaving); gaveUp && back != nil {
		st.failure = failure{reasonRolloutAborted, fmt.Sprintf("the pods are those of revision %d again", back.revision)}
		st.failedAt = abortedAt(d, st.revision, last)
		return st, true
	}
	st.atRest = settled && !st.complete
	st.rolledOut = alone && !st.complete && !st.isNew && rolledOutBefore(d.composition, newest, last.o)
	return st, true
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
func abortedAt(d *workload, revision int64, last *news) time.Time {
	switch {
	case d.revision == revision && !d.failedAt.IsZero():
		return d.failedAt
	case last.part != nil && !last.part.written.IsZero():
		return last.part.written
	}
	return last.o.Time
}

// rolledOutBefore reports whether a Rollout whose newest ReplicaSet alone is in use, and
// misses pods, was complete: then these were lost, or it was scaled.
func rolledOutBefore(k *composition, newest *part, o Observation) bool {
	if newest.revision == 1 {
		return newest.generation > 2 || !recent(k.created.at(), o)
	}
	return k.replicas.at.After(k.template.at) || !recent(k.template.at, o)
}
