package causality

import (
	"slices"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
)

// createFailure is a time in which the pods of a ReplicaSet could not be created, as
// its condition ReplicaFailure says.
type createFailure struct {
	failure
	from, until time.Time // until is zero while it lasts
}

// observeCreateFailure reads the condition, which the controller takes away when it
// has succeeded (k8s.io/kubernetes/pkg/controller/replicaset, calculateStatus).
func (rs *podSet) observeCreateFailure(conditions []appsv1.ReplicaSetCondition, seen time.Time) {
	var now createFailure
	for i := range conditions {
		if c := &conditions[i]; c.Type == appsv1.ReplicaSetReplicaFailure && c.Status == corev1.ConditionTrue {
			now = createFailure{failure: failure{c.Reason, c.Message}, from: c.LastTransitionTime.Time}
		}
	}
	var last *createFailure
	if n := len(rs.createFailures); n > 0 && rs.createFailures[n-1].until.IsZero() {
		last = &rs.createFailures[n-1]
	}
	switch {
	case now.reason == "" && last != nil:
		last.until = seen
	case now.reason == "":
	case last != nil:
		last.failure = rs.sharedFailure(now.failure)
		rs.createFailures = trimmed(rs.createFailures, maxTransitions)
	default:
		now.failure = rs.sharedFailure(now.failure)
		rs.createFailures = trimmed(append(rs.createFailures, now), maxTransitions)
	}
}

func (rs *podSet) sharedFailure(f failure) failure {
	return failure{shared(rs.createFailures, f.reason), shared(rs.createFailures, f.message)}
}

// createFailureAt is why pods could not be created at a time, if so.
func (rs *podSet) createFailureAt(t time.Time) failure {
	for _, f := range slices.Backward(rs.createFailures) {
		if !f.from.After(t) && (f.until.IsZero() || f.until.After(t)) {
			return f.failure
		}
	}
	return failure{}
}

// askedFor is how many pods the set was to have at a time.
func (rs *podSet) askedFor(t time.Time) int32 {
	for _, s := range slices.Backward(rs.steps) {
		if !s.stamp.arrival.After(t) {
			return s.to
		}
	}
	if len(rs.steps) > 0 {
		return rs.steps[0].from
	}
	return rs.replicas
}
