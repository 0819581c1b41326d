package demo

import (
	"maps"
	"net/http"
	"path"
	"slices"
	"strings"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
)

// servedKind is a kind that the API server has.
type servedKind struct {
	kind, resource, short string
	clusterScoped         bool
}

// reviewed are the kinds of questions that are posted, and that nothing is kept of.
const reviewed = "selfsubjectaccessreviews"

// listed says whether there are objects of the kind.
func (k servedKind) listed() bool { return k.resource != reviewed }

// groupVersion is a group in the one version in which it is served.
type groupVersion struct{ schema.GroupVersion }

// path is the one below which its resources are.
func (v groupVersion) path() string {
	if v.Group == "" {
		return path.Join("/api", v.Version)
	}
	return path.Join("/apis", v.Group, v.Version)
}

// served is what a run of rollspan reads. A kind that it does not have is one that the cluster
// does not have, as is Argo Rollouts' Rollout.
var served = map[groupVersion][]servedKind{
	{schema.GroupVersion{Version: "v1"}}: {
		{kind: "Event", resource: "events", short: "ev"},
		{kind: "Namespace", resource: "namespaces", short: "ns", clusterScoped: true},
		{kind: "Node", resource: "nodes", short: "no", clusterScoped: true},
		{kind: "PersistentVolumeClaim", resource: "persistentvolumeclaims", short: "pvc"},
		{kind: "Pod", resource: "pods", short: "po"},
		{kind: "ReplicationController", resource: "replicationcontrollers", short: "rc"},
	},
	{schema.GroupVersion{Group: "apps", Version: "v1"}}: {
		{kind: "ControllerRevision", resource: "controllerrevisions"},
		{kind: "DaemonSet", resource: "daemonsets", short: "ds"},
		{kind: "Deployment", resource: "deployments", short: "deploy"},
		{kind: "ReplicaSet", resource: "replicasets", short: "rs"},
		{kind: "StatefulSet", resource: "statefulsets", short: "sts"},
	},
	{schema.GroupVersion{Group: "authorization.k8s.io", Version: "v1"}}: {
		{kind: "SelfSubjectAccessReview", resource: reviewed, clusterScoped: true},
	},
	{schema.GroupVersion{Group: "autoscaling", Version: "v2"}}: {
		{kind: "HorizontalPodAutoscaler", resource: "horizontalpodautoscalers", short: "hpa"},
	},
	{schema.GroupVersion{Group: "batch", Version: "v1"}}: {
		{kind: "CronJob", resource: "cronjobs", short: "cj"},
		{kind: "Job", resource: "jobs"},
	},
}

// discover answers what is asked about the API itself, and reports whether that was asked. Of the
// two forms of discovery it is the older one, to which clients go back.
func discover(w http.ResponseWriter, at string) bool {
	switch at {
	case "/api":
		answer(w, http.StatusOK, metav1.APIVersions{TypeMeta: metav1.TypeMeta{Kind: "APIVersions", APIVersion: "v1"}, Versions: []string{"v1"}})
		return true
	case "/apis":
		list := metav1.APIGroupList{TypeMeta: metav1.TypeMeta{Kind: "APIGroupList", APIVersion: "v1"}}
		for _, v := range slices.SortedFunc(maps.Keys(served), func(v, w groupVersion) int { return strings.Compare(v.Group, w.Group) }) {
			if v.Group != "" {
				list.Groups = append(list.Groups, v.group())
			}
		}
		answer(w, http.StatusOK, list)
		return true
	}
	for v, kinds := range served {
		switch {
		case at == v.path():
			answer(w, http.StatusOK, v.resources(kinds))
			return true
		case v.Group != "" && at == path.Dir(v.path()):
			group := v.group()
			group.TypeMeta = metav1.TypeMeta{Kind: "APIGroup", APIVersion: "v1"}
			answer(w, http.StatusOK, group)
			return true
		}
	}
	return false
}

func (v groupVersion) group() metav1.APIGroup {
	as := metav1.GroupVersionForDiscovery{GroupVersion: v.String(), Version: v.Version}
	return metav1.APIGroup{Name: v.Group, Versions: []metav1.GroupVersionForDiscovery{as}, PreferredVersion: as}
}

func (v groupVersion) resources(kinds []servedKind) metav1.APIResourceList {
	list := metav1.APIResourceList{TypeMeta: metav1.TypeMeta{Kind: "APIResourceList", APIVersion: "v1"}, GroupVersion: v.String()}
	for _, k := range kinds {
		r := metav1.APIResource{Name: k.resource, Namespaced: !k.clusterScoped, Kind: k.kind, Verbs: metav1.Verbs{"get", "list", "watch"}}
		if !k.listed() {
			r.Verbs = metav1.Verbs{"create"}
		}
		if k.short != "" {
			r.ShortNames = []string{k.short}
		}
		list.APIResources = append(list.APIResources, r)
	}
	return list
}
