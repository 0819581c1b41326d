package build

import (
	"slices"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/trace"

	"github.com/rollspan/rollspan/pkg/causality/internal/evidence"
	"github.com/rollspan/rollspan/pkg/causality/internal/podlife"
	"github.com/rollspan/rollspan/pkg/spans"
	"github.com/rollspan/rollspan/pkg/spans/attr"
	"github.com/rollspan/rollspan/pkg/spans/kind"
)

// podStop adds a pod's end: deletion requested to gone, with what it took to
// stop its containers. asked is when the plan says it was asked to stop.
func (b *builder) podStop(parent trace.SpanID, pod *podlife.Pod, attrs []attribute.KeyValue, asked, cause, cut time.Time) *spans.Span {
	st := b.podStopping(parent, pod, attrs, asked, cause, cut)
	st.attachEvents()
	pod.Ledger.EmitStop(st.remember(st.root))
	return st.root
}

// podStopping builds the spans of a pod's end, of which nothing is told yet.
func (b *builder) podStopping(parent trace.SpanID, pod *podlife.Pod, attrs []attribute.KeyValue, asked, cause, cut time.Time) *stopping {
	start := evidence.Latest(asked, cause)
	end := pod.Gone.At()
	if end.IsZero() {
		end = cut
	}
	attrs = append(slices.Clip(attrs), pod.Attributes()...)
	st := &stopping{builder: b, pod: pod, attrs: attrs}
	st.root = b.add(Node{
		parent: parent, id: []string{kind.PodStop.ID(), string(pod.Uid)},
		Kind: kind.PodStop, Subject: pod.Subject(),
		Start: start, End: end, Attrs: append(slices.Clip(attrs), podStopAttributes(pod, asked, end)...),
	})
	st.containers()
	st.removal()
	return st
}

// podStopAttributes say how long the pod's containers were given, and whether that
// was kept to.
func podStopAttributes(pod *podlife.Pod, asked, end time.Time) []attribute.KeyValue {
	var attrs []attribute.KeyValue
	if pod.Grace > 0 {
		attrs = append(attrs, evidence.Seconds(attr.GracePeriodKey, pod.Grace))
		if over := end.Sub(asked.Add(pod.Grace)); over > time.Second {
			attrs = append(attrs, evidence.Seconds(attr.GracePeriodOverrunKey, over))
		}
	}
	if pod.Forced {
		attrs = append(attrs, attr.ForcedKey.Bool(true))
	}
	if pod.Disruption != "" {
		attrs = append(attrs, attr.DisruptionKey.String(pod.Disruption))
	}
	return attrs
}

// stopping builds the spans below a Pod stop.
type stopping struct {
	*builder
	pod   *podlife.Pod
	root  *spans.Span
	attrs []attribute.KeyValue

	parts  map[string]*spans.Span // by container
	remove *spans.Span
}

func (st *stopping) add(n Node) *spans.Span {
	n.parent = st.root.SpanID
	n.id = append([]string{n.Kind.ID(), string(st.pod.Uid)}, n.id...)
	if n.End.After(st.root.End) {
		n.End = st.root.End
	}
	n.Start = evidence.Latest(n.Start, st.root.Start)
	n.Attrs = append(slices.Clip(st.attrs), n.Attrs...)
	return st.builder.add(n)
}

// containers adds the time it took to stop each container. The kubelet stops
// sidecars when the others have ended, the last one first.
func (st *stopping) containers() {
	st.parts = map[string]*spans.Span{}
	var others, later time.Time // when the containers, and the sidecars after this one, had ended
	for _, sidecars := range []bool{false, true} {
		for _, container := range slices.Backward(st.pod.Containers) {
			if container.Sidecar != sidecars {
				continue
			}
			s := st.container(container, evidence.Latest(others, later))
			if s == nil {
				continue
			}
			st.parts[container.Name] = s
			if sidecars {
				later = evidence.Latest(later, s.End)
			} else {
				others = evidence.Latest(others, s.End)
			}
		}
	}
}

// container adds the stop of one container, whose turn came not before a time;
// nil if nothing shows that it still ran, or how it ended.
func (st *stopping) container(container *podlife.Container, turn time.Time) *spans.Span {
	r := st.pod.RunAtStop(container)
	if r == nil {
		return nil
	}
	from, killed := st.killing(container)
	until := r.Finished.Before(st.root.End).At()
	switch {
	case r.Over() && until.Before(st.root.Start):
		until = evidence.Latest(st.root.Start, r.Seen) // by a clock that is behind
	case r.Over():
	case !killed || st.pod.Forced:
		return nil // nobody waited for it
	default:
		until = st.root.End
	}
	if container.Sidecar && !turn.After(until) {
		from = evidence.Latest(from, turn)
	}
	attrs := append(container.Attributes(), stopAttributesOf(container)...)
	if r.Over() {
		attrs = append(attrs, r.Attributes()...)
		if st.pod.Outlived(r) {
			attrs = append(attrs, attr.GracePeriodExceededKey.Bool(true))
		}
	}
	s := st.add(Node{
		id: []string{container.Name}, Kind: kind.StopContainer, Subject: st.pod.Subject() + " container/" + container.Name,
		Start: from, End: until, Attrs: attrs,
	})
	if r.Over() && r.Reason == podlife.OomKilled {
		// Any other code is how the program answers to being stopped.
		fail(s, evidence.Failure{Reason: r.Reason, Message: r.Exit()})
	}
	return s
}

// stopAttributesOf say what is special about a container that is stopped.
func stopAttributesOf(container *podlife.Container) []attribute.KeyValue {
	var attrs []attribute.KeyValue
	if container.Sidecar {
		attrs = append(attrs, attr.SidecarKey.Bool(true))
	}
	if container.HasPreStop {
		attrs = append(attrs, attr.PreStopKey.Bool(true))
	}
	return attrs
}

// killing is when the kubelet began to stop a container: by its Event, else
// when it was asked to.
func (st *stopping) killing(container *podlife.Container) (at time.Time, found bool) {
	for o := range st.pod.Said("Killing", container) {
		if !o.At.Before(st.pod.DeleteAsked.Earliest) && !o.At.After(st.root.End) {
			return evidence.Latest(o.At, st.root.Start), true
		}
	}
	return st.root.Start, false
}

// removal adds the time for which a pod was there after its last container had
// ended, if that is worth telling: its volumes were unmounted, or a finalizer
// kept it.
func (st *stopping) removal() {
	if !st.pod.Gone.Known() || st.pod.Forced || len(st.parts) == 0 {
		return
	}
	var ended time.Time
	for _, container := range st.pod.Containers {
		r := st.pod.RunAtStop(container)
		if r == nil {
			continue
		}
		if !r.Over() {
			return
		}
		ended = evidence.Latest(ended, st.parts[container.Name].End)
	}
	if st.root.End.Sub(ended) <= time.Second {
		return
	}
	var attrs []attribute.KeyValue
	if len(st.pod.Finalizers) > 0 {
		attrs = append(attrs, attr.FinalizersKey.StringSlice(st.pod.Finalizers))
	}
	st.remove = st.add(Node{Kind: kind.RemovePod, Subject: st.pod.Subject(), Start: ended, End: st.root.End, Attrs: attrs})
}

// attachEvents puts the pod's Events since then on the deepest span whose object
// and time they fit.
func (st *stopping) attachEvents() {
	pod := st.pod
	for _, ev := range pod.Events {
		t := ev.First()
		// A probe that is cut off may say so before the request is dated.
		early := pod.Ledger.StartSpan != nil && t.After(pod.Ledger.StartSpan.End) && !t.Before(st.root.Start.Add(-evidence.ArrivalSlack))
		if early || pod.StopsBy(ev) || !t.Before(st.root.Start) || ev.Reason == "Killing" && pod.DeleteAsked.Known() && !t.Before(pod.DeleteAsked.Earliest) {
			attach(st.place(ev), ev, st.root.End)
		}
	}
}

func (st *stopping) place(ev *podlife.Event) *spans.Span {
	if s := st.parts[ev.Container]; s != nil && !ev.First().Before(s.Start) {
		return s
	}
	if st.remove != nil && ev.Container == "" && !ev.First().Before(st.remove.Start) {
		return st.remove
	}
	return st.root
}
