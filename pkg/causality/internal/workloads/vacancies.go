package workloads

import (
	"github.com/rollspan/rollspan/pkg/causality/internal/evidence"
)

// Vacancies are the places that the steps of a set still have for pods, in the order in which
// the steps were decided. A rollout of thousands of pods takes hundreds of steps, most of
// which are full: what is full is not looked at again.
type Vacancies struct {
	steps []*Step
	left  []int32
	first int // those before it are full
	// ordered says that each step, but for the second, was decided after the one before. The
	// first may not have been seen, and is dated by arrival alone.
	ordered bool
}

// NewVacancies are those of steps, of which each has as many as left says.
func NewVacancies(steps []*Step, left func(*Step) int32) *Vacancies {
	v := &Vacancies{steps: steps, left: make([]int32, len(steps)), ordered: true}
	for i, step := range steps {
		v.left[i] = left(step)
		if i > 1 && !evidence.SurelyAfter(step.Write, steps[i-1].Write) {
			v.ordered = false
		}
	}
	return v
}

// Take finds the earliest step with a vacancy that was decided before a write, and takes the
// vacancy: the ReplicaSet web-6757 was scaled from 0 to 3, two of its pods have been
// attributed to that, so the third that comes takes the last vacancy. It returns nil if no
// step has one. may says which steps come into question; nil is all.
func (v *Vacancies) Take(write evidence.Write, may func(*Step) bool, work *evidence.Work) *Step {
	for v.first < len(v.steps) && v.left[v.first] <= 0 {
		v.first++
	}
	for i := v.first; i < len(v.steps); i++ {
		work.Spend(1)
		if write.Before(v.steps[i].Write) {
			if v.ordered && i > 0 {
				return nil
			}
			continue
		}
		if v.left[i] > 0 && (may == nil || may(v.steps[i])) {
			v.left[i]--
			return v.steps[i]
		}
	}
	return nil
}
