package ledger

import (
	"time"
)

// Pod is what was handed out of a pod.
type Pod struct {
	// startSent and stopSent say that the pod's start, and its stop, need no more telling.
	// startSpan and stopSpan are the spans that were handed out, for Events that come
	// later still; they are nil of what was passed over.
	StartSent, StopSent bool
	StartSpan, StopSpan *SentSpan
	// replaced is the root of the pod's replacement, once that was handed out.
	Replaced *SentSpan
	// inProgress is the time up to which spans "in progress" were handed out for the
	// replacement of the pod.
	InProgress time.Time
	// filled says that the place of the pod was taken by one that is forgotten and that
	// was made at filledAt.
	Filled   bool
	FilledAt time.Time
	// SurplusForgotten says that the pod which was removed because this one came back is forgotten.
	SurplusForgotten bool
	// restartSent has the last run, by container, whose restart was told.
	RestartSent map[string]int32
	// victims are pods that were lost for this one.
	Victims Consequences
}

// EmitStart notes that the pod's start was handed out.
func (l *Pod) EmitStart(s *SentSpan) { l.StartSent, l.StartSpan = true, s }

// PassOverStart notes that the pod's start is old news: it was over when its workload
// took the pod in.
func (l *Pod) PassOverStart() { l.StartSent = true }

// EmitStop notes that the pod's stop was handed out.
func (l *Pod) EmitStop(s *SentSpan) { l.StopSent, l.StopSpan = true, s }

// PassOverStop notes that there is no stop to tell: the pod stays, as what is left of it.
func (l *Pod) PassOverStop() { l.StopSent = true }

// EmitReplacement notes that the pod's replacement was handed out.
func (l *Pod) EmitReplacement(root *SentSpan) { l.Replaced = root }

// EmitUpTo notes that the pod's replacement was told of while it went on.
func (l *Pod) EmitUpTo(until time.Time) { l.InProgress = until }

// EmitRestart notes the last run of a container whose end needs no more telling.
func (l *Pod) EmitRestart(container string, run int32) {
	if l.RestartSent == nil {
		l.RestartSent = map[string]int32{}
	}
	l.RestartSent[container] = run
}

// Fill notes that the pod which took the place of this one, and was made at a time, is
// about to be forgotten.
func (l *Pod) Fill(made time.Time) { l.Filled, l.FilledAt = true, made }

// ForgetSurplus notes that the pod which was removed because this one came back is about to be
// forgotten.
func (l *Pod) ForgetSurplus() { l.SurplusForgotten = true }

// AddVictim notes that a pod was lost for this one.
func (l *Pod) AddVictim(victim Consequence) { l.Victims.add(victim) }

// MaxRestartsSent is how many restarts of one container are told in an hour. A
// crash loop has twelve an hour when its back-off has reached its limit, for as
// long as nobody looks.
const MaxRestartsSent = 10

// Container is what was handed out of a container.
type Container struct {
	// told counts the restarts that were told since toldSince, leftOut those
	// that were not.
	sent      int
	sentSince time.Time
	LeftOut   int
}

// MayEmit reports whether a restart is still to be told, and counts it if not:
// the next one that is says how many were left out.
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

// EmitLeftOut notes that it was told how many restarts were left out.
func (l *Container) EmitLeftOut() { l.LeftOut = 0 }
