package workloads

import (
	"slices"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"

	"github.com/rollspan/rollspan/pkg/causality/internal/evidence"
	"github.com/rollspan/rollspan/pkg/causality/internal/podlife"
)

// createFailure is a time in which the pods of a ReplicaSet could not be created, as
// its condition ReplicaFailure says.
type createFailure struct {
	evidence.Failure
	from, until time.Time // until is zero while it lasts
}

// observeCreateFailure reads the condition, which the controller takes away when it
// has succeeded (k8s.io/kubernetes/pkg/controller/replicaset, calculateStatus).
func (set *PodSet) observeCreateFailure(conditions []appsv1.ReplicaSetCondition, seen time.Time) {
	var now createFailure
	for i := range conditions {
		if c := &conditions[i]; c.Type == appsv1.ReplicaSetReplicaFailure && c.Status == corev1.ConditionTrue {
			now = createFailure{Failure: evidence.Failure{Reason: c.Reason, Message: c.Message}, from: c.LastTransitionTime.Time}
		}
	}
	var last *createFailure
	if n := len(set.createFailures); n > 0 && set.createFailures[n-1].until.IsZero() {
		last = &set.createFailures[n-1]
	}
	switch {
	case now.Reason == "" && last != nil:
		last.until = seen
	case now.Reason == "":
	case last != nil:
		last.Failure = set.sharedFailure(now.Failure)
		set.createFailures = evidence.Trimmed(set.createFailures, podlife.MaxTransitions)
	default:
		now.Failure = set.sharedFailure(now.Failure)
		set.createFailures = evidence.Trimmed(append(set.createFailures, now), podlife.MaxTransitions)
	}
}

func (set *PodSet) sharedFailure(f evidence.Failure) evidence.Failure {
	return evidence.Failure{Reason: evidence.Shared(set.createFailures, f.Reason), Message: evidence.Shared(set.createFailures, f.Message)}
}

// CreateFailureAt is why pods could not be created at a time, if so.
func (set *PodSet) CreateFailureAt(t time.Time) evidence.Failure {
	for _, f := range slices.Backward(set.createFailures) {
		if !f.from.After(t) && (f.until.IsZero() || f.until.After(t)) {
			return f.Failure
		}
	}
	return evidence.Failure{}
}

// AskedFor is how many pods the set was to have at a time.
func (set *PodSet) AskedFor(t time.Time) int32 {
	for _, step := range slices.Backward(set.Steps) {
		if !step.Write.Arrival.After(t) {
			return step.To
		}
	}
	if len(set.Steps) > 0 {
		return set.Steps[0].From
	}
	return set.Replicas
}

// RefusedIn is when the API first refused a pod of the set between two times, by what its
// controller says: its Events, or where these are lost the condition of a ReplicaSet. It is zero
// if the API did not.
func (set *PodSet) RefusedIn(from, to time.Time) (first time.Time) {
	for _, f := range set.createFailures {
		if f.from.Before(to) && (f.until.IsZero() || f.until.After(from)) {
			first = evidence.Earliest(first, evidence.Latest(f.from, from))
		}
	}
	for _, ev := range set.Events {
		if ev.Reason != "FailedCreate" {
			continue
		}
		for _, o := range ev.Occurrences {
			if !o.At.Before(from) && o.At.Before(to) {
				first = evidence.Earliest(first, o.At)
			}
		}
	}
	return first
}
