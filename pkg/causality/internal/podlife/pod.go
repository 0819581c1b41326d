package podlife

import (
	"slices"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/rollspan/rollspan/pkg/causality/internal/evidence"
	"github.com/rollspan/rollspan/pkg/causality/internal/kube"
	"github.com/rollspan/rollspan/pkg/causality/internal/ledger"
	"github.com/rollspan/rollspan/pkg/causality/stream"
	"github.com/rollspan/rollspan/pkg/spans/attr"
)

// Owners change. `kubectl delete --cascade=orphan` leaves pods and ReplicaSets
// behind, and a workload takes in what its selector matches and nobody controls
// (k8s.io/kubernetes/pkg/controller, controller_ref_manager.go): so is a
// StatefulSet re-created around its pods to change what the API does not let
// change.

// Released reports whether the pod was let go of, and not taken in since.
func (p *Pod) Released() bool { return p.Failed.Known() && p.Reason == attr.CauseReleased }

// MaxTransitions bounds the history kept of one pod that flaps for days.
const MaxTransitions = 128

// Pod is what the engine keeps of a Pod.
type Pod struct {
	*Object
	Mirrors types.UID // the static pod that it stands for, if it is a mirror pod
	// ChangedTo is, of a mirror pod whose static pod was changed, the mirror of what that is now.
	ChangedTo types.UID
	// Owner is the controller if it is one of Kubernetes' own: a ReplicaSet, for
	// pods of Deployments. Any other pod is its own.
	Owner kube.ObjectID
	Filed uint64 // numbers the pods in the order in which they were filed under their owners
	Node  string
	// NominatedNode is the node on which the scheduler preempts others for it.
	NominatedNode string

	Ran         time.Time // when the last of its containers started or ended, as far as they have said
	FirstSeen   evidence.Write
	Created     evidence.Moment
	Announced   time.Time // when its controller said that it had made it
	stateSeen   time.Time // arrival of its latest state
	listed      time.Time // when the list that a watch begins with had it; zero if none had
	Predecessor types.UID // of the pod that had its name before it, if one did
	Initial     bool      // it was there before the watcher was
	Inferred    bool      // it was reconstructed from a snapshot: see stream.Observation
	// LostFirst, ReadyFirst and StartingFirst say that it was being deleted, or Ready, or that none of
	// its containers but init containers had run, when it was first seen, in the list that a watch
	// starts with.
	LostFirst, ReadyFirst, StartingFirst bool

	Scheduled evidence.Moment
	Placed    bool // it was created with its node, so no scheduler tells of it
	// Sandboxes are when PodReadyToStartContainers became True: a pod may need
	// another sandbox.
	Sandboxes []evidence.Moment
	noSandbox bool
	// hadSchedulingGates says that it had scheduling gates (KEP-3521), and
	// schedulingGatesGone when the last of them was removed.
	hadSchedulingGates  bool
	schedulingGatesGone evidence.Moment
	// ContainersReady is when ContainersReady was True for the first time.
	ContainersReady evidence.Moment
	Ready           []transition
	ReadyBy         evidence.Write // of the write by which it was Ready for the first time
	// ReadyUnknown says that nothing tells when, or whether, it was Ready for the first
	// time: a snapshot was made later. The first of Ready is when it can have been.
	ReadyUnknown      bool
	HasReadinessGates bool // it is Ready only when its readiness gates are open, too

	// Unscheduled and Unready say why the pod had no node yet, and why it was not
	// Ready yet. What comes after its first Ready is not kept.
	Unscheduled, Unready evidence.Reasons

	DeleteAskedBy evidence.Write
	DeleteAsked   evidence.Moment
	Grace         time.Duration
	Forced        bool            // removed from the API without waiting for its containers
	Finalizers    []string        // what kept it there when the kubelet was done with it
	Disruption    string          // reason of the DisruptionTarget condition
	Disrupted     evidence.Moment // when that became True
	Gone          evidence.Moment
	GoneSeen      time.Time       // arrival of the deletion's news
	Ended         evidence.Moment // while it was being deleted: in phase Succeeded or Failed

	// Finite pods are to finish, not to stay: all of their containers have restartPolicy
	// Never or OnFailure. Finished is when one was seen in phase Succeeded or Failed.
	Finite     bool
	abandoned  bool // it ended while a container still ran by its status: see abandonedAt
	Finished   evidence.Moment
	FinishedBy evidence.Write

	// Failed is when it was seen in phase Failed or Succeeded, or without its owner, while
	// it was not being deleted. Finite pods have finished instead.
	Failed   evidence.Moment
	FailedBy evidence.Write
	// ReturnedBy is the write by which the owner that had let go of it took it back.
	ReturnedBy evidence.Write

	jobPod // of a Job
	reports

	RevisionName string        // the ControllerRevision of a StatefulSet's pod
	Runs         *kube.Service // what it says of its service; nil if nothing

	Phase   corev1.PodPhase
	Reason  string // status.reason: Evicted, NodeLost, …
	Message string

	Containers []*Container // init containers first, in order
	// manyContainers has them by name, if they are many.
	manyContainers map[string]*Container

	Claims    *VolumeClaims  // all there are
	claimKeys []kube.NameKey // of the claims it uses

	Ledger ledger.Pod
}

// transition is a change of a condition: Ready became True at 10:02:09.
type transition struct {
	Status bool
	At     evidence.Moment
	Seen   time.Time
	// leaving says that the news of it came when the pod was to be stopped, or had ended.
	leaving bool
}

// FirstReady returns when the pod was Ready for the first time.
func (p *Pod) FirstReady() (transition, bool) {
	for _, t := range p.Ready {
		if t.Status {
			return t, true
		}
	}
	return transition{}, false
}

// ReadyWith returns when the pod was Ready with a run of a container that was started at t, then or for the first
// time after it, and when that became known. A kubelet that kills a container and starts it again does both before
// it writes a status: that the pod was not Ready for the end of the run before is said with the new one. A
// container that has no probe to pass is ready with it at once.
func (p *Pod) ReadyWith(container *Container, run *Run, t time.Time) (at, seen time.Time, ok bool) {
	probed := container.HasReadinessProbe || container.HasStartupProbe
	for i, tr := range p.Ready {
		if !tr.Status {
			continue
		}
		until := time.Time{}
		if i+1 < len(p.Ready) {
			until = p.Ready[i+1].At.At()
		}
		ofBefore := probed && !tr.At.At().After(t) && !until.IsZero() && until.Before(t.Add(reported)) &&
			(!run.Over() || until.Before(run.Finished.Earliest))
		if !ofBefore && (until.IsZero() || until.After(t)) {
			return evidence.Latest(tr.At.At(), t), tr.Seen, true
		}
	}
	return time.Time{}, time.Time{}, false
}

// Lost reports whether the pod is no longer what its ReplicaSet wants it to be:
// deleted, or ended for good (evicted by its node, say).
func (p *Pod) Lost() bool { return p.Leaving() || p.Failed.Known() }

// LostBy orders the loss among other writes.
func (p *Pod) LostBy() evidence.Write {
	if p.Failed.Known() && (!p.Leaving() || p.FailedBy.Before(p.DeleteAskedBy)) {
		return p.FailedBy
	}
	return p.DeleteAskedBy
}

// LostAt dates the loss.
func (p *Pod) LostAt() evidence.Moment {
	if p.Failed.Known() && (!p.Leaving() || p.FailedBy.Before(p.DeleteAskedBy)) {
		return p.Failed
	}
	return p.DeleteAsked
}

// CutBy is what cut the start of a lost pod short: that it ended, or else that somebody deleted it.
func (p *Pod) CutBy() attr.Cut {
	if p.Failed.Known() && p.LostAt().At().Equal(p.Failed.At()) {
		return attr.CutEnded
	}
	return attr.CutRemoved
}

// Leaving reports whether the pod is being, or was, deleted.
func (p *Pod) Leaving() bool { return p.DeleteAsked.Known() }

// StartResolved returns when it became known that the pod's start is over one way
// or the other, or ok=false while it still starts.
func (p *Pod) StartResolved() (seen time.Time, ok bool) {
	if p.Finished.Known() {
		return p.FinishedBy.Arrival, true
	}
	if tr, ok := p.FirstReady(); ok && !p.Finite {
		return tr.Seen, true
	}
	if p.Leaving() {
		return p.DeleteAskedBy.Arrival, true
	}
	if p.Failed.Known() {
		return p.FailedBy.Arrival, true
	}
	return time.Time{}, false
}

// PodFailed is the phase of a pod that has ended, and of which a container failed.
const PodFailed = corev1.PodFailed

// ObserveEnd notes that the pod has finished, or was lost without being
// deleted.
func (p *Pod) ObserveEnd(o stream.Observation, in *corev1.Pod) {
	ended := p.Phase == PodFailed || p.Phase == corev1.PodSucceeded
	switch {
	case p.Finished.Known() || p.Failed.Known() || p.Leaving() && (!o.Initial || !ended || !p.disruptedFirst()):
	case p.Finite && ended:
		p.Finished, p.FinishedBy = p.finishedAt(o), evidence.NewWrite(in.ResourceVersion, o)
	case ended:
		p.observeEnded(o, in)
	case !p.Unowned() && kube.ControllerRef(in).UID == "":
		// Its labels were changed, to have a look at it: its ReplicaSet lets
		// go of it and makes another. Or that was deleted without its pods.
		p.Failed, p.FailedBy, p.Reason = evidence.Arrived(o.Time), evidence.NewWrite(in.ResourceVersion, o), attr.CauseReleased
	}
}

// finishedAt dates the end of a finite pod: its last container ended, or the pod was abandoned.
func (p *Pod) finishedAt(o stream.Observation) evidence.Moment {
	if p.abandoned = p.stillRuns(); p.abandoned {
		return p.abandonedAt(o)
	}
	var last evidence.Moment
	for _, container := range p.Containers {
		for _, r := range container.Runs {
			if r.Over() && !r.Finished.At().Before(last.At()) {
				last = r.Finished
			}
		}
	}
	if !last.Known() {
		return evidence.Arrived(o.Time) // none ran
	}
	return last
}

// ForgetPastRuns passes over the restarts that were over before the pod was first seen:
// rollspan was not there, or handed them out before it was restarted.
func (p *Pod) ForgetPastRuns() {
	for _, container := range p.Containers {
		if n := len(container.Runs); n > 0 && container.Runs[n-1].Restart > 0 {
			p.Ledger.EmitRestart(container.Name, container.Runs[n-1].Restart-1)
		}
	}
}

// ReadinessUnknown is the reason of the condition Ready that package snapshots gives a pod of
// which nothing tells when it was Ready for the first time. Kubernetes has no such reason.
const ReadinessUnknown = "rollspan.ReadinessUnknown"

// readinessFailure begins what the kubelet says of a failed readiness probe
// (k8s.io/kubernetes/pkg/kubelet/prober).
const readinessFailure = "Readiness probe "

// IsReadinessFailure reports whether the message of an Event "Unhealthy" is about a readiness
// probe.
func IsReadinessFailure(message string) bool {
	return strings.HasPrefix(stream.EventWords(message), readinessFailure)
}

// ObserveConditions takes in the conditions of the pod.
func (p *Pod) ObserveConditions(conditions []corev1.PodCondition, arrival, seen time.Time) {
	for i := range conditions {
		c := &conditions[i]
		isTrue := c.Status == corev1.ConditionTrue
		at := evidence.InSecond(c.LastTransitionTime.Time, arrival)
		if c.LastTransitionTime.IsZero() {
			at = evidence.Arrived(seen)
		}
		switch c.Type {
		case corev1.PodScheduled:
			if isTrue && !p.Scheduled.Known() {
				p.Scheduled = at
			}
			if !isTrue && c.Reason+c.Message != "" {
				p.Unscheduled.Add(evidence.Reason{Reason: c.Reason, Message: c.Message, Stated: c.LastTransitionTime.Time, From: at}, seen)
			}
		case corev1.PodReadyToStartContainers:
			p.observeSandbox(isTrue, at)
		case corev1.ContainersReady:
			if isTrue && !p.ContainersReady.Known() {
				p.ContainersReady = at
			}
		case corev1.DisruptionTarget:
			p.observeDisruption(c, at)
		case corev1.PodReady:
			if !isTrue && len(p.Ready) == 0 && c.Reason+c.Message != "" {
				p.Unready.Add(evidence.Reason{Reason: c.Reason, Message: c.Message, Stated: c.LastTransitionTime.Time, From: at}, seen)
			}
			p.ReadyUnknown = p.ReadyUnknown || isTrue && c.Reason == ReadinessUnknown
			p.observeReady(isTrue, at, seen)
		}
	}
}

// observeReady keeps the changes of the Ready condition. Two changes between
// two observations show as a new time with the old status; the one that was
// missed is then put at the same time.
//
// A kubelet that was cut off does not know that the node controller has written that the pod is not
// Ready. When it is heard again it writes the condition anew that it knows, with the transition that
// this had. The pod is Ready again from the news of that on. Controllers count minReadySeconds from
// what is stated.
func (p *Pod) observeReady(status bool, at evidence.Moment, seen time.Time) {
	if n := len(p.Ready); n > 0 {
		last := p.Ready[n-1]
		if last.Status == status {
			if !status || at.Earliest.IsZero() || !at.Earliest.After(last.At.Earliest) {
				return
			}
			p.Ready = append(p.Ready, transition{Status: !status, At: at, Seen: seen})
		} else if status && at.Earliest.Before(last.At.Earliest) {
			at.Latest = seen
		}
	} else if !status {
		return // a pod starts out unready
	}
	p.Ready = append(p.Ready, transition{Status: status, At: at, Seen: seen, leaving: p.Lost()})
	if len(p.Ready) > MaxTransitions {
		// The first time it was Ready ends its start; keep that.
		p.Ready = slices.Delete(p.Ready, 1, 3)
	}
}

// ObserveTriggers notes the writes that controllers act upon.
func (p *Pod) ObserveTriggers(o stream.Observation, in *corev1.Pod) {
	if _, ready := p.FirstReady(); ready && p.ReadyBy.Arrival.IsZero() {
		p.ReadyBy = evidence.NewWrite(in.ResourceVersion, o)
	}
	if p.Leaving() && !p.Ended.Known() && (p.Phase == PodFailed || p.Phase == corev1.PodSucceeded) {
		p.Ended = evidence.Arrived(o.Time)
	}
	p.observeReports(o, in)
}

// Unowned reports whether the pod is its own workload.
func (p *Pod) Unowned() bool { return p.Owner == p.ObjectID }
