package watcher

import (
	"fmt"
	"slices"
	"strings"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
)

// kind is a kind of object that can be watched.
type kind struct {
	schema.GroupVersionKind
	// resource is the plural that API paths and RBAC rules use.
	resource string
	// clusterScoped objects have no namespace.
	clusterScoped bool
	// without says what traces lose where the kind may not be read, or the API
	// server does not have it. It is empty for what there are no traces without.
	without string
}

func (k kind) gvr() schema.GroupVersionResource {
	return k.GroupVersion().WithResource(k.resource)
}

// isEvent tells the one kind that is never deleted in earnest and of which
// there are too many to remember.
func (k kind) isEvent() bool { return k.Kind == "Event" }

// in are the namespaces to watch a kind in, where those are wanted: of a kind
// that is in no namespace there is one stream, as for all namespaces.
func (k kind) in(namespaces []string) []string {
	if k.clusterScoped || len(namespaces) == 0 {
		return []string{metav1.NamespaceAll}
	}
	return namespaces
}

func newKind(group, version, name, resource, without string) kind {
	return kind{
		GroupVersionKind: schema.GroupVersionKind{Group: group, Version: version, Kind: name},
		resource:         resource,
		without:          without,
	}
}

func clusterScoped(k kind) kind {
	k.clusterScoped = true
	return k
}

var (
	podKind        = newKind("", "v1", "Pod", "pods", "")
	deploymentKind = newKind("apps", "v1", "Deployment", "deployments", "")
	replicaSetKind = newKind("apps", "v1", "ReplicaSet", "replicasets", "")

	eventKind = newKind("", "v1", "Event", "events",
		"spans have no Events and are less exact")
	statefulSetKind = newKind("apps", "v1", "StatefulSet", "statefulsets",
		"changes of StatefulSets have no traces")
	daemonSetKind = newKind("apps", "v1", "DaemonSet", "daemonsets",
		"changes of DaemonSets have no traces")
	controllerRevisionKind = newKind("apps", "v1", "ControllerRevision", "controllerrevisions",
		"rollouts of StatefulSets and DaemonSets have no revision, and a rollback looks like any other")
	replicationControllerKind = newKind("", "v1", "ReplicationController", "replicationcontrollers",
		"changes of ReplicationControllers have no traces")
	jobKind = newKind("batch", "v1", "Job", "jobs",
		"runs of Jobs have no traces")
	cronJobKind = newKind("batch", "v1", "CronJob", "cronjobs",
		"runs of Jobs do not lead to the schedule that they come from")
	autoscalerKind = newKind("autoscaling", "v2", "HorizontalPodAutoscaler", "horizontalpodautoscalers",
		"scales do not lead to the autoscaler that decided them")
	nodeKind = clusterScoped(newKind("", "v1", "Node", "nodes",
		"replacements and restarts do not lead to what happened to the node"))
	claimKind = newKind("", "v1", "PersistentVolumeClaim", "persistentvolumeclaims",
		"starts of pods do not say which volume they waited for")
	namespaceKind = clusterScoped(newKind("", "v1", "Namespace", "namespaces", ""))
)

// liveKinds are what a live run watches, and what the engine reads more of than
// the metadata.
var liveKinds = []kind{
	deploymentKind, replicaSetKind, podKind, eventKind,
	statefulSetKind, daemonSetKind, controllerRevisionKind, replicationControllerKind,
	jobKind, cronJobKind, autoscalerKind, nodeKind, claimKind,
}

// customKinds are workloads that are custom resources. Only their metadata is read, and
// in that who wrote the object. They are found as owners, where the API server has them.
var customKinds = []kind{rolloutKind}

// rolloutKind is that of Argo Rollouts. Who follows one reads all of it, as its status says when it
// has ended.
var rolloutKind = newKind("argoproj.io", "v1alpha1", "Rollout", "rollouts",
	"the ReplicaSets of Argo Rollouts have traces of their own")

// isCustomWorkload reports whether a kind is one of these.
func isCustomWorkload(gk schema.GroupKind) bool {
	return slices.ContainsFunc(customKinds, func(k kind) bool { return k.GroupKind() == gk })
}

// recordKinds are what a recording may hold as whole objects: everything a
// rollout, a job or an autoscaling decision can be explained by. Secrets and
// ConfigMaps are not among them, and never will be.
var recordKinds = []kind{
	eventKind, podKind, namespaceKind, nodeKind, claimKind,
	deploymentKind, replicaSetKind, statefulSetKind, daemonSetKind,
	controllerRevisionKind, replicationControllerKind,
	jobKind, cronJobKind, autoscalerKind,
}

// RecordKinds returns the names of the kinds that can be recorded, in the
// order in which they are recorded by default.
func RecordKinds() []string {
	names := make([]string, len(recordKinds))
	for i, k := range recordKinds {
		names[i] = k.Kind
	}
	return names
}

// CheckKinds returns what is wrong with RecordOptions.Kinds.
func CheckKinds(names []string) error {
	_, err := kindsNamed(names)
	return err
}

// kindsNamed finds recordable kinds by kind or resource name, in any case.
// No names mean all kinds.
func kindsNamed(names []string) ([]kind, error) {
	if len(names) == 0 {
		return recordKinds, nil
	}
	var found []kind
	for _, name := range names {
		i := slices.IndexFunc(recordKinds, func(k kind) bool {
			return strings.EqualFold(name, k.Kind) || strings.EqualFold(name, k.resource)
		})
		switch {
		case i >= 0 && !slices.Contains(found, recordKinds[i]):
			found = append(found, recordKinds[i])
		case i >= 0:
		case slices.Contains([]string{"secret", "secrets", "configmap", "configmaps"}, strings.ToLower(name)):
			return nil, fmt.Errorf("%s objects are never recorded", name)
		default:
			return nil, fmt.Errorf("kind %q cannot be recorded; the kinds are %s", name, strings.Join(RecordKinds(), ", "))
		}
	}
	return found, nil
}

// ResourceOf is the resource of a kind that can be watched, by its name.
func ResourceOf(name string) (schema.GroupVersionResource, bool) {
	for _, k := range slices.Concat(recordKinds, customKinds) {
		if k.Kind == name {
			return k.gvr(), true
		}
	}
	return schema.GroupVersionResource{}, false
}
