package ledger

import (
	"time"
)

// Pod is what was handed out of a pod.
type Pod struct {
	// StartSent and StopSent say that the pod's start, or its stop, was handed out, or is
	// not to be, as it was over before the watcher came.
	// StartSpan and StopSpan are the spans that were handed out, for Events that come
	// later still; they are nil of what was passed over.
	StartSent, StopSent bool
	StartSpan, StopSpan *SentSpan
	// Replaced is the root of the pod's replacement, once that was handed out.
	Replaced *SentSpan
	// InProgress is the time up to which spans "in progress" were handed out for the
	// replacement of the pod.
	InProgress time.Time
	// Filled says that another pod took the place of this one, which was lost, and is
	// forgotten by now. That pod was made at FilledAt.
	Filled   bool
	FilledAt time.Time
	// SurplusForgotten says that, when this pod came back to its set, another was removed
	// as one too many, and is forgotten by now.
	SurplusForgotten bool
	// RestartSent has the restart count of the last run, by container, whose end was told.
	RestartSent map[string]int32
	// Restarts are the restarts that were handed out last, by container.
	Restarts map[string]*SentSpan
	// Victims are pods that the scheduler preempted to make room for this one.
	Victims Consequences
}

// EmitStart notes that the pod's start was handed out.
func (l *Pod) EmitStart(s *SentSpan) { l.StartSent, l.StartSpan = true, s }

// PassOverStart notes that the pod's start is not to be handed out: it was over when its
// workload took the pod in.
func (l *Pod) PassOverStart() { l.StartSent = true }

// EmitStop notes that the pod's stop was handed out.
func (l *Pod) EmitStop(s *SentSpan) { l.StopSent, l.StopSpan = true, s }

// PassOverStop notes that there is no stop to hand out: a pod that was evicted stays as an
// object in phase Failed.
func (l *Pod) PassOverStop() { l.StopSent = true }

// EmitReplacement notes that the pod's replacement was handed out.
func (l *Pod) EmitReplacement(root *SentSpan) { l.Replaced = root }

// EmitUpTo notes that spans "in progress" of the pod's replacement are handed out, up to
// a time.
func (l *Pod) EmitUpTo(until time.Time) { l.InProgress = until }

// EmitRestart notes the last run of a container whose restart is handed out, or is not to
// be.
func (l *Pod) EmitRestart(container string, run int32) {
	if l.RestartSent == nil {
		l.RestartSent = map[string]int32{}
	}
	l.RestartSent[container] = run
}

// EmitRestarted notes the restart of a container that was handed out.
func (l *Pod) EmitRestarted(container string, s *SentSpan) {
	if l.Restarts == nil {
		l.Restarts = map[string]*SentSpan{}
	}
	l.Restarts[container] = s
}

// Fill notes that the pod which took the place of this one, and was made at a time, is
// about to be forgotten.
func (l *Pod) Fill(made time.Time) { l.Filled, l.FilledAt = true, made }

// ForgetSurplus notes that the pod which was removed because this one came back is about
// to be forgotten.
func (l *Pod) ForgetSurplus() { l.SurplusForgotten = true }

// AddVictim notes that a pod was preempted for this one.
func (l *Pod) AddVictim(victim Consequence) { l.Victims.add(victim) }

// MaxRestartsSent is how many restarts of one container are handed out in an hour. A
// crash loop has twelve an hour when its back-off has reached its limit, for as
// long as nobody looks.
const MaxRestartsSent = 10

// Container is what was handed out of a container.
type Container struct {
	// sent counts the restarts that were handed out since sentSince, and LeftOut those after
	// them that were not.
	sent      int
	sentSince time.Time
	LeftOut   int
	// InProgress is the time up to which spans "in progress" were handed out for restarts of
	// the container.
	InProgress time.Time
}

// EmitUpTo notes that spans "in progress" of a restart are handed out, up to a time.
func (l *Container) EmitUpTo(until time.Time) { l.InProgress = until }

// WillEmit reports whether a restart that began at a time will be handed out, if it is the
// next one.
func (l *Container) WillEmit(at time.Time) bool {
	return l.sent < MaxRestartsSent || at.After(l.sentSince.Add(time.Hour))
}

// MayEmit reports whether a restart may be handed out, and counts it if not: the next one
// that may says how many were left out.
func (l *Container) MayEmit(at time.Time) bool {
	if at.After(l.sentSince.Add(time.Hour)) {
		l.sentSince, l.sent = at, 0
	}
	if l.sent >= MaxRestartsSent {
		l.LeftOut++
		return false
	}
	l.sent++
	return true
}

// EmitLeftOut notes that a restart is handed out which says how many were left out.
func (l *Container) EmitLeftOut() { l.LeftOut = 0 }
