package build

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"time"

	"go.opentelemetry.io/otel/attribute"

	"github.com/rollspan/rollspan/pkg/causality/internal/evidence"
	"github.com/rollspan/rollspan/pkg/causality/internal/nodes"
	"github.com/rollspan/rollspan/pkg/causality/internal/plans"
	"github.com/rollspan/rollspan/pkg/causality/internal/podlife"
	"github.com/rollspan/rollspan/pkg/causality/internal/workloads"
	"github.com/rollspan/rollspan/pkg/spans"
	"github.com/rollspan/rollspan/pkg/spans/attr"
)

// maxNamed is how many pods of one trouble, and how many troubles, are named.
const maxNamed = 3

// waiting is what a change waited for at a time, in words.
type waiting struct {
	spans.Waits
	// reason is that of the worst trouble, "" if there is none.
	reason string
	attrs  []attribute.KeyValue
}

func (w *waiting) add(format string, args ...any) {
	w.For = append(w.For, fmt.Sprintf(format, args...))
}

// troubles are the pods that are not ready, by what keeps them from it.
type troubles map[string]*trouble

// trouble is one reason for which pods are not Ready, and which pods those are:
// ErrImagePull of web-1 and web-2.
type trouble struct {
	evidence.Failure
	failed bool // rather than not done yet
	pods   []string
}

// add notes a pod. The reason tells troubles apart, as messages name pods and
// addresses; that of the first pod by name stands for all.
func (ts troubles) add(pod *podlife.Pod, f evidence.Failure, failed bool) {
	t := ts[f.Reason]
	if t == nil {
		t = &trouble{Failure: f}
		ts[f.Reason] = t
	}
	t.failed = t.failed || failed
	if len(t.pods) == 0 || pod.Name < slices.Min(t.pods) {
		t.Failure = f
	}
	t.pods = append(t.pods, pod.Name)
}

// troubled adds the pods that are in trouble, the worst first: what has failed,
// then what most have.
func (w *waiting) troubled(ts troubles) { w.troubledOf("", ts) }

func (w *waiting) troubledOf(which string, ts troubles) {
	list := make([]*trouble, 0, len(ts))
	for _, t := range ts {
		list = append(list, t)
	}
	slices.SortFunc(list, func(a, b *trouble) int {
		if a.failed != b.failed {
			if a.failed {
				return -1
			}
			return 1
		}
		return cmp.Or(cmp.Compare(len(b.pods), len(a.pods)), strings.Compare(a.Reason, b.Reason))
	})
	others := 0
	for i, t := range list {
		if i >= maxNamed {
			others += len(t.pods)
			continue
		}
		w.because(t.Reason)
		w.add("%s%s: %s", which, podNames(t.pods), sentence(t.Failure))
	}
	if others > 0 {
		w.add("%s%s in other trouble", which, counted(others, "pod"))
	}
}

// because notes the reason, if it is the first one.
func (w *waiting) because(reason string) { w.reason = cmp.Or(w.reason, reason) }

// podNames is "pod web-a", "pods web-a, web-b and 5 more".
func podNames(names []string) string {
	slices.Sort(names)
	if len(names) == 1 {
		return "pod " + names[0]
	}
	more := ""
	if n := len(names) - maxNamed; n > 0 {
		names, more = names[:maxNamed], fmt.Sprintf(" and %d more", n)
	}
	return "pods " + strings.Join(names, ", ") + more
}

// counted is "1 pod", "2 pods".
func counted(n int, what string) string {
	if n == 1 {
		return "1 " + what
	}
	return fmt.Sprintf("%d %ss", n, what)
}

// census is how the pods of a change are at a time.
type census struct {
	at             time.Time
	ready, running int // running are those that are to finish
	there          int
	newest         time.Time // when the last of them was created
	troubles       troubles
	// failed are those of the pods that have ended badly, and that the Job makes up
	// for.
	failed   troubles
	stopping []string
	old      int      // pods that the change is to replace
	stuck    troubles // those of them that keep it from going on
}

func newCensus(at time.Time) census {
	return census{at: at, troubles: troubles{}, failed: troubles{}, stuck: troubles{}}
}

// count looks at a pod that the change wants, and that is to stay Ready for a time.
func (n *census) count(pod *podlife.Pod, minReady time.Duration) {
	n.there++
	n.newest = evidence.Latest(n.newest, pod.CreatedAt())
	f, failed := pod.Trouble(pod.Timeline(n.at), n.at)
	switch {
	case pod.Finite && pod.Finished.Known():
		if pod.Phase == podlife.PodFailed {
			n.failed.add(pod, f, true)
		}
	case pod.Finite && !failed && runsAt(pod, n.at):
		n.running++
	case !pod.Finite && readyAt(pod, n.at):
		n.ready++
		if crash, ok := crashedSince(pod, minReady, n.at); ok {
			n.troubles.add(pod, crash, true)
		}
	default:
		n.troubles.add(pod, f, failed)
	}
}

// lostBy reports whether the pod was lost by t.
func lostBy(pod *podlife.Pod, t time.Time) bool { return pod.Lost() && !pod.LostAt().At().After(t) }

// readyAt reports whether the pod was Ready at t.
func readyAt(pod *podlife.Pod, t time.Time) bool {
	ready := false
	for _, tr := range pod.Ready {
		if !tr.At.At().After(t) {
			ready = tr.Status
		}
	}
	return ready
}

// runsAt reports whether one of the pod's containers ran at t that are not there
// to prepare it.
func runsAt(pod *podlife.Pod, t time.Time) bool {
	return slices.ContainsFunc(pod.Containers, func(container *podlife.Container) bool { return !container.Init && container.RunningAt(t) })
}

// wants reports whether a pod is one of those that a change is to have, and does not replace.
func wants(p *plans.Plan, c *workloads.Change, pod *podlife.Pod) bool {
	if c.RevisionName != "" && pod.RevisionName == c.RevisionName {
		return true // after a rollback there are some that it need not replace
	}
	start := p.Starts[pod]
	if c.Kind == attr.ChangeRollout && !p.Workload.Direct() {
		// A rollout may go on with pods that another one began with.
		return start.Set != nil && start.Set.Revision == c.Revision
	}
	return start.Change == c
}

// countPods counts the pods of a change that is open at a time.
func countPods(p *plans.Plan, c *workloads.Change, at time.Time) census {
	n := newCensus(at)
	for _, pod := range p.Pods {
		if pod.CreatedAt().After(at) {
			continue
		}
		if lostBy(pod, at) {
			if p.Stops[pod].Change == c && pod.Leaving() && (!pod.Gone.Known() || pod.Gone.At().After(at)) {
				n.stopping = append(n.stopping, pod.Name)
			}
			continue
		}
		if wants(p, c, pod) {
			n.count(pod, p.Workload.MinReady)
			continue
		}
		n.old++
		if p.Workload.Controller.Replaces == workloads.ReplacedByName && !readyAt(pod, at) {
			// One that never gets ready is in the way until somebody deletes it.
			f, failed := pod.Trouble(pod.Timeline(at), at)
			n.stuck.add(pod, f, failed)
		}
	}
	return n
}

// WaitingFor says what an open change waited for at a time.
func WaitingFor(p *plans.Plan, c *workloads.Change, at time.Time) waiting {
	n := countPods(p, c, at)
	w := waiting{}
	if k := len(c.Pauses); k > 0 && !c.Pauses[k-1].Until.Known() {
		w.Paused = true
	}
	progressed(&w, c, &n)
	w.troubled(n.troubles)
	w.troubledOf("old ", n.stuck)
	if n.running == 0 && len(n.troubles) == 0 {
		w.troubled(n.failed) // it waits before it tries again
	}
	missing := missingPods(p, c, &n)
	if why := createFailure(p, c, &n); why.Reason != "" && (missing > 0 || c.Kind == attr.ChangeJob) {
		w.because(why.Reason)
		pods := "pods" // how many a Job is to have at a time is not known
		if c.Kind != attr.ChangeJob {
			pods = counted(missing, "pod")
		}
		w.add("%s not created: %s", pods, sentence(evidence.Failure{Reason: why.Reason, Message: shortForbidden(why.Message)}))
	}
	if len(n.stopping) > 0 {
		w.add("%s stopping", podNames(n.stopping))
	}
	if len(w.For) == 1 && !w.Paused {
		slow(p, &w, c, &n)
	}
	return w
}

// missingPods is how many pods the change asks for that are not there. A Deployment
// asks for as many at a time as maxSurge and maxUnavailable allow.
func missingPods(p *plans.Plan, c *workloads.Change, n *census) int {
	missing := int(c.Wanted) - n.there
	if c.Kind == attr.ChangeScale {
		return missing - n.old
	}
	for _, set := range p.Sets {
		if c.Kind == attr.ChangeRollout && !set.Direct() && set.Revision == c.Revision {
			missing = min(missing, int(set.AskedFor(n.at))-n.there)
		}
	}
	return missing
}

// progressed says how far the change is.
func progressed(w *waiting, c *workloads.Change, n *census) {
	switch {
	case c.Kind == attr.ChangeJob:
		w.add("%s", c.JobProgress())
		w.attrs = append(w.attrs, c.JobAttributes()...)
		if c.Runner != "" {
			w.add("run by %s", c.Runner)
		}
		if c.NoPods {
			w.add("parallelism 0")
		}
	case c.Kind == attr.ChangeRun && n.running > 0:
	default:
		ready := n.ready
		if c.Kind == attr.ChangeScale {
			ready = int(c.Ready) // the pods that were there count as well
		}
		if ready > int(c.Wanted) {
			w.add("%d ready, %d wanted", ready, c.Wanted)
		} else {
			w.add("%d of %d ready", ready, c.Wanted)
		}
		w.attrs = append(w.attrs, attr.PodsWantedKey.Int(int(c.Wanted)), attr.PodsReadyKey.Int(ready))
	}
	if n.running > 0 {
		w.add("%d running", n.running)
	}
}

// slow says what a rollout waits for that no pod is in trouble of.
func slow(p *plans.Plan, w *waiting, c *workloads.Change, n *census) {
	if c.Kind != attr.ChangeRollout {
		return
	}
	if old := n.old - int(c.Partition); old > 0 {
		w.add("%s to go", counted(old, "old pod"))
	} else if p.Workload.MinReady > 0 && n.ready >= int(c.Wanted) {
		w.add("they are to stay ready for %s", p.Workload.MinReady)
	}
}

// createFailure is why pods that the change wants could not be created: what the
// ReplicaSet says, or what the workload's Events do, since the last one was.
func createFailure(p *plans.Plan, c *workloads.Change, n *census) evidence.Failure {
	for _, set := range p.Sets {
		if why := set.CreateFailureAt(n.at); set.Revision == c.Revision && why.Reason != "" {
			return why
		}
		for _, ev := range set.Events {
			if o := ev.Until(n.at); set.Direct() && ev.Reason == "FailedCreate" && o.At.After(n.newest) && !o.At.After(n.at) && !o.At.Before(nodes.EarliestOf(c.Start)) {
				return evidence.Failure{Reason: ev.Reason, Message: o.Message}
			}
		}
	}
	return evidence.Failure{}
}

// WaitingForReplacement says what the replacement of a lost pod waited for at a
// time.
func WaitingForReplacement(set *workloads.PodSet, lost, next *podlife.Pod, at time.Time) waiting {
	w := waiting{attrs: []attribute.KeyValue{attr.PodsWantedKey.Int(1), attr.PodsReadyKey.Int(0)}}
	w.add("0 of 1 ready")
	if lost.Leaving() && (!lost.Gone.Known() || lost.Gone.At().After(at)) {
		w.add("pod %s stopping", lost.Name)
	}
	switch why := set.CreateFailureAt(at); {
	case next != nil && !next.CreatedAt().After(at):
		n := newCensus(at)
		n.count(next, 0)
		w.troubled(n.troubles)
	case why.Reason != "":
		w.because(why.Reason)
		w.add("1 pod not created: %s", sentence(evidence.Failure{Reason: why.Reason, Message: shortForbidden(why.Message)}))
	default:
		w.add("no pod in its place")
	}
	return w
}
