package build

import (
	"fmt"
	"strings"
	"time"

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
	count := map[evidence.Failure]int{}
	total := 0
	for pod, at := range b.plan.Starts {
		if at.Change != b.change || pod.CreatedAt().After(b.end) {
			continue
		}
		total++
		if f, ok := b.unavailable(pod); ok && (!b.change.Aborted() || b.isInTrouble(pod)) {
			count[f]++
		}
	}
	worst, n := commonest(count)
	if n > 0 {
		return evidence.Failure{Reason: worst.Reason, Message: fmt.Sprintf("%d of %d new pods: %s%s", n, total, sentence(worst), after)}
	}
	for _, set := range b.plan.Sets {
		asked := int(min(b.change.Wanted, set.AskedFor(b.end)))
		if f := set.CreateFailureAt(b.end); set.Revision == b.change.Revision && f.Reason != "" && total < asked {
			return evidence.Failure{Reason: f.Reason, Message: fmt.Sprintf("%d of %d new pods not created: %s: %s%s", asked-total, asked, f.Reason, shortForbidden(f.Message), after)}
		}
	}
	return evidence.Failure{Reason: late.Reason, Message: late.Message + after}
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
	case lostBy(pod, b.end):
		return evidence.Failure{}, false
	case readyAt(pod, b.end):
		return crashedSince(pod, b.plan.Workload.MinReady, b.end)
	}
	why, _ = pod.Trouble(pod.Timeline(b.end), b.end)
	return why, true
}

// crashedSince is why a container of a pod that is Ready at a time ended last, if one has since
// the pod was Ready first, and it has not stayed so for long enough since.
func crashedSince(pod *podlife.Pod, minReady time.Duration, at time.Time) (why evidence.Failure, ok bool) {
	first, was := pod.FirstReady()
	if !was || !readySince(pod, at).Add(minReady).After(at) {
		return evidence.Failure{}, false
	}
	return lastCrash(pod, first.At.At(), at)
}

// readySince is when a pod that is Ready at t became so.
func readySince(pod *podlife.Pod, t time.Time) time.Time {
	var since time.Time
	ready := false
	for _, tr := range pod.Ready {
		if at := tr.At.At(); !at.After(t) {
			if tr.Status && !ready {
				since = at
			}
			ready = tr.Status
		}
	}
	return since
}

// stayedReady is when the pod became Ready and, as far as could be seen until a time,
// stayed so for d.
func stayedReady(pod *podlife.Pod, d time.Duration, until time.Time) (since time.Time, ok bool) {
	for _, tr := range pod.Ready {
		switch at := tr.At.At(); {
		case tr.Status && !ok:
			since, ok = tr.At.Earliest, true
		case !tr.Status && ok && !at.After(until) && at.Before(since.Add(d)):
			ok = false
		}
	}
	return since, ok
}

// lastCrash is why a container of the pod ended last in a span of time, if one did.
func lastCrash(pod *podlife.Pod, from, to time.Time) (why evidence.Failure, ok bool) {
	var last time.Time
	for _, container := range pod.Containers {
		r := container.LastEnded(to)
		if r == nil || r.Finished.At().Before(from) || !r.Finished.At().After(last) || pod.EndedWithPod(container, r) {
			continue
		}
		last = r.Finished.At()
		why, ok = pod.Of(container, pod.WhyEnded(container, r)), true
	}
	return why, ok
}

// shortForbidden drops the name of the pod that could not be created, which
// is another with every try: `pods "web-x" is forbidden: exceeded quota: …`.
func shortForbidden(message string) string {
	if _, rest, ok := strings.Cut(message, " is forbidden: "); ok {
		return rest
	}
	return message
}
