package podlife

import (
	"slices"
	"time"

	"github.com/rollspan/rollspan/pkg/causality/internal/evidence"
	"github.com/rollspan/rollspan/pkg/causality/stream"
	"github.com/rollspan/rollspan/pkg/spans/attr"
)

// A watch begins with a list of pods, and with a list of the Events that are left: those of the last
// hour, or none where nobody may read them. What happened before the list, and of which no Event is
// there, has the times that the pod's state gives, and these are of other things: that a container was
// started says nothing of how long its image was pulled for first.

// Doubts are of those times of the pod that are known worse than to the second.
func (p *Pod) Doubts() evidence.Doubts {
	doubts := p.Object.Doubts()
	if p.listed.IsZero() {
		return doubts
	}
	unheard := func(d stream.Doubt) {
		doubts = doubts.With(evidence.Doubt{Doubt: d, Source: attr.SourceInferred})
	}
	p.unheardRefusal(unheard)
	p.unheardEnd(unheard)
	said := p.eventsOfContainers()
	before := p.CreatedAt() // of what was done for the pod before the container's turn
	for _, at := range []evidence.Moment{p.Scheduled, p.sandboxBefore(p.listed)} {
		before = evidence.Latest(before, at.Earliest)
	}
	turn := before
	turns := []time.Time{before} // when it may have been the turn of a container
	for _, container := range p.Containers {
		var ended time.Time // of the run before
		for _, r := range container.Runs {
			since := turns
			if ended.After(turn) {
				since = []time.Time{ended}
			}
			for _, from := range since {
				p.unheardCreation(container, r, from, said[container.Name], unheard)
			}
			p.unheardKill(container, r, said[container.Name], unheard)
			ended = r.Finished.Earliest
		}
		if last := container.lastRun(); last != nil && container.Init {
			first := container.Runs[0]
			if container.Sidecar && last.Restart > 0 { // others may have had their turn while it was down
				turns = append(turns, evidence.Latest(turn, last.Started.Earliest, last.booted.Earliest))
			}
			if !container.Sidecar {
				turn = evidence.Latest(turn, last.Started.Earliest, last.Finished.Earliest)
			} else if first.Restart == 0 {
				turn = evidence.Latest(turn, first.Started.Earliest, first.booted.Earliest)
			}
			turns = append(turns, turn)
		}
	}
	return doubts
}

// eventsOfContainers are the Events about each container.
func (p *Pod) eventsOfContainers() map[string][]*Event {
	said := map[string][]*Event{}
	for _, ev := range p.Events {
		if ev.Container != "" {
			said[ev.Container] = append(said[ev.Container], ev)
		}
	}
	return said
}

// sandboxBefore is when the pod had its last sandbox by a time.
func (p *Pod) sandboxBefore(by time.Time) (last evidence.Moment) {
	for _, at := range p.Sandboxes {
		if at.Earliest.Before(by) {
			last = at
		}
	}
	return last
}

// saidBetween reports whether one of some Events is for one of these reasons, and happened between two
// times that are known to the second.
func saidBetween(events []*Event, from, until time.Time, reasons ...string) bool {
	return slices.ContainsFunc(events, func(ev *Event) bool {
		return slices.Contains(reasons, ev.Reason) && slices.ContainsFunc(ev.Occurrences, func(o Occurrence) bool {
			return !o.At.Before(from) && o.At.Before(until.Add(time.Second))
		})
	})
}

// unheardCreation says of a run, for which the kubelet had nothing else to do since a time, that
// it may have had its image only when it was started.
func (p *Pod) unheardCreation(container *Container, r *Run, since time.Time, said []*Event, doubt func(stream.Doubt)) {
	started := r.Started.Earliest
	if started.IsZero() || since.IsZero() || !since.Before(p.listed) || saidBetween(said, since, started, reasonPulling, "Pulled") {
		return
	}
	for _, at := range []time.Time{since, started} {
		doubt(stream.Doubt{At: at, Earliest: since, Latest: started, Of: stream.DoubtOfCreation, Container: container.Name})
	}
}

// unheardKill says of a run that ended as those do that the kubelet stops that it may have begun to
// before: it gives a container its grace period.
func (p *Pod) unheardKill(container *Container, r *Run, said []*Event, doubt func(stream.Doubt)) {
	end := r.Finished.At()
	from := evidence.Latest(r.Started.Earliest, end.Add(-container.longestKill-time.Second))
	if !r.Over() || !from.Before(p.listed) || !r.mayBeKilled(container) || saidBetween(said, from, end, ReasonKilling) {
		return
	}
	doubt(stream.Doubt{At: end, Earliest: from, Latest: end, Of: stream.DoubtOfKill, Container: container.Name})
	if o, ok := p.KilledUnreported(container, r); ok {
		doubt(stream.Doubt{At: o.At, Earliest: from, Latest: end, Of: stream.DoubtOfKill, Container: container.Name})
	}
}

// mayBeKilled reports whether the kubelet may have ended a run.
func (r *Run) mayBeKilled(container *Container) bool {
	return (!r.Vanished || r.Reason == RestartingAll) && MayBeKilled(r.ExitCode, r.Reason, container.probeGap > 0)
}

// MayBeKilled reports whether the kubelet may have ended a run that left with a code, for a reason: by a
// signal; as all containers were to be restarted; or with a signal that the program answered as
// it liked, which is likely where it left with code 0, or where a probe watches it.
func MayBeKilled(code int32, reason string, watched bool) bool {
	return reason != OOMKilled && (code == 0 || watched || EndedBySignal(code, reason) || reason == RestartingAll)
}

// unheardEnd says of a pod that its kubelet has ended, and that nobody need have deleted before, that it may have
// begun to before what its state tells: it gives the containers their time to stop.
func (p *Pod) unheardEnd(doubt func(stream.Doubt)) {
	if !p.EndedUndeleted() && (p.Mirrors == "" || !p.Leaving()) {
		return
	}
	at := p.StopAsked(time.Time{})
	from := evidence.Latest(p.lastStart(), at.Add(-p.longestKill()-clockSlack))
	if from.Before(p.listed) && !saidBetween(p.Events, from, at, ReasonKilling, reasonEvicted, reasonPreempting) {
		doubt(stream.Doubt{At: at, Earliest: from, Latest: at})
	}
}

// unheardRefusal says of the reason for which no node took the pod that others may have been
// before: the condition keeps its time while it stays false.
func (p *Pod) unheardRefusal(doubt func(stream.Doubt)) {
	if len(p.Unscheduled) == 0 {
		return
	}
	if from := p.Unscheduled[0].From.At(); from.Before(p.listed) && !saidBetween(p.Events, p.Created.Earliest, from, "FailedScheduling") {
		doubt(stream.Doubt{At: from, Earliest: from, Latest: p.listed, Of: stream.DoubtOfRefusal})
	}
}
