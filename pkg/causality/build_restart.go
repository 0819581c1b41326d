package causality

import (
	"slices"
	"strconv"
	"time"

	"go.opentelemetry.io/otel/attribute"
	semconv "go.opentelemetry.io/otel/semconv/v1.43.0"

	"github.com/rollspan/rollspan/pkg/spans"
	"github.com/rollspan/rollspan/pkg/spans/attr"
	"github.com/rollspan/rollspan/pkg/spans/kind"
)

// restart is a container of a pod that had been Ready, ending and being
// started again.
type restart struct {
	pod       *pod
	container *container
	ended     *run
	next      *run        // nil if it was given up
	killed    *occurrence // what says that the kubelet killed it
	work      *work
	from      time.Time
	until     time.Time
	how       attr.Outcome
	seen      time.Time // when all of that was known
}

// restarts hands out the restarts of containers of pods that have started.
func (r *reviewer) restarts() {
	for _, q := range r.pods {
		over, ok := r.startOver(q)
		if !ok {
			continue
		}
		for _, c := range q.containers {
			for i, ended := range c.runs {
				if !ended.over() || c.isDone(ended) || ended.finished.at().Before(over) {
					continue
				}
				if sent, ok := q.ledger.restartSent[c.name]; ok && ended.restart <= sent {
					continue
				}
				rs, done := r.restartOf(q, c, i)
				if rs == nil {
					continue // it was stopped with its pod
				}
				if r.wanted != everything && (!done || !r.ready(rs.seen)) {
					break
				}
				if !done {
					rs.how, rs.until = attr.OutcomeOpen, r.engine.now
				}
				q.ledger.toldRestart(c.name, ended.restart)
				if c.ledger.mayTell(rs.from) {
					r.out = append(r.out, r.buildRestart(rs, r.engine.nodeCauseOfRestart(rs), r.engine.opts.Quiet))
				}
			}
		}
	}
}

// startOver is when a pod's start was over. One that is to finish is told of as
// a whole. Of a pod that was there before
// rollspan was, and is in no rollout, it is taken that it has been.
func (r *reviewer) startOver(q *pod) (time.Time, bool) {
	if q.initial && r.starts[q].change == nil {
		return time.Time{}, !q.lostFirst && !q.finite
	}
	tr, ok := q.firstReady()
	return tr.at.at(), ok && !q.finite && (q.ledger.startSent || r.starts[q].change == nil)
}

// restartOf works out how the end of a container's run number i went on;
// nil if the run ended because its pod was stopped. done is false while it is
// not known yet.
func (p *plan) restartOf(q *pod, c *container, i int) (rs *restart, done bool) {
	ended := c.runs[i]
	if q.stoppedWith(c, ended) {
		return nil, false
	}
	rs = &restart{pod: q, container: c, ended: ended, work: p.work, from: ended.finished.at(), how: attr.OutcomeComplete, seen: ended.seen}
	marks := q.marks(c)
	rs.from = latest(ended.finished.before(nextExact(marks, ended, startOfRun(marks, ended))).at(), startOfRun(marks, ended))
	rs.killed, rs.from = q.killing(c, ended, rs.from)
	if i+1 < len(c.runs) {
		rs.next = c.runs[i+1]
	}
	if rs.next == nil || !rs.next.started.known() {
		if !q.lost() {
			return rs, false
		}
		rs.how, rs.until, rs.seen = attr.OutcomeFailed, q.lostAt().at(), latest(rs.seen, q.lostStamp().arrival)
		return rs, true
	}
	started := startOfRun(marks, rs.next)
	ready, seen, ok := q.readyFrom(started)
	switch {
	case c.init && !c.sidecar && rs.next.over():
		rs.until, rs.seen = rs.next.finished.at(), rs.next.seen
		if !c.isDone(rs.next) {
			rs.how = attr.OutcomeFailed
		}
	case ok && (!rs.next.over() || !ready.After(rs.next.finished.at())):
		rs.until, rs.seen = ready, latest(rs.seen, seen)
	case rs.next.over():
		// It crashed again before it was ready.
		rs.how, rs.until, rs.seen = attr.OutcomeFailed, rs.next.finished.at(), rs.next.seen
	case q.lost():
		rs.how, rs.until, rs.seen = attr.OutcomeFailed, q.lostAt().at(), q.lostStamp().arrival
	default:
		return rs, false
	}
	return rs, true
}

// killing finds what says that the kubelet began to stop a run, for a failed probe
// for example; the restart begins there.
func (p *pod) killing(c *container, ended *run, from time.Time) (*occurrence, time.Time) {
	for o := range p.said("Killing", c) {
		if !o.at.After(from) && o.at.After(ended.started.at()) {
			return &o, o.at
		}
	}
	if o, ok := p.killedUnsaid(c, ended); ok && !o.at.After(from) {
		return &o, o.at
	}
	return nil, from
}

// cause says why the run ended: the kernel, what the kubelet killed it for, or, as
// far as anyone said, the program itself.
func (rs *restart) cause() string {
	switch {
	case rs.ended.reason == oomKilled:
		return attr.CauseOOM
	case rs.ended.reason == restartingAll:
		return attr.CauseRule
	case rs.killed != nil:
		return killingFor(rs.killed.message).cause
	case rs.ended.vanished:
		return attr.CauseVanished
	default:
		return attr.CauseExit
	}
}

// buildRestart builds the trace of a restart. disrupted is what happened to the node with
// which the run ended, if something did; quiet is how long before it began Events about
// the pod may tell of it.
func (p *plan) buildRestart(rs *restart, disrupted *disruption, quiet time.Duration) spans.Trace {
	q, c := rs.pod, rs.container
	number := int(rs.ended.restart) + 1
	b := &builder{
		place: ownPlace(q.unique(), string(attr.ChangeRestart), c.name, strconv.Itoa(number)),
		base:  append(p.workload.attributes(), p.setOf(q).attributes()...),
		work:  p.work,
	}
	b.base = append(append(b.base, q.attributes()...), c.attributes()...)
	subject := q.subject() + " container/" + c.name
	attrs := []attribute.KeyValue{
		attr.ChangeKey.String(string(attr.ChangeRestart)),
		attr.OutcomeKey.String(string(rs.how)),
		attr.CauseKey.String(rs.causeOn(disrupted)),
		semconv.K8SContainerRestartCount(number),
		semconv.ProcessExitCode(int(rs.ended.exitCode)),
	}
	if c.ledger.leftOut > 0 {
		attrs = append(attrs, attr.RestartsLeftOutKey.Int(c.ledger.leftOut))
		c.ledger.toldLeftOut()
	}
	rollout := p.broughtBy(q)
	attrs = append(attrs, rollout.attributesAfter(rs.from)...)
	root := b.add(node{
		kind: kind.ContainerRestart, subject: subject,
		start: rs.from, end: rs.until, attrs: attrs,
	})
	if rs.ended.exitCode != 0 && !q.ordered(c, rs.ended) {
		f := q.whyEnded(c, rs.ended)
		fail(root, f)
		root.Message = f.describe()
	}
	if rollout != nil {
		link(root, p.placeOf(rollout), attr.LinkRollout)
	}
	if disrupted != nil {
		link(root, p.issued.give(disrupted.place()), attr.LinkCausedBy)
	}
	rs.phases(b, root, subject)
	initialized := rs.initialized()
	for _, ev := range q.events {
		if !ev.first().Before(rs.from.Add(-quiet)) && !ev.first().After(root.End) && !q.inStart(ev) && (ev.container == c.name || ev.container == "" || initialized[ev.container]) {
			attach(root, ev, root.End)
		}
	}
	if rs.how != attr.OutcomeOpen {
		b.addPath(root)
	}
	return b.done()
}

// inStart reports whether an Event belongs to the pod's start.
func (p *pod) inStart(ev *event) bool {
	tr, ok := p.firstReady()
	return !ok || !ev.first().After(tr.at.at())
}

// setOf is the set that a pod belongs to.
func (p *plan) setOf(q *pod) *podSet {
	return p.sets[slices.IndexFunc(p.sets, func(rs *podSet) bool { return rs.objectID == q.owner })]
}

// broughtBy is the change that created the pod, nil if that was not seen.
func (p *plan) broughtBy(q *pod) *change {
	s := p.starts[q]
	if s.change != nil {
		return s.change
	}
	for _, c := range slices.Backward(p.changes) {
		if (c.kind == attr.ChangeRollout || c.kind == attr.ChangeRun) && !q.firstSeen.before(c.opened) {
			return c
		}
	}
	return nil
}
