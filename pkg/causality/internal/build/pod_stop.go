package build

import (
	"cmp"
	"slices"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/trace"

	"github.com/rollspan/rollspan/pkg/causality/internal/evidence"
	"github.com/rollspan/rollspan/pkg/causality/internal/plans"
	"github.com/rollspan/rollspan/pkg/causality/internal/podlife"
	"github.com/rollspan/rollspan/pkg/spans"
	"github.com/rollspan/rollspan/pkg/spans/attr"
	"github.com/rollspan/rollspan/pkg/spans/kind"
)

// podStop adds a pod's end: deletion requested to gone, with what it took to
// stop its containers. asked is when the plan says it was asked to stop.
func (b *builder) podStop(parent trace.SpanID, pod *podlife.Pod, attrs []attribute.KeyValue, asked, cause, cut time.Time) *spans.Span {
	return b.podStopping(parent, pod, attrs, asked, cause, cut).emit()
}

// endedStop adds the end of a pod that ended before anybody deleted it: from what first said
// so to the news that it had ended or, where it was in the way of another pod until then,
// that it was gone. It returns nil where nothing shows that this took any time.
func (b *builder) endedStop(p *plans.Plan, parent trace.SpanID, pod *podlife.Pod, attrs []attribute.KeyValue, cause, cut time.Time) *spans.Span {
	asked, end := p.StopAsked(pod), p.OutOfTheWay(pod, cut)
	if !end.After(asked) {
		pod.Ledger.PassOverStop()
		return nil
	}
	return b.podStoppingUntil(parent, pod, attrs, asked, cause, end).emit()
}

// podStopping builds the spans of a pod's end, without noting that they are handed out.
func (b *builder) podStopping(parent trace.SpanID, pod *podlife.Pod, attrs []attribute.KeyValue, asked, cause, cut time.Time) *stopBuilder {
	end := pod.Gone.At()
	if end.IsZero() {
		end = cut
	}
	return b.podStoppingUntil(parent, pod, attrs, asked, cause, end)
}

// podStoppingUntil builds the spans of a pod's end, which was over at end.
func (b *builder) podStoppingUntil(parent trace.SpanID, pod *podlife.Pod, attrs []attribute.KeyValue, asked, cause, end time.Time) *stopBuilder {
	b.tellsOf(pod)
	start := evidence.Latest(asked, cause)
	attrs = append(slices.Clip(attrs), pod.Attributes()...)
	sb := &stopBuilder{builder: b, pod: pod, attrs: attrs}
	sb.root = b.add(SpanSpec{
		parent: parent, id: []string{kind.PodStop.ID(), string(pod.UID)},
		Kind: kind.PodStop, Subject: pod.Subject(), app: b.workload.AppOf(pod),
		Start: start, End: end, Attrs: append(slices.Clip(attrs), deletionAttributes(pod, asked, end)...),
	})
	sb.containers()
	sb.removal()
	return sb
}

// deletionAttributes say how the pod was deleted: how long its containers were given,
// whether that was kept to, and whether it was forced.
func deletionAttributes(pod *podlife.Pod, asked, end time.Time) []attribute.KeyValue {
	var attrs []attribute.KeyValue
	if pod.Grace > 0 && !pod.EndedUndeleted() {
		attrs = append(attrs, evidence.Seconds(attr.GracePeriodDurationKey, pod.Grace))
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
	return append(attrs, pod.StatusReason()...)
}

// stopBuilder builds the spans below a Pod stop.
type stopBuilder struct {
	*builder
	pod   *podlife.Pod
	root  *spans.Span
	attrs []attribute.KeyValue

	parts  map[string]*spans.Span // by container
	remove *spans.Span
}

// emit gives the stop its Events, and notes that it is handed out.
func (sb *stopBuilder) emit() *spans.Span {
	sb.attachEvents()
	sb.pod.Ledger.EmitStop(sb.remember(sb.root))
	return sb.root
}

func (sb *stopBuilder) add(spec SpanSpec) *spans.Span {
	spec.parent = sb.root.SpanID
	spec.id = append([]string{spec.Kind.ID(), string(sb.pod.UID)}, spec.id...)
	if spec.End.After(sb.root.End) {
		spec.End = sb.root.End
	}
	spec.app = cmp.Or(spec.app, sb.root.App)
	spec.Start = evidence.Latest(spec.Start, sb.root.Start)
	spec.Attrs = append(slices.Clip(sb.attrs), spec.Attrs...)
	return sb.builder.add(spec)
}

// containers adds the time it took to stop each container. The kubelet stops
// sidecars when the others have ended, the last one first.
func (sb *stopBuilder) containers() {
	sb.parts = map[string]*spans.Span{}
	var others, later time.Time // when the containers, and the sidecars after this one, had ended
	for _, sidecars := range []bool{false, true} {
		for _, container := range slices.Backward(sb.pod.Containers) {
			if container.Sidecar != sidecars {
				continue
			}
			s := sb.container(container, evidence.Latest(others, later))
			if s == nil {
				continue
			}
			sb.parts[container.Name] = s
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
func (sb *stopBuilder) container(container *podlife.Container, turn time.Time) *spans.Span {
	r := sb.pod.RunAtStop(container)
	if r == nil {
		return nil
	}
	from, killed := sb.killedAt(container)
	until := r.Finished.Before(sb.root.End).At()
	switch {
	case r.Over() && until.Before(sb.root.Start):
		until = evidence.Latest(sb.root.Start, r.Seen) // by a clock that is behind
	case r.Over():
	case !killed || sb.pod.Forced:
		return nil // nobody waited for it
	default:
		until = sb.root.End
	}
	if container.Sidecar && !turn.After(until) {
		from = evidence.Latest(from, turn)
	}
	attrs := append(container.Attributes(), containerStopAttributes(container)...)
	if r.Over() {
		attrs = append(attrs, r.Attributes()...)
		if sb.pod.OutlivedGracePeriod(r) {
			attrs = append(attrs, attr.GracePeriodExceededKey.Bool(true))
		}
	} else {
		attrs = append(attrs, r.Identity()...)
	}
	s := sb.add(SpanSpec{
		id: []string{container.Name}, Kind: kind.StopContainer, Subject: sb.pod.Subject() + " container/" + container.Name,
		Start: from, End: until, Attrs: attrs, app: sb.workload.AppIn(sb.pod, container),
	})
	if r.Over() && r.Reason == podlife.OOMKilled {
		// Any other code is how the program answers to being stopped.
		fail(s, evidence.Failure{Reason: r.Reason, Message: r.Exit()})
	}
	return s
}

// containerStopAttributes say what is special about a container that is stopped.
func containerStopAttributes(container *podlife.Container) []attribute.KeyValue {
	var attrs []attribute.KeyValue
	if container.Sidecar {
		attrs = append(attrs, attr.SidecarKey.Bool(true))
	}
	if container.HasPreStop {
		attrs = append(attrs, attr.PreStopKey.Bool(true))
	}
	return attrs
}

// killedAt is when the kubelet began to stop a container: by its Event, else
// when it was asked to.
func (sb *stopBuilder) killedAt(container *podlife.Container) (at time.Time, found bool) {
	for o := range sb.pod.OccurrencesOf(podlife.ReasonKilling, container) {
		if !o.At.Before(sb.pod.StopFrom()) && !o.At.After(sb.root.End) {
			return evidence.Latest(o.At, sb.root.Start), true
		}
	}
	return sb.root.Start, false
}

// removal adds the time for which a pod was there after its last container had
// ended, if that is worth telling: its volumes were unmounted, or a finalizer
// kept it.
func (sb *stopBuilder) removal() {
	undeleted := sb.pod.EndedUndeleted()
	if !sb.pod.Gone.Known() || sb.pod.Forced || len(sb.parts) == 0 && !undeleted {
		return
	}
	var ended time.Time
	if undeleted {
		ended = sb.pod.Failed.At()
	}
	for _, container := range sb.pod.Containers {
		r := sb.pod.RunAtStop(container)
		if r == nil {
			continue
		}
		if !r.Over() && !undeleted {
			return
		}
		if part := sb.parts[container.Name]; part != nil {
			ended = evidence.Latest(ended, part.End)
		}
	}
	if sb.root.End.Sub(ended) <= time.Second {
		return
	}
	var attrs []attribute.KeyValue
	if len(sb.pod.Finalizers) > 0 {
		attrs = append(attrs, attr.FinalizersKey.StringSlice(sb.pod.Finalizers))
	}
	sb.remove = sb.add(SpanSpec{Kind: kind.RemovePod, Subject: sb.pod.Subject(), Start: ended, End: sb.root.End, Attrs: attrs})
}

// attachEvents puts the pod's Events since then on the deepest span whose object
// and time they fit.
func (sb *stopBuilder) attachEvents() {
	pod := sb.pod
	announced := pod.LossAnnounced()
	for _, ev := range pod.Untold() {
		t := ev.First()
		// A probe that is cut off may say so before the request is dated.
		early := pod.Ledger.StartSpan != nil && t.After(pod.Ledger.StartSpan.End) && !t.Before(sb.root.Start.Add(-evidence.ArrivalSlack))
		kill := ev.Reason == podlife.ReasonKilling && pod.Lost() && !t.Before(pod.StopFrom())
		said := !announced.IsZero() && !t.Before(announced) // who ends it said so before it was asked to stop
		if said || early || kill || pod.StopsBy(ev) || !t.Before(sb.root.Start) {
			attach(sb.place(ev), ev, sb.root.End)
		}
	}
}

func (sb *stopBuilder) place(ev *podlife.Event) *spans.Span {
	if s := sb.parts[ev.Container]; s != nil && !ev.First().Before(s.Start) {
		return s
	}
	if sb.remove != nil && ev.Container == "" && !ev.First().Before(sb.remove.Start) {
		return sb.remove
	}
	return sb.root
}
