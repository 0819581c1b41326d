package causality

import (
	"slices"
	"time"
)

// maxSandboxes bounds what is kept of a pod whose sandbox dies again and again.
const maxSandboxes = 16

// observeSandbox keeps when the pod got a sandbox.
func (p *pod) observeSandbox(has bool, at moment) {
	if has && (len(p.sandboxes) == 0 || p.noSandbox) {
		p.sandboxes = append(p.sandboxes, at)
	}
	p.noSandbox = !has
	if len(p.sandboxes) > maxSandboxes {
		p.sandboxes = slices.Delete(p.sandboxes, 1, 2) // the first one ends a phase of the start
	}
}

// sandboxBy is when the pod got the sandbox that it had when the first thing was
// done for a container (zero: nothing was); the first one, if none was there by then.
func (p *pod) sandboxBy(first time.Time) time.Time {
	var at time.Time
	for i, m := range p.sandboxes {
		if i == 0 || first.IsZero() || !m.lo.After(first) {
			at = m.at()
		}
	}
	return at
}
