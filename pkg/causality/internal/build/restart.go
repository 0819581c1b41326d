package build

import (
	"slices"
	"strconv"
	"time"

	"go.opentelemetry.io/otel/attribute"
	semconv "go.opentelemetry.io/otel/semconv/v1.43.0"

	"github.com/rollspan/rollspan/pkg/causality/internal/critpath"
	"github.com/rollspan/rollspan/pkg/causality/internal/evidence"
	"github.com/rollspan/rollspan/pkg/causality/internal/ledger"
	"github.com/rollspan/rollspan/pkg/causality/internal/nodes"
	"github.com/rollspan/rollspan/pkg/causality/internal/plans"
	"github.com/rollspan/rollspan/pkg/causality/internal/podlife"
	"github.com/rollspan/rollspan/pkg/causality/internal/waits"
	"github.com/rollspan/rollspan/pkg/causality/internal/workloads"
	"github.com/rollspan/rollspan/pkg/spans"
	"github.com/rollspan/rollspan/pkg/spans/attr"
	"github.com/rollspan/rollspan/pkg/spans/kind"
)

// Restart is a container of a pod that had been Ready, ending and being
// started again.
type Restart struct {
	Pod       *podlife.Pod
	container *podlife.Container
	Ended     *podlife.Run
	Next      *podlife.Run        // nil if it was given up
	Killed    *podlife.Occurrence // what says that the kubelet killed it
	work      *evidence.Work
	From      time.Time
	stopped   time.Time // when the run had ended
	Until     time.Time
	How       attr.Outcome
	Seen      time.Time // when all of that was known
}

// RestartOf works out how the end of a container's run number i went on;
// nil if the run ended because its pod was stopped. done is false while it is
// not known yet.
func RestartOf(p *plans.Plan, pod *podlife.Pod, container *podlife.Container, i int) (restart *Restart, done bool) {
	ended := container.Runs[i]
	if pod.StoppedWith(container, ended) {
		return nil, false
	}
	restart = &Restart{Pod: pod, container: container, Ended: ended, work: p.Work, From: ended.Finished.At(), How: attr.OutcomeComplete, Seen: ended.Seen}
	milestones := pod.Milestones(container)
	began := podlife.StartOfRun(milestones, ended)
	restart.ends(began, podlife.NextExact(milestones, ended, began))
	restart.Next = container.NextRun(i)
	if restart.Next == nil || !restart.Next.Started.Known() {
		if !pod.Lost() {
			return restart, false
		}
		restart.How, restart.Until, restart.Seen = attr.OutcomeFailed, pod.GivenUpAt(), evidence.Latest(restart.Seen, pod.LostBy().Arrival)
		return restart, true
	}
	started := podlife.StartOfRun(milestones, restart.Next)
	ready, seen, ok := pod.ReadyWith(container, restart.Next, started)
	switch {
	case container.Init && !container.Sidecar && restart.Next.Over():
		restart.Until, restart.Seen = restart.Next.Finished.At(), restart.Next.Seen
		if !container.IsDone(restart.Next) {
			restart.How = attr.OutcomeFailed
		}
	case ok && (!restart.Next.Over() || !ready.After(restart.Next.Finished.At())):
		restart.Until, restart.Seen = ready, evidence.Latest(restart.Seen, seen)
	case restart.Next.Over():
		// It crashed again before it was ready.
		restart.How, restart.Until, restart.Seen = attr.OutcomeFailed, restart.Next.Finished.At(), restart.Next.Seen
	case pod.Lost():
		restart.How, restart.Until, restart.Seen = attr.OutcomeFailed, pod.GivenUpAt(), pod.LostBy().Arrival
	default:
		return restart, false
	}
	return restart, true
}

// ends dates the end of the run, which was started at a time and had ended by that of the
// next thing that an Event dates, and when the restart began: the kubelet may have killed it.
func (restart *Restart) ends(started, next time.Time) {
	pod, ended := restart.Pod, restart.Ended
	end := ended.Finished.Before(next)
	restart.From = evidence.Latest(end.At(), started)
	by := restart.From
	if end.SecondOnly() { // it may have ended at the end of that, and what killed it was said before
		by = evidence.Latest(by, evidence.Earliest(end.LastOfSecond(), next))
	}
	var killed time.Time
	if restart.Killed, killed = killedBy(pod, restart.container, ended, by); restart.Killed != nil {
		restart.From, end = killed, end.Before(by)
	} else {
		// Who is restarted for it is killed after it.
		at := pod.RestartedAllFrom(restart.container, ended.Finished.Earliest, restart.From)
		restart.From = evidence.Latest(evidence.Earliest(restart.From, at), started)
		restart.stopped = restart.From
		return
	}
	if ended.Reason == podlife.RestartingAll {
		// None is started before all are gone.
		restart.work.Spend(len(pod.Containers) * (1 + len(pod.Events)))
		end = end.Before(pod.WorkedOnFrom(restart.From))
	}
	restart.stopped = evidence.Latest(restart.container.EndOfKilled(end, ended, restart.From), restart.From)
}

// killedBy finds what says that the kubelet began to stop a run, for a failed probe
// for example; the restart begins there.
func killedBy(pod *podlife.Pod, container *podlife.Container, ended *podlife.Run, from time.Time) (*podlife.Occurrence, time.Time) {
	for o := range pod.OccurrencesOf(podlife.ReasonKilling, container) {
		if !o.At.After(from) && o.At.After(ended.Started.At()) {
			return &o, o.At
		}
	}
	if o, ok := pod.KilledUnreported(container, ended); ok && !o.At.After(from) {
		return &o, o.At
	}
	return nil, from
}

// Cause says why the run ended: the kernel, what the kubelet killed it for, or, as
// far as anyone said, the program itself.
func (restart *Restart) Cause() string {
	switch {
	case restart.Ended.Reason == podlife.OOMKilled:
		return attr.CauseOOM
	case restart.Ended.Reason == podlife.RestartingAll:
		return attr.CauseRule
	case restart.Killed != nil:
		return podlife.StopReasonFor(restart.Killed.Message).Cause
	case restart.Ended.Vanished, podlife.LostByRuntime(restart.Ended.ExitCode, restart.Ended.Reason):
		return attr.CauseVanished
	default:
		return attr.CauseExit
	}
}

// Container is the one that is restarted.
func (restart *Restart) Container() *podlife.Container { return restart.container }

// Began is when the restart began: the run ended, or the kubelet began to kill it.
func (restart *Restart) Began() evidence.Moment {
	if restart.Killed != nil {
		return evidence.Exactly(restart.From)
	}
	return restart.Ended.Finished
}

// number is the restart count of the run that is to come.
func (restart *Restart) number() int { return int(restart.Ended.Restart) + 1 }

func (restart *Restart) subject() string {
	return restart.Pod.Subject() + " container/" + restart.container.Name
}

// newRestart collects the spans of a restart.
func newRestart(p *plans.Plan, restart *Restart) *builder {
	pod, container := restart.Pod, restart.container
	b := &builder{
		place: ledger.OwnPlace(pod.Unique(), string(attr.ChangeRestart), container.Name, strconv.Itoa(restart.number())),
		base:  slices.Concat(p.Workload.Attributes(), setOf(p, pod).Attributes(), pod.Attributes(), container.Attributes()),
		work:  p.Work,

		workload: p.Workload,
		app:      p.Workload.AppIn(pod, container),
	}
	b.tellsOf(pod, evidence.DoubtOfStart)
	return b
}

// RestartInProgress builds a span that says what an open restart waited for at the end of an
// interval.
func RestartInProgress(p *plans.Plan, restart *Restart, from, until time.Time) spans.Trace {
	b := newRestart(p, restart)
	b.late = true
	return b.InProgressTrace(SpanSpec{
		Service: kind.ContainerRestart.Service(), Subject: restart.subject(), Start: from, End: until,
		Attrs: []attribute.KeyValue{attr.InProgressKey.String(string(attr.ChangeRestart))},
	}, waits.ForRestart(restart.Pod, restart.container, restart.Ended, until))
}

// RestartTrace builds the trace of a restart. disrupted is what happened to the node with
// which the run ended, if something did.
func RestartTrace(p *plans.Plan, restart *Restart, disrupted *nodes.Disruption) spans.Trace {
	pod, container := restart.Pod, restart.container
	b := newRestart(p, restart)
	subject := restart.subject()
	attrs := []attribute.KeyValue{
		attr.ChangeKey.String(string(attr.ChangeRestart)),
		attr.OutcomeKey.String(string(restart.How)),
		attr.CauseKey.String(restart.causeOn(disrupted)),
		semconv.K8SContainerRestartCount(restart.number()),
	}
	attrs = append(attrs, restart.Ended.Ending()...)
	leftOut := container.Ledger.LeftOut > 0
	if leftOut {
		attrs = append(attrs, attr.RestartsLeftOutKey.Int(container.Ledger.LeftOut))
		container.Ledger.EmitLeftOut()
	}
	rollout := broughtBy(p, pod)
	attrs = append(attrs, rollout.AttributesAfter(restart.From)...)
	root := b.add(SpanSpec{
		Kind: kind.ContainerRestart, Target: p.Workload.Target(), Subject: subject,
		Start: restart.From, End: restart.Until, Attrs: attrs,
	})
	if restart.Ended.ExitCode != 0 && !pod.Ordered(container, restart.Ended) {
		f := pod.WhyEnded(container, restart.Ended)
		fail(root, f)
		root.Message = podlife.Describe(f)
	}
	if rollout != nil {
		Link(root, p.PlaceOf(rollout), attr.LinkRollout)
	}
	if disrupted != nil {
		Link(root, p.Around.PlaceOfDisruption(disrupted), attr.LinkCausedBy)
	}
	phases := restart.phases(b, root)
	restart.attachEvents(p, phases, leftOut)
	pod.Ledger.EmitRestarted(container.Name, b.remember(root))
	if reason := phases.waitsFor(); reason != "" && restart.How == attr.OutcomeOpen {
		root.Attributes = append(root.Attributes, attr.WaitingReasonKey.String(reason))
	}
	if restart.How != attr.OutcomeOpen {
		critpath.Through(b.spans, root, b.work)
	}
	return b.done()
}

// inStart reports whether an Event belongs to the pod's start.
func inStart(pod *podlife.Pod, ev *podlife.Event) bool {
	tr, ok := pod.FirstReady()
	return !ok || !ev.First().After(tr.At.At())
}

// setOf is the set that a pod belongs to.
func setOf(p *plans.Plan, pod *podlife.Pod) *workloads.PodSet {
	return p.Sets[slices.IndexFunc(p.Sets, func(set *workloads.PodSet) bool { return set.ObjectID == pod.Owner })]
}

// broughtBy is the change that created the pod, nil if that was not seen.
func broughtBy(p *plans.Plan, pod *podlife.Pod) *workloads.Change {
	at := p.Starts[pod]
	if at.Change != nil {
		return at.Change
	}
	for _, c := range slices.Backward(p.Workload.Changes) {
		if (c.Kind == attr.ChangeRollout || c.Kind == attr.ChangeRun) && !pod.FirstSeen.Before(c.Opened) {
			return c
		}
	}
	return nil
}

// causeOn is cause with what is known of the node.
func (restart *Restart) causeOn(d *nodes.Disruption) string {
	switch {
	case d == nil:
		return restart.Cause()
	case d.Kind == nodes.Rebooted:
		return attr.CauseReboot
	default:
		return attr.CauseKubelet
	}
}
