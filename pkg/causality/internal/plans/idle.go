package plans

import (
	"github.com/rollspan/rollspan/pkg/causality/internal/workloads"
	"github.com/rollspan/rollspan/pkg/spans/attr"
)

// Idle reports whether a scale by the nodes brought and took no pod. A DaemonSet's status
// counts the nodes that are fit for it, and one that is tainted because nobody hears of it
// is not, though its pod stays there (k8s.io/kubernetes/pkg/controller/daemon,
// NodeShouldRunDaemonPod): then nothing was scaled.
func (p *Plan) Idle(c *workloads.Change) bool {
	if c.Kind != attr.ChangeScale || c.Cause != attr.CauseNodes {
		return false
	}
	for _, pod := range p.Pods {
		if p.Starts[pod].Change == c || p.Stops[pod].Change == c {
			return false
		}
	}
	return true
}
