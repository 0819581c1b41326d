package podlife

import (
	"slices"
	"time"

	"github.com/rollspan/rollspan/pkg/causality/internal/evidence"
)

// ReadyAt reports whether the pod was Ready at t.
func (p *Pod) ReadyAt(t time.Time) bool {
	ready := false
	for _, tr := range p.Ready {
		if !tr.At.At().After(t) {
			ready = tr.Status
		}
	}
	return ready
}

// ReadySince is when a pod that is Ready at t became so.
func (p *Pod) ReadySince(t time.Time) time.Time {
	var since time.Time
	ready := false
	for _, tr := range p.Ready {
		if at := tr.At.At(); !at.After(t) {
			if tr.Status && !ready {
				since = at
			}
			ready = tr.Status
		}
	}
	return since
}

// StayedReady is when the pod became Ready and, as far as could be seen until a time,
// stayed so for d.
func (p *Pod) StayedReady(d time.Duration, until time.Time) (since time.Time, ok bool) {
	for _, tr := range p.Ready {
		switch at := tr.At.At(); {
		case tr.Status && !ok:
			since, ok = tr.At.Earliest, true
		case !tr.Status && ok && !at.After(until) && at.Before(since.Add(d)):
			ok = false
		}
	}
	return since, ok
}

// RunsAt reports whether one of the pod's containers ran at t that are not there
// to prepare it.
func (p *Pod) RunsAt(t time.Time) bool {
	return slices.ContainsFunc(p.Containers, func(container *Container) bool { return !container.Init && container.RunningAt(t) })
}

// WasLostBy reports whether the pod was lost by t.
func (p *Pod) WasLostBy(t time.Time) bool { return p.Lost() && !p.LostAt().At().After(t) }

// CrashedSince is why a container of a pod that is Ready at a time ended last, if one has since
// the pod was Ready first, and it has not stayed so for long enough since.
func (p *Pod) CrashedSince(minReady time.Duration, at time.Time) (why evidence.Failure, ok bool) {
	first, was := p.FirstReady()
	if !was || !p.ReadySince(at).Add(minReady).After(at) {
		return evidence.Failure{}, false
	}
	return p.LastCrash(first.At.At(), at)
}

// LastCrash is why a container of the pod ended last in a span of time, if one did.
func (p *Pod) LastCrash(from, to time.Time) (why evidence.Failure, ok bool) {
	var last time.Time
	for _, container := range p.Containers {
		r := container.LastEnded(to)
		if r == nil || r.Finished.At().Before(from) || !r.Finished.At().After(last) || p.EndedWithPod(container, r) {
			continue
		}
		last = r.Finished.At()
		why, ok = p.Of(container, p.WhyEnded(container, r)), true
	}
	return why, ok
}
