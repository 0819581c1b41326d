package watcher

import (
	"fmt"
	"slices"
	"strings"

	"k8s.io/apimachinery/pkg/runtime/schema"
)

// kind is a kind of object that can be watched.
type kind struct {
	schema.GroupVersionKind
	// resource is the plural that API paths and RBAC rules use.
	resource string
	// clusterScoped objects have no namespace.
	clusterScoped bool
}

func (k kind) gvr() schema.GroupVersionResource {
	return k.GroupVersion().WithResource(k.resource)
}

// isEvent tells the one kind that is never deleted in earnest and of which
// there are too many to remember.
func (k kind) isEvent() bool { return k.Kind == "Event" }

var (
	eventKind      = newKind("", "v1", "Event", "events")
	podKind        = newKind("", "v1", "Pod", "pods")
	deploymentKind = newKind("apps", "v1", "Deployment", "deployments")
	replicaSetKind = newKind("apps", "v1", "ReplicaSet", "replicasets")
)

func newKind(group, version, name, resource string) kind {
	return kind{
		GroupVersionKind: schema.GroupVersionKind{Group: group, Version: version, Kind: name},
		resource:         resource,
	}
}

// liveKinds are what a live run watches.
var liveKinds = []kind{deploymentKind, replicaSetKind, podKind, eventKind}

// recordKinds are what a recording may hold: everything a rollout, a job or an
// autoscaling decision can be explained by. Secrets and ConfigMaps are not
// among them, and never will be.
var recordKinds = []kind{
	eventKind, podKind,
	{GroupVersionKind: schema.GroupVersionKind{Version: "v1", Kind: "Namespace"}, resource: "namespaces", clusterScoped: true},
	newKind("", "v1", "PersistentVolumeClaim", "persistentvolumeclaims"),
	deploymentKind, replicaSetKind,
	newKind("apps", "v1", "StatefulSet", "statefulsets"),
	newKind("apps", "v1", "DaemonSet", "daemonsets"),
	newKind("apps", "v1", "ControllerRevision", "controllerrevisions"),
	newKind("batch", "v1", "Job", "jobs"),
	newKind("batch", "v1", "CronJob", "cronjobs"),
	newKind("autoscaling", "v2", "HorizontalPodAutoscaler", "horizontalpodautoscalers"),
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
