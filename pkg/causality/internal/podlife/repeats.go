package podlife

import (
	"time"

	"github.com/rollspan/rollspan/pkg/causality/internal/evidence"
)

// The kubelet's Events with the same words are one Event that counts. Of its
// repetitions it states the second, and the news may come after that of what the
// repetition led to: `Pulling x2` after `Successfully pulled image`. Left there,
// it would look like another pull.

// repeated is when a repetition happened: in the second that it states, and not
// after its news.
func (m *milestone) repeated() evidence.Moment {
	if m.At.After(m.stated) {
		return evidence.Moment{Earliest: m.stated, Latest: m.At}
	}
	return evidence.Moment{Earliest: m.stated}
}

// dateRepeats moves repetitions to where the container's other milestones put them,
// and sorts the milestones.
func dateRepeats(milestones []milestone) {
	for i := range milestones {
		if m := &milestones[i]; m.Kind == milestonePulled && m.stated.IsZero() {
			if _, waiting, ok := pullTimes(m.message); ok {
				datePull(milestones, m.At.Add(-waiting))
			}
		}
	}
	sortMilestones(milestones)
	dateCreated(milestones)
	sortMilestones(milestones)
}

// datePull finds the repetition that reports a pull, and dates it by the
// kubelet's own figure.
func datePull(milestones []milestone, began time.Time) {
	best := -1
	for i, m := range milestones {
		off := m.At.Sub(began).Abs()
		if m.Kind == milestonePulling && !m.stated.IsZero() && off < time.Second && (best < 0 || off < milestones[best].At.Sub(began).Abs()) {
			best = i
		}
	}
	if best >= 0 {
		m := &milestones[best]
		m.At, m.Exact, m.stated = evidence.Latest(m.stated, began), true, time.Time{}
	}
}

// dateCreated moves a repetition of Created before the start that it made
// possible: one that has no other.
func dateCreated(milestones []milestone) {
	created := false
	for i, m := range milestones {
		switch m.Kind {
		case milestoneCreated:
			created = true
		case milestoneStarted:
			if !created {
				takeCreated(milestones[i+1:], m.At)
			}
			created = false
		}
	}
}

// takeCreated dates the first repetition of Created in what follows a start, if
// it may be that start's.
func takeCreated(rest []milestone, started time.Time) {
	for i := range rest {
		m := &rest[i]
		switch m.Kind {
		case milestoneStarted:
			return
		case milestoneCreated:
			if !m.stated.IsZero() && !m.stated.After(started) {
				m.At = started
			}
			return
		}
	}
}
