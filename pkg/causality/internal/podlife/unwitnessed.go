package podlife

import (
	"time"

	"github.com/rollspan/rollspan/pkg/causality/internal/evidence"
)

// Unwitnessed reports whether nothing says if the pod was ever Ready: a snapshot has
// only Events of it, in which its containers had started, and it was removed later. The
// kubelet has no Event for a pod that is Ready.
func (p *Pod) Unwitnessed() bool {
	if !p.Inferred || p.Phase != "" || p.Finite || !p.Lost() {
		return false
	}
	if _, ready := p.FirstReady(); ready {
		return false
	}
	lost := p.LostAt().At()
	tl := p.Timeline(lost)
	for i := range tl.Containers {
		if line := &tl.Containers[i]; !line.Init && line.End.IsZero() {
			return false // it was not up, so it was not Ready
		}
	}
	_, failed := p.Trouble(tl, lost)
	return !failed && len(tl.Containers) > 0
}

// LastKnown is the last that Events say of the pod's start, by a time.
func (p *Pod) LastKnown(by time.Time) (last time.Time) {
	for _, ev := range p.Events {
		if _, started := MilestoneKinds[ev.Reason]; !started && ev.Reason != reasonUnhealthy && ev.Reason != "Scheduled" {
			continue
		}
		if o := ev.Until(by); o.At.Before(by) {
			last = evidence.Latest(last, o.At)
		}
	}
	return last
}
