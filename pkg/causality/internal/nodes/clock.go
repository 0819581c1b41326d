package nodes

import (
	"time"

	corev1 "k8s.io/api/core/v1"

	"github.com/rollspan/rollspan/pkg/causality/internal/clocks"
)

// isKubelets reports whether a condition is one that a kubelet writes, and the node controller where
// it is silent (k8s.io/kubernetes/pkg/kubelet/nodestatus).
func isKubelets(in *corev1.NodeCondition) bool {
	switch in.Type {
	case corev1.NodeReady, corev1.NodeMemoryPressure, corev1.NodeDiskPressure, corev1.NodePIDPressure:
		return true
	}
	return false
}

// Ahead is how far the clock is ahead that states since when a condition is as it is. What the
// node controller says, that the kubelet is silent, is by a right one.
//
// Who else writes a condition, on the node or elsewhere, proves nothing of the node's clock: it may
// remember what it states from before there was this Node. And where that lies before its news, a
// right clock may have stated it.
func Ahead(in *corev1.NodeCondition, clock *clocks.Clock, s clocks.Statement) time.Duration {
	if !isKubelets(in) {
		by := clock.Reading(s)
		if by > 0 && !s.Time.After(s.By) {
			return 0
		}
		return by
	}
	if in.Status == corev1.ConditionUnknown {
		return 0
	}
	return clock.Date(s)
}
