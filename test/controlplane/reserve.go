package controlplane

import (
	corev1 "k8s.io/api/core/v1"
)

// reserved is the taint of nodes that only take pods which ask for them.
const reserved = "node.test/reserved"

// Reserve keeps a node that AddNode adds for pods that RunOn sends there, so
// that a test can do to it what would upset others.
func Reserve(node *corev1.Node) {
	node.Spec.Taints = append(node.Spec.Taints, corev1.Taint{Key: reserved, Effect: corev1.TaintEffectNoSchedule})
}

// RunOn sends a pod to one of these nodes, reserved or not.
func RunOn(pod *corev1.PodSpec, nodes ...string) {
	pod.Tolerations = append(pod.Tolerations, corev1.Toleration{Key: reserved, Operator: corev1.TolerationOpExists})
	pod.Affinity = &corev1.Affinity{NodeAffinity: &corev1.NodeAffinity{
		RequiredDuringSchedulingIgnoredDuringExecution: &corev1.NodeSelector{NodeSelectorTerms: []corev1.NodeSelectorTerm{{
			MatchExpressions: []corev1.NodeSelectorRequirement{{Key: corev1.LabelHostname, Operator: corev1.NodeSelectorOpIn, Values: nodes}},
		}}},
	}}
}
