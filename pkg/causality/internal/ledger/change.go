package ledger

import (
	"math"
	"time"

	"go.opentelemetry.io/otel/trace"

	"github.com/rollspan/rollspan/pkg/spans/attr"
)

// Change is what was handed out of a change of a workload: the trace of a rollout, say, and
// half an hour later the stop of a pod that had hung.
type Change struct {
	// Sent says that the trace of the change was handed out; Root is its first span.
	Sent bool
	Root *SentSpan
	// DeletionSent says that a deletion, which has no end of its own, was handed out as
	// complete.
	DeletionSent bool
	// RecoverySent says that the recovery of a failed rollout was handed out.
	RecoverySent bool
	// InProgress is the time up to which spans "in progress" were handed out.
	// From the first one on the trace's ID may not change.
	InProgress time.Time
	// Joined is the span that the change is a child of, if any: that of the pipeline which
	// deployed it. Placed says that this was decided, after which it stays.
	Placed bool
	Joined trace.SpanContext
	// Phases are how long each phase of the change's critical path took.
	Phases map[attr.Phase]time.Duration
	// Critical are the spans on that path which were not over when the change was handed
	// out, and come later.
	Critical map[trace.SpanID]bool
}

// Emit notes that the change was handed out.
func (l *Change) Emit(root *SentSpan) { l.Sent, l.Root = true, root }

// PassOver notes that there is nothing to hand out: nothing was changed.
func (l *Change) PassOver() { l.Sent = true }

// EmitDeletion notes that a deletion is handed out as complete.
func (l *Change) EmitDeletion() { l.DeletionSent = true }

// EmitRecovery notes that the recovery of a failed rollout is handed out.
func (l *Change) EmitRecovery() { l.RecoverySent = true }

// EmitUpTo notes that spans "in progress" of the change are handed out, up to a time.
func (l *Change) EmitUpTo(until time.Time) { l.InProgress = until }

// Join notes the span that the change is a child of, which may be none. From now on what
// links to the change leads there.
func (l *Change) Join(parent trace.SpanContext) { l.Placed, l.Joined = true, parent }

// EmitPath notes the phases of the change's critical path.
func (l *Change) EmitPath(phases map[attr.Phase]time.Duration) { l.Phases = phases }

// MarkCritical notes a span on the critical path that comes later.
func (l *Change) MarkCritical(id trace.SpanID) {
	if l.Critical == nil {
		l.Critical = map[trace.SpanID]bool{}
	}
	l.Critical[id] = true
}

// MaxJoined bounds what is kept of the rollouts that joined a trace: more than
// the revisions that a workload keeps, unless it was told to keep many.
const MaxJoined = 32

// Workload is what was handed out of a workload, apart from its changes.
type Workload struct {
	// given is the trace ID of the current change, once that was reviewed. See Issued.
	given trace.TraceID
	// JoinedBy are the spans that rollouts which are forgotten were children of, by
	// revision. A rollback to revision 3 links to where its rollout was.
	JoinedBy map[int64]trace.SpanContext
}

// RememberJoined notes the span that a rollout was a child of which is about to be forgotten.
func (l *Workload) RememberJoined(revision int64, parent trace.SpanContext) {
	if l.JoinedBy == nil {
		l.JoinedBy = map[int64]trace.SpanContext{}
	}
	l.JoinedBy[revision] = parent
	KeepNewest(l.JoinedBy, MaxJoined)
}

// Schedule is what was handed out of one time of a CronJob's schedule: 03:00 today.
type Schedule struct {
	// Sent says that the trace of that time was handed out, or is not to be. Root is its
	// span, nil if it is not to be.
	Sent bool
	Root *SentSpan
	// Place is where its trace is, once that was decided.
	Place *Place
}

// Emit notes that the time was handed out.
func (l *Schedule) Emit(root *SentSpan) { l.Sent, l.Root = true, root }

// PassOver notes that the time is old news.
func (l *Schedule) PassOver() { l.Sent = true }

// Decide notes where the trace is. From now on what links to it leads there.
func (l *Schedule) Decide(at Place) { l.Place = &at }

// KeepNewest leaves what belongs to the highest revisions, so many of them.
func KeepNewest[V any](byRevision map[int64]V, most int) {
	for len(byRevision) > most {
		oldest := int64(math.MaxInt64)
		for revision := range byRevision {
			oldest = min(oldest, revision)
		}
		delete(byRevision, oldest)
	}
}
