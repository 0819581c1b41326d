package causality

import (
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/rollspan/rollspan/pkg/spans/attr"
)

// startOf dates the write that opened a change: not after the first thing the
// controllers did about it.
func (p *plan) startOf(c *change) time.Time {
	if t, ok := p.startedAt[c]; ok {
		return t
	}
	at := c.start
	for _, s := range p.stepsOf(c) {
		if !s.step.initial {
			at = at.before(p.decided(s.rs, s.step))
		}
	}
	if c.kind == attr.ChangeDelete || p.direct() {
		for q, s := range p.stops {
			if s.change == c && q.leaving() {
				at = at.before(p.stopAsked(q))
			}
		}
	}
	if p.direct() {
		for q, s := range p.starts {
			if s.change == c {
				at = at.before(q.createdAt())
			}
		}
	}
	p.startedAt[c] = at.at()
	return at.at()
}

// decided dates a step: the controller has written the ReplicaSet by the time
// its Event says so, and before the step's first pod is there.
func (p *plan) decided(rs *podSet, s *step) time.Time {
	if t, ok := p.decidedAt[s]; ok {
		return t
	}
	at := s.decided
	if ev := p.scalingEvent(rs, s); !ev.IsZero() {
		at = at.before(ev)
	}
	for _, q := range p.startsOf[s] {
		at = at.before(q.createdAt())
	}
	for _, q := range p.stopsOf[s] {
		at = at.before(p.stopAsked(q))
	}
	p.decidedAt[s] = at.at()
	return at.at()
}

// scalingEvent finds the Deployment's Event for a step: "Scaled up replica set
// web-6757 from 0 to 1", without "from 0" in older versions. The words are only
// a hint, which other rollouts repeat; of several the nearest in time is the one,
// and none from before the step that came before.
func (p *plan) scalingEvent(rs *podSet, s *step) time.Time {
	var best, after time.Time
	if i := slices.Index(rs.steps, s); i > 0 {
		after = p.decided(rs, rs.steps[i-1])
	}
	for _, ev := range p.events {
		if ev.reason != "ScalingReplicaSet" {
			continue
		}
		for _, o := range ev.occurrences {
			if !o.at.Before(after) && describesStep(o.message, rs, s) && (best.IsZero() || o.at.Sub(s.decided.at()).Abs() < best.Sub(s.decided.at()).Abs()) {
				best = o.at
			}
		}
	}
	return best
}

func describesStep(message string, rs *podSet, s *step) bool {
	direction := "Scaled down"
	if s.up() {
		direction = "Scaled up"
	}
	return strings.Contains(message, direction) && strings.Contains(message, " "+rs.name+" ") &&
		strings.HasSuffix(message, " to "+strconv.Itoa(int(s.to)))
}
