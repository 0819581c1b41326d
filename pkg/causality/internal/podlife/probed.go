package podlife

import (
	"slices"
	"time"

	corev1 "k8s.io/api/core/v1"
)

const (
	// ReadyReport is how long it takes a kubelet to report as Ready a pod that nothing probes, once
	// its containers run: it looks at them once a second or so.
	ReadyReport = 5 * time.Second
	// SlowestStart is how long a pod may take to be Ready for the first time. It is the default of
	// progressDeadlineSeconds: a Deployment would have failed by then. A transition that came later
	// is not taken for the first.
	SlowestStart = 10 * time.Minute
)

// IsProbed reports whether a pod is not Ready just because its containers run.
func IsProbed(spec *corev1.PodSpec) bool {
	if len(spec.ReadinessGates) > 0 {
		return true
	}
	return slices.ContainsFunc(slices.Concat(spec.InitContainers, spec.Containers), func(c corev1.Container) bool {
		return c.ReadinessProbe != nil || c.StartupProbe != nil || c.Lifecycle != nil && c.Lifecycle.PostStart != nil
	})
}
