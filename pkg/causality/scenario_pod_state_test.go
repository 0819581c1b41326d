package causality_test

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
)

func newPod(meta metav1.ObjectMeta) runtime.Object {
	p := &corev1.Pod{ObjectMeta: meta}
	p.Status.Phase = corev1.PodPending
	return p
}

func setPod(_ *world, obj runtime.Object, key, val string, now time.Time) {
	p := obj.(*corev1.Pod)
	if name, state, ok := strings.Cut(key, ":"); ok {
		setContainer(p, name, state, val)
		return
	}
	condition := func(kind corev1.PodConditionType, status corev1.ConditionStatus, at string) {
		p.Status.Conditions = slices.DeleteFunc(p.Status.Conditions, func(c corev1.PodCondition) bool { return c.Type == kind })
		p.Status.Conditions = append(p.Status.Conditions, corev1.PodCondition{Type: kind, Status: status, LastTransitionTime: metav1.NewTime(clock(at).Truncate(time.Second))})
	}
	switch key {
	case "containers", "init", "sidecar":
		for name := range strings.SplitSeq(val, ",") {
			c := corev1.Container{Name: name, Image: name + ":1"}
			if key == "sidecar" {
				always := corev1.ContainerRestartPolicyAlways
				c.RestartPolicy = &always
			}
			if key == "containers" {
				p.Spec.Containers = append(p.Spec.Containers, c)
			} else {
				p.Spec.InitContainers = append(p.Spec.InitContainers, c)
			}
		}
	case "startup": // gives the first container a startup probe
		p.Spec.Containers[0].StartupProbe = &corev1.Probe{}
	case "readiness":
		p.Spec.Containers[0].ReadinessProbe = &corev1.Probe{}
	case "restart": // restartPolicy
		p.Spec.RestartPolicy = corev1.RestartPolicy(val)
	case "gate":
		p.Spec.ReadinessGates = []corev1.PodReadinessGate{{ConditionType: corev1.PodConditionType(val)}}
	case "started": // the first container passed its startup probe
		yes := true
		p.Status.ContainerStatuses[0].Started = &yes
	case "containersready":
		condition(corev1.ContainersReady, corev1.ConditionTrue, val)
	case "hash": // the ControllerRevision of a StatefulSet's pod
		p.Labels = map[string]string{appsv1.StatefulSetRevisionLabel: val}
	case "node": // before scheduled, if it is another than node-a
		p.Spec.NodeName = val
	case "nominated":
		p.Status.NominatedNodeName = val
	case "scheduled":
		p.Spec.NodeName = cmp.Or(p.Spec.NodeName, "node-a")
		started := metav1.NewTime(clock(val).Truncate(time.Second))
		p.Status.StartTime = &started
		condition(corev1.PodScheduled, corev1.ConditionTrue, val)
	case "unschedulable":
		since := metav1.NewTime(now.Truncate(time.Second))
		for _, c := range p.Status.Conditions {
			if c.Type == corev1.PodScheduled && c.Status == corev1.ConditionFalse {
				since = c.LastTransitionTime // another reason is no transition
			}
		}
		condition(corev1.PodScheduled, corev1.ConditionFalse, "0:0")
		last := &p.Status.Conditions[len(p.Status.Conditions)-1]
		last.Reason, last.Message, last.LastTransitionTime = corev1.PodReasonUnschedulable, val, since
	case "sandbox":
		condition(corev1.PodReadyToStartContainers, corev1.ConditionTrue, val)
	case "ready":
		condition(corev1.PodReady, corev1.ConditionTrue, val)
	case "unready":
		condition(corev1.PodReady, corev1.ConditionFalse, val)
	case "disruption":
		condition(corev1.DisruptionTarget, corev1.ConditionTrue, "0:0")
		p.Status.Conditions[len(p.Status.Conditions)-1].Reason = val
	case "phase":
		p.Status.Phase = corev1.PodPhase(val)
	case "reason":
		p.Status.Reason = val
	case "message":
		p.Status.Message = val
	default:
		setPodDetail(p, key, val)
	}
}

// setContainer sets a container's state: running=<when>, waiting=<reason>,
// message=<of waiting>, exit=<code>@<when>[@reason].
func setContainer(p *corev1.Pod, name, state, val string) {
	statuses := &p.Status.ContainerStatuses
	if slices.ContainsFunc(p.Spec.InitContainers, func(c corev1.Container) bool { return c.Name == name }) {
		statuses = &p.Status.InitContainerStatuses
	}
	if slices.ContainsFunc(p.Spec.EphemeralContainers, func(c corev1.EphemeralContainer) bool { return c.Name == name }) {
		statuses = &p.Status.EphemeralContainerStatuses
	}
	i := slices.IndexFunc(*statuses, func(s corev1.ContainerStatus) bool { return s.Name == name })
	if i < 0 {
		*statuses = append(*statuses, corev1.ContainerStatus{Name: name})
		i = len(*statuses) - 1
	}
	s := &(*statuses)[i]
	old := s.State
	switch state {
	case "running":
		if old.Terminated != nil {
			s.LastTerminationState = old
		}
		if s.LastTerminationState.Terminated != nil {
			s.RestartCount++
		}
		s.ContainerID = fmt.Sprintf("run://%s/%d", name, s.RestartCount)
		s.State = corev1.ContainerState{Running: &corev1.ContainerStateRunning{StartedAt: metav1.NewTime(clock(val).Truncate(time.Second))}}
	case "waiting":
		if old.Terminated != nil {
			s.LastTerminationState = old
		}
		s.State = corev1.ContainerState{Waiting: &corev1.ContainerStateWaiting{Reason: val}}
	case "message":
		s.State.Waiting.Message = val
	case "exit":
		part := strings.Split(val+"@", "@")
		started := metav1.Time{}
		if old.Running != nil {
			started = old.Running.StartedAt
		}
		s.State = corev1.ContainerState{Terminated: &corev1.ContainerStateTerminated{
			ContainerID: s.ContainerID, ExitCode: int32(atoi(part[0])), Reason: part[2],
			StartedAt: started, FinishedAt: metav1.NewTime(clock(part[1]).Truncate(time.Second)),
		}}
	default:
		setContainerDetail(p, s, state, val)
	}
}
