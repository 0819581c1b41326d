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
func composeRollout(d *workload, parts []part, o Observation) (st workloadState, ok bool) {
	if len(parts) == 0 || parts[len(parts)-1].revision == 0 {
		return st, false
	}
	newest, before := parts[len(parts)-1], parts[:len(parts)-1]
	st = workloadState{
		revision:  newest.revision,
		replicas:  newest.wanted,
		available: newest.available,
		minReady:  newest.minReady,
		template:  newest.template,
		isNew:     len(before) == 0 && !newest.tried,
		first:     newest.revision == 1,
	}
	var back *part // the newest of the others that want pods
	settled, wanted := true, int32(0)
	for i := range parts {
		p := &parts[i]
		if p.leaving {
			continue
		}
		settled = settled && p.settled()
		wanted += p.replicas
		st.total += p.total
		if i < len(before) && p.replicas > 0 {
			back = p
		}
	}
	alone := back == nil && newest.replicas == newest.wanted && !newest.leaving
	aborted := back != nil && newest.tried && (newest.replicas == 0 || newest.leaving)
	st.scaled = settled && wanted == newest.wanted
	st.complete = alone && settled
	st.atRest = settled && !st.complete && !aborted
	switch {
	case aborted:
		st.failure = failure{reasonRolloutAborted, fmt.Sprintf("the pods are those of revision %d again", back.revision)}
		st.failedAt = o.Time
		if d.revision == st.revision && !d.failedAt.IsZero() {
			st.failedAt = d.failedAt
		}
	case !alone || st.complete || st.isNew:
	case st.first:
		// Pods are missing: they are still to be made, or were lost, or it was scaled.
		st.rolledOut = newest.generation > 2 || !recent(d.composition.created.at(), o)
	default:
		template, replicas := d.composition.template.at, d.composition.replicas.at
		st.rolledOut = replicas.After(template) || !recent(template, o)
	}
	return st, true
}
