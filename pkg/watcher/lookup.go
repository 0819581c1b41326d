package watcher

import (
	"context"
	"slices"
	"strings"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/discovery"
)

// lookup finds out how the API server serves a kind. It asks each time, and only
// about that kind's group: what a custom resource is called, and in which
// versions, changes when its definition does, and a group whose server is down
// is no reason not to find the others. That is one request where the version is
// still served.
type lookup struct{ client *discovery.DiscoveryClient }

// find returns the kind in the version that was named, or, if that one is not
// served, in the one that the API server prefers, or in any. If there is none the
// error is a meta.NoKindMatchError.
func (l lookup) find(ctx context.Context, named schema.GroupVersionKind) (kind, error) {
	found, err := l.in(ctx, named)
	if !meta.IsNoMatchError(err) || named.Group == "" {
		return found, err
	}
	versions, err := l.versions(ctx, named.Group)
	if err != nil {
		return kind{}, err
	}
	var failure error
	for _, version := range versions {
		if version == named.Version {
			continue
		}
		found, err := l.in(ctx, named.GroupKind().WithVersion(version))
		switch {
		case err == nil:
			return found, nil
		case !meta.IsNoMatchError(err):
			failure = err
		}
	}
	if failure != nil {
		return kind{}, failure
	}
	return kind{}, &meta.NoKindMatchError{GroupKind: named.GroupKind(), SearchedVersions: append(versions, named.Version)}
}

// in finds a kind in one version.
func (l lookup) in(ctx context.Context, gvk schema.GroupVersionKind) (kind, error) {
	list, err := l.client.ServerResourcesForGroupVersionWithContext(ctx, gvk.GroupVersion().String())
	if err != nil && !apierrors.IsNotFound(err) {
		return kind{}, err
	}
	var candidates []metav1.APIResource
	if err == nil {
		candidates = slices.DeleteFunc(list.APIResources, func(r metav1.APIResource) bool {
			return r.Kind != gvk.Kind || strings.Contains(r.Name, "/") // a subresource, such as shops/status
		})
	}
	if len(candidates) == 0 {
		return kind{}, &meta.NoKindMatchError{GroupKind: gvk.GroupKind(), SearchedVersions: []string{gvk.Version}}
	}
	// Some kinds have a second resource, to which something is only posted.
	i := max(0, slices.IndexFunc(candidates, func(r metav1.APIResource) bool { return slices.Contains(r.Verbs, "list") }))
	return kind{GroupVersionKind: gvk, resource: candidates[i].Name, clusterScoped: !candidates[i].Namespaced}, nil
}

// versions are those in which a group is served, the preferred one first.
func (l lookup) versions(ctx context.Context, group string) ([]string, error) {
	var answer metav1.APIGroup
	err := l.client.RESTClient().Get().AbsPath("/apis", group).Do(ctx).Into(&answer)
	if err != nil && !apierrors.IsNotFound(err) {
		return nil, err
	}
	var versions []string
	if v := answer.PreferredVersion.Version; v != "" {
		versions = append(versions, v)
	}
	for _, v := range answer.Versions {
		if !slices.Contains(versions, v.Version) {
			versions = append(versions, v.Version)
		}
	}
	return versions, nil
}
