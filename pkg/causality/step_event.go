package causality

import (
	"slices"
	"strings"
	"time"

	"github.com/rollspan/rollspan/pkg/spans"
)

// attachEvents puts the workload's and its ReplicaSets' Events on the steps
// they tell of.
func (b *changeBuilder) attachEvents() {
	if !b.direct() {
		for _, ev := range b.events {
			if !ev.ledger.claimed && b.during(ev) {
				attach(b.stepOfDeploymentEvent(ev), ev, b.end)
			}
		}
	}
	for _, rs := range b.sets {
		for _, ev := range rs.events {
			if ev.ledger.claimed {
				continue
			}
			if s := b.stepOfReplicaSetEvent(rs, ev); s != nil {
				attach(s, ev, b.end)
			}
		}
	}
}

// during reports whether an Event of the Deployment falls into this change's
// time rather than its neighbors'. What was there before the watcher was tells of
// changes that are not known, if the first one is known to have begun later.
func (b *changeBuilder) during(ev *event) bool {
	t := ev.first()
	i := slices.Index(b.changes, b.change)
	if t.Before(b.start) && (i > 0 || ev.initial && !b.change.start.lo.IsZero()) {
		return false
	}
	if i+1 >= len(b.changes) {
		return !b.awaits(stamp{arrival: t})
	}
	return t.Before(b.startOf(b.changes[i+1]))
}

func (b *changeBuilder) stepOfDeploymentEvent(ev *event) *spans.Span {
	for _, s := range b.stepsOf(b.change) {
		if ev.reason == "ScalingReplicaSet" && describesStep(ev.message(), s.rs, s.step) {
			return b.spanOf[s.step]
		}
	}
	return b.root
}

// stepOfReplicaSetEvent finds the span of an Event such as "Created pod: x"
// or a FailedCreate; nil if it is of another change.
func (b *changeBuilder) stepOfReplicaSetEvent(rs *podSet, ev *event) *spans.Span {
	if q, s, ok := b.podInMessage(rs, ev); ok {
		if s.change != b.change || b.afterEnd(q.createdAt()) && ev.reason == "SuccessfulCreate" {
			return nil
		}
		if sp := b.spanOf[s.step]; sp != nil {
			return sp
		}
		return b.root
	}
	if !b.during(ev) {
		return nil
	}
	var best *spans.Span
	for _, s := range b.stepsOf(b.change) {
		if sp := b.spanOf[s.step]; s.rs == rs && (best == nil || !sp.Start.After(ev.first())) {
			best = sp
		}
	}
	if best == nil {
		return b.root
	}
	return best
}

// podInMessage finds the pod that a ReplicaSet's Event names, and what it was
// about: its start or its stop.
func (p *plan) podInMessage(rs *podSet, ev *event) (*pod, slot, bool) {
	slots := p.starts
	switch ev.reason {
	case "SuccessfulCreate":
	case "SuccessfulDelete":
		slots = p.stops
	default:
		return nil, slot{}, false
	}
	q := p.nearest(podName{rs.objectID, podNamed(ev.message())}, ev.reason, ev.first())
	s, ok := slots[q]
	return q, s, ok
}

// podNamed reads the name of a pod from "Created pod: web-1", or a
// StatefulSet's "create Pod db-1 in StatefulSet db successful".
func podNamed(message string) string {
	if _, rest, ok := strings.Cut(message, " Pod "); ok && strings.Contains(rest, " in StatefulSet ") {
		name, _, _ := strings.Cut(rest, " ")
		return name
	}
	return lastClause(message)
}

// nearest is the pod of a name that was made, or asked to stop, nearest to the
// time of an Event that says so: a StatefulSet's pods have the names of those
// before them.
func (p *plan) nearest(name podName, reason string, t time.Time) *pod {
	named := p.named[name]
	if named == nil {
		return nil
	}
	var best *pod
	var away time.Duration
	p.work.spend(len(named.pods))
	for i, at := range p.times(named, reason) {
		if d := at.Sub(t).Abs(); best == nil || d < away {
			best, away = named.pods[i], d
		}
	}
	return best
}
