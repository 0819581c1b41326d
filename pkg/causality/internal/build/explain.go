package build

import (
	"cmp"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"

	"github.com/rollspan/rollspan/pkg/causality/internal/evidence"
	"github.com/rollspan/rollspan/pkg/causality/internal/podlife"
	"github.com/rollspan/rollspan/pkg/causality/internal/workloads"
	"github.com/rollspan/rollspan/pkg/spans/attr"
)

// explainFailure says in one sentence what went wrong and where, the most
// specific cause first.
func (b *changeBuilder) explainFailure() evidence.Failure {
	if b.change.Kind == attr.ChangeJob {
		return b.explainJob()
	}
	var after string
	late := evidence.Failure{Reason: workloads.ProgressDeadlineExceeded, Message: "the new pods did not become available"}
	switch {
	case b.change.Aborted():
		late, after = b.change.Failure, " (aborted)"
	case b.change.Deadline > 0:
		after = fmt.Sprintf(" (progress deadline of %s exceeded)", b.change.Deadline)
	}
	count, total := b.failuresOfPods()
	worst, n := commonest(count)
	if n > 0 {
		return evidence.Failure{Reason: worst.Reason, Message: fmt.Sprintf("%d of %d new pods: %s%s", n, total, worst.Sentence(), after)}
	}
	for _, set := range b.plan.Sets {
		f := set.CreateFailureAt(b.end)
		if set.Revision != b.change.Revision || f.Reason == "" {
			continue
		}
		if asked, there := int(min(b.change.Wanted, set.AskedFor(b.end))), b.thereOf(set); there < asked {
			return evidence.Failure{Reason: f.Reason, Message: fmt.Sprintf("%d of %d new pods not created: %s: %s%s", asked-there, asked, f.Reason, f.Forbidden().Message, after)}
		}
	}
	return evidence.Failure{Reason: late.Reason, Message: late.Message + after}
}

// failuresOfPods counts why pods that the change wants were not available when it ended, and how many
// pods there were. One that was lost by then has another in its place, or is missed. It counts only where
// it ended by itself before it was Ready, or the change was aborted, which took its pods away.
func (b *changeBuilder) failuresOfPods() (count map[evidence.Failure]int, total int) {
	count = map[evidence.Failure]int{}
	for pod, at := range b.plan.Starts {
		own := at.Change == b.change
		if pod.CreatedAt().After(b.end) || !own && !b.plan.Wants(b.change, pod) {
			continue
		}
		lost, counts := pod.WasLostBy(b.end), own && (b.change.Aborted() || pod.EndedUndeleted())
		if lost && !counts {
			continue
		}
		f, failed := b.unavailable(pod)
		if lost && !failed && !b.change.Aborted() {
			continue
		}
		total++
		if failed && (!b.change.Aborted() || b.isInTrouble(pod)) {
			count[f]++
		}
	}
	return count, total
}

// thereOf is how many pods of a set there were when the change ended.
func (b *changeBuilder) thereOf(set *workloads.PodSet) (n int) {
	for pod, at := range b.plan.Starts {
		if at.Set == set && !pod.CreatedAt().After(b.end) && !pod.WasLostBy(b.end) {
			n++
		}
	}
	return n
}

// isInTrouble reports whether something of a pod had failed when the change ended, rather
// than being not done yet.
func (b *changeBuilder) isInTrouble(pod *podlife.Pod) bool {
	_, failed := pod.Trouble(pod.Timeline(b.end), b.end)
	return failed
}

// unavailable says why a pod did not count as available when the change ended; not
// ok if it did, or had, before it was removed. One that was Ready may have crashed
// since, and again and again before minReadySeconds were over.
func (b *changeBuilder) unavailable(pod *podlife.Pod) (why evidence.Failure, ok bool) {
	first, was := pod.FirstReady()
	switch {
	case !was || first.At.At().After(b.end):
	case pod.WasLostBy(b.end):
		return evidence.Failure{}, false
	case pod.ReadyAt(b.end):
		return pod.CrashedSince(b.plan.Workload.MinReady, b.end)
	}
	why, _ = pod.Trouble(pod.Timeline(b.end), b.end)
	return why, true
}

// commonest is the failure that most pods had, and how many had it. Reasons tell failures apart, and
// messages do not: they have names, addresses and IDs that are each pod's own. Of the messages with one
// reason the one that most pods had stands for the others.
func commonest(count map[evidence.Failure]int) (worst evidence.Failure, n int) {
	if len(count) == 0 {
		return evidence.Failure{}, 0
	}
	reasons, kinds := map[string]int{}, map[evidence.Failure]int{}
	for f, k := range count {
		reasons[f.Reason] += k
		kinds[kindOf(f)] += k
	}
	worst = slices.MaxFunc(slices.Collect(maps.Keys(count)), func(f, g evidence.Failure) int {
		return cmp.Or(
			cmp.Compare(reasons[f.Reason], reasons[g.Reason]),
			cmp.Compare(kinds[kindOf(f)], kinds[kindOf(g)]),
			cmp.Compare(count[f], count[g]),
			strings.Compare(g.Sentence(), f.Sentence()),
		)
	})
	return worst, kinds[kindOf(worst)]
}

// kindOf is what failures have in common that are counted together: the reason, and which container it
// is about. The code that a container left with is the same for each pod, and tells failures apart as well.
func kindOf(f evidence.Failure) evidence.Failure {
	if !saysExitCode.MatchString(f.Message) {
		f.Message = ""
	}
	return f
}

// saysExitCode knows messages that say no more than how a container ended: "OOMKilled, exit code 137".
var saysExitCode = regexp.MustCompile(`^([A-Za-z]+, )?exit code -?[0-9]+$`)
