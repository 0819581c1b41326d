package causality_test

import (
	"slices"
	"strings"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
)

// setTemplate sets what a key such as env:LOG_LEVEL names in the pod template of
// a workload, in its first container where it is a container's; an empty value
// removes it. Other keys are not its own.
func setTemplate(obj runtime.Object, key, val string) bool {
	field, name, ok := strings.Cut(key, ":")
	t, bump := templateOf(obj)
	if !ok || t == nil {
		return false
	}
	spec := &t.Spec
	first := &spec.Containers[0]
	switch field {
	case "env":
		first.Env = named(first.Env, name, val, corev1.EnvVar{Name: name, Value: val}, func(v corev1.EnvVar) string { return v.Name })
	case "limit":
		if first.Resources.Limits == nil {
			first.Resources.Limits = corev1.ResourceList{}
		}
		first.Resources.Limits[corev1.ResourceName(name)] = resource.MustParse(val)
	case "container":
		spec.Containers = named(spec.Containers, name, val, corev1.Container{Name: name, Image: val, Env: []corev1.EnvVar{{Name: "ANY", Value: val}}}, containerName)
	case "init":
		spec.InitContainers = named(spec.InitContainers, name, val, corev1.Container{Name: name, Image: val}, containerName)
	case "command":
		i := slices.IndexFunc(spec.InitContainers, func(c corev1.Container) bool { return c.Name == name })
		spec.InitContainers[i].Command = strings.Fields(val)
	case "volume":
		claim := corev1.VolumeSource{PersistentVolumeClaim: &corev1.PersistentVolumeClaimVolumeSource{ClaimName: val}}
		spec.Volumes = named(spec.Volumes, name, val, corev1.Volume{Name: name, VolumeSource: claim}, func(v corev1.Volume) string { return v.Name })
	case "node":
		spec.NodeSelector = map[string]string{name: val}
	default:
		return false
	}
	bump()
	return true
}

func containerName(c corev1.Container) string { return c.Name }

// named sets the element of a name in a list, or removes it if it has no value.
func named[T any](list []T, name, val string, element T, nameOf func(T) string) []T {
	i := slices.IndexFunc(list, func(e T) bool { return nameOf(e) == name })
	switch {
	case val == "":
		return slices.Delete(list, i, i+1)
	case i < 0:
		return append(list, element)
	}
	list[i] = element
	return list
}

// templateOf is a workload's pod template, and what the API server does to the
// generation when it is written.
func templateOf(obj runtime.Object) (*corev1.PodTemplateSpec, func()) {
	written := func(meta *metav1.ObjectMeta, observed int64) func() {
		return func() {
			if observed > 0 {
				meta.Generation++
			}
		}
	}
	switch in := obj.(type) {
	case *appsv1.Deployment:
		return &in.Spec.Template, written(&in.ObjectMeta, in.Status.ObservedGeneration)
	case *appsv1.StatefulSet:
		return &in.Spec.Template, written(&in.ObjectMeta, in.Status.ObservedGeneration)
	case *appsv1.DaemonSet:
		return &in.Spec.Template, written(&in.ObjectMeta, in.Status.ObservedGeneration)
	}
	return nil, nil
}
