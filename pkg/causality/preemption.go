package causality

import (
	"cmp"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"
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
func (e *Engine) preemptor(victim *pod) *pod {
	if victim.disruption != corev1.PodReasonPreemptionByScheduler {
		return nil
	}
	for _, ev := range victim.events {
		if ev.reason != "Preempted" {
			continue
		}
		id := ev.related
		if id.uid == "" {
			id = e.podInPreemption(ev.message())
		}
		switch by := e.pods[id]; {
		case id.uid == "":
		case by == nil:
			return nil // it is forgotten
		case victim.node != "" && (by.node == victim.node || by.nominatedNode == victim.node) && by.wantedRoom(victim.lostAt()):
			return by
		}
	}
	return e.nominatedFor(victim)
}

// wantedRoom reports whether a pod was there and had no node when another one was lost.
func (p *pod) wantedRoom(lost moment) bool {
	return !p.created.from().After(lost.at()) && (!p.scheduled.known() || !p.scheduled.at().Before(lost.from()))
}

func (e *Engine) podInPreemption(message string) objectID {
	words := strings.Fields(message)
	if len(words) < 3 || words[0] != "Preempted" || words[1] != "by" {
		return objectID{}
	}
	if namespace, name, ok := strings.Cut(words[2], "/"); ok {
		return e.names[nameKey{kind: kindPod, namespace: namespace, name: name}]
	}
	if words[2] == "pod" && len(words) > 3 && words[3] != "on" {
		uid := types.UID(words[3])
		return cmp.Or(e.uids[uid], objectID{kind: kindPod, uid: uid})
	}
	return objectID{}
}

// nominatedFor is the one pod that waited for the victim's node when the victim was
// taken away.
func (e *Engine) nominatedFor(victim *pod) (found *pod) {
	if victim.node == "" {
		return nil
	}
	lost := victim.lostAt()
	for _, q := range e.nominated[victim.node] {
		e.work.spend(1)
		if !q.wantedRoom(lost) {
			continue
		}
		if found != nil {
			return nil
		}
		found = q
	}
	return found
}

// nominate notes the node on which the scheduler makes room for a pod, "" for none.
func (e *Engine) nominate(p *pod, node string) {
	if node == p.nominatedNode {
		return
	}
	if before := p.nominatedNode; before != "" {
		left := slices.DeleteFunc(e.nominated[before], func(q *pod) bool { return q == p })
		if len(left) == 0 {
			delete(e.nominated, before)
		} else {
			e.nominated[before] = left
		}
	}
	p.nominatedNode = node
	if node != "" {
		e.nominated[node] = append(e.nominated[node], p)
	}
}

// broughtBy is the trace in which a pod was started, if one tells of it.
func (e *Engine) broughtBy(q *pod) (place, bool) {
	if q == nil {
		return place{}, false
	}
	d := e.workloadOf(q.object)
	if d == nil {
		return place{}, false
	}
	p := e.planOf(d)
	if p == nil {
		return place{}, false
	}
	switch s := p.starts[q]; {
	case s.change != nil:
		return p.placeOf(s.change), true
	case s.lost != nil:
		return e.issued.give(placeOfReplacement(s.lost)), true
	default:
		return place{}, false
	}
}
