package snapshots

import (
	"cmp"
	"slices"
	"time"

	corev1 "k8s.io/api/core/v1"
)

// fact is something dated that happened to a pod, and its state from then on.
type fact struct {
	at      time.Time
	apply   func(*corev1.Pod)
	deletes bool // it is the request to delete the pod
	isReady bool // it is that the pod is Ready
	// ofRun is what it says of a run of a container, if it says anything.
	ofRun ofRun
}

// ofRun is what a fact says of a run of a container.
type ofRun int

const (
	noRun ofRun = iota
	runStarts
	runEnds
)

// sortFacts puts facts in order. Of one instant those of runs come first, as they were noted: a
// pod is what it is by them.
func sortFacts(facts []fact) {
	slices.SortStableFunc(facts, func(a, b fact) int {
		return cmp.Or(a.at.Compare(b.at), order(a.ofRun != noRun, b.ofRun != noRun))
	})
}

// order puts what is first.
func order(a, b bool) int {
	switch {
	case a == b:
		return 0
	case a:
		return -1
	}
	return 1
}

// startsAgain reports whether the first of the facts is the end of a run, and another run began in
// the same instant. Then it is a state of its own, or what is stated of that instant would be of
// the time before the end: that the pod is Ready, which it is with the next run.
func startsAgain(facts []fact) bool {
	if facts[0].ofRun != runEnds {
		return false
	}
	for _, f := range facts[1:] {
		if !f.at.Equal(facts[0].at) {
			return false
		}
		if f.ofRun == runStarts {
			return true
		}
	}
	return false
}
