package workloads

import (
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/rollspan/rollspan/pkg/causality/internal/kube"
)

// clusterScoped are the kinds of Kubernetes' own that Events are about and that are
// in no namespace.
var clusterScoped = map[string]bool{
	kube.KindNode: true, "Namespace": true, "PersistentVolume": true, "StorageClass": true,
	"VolumeAttachment": true, "CSINode": true, "CertificateSigningRequest": true,
	"ClusterRole": true, "ClusterRoleBinding": true, "CustomResourceDefinition": true,
	"APIService": true, "PriorityClass": true, "RuntimeClass": true, "IngressClass": true,
	"DeviceClass": true, "ResourceSlice": true,
}

// isNamespaced reports whether a kind of Kubernetes' own is known to have its objects in
// namespaces.
func isNamespaced(kind string) bool {
	return namespaced[kind] || ControllerOf(kind, "") != nil
}

// namespaced are the kinds of Kubernetes' own, other than workloads, that Events are
// mostly about. Which scope another one has, only its objects tell.
var namespaced = map[string]bool{
	kube.KindCronJob: true, kube.KindControllerRevision: true, kube.KindClaim: true, kube.KindAutoscaler: true,
	"Service": true, "Endpoints": true, "Ingress": true, "PodDisruptionBudget": true,
	"ConfigMap": true, "Secret": true, "ServiceAccount": true, "Lease": true, "ResourceQuota": true,
}

// EventScope is the namespace of the objects that an Event can be about: its own. Those
// about cluster-scoped objects are written to the namespace default, or to
// kube-system (k8s.io/kubernetes/pkg/apis/core/validation/events.go); in any other
// namespace they count for nothing that is the cluster's.
func EventScope(ev *corev1.Event) string {
	switch ev.Namespace {
	case "", metav1.NamespaceDefault, metav1.NamespaceSystem:
	default:
		return ev.Namespace
	}
	ref := &ev.InvolvedObject
	builtIn := kube.CustomGroup(ref.APIVersion) == ""
	switch {
	case builtIn && clusterScoped[ref.Kind]:
		return ""
	case ref.Namespace == "" && (!builtIn || !isNamespaced(ref.Kind)):
		return ""
	case ev.Namespace == "":
		return ref.Namespace // a damaged Event, which proves nothing else
	}
	return ev.Namespace
}
