package causality

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/trace"

	"github.com/rollspan/rollspan/pkg/spans"
)

// changeBuilder builds the trace of a change of a workload from the records as
// they are.
type changeBuilder struct {
	builder
	*plan
	change *change
	start  time.Time
	end    time.Time
	root   *spans.Span
	spanOf map[*step]*spans.Span
	// startSpans and stopSpans are the spans of pods in this trace.
	startSpans, stopSpans map[*pod]*spans.Span
}

// changeName is the name of a change's root span.
func (d *workload) changeName(c *change) string {
	if c.kind == changeJob {
		return d.kind + " run"
	}
	return d.kind + " " + string(c.kind)
}

// buildChange returns the finished trace of a change. now is the end of what
// is still open, when the stream ends first.
func (p *plan) buildChange(c *change, now time.Time) spans.Trace {
	b := &changeBuilder{
		builder: builder{place: p.placeOf(c), base: p.attributes()},
		plan:    p,
		change:  c,
		spanOf:  map[*step]*spans.Span{},

		startSpans: map[*pod]*spans.Span{},
		stopSpans:  map[*pod]*spans.Span{},
	}
	b.start = b.startOf(c)
	b.end = b.endOf(c, now)
	if c.kind == changeRun {
		return b.buildRun(now)
	}
	b.root = b.add(node{
		name: p.changeName(c), service: p.service(), subject: p.subject(),
		start: b.start, end: b.end, attrs: b.rootAttributes(),
	})
	b.addSteps(now)
	b.addPods(now)
	b.addUnblocked()
	b.addPauses()
	b.addMinReadyWait()
	b.addLinks()
	b.addAutoscaler()
	b.attachEvents()
	if p.cronJob != nil {
		b.cronJobEvents(p.cron)
	}
	if c.outcome == outcomeFailed {
		f := b.explainFailure()
		fail(b.root, f)
		b.root.Message = f.message // a sentence that names the reason
	}
	b.addCriticalPath()
	c.sent, c.root = true, b.remember(b.root)
	return b.done()
}

func (b *changeBuilder) endOf(c *change, now time.Time) time.Time {
	var end time.Time
	switch {
	case c.kind == changeDelete:
		for q, s := range b.stops {
			if s.change == c {
				end = latest(end, q.gone.at(), q.stopAsked())
			}
		}
	case !c.ended:
		end = now
	case c.outcome == outcomeSuperseded:
		end = c.end.at()
		if i := slices.Index(b.changes, c); i >= 0 && i+1 < len(b.changes) {
			end = b.startOf(b.changes[i+1])
		}
	case c.outcome == outcomeDeleted:
		end = b.startOf(b.current())
	default:
		end = c.end.at()
		if c.outcome != outcomeComplete {
			break
		}
		for q, s := range b.starts {
			if tr, ok := q.firstReady(); ok && s.change == c && !c.endStamp.before(q.firstSeen) && !tr.seen.After(c.endStamp.arrival.Add(arrivalSlack)) {
				// It is complete because its pods are available. A Ready that
				// came later is of a pod that was not waited for.
				if at := tr.at.lo; !at.After(end.Add(time.Second)) {
					end = latest(end, at)
				}
			}
		}
	}
	return latest(end, b.startOf(c))
}

func (b *changeBuilder) rootAttributes() []attribute.KeyValue {
	c := b.change
	how := c.outcome
	if !c.ended {
		how = outcomeOpen
	}
	cause := c.cause
	var attrs []attribute.KeyValue
	if c.revision > 0 {
		attrs = append(attrs, keyRevision.Int64(c.revision))
	}
	if c.kind == changeRollout {
		if to := b.rollbackTo(c); to > 0 {
			cause = "rollback"
			attrs = append(attrs, keyRollbackTo.Int64(to))
		}
	}
	attrs = append(attrs, keyChange.String(string(c.kind)), keyOutcome.String(string(how)), keyCause.String(cause))
	if c.manager != "" {
		attrs = append(attrs, keyManager.String(c.manager))
	}
	if c.subresource != "" {
		attrs = append(attrs, keySubresource.String(c.subresource))
	}
	if owners := b.owners; len(owners) > 0 {
		attrs = append(attrs, keyOwners.StringSlice(owners))
	}
	if c.kind == changeDelete {
		return attrs
	}
	if len(c.imagesBefore) > 0 {
		attrs = append(attrs, keyImagesBefore.StringSlice(c.imagesBefore))
	}
	if len(c.imagesAfter) > 0 {
		attrs = append(attrs, keyImagesAfter.StringSlice(c.imagesAfter))
	}
	attrs = append(attrs, changedAttributes(c.changed)...)
	if c.kind == changeJob {
		return append(attrs, keyJobCompletions.Int(int(c.wanted)), keyJobSucceeded.Int(int(c.succeeded)), keyJobFailed.Int(int(c.failed)))
	}
	if c.kind == changeScale {
		attrs = append(attrs, keyScaleFrom.Int(int(c.before)), keyScaleTo.Int(int(c.wanted)))
	}
	return append(attrs, keyPodsWanted.Int(int(c.wanted)), keyPodsReady.Int(b.readyPods()))
}

// readyPods is how many pods the change wanted and had at its end. The status
// of a rollout under way does not tell new pods from old ones.
func (b *changeBuilder) readyPods() int {
	if b.change.kind != changeRollout || b.change.outcome == outcomeComplete {
		return int(b.change.ready)
	}
	n := 0
	for _, q := range b.pods {
		rs := b.starts[q].rs
		if rs == nil || !rs.direct() && rs.revision != b.change.revision || rs.direct() && b.starts[q].change != b.change {
			continue
		}
		tr, ok := q.firstReady()
		if ok && !tr.at.at().After(b.end) && (!q.lost() || q.lostAt().at().After(b.end)) {
			n++
		}
	}
	return n
}

func stepIdentity(rs *podSet, s *step) []string {
	return []string{"step", string(rs.uid), strconv.FormatInt(s.generation, 10), strconv.Itoa(int(s.from)), strconv.Itoa(int(s.to))}
}

func (b *changeBuilder) addSteps(now time.Time) {
	for _, s := range b.stepsOf(b.change) {
		name := "ReplicaSet scale down"
		if s.step.up() {
			name = "ReplicaSet scale up"
		}
		start := latest(b.decided(s.rs, s.step), b.start)
		s.step.sentStart = start
		b.spanOf[s.step] = b.add(node{
			parent: b.root.SpanID, id: stepIdentity(s.rs, s.step),
			name: name, service: serviceReplicaSet, subject: s.rs.subject(),
			start: start, end: b.stepEnd(s, start, now),
			attrs: append(s.rs.attributes(), keyScaleFrom.Int(int(s.step.from)), keyScaleTo.Int(int(s.step.to))),
		})
	}
}

// stepEnd is when what the step asked for was there: its new pods available,
// or its old pods gone.
func (b *changeBuilder) stepEnd(s slot, start, now time.Time) time.Time {
	end := start
	if !s.step.up() {
		for _, q := range b.stopsOf[s.step] {
			end = latest(end, q.gone.at(), q.stopAsked())
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
		case ok && (b.change.outcome != outcomeFailed || !tr.at.at().After(b.end)):
			made++
			end = latest(end, b.available(q, tr.at.at()))
		case q.lost() && !b.afterEnd(q.lostAt().at()):
			made++
			end = latest(end, q.lostAt().at())
		default:
			end = latest(end, b.openEnd(now))
		}
	}
	if made < s.step.to-s.step.from {
		// Pods are missing: it waited to the end.
		end = latest(end, b.openEnd(now))
	}
	return end
}

// afterEnd reports whether t is after a failure, which cuts what still waits.
func (b *changeBuilder) afterEnd(t time.Time) bool {
	return b.change.outcome == outcomeFailed && t.After(b.end)
}

// openEnd is the end of what is still going on: the failure that cuts it, or
// the end of the stream.
func (b *changeBuilder) openEnd(now time.Time) time.Time {
	if b.change.ended {
		return b.end
	}
	return now
}

// available is when a pod that is Ready counts as available.
func (b *changeBuilder) available(q *pod, ready time.Time) time.Time {
	if b.minReady == 0 {
		return ready
	}
	tr, _ := q.firstReady()
	// The controllers count from the condition's whole second, and say so a
	// little later.
	at := latest(ready, tr.at.lo.Add(b.minReady))
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
		if s.change != b.change || q.startSent {
			continue
		}
		if b.afterEnd(q.createdAt()) {
			continue // it belongs to the recovery, if there is one
		}
		parent, cause := b.parentOf(s)
		cut, failed := time.Time{}, false
		switch {
		case b.change.outcome == outcomeFailed:
			cut, failed = b.end, true
		case !b.change.ended:
			cut = now
		default:
			if _, done := q.startResolved(); !done {
				continue // it goes out late, when it is done
			}
		}
		b.startSpans[q] = b.podStart(parent, q, s.rs.attributes(), cause, cut, failed)
	}
	for _, q := range b.pods {
		s := b.stops[q]
		if s.change != b.change || q.stopSent || !q.leaving() || b.afterEnd(q.stopAsked()) {
			continue
		}
		if !q.gone.known() && b.change.ended {
			continue // late, too
		}
		parent, cause := b.parentOf(s)
		b.stopSpans[q] = b.podStop(parent, q, s.rs.attributes(), cause, now)
		b.engine.linkStop(b.stopSpans[q], s)
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
			// The first step after it shows that it was over.
			if at := b.decided(s.rs, s.step); at.After(from) {
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
			parent: b.root.SpanID, id: []string{"paused", strconv.Itoa(i)},
			name: "paused", service: b.service(), subject: b.subject(),
			start: from, end: until,
		})
	}
}

// addMinReadyWait shows the time that minReadySeconds cost at the end.
func (b *changeBuilder) addMinReadyWait() {
	if b.change.kind != changeRollout || b.change.outcome != outcomeComplete || b.minReady == 0 {
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
	b.add(node{
		parent: b.root.SpanID, id: []string{"min ready wait"},
		name: "min ready wait", service: b.service(), subject: b.subject(),
		start: ready, end: available,
	})
}

// addLinks ties the change to its neighbors.
func (b *changeBuilder) addLinks() {
	b.change.linkContexts(b.root)
	i := slices.Index(b.changes, b.change)
	if b.change.outcome == outcomeSuperseded && i+1 < len(b.changes) {
		link(b.root, b.placeOf(b.changes[i+1]), "superseded_by")
	}
	if i > 0 && b.changes[i-1].outcome == outcomeSuperseded {
		link(b.root, b.placeOf(b.changes[i-1]), "supersedes")
	}
	if c := b.cronJob; c != nil && b.change == b.scheduledRun() {
		link(b.root, c.place(), "caused_by")
	}
	if b.change.kind != changeRollout {
		return
	}
	if to := b.rollbackTo(b.change); to > 0 {
		link(b.root, b.placeOfRevision(to), "rolls_back")
	}
}

// explainFailure says in one sentence what went wrong and where, the most
// specific cause first.
func (b *changeBuilder) explainFailure() failure {
	if b.change.kind == changeJob {
		return b.explainJob()
	}
	var after string
	if b.change.deadline > 0 {
		after = fmt.Sprintf(" (progress deadline of %s exceeded)", b.change.deadline)
	}
	count := map[failure]int{}
	total := 0
	for q, s := range b.starts {
		if s.change != b.change || q.createdAt().After(b.end) {
			continue
		}
		total++
		if tr, ok := q.firstReady(); ok && !tr.at.at().After(b.end) {
			continue
		}
		f, _ := q.trouble(q.timeline(b.end), b.end)
		count[f]++
	}
	worst, n := commonest(count)
	if n > 0 {
		return failure{worst.reason, fmt.Sprintf("%d of %d new pods: %s%s", n, total, worst.sentence(), after)}
	}
	if missing := int(b.change.wanted) - total; missing > 0 {
		for _, rs := range b.sets {
			if rs.revision == b.change.revision && rs.createFailure.reason != "" {
				f := rs.createFailure
				return failure{f.reason, fmt.Sprintf("%d of %d new pods not created: %s: %s%s", missing, b.change.wanted, f.reason, shortForbidden(f.message), after)}
			}
		}
	}
	return failure{progressDeadlineExceeded, strings.TrimSpace("the new pods did not become available" + after)}
}

// shortForbidden drops the name of the pod that could not be created, which
// is another with every try: `pods "web-x" is forbidden: exceeded quota: …`.
func shortForbidden(message string) string {
	if _, rest, ok := strings.Cut(message, " is forbidden: "); ok {
		return rest
	}
	return message
}

// cutSentence cuts a text after its first sentence.
func cutSentence(s string) string {
	first, _, _ := strings.Cut(s, ". ")
	return strings.TrimSuffix(first, ".")
}

// attachEvents puts the workload's and its ReplicaSets' Events on the steps
// they tell of.
func (b *changeBuilder) attachEvents() {
	if !b.direct() {
		for _, ev := range b.events {
			if !ev.claimed && b.during(ev) {
				attach(b.stepOfDeploymentEvent(ev), ev, b.end)
			}
		}
	}
	for _, rs := range b.sets {
		for _, ev := range rs.events {
			if ev.claimed {
				continue
			}
			if s := b.stepOfReplicaSetEvent(rs, ev); s != nil {
				attach(s, ev, b.end)
			}
		}
	}
}

// during reports whether an Event of the Deployment falls into this change's
// time rather than its neighbors'.
func (b *changeBuilder) during(ev *event) bool {
	t := ev.first()
	i := slices.Index(b.changes, b.change)
	if t.Before(b.start) && i > 0 {
		return false
	}
	return i+1 >= len(b.changes) || t.Before(b.startOf(b.changes[i+1]))
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
	q := p.nearest(podName{rs.uid, podNamed(ev.message())}, ev.reason, ev.first())
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
	var best *pod
	var away time.Duration
	for _, q := range p.named[name] {
		at := q.createdAt()
		if reason == "SuccessfulDelete" {
			at = q.stopAsked()
		}
		if d := at.Sub(t).Abs(); best == nil || d < away {
			best, away = q, d
		}
	}
	return best
}

// announced notes when the controller said that it had made a pod: it was
// there by then.
func (p *plan) announced(rs *podSet) {
	for _, ev := range rs.events {
		if ev.reason != "SuccessfulCreate" {
			continue
		}
		for _, o := range ev.occurrences {
			if q := p.nearest(podName{rs.uid, podNamed(o.message)}, ev.reason, o.at); q != nil && q.created.at().Sub(o.at).Abs() < arrivalSlack {
				q.announced = o.at
			}
		}
	}
}
