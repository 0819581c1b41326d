package causality

import (
	"slices"
	"time"

	"github.com/rollspan/rollspan/pkg/causality/internal/kube"
	"github.com/rollspan/rollspan/pkg/causality/internal/ledger"
	"github.com/rollspan/rollspan/pkg/causality/internal/nodes"
	"github.com/rollspan/rollspan/pkg/causality/internal/podlife"
	"github.com/rollspan/rollspan/pkg/causality/internal/workloads"
)

// What an Event explains may take longer than anybody would wait for the next Event: a
// container that backs off for five minutes, a pod that stops within an hour. So before
// Events become an activity, all that is open about their object is asked, for as long as
// it is open. They wait in the room that Events have; see shed.

// claimable reports whether something that is still to be handed out may yet want the
// object's Events. If that is so until the review of a workload, it is by that one.
func (e *Engine) claimable(obj *podlife.Object) (open bool, by *workloads.Workload) {
	if open, by := e.wantedByPod(obj); open {
		return true, by
	}
	pod := e.pods[obj.ObjectID]
	if e.endToCome(pod) {
		return true, nil
	}
	w := e.workloadAbove(obj)
	switch {
	case w == nil:
		return false, nil
	case w.IsOpen():
		return true, w
	case e.now.Before(obj.Touched.Add(e.opts.Settle)):
		return true, nil // a review is due
	case pod != nil && e.endsSoon(pod):
		return true, nil
	case pod != nil && e.podOpen(w, pod), pod == nil && e.setOpen(w, obj):
		return true, w
	}
	return false, nil
}

// wantedByPod reports whether a change that is still to be handed out may want the
// Events of a claim, because it tells of a pod that uses it, and of which workload.
func (e *Engine) wantedByPod(obj *podlife.Object) (wanted bool, by *workloads.Workload) {
	if obj.Kind != kube.KindClaim || obj.Group != "" {
		return false, nil
	}
	for _, pod := range e.claims.Users[podlife.ClaimKey(obj.Namespace, obj.Name)] {
		if pod.Ledger.StartSent {
			continue
		}
		if open, by := e.claimable(pod.Object); open {
			return true, by
		}
	}
	return false, nil
}

// endsSoon reports whether the end of a pod is still to be handed out, for as long as is waited
// for it, although nothing more may be observed of the pod.
func (e *Engine) endsSoon(pod *podlife.Pod) bool {
	gone := pod.Leaving() && pod.Gone.Known() && !e.now.After(pod.GoneSeen.Add(e.opts.Linger))
	return pod.EndIsAnnounced(e.now) || gone && !pod.Ledger.StopSent
}

// podOpen reports whether something about a pod, of which the workload's changes do not
// tell, is still to be handed out: its start or stop, a restart, its replacement.
func (e *Engine) podOpen(w *workloads.Workload, pod *podlife.Pod) bool {
	switch {
	case pod.RestartPending():
		return true
	case !pod.Lost():
		return !pod.Ledger.StartSent && !pod.Initial
	case pod.Ledger.StopSent:
		return false
	case pod.Leaving() && !pod.Gone.Known():
		return true
	}
	return e.lossPending(w, pod)
}

// lossPending reports whether a trace that is still to come tells of a pod's loss.
func (e *Engine) lossPending(w *workloads.Workload, pod *podlife.Pod) bool {
	p := e.planOf(w)
	if p == nil {
		return false
	}
	if p.Awake() && e.isAtRest(w, pod) {
		return true // with the open change
	}
	at := p.Stops[pod]
	return at.Change != nil || at.Lost != nil
}

// setOpen reports whether pods of a set, of which its Events tell, are still to be handed
// out: one was lost, and there is none in its place yet.
func (e *Engine) setOpen(w *workloads.Workload, set *podlife.Object) bool {
	return slices.ContainsFunc(e.podsOf[set.ObjectID], func(pod *podlife.Pod) bool {
		if pod.Lost() {
			return !pod.Ledger.StopSent && pod.Ledger.Replaced == nil && e.lossPending(w, pod)
		}
		return !pod.Ledger.StartSent && !pod.Initial && e.replaces(w, pod)
	})
}

// replaces reports whether a pod came in the place of one that was lost while no change was
// open.
func (e *Engine) replaces(w *workloads.Workload, pod *podlife.Pod) bool {
	p := e.planOf(w)
	return p != nil && p.Starts[pod].Lost != nil && p.Starts[pod].Change == nil
}

// The node controller says of each pod on a node that the node is not Ready
// (k8s.io/kubernetes/pkg/controller/util/node, MarkPodsNotReady).
const reasonNodeNotReady = "NodeNotReady"

// nodeReach is how far what the node controller says of a node and of its pods may be
// apart: it goes through the pods one by one.
const nodeReach = 10 * time.Second

// disruptionBehind finds the disruption of a node of which an Event about a pod tells; nil
// if there is none. Of a pod that nothing else is known of, the node is not known either:
// then it is the one that was lost just before, if there is only one.
func (e *Engine) disruptionBehind(obj *podlife.Object, ev *podlife.Event) *nodes.Disruption {
	if obj.Kind != kube.KindPod || obj.Group != "" || ev.Reason != reasonNodeNotReady {
		return nil
	}
	if pod := e.pods[obj.ObjectID]; pod != nil {
		if n := e.nodeOf(pod); n != nil {
			return n.LostAround(ev.First(), nodeReach)
		}
		return nil
	}
	if e.losses == nil {
		e.losses = e.nodes.Losses()
	}
	return e.losses.Around(ev.First(), nodeReach)
}

// heldForNode reports whether an Event waits for the disruption of a node, of which it
// tells, to be over.
func (e *Engine) heldForNode(obj *podlife.Object, ev *podlife.Event) bool {
	d := e.disruptionBehind(obj, ev)
	if d == nil || d.Ledger.Sent {
		return false
	}
	e.awaitTold(d, obj)
	return true
}

// sentSpanAfterStart finds the span, handed out before, in whose time an Event about a pod
// lies; nil if there is none.
func (e *Engine) sentSpanAfterStart(w *workloads.Workload, pod *podlife.Pod, ev *podlife.Event) *ledger.SentSpan {
	t := ev.First()
	for _, container := range pod.Containers {
		about := ev.Container == "" || ev.Container == container.Name
		if s := pod.Ledger.Restarts[container.Name]; s != nil && about && during(s, t) {
			return s
		}
	}
	if s := pod.Ledger.Replaced; s != nil && during(s, t) {
		return s
	}
	if start := pod.Ledger.StartSpan; start != nil {
		for _, c := range slices.Backward(w.Changes) {
			if s := c.Ledger.Root; s != nil && s.Place.Own == start.Place.Own && during(s, t) {
				return s
			}
		}
	}
	return nil
}

// during reports whether t lies in the time of a span that was handed out.
func during(s *ledger.SentSpan, t time.Time) bool { return !t.Before(s.Start) && !t.After(s.End) }
