package build

import (
	"fmt"
	"slices"
	"strconv"
	"time"

	"go.opentelemetry.io/otel/attribute"
	corev1 "k8s.io/api/core/v1"

	"github.com/rollspan/rollspan/pkg/causality/internal/critpath"
	"github.com/rollspan/rollspan/pkg/causality/internal/evidence"
	"github.com/rollspan/rollspan/pkg/causality/internal/nodes"
	"github.com/rollspan/rollspan/pkg/causality/internal/podlife"
	"github.com/rollspan/rollspan/pkg/causality/internal/waits"
	"github.com/rollspan/rollspan/pkg/causality/internal/workloads"
	"github.com/rollspan/rollspan/pkg/spans"
	"github.com/rollspan/rollspan/pkg/spans/attr"
	"github.com/rollspan/rollspan/pkg/spans/kind"
)

// Between one thing that a change waited for and the next there is time that no span of a
// pod explains. It is the controller's only where the controller was free to act: it had
// the news of what it had waited for, and nothing else that is known was in its way.

// reported is when the API had the news that lets a pod's controller go on, zero if nobody
// saw that. News that comes after the controller has acted upon it was late on its way.
func (b *changeBuilder) reported(pod *podlife.Pod) time.Time {
	if pod == nil {
		return time.Time{}
	}
	at := pod.Reported().At
	if b.change.Outcome() == attr.OutcomeComplete && at.Sub(b.end) > reaction {
		return time.Time{}
	}
	return at
}

// reportUnseen reports whether nobody saw when the API had the news of a pod's start, as in
// a snapshot. Of a pod that was lost before it was Ready the news is that it was lost.
func (b *changeBuilder) reportUnseen(block blocker) bool {
	if !block.coarse || block.pod == nil || !b.reported(block.pod).IsZero() {
		return false
	}
	_, ready := block.pod.FirstReady()
	return ready || block.pod.Finite || !block.pod.WasLostBy(block.available)
}

// statusLatency takes the time from when a pod let its controller go on, as the kubelet
// dates it, to when the kubelet had reported that.
func (b *changeBuilder) statusLatency(path *critpath.Path, block blocker) {
	switch {
	case block.pod == nil || path.At.Sub(block.available) < time.Millisecond:
		return // the end of a second and the beginning of the next are one time
	case !block.pod.Reported().Proves(block.available):
		b.own(path, attr.PhaseUnknown, block.available)
		return
	case block.open.Sub(block.available) < time.Second+time.Millisecond:
		b.own(path, attr.PhaseStatusLatency, block.available)
		return // they are dated in whole seconds: those of two that follow each other may be one time
	}
	s := b.addWait(path, SpanSpec{
		Kind: kind.StatusLatency, id: []string{kind.StatusLatency.ID(), string(block.pod.UID)}, Subject: block.pod.Subject(),
		Start: block.available, End: evidence.Earliest(block.open, b.end), Attrs: b.podAttributes(block.pod),
	})
	path.Self(s, s.Start)
}

func (b *changeBuilder) podAttributes(pod *podlife.Pod) []attribute.KeyValue {
	set := b.plan.Starts[pod].Set
	if set == nil {
		set = b.plan.Stops[pod].Set
	}
	if set == nil {
		return pod.Attributes()
	}
	return append(slices.Clip(set.Attributes()), pod.Attributes()...)
}

// addWait adds a span of what the controller waited for that is neither a pod's start nor
// its stop, while the path is made.
func (b *changeBuilder) addWait(path *critpath.Path, spec SpanSpec) *spans.Span {
	spec.parent, spec.Start = b.root.SpanID, evidence.Latest(spec.Start, b.root.Start)
	if spec.id == nil {
		spec.id = []string{spec.Kind.ID(), strconv.Itoa(b.waits)}
		b.waits++
	}
	s := b.add(spec)
	path.Add(s)
	return s
}

// idle explains the time from a moment to where the path has come, in which no pod of the
// change was waited for. cause is what came next.
func (b *changeBuilder) idle(path *critpath.Path, cause *spans.Span, from time.Time) {
	from = evidence.Latest(from, b.root.Start)
	if from.Before(path.At) && b.waitsForDeletion(cause) {
		s := b.addWait(path, SpanSpec{
			Kind: kind.DeleteWait, Service: b.plan.Workload.Service(), Subject: b.plan.Workload.Subject(), Start: from, End: path.At,
		})
		path.Self(s, from)
		return
	}
	for path.At.After(from) {
		at := path.At
		old, ok := b.oldPodInTheWay(cause, from, at)
		b.free(path, cause, evidence.Latest(old.end, from))
		if !old.ready.IsZero() {
			b.own(path, attr.PhaseMinReadyWait, evidence.Latest(old.ready, from))
		}
		if ok && path.At.After(from) {
			s := b.addWait(path, b.oldPodWait(old.pod, evidence.Latest(old.begin, from), path.At))
			path.Self(s, s.Start)
		}
		if !path.At.Before(at) {
			return
		}
	}
}

// waitsForDeletion reports whether what came next could come only when somebody had
// deleted a pod: with the strategy OnDelete no controller does.
func (b *changeBuilder) waitsForDeletion(next *spans.Span) bool {
	if !b.plan.Workload.OnDelete || b.change.Kind != attr.ChangeRollout {
		return false
	}
	at := b.end
	switch {
	case next.Kind == kind.NotReady:
		at = next.Start // that came while somebody was waited for
	case next != b.root:
		return next.Kind == kind.PodStop
	case b.change.Outcome() == attr.OutcomeComplete:
		return false
	}
	return slices.ContainsFunc(b.plan.Pods, func(pod *podlife.Pod) bool {
		return !b.plan.Wants(b.change, pod) && pod.CreatedAt().Before(at) && !pod.WasLostBy(at)
	})
}

// oldPodWait is what a span says of the wait for an old pod.
func (b *changeBuilder) oldPodWait(pod *podlife.Pod, from, until time.Time) SpanSpec {
	attrs := b.podAttributes(pod)
	if f, _ := pod.Trouble(pod.Timeline(until), until); f.Reason != "" && !b.recreates() { // that one only has to go
		attrs = append(attrs, attr.WaitingReasonKey.String(f.Reason))
		if f.Message != "" {
			attrs = append(attrs, attr.WaitingMessageKey.String(f.Message))
		}
	}
	return SpanSpec{
		Kind: kind.OldPodWait, Service: b.plan.Workload.Service(), Subject: pod.Subject(),
		Start: from, End: until, Attrs: attrs,
	}
}

// free takes time in which nothing that is known was in the controller's way.
func (b *changeBuilder) free(path *critpath.Path, cause *spans.Span, from time.Time) {
	if !from.Before(path.At) {
		return
	}
	if refused := b.refusedSince(cause, from, path.At); !refused.IsZero() {
		b.own(path, attr.PhaseCreatePod, refused)
	}
	switch {
	case cause == b.root && b.change.NoPods:
		b.own(path, attr.PhasePaused, from) // somebody has set its parallelism to 0
	case path.At.Sub(from) > reaction && (b.notSeen().pods > 0 || b.stopsUnseen(path.At) || b.startsUnseen(path.At) || b.deletionUnseen(cause) || b.stopUnseen(cause) || b.mayStillStop(cause, from, path.At)):
		b.own(path, attr.PhaseUnknown, from)
	default:
		news := evidence.Latest(b.change.Opened.Arrival, b.plan.Workload.Watched)
		if news.Sub(from) > reaction && b.change.Kind != attr.ChangeDelete {
			b.own(path, attr.PhaseController, evidence.Earliest(news, path.At))
			b.own(path, attr.PhaseUnknown, from) // nobody looked yet
		}
		b.own(path, attr.PhaseController, from)
	}
}

// stopsUnseen reports whether a pod that the controller has to see gone was, as far as is
// known, still there at a time: what ended its stop was not seen.
func (b *changeBuilder) stopsUnseen(at time.Time) bool {
	first := b.notSeen().stop
	return b.waitsForStops() && !first.IsZero() && first.Before(at)
}

// mayStillStop reports whether a pod that the controller has to see gone before it goes on with what came next
// may have been there for all of the time between two others: of its stop the beginning alone is known.
func (b *changeBuilder) mayStillStop(next *spans.Span, from, to time.Time) bool {
	if b.change.Kind != attr.ChangeJob && !b.waitsForStops() || b.recreates() && next.Kind != kind.ScaleUp {
		return false
	}
	gone := b.notSeen().gone
	b.work.Spend(len(gone))
	return slices.ContainsFunc(gone, func(d evidence.Doubt) bool { return !d.At.After(from) && !d.Latest.Before(to) })
}

// stopUnseen reports whether a pod was made in a rollout that goes pod by pod, and nothing shows the stop of the
// one before in its place, as in a dump without Events.
func (b *changeBuilder) stopUnseen(next *spans.Span) bool {
	w, made := b.plan.Workload, b.blockerOf[next.SpanID]
	if !w.Inferred || made == nil || made.pod == nil || next.Kind != kind.PodStart || !w.Controller.GoesPodByPod() ||
		b.change.Kind != attr.ChangeRollout || b.change.Cause == attr.CauseCreate {
		return false
	}
	b.work.Spend(len(b.stopSpans))
	for pod, s := range b.stopSpans {
		same := pod.Name == made.pod.Name
		if w.Controller.Replaces == workloads.ReplacedOnNode {
			same = pod.Node == made.pod.Node
		}
		if same && s.Start.Before(next.Start) {
			return false
		}
	}
	return true
}

// deletionUnseen reports whether a pod was made for which somebody must have deleted another, as nothing but that
// lets the controller act with the strategy OnDelete.
func (b *changeBuilder) deletionUnseen(next *spans.Span) bool {
	return b.plan.Workload.OnDelete && b.change.Kind == attr.ChangeRollout && b.change.Cause != attr.CauseCreate && next.Kind == kind.PodStart
}

// startsUnseen reports whether a pod that the change made was, as far as is known, still not
// Ready at a time though the change was complete later: when it was Ready was not seen.
func (b *changeBuilder) startsUnseen(at time.Time) bool {
	first := b.notSeen().start
	return !first.IsZero() && first.Before(at)
}

// unseen is what there must have been of a change, and nothing shows. Each gap of the path
// asks for it, so that it is worked out once.
type unseen struct {
	pods int // see unseenPods
	// stop is when the first pod was asked to stop of whose stop the end was not seen, and start
	// when the first was made that must have been Ready and was not seen to be; zero if none was.
	stop, start time.Time
	// gone are what is in doubt of when the pods were gone that the change stopped.
	gone []evidence.Doubt
}

func (b *changeBuilder) notSeen() *unseen {
	if b.unseen != nil {
		return b.unseen
	}
	b.unseen = &unseen{pods: b.unseenPods()}
	for _, pod := range b.plan.Pods {
		if b.plan.Stops[pod].Change == b.change && b.stopSpans[pod] == nil && pod.Leaving() {
			b.unseen.stop = evidence.Earliest(b.unseen.stop, b.plan.StopAsked(pod))
		}
		if b.stopSpans[pod] != nil {
			b.unseen.gone = append(b.unseen.gone, pod.Doubts().About(evidence.DoubtOfGone)...)
		}
		if _, ready := pod.FirstReady(); !ready && b.waitsForStarts() && b.plan.Starts[pod].Change == b.change && !pod.WasLostBy(b.end) {
			b.unseen.start = evidence.Earliest(b.unseen.start, pod.CreatedAt())
		}
	}
	return b.unseen
}

// stepsUnseen are the steps of before the list that the watch began with, of whose pods none is told of:
// they had ended by then, or had been asked to.
func (b *changeBuilder) stepsUnseen() map[*spans.Span]bool {
	unseen := map[*spans.Span]bool{}
	for step, s := range b.spanOf {
		if step.Initial && step.Up() && len(b.plan.StartsOf[step]) == 0 && b.plan.Shortfalls[step].Pods == 0 {
			unseen[s] = true
		}
	}
	return unseen
}

// waitsForStarts reports whether the change was complete only when its pods were Ready.
func (b *changeBuilder) waitsForStarts() bool {
	return b.change.Outcome() == attr.OutcomeComplete && (b.change.Kind == attr.ChangeRollout || b.change.Kind == attr.ChangeScale)
}

// own takes time for the change itself.
func (b *changeBuilder) own(path *critpath.Path, phase attr.Phase, from time.Time) {
	path.Take(b.root, phase, phase.String(), from)
}

// reaction is how long a controller takes to act, at most, in a time of which not all is
// known. What takes longer may have been a wait for what nobody saw.
const reaction = time.Second

// refusedSince is when the API first refused pods that the change wants, between two times; zero if
// it did not. Their controller tries again until it may. A ReplicaSet's are those in the place of lost
// ones: the pods of a step are refused in the step's own time, and none is before the step.
func (b *changeBuilder) refusedSince(next *spans.Span, from, to time.Time) (first time.Time) {
	for _, set := range b.plan.Sets {
		if set.Direct() || set.Revision == b.change.Revision && next.Kind != kind.ScaleUp && next.Kind != kind.ScaleDown {
			first = evidence.Earliest(first, set.RefusedIn(from, to))
		}
	}
	return first
}

// unseenPods is how many pods a change that is complete must have had, by what its
// controller counts, and nothing has shown to be Ready.
func (b *changeBuilder) unseenPods() int {
	c := b.change
	if c.Outcome() != attr.OutcomeComplete || c.Kind == attr.ChangeDelete {
		return 0
	}
	if c.Kind == attr.ChangeJob {
		seen, earlier := 0, 0
		for _, e := range b.runEnds() {
			if !e.failed {
				seen++
			}
		}
		for _, pod := range b.plan.Pods {
			if pod.Finished.Known() && pod.Phase == corev1.PodSucceeded && b.plan.Starts[pod].Change != c {
				earlier++
			}
		}
		return c.Succeeded(earlier) - seen
	}
	there, gone := 0, 0
	for _, pod := range b.plan.Pods {
		switch {
		case b.plan.Stops[pod].Change == c:
			gone++
		case !pod.WasLostBy(b.end):
			// Ready is dated within its second.
			if ready, ok := pod.FirstReady(); ok && !nodes.EarliestOf(ready.At).After(b.end.Add(time.Second)) {
				there++
			}
		}
	}
	unseen := int(c.Wanted) - there
	if c.Kind == attr.ChangeScale {
		unseen = max(unseen, int(c.Before-c.Wanted)-gone)
	}
	return unseen
}

// sayUnknown says on the root that most of its path is not known, and why.
func (b *changeBuilder) sayUnknown(phases map[attr.Phase]time.Duration) {
	took, unknown := b.root.End.Sub(b.root.Start), phases[attr.PhaseUnknown]
	if 2*unknown <= took {
		return
	}
	why := "nothing was seen of what it waited for"
	if n := b.notSeen().pods; n > 0 {
		why = waits.Counted(n, "pod") + " not seen"
	}
	b.root.Attributes = append(b.root.Attributes, attr.UnknownKey.String(fmt.Sprintf("%.3fs of %.3fs: %s", unknown.Seconds(), took.Seconds(), why)))
}
