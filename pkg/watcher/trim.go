package watcher

import (
	"encoding/json"
	"hash/maphash"
	"maps"
	"slices"

	appsv1 "k8s.io/api/apps/v1"
	autoscalingv2 "k8s.io/api/autoscaling/v2"
	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"

	"github.com/rollspan/rollspan/pkg/causality"
)

// trim drops from an object, in place, what the engine never reads, before the
// object waits anywhere: who owns which field, what was last applied, a node's
// images. An unstructured object (one that is recorded) is left as it is.
//
// What the engine begins to read must no longer be dropped here; that a
// recording gives the same traces either way is a test.
func trim(object runtime.Object) {
	var m *metav1.ObjectMeta
	keepFields := none
	switch in := object.(type) {
	case *appsv1.Deployment:
		m, keepFields = &in.ObjectMeta, all
	case *appsv1.StatefulSet:
		m, keepFields = &in.ObjectMeta, all
	case *appsv1.DaemonSet:
		m, keepFields = &in.ObjectMeta, all
	case *corev1.ReplicationController:
		m, keepFields = &in.ObjectMeta, all
	case *batchv1.Job:
		m, keepFields = &in.ObjectMeta, all
	case *appsv1.ReplicaSet:
		m = &in.ObjectMeta
		if c := metav1.GetControllerOfNoCopy(in); c == nil || c.Kind != deploymentKind.Kind {
			keepFields = all // of a Deployment's it is the Deployment that somebody wrote
		}
	case *batchv1.CronJob:
		m = &in.ObjectMeta
	case *appsv1.ControllerRevision:
		m = &in.ObjectMeta
		in.Data = runtime.RawExtension{}
	case *autoscalingv2.HorizontalPodAutoscaler:
		m, keepFields = &in.ObjectMeta, ofSpec
		in.Status.CurrentMetrics = nil
	case *corev1.Node:
		m, keepFields = &in.ObjectMeta, ofSpec
		trimNode(in)
	case *corev1.Pod:
		m, keepFields = &in.ObjectMeta, ofStatus
		trimPod(in)
	case *corev1.PersistentVolumeClaim:
		m = &in.ObjectMeta
	case *corev1.Event:
		m = &in.ObjectMeta
	case *metav1.PartialObjectMetadata:
		m = &in.ObjectMeta
		if isCustomWorkload(in.GroupVersionKind().GroupKind()) {
			keepFields = ofSpec
		}
	default:
		return
	}
	m.ManagedFields = keepFields(m.ManagedFields)
	dropCopies(m.Annotations)
}

// dropCopies drops the annotations that are copies of objects: there is in them what is dropped
// or masked elsewhere.
func dropCopies(annotations map[string]string) {
	maps.DeleteFunc(annotations, func(key, _ string) bool { return causality.IsCopy(key) })
}

// trimPod drops how a pod's containers are to run, and leaves which they are and
// what becomes of them; of the volumes it leaves the claims and the images. What waits in the queue
// is less than half of it.
func trimPod(in *corev1.Pod) {
	for _, containers := range [][]corev1.Container{in.Spec.InitContainers, in.Spec.Containers} {
		for i := range containers {
			trimContainer(&containers[i])
		}
	}
	for i := range in.Spec.EphemeralContainers {
		trimContainer((*corev1.Container)(&in.Spec.EphemeralContainers[i].EphemeralContainerCommon))
	}
	for _, statuses := range [][]corev1.ContainerStatus{in.Status.InitContainerStatuses, in.Status.ContainerStatuses} {
		for i := range statuses {
			s := &statuses[i]
			s.AllocatedResources, s.Resources, s.VolumeMounts = nil, nil, nil
		}
	}
	var volumes []corev1.Volume
	for _, v := range in.Spec.Volumes {
		if v.PersistentVolumeClaim != nil || v.Ephemeral != nil || v.Image != nil {
			volumes = append(volumes, v)
		}
	}
	in.Spec.Volumes = volumes
	in.Spec.Affinity, in.Spec.Tolerations, in.Spec.TopologySpreadConstraints = nil, nil, nil
}

func trimContainer(c *corev1.Container) {
	c.Env, c.EnvFrom, c.Command, c.Args = nil, nil, nil, nil // what may be secret
	c.Resources, c.Ports, c.VolumeMounts, c.VolumeDevices = corev1.ResourceRequirements{}, nil, nil, nil
	c.SecurityContext = nil
	// Of probes and hooks it counts which there are, and the numbers of probes. What they run may
	// be secret, and so may the headers that they send.
	for _, p := range []*corev1.Probe{c.LivenessProbe, c.ReadinessProbe, c.StartupProbe} {
		if p != nil {
			p.ProbeHandler = corev1.ProbeHandler{}
		}
	}
	if c.Lifecycle != nil {
		for _, h := range []*corev1.LifecycleHandler{c.Lifecycle.PostStart, c.Lifecycle.PreStop} {
			if h != nil {
				*h = corev1.LifecycleHandler{}
			}
		}
	}
}

// trimNode leaves what can disrupt a node's pods. A heartbeat counts only where
// it is missing: the last one of a condition that became Unknown.
func trimNode(in *corev1.Node) {
	in.Annotations = nil // labels and taints are how a node is told about
	for i := range in.Status.Conditions {
		if c := &in.Status.Conditions[i]; c.Status != corev1.ConditionUnknown {
			c.LastHeartbeatTime = metav1.Time{}
		}
	}
	in.Status = corev1.NodeStatus{
		Phase:      in.Status.Phase,
		Conditions: in.Status.Conditions,
		NodeInfo:   in.Status.NodeInfo,
	}
}

func all(fields []metav1.ManagedFieldsEntry) []metav1.ManagedFieldsEntry { return fields }

func none([]metav1.ManagedFieldsEntry) []metav1.ManagedFieldsEntry { return nil }

// ofSpec are the entries of those who wrote the spec; what is left out changes
// with every status.
func ofSpec(fields []metav1.ManagedFieldsEntry) []metav1.ManagedFieldsEntry {
	return slices.DeleteFunc(fields, func(e metav1.ManagedFieldsEntry) bool { return e.Subresource == "status" })
}

// ofStatus are when each manager last wrote the status, without what of it they own.
func ofStatus(fields []metav1.ManagedFieldsEntry) []metav1.ManagedFieldsEntry {
	var kept []metav1.ManagedFieldsEntry
	for _, e := range fields {
		if e.Subresource == "status" {
			kept = append(kept, metav1.ManagedFieldsEntry{Manager: e.Manager, Subresource: e.Subresource, Time: e.Time})
		}
	}
	return kept
}

// seed is of this process; no digest outlives it.
var seed = maphash.MakeSeed()

// digest is the same for two states of one object if an update from one to the
// other tells the engine nothing. It is made for the kinds whose status is
// written all the time, such as a node's with its heartbeats; of others it is 0,
// which says nothing.
func digest(object runtime.Object) uint64 {
	var bare any
	switch in := object.(type) {
	case *corev1.Node:
		state := *in
		state.ResourceVersion = ""
		bare = &state
	case *autoscalingv2.HorizontalPodAutoscaler:
		state := *in
		state.ResourceVersion = ""
		bare = &state
	default:
		return 0
	}
	b, err := json.Marshal(bare)
	if err != nil {
		return 0
	}
	return maphash.Bytes(seed, b)
}
