package podlife

import (
	"time"

	"github.com/rollspan/rollspan/pkg/causality/internal/evidence"
)

// Unready is a span of time in which a pod that had been Ready was not.
type Unready struct {
	Since time.Time       // when it had become Ready before
	Is    evidence.Moment // the second of the API in which that was
	From  time.Time
	Until evidence.Moment // when it was Ready again; unknown if it was not
}

// UnreadyBy are the times in which the pod was not Ready after it had been, as far as they
// began by a time, in order.
func (p *Pod) UnreadyBy(limit time.Time) []Unready {
	var all []Unready
	var ready evidence.Moment
	for _, tr := range p.Ready {
		switch at := tr.At.At(); {
		case at.After(limit):
			return all
		case tr.Status:
			if n := len(all); n > 0 && !all[n-1].Until.Known() {
				all[n-1].Until = tr.At
			}
			ready = tr.At
		case ready.Known() && !p.stopsFrom(tr):
			all = append(all, Unready{Since: ready.At(), Is: ready, From: p.endedFrom(ready.At(), at)})
		}
	}
	return all
}

// reported is how late a kubelet writes that a pod is not Ready, at the most, while it writes at
// all: k8s.io/kubernetes/pkg/kubelet/status, syncPeriod.
const reported = 10 * time.Second

// stopsFrom reports whether a pod that was not Ready from a moment on may have been so as it
// was stopped: the API gives the second. Where the news of that came when it was being stopped,
// the kubelet's clock may be behind without anything that shows it.
func (p *Pod) stopsFrom(unready transition) bool {
	within := time.Second
	if unready.leaving {
		within = reported
	}
	return p.Lost() && unready.At.Earliest.Add(within).After(p.LostAt().At())
}

// endedFrom is when a container of a pod that is Ready ended first in a span of time: with
// that it is not Ready, which its status says later. It is the end of that time if none did.
func (p *Pod) endedFrom(ready, unready time.Time) time.Time {
	first := unready
	for _, container := range p.Containers {
		if container.Init && !container.Sidecar {
			continue
		}
		for _, r := range container.Runs {
			if at := r.Finished.At(); r.Over() && at.After(ready) {
				first = evidence.Earliest(first, at)
			}
		}
	}
	return first
}

// EndedIn are the runs with whose end the containers of the pod stopped running in a span of
// time: of each container the first, by its place among those and its own.
func (p *Pod) EndedIn(from, until time.Time, yield func(container *Container, run int)) {
	for _, container := range p.Containers {
		for i, r := range container.Runs {
			if r.Over() && !r.NeverRan() && !r.Finished.At().Before(from) && r.Finished.At().Before(until) && !container.staysEnded(i) && !p.StoppedWith(container, r) {
				yield(container, i)
				break
			}
		}
	}
}
