package e2e

import (
	"context"
	"fmt"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/kubernetes/scheme"
	typedcorev1 "k8s.io/client-go/kubernetes/typed/core/v1"
	"k8s.io/client-go/tools/record"
)

// TestCustomResource is about what an operator makes: a Mall has a Shop, which
// has a Deployment, which has a Route. rollspan may read them.
func TestCustomResource(t *testing.T) {
	t.Parallel()
	s := newSpace(t)
	s.define("Mall", "Shop", "Route")
	s.mayRead("malls", "shops", "routes")
	mall := s.custom("Mall", "big", nil)
	shop := s.custom("Shop", "web", mall)
	d := s.create(app{owner: reference(shop), gated: true})
	route := s.custom("Route", "web", &unstructured.Unstructured{Object: map[string]any{
		"apiVersion": "apps/v1", "kind": "Deployment", "metadata": map[string]any{"name": d.Name, "uid": string(d.UID)},
	}})
	say := s.operator()
	say.Event(route, corev1.EventTypeNormal, "Admitted", "The route is known to the router")
	say.Event(shop, corev1.EventTypeNormal, "Reconciled", "The Deployment is as it should be")
	for _, kind := range []string{"Mall", "Shop", "Route"} {
		s.reads(kind, 1)
	}
	s.completeGated(1, "1") // not before: what is sent is not changed

	rollout := s.rollout(1)
	s.has(rollout.Root(), map[string]any{
		"rollspan.outcome": "complete", "rollspan.owners": []any{"Shop.e2e.test/web", "Mall.e2e.test/big"},
	})
	activity := s.trace("Shop activity", "rollspan.object.name", "web")
	s.has(activity.Root(), map[string]any{"rollspan.object.kind": "Shop", "rollspan.object.uid": shop.GetUID()})
	s.eventually("what the Route has to say is in the rollout", func() error {
		now, err := s.whole(t.Context(), rollout.ID)
		if err != nil {
			return err
		}
		rollout = &now
		if n := len(named(rollout, "Route activity")); n != 1 {
			return fmt.Errorf("%d spans tell of it", n)
		}
		return nil
	})
	s.law(rollout)
	s.eventsOnce(s.events(), rollout, activity)
}

// TestCustomResourceThatNobodyMayRead is about one whose name is all there is.
func TestCustomResourceThatNobodyMayRead(t *testing.T) {
	t.Parallel()
	s := newSpace(t)
	s.define("Stall")
	stall := s.custom("Stall", "web", nil)
	s.create(app{owner: reference(stall)})
	s.complete(1)
	s.has(s.rollout(1).Root(), map[string]any{"rollspan.owners": []any{"Stall.e2e.test/web"}})
	for line := range strings.Lines(s.program.Stderr()) {
		if strings.Contains(line, "stalls") && !strings.Contains(line, "level=INFO") && !strings.Contains(line, "level=DEBUG") {
			t.Errorf("rollspan makes a fuss of it: %s", line)
		}
	}
}

// TestCustomResourceServedAnew is about one whose definition gives up the version
// that its objects were found in. What is made later is read in the new one.
func TestCustomResourceServedAnew(t *testing.T) {
	t.Parallel()
	s := newSpace(t)
	s.define("Kiosk")
	s.mayRead("kiosks")
	s.create(app{owner: reference(s.custom("Kiosk", "old", nil))})
	s.reads("Kiosk", 1)

	s.apply(fmt.Sprintf(`
apiVersion: apiextensions.k8s.io/v1
kind: CustomResourceDefinition
metadata: {name: kiosks.%[1]s}
spec:
  group: %[1]s
  scope: Namespaced
  names: {kind: Kiosk, plural: kiosks}
  versions:
  - {name: v1, served: false, storage: false, schema: {openAPIV3Schema: {type: object}}}
  - {name: v2, served: true, storage: true, schema: {openAPIV3Schema: {type: object}}}
`, customGroup))
	s.eventually("the new version is served", func() error {
		return s.kubectl(t.Context(), "get", "kiosks.v2."+customGroup, "old", "-n", s.name)
	})
	s.apply("{apiVersion: " + customGroup + "/v2, kind: Kiosk, metadata: {name: new, namespace: " + s.name + "}}")
	s.reads("Kiosk", 2)
}

// reads waits until rollspan has read so many states of what is of a kind.
func (s *space) reads(kind string, states float64) {
	s.t.Helper()
	s.eventually("what there is of "+kind+" is read", func() error {
		if n, _ := s.metricIfAny(fmt.Sprintf(`rollspan_observations_total{kind=%q}`, kind)); n < states {
			return fmt.Errorf("%v states of %v", n, states)
		}
		return nil
	})
}

const customGroup = "e2e.test"

// define defines kinds of custom resources.
func (s *space) define(kinds ...string) {
	s.t.Helper()
	for _, kind := range kinds {
		plural := strings.ToLower(kind) + "s"
		s.apply(fmt.Sprintf(`
apiVersion: apiextensions.k8s.io/v1
kind: CustomResourceDefinition
metadata:
  name: %[2]s.%[3]s
spec:
  group: %[3]s
  scope: Namespaced
  names: {kind: %[1]s, plural: %[2]s}
  versions:
  - {name: v1, served: true, storage: true, schema: {openAPIV3Schema: {type: object}}}
`, kind, plural, customGroup))
		s.waits("crd/"+plural+"."+customGroup, "condition=Established")
		s.eventually(plural+" are served", func() error {
			return s.kubectl(s.t.Context(), "get", plural+"."+customGroup, "-n", s.name)
		})
	}
}

// mayRead grants rollspan what config/owners shows how to grant.
func (s *space) mayRead(resources ...string) {
	s.t.Helper()
	s.apply(fmt.Sprintf(`
apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRole
metadata: {name: %[1]s}
rules:
- {apiGroups: [%[2]s], resources: [%[3]s], verbs: [list, watch]}
---
apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRoleBinding
metadata: {name: %[1]s}
roleRef: {apiGroup: rbac.authorization.k8s.io, kind: ClusterRole, name: %[1]s}
subjects: [{kind: ServiceAccount, name: rollspan, namespace: rollspan}]
`, "rollspan-owners-in-"+s.name, customGroup, strings.Join(resources, ", ")))
}

func (s *space) apply(manifest string) {
	s.t.Helper()
	s.kubectlRun("apply", "-f", s.file("manifest.yaml", manifest))
}

// custom makes a custom resource; owner may be nil.
func (s *space) custom(kind, name string, owner *unstructured.Unstructured) *unstructured.Unstructured {
	s.t.Helper()
	object := &unstructured.Unstructured{Object: map[string]any{"apiVersion": customGroup + "/v1", "kind": kind}}
	object.SetName(name)
	if owner != nil {
		object.SetOwnerReferences([]metav1.OwnerReference{*reference(owner)})
	}
	resource := schema.GroupVersionResource{Group: customGroup, Version: "v1", Resource: strings.ToLower(kind) + "s"}
	out, err := dynamic.NewForConfigOrDie(s.cluster.RESTConfig()).Resource(resource).Namespace(s.name).Create(s.t.Context(), object, asCreator)
	return created(s, out, err)
}

func reference(owner *unstructured.Unstructured) *metav1.OwnerReference {
	yes := true
	return &metav1.OwnerReference{
		APIVersion: owner.GetAPIVersion(), Kind: owner.GetKind(), Name: owner.GetName(), UID: owner.GetUID(), Controller: &yes,
	}
}

// operator records Events as operators do.
func (s *space) operator() record.EventRecorder {
	broadcaster := record.NewBroadcaster(record.WithContext(context.WithoutCancel(s.t.Context())))
	s.t.Cleanup(broadcaster.Shutdown)
	broadcaster.StartRecordingToSink(&typedcorev1.EventSinkImpl{Interface: s.client.CoreV1().Events("")})
	return broadcaster.NewRecorder(scheme.Scheme, corev1.EventSource{Component: "shop-operator"})
}
