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

// podStop adds a pod's end: deletion requested to gone, with what it took to
// stop its containers. asked is when the plan says it was asked to stop.
func (b *builder) podStop(parent trace.SpanID, p *pod, attrs []attribute.KeyValue, asked, cause, cut time.Time) *spans.Span {
	st := b.podStopping(parent, p, attrs, asked, cause, cut)
	st.attachEvents()
	p.ledger.toldStop(st.remember(st.root))
	return st.root
}

// podStopping builds the spans of a pod's end, of which nothing is told yet.
func (b *builder) podStopping(parent trace.SpanID, p *pod, attrs []attribute.KeyValue, asked, cause, cut time.Time) *stopping {
	start := latest(asked, cause)
	end := p.gone.at()
	if end.IsZero() {
		end = cut
	}
	attrs = append(slices.Clip(attrs), p.attributes()...)
	st := &stopping{builder: b, pod: p, attrs: attrs}
	st.root = b.add(node{
		parent: parent, id: []string{kind.PodStop.ID(), string(p.uid)},
		kind: kind.PodStop, subject: p.subject(),
		start: start, end: end, attrs: append(slices.Clip(attrs), p.stopAttributes(asked, end)...),
	})
	st.containers()
	st.removal()
	return st
}

// stopAttributes say how long the pod's containers were given, and whether that
// was kept to.
func (p *pod) stopAttributes(asked, end time.Time) []attribute.KeyValue {
	var attrs []attribute.KeyValue
	if p.grace > 0 {
		attrs = append(attrs, seconds(attr.GracePeriodKey, p.grace))
		if over := end.Sub(asked.Add(p.grace)); over > time.Second {
			attrs = append(attrs, seconds(attr.GracePeriodOverrunKey, over))
		}
	}
	if p.forced {
		attrs = append(attrs, attr.ForcedKey.Bool(true))
	}
	if p.disruption != "" {
		attrs = append(attrs, attr.DisruptionKey.String(p.disruption))
	}
	return attrs
}

// stopAsked dates the request to delete the pod: not after the kubelet began
// to kill its containers, nor after another pod was there in its place (missed, zero
// if there is none), unless that was for an earlier failure.
func (p *pod) stopAsked(missed time.Time) time.Time {
	at := p.deleteAsked
	for _, ev := range p.events {
		if ev.reason == "Killing" && !ev.first().Before(at.lo) {
			at = at.before(ev.first())
		}
	}
	if !p.failed.known() {
		at = at.before(missed)
	}
	return at.at()
}

// stopping builds the spans below a Pod stop.
type stopping struct {
	*builder
	pod   *pod
	root  *spans.Span
	attrs []attribute.KeyValue

	parts  map[string]*spans.Span // by container
	remove *spans.Span
}

func (st *stopping) add(n node) *spans.Span {
	n.parent = st.root.SpanID
	n.id = append([]string{n.kind.ID(), string(st.pod.uid)}, n.id...)
	if n.end.After(st.root.End) {
		n.end = st.root.End
	}
	n.start = latest(n.start, st.root.Start)
	n.attrs = append(slices.Clip(st.attrs), n.attrs...)
	return st.builder.add(n)
}

// containers adds the time it took to stop each container. The kubelet stops
// sidecars when the others have ended, the last one first.
func (st *stopping) containers() {
	st.parts = map[string]*spans.Span{}
	var others, later time.Time // when the containers, and the sidecars after this one, had ended
	for _, sidecars := range []bool{false, true} {
		for _, c := range slices.Backward(st.pod.containers) {
			if c.sidecar != sidecars {
				continue
			}
			s := st.container(c, latest(others, later))
			if s == nil {
				continue
			}
			st.parts[c.name] = s
			if sidecars {
				later = latest(later, s.End)
			} else {
				others = latest(others, s.End)
			}
		}
	}
}

// container adds the stop of one container, whose turn came not before a time;
// nil if nothing shows that it still ran, or how it ended.
func (st *stopping) container(c *container, turn time.Time) *spans.Span {
	r := st.pod.runAtStop(c)
	if r == nil {
		return nil
	}
	from, killed := st.killing(c)
	until := r.finished.before(st.root.End).at()
	switch {
	case r.over() && until.Before(st.root.Start):
		until = latest(st.root.Start, r.seen) // by a clock that is behind
	case r.over():
	case !killed || st.pod.forced:
		return nil // nobody waited for it
	default:
		until = st.root.End
	}
	if c.sidecar && !turn.After(until) {
		from = latest(from, turn)
	}
	attrs := append(c.attributes(), c.stopAttributes()...)
	if r.over() {
		attrs = append(attrs, r.attributes()...)
		if st.pod.outlived(r) {
			attrs = append(attrs, attr.GracePeriodExceededKey.Bool(true))
		}
	}
	s := st.add(node{
		id: []string{c.name}, kind: kind.StopContainer, subject: st.pod.subject() + " container/" + c.name,
		start: from, end: until, attrs: attrs,
	})
	if r.over() && r.reason == oomKilled {
		// Any other code is how the program answers to being stopped.
		fail(s, failure{r.reason, r.exit()})
	}
	return s
}

// stopAttributes say what is special about a container that is stopped.
func (c *container) stopAttributes() []attribute.KeyValue {
	var attrs []attribute.KeyValue
	if c.sidecar {
		attrs = append(attrs, attr.SidecarKey.Bool(true))
	}
	if c.hasPreStop {
		attrs = append(attrs, attr.PreStopKey.Bool(true))
	}
	return attrs
}

// runAtStop is the run of a container that was on when the pod was to be
// deleted; nil if there was none.
func (p *pod) runAtStop(c *container) *run {
	if len(c.runs) == 0 {
		return nil
	}
	r := c.runs[len(c.runs)-1]
	if !r.started.known() || r.over() && r.finished.at().Before(p.deleteAsked.lo) && !p.stoppedWith(c, r) {
		return nil
	}
	return r
}

// stoppedRun is the last run of a container of a pod that was deleted, if it had not
// ended when the kubelet began to stop it. It may have ended in the same second, which
// is all that the API says of that: then it seems to have ended before it was asked to.
// nil if it had, or nothing shows that.
func (p *pod) stoppedRun(c *container) *run {
	r := p.runAtStop(c)
	if r == nil || !r.over() || !p.leaving() {
		return nil
	}
	for o := range p.said("Killing", c) {
		if !o.at.Before(p.deleteAsked.lo) && !o.at.Before(r.finished.lo) {
			return r
		}
	}
	return nil
}

// unstopped is the time at which to look for what the containers did when the pod was
// to be deleted at a time: before that if those that were stopped then seem to have
// ended already, as they do where the news was late.
func (p *pod) unstopped(at time.Time) time.Time {
	for _, c := range p.containers {
		if r := p.stoppedRun(c); r != nil && !r.finished.at().After(at) {
			at = earliest(at, r.finished.lo.Add(-time.Nanosecond))
		}
	}
	return at
}

// outlived reports whether a run was killed because its time to stop was up. The
// times are known to the second.
func (p *pod) outlived(r *run) bool {
	return r.exitCode == exitSIGKILL && p.grace > 0 && r.reason != oomKilled &&
		!r.finished.lo.Add(time.Second).Before(p.deleteAsked.lo.Add(p.grace))
}

// killing is when the kubelet began to stop a container: by its Event, else
// when it was asked to.
func (st *stopping) killing(c *container) (at time.Time, found bool) {
	for o := range st.pod.said("Killing", c) {
		if !o.at.Before(st.pod.deleteAsked.lo) && !o.at.After(st.root.End) {
			return latest(o.at, st.root.Start), true
		}
	}
	return st.root.Start, false
}

// removal adds the time for which a pod was there after its last container had
// ended, if that is worth telling: its volumes were unmounted, or a finalizer
// kept it.
func (st *stopping) removal() {
	if !st.pod.gone.known() || st.pod.forced || len(st.parts) == 0 {
		return
	}
	var ended time.Time
	for _, c := range st.pod.containers {
		r := st.pod.runAtStop(c)
		if r == nil {
			continue
		}
		if !r.over() {
			return
		}
		ended = latest(ended, st.parts[c.name].End)
	}
	if st.root.End.Sub(ended) <= time.Second {
		return
	}
	var attrs []attribute.KeyValue
	if len(st.pod.finalizers) > 0 {
		attrs = append(attrs, attr.FinalizersKey.StringSlice(st.pod.finalizers))
	}
	st.remove = st.add(node{kind: kind.RemovePod, subject: st.pod.subject(), start: ended, end: st.root.End, attrs: attrs})
}

// attachEvents puts the pod's Events since then on the deepest span whose object
// and time they fit.
func (st *stopping) attachEvents() {
	p := st.pod
	for _, ev := range p.events {
		t := ev.first()
		// A probe that is cut off may say so before the request is dated.
		early := p.ledger.startSpan != nil && t.After(p.ledger.startSpan.end) && !t.Before(st.root.Start.Add(-arrivalSlack))
		if early || p.stopsBy(ev) || !t.Before(st.root.Start) || ev.reason == "Killing" && p.deleteAsked.known() && !t.Before(p.deleteAsked.lo) {
			attach(st.place(ev), ev, st.root.End)
		}
	}
}

func (st *stopping) place(ev *event) *spans.Span {
	if s := st.parts[ev.container]; s != nil && !ev.first().Before(s.Start) {
		return s
	}
	if st.remove != nil && ev.container == "" && !ev.first().Before(st.remove.Start) {
		return st.remove
	}
	return st.root
}
