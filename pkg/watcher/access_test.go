package watcher

import (
	"context"
	"errors"
	"slices"
	"strings"
	"testing"

	authorizationv1 "k8s.io/api/authorization/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	authorizationclient "k8s.io/client-go/kubernetes/typed/authorization/v1"
	"sigs.k8s.io/yaml"
)

// reviews answers access reviews: allowed holds "verb resource.group/namespace".
type reviews struct {
	authorizationclient.SelfSubjectAccessReviewInterface
	allowed []string
	err     error
}

func (r reviews) Create(_ context.Context, review *authorizationv1.SelfSubjectAccessReview, _ metav1.CreateOptions) (*authorizationv1.SelfSubjectAccessReview, error) {
	a := review.Spec.ResourceAttributes
	review.Status.Allowed = slices.Contains(r.allowed, a.Verb+" "+a.Resource+"."+a.Group+"/"+a.Namespace)
	return review, r.err
}

func TestLacking(t *testing.T) {
	wanted := []Permission{
		{Group: "apps", Resource: "deployments", Verbs: watchVerbs},
		{Resource: "pods", Namespace: "shop", Verbs: watchVerbs},
		{Resource: "pods", Namespace: "pay", Verbs: watchVerbs},
	}
	missing, err := lacking(t.Context(), reviews{allowed: []string{
		"list deployments.apps/", "watch deployments.apps/", "list pods./shop",
	}}, wanted)
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, p := range missing {
		got = append(got, p.String())
	}
	want := []string{"watch pods in namespace shop", "list, watch pods in namespace pay"}
	if !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
	if _, err := lacking(t.Context(), reviews{err: errors.New("no")}, wanted); err == nil {
		t.Error("no error")
	}
}

// What the error tells people to apply is right as YAML, and grants what is
// missing.
func TestForbiddenErrorIsReadyToPaste(t *testing.T) {
	err := &ForbiddenError{Missing: []Permission{
		{Group: "apps", Resource: "deployments", Verbs: []string{"watch"}},
		{Resource: "pods", Verbs: watchVerbs},
		{Resource: "pods", Namespace: "shop", Verbs: watchVerbs},
	}}
	text := err.Error()
	for _, want := range []string{"watch deployments.apps in all namespaces", "list, watch pods in namespace shop"} {
		if !strings.Contains(text, "  - "+want+"\n") {
			t.Errorf("%q is not in\n%s", want, text)
		}
	}
	documents := strings.Split(text, "---\n")[1:]
	if len(documents) != 2 {
		t.Fatalf("%d roles in\n%s", len(documents), text)
	}
	var cluster rbacv1.ClusterRole
	var role rbacv1.Role
	if err := yaml.UnmarshalStrict([]byte(documents[0]), &cluster); err != nil {
		t.Fatal(err)
	}
	if err := yaml.UnmarshalStrict([]byte(documents[1]), &role); err != nil {
		t.Fatal(err)
	}
	if len(cluster.Rules) != 2 || cluster.Rules[0].APIGroups[0] != "apps" || !slices.Equal(cluster.Rules[0].Verbs, []string{"watch"}) ||
		cluster.Rules[1].APIGroups[0] != "" || !slices.Equal(cluster.Rules[1].Verbs, watchVerbs) {
		t.Errorf("%+v", cluster)
	}
	if role.Kind != "Role" || role.Namespace != "shop" || len(role.Rules) != 1 || role.Rules[0].Resources[0] != "pods" {
		t.Errorf("%+v", role)
	}
}
