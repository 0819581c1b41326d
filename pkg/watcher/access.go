package watcher

import (
	"context"
	"fmt"
	"slices"
	"strings"

	authorizationv1 "k8s.io/api/authorization/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	authorizationclient "k8s.io/client-go/kubernetes/typed/authorization/v1"
)

// watchVerbs are what a reflector does.
var watchVerbs = []string{"list", "watch"}

// uidPermission is what it takes to read the cluster's UID.
var uidPermission = Permission{Resource: namespaceKind.resource, Name: metav1.NamespaceSystem, Verbs: []string{"get"}}

// Permission is something rollspan may or may not do to the objects of one
// resource.
type Permission struct {
	// Group is the API group, "" for the core group; Resource is the plural.
	Group, Resource string
	// Namespace is empty for all namespaces.
	Namespace string
	// Name is the one object this is about; empty for all.
	Name string
	// Verbs are as in an RBAC rule.
	Verbs []string
}

// String says it in words: "list, watch deployments.apps in all namespaces".
func (p Permission) String() string {
	resource := p.Resource
	if p.Group != "" {
		resource += "." + p.Group
	}
	where := "in all namespaces"
	switch {
	case p.Name != "":
		where = p.Name
	case p.Namespace != "":
		where = "in namespace " + p.Namespace
	}
	return fmt.Sprintf("%s %s %s", strings.Join(p.Verbs, ", "), resource, where)
}

// ForbiddenError says which permissions are missing, and how to grant them.
type ForbiddenError struct {
	// Missing is never empty.
	Missing []Permission
}

// Error names every missing permission and shows the roles that grant them.
func (e *ForbiddenError) Error() string {
	var b strings.Builder
	b.WriteString("permissions are missing that it takes to see a rollout:\n")
	for _, p := range e.Missing {
		fmt.Fprintf(&b, "  - %s\n", p)
	}
	b.WriteString("Add these rules to a role that is bound to rollspan's user or service account:\n")
	b.WriteString(rolesFor(e.Missing))
	return b.String()
}

// rolesFor writes the roles that grant permissions, one for all namespaces and
// one for each single namespace, as YAML that kubectl apply takes.
func rolesFor(permissions []Permission) string {
	byNamespace := map[string][]Permission{}
	var namespaces []string
	for _, p := range permissions {
		if _, ok := byNamespace[p.Namespace]; !ok {
			namespaces = append(namespaces, p.Namespace)
		}
		byNamespace[p.Namespace] = append(byNamespace[p.Namespace], p)
	}
	slices.Sort(namespaces)
	var b strings.Builder
	for _, ns := range namespaces {
		kind, metadata := "ClusterRole", "{name: rollspan}"
		if ns != "" {
			kind, metadata = "Role", fmt.Sprintf("{name: rollspan, namespace: %s}", ns)
		}
		fmt.Fprintf(&b, "---\napiVersion: rbac.authorization.k8s.io/v1\nkind: %s\nmetadata: %s\nrules:\n", kind, metadata)
		for _, p := range byNamespace[ns] {
			named := ""
			if p.Name != "" {
				named = fmt.Sprintf("resourceNames: [%s], ", p.Name)
			}
			fmt.Fprintf(&b, "- {apiGroups: [%q], resources: [%s], %sverbs: [%s]}\n",
				p.Group, p.Resource, named, strings.Join(p.Verbs, ", "))
		}
	}
	return strings.TrimSuffix(b.String(), "\n")
}

// permission is what a source needs.
func (s source) permission() Permission {
	return Permission{Group: s.kind.Group, Resource: s.kind.resource, Namespace: s.namespace, Name: s.object, Verbs: watchVerbs}
}

// lacking asks the API server which of the permissions are not granted. Of a
// permission that is granted in part, the missing verbs are returned.
func lacking(ctx context.Context, client authorizationclient.SelfSubjectAccessReviewInterface, wanted []Permission) ([]Permission, error) {
	var missing []Permission
	for _, p := range wanted {
		var verbs []string
		for _, verb := range p.Verbs {
			review, err := client.Create(ctx, &authorizationv1.SelfSubjectAccessReview{
				Spec: authorizationv1.SelfSubjectAccessReviewSpec{ResourceAttributes: &authorizationv1.ResourceAttributes{
					Namespace: p.Namespace, Verb: verb, Group: p.Group, Resource: p.Resource, Name: p.Name,
				}},
			}, metav1.CreateOptions{})
			if err != nil {
				return nil, err
			}
			if !review.Status.Allowed {
				verbs = append(verbs, verb)
			}
		}
		if len(verbs) > 0 {
			p.Verbs = verbs
			missing = append(missing, p)
		}
	}
	return missing, nil
}
