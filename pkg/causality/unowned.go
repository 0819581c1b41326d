package causality

import (
	"slices"

	semconv "go.opentelemetry.io/otel/semconv/v1.43.0"
	corev1 "k8s.io/api/core/v1"

	"github.com/rollspan/rollspan/pkg/spans/attr"
)

// podController is the kubelet, which works for a pod that no workload made.
var podController = controller{
	GroupVersionKind: corev1.SchemeGroupVersion.WithKind(kindPod),
	service:          attr.ServiceKubelet,
	nameKey:          semconv.K8SPodNameKey,
	uidKey:           semconv.K8SPodUIDKey,
	pods:             podItself,
	replaces:         replacedNot,
}

// unowned reports whether the pod is its own workload.
func (p *pod) unowned() bool { return p.owner == p.objectID }

// runOf is the workload that a pod is for itself, made if need be.
func (e *Engine) runOf(p *pod) *workload {
	d := e.workloads[p.objectID]
	if d == nil {
		d = &workload{object: p.object, controller: &podController, seen: true}
		e.workloads[p.objectID] = d
		e.adopt(e.podSet(p.object), p.objectID)
	}
	return d
}

// observeUnowned opens and ends the run of a pod that no workload made, or
// none that the engine knows: a custom resource may own it.
func (e *Engine) observeUnowned(p *pod, isNew bool) {
	d := e.runOf(p)
	if isNew && !p.startedBefore() {
		c := d.offer(&change{kind: attr.ChangeRun, cause: attr.CauseCreate, opened: p.firstSeen, start: p.created, wanted: 1})
		for _, container := range p.containers {
			if !slices.Contains(c.imagesAfter, container.image) {
				c.imagesAfter = append(c.imagesAfter, container.image)
			}
		}
		if p.initial {
			c.opened = stamp{arrival: p.created.lo}
		}
		d.begin(c)
	}
	if c := d.current(); c != nil && c.kind == attr.ChangeRun && !c.ended {
		p.endRun(c)
	}
	if p.leaving() {
		d.delete(p.deleteAsked, p.deletion)
	}
}

// startedBefore reports whether the pod's start was over when it was first
// seen, in the list that a watch starts with.
func (p *pod) startedBefore() bool {
	if !p.initial {
		return false
	}
	if _, over := p.startResolved(); over {
		return true
	}
	for _, c := range p.containers {
		for _, r := range c.runs {
			if r.restart > 0 {
				return true // it may have been ready before, who knows
			}
		}
	}
	return false
}

// endRun ends the run of a pod when it is ready or has finished.
func (p *pod) endRun(c *change) {
	tr, ready := p.firstReady()
	switch {
	case p.finished.known():
		how := attr.OutcomeComplete
		if p.phase == podFailed {
			how = attr.OutcomeFailed
		}
		c.finish(how, p.finished, p.finish)
	case !p.finite && ready:
		c.ready = 1
		c.finish(attr.OutcomeComplete, tr.at, stamp{arrival: tr.seen})
	case p.leaving():
		c.finish(attr.OutcomeDeleted, p.deleteAsked, p.deletion)
	case p.failed.known():
		c.finish(attr.OutcomeFailed, p.failed, p.failure)
	}
}
