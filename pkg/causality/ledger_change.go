package causality

import (
	"time"

	"go.opentelemetry.io/otel/trace"

	"github.com/rollspan/rollspan/pkg/spans/attr"
)

// changeLedger is what was handed out of a change.
type changeLedger struct {
	// sent says that the trace of the change was handed out, with the span root.
	sent bool
	root *sentSpan
	// deleteTold says that a deletion, which has no end of its own, was handed out as
	// complete.
	deleteTold bool
	// recoverySent says that the recovery of a failed rollout was handed out.
	recoverySent bool
	// inProgress is the time up to which spans "in progress" were handed out.
	// From the first one on the trace's ID may not change.
	inProgress time.Time
	// joined is the span that the change is a child of, if any, once placed says that
	// this was decided.
	placed bool
	joined trace.SpanContext
	// phases are how long each phase of the change's critical path took.
	phases map[attr.Phase]time.Duration
	// marked are the spans on that path which were not over when the change was handed
	// out, and come later.
	marked map[trace.SpanID]bool
}

// told notes that the change was handed out.
func (l *changeLedger) told(root *sentSpan) { l.sent, l.root = true, root }

// toldDeletion notes that a deletion is handed out as complete.
func (l *changeLedger) toldDeletion() { l.deleteTold = true }

// toldRecovery notes that the recovery of a failed rollout is handed out.
func (l *changeLedger) toldRecovery() { l.recoverySent = true }

// toldUpTo notes that the change was told of while it went on.
func (l *changeLedger) toldUpTo(until time.Time) { l.inProgress = until }

// join notes the span that the change is a child of, which may be none. From now on what
// links to the change leads there.
func (l *changeLedger) join(parent trace.SpanContext) { l.placed, l.joined = true, parent }

// toldPath notes the phases of the change's critical path.
func (l *changeLedger) toldPath(phases map[attr.Phase]time.Duration) { l.phases = phases }

// mark notes a span on the critical path that comes later.
func (l *changeLedger) mark(id trace.SpanID) {
	if l.marked == nil {
		l.marked = map[trace.SpanID]bool{}
	}
	l.marked[id] = true
}

// maxJoined bounds what is kept of the rollouts that joined a trace: more than
// the revisions that a workload keeps, unless it was told to keep many.
const maxJoined = 32

// workloadLedger is what was handed out of a workload, apart from its changes.
type workloadLedger struct {
	// given is the trace ID of the current change, once that was looked at.
	given trace.TraceID
	// joinedBy are the spans that rollouts which are not kept were children of,
	// by revision.
	joinedBy map[int64]trace.SpanContext
}

// joined notes the span that a rollout was a child of which is about to be forgotten.
func (l *workloadLedger) joined(revision int64, parent trace.SpanContext) {
	if l.joinedBy == nil {
		l.joinedBy = map[int64]trace.SpanContext{}
	}
	l.joinedBy[revision] = parent
	keepNewest(l.joinedBy, maxJoined)
}

// scheduleLedger is what was handed out of a time of a CronJob's schedule.
type scheduleLedger struct {
	// sent says that the time needs no more telling.
	sent bool
	// place is where its trace is, once that was decided.
	place *place
}

// told notes that the time was handed out.
func (l *scheduleLedger) told() { l.sent = true }

// passOver notes that the time is old news.
func (l *scheduleLedger) passOver() { l.sent = true }

// decide notes where the trace is. From now on what links to it leads there.
func (l *scheduleLedger) decide(at place) { l.place = &at }
