package watcher

import (
	"context"
	"slices"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/client-go/rest"
)

// Need is what a live run asks of the API server, and what is known of it.
type Need struct {
	Permission
	// Without says what traces lose without it; empty for what is Required.
	Without string
	// ClusterScoped says that the kind is in no namespace, so that it is not missed where a
	// Role in each namespace is all that is granted.
	ClusterScoped bool
	// NotServed says that the API server does not have the kind.
	NotServed bool
	// Missing are the Verbs that are not granted.
	Missing []string
}

// Required says whether there are no traces without it: a live run ends, or goes on without the
// namespace where it has another one.
func (n *Need) Required() bool { return n.Without == "" }

// leaseNeed is what holding a Lease takes.
func leaseNeed(namespace string) Need {
	return Need{
		Permission: Permission{Group: "coordination.k8s.io", Resource: "leases", Namespace: namespace, Verbs: []string{"get", "list", "create", "update"}},
		Without:    "nobody knows after a restart what was sent, and replicas cannot be elected",
	}
}

// Survey asks the API server what of all that a live run needs it has, and whether whoever asks
// may have it: for namespaces, all if there are none, and for Leases in leases, if that is not
// empty. It reads no object.
func Survey(ctx context.Context, config *rest.Config, namespaces []string, leases string) ([]Need, error) {
	c, err := newCluster(config)
	if err != nil {
		return nil, err
	}
	var needs []Need
	for _, k := range slices.Concat(liveKinds, customKinds) {
		served, err := c.serves(ctx, k)
		if err != nil {
			return nil, err
		}
		for _, ns := range k.in(namespaces) {
			needs = append(needs, Need{
				Permission: Permission{Group: k.Group, Resource: k.resource, Namespace: ns, Verbs: watchVerbs},
				Without:    k.without, ClusterScoped: k.clusterScoped, NotServed: !served,
			})
		}
	}
	needs = append(needs, Need{
		Permission: uidPermission,
		Without:    "spans have no k8s.cluster.uid", ClusterScoped: true,
	})
	if leases != "" {
		needs = append(needs, leaseNeed(leases))
	}
	for i := range needs {
		if needs[i].NotServed {
			continue
		}
		missing, err := lacking(ctx, c.auth, []Permission{needs[i].Permission})
		if err != nil {
			return nil, err
		}
		if len(missing) > 0 {
			needs[i].Missing = missing[0].Verbs
		}
	}
	return needs, nil
}

// serves reports whether the API server has a kind in the version that is read.
func (c *cluster) serves(ctx context.Context, k kind) (bool, error) {
	_, err := c.lookup.in(ctx, k.GroupVersionKind)
	switch {
	case meta.IsNoMatchError(err), apierrors.IsNotFound(err):
		return false, nil
	case apierrors.IsForbidden(err):
		return true, nil // who may not look is not told, and may read it all the same
	}
	return err == nil, err
}

// Grant is YAML that kubectl apply takes, of roles with all that is missing of needs; empty
// where nothing is.
func Grant(needs []Need) string {
	var missing []Permission
	for _, n := range needs {
		if len(n.Missing) > 0 {
			p := n.Permission
			p.Verbs = n.Missing
			missing = append(missing, p)
		}
	}
	if len(missing) == 0 {
		return ""
	}
	return rolesFor(missing)
}
