package kube

import (
	"slices"

	corev1 "k8s.io/api/core/v1"
)

// RestartPolicy says whether a container is started again when it has ended: by
// rules of its own, its own policy, or its pod's (KEP-5307).
type RestartPolicy struct {
	rules     []corev1.ContainerRestartRule
	Otherwise corev1.ContainerRestartPolicy
}

// NewRestartPolicy reads the policy of a container: its own, or else that of its pod.
func NewRestartPolicy(in *corev1.Pod, s *corev1.Container) RestartPolicy {
	if s.RestartPolicy == nil {
		policy := corev1.ContainerRestartPolicy(in.Spec.RestartPolicy)
		if policy == "" {
			policy = corev1.ContainerRestartPolicyAlways
		}
		return RestartPolicy{Otherwise: policy}
	}
	return RestartPolicy{rules: s.RestartPolicyRules, Otherwise: *s.RestartPolicy}
}

// Restarts reports whether a container that ended with a code is started again.
// The first rule that matches decides.
func (p RestartPolicy) Restarts(code int32) bool {
	for _, rule := range p.rules {
		if rule.ExitCodes != nil && slices.Contains(rule.ExitCodes.Values, code) == (rule.ExitCodes.Operator == corev1.ContainerRestartRuleOnExitCodesOpIn) {
			return true // both actions that there are restart it
		}
	}
	switch p.Otherwise {
	case corev1.ContainerRestartPolicyNever:
		return false
	case corev1.ContainerRestartPolicyOnFailure:
		return code != 0
	default:
		return true
	}
}

// finite reports whether the container is to finish, not to stay.
func (p RestartPolicy) finite() bool { return p.Otherwise != corev1.ContainerRestartPolicyAlways }

// IsFinite reports whether a pod is to finish: nothing in it is to stay.
func IsFinite(in *corev1.Pod) bool {
	if len(in.Spec.Containers) == 0 {
		return in.Spec.RestartPolicy == corev1.RestartPolicyNever || in.Spec.RestartPolicy == corev1.RestartPolicyOnFailure
	}
	return !slices.ContainsFunc(in.Spec.Containers, func(s corev1.Container) bool {
		return !NewRestartPolicy(in, &s).finite()
	})
}
