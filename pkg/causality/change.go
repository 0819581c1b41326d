package causality

import (
	"strconv"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/trace"

	"github.com/rollspan/rollspan/pkg/spans"
	"github.com/rollspan/rollspan/pkg/spans/attr"
)

// change is one change of a workload: a rollout, a scale, a Job's run, its
// deletion.
type change struct {
	kind   attr.Change
	opened stamp
	start  moment

	ended    bool
	outcome  attr.Outcome
	end      moment
	endStamp stamp

	// revision is the rollout's number, 0 until the controller gives one.
	// StatefulSets and DaemonSets have it from the ControllerRevision, which
	// StatefulSets name; numbered is the write by which it was there.
	revision     int64
	revisionName string
	numbered     stamp
	rollbackTo   int64 // the number that revision had before, if it had one
	partition    int32 // of a StatefulSet's rollout
	again        bool  // it had that partition before
	generation   int64 // of the write that opened it
	// resumed is when the controller resumed a Job's run, if it was and that is known.
	resumed time.Time
	failure failure // of a Job, or of a rollout that was given up
	jobRun
	renumbering
	cause string
	// manager wrote it, through a subresource if that is not empty.
	manager, subresource string
	imagesBefore,
	imagesAfter []string
	changed        []string // what of the template is another, by name
	wanted, before int32    // replicas
	fewer          int32    // how many pods it was asked to do without, so far
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

	// offers are the trace contexts that the workload carried when the change
	// began, previous is when the one before it was opened.
	offers   []offer
	previous stamp

	ledger changeLedger
}

// pause is a time in which a rollout could not go on. resumed is the write that
// ended it.
type pause struct {
	from, until moment
	resumed     stamp
}

// over reports whether the change has ended, as far as is known or was told.
func (c *change) over() bool { return c.ended || c.ledger.deleteTold }

// how is the outcome of a change that is over.
func (c *change) how() attr.Outcome {
	if c.ledger.deleteTold {
		return attr.OutcomeComplete
	}
	return c.outcome
}

// finish ends a change.
func (c *change) finish(how attr.Outcome, at moment, s stamp) {
	c.ended, c.outcome, c.end, c.endStamp = true, how, at, s
}

// aborted reports whether a rollout was given up by its controller, which brings back the
// pods from before.
func (c *change) aborted() bool { return c.kind == attr.ChangeRollout && c.failure.reason != "" }

// cutsPods reports whether a pod that still waited when the change ended has failed with
// it.
func (c *change) cutsPods() bool { return c.outcome == attr.OutcomeFailed && !c.aborted() }

// attributesAfter are those of what happened at a time to a pod that the change
// brought, if the change was over by then. It may be nil: not known.
func (c *change) attributesAfter(at time.Time) []attribute.KeyValue {
	if c == nil || !c.over() || at.Before(c.end.at()) {
		return nil
	}
	return []attribute.KeyValue{seconds(attr.SinceRolloutKey, at.Sub(c.end.at()))}
}

// openAt reports whether the change was open when the write s was made.
func (c *change) openAt(s stamp) bool {
	return !s.before(c.opened) && (!c.over() || !c.endStamp.before(s))
}

// identity is what the change is, hashed: the ID of its trace, unless it joined
// another's (see placeOf). workload is what is unique about the workload.
func (c *change) identity(workload string) trace.TraceID {
	id := []string{workload, string(c.kind)}
	number := func(n int64) { id = append(id, strconv.FormatInt(n, 10)) }
	switch c.kind {
	case attr.ChangeRollout:
		switch {
		case c.revision > 0 || c.generation == 0:
			number(c.revision)
		default:
			// Its ControllerRevision could not be read.
			id = append(id, "generation")
			number(c.generation)
		}
		if c.partition > 0 {
			id = append(id, "partition")
			number(int64(c.partition))
		}
		if c.again {
			id = append(id, "again")
			number(c.generation)
		}
	case attr.ChangeScale:
		number(c.generation)
	case attr.ChangeJob:
		switch {
		case !c.resumed.IsZero():
			number(c.resumed.Unix())
		case c.cause == attr.CauseResume:
			// It was over before the controller noticed.
			id = append(id, "generation")
			number(c.generation)
		}
	}
	return spans.NewTraceID(id...)
}
