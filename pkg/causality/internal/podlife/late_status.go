package podlife

import "time"

// A status is written when the kubelet gets to it, and may arrive when it is at the next try
// already. What it says of a container that waits is then about the try before.

// isOfRun reports whether a wait is about a run that has ended, and no try to start one: the
// container ran when its postStart hook failed, and the kubelet killed it.
func (w wait) isOfRun() bool {
	return w.reason == crashLoopBackOff || w.reason == postStartHookError && w.after >= 0
}

// dateLateFailures dates the failures of which a status tells that came when the next try
// had begun: it is about the try before, if what follows shows that this one went on. It
// reports whether there are any.
func dateLateFailures(milestones []milestone) (late bool) {
	var failed time.Time // when the try before failed
	var step milestoneKind
	trying := false
	for i := range milestones {
		m := &milestones[i]
		switch {
		case m.Kind == MilestoneFailed && m.status && trying && !failed.IsZero() && (wentOn(milestones[i+1:]) || step != milestonePulling && isPullFailure(m.reason)):
			m.At, late = failed, true
		case m.Kind == MilestoneFailed, m.Kind == milestoneTerminated:
			failed, trying = m.At, false
		case m.Kind == milestoneStarted:
			failed, trying = time.Time{}, false
		case m.Kind == milestonePulling, m.Kind == milestonePulled, m.Kind == milestoneCreated:
			trying, step = true, m.Kind
		}
	}
	return late
}

// wentOn reports whether the next thing that an Event or a run tells of is a later part of a
// try that had begun, or its end.
func wentOn(next []milestone) bool {
	for _, m := range next {
		switch m.Kind {
		case milestonePulled, milestoneCreated, milestoneStarted:
			return true
		case MilestoneFailed:
			if !m.status {
				return true
			}
		case milestonePulling, milestoneTerminated:
			return false
		}
	}
	return false
}

// saidOfCrash is the status's word for why the kubelet waits after a run that failed, the
// last one; "" if it said none.
func (c *Container) saidOfCrash(r *Run) string {
	said := ""
	for _, w := range c.Waits {
		if w.after == r.Restart && w.isOfRun() {
			said = w.reason
		}
	}
	return said
}

// SaidBackOff reports whether the status said in a span of time that the kubelet backs off
// from a container that crashed.
func (c *Container) SaidBackOff(from, until time.Time) bool {
	for _, w := range c.Waits {
		if w.reason == crashLoopBackOff && w.from.Known() && !w.from.At().Before(from) && !w.from.At().After(until) {
			return true
		}
	}
	return false
}
