package build

import (
	"strconv"
	"time"

	"go.opentelemetry.io/otel/trace"

	"github.com/rollspan/rollspan/pkg/causality/internal/evidence"
	"github.com/rollspan/rollspan/pkg/causality/internal/plans"
	"github.com/rollspan/rollspan/pkg/causality/internal/podlife"
	"github.com/rollspan/rollspan/pkg/causality/internal/workloads"
	"github.com/rollspan/rollspan/pkg/spans/attr"
	"github.com/rollspan/rollspan/pkg/spans/kind"
)

func stepIdentity(set *workloads.PodSet, step *workloads.Step) []string {
	return []string{kind.ScaleUp.ID(), string(set.UID), strconv.FormatInt(step.Generation, 10), strconv.Itoa(int(step.From)), strconv.Itoa(int(step.To))}
}

func (b *changeBuilder) addSteps(now time.Time) {
	for _, at := range b.plan.StepsOf(b.change) {
		what := kind.ScaleDown
		if at.Step.Up() {
			what = kind.ScaleUp
		}
		start := evidence.Latest(b.plan.Decided(at.Set, at.Step), b.start)
		at.Step.Ledger.EmitFrom(start)
		attrs := at.Set.Attributes()
		if !b.change.CountUnknown {
			attrs = append(attrs, attr.ScaleFromKey.Int(int(at.Step.From)), attr.ScaleToKey.Int(int(at.Step.To)))
		}
		end := b.stepEnd(at, start, now)
		b.spanOf[at.Step] = b.add(SpanSpec{
			parent: b.root.SpanID, id: stepIdentity(at.Set, at.Step),
			Kind: what, Subject: at.Set.Subject(),
			Start: start, End: end, EndProof: b.stepProof(at, start, end),
			Attrs: attrs,
		})
	}
}

// stepProof is how well the end of a step is known, of which pods are nowhere in a snapshot: it
// was between the last that is known of it and the end of the change.
func (b *changeBuilder) stepProof(at plans.Attribution, start, end time.Time) evidence.Proof {
	switch {
	case b.end.Sub(end) < time.Second && b.plan.Workload.Inferred && b.change.Outcome() == attr.OutcomeSuperseded:
		return evidence.Proof{Precision: end.Sub(start), Source: attr.SourceInferred}
	case at.Step.Up() && b.stepUnknown(at):
		return evidence.Proof{Precision: b.end.Sub(end), Source: attr.SourceInferred}
	}
	return evidence.Proof{}
}

// stepEnd is when what the step asked for was there: its new pods available,
// or its old pods gone.
func (b *changeBuilder) stepEnd(at plans.Attribution, start, now time.Time) time.Time {
	end := start
	if !at.Step.Up() {
		for _, pod := range b.plan.StopsOf[at.Step] {
			end = evidence.Latest(end, pod.Gone.At(), b.plan.StopAsked(pod))
		}
		return end
	}
	made := int32(0)
	for _, pod := range b.plan.StartsOf[at.Step] {
		if b.madeUpFor(pod) {
			continue
		}
		own := int32(1)
		if b.plan.Starts[pod].Lost != nil {
			own = 0 // the one before counts
		}
		tr, ok := pod.FirstReady()
		switch {
		case ok && !b.afterEnd(tr.At.At()):
			made += own
			end = evidence.Latest(end, b.available(pod, tr.At.At()))
		case pod.Lost() && !b.afterEnd(pod.LostAt().At()):
			made += own
			end = evidence.Latest(end, pod.LostAt().At())
		default:
			end = evidence.Latest(end, b.openEnd(now))
		}
	}
	if missing := at.Step.To - at.Step.From - made; missing > 0 && !b.stepUnknown(at) {
		// It waited for the pods to the end, or until they were given up.
		until := b.openEnd(now)
		if v := b.plan.Shortfalls[at.Step]; v.Pods >= missing {
			until = evidence.Earliest(until, b.plan.Decided(at.Set, v.By))
		}
		end = evidence.Latest(end, until)
	}
	return end
}

// madeUpFor reports whether a pod came for one of its step that had been Ready and was lost. That
// was what the step asked for. A pod that is lost before it was Ready is not: the step goes on with
// the next one. What is found is kept, as those before it are asked about as well.
func (b *changeBuilder) madeUpFor(pod *podlife.Pod) bool {
	var asked []*podlife.Pod
	found := false
	for range len(b.plan.Pods) {
		kept, known := b.madeUp[pod]
		if found = kept; known {
			break
		}
		asked = append(asked, pod)
		if pod = b.plan.Starts[pod].Lost; pod == nil {
			break
		}
		b.work.Spend(1)
		if _, found = pod.FirstReady(); found {
			break
		}
	}
	if b.madeUp == nil {
		b.madeUp = map[*podlife.Pod]bool{}
	}
	for _, pod := range asked {
		b.madeUp[pod] = found
	}
	return found
}

// afterEnd reports whether t is after a failure, which cuts what still waits.
func (b *changeBuilder) afterEnd(t time.Time) bool {
	return b.change.CutsPods() && t.After(b.end)
}

// openEnd is the end of what is still going on: the failure that cuts it, or
// the end of the stream.
func (b *changeBuilder) openEnd(now time.Time) time.Time {
	if b.change.Over() {
		return b.end
	}
	return now
}

// available is when a pod that is Ready counts as available; not before the end of
// the change if it never stayed Ready for long enough.
func (b *changeBuilder) available(pod *podlife.Pod, ready time.Time) time.Time {
	if b.plan.Workload.MinReady == 0 {
		return ready
	}
	since, ok := pod.StayedReady(b.plan.Workload.MinReady, b.end)
	if !ok {
		return evidence.Latest(ready, b.end)
	}
	return b.availableFrom(pod, ready, since)
}

// availableFrom is when a pod that became Ready at a time, and stays so, counts as
// available. since is the whole second of the condition.
func (b *changeBuilder) availableFrom(pod *podlife.Pod, ready, since time.Time) time.Time {
	if b.plan.Workload.MinReady == 0 {
		return ready
	}
	// The controllers count from the condition's whole second, and say so a
	// little later.
	at := evidence.Latest(ready, since.Add(b.plan.Workload.MinReady))
	for _, a := range b.plan.Starts[pod].Set.Available {
		if !a.At.Before(at) && a.At.Before(at.Add(evidence.ArrivalSlack)) {
			return a.At
		}
	}
	return at
}

// addPods adds the starts and stops that belong to this change.
func (b *changeBuilder) addPods(now time.Time) {
	for _, pod := range b.plan.Pods {
		at := b.plan.Starts[pod]
		if at.Change != b.change || pod.Ledger.StartSent {
			continue
		}
		if b.afterEnd(pod.CreatedAt()) || b.change.Retried(pod.FirstSeen) {
			continue // it belongs to the recovery, if there is one
		}
		if StartUnknown(b.plan, pod) {
			pod.Ledger.PassOverStart()
			continue
		}
		parent, cause := b.parentOf(at)
		cut, failed := time.Time{}, false
		switch {
		case b.change.CutsPods():
			cut, failed = b.end, true
		case !b.change.Over():
			cut = now
		default:
			if _, done := pod.StartResolved(); !done {
				continue // it goes out late, when it is done
			}
		}
		b.startSpans[pod] = b.podStart(parent, pod, at.Set.Attributes(), cause, cut, failed)
		if step := b.spanOf[at.Step]; step != nil && !b.madeUpFor(pod) {
			// Events date the pod's start better than the status by which the step was dated.
			step.End = evidence.Latest(step.End, b.startSpans[pod].End)
		}
		if failed && b.change.Kind == attr.ChangeJob {
			b.blame(pod)
		}
	}
	b.addStops(now)
}

// addStops adds the stops that belong to this change.
func (b *changeBuilder) addStops(now time.Time) {
	for _, pod := range b.plan.Pods {
		at := b.plan.Stops[pod]
		if at.Change != b.change || pod.Ledger.StopSent || !pod.Lost() || b.afterEnd(b.plan.StopAsked(pod)) || b.change.Retried(pod.LostBy()) {
			continue
		}
		if pod.EndedUndeleted() {
			b.addEnded(pod, at, now)
			continue
		}
		if !pod.Leaving() || !pod.Gone.Known() && b.change.Over() {
			continue // late, too
		}
		parent, cause := b.parentOf(at)
		b.stopSpans[pod] = b.podStop(parent, pod, at.Set.Attributes(), b.plan.StopAsked(pod), cause, now)
		linkStop(b.plan, b.stopSpans[pod], at)
	}
}

// addEnded adds the stop of a pod that ended before anybody deleted it. How one went that
// was never Ready is told with its start.
func (b *changeBuilder) addEnded(pod *podlife.Pod, at plans.Attribution, now time.Time) {
	if _, ready := pod.FirstReady(); !ready {
		pod.Ledger.PassOverStop()
		return
	}
	parent, cause := b.parentOf(at)
	if s := b.endedStop(b.plan, parent, pod, at.Set.Attributes(), cause, b.openEnd(now)); s != nil {
		b.stopSpans[pod] = s
		linkStop(b.plan, s, at)
	}
}

// parentOf is the span that caused a pod's start or stop, and when it did.
func (b *changeBuilder) parentOf(at plans.Attribution) (trace.SpanID, time.Time) {
	if sp := b.spanOf[at.Step]; sp != nil {
		return sp.SpanID, sp.Start
	}
	return b.root.SpanID, b.start
}

// addPauses shows the time a rollout could not go on because its workload was
// paused.
func (b *changeBuilder) addPauses() {
	for i, p := range b.change.Pauses {
		from, end := b.pausedFrom(p.From.At()), p.Until
		for _, s := range b.plan.StepsOf(b.change) {
			// The first step after it shows that it was over. A Deployment that is
			// scaled takes steps while it is paused, too.
			if at := b.plan.Decided(s.Set, s.Step); p.Until.Known() && !s.Step.Write.Before(p.Resumed) && at.After(from) {
				end = end.Before(at)
			}
		}
		until := end.At()
		if until.IsZero() || until.After(b.end) {
			until = b.end
		}
		if !until.After(from) {
			continue
		}
		b.add(SpanSpec{
			parent: b.root.SpanID, id: []string{kind.Paused.ID(), strconv.Itoa(i)},
			Kind: kind.Paused, Service: b.plan.Workload.Service(), Subject: b.plan.Workload.Subject(),
			Start: from, End: until, StartProof: b.plan.PauseProof(b.change, i, from),
		})
	}
}

// pausedFrom is when a pause began. One that nobody states began with the last of the pods
// before it; those are dated within their second.
func (b *changeBuilder) pausedFrom(stated time.Time) time.Time {
	from := evidence.Latest(stated, b.start)
	if b.plan.Workload.Composition == nil {
		return from
	}
	last := from
	for pod, s := range b.startSpans {
		if pod.CreatedAt().Before(from) && s.End.Sub(from) < time.Second {
			last = evidence.Latest(last, s.End)
		}
	}
	return last
}

// addMinReadyWait shows the time that minReadySeconds cost at the end.
func (b *changeBuilder) addMinReadyWait() {
	if b.change.Kind != attr.ChangeRollout || b.change.Outcome() != attr.OutcomeComplete || b.plan.Workload.MinReady == 0 || b.completeWhenReady() {
		return
	}
	var ready, available time.Time
	for pod, s := range b.plan.Starts {
		if tr, ok := pod.FirstReady(); ok && s.Change == b.change {
			at := evidence.Latest(tr.At.At(), pod.ReadySince(b.end))
			if !at.After(ready) || at.After(b.end) {
				continue
			}
			if until := b.available(pod, at); until.After(at) {
				ready, available = at, evidence.Earliest(until, b.end)
			}
		}
	}
	if ready.IsZero() || !ready.Before(b.end) {
		return
	}
	b.minReadyWait = b.add(SpanSpec{
		parent: b.root.SpanID, id: []string{kind.MinReadyWait.ID()},
		Kind: kind.MinReadyWait, Service: b.plan.Workload.Service(), Subject: b.plan.Workload.Subject(),
		Start: ready, End: available,
	})
}
