package build

import (
	"strconv"
	"time"

	"github.com/rollspan/rollspan/pkg/causality/internal/critpath"
	"github.com/rollspan/rollspan/pkg/causality/internal/evidence"
	"github.com/rollspan/rollspan/pkg/causality/internal/podlife"
	"github.com/rollspan/rollspan/pkg/causality/internal/waits"
	"github.com/rollspan/rollspan/pkg/spans"
	"github.com/rollspan/rollspan/pkg/spans/attr"
	"github.com/rollspan/rollspan/pkg/spans/kind"
)

// A pod that has been Ready and is so no more, while its rollout or scale is open, is waited
// for again: the controller counts it as unavailable, and minReadySeconds begin anew. So a
// pod has attempts at being available: its start, and each time in which it was not Ready.

// attempt is one of them. span leads to the pod being Ready, but for the last one of all,
// which may not.
type attempt struct {
	span  *spans.Span
	ready evidence.Moment // when it was Ready with it; unknown if it was not
	until time.Time       // when it was not Ready any more; zero if it stayed so
}

// maxUnready bounds how often a change tells that one pod was not Ready; the last times count.
const maxUnready = 32

// addUnready shows when pods that had been Ready were not, up to the end of the change.
func (b *changeBuilder) addUnready(now time.Time) {
	b.attempts = map[*podlife.Pod][]attempt{}
	b.attemptBy, b.attemptBefore = map[*spans.Span]*attempt{}, map[*spans.Span]*attempt{}
	if b.change.Kind != attr.ChangeRollout && b.change.Kind != attr.ChangeScale {
		return
	}
	for _, pod := range b.plan.Pods {
		start := b.startSpans[pod]
		if start == nil || pod.Finite {
			continue
		}
		limit := b.openEnd(now)
		if lost := pod.LostAt().At(); pod.Lost() && lost.Before(limit) {
			limit = lost
		}
		spells := pod.UnreadyBy(limit)
		if len(spells) == 0 {
			continue
		}
		first := max(len(spells)-maxUnready, 0)
		all := []attempt{{span: start, ready: spells[0].Is, until: spells[first].From}}
		for i, u := range spells[first:] {
			a := attempt{span: b.unready(pod, start, u, first+i, limit), ready: u.Until}
			if next := first + i + 1; next < len(spells) {
				a.until = spells[next].From
			}
			all = append(all, a)
		}
		b.attempts[pod] = all
		for i := range all[1:] {
			b.attemptBefore[all[i+1].span], b.attemptBy[all[i+1].span] = &all[i], &all[i+1]
		}
	}
}

// unready adds a span of time in which a pod was not Ready, beside its start, and what was
// done for the containers that had ended.
func (b *changeBuilder) unready(pod *podlife.Pod, start *spans.Span, u podlife.Unready, number int, limit time.Time) *spans.Span {
	set := b.plan.Starts[pod].Set
	attrs := append(set.Attributes(), pod.Attributes()...)
	id := []string{string(pod.UID), strconv.Itoa(number)}
	end := u.Until.At()
	if end.IsZero() {
		end = limit
	}
	s := b.add(SpanSpec{
		parent: start.ParentID, id: append([]string{kind.NotReady.ID()}, id...), Kind: kind.NotReady,
		Subject: pod.Subject(), Start: evidence.Latest(u.From, start.End), End: end, Attrs: attrs,
	})
	b.plan.Work.Spend(len(pod.Containers) * (1 + len(pod.Events)))
	pod.EndedIn(u.From, end, func(container *podlife.Container, i int) {
		restart, _ := RestartOf(b.plan, pod, container, i)
		if restart == nil {
			return
		}
		if restart.Until.IsZero() || restart.Until.After(s.End) {
			restart.Until = s.End
		}
		rb := &restartBuilder{
			Restart: restart, builder: &b.builder, root: s, containers: map[string][]*spans.Span{},
			id: append(id, container.Name), attrs: attrs,
		}
		rb.build()
	})
	if !u.Until.Known() && b.change.CutsPods() && limit.Equal(b.end) {
		f, _ := pod.Trouble(pod.Timeline(limit), limit)
		fail(s, f)
	}
	return s
}

// attemptBlockers are what lets the controller go on of a pod that was Ready more than
// once: the attempts with which it became available, and the last one.
func (b *changeBuilder) attemptBlockers(pod *podlife.Pod) []blocker {
	var blockers []blocker
	all := b.attempts[pod]
	for i, a := range all {
		last := i == len(all)-1
		if !last && !b.stayed(a) {
			continue
		}
		open := evidence.Earliest(a.span.End, b.end) // a lost pod is waited for no longer: what is made in its place is
		if a.ready.Known() {
			open = evidence.Latest(a.span.End, b.availableFrom(pod, a.ready.At(), a.ready.Earliest))
			if last && !b.stayed(a) {
				open = evidence.Latest(a.span.End, b.end)
			}
		}
		available := open
		if i == 0 && a.ready.Known() && !last { // the kubelet may have reported it when it was over
			open = evidence.Latest(open, evidence.Earliest(b.reported(pod), a.until))
		}
		blockers = append(blockers, blocker{span: a.span, available: available, open: open, instead: i == 0 && b.plan.Starts[pod].Lost != nil, again: i > 0, coarse: true, pod: pod})
	}
	return blockers
}

// stayed reports whether a pod stayed Ready for minReadySeconds.
func (b *changeBuilder) stayed(a attempt) bool {
	return a.ready.Known() && (a.until.IsZero() || !a.until.Before(a.ready.Earliest.Add(b.plan.Workload.MinReady)))
}

// backBefore goes back from a time in which a pod was not Ready to its attempt before, and
// from that on, as long as the pod had not become available with it. It returns what it has
// come to.
func (b *changeBuilder) backBefore(path *critpath.Path, s *spans.Span) *spans.Span {
	for a := b.attemptBefore[s]; a != nil && !b.stayed(*a); a = b.attemptBefore[s] {
		if !path.Advances(func() {
			b.own(path, attr.PhaseMinReadyWait, a.span.End)
			path.Descend(a.span)
		}) {
			return s
		}
		s = a.span
	}
	return s
}

// addWaitedFor says on the root of a change that did not fail, but was not completed either,
// what it waited for at its end, if that was a pod which had been Ready and did not stay so.
func (b *changeBuilder) addWaitedFor() {
	if b.change.Over() && (b.change.Outcome() == attr.OutcomeComplete || b.change.Outcome() == attr.OutcomeFailed) {
		return
	}
	at, waited := b.end, false
	for pod, all := range b.attempts {
		if lost := pod.LostAt().At(); pod.Lost() && !lost.After(b.end) && b.end.Sub(lost) < time.Second {
			// What came next is known to the second, and took the pod away.
			at = evidence.Earliest(at, lost.Add(-time.Nanosecond))
		} else if pod.Lost() && lost.Before(b.end) {
			continue
		}
		waited = waited || !b.stayed(all[len(all)-1]) || !pod.ReadyAt(b.end)
	}
	if !waited {
		return
	}
	w := waits.ForChange(b.plan, b.change, at)
	if w.Reason == "" {
		return
	}
	b.waitedFor = &w.Waits
	b.root.Attributes = append(b.root.Attributes, attr.WaitingForKey.String(w.String()), attr.WaitingReasonKey.String(w.Reason))
}
