package causality

import "time"

// The kubelet's Events with the same words are one Event that counts. Of its
// repetitions it states the second, and the news may come after that of what the
// repetition led to: `Pulling x2` after `Successfully pulled image`. Left there,
// it would look like another pull.

// repeated is when a repetition happened: in the second that it states, and not
// after its news.
func (m *mark) repeated() moment {
	if m.at.After(m.stated) {
		return moment{lo: m.stated, hi: m.at}
	}
	return moment{lo: m.stated}
}

// dateRepeats moves repetitions to where the container's other marks put them,
// and sorts the marks.
func dateRepeats(marks []mark) {
	for i := range marks {
		if m := &marks[i]; m.kind == markPulled && m.stated.IsZero() {
			if _, waiting, ok := pullTimes(m.message); ok {
				datePull(marks, m.at.Add(-waiting))
			}
		}
	}
	sortMarks(marks)
	dateCreated(marks)
	sortMarks(marks)
}

// datePull finds the repetition that reports a pull, and dates it by the
// kubelet's own figure.
func datePull(marks []mark, began time.Time) {
	best := -1
	for i, m := range marks {
		off := m.at.Sub(began).Abs()
		if m.kind == markPulling && !m.stated.IsZero() && off < time.Second && (best < 0 || off < marks[best].at.Sub(began).Abs()) {
			best = i
		}
	}
	if best >= 0 {
		m := &marks[best]
		m.at, m.exact, m.stated = latest(m.stated, began), true, time.Time{}
	}
}

// dateCreated moves a repetition of Created before the start that it made
// possible: one that has no other.
func dateCreated(marks []mark) {
	created := false
	for i, m := range marks {
		switch m.kind {
		case markCreated:
			created = true
		case markStarted:
			if !created {
				takeCreated(marks[i+1:], m.at)
			}
			created = false
		}
	}
}

// takeCreated dates the first repetition of Created in what follows a start, if
// it may be that start's.
func takeCreated(rest []mark, started time.Time) {
	for i := range rest {
		m := &rest[i]
		switch m.kind {
		case markStarted:
			return
		case markCreated:
			if !m.stated.IsZero() && !m.stated.After(started) {
				m.at = started
			}
			return
		}
	}
}
