package causality

import (
	"strconv"
	"time"

	"go.opentelemetry.io/otel/trace"

	"github.com/rollspan/rollspan/pkg/spans/attr"
	"github.com/rollspan/rollspan/pkg/spans/kind"
)

func stepIdentity(rs *podSet, s *step) []string {
	return []string{kind.ScaleUp.ID(), string(rs.uid), strconv.FormatInt(s.generation, 10), strconv.Itoa(int(s.from)), strconv.Itoa(int(s.to))}
}

func (b *changeBuilder) addSteps(now time.Time) {
	for _, s := range b.stepsOf(b.change) {
		what := kind.ScaleDown
		if s.step.up() {
			what = kind.ScaleUp
		}
		start := latest(b.decided(s.rs, s.step), b.start)
		s.step.ledger.toldFrom(start)
		b.spanOf[s.step] = b.add(node{
			parent: b.root.SpanID, id: stepIdentity(s.rs, s.step),
			kind: what, subject: s.rs.subject(),
			start: start, end: b.stepEnd(s, start, now),
			attrs: append(s.rs.attributes(), attr.ScaleFromKey.Int(int(s.step.from)), attr.ScaleToKey.Int(int(s.step.to))),
		})
	}
}

// stepEnd is when what the step asked for was there: its new pods available,
// or its old pods gone.
func (b *changeBuilder) stepEnd(s slot, start, now time.Time) time.Time {
	end := start
	if !s.step.up() {
		for _, q := range b.stopsOf[s.step] {
			end = latest(end, q.gone.at(), b.stopAsked(q))
		}
		return end
	}
	made := int32(0)
	for _, q := range b.startsOf[s.step] {
		if b.starts[q].lost != nil {
			continue
		}
		tr, ok := q.firstReady()
		switch {
		case ok && !b.afterEnd(tr.at.at()):
			made++
			end = latest(end, b.available(q, tr.at.at()))
		case q.lost() && !b.afterEnd(q.lostAt().at()):
			made++
			end = latest(end, q.lostAt().at())
		default:
			end = latest(end, b.openEnd(now))
		}
	}
	if missing := s.step.to - s.step.from - made; missing > 0 && !b.stepUnknown(s) {
		// It waited for the pods to the end, or until they were given up.
		until := b.openEnd(now)
		if v := b.voids[s.step]; v.pods >= missing {
			until = earliest(until, b.decided(s.rs, v.by))
		}
		end = latest(end, until)
	}
	return end
}

// afterEnd reports whether t is after a failure, which cuts what still waits.
func (b *changeBuilder) afterEnd(t time.Time) bool {
	return b.change.cutsPods() && t.After(b.end)
}

// openEnd is the end of what is still going on: the failure that cuts it, or
// the end of the stream.
func (b *changeBuilder) openEnd(now time.Time) time.Time {
	if b.change.over() {
		return b.end
	}
	return now
}

// available is when a pod that is Ready counts as available; not before the end of
// the change if it never stayed Ready for long enough.
func (b *changeBuilder) available(q *pod, ready time.Time) time.Time {
	if b.minReady == 0 {
		return ready
	}
	since, ok := q.stayedReady(b.minReady, b.end)
	if !ok {
		return latest(ready, b.end)
	}
	// The controllers count from the condition's whole second, and say so a
	// little later.
	at := latest(ready, since.Add(b.minReady))
	for _, a := range b.starts[q].rs.available {
		if !a.at.Before(at) && a.at.Before(at.Add(arrivalSlack)) {
			return a.at
		}
	}
	return at
}

// addPods adds the starts and stops that belong to this change.
func (b *changeBuilder) addPods(now time.Time) {
	for _, q := range b.pods {
		s := b.starts[q]
		if s.change != b.change || q.ledger.startSent {
			continue
		}
		if b.afterEnd(q.createdAt()) {
			continue // it belongs to the recovery, if there is one
		}
		parent, cause := b.parentOf(s)
		cut, failed := time.Time{}, false
		switch {
		case b.change.cutsPods():
			cut, failed = b.end, true
		case !b.change.over():
			cut = now
		default:
			if _, done := q.startResolved(); !done {
				continue // it goes out late, when it is done
			}
		}
		b.startSpans[q] = b.podStart(parent, q, s.rs.attributes(), cause, cut, failed)
		if failed && b.change.kind == attr.ChangeJob {
			b.blame(q)
		}
	}
	for _, q := range b.pods {
		s := b.stops[q]
		if s.change != b.change || q.ledger.stopSent || !q.leaving() || b.afterEnd(b.stopAsked(q)) {
			continue
		}
		if !q.gone.known() && b.change.over() {
			continue // late, too
		}
		parent, cause := b.parentOf(s)
		b.stopSpans[q] = b.podStop(parent, q, s.rs.attributes(), b.stopAsked(q), cause, now)
		b.linkStop(b.stopSpans[q], s)
	}
}

// parentOf is the span that caused a pod's start or stop, and when it did.
func (b *changeBuilder) parentOf(s slot) (trace.SpanID, time.Time) {
	if sp := b.spanOf[s.step]; sp != nil {
		return sp.SpanID, sp.Start
	}
	return b.root.SpanID, b.start
}

// addPauses shows the time a rollout could not go on because its Deployment was
// paused.
func (b *changeBuilder) addPauses() {
	for i, p := range b.change.pauses {
		from, end := latest(p.from.at(), b.start), p.until
		for _, s := range b.stepsOf(b.change) {
			// The first step after it shows that it was over. A Deployment that is
			// scaled takes steps while it is paused, too.
			if at := b.decided(s.rs, s.step); p.until.known() && !s.step.stamp.before(p.resumed) && at.After(from) {
				end = end.before(at)
			}
		}
		until := end.at()
		if until.IsZero() || until.After(b.end) {
			until = b.end
		}
		if !until.After(from) {
			continue
		}
		b.add(node{
			parent: b.root.SpanID, id: []string{kind.Paused.ID(), strconv.Itoa(i)},
			kind: kind.Paused, service: b.service(), subject: b.subject(),
			start: from, end: until,
		})
	}
}

// addMinReadyWait shows the time that minReadySeconds cost at the end.
func (b *changeBuilder) addMinReadyWait() {
	if b.change.kind != attr.ChangeRollout || b.change.how() != attr.OutcomeComplete || b.minReady == 0 || b.completeWhenReady() {
		return
	}
	var ready, available time.Time
	for q, s := range b.starts {
		if tr, ok := q.firstReady(); ok && s.change == b.change {
			if at := tr.at.at(); at.After(ready) && !at.After(b.end) {
				ready, available = at, b.available(q, at)
			}
		}
	}
	if ready.IsZero() || !ready.Before(b.end) {
		return
	}
	if available.After(b.end) {
		available = b.end
	}
	b.minReadyWait = b.add(node{
		parent: b.root.SpanID, id: []string{kind.MinReadyWait.ID()},
		kind: kind.MinReadyWait, service: b.service(), subject: b.subject(),
		start: ready, end: available,
	})
}
