package causality

import (
	"strconv"
	"time"

	"go.opentelemetry.io/otel/trace"
	"k8s.io/apimachinery/pkg/types"

	"github.com/rollspan/rollspan/pkg/spans"
)

// changeKind is a kind of change, as the attribute rollspan.change has it.
type changeKind string

const (
	changeRollout     changeKind = "rollout"
	changeScale       changeKind = "scale"
	changeReplacement changeKind = "replacement"
	changeRestart     changeKind = "restart"
	changeDelete      changeKind = "delete"
	changeActivity    changeKind = "activity"
)

// outcome is how a change ended, as the attribute rollspan.outcome has it.
type outcome string

const (
	outcomeComplete   outcome = "complete"
	outcomeFailed     outcome = "failed"
	outcomeSuperseded outcome = "superseded"
	outcomeDeleted    outcome = "deleted"
	outcomeOpen       outcome = "open"
)

// change is one change of a Deployment: a rollout, a scale or its deletion.
type change struct {
	kind   changeKind
	opened stamp
	start  moment

	ended    bool
	outcome  outcome
	end      moment
	endStamp stamp

	revision   int64 // rollouts; 0 until the controller gives one
	generation int64 // of the write that opened it
	cause      string
	manager    string
	imagesBefore,
	imagesAfter []string
	wanted, before int32 // replicas
	ready          int32

	// templateHash tells the new pod template from others.
	templateHash templateHash
	// staleFailure is the failure of the revision before, which the status
	// may still show.
	staleFailure time.Time
	deadline     time.Duration

	// recovered is set when a failed rollout completed after all.
	recovered    bool
	recovery     moment
	recoverySeen time.Time
	// pauses are the times it was paused; the last may be open.
	pauses []pause

	sent         bool
	root         *sentSpan // once it was handed out
	recoverySent bool
}

type pause struct{ from, until moment }

// finish ends a change.
func (c *change) finish(how outcome, at moment, s stamp) {
	c.ended, c.outcome, c.end, c.endStamp = true, how, at, s
}

// openAt reports whether the change was open when the write s was made.
func (c *change) openAt(s stamp) bool {
	return !s.before(c.opened) && (!c.ended || !c.endStamp.before(s))
}

// traceID is the change's identity, hashed.
func (c *change) traceID(workload types.UID) trace.TraceID {
	switch c.kind {
	case changeRollout:
		return spans.NewTraceID(string(workload), string(c.kind), strconv.FormatInt(c.revision, 10))
	case changeScale:
		return spans.NewTraceID(string(workload), string(c.kind), strconv.FormatInt(c.generation, 10))
	default:
		return spans.NewTraceID(string(workload), string(c.kind))
	}
}

// rootID is the span ID of a trace's root.
func rootID(t trace.TraceID) trace.SpanID { return spans.NewSpanID(t, "root") }
