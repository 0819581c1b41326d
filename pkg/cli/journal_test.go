//go:build unix

package cli

import (
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/watch"

	"github.com/rollspan/rollspan/pkg/journal"
)

// writtenAPI is an API server that is told what is written, and remembers all of it.
type writtenAPI struct {
	*httptest.Server

	mu      sync.Mutex
	version int
	events  []writtenEvent
	watches map[*http.Request]*watched
	changed chan struct{} // closed at the next write
}

// watched is how far a watch is.
type watched struct {
	resource string
	version  int
}

// delivered reports whether all watches have what was written.
func (a *writtenAPI) delivered() bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	latest := map[string]int{}
	for _, e := range a.events {
		latest[e.resource] = e.version
	}
	for _, w := range a.watches {
		if w.version < latest[w.resource] {
			return false
		}
	}
	return true
}

type writtenEvent struct {
	resource string
	version  int
	kind     watch.EventType
	name     string
	object   []byte
}

func newWrittenAPI(t *testing.T) *writtenAPI {
	t.Helper()
	a := &writtenAPI{version: 100, changed: make(chan struct{}), watches: map[*http.Request]*watched{}}
	a.Server = httptest.NewServer(a)
	t.Cleanup(func() {
		a.CloseClientConnections()
		a.Close()
	})
	return a
}

// write gives an object its next version.
func (a *writtenAPI) write(kind watch.EventType, resource string, object metav1.Object) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.version++
	object.SetResourceVersion(fmt.Sprint(a.version))
	b, err := json.Marshal(object)
	if err != nil {
		panic(err)
	}
	a.events = append(a.events, writtenEvent{resource, a.version, kind, object.GetName(), b})
	close(a.changed)
	a.changed = make(chan struct{})
}

// since are the writes of a resource after a version, and what is closed when there are more.
func (a *writtenAPI) since(resource string, version int) ([]writtenEvent, chan struct{}) {
	a.mu.Lock()
	defer a.mu.Unlock()
	var out []writtenEvent
	for _, e := range a.events {
		if e.resource == resource && e.version > version {
			out = append(out, e)
		}
	}
	return out, a.changed
}

func (a *writtenAPI) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Content-Type", "application/json")
	resource := r.URL.Path[strings.LastIndexByte(r.URL.Path, '/')+1:]
	kinds := map[string]string{
		"deployments": "apps/v1 DeploymentList", "replicasets": "apps/v1 ReplicaSetList", "pods": "v1 PodList", "events": "v1 EventList",
		"statefulsets": "apps/v1 StatefulSetList", "daemonsets": "apps/v1 DaemonSetList", "controllerrevisions": "apps/v1 ControllerRevisionList",
		"replicationcontrollers": "v1 ReplicationControllerList", "jobs": "batch/v1 JobList", "cronjobs": "batch/v1 CronJobList",
		"horizontalpodautoscalers": "autoscaling/v2 HorizontalPodAutoscalerList", "nodes": "v1 NodeList", "persistentvolumeclaims": "v1 PersistentVolumeClaimList",
	}
	query := r.URL.Query()
	switch {
	case resource == "kube-system":
		_, _ = fmt.Fprint(w, `{"kind":"Namespace","apiVersion":"v1","metadata":{"name":"kube-system","uid":"cluster"}}`)
	case resource == "selfsubjectaccessreviews":
		_, _ = fmt.Fprint(w, `{"kind":"SelfSubjectAccessReview","apiVersion":"authorization.k8s.io/v1","status":{"allowed":true}}`)
	case kinds[resource] == "":
		w.WriteHeader(http.StatusNotFound)
		_, _ = fmt.Fprint(w, `{"kind":"Status","apiVersion":"v1","status":"Failure","reason":"NotFound","code":404}`)
	case query.Get("sendInitialEvents") != "":
		w.WriteHeader(http.StatusUnprocessableEntity)
		_, _ = fmt.Fprint(w, `{"kind":"Status","apiVersion":"v1","status":"Failure","reason":"Invalid","code":422}`)
	case query.Get("watch") != "":
		a.serveWatch(w, r, resource, strings.TrimSuffix(kinds[resource], "List"))
	default:
		there := map[string][]byte{}
		events, _ := a.since(resource, 0)
		for _, e := range events {
			if there[e.name] = e.object; e.kind == watch.Deleted {
				delete(there, e.name)
			}
		}
		var items []string
		for _, name := range slices.Sorted(maps.Keys(there)) {
			items = append(items, string(there[name]))
		}
		apiVersion, kind, _ := strings.Cut(kinds[resource], " ")
		a.mu.Lock()
		version := a.version
		a.mu.Unlock()
		_, _ = fmt.Fprintf(w, `{"kind":%q,"apiVersion":%q,"metadata":{"resourceVersion":"%d"},"items":[%s]}`, kind, apiVersion, version, strings.Join(items, ","))
	}
}

func (a *writtenAPI) serveWatch(w http.ResponseWriter, r *http.Request, resource, gvk string) {
	apiVersion, kind, _ := strings.Cut(gvk, " ")
	var version int
	_, _ = fmt.Sscan(r.URL.Query().Get("resourceVersion"), &version)
	w.WriteHeader(http.StatusOK)
	this := &watched{resource: resource}
	a.mu.Lock()
	a.watches[r] = this
	a.mu.Unlock()
	defer func() {
		a.mu.Lock()
		defer a.mu.Unlock()
		delete(a.watches, r)
	}()
	// A watch that is to be short wants to know how far it is. The API server says so before the end.
	short := r.URL.Query().Get("timeoutSeconds") == "3"
	for {
		w.(http.Flusher).Flush()
		a.mu.Lock()
		this.version = version
		latest := a.version
		a.mu.Unlock()
		events, changed := a.since(resource, version)
		for _, e := range events {
			version = e.version
			_, _ = fmt.Fprintf(w, `{"type":%q,"object":%s}`+"\n", e.kind, e.object)
		}
		if len(events) > 0 {
			continue
		}
		if short {
			short = false
			_, _ = fmt.Fprintf(w, `{"type":"BOOKMARK","object":{"kind":%q,"apiVersion":%q,"metadata":{"resourceVersion":"%d"}}}`+"\n", kind, apiVersion, latest)
			w.(http.Flusher).Flush()
		}
		select {
		case <-changed:
		case <-r.Context().Done():
			return
		}
	}
}

// shopDeployment writes the steps of the rollouts of a Deployment with one pod.
type shopDeployment struct {
	api        *writtenAPI
	deployment *appsv1.Deployment
	set        *appsv1.ReplicaSet
	pod        *corev1.Pod
}

func newShopDeployment(api *writtenAPI) *shopDeployment {
	one := int32(1)
	labels := map[string]string{"app": "web"}
	d := &appsv1.Deployment{
		TypeMeta:   metav1.TypeMeta{APIVersion: "apps/v1", Kind: "Deployment"},
		ObjectMeta: metav1.ObjectMeta{Name: "web", Namespace: "shop", UID: "web", CreationTimestamp: metav1.Now(), Annotations: map[string]string{}},
		Spec: appsv1.DeploymentSpec{Replicas: &one, Selector: &metav1.LabelSelector{MatchLabels: labels}, Template: corev1.PodTemplateSpec{
			ObjectMeta: metav1.ObjectMeta{Labels: labels},
			Spec:       corev1.PodSpec{Containers: []corev1.Container{{Name: "web", Image: "web:0"}}},
		}},
	}
	return &shopDeployment{api: api, deployment: d}
}

// rollout are the steps of the rollout to a revision; the pod of the one before it is deleted
// in the last one.
func (s *shopDeployment) rollout(revision int) []func() {
	old, oldSet := s.pod, s.set
	typ := watch.Modified
	if revision == 1 {
		typ = watch.Added
	}
	status := func(updated, available int32) {
		s.deployment.Status = appsv1.DeploymentStatus{
			ObservedGeneration: s.deployment.Generation, Replicas: 1, UpdatedReplicas: updated, ReadyReplicas: 1, AvailableReplicas: available,
			Conditions: []appsv1.DeploymentCondition{{Type: appsv1.DeploymentProgressing, Status: corev1.ConditionTrue,
				Reason: map[int32]string{0: "ReplicaSetUpdated", 1: "NewReplicaSetAvailable"}[available], LastUpdateTime: metav1.Now()}},
		}
		s.api.write(watch.Modified, "deployments", s.deployment)
	}
	condition := func(of corev1.PodConditionType) {
		s.pod.Status.Conditions = append(s.pod.Status.Conditions, corev1.PodCondition{Type: of, Status: corev1.ConditionTrue, LastTransitionTime: metav1.Now()})
		s.api.write(watch.Modified, "pods", s.pod)
	}
	return []func(){
		func() {
			s.deployment.Generation = int64(revision)
			s.deployment.Spec.Template.Spec.Containers[0].Image = fmt.Sprintf("web:%d", revision)
			s.deployment.Annotations["deployment.kubernetes.io/revision"] = fmt.Sprint(revision)
			s.api.write(typ, "deployments", s.deployment)
		},
		func() {
			name := fmt.Sprintf("web-%d", revision)
			yes := true
			template := *s.deployment.Spec.Template.DeepCopy()
			template.Labels["pod-template-hash"] = fmt.Sprint(revision)
			s.set = &appsv1.ReplicaSet{
				TypeMeta: metav1.TypeMeta{APIVersion: "apps/v1", Kind: "ReplicaSet"},
				ObjectMeta: metav1.ObjectMeta{Name: name, Namespace: "shop", UID: types.UID(name), CreationTimestamp: metav1.Now(), Generation: 1,
					Annotations: map[string]string{"deployment.kubernetes.io/revision": fmt.Sprint(revision)}, Labels: template.Labels,
					OwnerReferences: []metav1.OwnerReference{{APIVersion: "apps/v1", Kind: "Deployment", Name: "web", UID: "web", Controller: &yes}}},
				Spec: appsv1.ReplicaSetSpec{Replicas: s.deployment.Spec.Replicas, Template: template},
			}
			s.api.write(watch.Added, "replicasets", s.set)
			s.pod = &corev1.Pod{
				TypeMeta: metav1.TypeMeta{APIVersion: "v1", Kind: "Pod"},
				ObjectMeta: metav1.ObjectMeta{Name: name + "-a", Namespace: "shop", UID: types.UID(name + "-a"), CreationTimestamp: metav1.Now(),
					Labels: template.Labels, OwnerReferences: []metav1.OwnerReference{{APIVersion: "apps/v1", Kind: "ReplicaSet", Name: name, UID: s.set.UID, Controller: &yes}}},
				Spec:   template.Spec,
				Status: corev1.PodStatus{Phase: corev1.PodPending},
			}
			s.api.write(watch.Added, "pods", s.pod)
		},
		func() {
			s.pod.Spec.NodeName = "node-a"
			condition(corev1.PodScheduled)
		},
		func() { condition(corev1.PodInitialized); status(1, 0) },
		func() {
			now, yes := metav1.Now(), true
			s.pod.Status.Phase, s.pod.Status.StartTime = corev1.PodRunning, &now
			s.pod.Status.ContainerStatuses = []corev1.ContainerStatus{{Name: "web", Ready: true, Started: &yes,
				State: corev1.ContainerState{Running: &corev1.ContainerStateRunning{StartedAt: now}}}}
			condition(corev1.ContainersReady)
			condition(corev1.PodReady)
		},
		func() {
			status(1, 1)
			if old == nil {
				return
			}
			zero, now := int32(0), metav1.Now()
			oldSet.Spec.Replicas, oldSet.Generation = &zero, 2
			s.api.write(watch.Modified, "replicasets", oldSet)
			old.DeletionTimestamp = &now
			s.api.write(watch.Modified, "pods", old)
			s.api.write(watch.Deleted, "pods", old)
		},
	}
}

// spanLines are the spans that were printed as OTLP JSON: of each its bytes, by its IDs.
func spanLines(t *testing.T, out string, into map[string]string) {
	t.Helper()
	type span struct {
		TraceID, SpanID, ParentSpanID, Name string
	}
	for line := range strings.Lines(out) {
		var request struct {
			ResourceSpans []struct {
				ScopeSpans []struct{ Spans []json.RawMessage }
			}
		}
		if !strings.HasSuffix(line, "\n") {
			continue // it was killed while it wrote
		}
		if err := json.Unmarshal([]byte(line), &request); err != nil {
			t.Fatal(err)
		}
		for _, rs := range request.ResourceSpans {
			for _, ss := range rs.ScopeSpans {
				for _, raw := range ss.Spans {
					var s span
					if err := json.Unmarshal(raw, &s); err != nil {
						t.Fatal(err)
					}
					id := s.TraceID + " " + s.SpanID
					if old, again := into[id]; again && old != string(raw) {
						t.Errorf("%s is sent again in other words:\n%s\n%s", s.Name, old, raw)
					}
					into[id] = string(raw)
				}
			}
		}
	}
}

// nameOf is what is compared of a span between two processes, to which news comes at other
// times.
func nameOf(t *testing.T, raw string) string {
	t.Helper()
	var s struct {
		ParentSpanID, Name string
		Attributes         []struct {
			Key   string
			Value struct{ StringValue string }
		}
	}
	if err := json.Unmarshal([]byte(raw), &s); err != nil {
		t.Fatal(err)
	}
	outcome := ""
	for _, kv := range s.Attributes {
		if kv.Key == "rollspan.outcome" {
			outcome = kv.Value.StringValue
		}
	}
	return s.ParentSpanID + " " + s.Name + " " + outcome
}

// TestDataDirOfAnother has a process begin with a directory that another one has: nothing in there is
// opened, or made.
func TestDataDirOfAnother(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "data")
	lock, err := journal.Lock(dir)
	if err != nil {
		t.Fatal(err)
	}
	defer lock.Close() //nolint:errcheck // The test is over.
	c := start(t, "run", "--kubeconfig", kubeconfigOf(t, "http://127.0.0.1:1", "c", true), "--data-dir", dir, "--ui-address", "127.0.0.1:0")
	c.ends(t, ExitError)
	if said := c.errs.String(); !strings.Contains(said, "--data-dir: "+dir+" is in use by another process") || strings.Contains(said, "The page") {
		t.Errorf("it says %s", said)
	}
	found, err := os.ReadDir(dir)
	if err != nil || len(found) != 1 {
		t.Errorf("there are %v, %v", found, err)
	}
}

// TestKilledInMidRollout kills rollspan while a Deployment rolls out, again and again, beside
// one that nobody kills. Both tell the same spans, and what is told twice is the same in every
// byte.
func TestKilledInMidRollout(t *testing.T) {
	api := newWrittenAPI(t)
	kubeconfig := kubeconfigOf(t, api.URL, "c", true)
	dir := t.TempDir()
	run := func(more ...string) *command {
		c := start(t, append([]string{"run", "--kubeconfig", kubeconfig, "-o", "otlp-json", "--settle", "1s", "--qps=1000", "--burst=1000"}, more...)...)
		until(t, "it to watch", func() bool { return strings.Contains(c.errs.String(), "watching;") })
		return c
	}
	undisturbed := run()
	killed := run("--data-dir", dir)
	web := newShopDeployment(api)
	got := map[string]string{}
	rollouts := func(told []string) (n int) {
		for _, text := range told {
			n += strings.Count(text, `"name":"Deployment rollout shop/web"`)
		}
		return n
	}
	const revisions = 6
	for revision := 1; revision <= revisions; revision++ {
		for i, step := range web.rollout(revision) {
			if i == revision%len(web.rollout(revision)) {
				killed.kill(t)
				spanLines(t, killed.out.String(), got)
				step() // while nobody looks
				killed = run("--data-dir", dir)
				continue
			}
			step()
			until(t, "the watches to have it", api.delivered)
		}
		// The next one is told apart by more than the second that the API states.
		until(t, "the rollout to be told", func() bool {
			all := maps.Clone(got)
			spanLines(t, killed.out.String(), all)
			return rollouts(slices.Collect(maps.Values(all))) == revision && rollouts([]string{undisturbed.out.String()}) == revision
		})
	}
	killed.send(t, syscall.SIGTERM)
	killed.ends(t, ExitOK)
	undisturbed.send(t, syscall.SIGTERM)
	undisturbed.ends(t, ExitOK)
	spanLines(t, killed.out.String(), got)
	want := map[string]string{}
	spanLines(t, undisturbed.out.String(), want)
	for _, told := range []map[string]string{got, want} {
		// How late the kubelet's report was only its arrival tells.
		maps.DeleteFunc(told, func(_, raw string) bool { return strings.Contains(nameOf(t, raw), " status latency ") })
	}
	for id, raw := range want {
		if got[id] == "" {
			t.Errorf("%s is not told by the one that was killed", nameOf(t, raw))
		} else if a, b := nameOf(t, raw), nameOf(t, got[id]); a != b {
			t.Errorf("%q is told as %q by the one that was killed", a, b)
		}
	}
	for id, raw := range got {
		if want[id] == "" {
			t.Errorf("%s is told only by the one that was killed", nameOf(t, raw))
		}
	}
	if len(want) < 5*revisions {
		t.Errorf("%d spans", len(want))
	}
}
