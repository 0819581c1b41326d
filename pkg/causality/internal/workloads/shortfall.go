package workloads

import (
	"slices"

	"github.com/rollspan/rollspan/pkg/causality/internal/evidence"
	"github.com/rollspan/rollspan/pkg/causality/internal/podlife"
)

// Shortfall is how many of the pods that a step asked for were never made. A quota allows
// two of the four pods of the step from 0 to 4, and then the ReplicaSet is scaled to 1: that
// step up has a Shortfall of two pods, and of the three fewer that the step down asks for,
// only one has to be deleted, so that it has a Shortfall of two as well.
type Shortfall struct {
	Pods int32
	By   *Step // of a step up: the last step down that gave up some of its pods
}

// Shortfalls are those of a ReplicaSet's steps, by step. One that is scaled down
// before it has created all pods of a step up, as it may if a quota forbids it,
// never creates those that are missing, and has as many fewer to delete. So
// neither a pod of a later step nor a later deletion is taken for theirs.
//
// Filled are the places of each step that other pods have than these.
func (set *PodSet) Shortfalls(born []*podlife.Pod, filled func(*Step) int32, initial int32) map[*Step]Shortfall {
	shortfalls := map[*Step]Shortfall{}
	var short []shortStep // steps up that miss pods; a long history has few
	ahead := set.ahead(born, initial)
	for _, step := range set.Steps {
		for len(born) > 0 && born[0].FirstSeen.Before(step.Write) {
			if !born[0].LostFirst {
				takeMissing(short, born[0].FirstSeen)
			}
			born = born[1:]
		}
		if step.Up() {
			missing := step.To - step.From - filled(step)
			filled := max(0, min(ahead, missing))
			ahead -= filled
			short = append(short, shortStep{step, missing - filled})
			continue
		}
		left := step.From - step.To
		short = slices.DeleteFunc(short, func(up shortStep) bool { return up.missing <= 0 })
		for i := range slices.Backward(short) {
			up := &short[i]
			n := min(left, up.missing)
			if n == 0 {
				break
			}
			up.missing -= n
			shortfalls[up.Step] = Shortfall{shortfalls[up.Step].Pods + n, step}
			shortfalls[step] = Shortfall{Pods: shortfalls[step].Pods + n}
			left -= n
		}
	}
	return shortfalls
}

// shortStep is a step up, and how many of its pods have not come.
type shortStep struct {
	*Step
	missing int32
}

// takeMissing gives a pod to the first step that misses one.
func takeMissing(short []shortStep, write evidence.Write) {
	for i := range short {
		if short[i].missing > 0 && !write.Before(short[i].Write) {
			short[i].missing--
			return
		}
	}
}

// ahead is how many pods more there were than the ReplicaSet wanted when rollspan came. If
// it is scaled up next, it was listed before that, and its pods after. There are so many
// initial ones besides these.
func (set *PodSet) ahead(pods []*podlife.Pod, initial int32) int32 {
	if set.Listed < 0 && (len(set.Steps) == 0 || set.Steps[0].Initial) {
		return 0 // it is not known what it wanted
	}
	n := initial - max(set.Listed, 0)
	for _, pod := range pods {
		if pod.Initial && !pod.LostFirst {
			n++
		}
	}
	return max(n, 0)
}
