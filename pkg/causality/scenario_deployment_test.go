package causality_test

import (
	"slices"
	"strings"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/util/intstr"
)

func newDeployment(meta metav1.ObjectMeta) runtime.Object {
	d := &appsv1.Deployment{ObjectMeta: meta}
	d.Spec.Template.Spec.Containers = []corev1.Container{{Name: "web", Image: "app:1"}}
	return d
}

func setDeployment(_ *world, obj runtime.Object, key, val string, now time.Time) {
	d := obj.(*appsv1.Deployment)
	spec := &d.Spec
	switch key {
	case "image", "env", "restarted", "replicas", "paused", "minready":
		if d.ResourceVersion != "1" && d.Status.ObservedGeneration > 0 {
			d.Generation++
		}
	}
	second := metav1.NewTime(now.Truncate(time.Second))
	switch key {
	case "image":
		spec.Template.Spec.Containers[0].Image = val
	case "env":
		spec.Template.Spec.Containers[0].Env = []corev1.EnvVar{{Name: "KEY", Value: val}}
	case "restarted":
		spec.Template.Annotations = map[string]string{"kubectl.kubernetes.io/restartedAt": val}
	case "replicas":
		n := int32(atoi(val))
		spec.Replicas = &n
	case "paused":
		spec.Paused = val == "true"
	case "minready":
		spec.MinReadySeconds = int32(atoi(val))
	case "deadline":
		n := int32(atoi(val))
		spec.ProgressDeadlineSeconds = &n
	case "recreate":
		spec.Strategy.Type = appsv1.RecreateDeploymentStrategyType
	case "revision":
		d.Annotations["deployment.kubernetes.io/revision"] = val
	case "revision-by": // who owns that annotation: the deployment controller, or a manager
		const owned = `{"f:metadata":{"f:annotations":{"f:deployment.kubernetes.io/revision":{}}}}`
		d.ManagedFields = slices.DeleteFunc(d.ManagedFields, func(m metav1.ManagedFieldsEntry) bool { return string(m.FieldsV1.GetRawBytes()) == owned })
		entry := metav1.ManagedFieldsEntry{Manager: val, Time: &second, FieldsV1: metav1.NewFieldsV1(owned)}
		if val == "controller" { // which writes it with its status; how old that is, no scenario needs
			entry.Manager, entry.Subresource, entry.Time = "kube-controller-manager", "status", nil
		}
		d.ManagedFields = append(d.ManagedFields, entry)
	case "manager": // name or name/subresource
		name, sub, _ := strings.Cut(val, "/")
		owned := `{"f:spec":{"f:template":{},"f:replicas":{}}}`
		if sub == "scale" { // which has no template
			owned = `{"f:spec":{"f:replicas":{}}}`
		}
		d.ManagedFields = append(d.ManagedFields, metav1.ManagedFieldsEntry{
			Manager: name, Subresource: sub, Time: &second, FieldsV1: metav1.NewFieldsV1(owned),
		})
	case "unmanaged": // a manager owns nothing any more
		d.ManagedFields = slices.DeleteFunc(d.ManagedFields, func(m metav1.ManagedFieldsEntry) bool { return m.Manager == val })
	case "status": // updated/total/available of the current generation
		part := strings.Split(val, "/")
		d.Status.ObservedGeneration = d.Generation
		d.Status.UpdatedReplicas = int32(atoi(part[0]))
		d.Status.Replicas = int32(atoi(part[1]))
		d.Status.AvailableReplicas = int32(atoi(part[2]))
	case "failed":
		d.Status.Conditions = []appsv1.DeploymentCondition{{
			Type: appsv1.DeploymentProgressing, Status: corev1.ConditionFalse, Reason: "ProgressDeadlineExceeded",
			LastTransitionTime: metav1.NewTime(clock(val)), LastUpdateTime: metav1.NewTime(clock(val)),
		}}
	case "available": // since when it has been
		d.Status.Conditions = append(d.Status.Conditions, appsv1.DeploymentCondition{
			Type: appsv1.DeploymentAvailable, Status: corev1.ConditionTrue, Reason: "MinimumReplicasAvailable",
			LastTransitionTime: metav1.NewTime(clock(val).Truncate(time.Second)),
		})
	case "surge", "unavailable": // in percent or pods
		if spec.Strategy.RollingUpdate == nil {
			spec.Strategy.RollingUpdate = &appsv1.RollingUpdateDeployment{}
		}
		n := intstr.Parse(val)
		if key == "surge" {
			spec.Strategy.RollingUpdate.MaxSurge = &n
		} else {
			spec.Strategy.RollingUpdate.MaxUnavailable = &n
		}
	case "progressing":
		since := second
		for _, c := range d.Status.Conditions {
			if c.Type == appsv1.DeploymentProgressing && c.Status == corev1.ConditionTrue {
				since = c.LastTransitionTime // another reason is no transition
			}
		}
		d.Status.Conditions = []appsv1.DeploymentCondition{{
			Type: appsv1.DeploymentProgressing, Status: corev1.ConditionTrue, Reason: val,
			LastTransitionTime: since, LastUpdateTime: second,
		}}
	default:
		panic("a deployment has no " + key)
	}
}

func newReplicaSet(meta metav1.ObjectMeta) runtime.Object {
	return &appsv1.ReplicaSet{ObjectMeta: meta}
}

func setReplicaSet(_ *world, obj runtime.Object, key, val string, now time.Time) {
	rs := obj.(*appsv1.ReplicaSet)
	switch key {
	case "replicas":
		if rs.Spec.Replicas != nil {
			rs.Generation++
		}
		n := int32(atoi(val))
		rs.Spec.Replicas = &n
	case "revision":
		rs.Annotations["deployment.kubernetes.io/revision"] = val
	case "rollout": // revision/replicas of its Rollout
		revision, replicas, _ := strings.Cut(val, "/")
		rs.Annotations["rollout.argoproj.io/revision"], rs.Annotations["rollout.argoproj.io/desired-replicas"] = revision, replicas
	case "rollout-history": // the revisions that it had in its Rollout
		rs.Annotations["rollout.argoproj.io/revision-history"] = val
	case "kept-until": // of a Rollout, "" for good
		delete(rs.Annotations, "scale-down-deadline")
		if val != "" {
			rs.Annotations["scale-down-deadline"] = clock(val).Format(time.RFC3339)
		}
	case "image":
		rs.Spec.Template.Spec.Containers = []corev1.Container{{Name: "web", Image: val}}
	case "history":
		rs.Annotations["deployment.kubernetes.io/revision-history"] = val
	case "available":
		rs.Status.AvailableReplicas = int32(atoi(val))
	case "status": // total/available of the current generation
		total, available, _ := strings.Cut(val, "/")
		rs.Status.ObservedGeneration = rs.Generation
		rs.Status.Replicas, rs.Status.AvailableReplicas = int32(atoi(total)), int32(atoi(available))
	case "forbidden": // the message, or nothing: pods can be created again
		rs.Status.Conditions = nil
		if val != "" {
			rs.Status.Conditions = []appsv1.ReplicaSetCondition{{
				Type: appsv1.ReplicaSetReplicaFailure, Status: corev1.ConditionTrue, Reason: "FailedCreate", Message: val,
				LastTransitionTime: metav1.NewTime(now.Truncate(time.Second)),
			}}
		}
	default:
		panic("a replicaset has no " + key)
	}
}
