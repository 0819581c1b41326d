package demo

import (
	"slices"
	"strconv"
	"testing"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	apimeta "k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/watch"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/restmapper"

	"github.com/rollspan/rollspan/pkg/doctor"
)

// TestServer asks it what client-go's reflectors ask when something goes wrong: a watch from
// where one broke off, and one from before anything is kept of.
func TestServer(t *testing.T) {
	s, err := newServer()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() })
	client, err := kubernetes.NewForConfig(s.Config())
	if err != nil {
		t.Fatal(err)
	}
	publish := func(t string, version int) {
		e := &recorded{Type: t, Object: []byte(`{"apiVersion":"v1","kind":"Pod","metadata":{"namespace":"shop","name":"web","resourceVersion":"` + strconv.Itoa(version) + `"}}`)}
		e.APIVersion, e.Kind = "v1", "Pod"
		e.Metadata.Namespace, e.Metadata.Name, e.Metadata.ResourceVersion = "shop", "web", strconv.Itoa(version)
		s.publish(e)
	}
	publish("ADDED", 10)
	publish("MODIFIED", 20)

	ctx, pods := t.Context(), client.CoreV1().Pods("shop")
	list, err := pods.List(ctx, metav1.ListOptions{})
	if err != nil || len(list.Items) != 1 || list.Items[0].ResourceVersion != "20" || list.ResourceVersion != "20" {
		t.Fatalf("the list is %+v, %v", list, err)
	}
	if pod, err := pods.Get(ctx, "web", metav1.GetOptions{}); err != nil || pod.ResourceVersion != "20" {
		t.Errorf("the pod is %+v, %v", pod, err)
	}
	if _, err := client.CoreV1().Pods("other").Get(ctx, "web", metav1.GetOptions{}); !apierrors.IsNotFound(err) {
		t.Errorf("a pod of another namespace: %v, want that it is not found", err)
	}
	if list, err := client.CoreV1().Pods("other").List(ctx, metav1.ListOptions{}); err != nil || len(list.Items) != 0 {
		t.Errorf("another namespace has %+v, %v", list, err)
	}
	w, err := pods.Watch(ctx, metav1.ListOptions{ResourceVersion: "10"})
	if err != nil {
		t.Fatal(err)
	}
	defer w.Stop()
	publish("DELETED", 30)
	for _, want := range []watch.EventType{watch.Modified, watch.Deleted} {
		if got := <-w.ResultChan(); got.Type != want {
			t.Errorf("the watch says %v, want %s", got, want)
		}
	}
	for i := range kept {
		publish("ADDED", 40+i)
	}
	// Of 1003 events the first three are not kept: versions 10, 20 and 30.
	if _, err := pods.Watch(ctx, metav1.ListOptions{ResourceVersion: "20"}); !apierrors.IsResourceExpired(err) {
		t.Errorf("to watch from version 20: %v, want that it has expired", err)
	}
	if _, err := client.CoreV1().RESTClient().Get().AbsPath("/apis/example.com/v1/shops").DoRaw(ctx); !apierrors.IsNotFound(err) {
		t.Errorf("another kind: %v, want that it is not found", err)
	}
	if v, err := client.Discovery().ServerVersion(); err != nil || v.Minor != "36" {
		t.Errorf("its version is %v, %v", v, err)
	}
	if err := pods.Delete(ctx, "web", metav1.DeleteOptions{}); !apierrors.IsMethodNotSupported(err) {
		t.Errorf("a write: %v, want that it is not supported", err)
	}
}

// TestDiscovery asks the server what it has, as kubectl and 'rollspan doctor' do.
func TestDiscovery(t *testing.T) {
	s, err := newServer()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() })
	client := kubernetes.NewForConfigOrDie(s.Config())
	groups, err := restmapper.GetAPIGroupResources(client.Discovery())
	if err != nil {
		t.Fatal(err)
	}
	mapper := restmapper.NewShortcutExpander(restmapper.NewDiscoveryRESTMapper(groups), client.Discovery(), nil)
	events, err := load()
	if err != nil {
		t.Fatal(err)
	}
	for i := range events {
		e := &events[i]
		gvk := schema.FromAPIVersionAndKind(e.APIVersion, e.Kind)
		m, err := mapper.RESTMapping(gvk.GroupKind(), gvk.Version)
		if err != nil {
			t.Fatalf("%s is not discovered, and is played: %v", gvk, err)
		}
		if namespaced := m.Scope.Name() == apimeta.RESTScopeNameNamespace; namespaced != (e.Metadata.Namespace != "") {
			t.Errorf("%s is in a namespace: %v", gvk, namespaced)
		}
	}
	for _, short := range []string{"deploy", "po", "hpa"} {
		if _, err := mapper.ResourceFor(schema.GroupVersionResource{Resource: short}); err != nil {
			t.Errorf("%s: %v", short, err)
		}
	}
	if _, err := client.Discovery().ServerResourcesForGroupVersion("argoproj.io/v1alpha1"); !apierrors.IsNotFound(err) {
		t.Errorf("Argo Rollouts: %v, want that it is not found", err)
	}

	events = slices.DeleteFunc(events, func(e recorded) bool { return e.Type == "DELETED" })
	for i := range events {
		s.publish(&events[i])
	}
	report := doctor.Examine(t.Context(), doctor.Options{Config: s.Config(), Namespaces: []string{"bigpull"}})
	checks := map[string]int{}
	for _, f := range report.Findings {
		checks[f.Check]++
		if f.Status == doctor.Failed {
			t.Errorf("doctor finds %+v", f)
		}
	}
	if checks["permissions"] != 1 || checks["events"] != 1 || checks["memory"] != 1 {
		t.Errorf("doctor finds %+v", report.Findings)
	}
	list, err := client.CoreV1().Namespaces().List(t.Context(), metav1.ListOptions{})
	if err != nil || len(list.Items) != 9 {
		t.Errorf("there are %d namespaces, %v; want kube-system and 8 that were recorded", len(list.Items), err)
	}
}
