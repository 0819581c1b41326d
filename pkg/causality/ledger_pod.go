package causality

import "time"

// podLedger is what was handed out of a pod.
type podLedger struct {
	// startSent and stopSent say that the pod's start, and its stop, need no more telling.
	// startSpan and stopSpan are the spans that were handed out, for Events that come
	// later still; they are nil of what was passed over.
	startSent, stopSent bool
	startSpan, stopSpan *sentSpan
	// replaced is the root of the pod's replacement, once that was handed out.
	replaced *sentSpan
	// inProgress is the time up to which spans "in progress" were handed out for the
	// replacement of the pod.
	inProgress time.Time
	// filled says that the place of the pod was taken by one that is forgotten and that
	// was made at filledAt.
	filled   bool
	filledAt time.Time
	// evened says that the pod which was removed because this one came back is forgotten.
	evened bool
	// restartSent has the last run, by container, whose restart was told.
	restartSent map[string]int32
	// victims are pods that were lost for this one.
	victims consequences
}

// toldStart notes that the pod's start was handed out.
func (l *podLedger) toldStart(s *sentSpan) { l.startSent, l.startSpan = true, s }

// passOverStart notes that the pod's start is old news: it was over when its workload
// took the pod in.
func (l *podLedger) passOverStart() { l.startSent = true }

// toldStop notes that the pod's stop was handed out.
func (l *podLedger) toldStop(s *sentSpan) { l.stopSent, l.stopSpan = true, s }

// passOverStop notes that there is no stop to tell: the pod stays, as what is left of it.
func (l *podLedger) passOverStop() { l.stopSent = true }

// toldReplacement notes that the pod's replacement was handed out.
func (l *podLedger) toldReplacement(root *sentSpan) { l.replaced = root }

// toldUpTo notes that the pod's replacement was told of while it went on.
func (l *podLedger) toldUpTo(until time.Time) { l.inProgress = until }

// toldRestart notes the last run of a container whose end needs no more telling.
func (l *podLedger) toldRestart(container string, run int32) {
	if l.restartSent == nil {
		l.restartSent = map[string]int32{}
	}
	l.restartSent[container] = run
}

// fill notes that the pod which took the place of this one, and was made at a time, is
// about to be forgotten.
func (l *podLedger) fill(made time.Time) { l.filled, l.filledAt = true, made }

// even notes that the pod which was removed because this one came back is about to be
// forgotten.
func (l *podLedger) even() { l.evened = true }

// lost notes that a pod was lost for this one.
func (l *podLedger) lost(victim consequence) { l.victims.add(victim) }

// maxRestartsTold is how many restarts of one container are told in an hour. A
// crash loop has twelve an hour when its back-off has reached its limit, for as
// long as nobody looks.
const maxRestartsTold = 10

// containerLedger is what was handed out of a container.
type containerLedger struct {
	// told counts the restarts that were told since toldSince, leftOut those
	// that were not.
	told      int
	toldSince time.Time
	leftOut   int
}

// mayTell reports whether a restart is still to be told, and counts it if not:
// the next one that is says how many were left out.
func (l *containerLedger) mayTell(at time.Time) bool {
	if at.After(l.toldSince.Add(time.Hour)) {
		l.toldSince, l.told = at, 0
	}
	if l.told >= maxRestartsTold {
		l.leftOut++
		return false
	}
	l.told++
	return true
}

// toldLeftOut notes that it was told how many restarts were left out.
func (l *containerLedger) toldLeftOut() { l.leftOut = 0 }
