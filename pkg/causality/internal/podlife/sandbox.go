package podlife

import (
	"slices"
	"time"

	"github.com/rollspan/rollspan/pkg/causality/internal/evidence"
)

// maxSandboxes bounds what is kept of a pod whose sandbox dies again and again.
const maxSandboxes = 16

// observeSandbox keeps when the pod got a sandbox.
func (p *Pod) observeSandbox(has bool, at evidence.Moment) {
	if has && (len(p.Sandboxes) == 0 || p.noSandbox) {
		p.Sandboxes = append(p.Sandboxes, at)
	}
	p.noSandbox = !has
	if len(p.Sandboxes) > maxSandboxes {
		p.Sandboxes = slices.Delete(p.Sandboxes, 1, 2) // the first one ends a phase of the start
	}
}

// sandboxBy is when the pod got the sandbox that it had when the first thing was
// done for a container (zero: nothing was); the first one, if none was there by then.
func (p *Pod) sandboxBy(first time.Time) time.Time {
	var at time.Time
	for i, m := range p.Sandboxes {
		if i == 0 || first.IsZero() || !m.Earliest.After(first) {
			at = m.At()
		}
	}
	return at
}
