package waits

import (
	"slices"
	"time"

	"github.com/rollspan/rollspan/pkg/causality/internal/evidence"
	"github.com/rollspan/rollspan/pkg/causality/internal/plans"
	"github.com/rollspan/rollspan/pkg/causality/internal/podlife"
	"github.com/rollspan/rollspan/pkg/causality/internal/workloads"
	"github.com/rollspan/rollspan/pkg/spans/attr"
)

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
	old      int      // pods that the change did not make, and that a rollout is to replace
	stuck    troubles // those of them that keep it from going on, or from being complete
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
	case pod.Finite && !failed && pod.RunsAt(n.at):
		n.running++
	case !pod.Finite && pod.ReadyAt(n.at):
		n.ready++
		if crash, ok := pod.CrashedSince(minReady, n.at); ok {
			n.troubles.add(pod, crash, true)
		}
	default:
		n.troubles.add(pod, f, failed)
	}
}

// countPods counts the pods of a change that is open at a time.
func countPods(p *plans.Plan, c *workloads.Change, at time.Time) census {
	n, scaled := newCensus(at), p.ScaledBy(c)
	for _, pod := range p.Pods {
		if pod.CreatedAt().After(at) {
			continue
		}
		if pod.WasLostBy(at) {
			if p.Stops[pod].Change == c && pod.Leaving() && (!pod.Gone.Known() || pod.Gone.At().After(at)) {
				n.stopping = append(n.stopping, pod.Name)
			}
			continue
		}
		if p.Wants(c, pod) {
			n.count(pod, p.Workload.MinReady)
			continue
		}
		if c.Kind == attr.ChangeScale && !scaled(pod) {
			continue // it is kept for a while, and does not count
		}
		n.old++
		if (p.Workload.Controller.Replaces == workloads.ReplacedByName || c.Kind == attr.ChangeScale) && !pod.ReadyAt(at) {
			// One that never gets ready is in a StatefulSet's way until somebody deletes it. With a
			// scale all pods that stay are to be available.
			f, failed := pod.Trouble(pod.Timeline(at), at)
			n.stuck.add(pod, f, failed)
		}
	}
	return n
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
