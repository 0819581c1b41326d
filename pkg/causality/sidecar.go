package causality

import "time"

// A sidecar is an init container that keeps running. It is done with as an init
// container when it is up: started and, where it has a startup probe, past
// that. From then on it is like any other container, and may crash and be
// started again while others start.

// isUp reports whether a mark says that the sidecar is up.
func (l *containerLine) isUp(m mark) bool {
	if l.hasStartupProbe {
		return m.kind == markBooted
	}
	return m.kind == markStarted
}

// upForGood is when the sidecar's run that lasted was up; zero if none was.
func (l *containerLine) upForGood() time.Time {
	if l.hasStartupProbe {
		return l.bootedForGood()
	}
	return l.startedForGood()
}

// down reports whether the last that is known of the sidecar is that it was not
// running.
func (l *containerLine) down() bool {
	if len(l.marks) == 0 {
		return false
	}
	kind := l.marks[len(l.marks)-1].kind
	return kind != markStarted && kind != markBooted
}

// sidecarTurn is when the kubelet turned to the container after a sidecar, up to
// limit (zero: none): when the sidecar was up for the last time before that was
// worked on.
func (l *containerLine) sidecarTurn(next, limit time.Time) time.Time {
	if next.IsZero() || !limit.IsZero() && next.After(limit) {
		return l.upForGood()
	}
	next = latest(next, l.begin)
	turn := next
	for _, m := range l.marks {
		if l.isUp(m) && !m.at.After(next) {
			turn = m.at
		}
	}
	return turn
}

// narrowBoots moves the time at which a sidecar passed its startup probe, which
// is known by the arrival of the news, before what came next.
func narrowBoots(lines []containerLine) {
	dated := datedByEvents(lines)
	for i := range lines {
		line := &lines[i]
		if !line.sidecar {
			continue
		}
		for j := range line.marks {
			m := &line.marks[j]
			if m.kind != markBooted {
				continue
			}
			started := startOfRun(line.marks, m.run)
			for _, later := range dated.after(i) {
				if first, ok := firstExact(lines[later].marks); ok && first.After(started) && first.Before(m.at) {
					m.at = first
				}
			}
		}
		sortMarks(line.marks)
	}
}

// firstExact is the first thing that an Event dates.
func firstExact(marks []mark) (time.Time, bool) {
	for _, m := range marks {
		if m.exact {
			return m.at, true
		}
	}
	return time.Time{}, false
}
