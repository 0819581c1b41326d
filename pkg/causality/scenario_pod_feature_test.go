package causality_test

import (
	"fmt"
	"slices"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// What scenarios about features of pods need besides that few pods use.

// setPodFeature sets what is special about a pod.
func setPodFeature(p *corev1.Pod, key, val string) {
	condition := func(kind corev1.PodConditionType, status corev1.ConditionStatus, at string) *corev1.PodCondition {
		p.Status.Conditions = slices.DeleteFunc(p.Status.Conditions, func(c corev1.PodCondition) bool { return c.Type == kind })
		p.Status.Conditions = append(p.Status.Conditions, corev1.PodCondition{Type: kind, Status: status, LastTransitionTime: metav1.NewTime(clock(at).Truncate(time.Second))})
		return &p.Status.Conditions[len(p.Status.Conditions)-1]
	}
	switch key {
	case "debug": // an ephemeral container
		p.Spec.EphemeralContainers = append(p.Spec.EphemeralContainers, corev1.EphemeralContainer{
			EphemeralContainerCommon: corev1.EphemeralContainerCommon{Name: val, Image: val + ":1"},
		})
		p.Generation++
	case "disrupted": // <reason>@<when>, or <when> it was withdrawn
		if reason, at, ok := strings.Cut(val, "@"); ok {
			condition(corev1.DisruptionTarget, corev1.ConditionTrue, at).Reason = reason
		} else {
			condition(corev1.DisruptionTarget, corev1.ConditionFalse, val)
		}
	case "mirrors": // the static pod with that UID, which is a hash
		p.Annotations[corev1.MirrorPodAnnotationKey] = val
	case "grace": // terminationGracePeriodSeconds
		grace := int64(atoi(val))
		p.Spec.TerminationGracePeriodSeconds = &grace
	case "nosandbox":
		condition(corev1.PodReadyToStartContainers, corev1.ConditionFalse, val)
	case "gates":
		p.Spec.SchedulingGates = nil
		for name := range strings.SplitSeq(val, ",") {
			if name != "none" {
				p.Spec.SchedulingGates = append(p.Spec.SchedulingGates, corev1.PodSchedulingGate{Name: name})
			}
		}
	case "resizing": // <when>, or Deferred or Infeasible
		p.Status.Conditions = slices.DeleteFunc(p.Status.Conditions, func(c corev1.PodCondition) bool {
			return c.Type == corev1.PodResizePending || c.Type == corev1.PodResizeInProgress
		})
		switch val {
		case "done":
		case corev1.PodReasonDeferred, corev1.PodReasonInfeasible:
			condition(corev1.PodResizePending, corev1.ConditionTrue, "0:0").Reason = val
		default:
			condition(corev1.PodResizeInProgress, corev1.ConditionTrue, val)
		}
	case "restarting": // all containers
		condition(corev1.AllContainersRestarting, corev1.ConditionTrue, val).Reason = "RestartAllContainersStarted"
	case "reported": // when the kubelet wrote this status, by the API server's clock
		at := metav1.NewTime(clock(val).Truncate(time.Second))
		p.ManagedFields = []metav1.ManagedFieldsEntry{{Manager: "kubelet", Subresource: "status", Time: &at}}
	case "period": // of the readiness probe of the first container, in seconds
		p.Spec.Containers[0].ReadinessProbe = &corev1.Probe{PeriodSeconds: int32(atoi(val))}
	case "restarted":
		condition(corev1.AllContainersRestarting, corev1.ConditionFalse, val)
	default:
		panic("a pod has no " + key)
	}
}

// setContainerFeature sets what is special about a container.
func setContainerFeature(p *corev1.Pod, s *corev1.ContainerStatus, state, val string) {
	switch state {
	case "policy": // its own restartPolicy
		policy := corev1.ContainerRestartPolicy(val)
		containerSpec(p, s.Name).RestartPolicy = &policy
	case "rule": // <action>@<exit code>
		action, code, _ := strings.Cut(val, "@")
		c := containerSpec(p, s.Name)
		c.RestartPolicyRules = append(c.RestartPolicyRules, corev1.ContainerRestartRule{
			Action: corev1.ContainerRestartRuleAction(action),
			ExitCodes: &corev1.ContainerRestartRuleOnExitCodes{
				Operator: corev1.ContainerRestartRuleOnExitCodesOpIn, Values: []int32{int32(atoi(code))},
			},
		})
	case "ready":
		s.Ready = val != "no"
	case "image":
		p.Generation++
		containerSpec(p, s.Name).Image = val
	case "cpu":
		p.Generation++
		containerSpec(p, s.Name).Resources.Requests = corev1.ResourceList{corev1.ResourceCPU: resource.MustParse(val)}
	case "vanished":
		// The runtime has it no more, and the kubelet makes an end up for it
		// (convertToAPIContainerStatuses): without an ID, without times.
		s.State = corev1.ContainerState{Waiting: &corev1.ContainerStateWaiting{Reason: "ContainerCreating"}}
		if val == "RestartingAllContainers" {
			s.State.Waiting.Reason = val
		}
		s.LastTerminationState = corev1.ContainerState{Terminated: &corev1.ContainerStateTerminated{Reason: val, ExitCode: 137}}
		s.RestartCount++
	case "again": // runs, under the count that it has
		s.State = corev1.ContainerState{Running: &corev1.ContainerStateRunning{StartedAt: metav1.NewTime(clock(val).Truncate(time.Second))}}
		s.ContainerID = fmt.Sprintf("run://%s/%d-again", s.Name, s.RestartCount)
	default:
		panic("a container has no " + state)
	}
}
