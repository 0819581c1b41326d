package causality

import (
	"slices"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/trace"

	"github.com/rollspan/rollspan/pkg/spans"
	"github.com/rollspan/rollspan/pkg/spans/attr"
	"github.com/rollspan/rollspan/pkg/spans/kind"
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
	minReadyWait          *spans.Span   // nil if there is none
	ready                 []readyPod    // see becameReady
	went                  []*spans.Span // see wentBefore
	ends                  []runEnd      // see runEnds
	gateOf                map[trace.SpanID]*gate
}

// buildChange returns the finished trace of a change. now is the end of what
// is still open, when the stream ends first.
func (p *plan) buildChange(c *change, now time.Time) spans.Trace {
	b := &changeBuilder{
		builder: builder{place: p.placeOf(c), base: p.attributes(), work: p.work},
		plan:    p,
		change:  c,
		spanOf:  map[*step]*spans.Span{},

		startSpans: map[*pod]*spans.Span{},
		stopSpans:  map[*pod]*spans.Span{},
	}
	b.start = b.startOf(c)
	b.end = b.endOf(c, now)
	if c.kind == attr.ChangeRun {
		return b.buildRun(now)
	}
	b.root = b.add(node{
		kind: kind.OfChange(c.kind), object: p.kind, service: p.service(), subject: p.subject(),
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
	if c.how() == attr.OutcomeFailed {
		f := b.explainFailure()
		fail(b.root, f)
		b.root.Message = f.message // a sentence that names the reason
	}
	b.addCriticalPath()
	c.ledger.told(b.remember(b.root))
	return b.done()
}

func (b *changeBuilder) endOf(c *change, now time.Time) time.Time {
	var end time.Time
	switch {
	case c.kind == attr.ChangeDelete:
		for q, s := range b.stops {
			if s.change == c {
				end = latest(end, q.gone.at(), b.stopAsked(q))
			}
		}
	case !c.over():
		end = now
	case c.how() == attr.OutcomeSuperseded:
		end = c.end.at()
		if i := slices.Index(b.changes, c); i >= 0 && i+1 < len(b.changes) && c.end == b.changes[i+1].start {
			end = b.startOf(b.changes[i+1])
		}
	case c.how() == attr.OutcomeDeleted:
		end = b.startOf(b.current())
	default:
		end = c.end.at()
		if c.how() != attr.OutcomeComplete {
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
	how := c.how()
	if !c.over() {
		how = attr.OutcomeOpen
	}
	cause := c.cause
	var attrs []attribute.KeyValue
	if c.revision > 0 {
		attrs = append(attrs, attr.RevisionKey.Int64(c.revision))
	}
	if c.kind == attr.ChangeRollout {
		if to := b.rollbackTo(c); to > 0 {
			cause = attr.CauseRollback
			attrs = append(attrs, attr.RollbackRevisionKey.Int64(to))
		}
	}
	attrs = append(attrs, attr.ChangeKey.String(string(c.kind)), attr.OutcomeKey.String(string(how)), attr.CauseKey.String(cause))
	if c.manager != "" {
		attrs = append(attrs, attr.ManagerKey.String(c.manager))
	}
	if c.subresource != "" {
		attrs = append(attrs, attr.ManagerSubresourceKey.String(c.subresource))
	}
	if owners := b.owners; len(owners) > 0 {
		attrs = append(attrs, attr.OwnersKey.StringSlice(owners))
	}
	if c.kind == attr.ChangeDelete {
		return attrs
	}
	if len(c.imagesBefore) > 0 {
		attrs = append(attrs, attr.ImagesBeforeKey.StringSlice(c.imagesBefore))
	}
	if len(c.imagesAfter) > 0 {
		attrs = append(attrs, attr.ImagesAfterKey.StringSlice(c.imagesAfter))
	}
	attrs = append(attrs, changedAttributes(c.changed)...)
	if c.kind == attr.ChangeJob {
		return append(attrs, c.jobAttributes()...)
	}
	if c.kind == attr.ChangeScale {
		attrs = append(attrs, attr.ScaleFromKey.Int(int(c.before)), attr.ScaleToKey.Int(int(c.wanted)))
	}
	if c.was.first != c.is.first {
		attrs = append(attrs, attr.OrdinalsFromKey.Int(int(c.was.first)), attr.OrdinalsToKey.Int(int(c.is.first)))
	}
	attrs = append(attrs, attr.PodsWantedKey.Int(int(c.wanted)))
	if b.podsUnknown() {
		return attrs
	}
	return append(attrs, attr.PodsReadyKey.Int(b.readyPods()))
}

// readyPods is how many pods the change wanted and had at its end. The status
// of a rollout under way does not tell new pods from old ones.
func (b *changeBuilder) readyPods() int {
	if b.change.kind != attr.ChangeRollout || b.change.how() == attr.OutcomeComplete {
		return int(b.change.ready)
	}
	n := 0
	for _, q := range b.pods {
		rs := b.starts[q].rs
		if rs == nil || !rs.direct() && rs.revision != b.change.revision || rs.direct() && b.starts[q].change != b.change {
			continue
		}
		if q.readyAt(b.end) && (!q.lost() || q.lostAt().at().After(b.end)) {
			n++
		}
	}
	return n
}

// addLinks ties the change to its neighbors.
func (b *changeBuilder) addLinks() {
	b.change.linkContexts(b.root)
	i := slices.Index(b.changes, b.change)
	if b.change.how() == attr.OutcomeSuperseded && i+1 < len(b.changes) {
		link(b.root, b.placeOf(b.changes[i+1]), attr.LinkSupersededBy)
	}
	if i > 0 && b.changes[i-1].how() == attr.OutcomeSuperseded {
		link(b.root, b.placeOf(b.changes[i-1]), attr.LinkSupersedes)
	}
	if c := b.cronJob; c != nil && !c.at.IsZero() && b.change == b.scheduledRun() {
		link(b.root, b.placeOfSchedule(), attr.LinkCausedBy)
	}
	if b.change.kind != attr.ChangeRollout {
		return
	}
	if to := b.rollbackTo(b.change); to > 0 {
		link(b.root, b.placeOfRevision(to), attr.LinkRollsBack)
	}
}
