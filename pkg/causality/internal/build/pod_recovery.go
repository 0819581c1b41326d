package build

import (
	"slices"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/trace"

	"github.com/rollspan/rollspan/pkg/causality/internal/evidence"
	"github.com/rollspan/rollspan/pkg/causality/internal/podlife"
	"github.com/rollspan/rollspan/pkg/spans"
	"github.com/rollspan/rollspan/pkg/spans/kind"
)

// podRecovery adds what became of a pod's start that was cut when its rollout failed, up to
// Ready: the rest of its phases.
func (b *builder) podRecovery(parent trace.SpanID, pod *podlife.Pod, attrs []attribute.KeyValue, failed, ready time.Time) {
	attrs = append(slices.Clip(attrs), pod.Attributes()...)
	tl := pod.Timeline(time.Time{})
	root := b.add(SpanSpec{
		parent: parent, id: []string{kind.PodRecovery.ID(), string(pod.UID)},
		Kind: kind.PodRecovery, Subject: pod.Subject(), app: b.workload.AppOf(pod), Start: failed, End: evidence.Latest(ready, tl.Ready), Attrs: attrs,
	})
	before := len(b.spans)
	sb := &startBuilder{builder: b, pod: pod, root: root, attrs: attrs, end: root.End, id: []string{kind.PodRecovery.ID()}}
	sb.build(tl)
	// What was over by then is in the start.
	kept := slices.DeleteFunc(slices.Clone(b.spans[before:]), func(s *spans.Span) bool {
		return !s.End.After(root.Start)
	})
	b.spans = append(b.spans[:before], kept...)
	for _, ev := range pod.Untold() {
		if !within(ev.First(), root.Start, root.End) {
			continue
		}
		s := sb.place(ev)
		if !slices.Contains(kept, s) {
			s = root
		}
		attach(s, ev, evidence.Latest(s.End, root.End))
	}
}
