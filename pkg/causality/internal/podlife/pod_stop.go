package podlife

import (
	"time"

	"github.com/rollspan/rollspan/pkg/causality/internal/evidence"
)

// StopAsked dates the request to delete the pod: not after the kubelet began
// to kill its containers, nor after another pod was there in its place (missed, zero
// if there is none), unless that was for an earlier failure.
func (p *Pod) StopAsked(replaced time.Time) time.Time {
	if p.EndedUndeleted() {
		return evidence.Earliest(p.EndBegan(), p.LostAt().Before(replaced).At())
	}
	if p.Mirrors != "" {
		return p.announced(p.DeleteAsked.At())
	}
	at := p.DeleteAsked
	for _, ev := range p.Events {
		if (ev.Reason == ReasonKilling || saysDeleted(ev)) && !ev.First().Before(at.Earliest) {
			at = at.Before(ev.First())
		}
	}
	if !p.Failed.Known() {
		at = at.Before(replaced)
	}
	return p.evictedBefore(at)
}

// saysDeleted reports whether an Event says that a controller deletes the pod.
func saysDeleted(ev *Event) bool { return ControllerDeletes(ev.Reason, ev.Message()) }

// evictedBefore is when the kubelet said that it evicts the pod, or preempts it, which was
// then deleted at a time; else that time. The pod had as long as it is given to stop.
func (p *Pod) evictedBefore(deleted evidence.Moment) time.Time {
	at, grace := deleted.At(), p.longestKill()+clockSlack
	for _, ev := range p.Events {
		if AnnouncesEnd(ev) && !ev.First().Before(p.lastStart()) && !ev.First().Before(deleted.Earliest.Add(-grace)) {
			at = evidence.Earliest(at, ev.First())
		}
	}
	return at
}

// RunAtStop is the run of a container that was on when the pod was to be
// deleted; nil if there was none.
func (p *Pod) RunAtStop(container *Container) *Run {
	r := container.lastRun()
	if r == nil || !r.Started.Known() {
		return nil
	}
	if p.EndedUndeleted() {
		if r.Over() && !p.endedWith(container, r) {
			return nil
		}
		return r
	}
	if r.Over() && r.Finished.At().Before(p.StopFrom()) && !p.StoppedWith(container, r) {
		return nil
	}
	return r
}

// stoppedRun is the last run of a container of a pod that was deleted, if it had not
// ended when the kubelet began to stop it. It may have ended in the same second, which
// is all that the API says of that: then it seems to have ended before it was asked to.
// nil if it had, or nothing shows that.
func (p *Pod) stoppedRun(container *Container) *Run {
	r := p.RunAtStop(container)
	if r == nil || !r.Over() || !p.Leaving() {
		return nil
	}
	for o := range p.OccurrencesOf(ReasonKilling, container) {
		if !o.At.Before(p.DeleteAsked.Earliest) && !o.At.Before(r.Finished.Earliest) {
			return r
		}
	}
	return nil
}

// Unstopped is the time at which to look for what the containers did when the pod was
// to be deleted at a time: before that if those that were stopped then seem to have
// ended already, as they do where the news was late.
func (p *Pod) Unstopped(at time.Time) time.Time {
	for _, container := range p.Containers {
		if r := p.stoppedRun(container); r != nil && !r.Finished.At().After(at) {
			at = evidence.Earliest(at, r.Finished.Earliest.Add(-time.Nanosecond))
		}
	}
	return at
}

// OutlivedGracePeriod reports whether a run was killed because its time to stop was up. The
// times are known to the second.
func (p *Pod) OutlivedGracePeriod(r *Run) bool {
	return r.ExitCode == exitSIGKILL && p.Grace > 0 && r.Reason != OOMKilled &&
		!r.Finished.Earliest.Add(time.Second).Before(p.DeleteAsked.Earliest.Add(p.Grace))
}
