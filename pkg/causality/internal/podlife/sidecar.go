package podlife

import (
	"strings"
	"time"

	"github.com/rollspan/rollspan/pkg/causality/internal/evidence"
	"github.com/rollspan/rollspan/pkg/causality/stream"
)

// A sidecar is an init container that keeps running. It is done with as an init
// container when it is up: started and, where it has a startup probe, past
// that. From then on it is like any other container, and may crash and be
// started again while others start.

// isUp reports whether a milestone says that the sidecar is up.
func (l *ContainerLine) isUp(m milestone) bool {
	if l.HasStartupProbe {
		return m.Kind == milestoneBooted
	}
	return m.Kind == milestoneStarted
}

// upForGood is when the sidecar's run that lasted was up; zero if none was.
func (l *ContainerLine) upForGood() time.Time {
	if l.HasStartupProbe {
		return l.BootedForGood()
	}
	return l.startedForGood()
}

// down reports whether the last that is known of the sidecar is that it was not
// running.
func (l *ContainerLine) down() bool {
	if len(l.milestones) == 0 {
		return false
	}
	kind := l.milestones[len(l.milestones)-1].Kind
	return kind != milestoneStarted && kind != milestoneBooted
}

// sidecarTurn is when the kubelet turned to the container after a sidecar, up to
// limit (zero: none): when the sidecar was up for the last time before that was
// worked on.
func (l *ContainerLine) sidecarTurn(next, limit time.Time) time.Time {
	if next.IsZero() || !limit.IsZero() && next.After(limit) {
		return l.upForGood()
	}
	next = evidence.Latest(next, l.Begin)
	turn := next
	for _, m := range l.milestones {
		if l.isUp(m) && !m.At.After(next) {
			turn = m.At
		}
	}
	return turn
}

// narrowBoots moves the time at which a sidecar passed its startup probe, which
// is known by the arrival of the news, before what came next.
func narrowBoots(lines []ContainerLine) {
	dated := datedByEvents(lines)
	for i := range lines {
		line := &lines[i]
		if !line.Sidecar {
			continue
		}
		for j := range line.milestones {
			m := &line.milestones[j]
			if m.Kind != milestoneBooted {
				continue
			}
			started := StartOfRun(line.milestones, m.run)
			for _, later := range dated.after(i) {
				if first, ok := firstExact(lines[later].milestones); ok && first.After(started) && first.Before(m.At) {
					m.At = first
				}
			}
		}
		sortMilestones(line.milestones)
	}
}

// firstExact is the first thing that an Event dates.
func firstExact(milestones []milestone) (time.Time, bool) {
	for _, m := range milestones {
		if m.Exact {
			return m.At, true
		}
	}
	return time.Time{}, false
}

// sidecarsStopped is when the kubelet began to stop the sidecars of a pod that is to end, as its
// Event says: the containers that they serve had ended by then. Zero if nothing says so, or if all
// of the pod is stopped.
func (p *Pod) sidecarsStopped() (first time.Time) {
	if !p.Finite || p.Leaving() {
		return first
	}
	for _, container := range p.Containers {
		if !container.Sidecar {
			continue
		}
		for o := range p.OccurrencesOf(ReasonKilling, container) {
			if strings.HasPrefix(stream.EventWords(o.Message), StoppingWords) {
				first = evidence.Earliest(first, o.At)
			}
		}
	}
	return first
}
