package causality_test

import (
	"strings"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/util/intstr"
)

func newStatefulSet(meta metav1.ObjectMeta) runtime.Object {
	s := &appsv1.StatefulSet{ObjectMeta: meta}
	s.Spec.Template.Spec.Containers = []corev1.Container{{Name: "db", Image: "db:1"}}
	return s
}

func setStatefulSet(_ *world, obj runtime.Object, key, val string, now time.Time) {
	s := obj.(*appsv1.StatefulSet)
	switch key {
	case "image", "replicas", "partition", "ordinals":
		if s.Status.ObservedGeneration > 0 {
			s.Generation++
		}
	}
	switch key {
	case "image":
		s.Spec.Template.Spec.Containers[0].Image = val
	case "replicas":
		n := int32(atoi(val))
		s.Spec.Replicas = &n
	case "partition":
		n := int32(atoi(val))
		s.Spec.UpdateStrategy.RollingUpdate = &appsv1.RollingUpdateStatefulSetStrategy{Partition: &n}
	case "ordinals": // the first one
		s.Spec.Ordinals = &appsv1.StatefulSetOrdinals{Start: int32(atoi(val))}
	case "manager": // of the numbers and the first ordinal
		at := metav1.NewTime(now.Truncate(time.Second))
		s.ManagedFields = []metav1.ManagedFieldsEntry{{
			Manager: val, Time: &at, FieldsV1: metav1.NewFieldsV1(`{"f:spec":{"f:ordinals":{"f:start":{}},"f:replicas":{}}}`),
		}}
	case "template-by": // of the pod template
		at := metav1.NewTime(now.Truncate(time.Second))
		s.ManagedFields = []metav1.ManagedFieldsEntry{{Manager: val, Time: &at, FieldsV1: metav1.NewFieldsV1(`{"f:spec":{"f:template":{}}}`)}}
	case "policy":
		s.Spec.PodManagementPolicy = appsv1.PodManagementPolicyType(val)
	case "strategy":
		s.Spec.UpdateStrategy.Type = appsv1.StatefulSetUpdateStrategyType(val)
	case "minready":
		s.Spec.MinReadySeconds = int32(atoi(val))
	case "max-unavailable":
		n := intstr.Parse(val)
		s.Spec.UpdateStrategy.RollingUpdate = &appsv1.RollingUpdateStatefulSetStrategy{MaxUnavailable: &n}
	case "current":
		s.Status.CurrentRevision = val
	case "update":
		s.Status.UpdateRevision = val
	case "status": // updated/total/ready/available (all that are ready) of the current generation
		part := strings.Split(val, "/")
		s.Status.ObservedGeneration = s.Generation
		s.Status.UpdatedReplicas = int32(atoi(part[0]))
		s.Status.Replicas = int32(atoi(part[1]))
		s.Status.ReadyReplicas = int32(atoi(part[2]))
		s.Status.AvailableReplicas = s.Status.ReadyReplicas
		if len(part) > 3 {
			s.Status.AvailableReplicas = int32(atoi(part[3]))
		}
	default:
		panic("a statefulset has no " + key)
	}
}

func newDaemonSet(meta metav1.ObjectMeta) runtime.Object {
	d := &appsv1.DaemonSet{ObjectMeta: meta}
	d.Spec.Template.Spec.Containers = []corev1.Container{{Name: "agent", Image: "agent:1"}}
	return d
}

func setDaemonSet(_ *world, obj runtime.Object, key, val string, _ time.Time) {
	d := obj.(*appsv1.DaemonSet)
	switch key {
	case "image":
		if d.Status.ObservedGeneration > 0 {
			d.Generation++
		}
		d.Spec.Template.Spec.Containers[0].Image = val
	case "strategy":
		d.Spec.UpdateStrategy.Type = appsv1.DaemonSetUpdateStrategyType(val)
	case "status": // desired/current/updated/available of the current generation
		part := strings.Split(val, "/")
		d.Status.ObservedGeneration = d.Generation
		d.Status.DesiredNumberScheduled = int32(atoi(part[0]))
		d.Status.CurrentNumberScheduled = int32(atoi(part[1]))
		d.Status.UpdatedNumberScheduled = int32(atoi(part[2]))
		d.Status.NumberAvailable = int32(atoi(part[3]))
	case "misscheduled":
		d.Status.NumberMisscheduled = int32(atoi(val))
	default:
		panic("a daemonset has no " + key)
	}
}

func newControllerRevision(meta metav1.ObjectMeta) runtime.Object {
	return &appsv1.ControllerRevision{ObjectMeta: meta, Revision: 1}
}

func setControllerRevision(_ *world, obj runtime.Object, key, val string, _ time.Time) {
	if key != "revision" {
		panic("a controllerrevision has no " + key)
	}
	obj.(*appsv1.ControllerRevision).Revision = int64(atoi(val))
}

func newReplicationController(meta metav1.ObjectMeta) runtime.Object {
	rc := &corev1.ReplicationController{ObjectMeta: meta}
	rc.Spec.Template = &corev1.PodTemplateSpec{Spec: corev1.PodSpec{Containers: []corev1.Container{{Name: "web", Image: "app:1"}}}}
	return rc
}

func setReplicationController(_ *world, obj runtime.Object, key, val string, _ time.Time) {
	rc := obj.(*corev1.ReplicationController)
	switch key {
	case "replicas":
		if rc.Status.ObservedGeneration > 0 {
			rc.Generation++
		}
		n := int32(atoi(val))
		rc.Spec.Replicas = &n
	case "status": // total/available of the current generation
		total, available, _ := strings.Cut(val, "/")
		rc.Status.ObservedGeneration = rc.Generation
		rc.Status.Replicas = int32(atoi(total))
		rc.Status.AvailableReplicas = int32(atoi(available))
	default:
		panic("a replicationcontroller has no " + key)
	}
}
