package snapshots

import (
	"sort"
	"strconv"
	"time"

	"github.com/rollspan/rollspan/pkg/causality/internal/workloads"
)

// stepHistory are the steps of all ReplicaSets of a Deployment, in order, and what was
// true after each. A Deployment may keep thousands of ReplicaSets: so a question about
// a time must not look at all of them.
type stepHistory struct {
	all   []*snapshotStep
	downs []*snapshotStep // those that were not up
	// notNone is, after each step, how many ReplicaSets were not at none, as far as
	// known; other is the step before it that is the closest of another ReplicaSet.
	notNone []int
	other   []int
}

func newStepHistory(steps []*snapshotStep) *stepHistory {
	h := &stepHistory{all: steps, notNone: make([]int, len(steps)), other: make([]int, len(steps))}
	last := map[*snapshotSet]*snapshotStep{}
	n := 0
	for i, s := range steps {
		if !s.up {
			h.downs = append(h.downs, s)
		}
		if before := last[s.set]; before != nil && before.to != 0 {
			n--
		}
		if s.to != 0 {
			n++
		}
		last[s.set], h.notNone[i], h.other[i] = s, n, -1
		if i > 0 {
			h.other[i] = i - 1
			if steps[i-1].set == s.set {
				h.other[i] = h.other[i-1]
			}
		}
	}
	return h
}

// stepsBefore is how many of the steps, which are in order, were before a time; all of
// them if it is zero.
func stepsBefore(steps []*snapshotStep, at time.Time) int {
	if at.IsZero() {
		return len(steps)
	}
	return sort.Search(len(steps), func(i int) bool { return !steps[i].at.Before(at) })
}

func (h *stepHistory) before(at time.Time) int { return stepsBefore(h.all, at) }

// filled is how many ReplicaSets were not at none after so many steps.
func (h *stepHistory) filled(n int) int {
	if n == 0 {
		return 0
	}
	return h.notNone[n-1]
}

// lastOfOther is the last of so many steps that is not a ReplicaSet's; nil if there is
// none.
func (h *stepHistory) lastOfOther(set *snapshotSet, n int) *snapshotStep {
	i := n - 1
	if i >= 0 && h.all[i].set == set {
		i = h.other[i]
	}
	if i < 0 {
		return nil
	}
	return h.all[i]
}

// stepsProven reports whether Events account for each step of the Deployment's ReplicaSets since a
// time: each says from how many replicas to how many, the next one goes on from there, and the last
// one led to what there is. Of an Event that came again and again only the first time and the last
// are known.
func (d *snapshotDeployment) stepsProven(from time.Time) bool {
	if len(d.toEmit) == 0 && !d.over() {
		return false // nothing dates what is on its way
	}
	if n := len(d.revisions); n == 0 || d.Annotations[workloads.RevisionAnnotation] != strconv.FormatInt(d.revisions[n-1].number, 10) {
		return false // the Deployment is older, or newer, than its ReplicaSets
	}
	for _, set := range d.sets {
		have := int32(workloads.UnknownReplicas)
		for _, s := range set.steps[stepsBefore(set.steps, from):] {
			if s.event == nil || int(s.event.Count) > len(s.event.occurrences()) || s.from == workloads.UnknownReplicas ||
				have != workloads.UnknownReplicas && have != s.from {
				return false
			}
			have = s.to
		}
		if have != workloads.UnknownReplicas && have != set.wanted() {
			return false
		}
	}
	return true
}
