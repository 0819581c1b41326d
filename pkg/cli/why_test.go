package cli

import (
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/watch"
	"k8s.io/client-go/tools/clientcmd"
	clientcmdapi "k8s.io/client-go/tools/clientcmd/api"

	"github.com/rollspan/rollspan/pkg/watcher"
)

// asLeft is a server of what so many lines of a recording left behind, in pages of ten, without
// the resources in forbidden. It returns a kubeconfig for it whose context is in a namespace.
func asLeft(t *testing.T, recording string, lines int, namespace string, forbidden ...string) string {
	t.Helper()
	file, err := os.Open(filepath.Join("../../test/recordings", recording+".jsonl"))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = file.Close() }()
	lists, kinds := map[string][]runtime.Object{}, map[string]schema.GroupVersionKind{}
	in := watcher.NewRecordingReader(file, recording)
	for in.Line() < lines {
		o, err := in.Next()
		if errors.Is(err, io.EOF) {
			break
		} else if err != nil {
			t.Fatal(err)
		}
		m, err := meta.Accessor(o.Object)
		if err != nil {
			t.Fatal(err)
		}
		gvk := o.Object.GetObjectKind().GroupVersionKind()
		plural, _ := meta.UnsafeGuessKindToResource(gvk)
		kinds[plural.Resource] = gvk
		o.Object.GetObjectKind().SetGroupVersionKind(schema.GroupVersionKind{}) // as in lists
		lists[plural.Resource] = slices.DeleteFunc(lists[plural.Resource], func(old runtime.Object) bool {
			was, err := meta.Accessor(old)
			return err == nil && was.GetUID() == m.GetUID()
		})
		if o.Type != watch.Deleted {
			lists[plural.Resource] = append(lists[plural.Resource], o.Object)
		}
	}
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		resource := path.Base(r.URL.Path)
		w.Header().Set("Content-Type", "application/json")
		if slices.Contains(forbidden, resource) {
			w.WriteHeader(http.StatusForbidden)
			_, _ = io.WriteString(w, `{"kind":"Status","apiVersion":"v1","status":"Failure","reason":"Forbidden","code":403,"message":"no"}`)
			return
		}
		items := lists[resource]
		if !strings.Contains(r.URL.Path, "/namespaces/"+namespace+"/") {
			items = nil
		}
		from, _ := strconv.Atoi(r.URL.Query().Get("continue"))
		about := map[string]string{"resourceVersion": "1"}
		if from+10 < len(items) {
			about["continue"] = strconv.Itoa(from + 10)
		}
		_ = json.NewEncoder(w).Encode(map[string]any{
			"kind": kinds[resource].Kind + "List", "apiVersion": kinds[resource].GroupVersion().String(), "metadata": about, "items": items[from:min(len(items), from+10)],
		})
	}))
	t.Cleanup(server.Close)
	config := clientcmdapi.NewConfig()
	config.Clusters["left"] = &clientcmdapi.Cluster{Server: server.URL}
	config.Contexts["left"] = &clientcmdapi.Context{Cluster: "left", Namespace: namespace}
	config.CurrentContext = "left"
	name := filepath.Join(t.TempDir(), "kubeconfig")
	if err := clientcmd.WriteToFile(*config, name); err != nil {
		t.Fatal(err)
	}
	return name
}

// TestWhy asks about what recordings left behind. They are older than any --since that one
// would give.
func TestWhy(t *testing.T) {
	const ever, all = "100000h", 1000
	pulling := asLeft(t, "slow-image-pull", 16, "bigpull")
	bigpull := asLeft(t, "slow-image-pull", all, "bigpull")
	superseded := asLeft(t, "superseded-rollouts", all, "supersede")
	blind := asLeft(t, "slow-image-pull", all, "bigpull", "events", "pods")
	for name, test := range map[string]commandLine{
		"why": {
			args: []string{"why", "deployment/big", "--kubeconfig", bigpull, "--since", ever},
			out: []string{
				"deployment/big in namespace bigpull: rollout of revision 1, complete, began 2026-11-21T08:31:14Z",
				"It waited most for: pull image 6.9s (", "pull image  pod/big-5459ccc858-zbjd4",
			},
			errs: []string{"The Events of the namespace reach back to 2026-11-21T08:31:"},
		},
		"without the right to read Events": {
			args: []string{"why", "deployment/big", "--kubeconfig", asLeft(t, "slow-image-pull", all, "bigpull", "events"), "--since", ever},
			out:  []string{"deployment/big in namespace bigpull: rollout of revision 1, complete, began 2026-11-21T08:31:14Z"},
			errs: []string{"events cannot be read: spans have no Events and are less exact\n", "Without Events of the namespace, times are those that the objects state.\n"},
		},
		"while it is open": {
			args: []string{"why", "deployment/big", "--kubeconfig", pulling, "--since", ever},
			out:  []string{"rollout of revision 1, open, began 2026-11-21T08:31:14Z and has been open for ", "What goes on: pull image pod/big-5459ccc858-zbjd4 container/big."},
		},
		"history, while it is open": {
			args: []string{"history", "deployment/big", "--kubeconfig", pulling, "--since", ever},
			out:  []string{"   now: pull image pod/big-5459ccc858-zbjd4 container/big\n"},
		},
		"while a pull fails": {
			args: []string{"why", "deployment/api", "--kubeconfig", asLeft(t, "image-pull-backoff-deadline-then-fixed", 53, "badimage"), "--since", ever},
			out:  []string{"What goes on: back off pod/api-7ddd7c47f7-mq8f8 container/api: ErrImagePull: 127.0.0.1:5000/app:nope: not found.\n"},
		},
		"while there is no room": {
			args: []string{"why", "deployment/fat", "--kubeconfig", asLeft(t, "unschedulable-then-fixed", 15, "unschedulable"), "--since", ever},
			out:  []string{"What goes on: unschedulable pod/fat-85ccdcb89b-rlccv: Unschedulable: 0/1 nodes are available: 1 Insufficient cpu.\n"},
		},
		"while a quota forbids pods": {
			args: []string{"why", "deployment/many", "--kubeconfig", asLeft(t, "quota-exceeded-then-lifted", 36, "quota"), "--since", ever},
			out:  []string{"What goes on: ReplicaSet scale up replicaset/many-5f65f799dd: FailedCreate: ", "exceeded quota: q, requested: pods=1"},
		},
		"between the pods of a Job": {
			args: []string{"why", "job/bad", "--kubeconfig", asLeft(t, "jobs-and-cronjob", 60, "jobs"), "--since", ever},
			out:  []string{"job/bad in namespace jobs: run, open, ", "What failed last: Pod run pod/bad-85h4m: Error: exit code 7.\n"},
		},
		"while it is paused": {
			args: []string{"why", "deployment/pz", "--kubeconfig", asLeft(t, "paused-and-resumed", 38, "paused"), "--since", ever},
			out:  []string{"rollout of revision 1, complete", "It is paused: what is written to its template waits for 'kubectl rollout resume deployment/pz -n paused'."},
		},
		"of one container": {
			args: []string{"why", "deployment/worker", "--kubeconfig", asLeft(t, "crash-loop", all, "crash"), "--since", ever},
			out:  []string{"deployment/worker in namespace crash: restart of pod/worker-7c9dd96848-hwvbl container/worker, open, ", "container/worker: CrashLoopBackOff.\n"},
		},
		"as kubectl has it": {
			args: []string{"why", "deploy", "big", "-n", "bigpull", "--kubeconfig", bigpull, "--since", ever},
			out:  []string{"rollout of revision 1, complete"},
		},
		"history": {
			args: []string{"history", "deployments.apps/fast", "--kubeconfig", superseded, "--since", ever},
			out:  []string{"BEGAN ", "rollout of revision 2 ", "rollout of revision 3 ", " superseded ", " complete "},
		},
		"history, of one that failed before the next one began, with another deadline": {
			args: []string{"history", "deployment/api", "--kubeconfig", asLeft(t, "image-pull-backoff-deadline-then-fixed", all, "badimage"), "--since", ever},
			out:  []string{"rollout of revision 2   not known ", " at most ", "rollout of revision 3   complete "},
			errs: []string{"the cluster proves only that the next one began"},
		},
		"history, of the same, for a program": {
			args: []string{"history", "deployment/api", "-o", "json", "--kubeconfig", asLeft(t, "image-pull-backoff-deadline-then-fixed", all, "badimage"), "--since", ever},
			out:  []string{`"outcome": "unknown"`, `"outcome": "complete"`},
		},
		"why, with a link": {
			args: []string{"why", "deployment/big", "--kubeconfig", bigpull, "--since", ever, "--trace-url", "https://jaeger.example/trace/{trace_id}"},
			out:  []string{"  @ https://jaeger.example/trace/"},
		},
		"history, with links": {
			args: []string{"history", "deployments.apps/fast", "--kubeconfig", superseded, "--since", ever, "--trace-url", "https://jaeger.example/trace/{trace_id}"},
			out:  []string{"WAITED MOST FOR", "   TRACE\n", "   https://jaeger.example/trace/"},
		},
		"no such object": {
			args: []string{"why", "deployment/bigger", "--kubeconfig", bigpull}, code: ExitError,
			errs: []string{"there is no deployment/bigger in namespace bigpull; of the kind Deployment there is big (-n"},
		},
		"another namespace": {
			args: []string{"why", "deployment/big", "-n", "shop", "--kubeconfig", bigpull}, code: ExitError,
			errs: []string{"there is no deployment/big in namespace shop; of the kind Deployment there is none"},
		},
		"long ago": {
			args: []string{"why", "deployment/big", "--since", "1ns", "--kubeconfig", bigpull},
			errs: []string{"nothing that is there proves a change in the last 1ns"},
		},
		"forbidden": {
			args: []string{"why", "deployment/big", "--kubeconfig", blind}, code: ExitError,
			errs: []string{"list pods in namespace bigpull"},
		},
		"no kind": {
			args: []string{"why", "service/web"}, code: ExitUsage,
			errs: []string{`"service" is not a kind that can be asked about; there are deployment, statefulset`},
		},
		"nothing": {
			args: []string{"history"}, code: ExitUsage,
			errs: []string{"name one object, as KIND/NAME; for example: deployment/web"},
		},
		"no name": {
			args: []string{"why", "deployment/We b"}, code: ExitUsage,
			errs: []string{`"We b" is not the name of an object`},
		},
	} {
		t.Run(name, func(t *testing.T) {
			test.runs(t)
		})
	}
}

// TestEventsSince goes by when Events happened last: one that repeats outlives the others, and
// keeps its first time.
func TestEventsSince(t *testing.T) {
	now := time.Date(2026, 3, 2, 10, 0, 0, 0, time.UTC)
	ago := func(minutes int) time.Time { return now.Add(-time.Duration(minutes) * time.Minute) }
	event := func(first, last int) *corev1.Event {
		return &corev1.Event{FirstTimestamp: metav1.NewTime(ago(first)), LastTimestamp: metav1.NewTime(ago(last))}
	}
	series := &corev1.Event{
		ObjectMeta: metav1.ObjectMeta{CreationTimestamp: metav1.NewTime(ago(300))}, EventTime: metav1.NewMicroTime(ago(300)),
		Series: &corev1.EventSeries{Count: 9, LastObservedTime: metav1.NewMicroTime(ago(55))},
	}
	single := &corev1.Event{ObjectMeta: metav1.ObjectMeta{CreationTimestamp: metav1.NewTime(ago(58))}, EventTime: metav1.NewMicroTime(ago(59))}
	created := &corev1.Event{ObjectMeta: metav1.ObjectMeta{CreationTimestamp: metav1.NewTime(ago(57))}}
	for name, c := range map[string]struct {
		events []runtime.Object
		want   time.Time
	}{
		"none":            {[]runtime.Object{&corev1.Pod{ObjectMeta: created.ObjectMeta}}, time.Time{}},
		"one repeats":     {[]runtime.Object{event(72*60, 1), event(50, 50)}, ago(50)},
		"one undated":     {[]runtime.Object{event(72*60, 1), event(50, 50), &corev1.Event{}}, ago(50)},
		"undated first":   {[]runtime.Object{&corev1.Event{}, event(50, 50), event(72*60, 1)}, ago(50)},
		"all undated":     {[]runtime.Object{&corev1.Event{}}, time.Time{}},
		"a series":        {[]runtime.Object{event(50, 50), series}, ago(55)},
		"a series of 0":   {[]runtime.Object{event(50, 50), &corev1.Event{EventTime: single.EventTime, Series: &corev1.EventSeries{}}}, ago(59)},
		"by event time":   {[]runtime.Object{single, event(50, 50)}, ago(59)},
		"by its creation": {[]runtime.Object{event(50, 50), created}, ago(57)},
	} {
		if got := eventsSince(c.events); !got.Equal(c.want) {
			t.Errorf("%s: %s, want %s", name, got, c.want)
		}
	}
}
