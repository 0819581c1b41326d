package causality

import (
	"slices"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/watch"

	"github.com/rollspan/rollspan/pkg/spans/attr"
)

// maxTransitions bounds the history kept of one pod that flaps for days.
const maxTransitions = 128

// pod is what the engine keeps of a Pod.
type pod struct {
	*object
	mirrors objectID // the static pod that it stands for, if it does
	// owner is the controller if it is one of Kubernetes' own: a ReplicaSet, for
	// pods of Deployments. Any other pod is its own.
	owner objectID
	node  string
	// nominatedNode is where the scheduler makes room for it.
	nominatedNode string

	firstSeen stamp
	created   moment
	announced time.Time // when its controller said that it had made it
	before    types.UID // of the pod that had its name before it, if one did
	initial   bool      // it was there before the watcher was
	// lostFirst and readyFirst say that it was being deleted, or Ready, when it
	// was first seen, in the list that a watch starts with.
	lostFirst, readyFirst bool

	scheduled moment
	// sandboxes are when PodReadyToStartContainers became True: a pod may need
	// another sandbox.
	sandboxes []moment
	noSandbox bool
	// gatesShut says that it had scheduling gates; gatesOpen is when the last one went.
	gatesShut bool
	gatesOpen moment
	// containersReady is when ContainersReady was True for the first time.
	containersReady moment
	ready           []transition
	readyBy         stamp // of the write by which it was Ready for the first time
	gated           bool  // has readiness gates

	// unscheduled and unready are why it had no node yet, and why it was not
	// Ready yet. What comes after its first Ready is not kept.
	unscheduled, unready reasons

	deletion    stamp
	deleteAsked moment
	grace       time.Duration
	forced      bool     // removed from the API without waiting for its containers
	finalizers  []string // what kept it there when the kubelet was done with it
	disruption  string   // reason of the DisruptionTarget condition
	gone        moment
	goneSeen    time.Time // arrival of the deletion's news
	ended       moment    // while it was being deleted: in phase Succeeded or Failed

	// finite pods are to finish, not to stay (restartPolicy Never or
	// OnFailure, of all containers); finished is when one was seen in phase Succeeded or Failed.
	finite   bool
	finished moment
	finish   stamp

	// failed is when it was seen in phase Failed, or without its owner, while
	// it was not being deleted. Finite pods have finished instead.
	failed  moment
	failure stamp
	// returned is when the owner that had let go of it took it back.
	returned stamp

	jobPod // of a Job

	revisionName string // the ControllerRevision of a StatefulSet's pod

	phase   corev1.PodPhase
	reason  string // status.reason: Evicted, NodeLost, …
	message string

	containers []*container // init containers first, in order
	// manyContainers has them by name, if they are many.
	manyContainers map[string]*container

	claims    *volumeClaims // all there are
	claimKeys []nameKey     // of the claims it uses

	ledger podLedger
}

// transition is a condition's change.
type transition struct {
	status bool
	at     moment
	seen   time.Time
}

// firstReady returns when the pod was Ready for the first time.
func (p *pod) firstReady() (transition, bool) {
	for _, t := range p.ready {
		if t.status {
			return t, true
		}
	}
	return transition{}, false
}

// readyFrom returns when the pod was Ready at or for the first time after t,
// and when that became known.
func (p *pod) readyFrom(t time.Time) (at, seen time.Time, ok bool) {
	for i, tr := range p.ready {
		if !tr.status {
			continue
		}
		until := time.Time{}
		if i+1 < len(p.ready) {
			until = p.ready[i+1].at.at()
		}
		if until.IsZero() || until.After(t) {
			return latest(tr.at.at(), t), tr.seen, true
		}
	}
	return time.Time{}, time.Time{}, false
}

// lost reports whether the pod is no longer what its ReplicaSet wants it to be:
// deleted, or failed for good (evicted by its node, say).
func (p *pod) lost() bool { return p.leaving() || p.failed.known() }

// lostStamp orders the loss among other writes.
func (p *pod) lostStamp() stamp {
	if p.failed.known() && (!p.leaving() || p.failure.before(p.deletion)) {
		return p.failure
	}
	return p.deletion
}

// lostAt dates the loss.
func (p *pod) lostAt() moment {
	if p.failed.known() && (!p.leaving() || p.failure.before(p.deletion)) {
		return p.failed
	}
	return p.deleteAsked
}

// leaving reports whether the pod is being, or was, deleted.
func (p *pod) leaving() bool { return p.deleteAsked.known() }

// startResolved returns when it became known that the pod's start is over one way
// or the other, or ok=false while it still starts.
func (p *pod) startResolved() (seen time.Time, ok bool) {
	if p.finished.known() {
		return p.finish.arrival, true
	}
	if tr, ok := p.firstReady(); ok && !p.finite {
		return tr.seen, true
	}
	if p.leaving() {
		return p.deletion.arrival, true
	}
	if p.failed.known() {
		return p.failure.arrival, true
	}
	return time.Time{}, false
}

// newPod makes the record of a pod that is seen for the first time.
func (e *Engine) newPod(id objectID, o Observation, in *corev1.Pod) *pod {
	before := e.names[nameKey{kind: kindPod, namespace: in.Namespace, name: in.Name}]
	p := &pod{
		object:    e.track(id, in.Name),
		before:    before.uid,
		owner:     id,
		firstSeen: newStamp(in.ResourceVersion, o),
		initial:   o.Initial,
	}
	if maker := makerOf(in); maker.uid != "" {
		p.owner = maker
	}
	p.finite = isFinite(in) && (p.unowned() || in.Spec.RestartPolicy != corev1.RestartPolicyAlways)
	arrival := o.Time
	if o.Initial || in.Status.Phase == corev1.PodRunning || in.Spec.NodeName != "" && in.DeletionTimestamp != nil {
		arrival = time.Time{} // we did not see it being created
	}
	p.created = inSecond(in.CreationTimestamp.Time, arrival)
	if in.CreationTimestamp.IsZero() {
		p.created = arrived(o.Time)
	}
	if o.Initial {
		p.firstSeen = stamp{arrival: p.created.at()}
	}
	e.pods[id] = p
	e.podsOf[p.owner] = append(e.podsOf[p.owner], p)
	e.claims.use(p, in)
	e.observeMirror(p, in)
	e.observeAnnounced(p)
	return p
}

func (e *Engine) observePod(o Observation, in *corev1.Pod) *pod {
	id := builtIn(kindPod, in)
	p := e.pods[id]
	isNew := p == nil
	if isNew {
		if o.Type == watch.Deleted {
			return nil // nothing is known that could have ended
		}
		p = e.newPod(id, o, in)
	} else if maker := makerOf(in); maker.uid != "" && !p.unowned() {
		e.takeIn(p, maker, newStamp(in.ResourceVersion, o))
	}
	p.touched = o.Time
	p.owned = ownerRefOf(in)
	p.revisionName = in.Labels[appsv1.StatefulSetRevisionLabel]
	arrival := o.arrival()
	p.observeNode(in, isNew, o.Time)
	if in.Status.NominatedNodeName != "" {
		e.nominate(p, in.Status.NominatedNodeName)
	}
	if len(in.Spec.ReadinessGates) > 0 {
		p.gated = true
	}
	if in.Status.Phase != "" {
		p.phase = in.Status.Phase
	}
	if in.Status.Reason != "" {
		p.reason, p.message = in.Status.Reason, in.Status.Message
	}
	wasLeaving := p.leaving()
	// A deletion rewrites conditions and container states as the kubelet
	// tears the pod down; what is news then is in the stop, not the start.
	p.observeConditions(in.Status.Conditions, arrival, o.Time)
	p.observeDeletion(o, in, arrival)
	p.observeContainers(in, arrival, o.Time)
	if isNew {
		p.forgetPastRuns()
	}
	if isNew && o.Initial {
		_, p.readyFirst = p.firstReady()
		p.lostFirst = p.leaving() || p.phase == corev1.PodFailed
	}
	p.observeEnd(o, in)
	p.observeMilestones(o, in)
	p.observeJobPod(o, in, wasLeaving)
	if p.unowned() {
		e.observeContexts(e.runOf(p), in, newStamp(in.ResourceVersion, o), o.Initial)
		e.observeUnowned(p, isNew)
	}
	return p
}

// The phases that a pod ends in.
const podFailed = corev1.PodFailed

// observeEnd notes that the pod has finished, or was lost without being
// deleted.
func (p *pod) observeEnd(o Observation, in *corev1.Pod) {
	ended := p.phase == podFailed || p.phase == corev1.PodSucceeded
	switch {
	case p.finished.known() || p.failed.known() || p.leaving():
	case p.finite && ended:
		p.finished, p.finish = p.finishedAt(o), newStamp(in.ResourceVersion, o)
	case p.phase == podFailed:
		p.failed, p.failure = arrived(o.Time), newStamp(in.ResourceVersion, o)
	case !p.unowned() && controllerRef(in).UID == "":
		// Its labels were changed, to have a look at it: its ReplicaSet lets
		// go of it and makes another. Or that was deleted without its pods.
		p.failed, p.failure, p.reason = arrived(o.Time), newStamp(in.ResourceVersion, o), attr.CauseReleased
	}
}

// finishedAt dates the end of a finite pod: its last container ended.
func (p *pod) finishedAt(o Observation) moment {
	var last moment
	for _, c := range p.containers {
		for _, r := range c.runs {
			if r.over() && !r.finished.at().Before(last.at()) {
				last = r.finished
			}
		}
	}
	if !last.known() {
		return arrived(o.Time) // none ran
	}
	return last
}

// forgetPastRuns marks the restarts as told that were over before the pod was
// first seen: rollspan was not there, or told of them in an earlier life.
func (p *pod) forgetPastRuns() {
	for _, c := range p.containers {
		if n := len(c.runs); n > 0 && c.runs[n-1].restart > 0 {
			p.ledger.toldRestart(c.name, c.runs[n-1].restart-1)
		}
	}
}

func (p *pod) observeConditions(conditions []corev1.PodCondition, arrival, seen time.Time) {
	for i := range conditions {
		c := &conditions[i]
		isTrue := c.Status == corev1.ConditionTrue
		at := inSecond(c.LastTransitionTime.Time, arrival)
		if c.LastTransitionTime.IsZero() {
			at = arrived(seen)
		}
		switch c.Type {
		case corev1.PodScheduled:
			if isTrue && !p.scheduled.known() {
				p.scheduled = at
			}
			if !isTrue && c.Reason+c.Message != "" {
				p.unscheduled.add(reason{c.Reason, c.Message, c.LastTransitionTime.Time, at}, seen)
			}
		case corev1.PodReadyToStartContainers:
			p.observeSandbox(isTrue, at)
		case corev1.ContainersReady:
			if isTrue && !p.containersReady.known() {
				p.containersReady = at
			}
		case corev1.DisruptionTarget:
			if isTrue {
				p.disruption = c.Reason
			}
		case corev1.PodReady:
			if !isTrue && len(p.ready) == 0 && c.Reason+c.Message != "" {
				p.unready.add(reason{c.Reason, c.Message, c.LastTransitionTime.Time, at}, seen)
			}
			p.observeReady(isTrue, at, seen)
		}
	}
}

// observeReady keeps the changes of the Ready condition. Two changes between
// two observations show as a new time with the old status; the one that was
// missed is then put at the same time.
func (p *pod) observeReady(status bool, at moment, seen time.Time) {
	if n := len(p.ready); n > 0 {
		last := p.ready[n-1]
		if last.status == status {
			if !status || at.lo.IsZero() || !at.lo.After(last.at.lo) {
				return
			}
			p.ready = append(p.ready, transition{status: !status, at: at, seen: seen})
		}
	} else if !status {
		return // a pod starts out unready
	}
	p.ready = append(p.ready, transition{status: status, at: at, seen: seen})
	if len(p.ready) > maxTransitions {
		// The first time it was Ready ends its start; keep that.
		p.ready = slices.Delete(p.ready, 1, 3)
	}
}
