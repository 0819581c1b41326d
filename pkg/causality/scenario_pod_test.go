package causality_test

import (
	"fmt"
	"slices"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
)

// What scenarios about pods in detail need besides.

func newClaim(meta metav1.ObjectMeta) runtime.Object {
	c := &corev1.PersistentVolumeClaim{ObjectMeta: meta}
	c.Status.Phase = corev1.ClaimPending
	return c
}

func setClaim(_ *world, obj runtime.Object, key, val string, _ time.Time) {
	c := obj.(*corev1.PersistentVolumeClaim)
	switch key {
	case "class":
		c.Spec.StorageClassName = &val
	case "bound": // to a volume
		c.Spec.VolumeName = val
		c.Status.Phase = corev1.ClaimBound
	default:
		panic("a claim has no " + key)
	}
}

// setPodDetail sets what few scenarios need of a pod.
func setPodDetail(p *corev1.Pod, key, val string) {
	switch key {
	case "claims", "ephemeral": // volumes
		for name := range strings.SplitSeq(val, ",") {
			v := corev1.Volume{Name: name}
			if key == "claims" {
				v.PersistentVolumeClaim = &corev1.PersistentVolumeClaimVolumeSource{ClaimName: name}
			} else {
				v.Ephemeral = &corev1.EphemeralVolumeSource{}
			}
			p.Spec.Volumes = append(p.Spec.Volumes, v)
		}
	case "image-volume": // its reference
		p.Spec.Volumes = append(p.Spec.Volumes, corev1.Volume{Name: "image", VolumeSource: corev1.VolumeSource{Image: &corev1.ImageVolumeSource{Reference: val}}})
	case "node": // asked for by name
		p.Spec.NodeName = val
	case "finalizers":
		p.Finalizers = nil
		if val != "none" {
			p.Finalizers = strings.Split(val, ",")
		}
	case "gated": // the scheduler may not look at it yet
		p.Status.Conditions = append(p.Status.Conditions, corev1.PodCondition{
			Type: corev1.PodScheduled, Status: corev1.ConditionFalse, Reason: corev1.PodReasonSchedulingGated,
			Message: "Scheduling is blocked due to non-empty scheduling gates", LastTransitionTime: metav1.NewTime(clock(val).Truncate(time.Second)),
		})
	case "notready": // reason:message of the condition Ready
		reason, message, _ := strings.Cut(val, ":")
		p.Status.Conditions = slices.DeleteFunc(p.Status.Conditions, func(c corev1.PodCondition) bool { return c.Type == corev1.PodReady })
		p.Status.Conditions = append(p.Status.Conditions, corev1.PodCondition{
			Type: corev1.PodReady, Status: corev1.ConditionFalse, Reason: reason, Message: message, LastTransitionTime: p.CreationTimestamp,
		})
	default:
		setPodFeature(p, key, val)
	}
}

// setContainerDetail sets what few scenarios need of a container: a probe or a
// hook in its spec; restarts, of which none was seen; booted, whether it has passed its
// startup probe; refused=<when>, that the runtime could not start it.
func setContainerDetail(p *corev1.Pod, s *corev1.ContainerStatus, state, val string) {
	switch state {
	case "probes":
		spec := containerSpec(p, s.Name)
		for kind := range strings.SplitSeq(val, ",") {
			switch kind {
			case "startup":
				spec.StartupProbe = &corev1.Probe{}
			case "readiness":
				spec.ReadinessProbe = &corev1.Probe{}
			default:
				panic("no such probe: " + kind)
			}
		}
	case "poststart":
		containerSpec(p, s.Name).Lifecycle = &corev1.Lifecycle{PostStart: &corev1.LifecycleHandler{}}
	case "prestop":
		containerSpec(p, s.Name).Lifecycle = &corev1.Lifecycle{PreStop: &corev1.LifecycleHandler{}}
	case "restarts": // how many there were that nobody saw
		s.RestartCount = int32(atoi(val))
	case "booted":
		passed := val != "no"
		s.Started = &passed
	case "refused":
		if s.LastTerminationState.Terminated != nil || s.State.Terminated != nil {
			s.RestartCount++
		}
		s.ContainerID = fmt.Sprintf("run://%s/%d", s.Name, s.RestartCount)
		s.State = corev1.ContainerState{Terminated: &corev1.ContainerStateTerminated{
			ContainerID: s.ContainerID, ExitCode: 128, Reason: "StartError",
			Message:   `failed to create containerd task: failed to create shim task: OCI runtime create failed: runc create failed: unable to start container process: error during container init: exec: "serve": executable file not found in $PATH`,
			StartedAt: metav1.NewTime(time.Unix(0, 0)), FinishedAt: metav1.NewTime(clock(val).Truncate(time.Second)),
		}}
	default:
		setContainerFeature(p, s, state, val)
	}
}

func containerSpec(p *corev1.Pod, name string) *corev1.Container {
	for _, list := range [][]corev1.Container{p.Spec.InitContainers, p.Spec.Containers} {
		for i := range list {
			if list[i].Name == name {
				return &list[i]
			}
		}
	}
	panic("the pod has no container " + name)
}
