package waits

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

// Waiting is what a change waited for at a time, in words.
type Waiting struct {
	spans.Waits
	// Reason is that of the worst trouble, "" if there is none.
	Reason string
	attrs  []attribute.KeyValue
}

func (w *Waiting) add(format string, args ...any) {
	w.For = append(w.For, fmt.Sprintf(format, args...))
}

// troubled adds the pods that are in trouble, the worst first: what has failed,
// then what most have.
func (w *Waiting) troubled(ts troubles) { w.troubledOf("", ts) }

func (w *Waiting) troubledOf(which string, ts troubles) {
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
		w.add("%s%s: %s", which, podNames(t.pods), t.Failure.Sentence())
	}
	if others > 0 {
		w.add("%s%s in other trouble", which, Counted(others, "pod"))
	}
}

// because notes the reason, if it is the first one.
func (w *Waiting) because(reason string) { w.Reason = cmp.Or(w.Reason, reason) }

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

// Counted is "1 pod", "2 pods".
func Counted(n int, what string) string {
	if n == 1 {
		return "1 " + what
	}
	return fmt.Sprintf("%d %ss", n, what)
}

// Attributes say what is waited for.
func (w *Waiting) Attributes() []attribute.KeyValue {
	attrs := append([]attribute.KeyValue{attr.WaitingForKey.String(w.String())}, w.attrs...)
	if w.Reason != "" {
		attrs = append(attrs, attr.WaitingReasonKey.String(w.Reason))
	}
	return attrs
}

// ForChange says what an open change waited for at a time.
func ForChange(p *plans.Plan, c *workloads.Change, at time.Time) Waiting {
	n := countPods(p, c, at)
	w := Waiting{}
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
			pods = Counted(missing, "pod")
		}
		w.add("%s not created: %s", pods, why.Sentence())
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
func progressed(w *Waiting, c *workloads.Change, n *census) {
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
func slow(p *plans.Plan, w *Waiting, c *workloads.Change, n *census) {
	if c.Kind != attr.ChangeRollout {
		return
	}
	if old := n.old - int(c.Partition); old > 0 {
		w.add("%s to go", Counted(old, "old pod"))
	} else if p.Workload.MinReady > 0 && n.ready >= int(c.Wanted) {
		w.add("they are to stay ready for %s", p.Workload.MinReady)
	}
}

// CreateFailure is why pods that the change wants could not be created at a time, with no
// name of a pod in it. Its reason is "" where nothing tells of that.
func CreateFailure(p *plans.Plan, c *workloads.Change, at time.Time) evidence.Failure {
	n := countPods(p, c, at)
	return createFailure(p, c, &n)
}

// createFailure is why pods that the change wants could not be created: what the
// ReplicaSet says, or what the workload's Events do, since the last one was.
func createFailure(p *plans.Plan, c *workloads.Change, n *census) evidence.Failure {
	for _, set := range p.Sets {
		if why := set.CreateFailureAt(n.at); set.Revision == c.Revision && why.Reason != "" {
			return why.Forbidden()
		}
		for _, ev := range set.Events {
			if o := ev.Until(n.at); set.Direct() && ev.Reason == "FailedCreate" && o.At.After(n.newest) && !o.At.After(n.at) && !o.At.Before(nodes.EarliestOf(c.Start)) {
				return evidence.Failure{Reason: ev.Reason, Message: o.Message}.Forbidden()
			}
		}
	}
	return evidence.Failure{}
}

// ForReplacement says what the replacement of a lost pod waited for at a time.
func ForReplacement(set *workloads.PodSet, lost, next *podlife.Pod, at time.Time) Waiting {
	w := Waiting{attrs: []attribute.KeyValue{attr.PodsWantedKey.Int(1), attr.PodsReadyKey.Int(0)}}
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
		w.add("1 pod not created: %s", why.Forbidden().Sentence())
	default:
		w.add("no pod in its place")
	}
	return w
}

// ForRestart says what the restart of a container waited for at a time, after it had ended
// as told.
func ForRestart(pod *podlife.Pod, container *podlife.Container, ended *podlife.Run, at time.Time) Waiting {
	f, failed := pod.TroubleSince(container, ended, at)
	ts := troubles{}
	ts.add(pod, f, failed)
	w := Waiting{}
	w.troubled(ts)
	return w
}
