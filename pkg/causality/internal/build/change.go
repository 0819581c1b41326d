package build

import (
	"slices"
	"time"

	"go.opentelemetry.io/otel/attribute"
	semconv "go.opentelemetry.io/otel/semconv/v1.43.0"
	"go.opentelemetry.io/otel/trace"

	"github.com/rollspan/rollspan/pkg/causality/internal/evidence"
	"github.com/rollspan/rollspan/pkg/causality/internal/kube"
	"github.com/rollspan/rollspan/pkg/causality/internal/plans"
	"github.com/rollspan/rollspan/pkg/causality/internal/podlife"
	"github.com/rollspan/rollspan/pkg/causality/internal/workloads"
	"github.com/rollspan/rollspan/pkg/spans"
	"github.com/rollspan/rollspan/pkg/spans/attr"
	"github.com/rollspan/rollspan/pkg/spans/kind"
)

// changeBuilder builds the trace of a change of a workload from the records as
// they are.
type changeBuilder struct {
	builder
	plan   *plans.Plan
	change *workloads.Change
	start  time.Time
	end    time.Time
	root   *spans.Span
	spanOf map[*workloads.Step]*spans.Span
	// startSpans and stopSpans are the spans of pods in this trace.
	startSpans, stopSpans map[*podlife.Pod]*spans.Span
	minReadyWait          *spans.Span // nil if there is none
	attempts              map[*podlife.Pod][]attempt
	attemptBy             map[*spans.Span]*attempt // by the span of time in which a pod was not Ready
	attemptBefore         map[*spans.Span]*attempt // and the one before it
	ready                 []readyPod               // see becameReady
	went                  []*spans.Span            // see wentBefore
	ends                  []runEnd                 // see runEnds
	inTheWay              *unreadyTimes            // see oldPodInTheWay
	madeUp                map[*podlife.Pod]bool    // see madeUpFor
	blockerOf             map[trace.SpanID]*blocker
	longest               []int // see waitingAt
	waits                 int   // how many spans of waits there are: see addWait
	unseen                *unseen
	waitedFor             *spans.Waits // what the root says of it
}

// ChangeTrace returns the finished trace of a change. now is the end of what
// is still open, when the stream ends first.
func ChangeTrace(p *plans.Plan, c *workloads.Change, now time.Time) spans.Trace {
	b := &changeBuilder{
		builder: newBuilder(p, c),
		plan:    p,
		change:  c,
		spanOf:  map[*workloads.Step]*spans.Span{},

		startSpans: map[*podlife.Pod]*spans.Span{},
		stopSpans:  map[*podlife.Pod]*spans.Span{},
	}
	b.endsBySelf = c.Kind != attr.ChangeDelete && c.Kind != attr.ChangeRun
	b.tellsOf(p.Workload.Object)
	for _, set := range p.Sets {
		b.tellsOf(set.Object)
	}
	for _, d := range p.Doubts(c) {
		b.doubt(p.Workload.Object, d)
	}
	b.start = b.plan.StartOf(c)
	b.end = b.endOf(c, now)
	if c.Kind == attr.ChangeRun {
		return b.buildRun(now)
	}
	b.root = b.add(SpanSpec{
		Kind: kind.OfChange(c.Kind), Object: p.Workload.Kind, Service: p.Workload.Service(),
		Target: p.Workload.Target(), Subject: p.Workload.Subject(),
		Start: b.start, End: b.end, Attrs: b.rootAttributes(), StartProof: p.StartProof(c), EndProof: b.endProof(),
	})
	b.addSteps(now)
	b.addPods(now)
	b.addUnready(now)
	b.addDisrupted()
	b.addUnblocked()
	b.addPauses()
	b.addMinReadyWait()
	b.addLinks()
	b.addAutoscaler()
	b.attachEvents()
	b.attachPodEvents()
	if p.Workload.CronJob != nil {
		b.cronJobEvents(p.Cron)
	}
	if c.Outcome() == attr.OutcomeFailed {
		f := b.explainFailure()
		fail(b.root, f)
		b.root.Message = f.Message // a sentence that names the reason
	}
	b.addWaitedFor()
	b.addCriticalPath()
	c.Ledger.Emit(b.remember(b.root))
	t := b.done()
	t.Waits = b.waitedFor
	return t
}

func (b *changeBuilder) endOf(c *workloads.Change, now time.Time) time.Time {
	var end time.Time
	switch {
	case c.Kind == attr.ChangeDelete:
		for pod, stop := range b.plan.Stops {
			if stop.Change == c {
				end = evidence.Latest(end, pod.Gone.At(), b.plan.StopAsked(pod))
			}
		}
	case !c.Over():
		end = now
	case c.Outcome() == attr.OutcomeSuperseded:
		end = c.End.At()
		changes := b.plan.Workload.Changes
		if i := slices.Index(changes, c); i >= 0 && i+1 < len(changes) && c.End == changes[i+1].Start {
			end = b.plan.StartOf(changes[i+1])
		}
	case c.Outcome() == attr.OutcomeDeleted:
		end = b.plan.StartOf(b.plan.Workload.Current())
	default:
		end = c.End.At()
		if c.Outcome() != attr.OutcomeComplete {
			break
		}
		for pod, start := range b.plan.Starts {
			ready, ok := pod.FirstReady()
			if !ok || start.Change != c || c.EndedBy.Before(pod.FirstSeen) {
				continue
			}
			// It is complete because its pods are available. A Ready that came later
			// is of a pod that was not waited for.
			waitedFor := !ready.Seen.After(c.EndedBy.Arrival.Add(evidence.ArrivalSlack))
			at := ready.At.Earliest
			if b.plan.Workload.Composition != nil && pod.ReadyBy.Before(c.EndedBy) {
				at = ready.At.At() // both are dated by a stream of their own
			}
			if waitedFor && !at.After(end.Add(time.Second)) {
				end = evidence.Latest(end, at)
			}
		}
	}
	return evidence.Latest(end, b.plan.StartOf(c))
}

// endProof is how well the end is known. A change that is complete in the first state that
// was seen of its workload ended between that and the last that is known of its pods.
func (b *changeBuilder) endProof() evidence.Proof {
	c, w := b.change, b.plan.Workload
	if w.Inferred || c.MaybeOver || !c.Over() || w.Watched.IsZero() || !c.EndedBy.Arrival.Equal(w.Watched) {
		return evidence.Proof{}
	}
	last := b.start
	for _, pod := range b.plan.Pods {
		if ready, ok := pod.FirstReady(); ok && !ready.At.At().After(b.end) {
			last = evidence.Latest(last, ready.At.At())
		}
	}
	return evidence.Proof{Precision: b.end.Sub(last), Source: attr.SourceArrival}
}

func (b *changeBuilder) rootAttributes() []attribute.KeyValue {
	c := b.change
	how := c.Outcome()
	if !c.Over() {
		how = attr.OutcomeOpen
	}
	cause := c.Cause
	var attrs []attribute.KeyValue
	if c.Revision > 0 {
		attrs = append(attrs, attr.RevisionKey.Int64(c.Revision))
	}
	if c.Kind == attr.ChangeRollout {
		if to := b.plan.RollbackTo(c); to > 0 {
			cause = attr.CauseRollback
			attrs = append(attrs, attr.RollbackRevisionKey.Int64(to))
		}
	}
	attrs = append(attrs, attr.ChangeKey.String(string(c.Kind)), attr.OutcomeKey.String(string(how)), attr.CauseKey.String(cause))
	if c.Manager != "" {
		attrs = append(attrs, attr.ManagerNameKey.String(c.Manager))
	}
	if c.Subresource != "" {
		attrs = append(attrs, attr.ManagerSubresourceKey.String(c.Subresource))
	}
	if owners := b.plan.Owners; len(owners) > 0 {
		attrs = append(attrs, attr.OwnersKey.StringSlice(owners))
	}
	if c.Kind == attr.ChangeRollout {
		attrs = append(attrs, b.deployment(how)...)
	}
	if c.Kind == attr.ChangeDelete {
		return attrs
	}
	if len(c.ImagesBefore) > 0 {
		attrs = append(attrs, attr.ImagesBeforeKey.StringSlice(c.ImagesBefore))
	}
	if len(c.ImagesAfter) > 0 {
		attrs = append(attrs, attr.ImagesAfterKey.StringSlice(c.ImagesAfter))
	}
	attrs = append(attrs, kube.ChangedAttributes(c.Changed)...)
	if c.Kind == attr.ChangeJob {
		return append(attrs, c.JobAttributes()...)
	}
	if c.Kind == attr.ChangeScale {
		attrs = append(attrs, attr.ScaleFromKey.Int(int(c.Before)), attr.ScaleToKey.Int(int(c.Wanted)))
	}
	if c.Was.First != c.Is.First {
		attrs = append(attrs, attr.OrdinalsFromKey.Int(int(c.Was.First)), attr.OrdinalsToKey.Int(int(c.Is.First)))
	}
	if c.CountUnknown {
		return attrs
	}
	attrs = append(attrs, attr.PodsWantedKey.Int(int(c.Wanted)))
	if b.countUnknown() {
		return attrs
	}
	return append(attrs, attr.PodsReadyKey.Int(b.readyPods()))
}

// deployment says of a rollout what the semantic conventions say of deployments. A status
// they have only for what succeeded or failed.
func (b *changeBuilder) deployment(how attr.Outcome) []attribute.KeyValue {
	attrs := []attribute.KeyValue{
		semconv.DeploymentID(b.change.Key(b.plan.Workload.Unique())),
		semconv.DeploymentName(b.plan.Workload.Name),
	}
	switch how {
	case attr.OutcomeComplete:
		attrs = append(attrs, semconv.DeploymentStatusSucceeded)
	case attr.OutcomeFailed:
		attrs = append(attrs, semconv.DeploymentStatusFailed)
	}
	return attrs
}

// readyPods is how many pods the change wanted and had at its end. The status
// of a rollout under way does not tell new pods from old ones.
func (b *changeBuilder) readyPods() int {
	if b.change.Kind != attr.ChangeRollout || b.change.Outcome() == attr.OutcomeComplete {
		return int(b.change.Ready)
	}
	n := 0
	for _, pod := range b.plan.Pods {
		start := b.plan.Starts[pod]
		if start.Set == nil {
			continue
		}
		brought := start.Set.Revision == b.change.Revision
		if start.Set.Direct() {
			brought = start.Change == b.change
		}
		if brought && !pod.WasLostBy(b.end) && pod.ReadyAt(b.end) {
			n++
		}
	}
	return n
}

// addLinks ties the change to its neighbors.
func (b *changeBuilder) addLinks() {
	linkContexts(b.change, b.root)
	i := slices.Index(b.plan.Workload.Changes, b.change)
	if b.change.Outcome() == attr.OutcomeSuperseded && i+1 < len(b.plan.Workload.Changes) && !b.plan.Idle(b.plan.Workload.Changes[i+1]) {
		Link(b.root, b.plan.PlaceOf(b.plan.Workload.Changes[i+1]), attr.LinkSupersededBy)
	}
	if i > 0 && b.plan.Workload.Changes[i-1].Outcome() == attr.OutcomeSuperseded && !b.plan.Idle(b.plan.Workload.Changes[i-1]) {
		Link(b.root, b.plan.PlaceOf(b.plan.Workload.Changes[i-1]), attr.LinkSupersedes)
	}
	if c := b.plan.Workload.CronJob; c != nil && !c.At.IsZero() && b.change == b.plan.Workload.ScheduledRun() {
		Link(b.root, b.plan.PlaceOfSchedule(), attr.LinkCausedBy)
	}
	if b.change.Kind != attr.ChangeRollout {
		return
	}
	if to := b.plan.RollbackTo(b.change); to > 0 {
		Link(b.root, b.plan.PlaceOfRevision(to), attr.LinkRollsBack)
	}
}
