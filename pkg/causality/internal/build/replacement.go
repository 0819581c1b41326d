package build

import (
	"slices"
	"time"

	"go.opentelemetry.io/otel/attribute"

	"github.com/rollspan/rollspan/pkg/causality/internal/critpath"
	"github.com/rollspan/rollspan/pkg/causality/internal/evidence"
	"github.com/rollspan/rollspan/pkg/causality/internal/nodes"
	"github.com/rollspan/rollspan/pkg/causality/internal/plans"
	"github.com/rollspan/rollspan/pkg/causality/internal/podlife"
	"github.com/rollspan/rollspan/pkg/causality/internal/workloads"
	"github.com/rollspan/rollspan/pkg/spans"
	"github.com/rollspan/rollspan/pkg/spans/attr"
	"github.com/rollspan/rollspan/pkg/spans/kind"
)

// Successors are the pods that came in the place of lost ones while no change
// was open, by the lost ones.
func Successors(p *plans.Plan) map[*podlife.Pod]*podlife.Pod {
	if p.Successor != nil {
		return p.Successor
	}
	p.Successor = map[*podlife.Pod]*podlife.Pod{}
	for _, pod := range p.Pods {
		if at := p.Starts[pod]; at.Change == nil && at.Lost != nil {
			p.Successor[at.Lost] = pod
		}
	}
	return p.Successor
}

// lossCause says who took a pod away, as far as it can be told.
func lossCause(pod *podlife.Pod) string {
	switch {
	case pod.Disruption != "":
		return pod.Disruption // EvictionByEvictionAPI, PreemptionByScheduler, …
	case pod.Failed.Known() && pod.Reason != "":
		return pod.Reason // Evicted, NodeLost, …
	case announcedFor(pod) != "":
		return announcedFor(pod)
	case pod.Failed.Known():
		return attr.CauseFailed
	default:
		return attr.CauseDelete
	}
}

// announcedFor is the word by which the kubelet said that it ends the pod: "Preempting". It
// is "" if it did not.
func announcedFor(pod *podlife.Pod) string {
	for _, ev := range pod.Events {
		if podlife.AnnouncesEnd(ev) {
			return ev.Reason
		}
	}
	return ""
}

// NewReplacement collects spans of the trace of a lost pod's replacement.
func NewReplacement(p *plans.Plan, lost *podlife.Pod, late bool) *builder {
	return &builder{
		place: p.Issued.Give(workloads.PlaceOfReplacement(lost)),
		base:  p.Workload.Attributes(),
		late:  late,
		work:  p.Work,

		workload: p.Workload,
		app:      p.Workload.AppOf(lost),
	}
}

// StopOfReplacedTrace builds the stop of a pod that was not gone when its replacement was
// handed out.
func StopOfReplacedTrace(p *plans.Plan, lost *podlife.Pod, set *workloads.PodSet, now time.Time) spans.Trace {
	b := NewReplacement(p, lost, true)
	b.belowSent(lost.Ledger.Replaced)
	b.podStop(lost.Ledger.Replaced.SpanID, lost, set.Attributes(), p.StopAsked(lost), lost.Ledger.Replaced.Start, now)
	return b.done()
}

// CutOff is where what is open is cut.
type CutOff struct {
	Now  time.Time
	Last bool // nothing comes later: the stream ends
}

// ReplacementTrace builds the trace of a lost pod and of the one in its place, if there
// is one. It returns the disruption of the node that led to the loss, too.
func ReplacementTrace(p *plans.Plan, lost, next *podlife.Pod, how attr.Outcome, cut CutOff) (spans.Trace, *nodes.Disruption) {
	b := NewReplacement(p, lost, false)
	b.tellsOf(lost, evidence.DoubtOfStart, evidence.DoubtOfReady)
	start := lossBegan(p, lost)
	end := replacedAt(lost, next, how, start, cut.Now)
	alone := next == nil && NeverReplaced(p, lost)
	if alone {
		end = evidence.Latest(p.OutOfTheWay(lost, cut.Now), start)
	}
	disrupted := p.Around.NodeCause(lost, end)
	attrs := []attribute.KeyValue{
		attr.ChangeKey.String(string(attr.ChangeReplacement)),
		attr.OutcomeKey.String(string(how)),
		attr.CauseKey.String(lossCauseOn(lost, disrupted)),
	}
	if revision := p.RevisionAt(lost.LostBy()); revision > 0 {
		attrs = append(attrs, attr.RevisionKey.Int64(revision))
	}
	attrs = slices.Concat(attrs, lost.StatusReason(), nodes.LossAttributes(lost, disrupted, start))
	set := p.Stops[lost].Set
	rollout := broughtBy(p, lost)
	attrs = append(attrs, rollout.AttributesAfter(start)...)
	root := b.add(SpanSpec{
		Kind: kind.PodReplacement, Service: set.Service(p.Workload), Target: p.Workload.Target(), Subject: lost.Subject(),
		Start: start, End: end, Attrs: slices.Concat(attrs, set.Attributes(), lost.Attributes()),
	})
	if rollout != nil {
		Link(root, p.PlaceOf(rollout), attr.LinkRollout)
	}
	linkLoss(root, p.Around.CausesOfLoss(lost, disrupted))
	lost.Ledger.EmitReplacement(b.remember(root))
	attachAnnounced(root, lost)
	loss := critpath.Loss{InTheWay: p.Workload.Controller.Replaces.InTheWay(), Refused: set.RefusedIn(root.Start, root.End)}
	switch {
	case lost.EndedUndeleted():
		loss.Stop = b.endedStop(p, root.SpanID, lost, set.Attributes(), start, cut.Now)
	case !lost.Leaving():
		lost.Ledger.PassOverStop() // it is there as before, and somebody else's
	case lost.Gone.Known() || cut.Last:
		loss.Stop = b.podStop(root.SpanID, lost, set.Attributes(), p.StopAsked(lost), start, cut.Now)
	}
	if next != nil {
		at := cut.Now
		if how != attr.OutcomeOpen {
			at = time.Time{}
		}
		loss.Start = b.podStart(root.SpanID, next, set.Attributes(), start, at, how == attr.OutcomeFailed)
		if how == attr.OutcomeFailed {
			f, _ := next.Trouble(next.Timeline(end), end)
			fail(root, f)
		}
	}
	if alone {
		fail(root, evidence.Failure{Reason: lossCause(lost), Message: lost.Message})
	}
	attachLoss(p, root, set, lost, next)
	if how != attr.OutcomeOpen {
		path := critpath.New(b.spans, root, b.work)
		path.Replace(loss)
		path.Finish()
	}
	return b.done(), disrupted
}

// NeverReplaced reports whether a pod that ended, and was to stay, is its own workload: no
// controller makes another.
func NeverReplaced(p *plans.Plan, lost *podlife.Pod) bool {
	return p.Workload.Controller.Pods == workloads.PodItself && lost.EndedUndeleted()
}

// lossBegan is when the loss of a pod began: when its deletion was asked for, its kubelet
// said that it ends the pod, or it ended.
func lossBegan(p *plans.Plan, lost *podlife.Pod) time.Time {
	if lost.Released() {
		return lost.LostAt().Before(p.ReplacedAt[lost]).At()
	}
	return p.StopAsked(lost)
}

// replacedAt is when a replacement that began at start was over: when the next pod was
// ready or lost, or, where none came, the lost one was gone.
func replacedAt(lost, next *podlife.Pod, how attr.Outcome, start, now time.Time) time.Time {
	switch {
	case how == attr.OutcomeOpen:
		return now
	case next == nil:
		return evidence.Latest(lost.Gone.At(), start)
	}
	if ready := next.Timeline(time.Time{}).Ready; !ready.IsZero() {
		return ready
	}
	return next.LostAt().At()
}

// attachLoss puts on a replacement what its set says of the two pods, and what led to
// the loss: an eviction, a taint, a failed node. Later Events about the lost pod wait for
// its stop, if that is still to come.
func attachLoss(p *plans.Plan, root *spans.Span, set *workloads.PodSet, lost, next *podlife.Pod) {
	for _, ev := range set.Untold() {
		pod, at, ok := podInMessage(p, set, ev)
		if ok && pod == next && at == p.Stops[next] && next.Lost() {
			continue // that is what became of it later
		}
		if ok && (pod == lost || pod == next) || !ok && keptFrom(root, ev) {
			attach(root, ev, root.End)
		}
	}
	from := root.Start.Add(-time.Second)
	if said := lost.LossAnnounced(); !said.IsZero() {
		from = evidence.Earliest(from, said) // its time to stop came before it was over
	}
	for _, ev := range lost.Untold() {
		led := lost.Ledger.StopSent || ev.First().Before(p.StopAsked(lost).Add(-evidence.ArrivalSlack))
		if led && !ev.First().Before(from) {
			attach(root, ev, root.End)
		}
	}
}

// keptFrom reports whether an Event about the set of a lost pod says that this one could not be
// deleted, or that none could be made in its place, for a quota or a webhook, while it was waited for.
func keptFrom(root *spans.Span, ev *podlife.Event) bool {
	return (ev.Reason == "FailedCreate" || ev.Reason == "FailedDelete") && within(ev.First(), root.Start, root.End)
}

// attachAnnounced puts on the span of a pod's loss what the kubelet ended the pod for.
func attachAnnounced(s *spans.Span, lost *podlife.Pod) {
	for _, ev := range lost.Events {
		if podlife.AnnouncesEnd(ev) && !ev.First().Before(s.Start) {
			attach(s, ev, s.End)
		}
	}
}

// lossCauseOn is lossCause with what is known of the node. The reason that
// Kubernetes gives stands, unless the node says more.
func lossCauseOn(pod *podlife.Pod, d *nodes.Disruption) string {
	cause := lossCause(pod)
	switch {
	case d == nil:
	case d.Kind == nodes.Cordoned:
		return attr.CauseDrain
	case cause == attr.CauseDelete || cause == attr.CauseFailed:
		return attr.CauseNodeLost
	}
	return cause
}
