package workloads

import (
	"strconv"
	"strings"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/trace"

	"github.com/rollspan/rollspan/pkg/causality/internal/evidence"
	"github.com/rollspan/rollspan/pkg/causality/internal/kube"
	"github.com/rollspan/rollspan/pkg/causality/internal/ledger"
	"github.com/rollspan/rollspan/pkg/causality/internal/podlife"
	"github.com/rollspan/rollspan/pkg/spans"
	"github.com/rollspan/rollspan/pkg/spans/attr"
)

// PlaceOfReplacement is where the trace of a lost pod's replacement is, or will be.
func PlaceOfReplacement(lost *podlife.Pod) ledger.Place {
	return ledger.OwnPlace(lost.Unique(), string(attr.ChangeReplacement))
}

// Change is one change of a workload: a rollout, a scale, a Job's run, its deletion. It is
// opened by a write of the workload, as by kubectl at 10:02:03, and ends when the workload's
// status shows that its controller is done, or another change takes its place. Each is the
// root of a trace.
type Change struct {
	Kind   attr.Change
	Opened evidence.Write  // the write that opened it
	Start  evidence.Moment // when that was
	// Since is since when it may have begun, if nothing but the first state that was seen of the
	// workload tells of that; Listed says that this was in the list that the watch began with, and
	// MaybeOver that it may have been over by then: pods are missing, which may have been lost.
	Since             time.Time
	Listed, MaybeOver bool
	// held says that no pod had the template when the workload was first seen, which was paused.
	held bool

	Ended   bool
	outcome attr.Outcome
	End     evidence.Moment
	EndedBy evidence.Write // the write that showed its end

	// Revision is the rollout's number, 0 until the controller gives one.
	// StatefulSets and DaemonSets have it from the ControllerRevision, which
	// StatefulSets name; Numbered is the write by which it was there.
	Revision      int64
	RevisionName  string
	Numbered      evidence.Write
	RollbackTo    int64 // the number that revision had before, if it had one
	Partition     int32 // of a StatefulSet's rollout: pods with a lower number stay as they are
	samePartition bool  // an earlier rollout of the revision had that partition, too
	sameNumber    bool  // an earlier rollout had that number, or a higher one: the controller counts anew
	generation    int64 // metadata.generation as of the write that opened it
	// Resumed is when the controller resumed a Job's run, if it was and that is known.
	Resumed time.Time
	Failure evidence.Failure // of a Job, or of a rollout that was given up
	jobRun
	renumbering
	Cause string
	// Manager is who wrote it, by the managedFields ("kubectl"), through Subresource if that
	// is not empty ("scale").
	Manager, Subresource string
	ImagesBefore,
	ImagesAfter []string
	Changed        []string // what of the template is another, by name
	Wanted, Before int32    // how many pods there are to be, and were to be before
	Fewer          int32    // how many pods it was asked to do without, so far
	Ready          int32    // how many of them the status counts
	// CountUnknown says that nothing tells how many pods it wanted: see stream.Observation.
	CountUnknown bool

	runs *kube.Service // of a rollout: what its template says of the service; nil if nothing

	// templateHash tells the pod template that is rolled out from others.
	templateHash kube.TemplateHash
	// staleFailure is when the revision before failed, which the status may still show.
	staleFailure time.Time
	Deadline     time.Duration

	// Recovered is set when a failed rollout completed after all.
	Recovered    bool
	Recovery     evidence.Moment
	RecoverySeen time.Time
	// RetriedBy is the write that shows a rollout tried again which its controller had
	// given up; zero if it was not.
	RetriedBy evidence.Write
	// Pauses are the times it was paused; the last may be open.
	Pauses []pause

	// Offers are the trace contexts that the workload carried when the change began, and
	// previous is the write that opened the change before it.
	Offers   []Offer
	previous evidence.Write

	Ledger ledger.Change
}

// pause is a time in which a rollout could not go on. Resumed is the write that ended it.
type pause struct {
	From, Until evidence.Moment
	Resumed     evidence.Write
	Listed      bool // it may have begun before the list that shows its change
}

// Over reports whether the change has ended, as far as is known or was told.
func (c *Change) Over() bool { return c.Ended || c.Ledger.DeletionSent }

// Outcome is the outcome of a change that is over.
func (c *Change) Outcome() attr.Outcome {
	if c.Ledger.DeletionSent {
		return attr.OutcomeComplete
	}
	return c.outcome
}

// Finish ends a change.
func (c *Change) Finish(how attr.Outcome, at evidence.Moment, write evidence.Write) {
	c.Ended, c.outcome, c.End, c.EndedBy = true, how, at, write
}

// Aborted reports whether a rollout was given up by its controller, which brings back the
// pods from before.
func (c *Change) Aborted() bool { return c.Kind == attr.ChangeRollout && c.Failure.Reason != "" }

// Retried reports whether a write was made when a rollout that was given up had been tried
// again: what it led to is part of the recovery, if there is one.
func (c *Change) Retried(write evidence.Write) bool {
	return c.RetriedBy != (evidence.Write{}) && !write.Before(c.RetriedBy)
}

// BeingRetried reports whether a rollout that was given up has been tried again, and how that
// ends is still to be told.
func (c *Change) BeingRetried() bool {
	return c.RetriedBy != (evidence.Write{}) && !c.Ledger.RecoverySent
}

// CutsPods reports whether a pod that still waited when the change ended has failed with
// it.
func (c *Change) CutsPods() bool { return c.outcome == attr.OutcomeFailed && !c.Aborted() }

// AttributesAfter are those of what happened at a time to a pod that the change
// brought, if the change was over by then. It may be nil: not known.
func (c *Change) AttributesAfter(at time.Time) []attribute.KeyValue {
	if c == nil || !c.Over() || at.Before(c.End.At()) {
		return nil
	}
	return []attribute.KeyValue{evidence.Seconds(attr.SinceRolloutKey, at.Sub(c.End.At()))}
}

// OpenAt reports whether the change was open when a write was made.
func (c *Change) OpenAt(write evidence.Write) bool {
	return !write.Before(c.Opened) && (!c.Over() || !c.EndedBy.Before(write))
}

// Identity is what the change is, hashed: the ID of its trace, unless it joined
// another's (see plans.Plan.PlaceOf). workload is what is unique about the workload.
func (c *Change) Identity(workload string) trace.TraceID {
	return spans.NewTraceID(c.key(workload)...)
}

// Key is the same in a form that others can read and make: "<UID>/rollout/7".
func (c *Change) Key(workload string) string { return strings.Join(c.key(workload), "/") }

// key are the parts of the identity.
func (c *Change) key(workload string) []string {
	id := []string{workload, string(c.Kind)}
	number := func(n int64) { id = append(id, strconv.FormatInt(n, 10)) }
	switch c.Kind {
	case attr.ChangeRollout:
		switch {
		case c.Revision > 0 || c.generation == 0:
			number(c.Revision)
		default:
			// Its ControllerRevision could not be read.
			id = append(id, "generation")
			number(c.generation)
		}
		if c.Partition > 0 {
			id = append(id, "partition")
			number(int64(c.Partition))
		}
		if c.samePartition || c.sameNumber {
			id = append(id, "again")
			number(c.generation)
		}
	case attr.ChangeScale:
		number(c.generation)
	case attr.ChangeJob:
		switch {
		case !c.Resumed.IsZero():
			number(c.Resumed.Unix())
		case c.Cause == attr.CauseResume:
			// It was over before the controller noticed.
			id = append(id, "generation")
			number(c.generation)
		}
	}
	return id
}

// IdentitySettled reports whether the ID of a change's trace is known for certain. That of a
// rollout is made of its number where the controller gives one, which may come late, as
// ControllerRevisions are a stream of their own; that of a Job's run that was resumed, of
// when the controller did so.
func (w *Workload) IdentitySettled(c *Change) bool {
	switch {
	case c.Ledger.Sent || !c.Ledger.InProgress.IsZero():
		return true // it is out
	case c.Kind == attr.ChangeRollout:
		return c.Revision > 0 || w.Controller.Numbers == notNumbered
	case c.Kind == attr.ChangeJob:
		return c.Cause != attr.CauseResume || !c.Resumed.IsZero()
	default:
		return true
	}
}

// MayBeTold reports whether a change can be told of while it is open, by which its trace has for
// good the ID that it has now. A ControllerRevision, which may not be readable, is not waited for.
func (w *Workload) MayBeTold(c *Change) bool {
	return c != w.Pending && (w.IdentitySettled(c) || c.Kind == attr.ChangeRollout && w.Controller.Numbers.ByControllerRevision())
}

// Comparable reports whether later rollouts are measured against this one.
func (c *Change) Comparable() bool {
	return c.Kind == attr.ChangeRollout && c.Outcome() == attr.OutcomeComplete
}
