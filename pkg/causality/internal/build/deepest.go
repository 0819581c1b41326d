package build

import (
	"slices"
	"time"

	semconv "go.opentelemetry.io/otel/semconv/v1.43.0"
	"go.opentelemetry.io/otel/trace"

	"github.com/rollspan/rollspan/pkg/causality/internal/podlife"
	"github.com/rollspan/rollspan/pkg/spans"
)

// beginnings are the reasons of Events that report the beginning of something. Any other
// reports an end, or what goes on.
var beginnings = []string{"Pulling", "BackOff", podlife.ReasonKilling}

// deepest is the span that an Event about a pod belongs on: of those in whose time it lies,
// and that are not about another container, one that has no such child. Of two that meet
// at the time of the Event it is the second where something begins, else the first. It is
// the first span of all, the root, where none fits.
func (b *builder) deepest(ev *podlife.Event) *spans.Span {
	t := ev.First()
	depth := map[trace.SpanID]int{}
	best := b.spans[0]
	for _, s := range b.spans[1:] {
		depth[s.SpanID] = depth[s.ParentID] + 1
		if t.Before(s.Start) || t.After(s.End) || !isAboutContainer(s, ev.Container) {
			continue
		}
		deeper, level := depth[s.SpanID] > depth[best.SpanID], depth[s.SpanID] == depth[best.SpanID]
		if deeper || level && slices.Contains(beginnings, ev.Reason) && !s.Start.Before(best.Start) {
			best = s
		}
	}
	return best
}

// isAboutContainer reports whether a span may be about a container: about that one, or
// about none.
func isAboutContainer(s *spans.Span, name string) bool {
	v, ok := s.Attribute(semconv.K8SContainerNameKey)
	return !ok || name == "" || v.AsString() == name
}

// within reports whether t lies between two times.
func within(t, from, until time.Time) bool { return !t.Before(from) && !t.After(until) }
