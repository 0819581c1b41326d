package causality

import (
	"slices"
	"time"

	"go.opentelemetry.io/otel/attribute"

	"github.com/rollspan/rollspan/pkg/spans"
)

// unblockSlack allows for the second in which the API dates that a pod is
// Ready: the controller's next write follows it within milliseconds.
const unblockSlack = time.Second

// addUnblocked links what a controller did to what it waited for: a step to the
// pod that became available before it; of a workload that goes pod by pod, a
// pod to the one before; and a pod that takes another's place to the end of
// that one.
func (b *changeBuilder) addUnblocked() {
	if b.change.kind != changeRollout && b.change.kind != changeScale {
		return
	}
	for i, s := range b.stepsOf(b.change) {
		if step := b.spanOf[s.step]; i > 0 && !s.step.initial {
			b.unblockedBy(step, nil)
		}
	}
	if b.kind != kindStatefulSet && b.kind != kindDaemonSet {
		return
	}
	for _, q := range b.pods {
		if stop := b.stopSpans[q]; stop != nil {
			b.unblockedBy(stop, q)
		}
		start := b.startSpans[q]
		if start == nil {
			continue
		}
		if before := b.stopSpans[b.starts[q].lost]; before != nil {
			linkSpan(start, before, "unblocked_by")
		} else {
			b.unblockedBy(start, q)
		}
	}
}

// unblockedBy links a span to the pod of this change, other than its own, that
// became available last before it.
func (b *changeBuilder) unblockedBy(s *spans.Span, own *pod) {
	var last *spans.Span
	var lastAt time.Time
	for _, q := range b.pods {
		start := b.startSpans[q]
		if start == nil || q == own || !start.Start.Before(s.Start) {
			continue
		}
		if _, ready := q.firstReady(); !ready {
			continue
		}
		if at := b.available(q, start.End); at.After(lastAt) && !at.After(s.Start.Add(unblockSlack)) {
			last, lastAt = start, at
		}
	}
	if last != nil {
		linkSpan(s, last, "unblocked_by")
	}
}

func linkSpan(from, to *spans.Span, why string) {
	if !slices.ContainsFunc(from.Links, func(l spans.Link) bool { return l.SpanID == to.SpanID }) {
		from.Links = append(from.Links, spans.Link{
			TraceID: to.TraceID, SpanID: to.SpanID,
			Attributes: []attribute.KeyValue{keyLink.String(why)},
		})
	}
}
