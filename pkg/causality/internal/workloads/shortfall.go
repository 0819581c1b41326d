package workloads

import (
	"slices"

	"github.com/rollspan/rollspan/pkg/causality/internal/podlife"
)

// Shortfall is what of a step came to nothing.
type Shortfall struct {
	Pods int32
	By   *Step // of a step up: the last step down that gave up some of its pods
}

// Shortfalls is what of a ReplicaSet's steps came to nothing. One that is scaled down
// before it has created all pods of a step up, as it may if a quota forbids it,
// never creates those that are missing, and has as many fewer to delete. So
// neither a pod of a later step nor a later deletion is taken for theirs.
func (set *PodSet) Shortfalls(born []*podlife.Pod) map[*Step]Shortfall {
	shortfalls := map[*Step]Shortfall{}
	missing := map[*Step]int32{}
	var short []*Step // steps up that miss pods; a long history has few
	for _, step := range set.Steps {
		for len(born) > 0 && born[0].FirstSeen.Before(step.Write) {
			if !born[0].LostFirst {
				TakeVacancy(short, missing, born[0].FirstSeen)
			}
			born = born[1:]
		}
		if step.Up() {
			missing[step] = step.To - step.From - step.Ledger.Filled
			short = append(short, step)
			continue
		}
		left := step.From - step.To
		short = slices.DeleteFunc(short, func(up *Step) bool { return missing[up] <= 0 })
		for _, up := range slices.Backward(short) {
			n := min(left, missing[up])
			if n == 0 {
				break
			}
			missing[up] -= n
			shortfalls[up] = Shortfall{shortfalls[up].Pods + n, step}
			shortfalls[step] = Shortfall{Pods: shortfalls[step].Pods + n}
			left -= n
		}
	}
	return shortfalls
}
