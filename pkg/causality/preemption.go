package causality

import (
	"strings"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"
)

// preemptor finds the pod for which the scheduler took another one away; ""
// if that cannot be told.
//
// The Event about the victim has the pod as its related object, and in its
// message: "Preempted by pod <UID> on node <node>", in older versions "Preempted
// by <namespace>/<name> on node <node>". Without the Event there is the node that
// the scheduler nominated for the pod, if it did so for one pod only.
func (e *Engine) preemptor(victim *pod) types.UID {
	if victim.disruption != corev1.PodReasonPreemptionByScheduler {
		return ""
	}
	for _, ev := range victim.events {
		if ev.reason != "Preempted" {
			continue
		}
		if ev.related != "" {
			return ev.related
		}
		if uid := e.podInPreemption(ev.message()); uid != "" {
			return uid
		}
	}
	return e.nominated(victim)
}

func (e *Engine) podInPreemption(message string) types.UID {
	words := strings.Fields(message)
	if len(words) < 3 || words[0] != "Preempted" || words[1] != "by" {
		return ""
	}
	if namespace, name, ok := strings.Cut(words[2], "/"); ok {
		return e.names[nameKey{"Pod", namespace, name}]
	}
	if words[2] == "pod" && len(words) > 3 && words[3] != "on" {
		return types.UID(words[3])
	}
	return ""
}

// nominated is the one pod that waited for the victim's node when the victim
// was taken away.
func (e *Engine) nominated(victim *pod) (found types.UID) {
	at := victim.lostAt()
	for uid, q := range e.pods {
		if q.nominatedNode == "" || q.nominatedNode != victim.node || q.created.from().After(at.at()) ||
			q.scheduled.known() && q.scheduled.at().Before(at.from()) {
			continue
		}
		if found != "" {
			return ""
		}
		found = uid
	}
	return found
}

// broughtBy is the trace in which a pod was started, if one tells of it.
func (e *Engine) broughtBy(uid types.UID) (place, bool) {
	q := e.pods[uid]
	if q == nil {
		return place{}, false
	}
	d := e.workloadOf(q.object)
	if d == nil {
		return place{}, false
	}
	p := e.plan(d)
	switch s := p.starts[q]; {
	case s.change != nil:
		return p.placeOf(s.change), true
	case s.lost != nil:
		return placeOfReplacement(s.lost.uid), true
	default:
		return place{}, false
	}
}
