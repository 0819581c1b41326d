package causality

import (
	"cmp"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/rollspan/rollspan/pkg/causality/internal/evidence"
	"github.com/rollspan/rollspan/pkg/causality/internal/kube"
	"github.com/rollspan/rollspan/pkg/causality/internal/ledger"
	"github.com/rollspan/rollspan/pkg/causality/internal/nodes"
	"github.com/rollspan/rollspan/pkg/causality/internal/podlife"
	"github.com/rollspan/rollspan/pkg/causality/internal/workloads"
)

// preemptor finds the pod for which the scheduler took another one away; nil if that
// cannot be told.
//
// The Event about the victim has the pod as its related object, and in its
// message: "Preempted by pod <UID> on node <node>", in older versions "Preempted
// by <namespace>/<name> on node <node>". The two may be of different namespaces, so
// what the Event says counts only where the scheduler has put the pod onto the node of
// the victim, or nominated it for that; who may write Events cannot do so. Without the
// Event there is the node that the scheduler nominated for the pod, if it did so for
// one pod only.
func (e *Engine) preemptor(victim *podlife.Pod) *podlife.Pod {
	if victim.Disruption != corev1.PodReasonPreemptionByScheduler {
		return nil
	}
	for _, ev := range victim.Events {
		if ev.Reason != "Preempted" {
			continue
		}
		id := e.podInPreemption(ev)
		switch by := e.pods[id]; {
		case id.UID == "":
		case by == nil:
			return nil // it is forgotten
		case victim.Node != "" && (by.Node == victim.Node || by.NominatedNode == victim.Node) && wantedRoom(by, victim.LostAt()):
			return by
		}
	}
	return e.nominatedFor(victim)
}

// awaitsPreemptor reports whether news waits of the workload of the pod for which another one
// was taken away: the change that made it, to which the loss is linked, may not be known yet.
func (e *Engine) awaitsPreemptor(victim *podlife.Pod) bool {
	by := e.preemptor(victim)
	if by == nil {
		return false
	}
	w := e.workloadOf(by.Object)
	return w != nil && w.Awaits(by.FirstSeen)
}

// wantedRoom reports whether a pod was there and had no node when another one was lost.
func wantedRoom(pod *podlife.Pod, lost evidence.Moment) bool {
	return !nodes.EarliestOf(pod.Created).After(lost.At()) && (!pod.Scheduled.Known() || !pod.Scheduled.At().Before(nodes.EarliestOf(lost)))
}

// podInPreemption is the pod that an Event "Preempted" says was made room for; zero if it says none.
func (e *Engine) podInPreemption(ev *podlife.Event) kube.ObjectID {
	if ev.Related != nil {
		return *ev.Related
	}
	words := strings.Fields(ev.Message())
	if len(words) < 3 || words[0] != "Preempted" || words[1] != "by" {
		return kube.ObjectID{}
	}
	if namespace, name, ok := strings.Cut(words[2], "/"); ok {
		return e.names[kube.NameKey{Kind: kube.KindPod, Namespace: namespace, Name: name}]
	}
	if words[2] == "pod" && len(words) > 3 && words[3] != "on" {
		uid := types.UID(words[3])
		return cmp.Or(e.uids[uid], kube.ObjectID{Kind: kube.KindPod, UID: uid})
	}
	return kube.ObjectID{}
}

// nominatedFor is the one pod that waited for the victim's node when the victim was
// taken away.
func (e *Engine) nominatedFor(victim *podlife.Pod) (found *podlife.Pod) {
	if victim.Node == "" {
		return nil
	}
	lost := victim.LostAt()
	for _, pod := range e.nominated[victim.Node] {
		e.work.Spend(1)
		if !wantedRoom(pod, lost) {
			continue
		}
		if found != nil {
			return nil
		}
		found = pod
	}
	return found
}

// nominate notes the node on which the scheduler makes room for a pod, "" for none.
func (e *Engine) nominate(pod *podlife.Pod, node string) {
	if node == pod.NominatedNode {
		return
	}
	if before := pod.NominatedNode; before != "" {
		left := slices.DeleteFunc(e.nominated[before], func(q *podlife.Pod) bool { return q == pod })
		if len(left) == 0 {
			delete(e.nominated, before)
		} else {
			e.nominated[before] = left
		}
	}
	pod.NominatedNode = node
	if node != "" {
		e.nominated[node] = append(e.nominated[node], pod)
	}
}

// broughtBy is the trace in which a pod was started, if one tells of it.
func (e *Engine) broughtBy(pod *podlife.Pod) (ledger.Place, bool) {
	if pod == nil {
		return ledger.Place{}, false
	}
	w := e.workloadOf(pod.Object)
	if w == nil {
		return ledger.Place{}, false
	}
	p := e.planOfAll(w)
	if p == nil {
		return ledger.Place{}, false
	}
	switch at := p.Starts[pod]; {
	case at.Change != nil && !w.IdentitySettled(at.Change):
		return ledger.Place{}, false // whatever its trace's ID will be
	case at.Change != nil:
		return p.PlaceOf(at.Change), true
	case at.Lost != nil:
		return e.issued.Give(workloads.PlaceOfReplacement(at.Lost)), true
	default:
		return ledger.Place{}, false
	}
}
