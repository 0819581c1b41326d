package watcher

import (
	"context"
	"errors"
	"log/slog"
	"net/http"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/rest"

	"github.com/rollspan/rollspan/pkg/causality"
	"github.com/rollspan/rollspan/pkg/journal"
	"github.com/rollspan/rollspan/pkg/spans"
)

// collected is a Sink that keeps traces, and fails at the failAt-th.
type collected struct {
	traces []spans.Trace
	failAt int
}

var errSink = errors.New("no room")

func (c *collected) Deliver(t spans.Trace) error {
	c.traces = append(c.traces, t)
	if len(c.traces) == c.failAt {
		return errSink
	}
	return nil
}

func newTestLive(t *testing.T) *Live {
	t.Helper()
	log, _ := testLog(100)
	l, err := NewLive(LiveOptions{Config: &rest.Config{Host: "https://127.0.0.1:1"}, Log: log})
	if err != nil {
		t.Fatal(err)
	}
	return l
}

// remembering is a Keeper that keeps nothing on a disk.
func remembering(t *testing.T, e engine) *journal.Keeper {
	t.Helper()
	k, err := journal.Open(journal.Options{New: func() journal.Engine { return e }})
	if err != nil {
		t.Fatal(err)
	}
	if err := k.Recover(nil); err != nil {
		t.Fatal(err)
	}
	return k
}

func recorded(t testing.TB, name string) []causality.Observation {
	t.Helper()
	f, err := os.Open(filepath.Join(recordings, name))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = f.Close() }() // only read
	observations, broken := read(t, NewRecordingReader(f, name))
	if len(broken) > 0 {
		t.Fatal(broken)
	}
	return observations
}

// What went into the queue before the streams stopped reaches the sink, and
// what is still open then does not.
func TestLiveDrainsTheQueue(t *testing.T) {
	l := newTestLive(t)
	observations := recorded(t, "crash-loop.jsonl")
	for _, o := range observations {
		if err := l.enqueue(t.Context(), o); err != nil {
			t.Fatal(err)
		}
	}
	var want []spans.Trace
	engine := causality.New(causality.Options{})
	for _, o := range observations {
		want = append(want, engine.Observe(o)...)
	}
	stopped := make(chan struct{})
	close(stopped)
	var sink collected
	if err := l.feed(remembering(t, causality.New(causality.Options{})), &sink, stopped); err != nil {
		t.Fatal(err)
	}
	if len(want) == 0 || len(sink.traces) != len(want) {
		t.Errorf("%d traces, want %d", len(sink.traces), len(want))
	}
}

func TestLiveEndsWithItsSink(t *testing.T) {
	l := newTestLive(t)
	for _, o := range recorded(t, "crash-loop.jsonl") {
		if err := l.enqueue(t.Context(), o); err != nil {
			t.Fatal(err)
		}
	}
	stopped := make(chan struct{})
	close(stopped)
	if err := l.feed(remembering(t, causality.New(causality.Options{})), &collected{failAt: 1}, stopped); !errors.Is(err, errSink) {
		t.Errorf("%v", err)
	}
}

func TestKindsNamed(t *testing.T) {
	kinds, err := kindsNamed([]string{"pod", "Deployments", "pods"})
	if err != nil || len(kinds) != 2 || kinds[0] != podKind || kinds[1] != deploymentKind {
		t.Errorf("%v, %v", kinds, err)
	}
	for _, name := range []string{"secrets", "ConfigMap", "nonsense"} {
		if _, err := kindsNamed([]string{name}); err == nil {
			t.Errorf("%s can be recorded", name)
		}
	}
	for _, k := range recordKinds {
		if k.Kind == "Secret" || k.Kind == "ConfigMap" {
			t.Errorf("%s is recorded", k.Kind)
		}
	}
}

// start runs l until it is stopped, which returns the error.
func (l *Live) start(t *testing.T) (stop func() error) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- l.Start(ctx) }()
	return func() error {
		cancel()
		return <-ended
	}
}

// What a role for a namespace cannot grant, and what an old API server does not
// have, is named once with what it costs; everything else is read where it is.
func TestLiveGoesOnWithoutSomeKinds(t *testing.T) {
	api := newFakeAPI(t)
	api.codes = map[string]int{"nodes": http.StatusForbidden, "statefulsets": http.StatusForbidden, "horizontalpodautoscalers": http.StatusNotFound}
	const watching = `level=INFO msg="watching; a change is told when it is over, and what was over before is not"`
	log, messages := testLog(slog.LevelInfo)
	l, err := NewLive(LiveOptions{
		Config: api.config(), Namespaces: []string{"shop"}, Log: log,
		Sink: func(uid string) (Sink, error) {
			if uid != "cluster" {
				t.Errorf("the cluster's UID is %q", uid)
			}
			return &collected{}, nil
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	stop := l.start(t)
	var got []string
	eventually(t, "the first lists", func() bool {
		got = append(got, messages()...)
		return slices.Contains(got, watching)
	})
	if err := l.Ready(impatient(t)); err != nil {
		t.Error(err)
	}
	if kinds, without := l.streams.watched(); !slices.Equal(without, []string{"statefulsets", "horizontalpodautoscalers", "nodes"}) ||
		!slices.Contains(kinds, "deployments") || slices.Contains(kinds, "nodes") {
		t.Errorf("it watches %q without %q", kinds, without)
	}
	if l.streams.blind() {
		t.Error("blind for want of what it can do without")
	}
	if err := stop(); err != nil {
		t.Error(err)
	}

	got = append(got, messages()...)
	slices.Sort(got)
	want := []string{
		`level=INFO msg="cannot read nodes; without them replacements and restarts do not lead to what happened to the node; to read them rollspan needs the permission to list, watch nodes in all namespaces; trying again"`,
		`level=INFO msg="stopped watching; what had ended was told without waiting for late Events, and open changes are left to the next run"`,
		watching,
		`level=WARN msg="cannot read horizontalpodautoscalers in namespace shop; without them scales do not lead to the autoscaler that decided them; trying again"`,
		`level=WARN msg="cannot read statefulsets in namespace shop; without them changes of StatefulSets have no traces; to read them rollspan needs the permission to list, watch statefulsets.apps in namespace shop; trying again"`,
	}
	if !slices.Equal(got, want) {
		t.Errorf("said\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
	if got, want := api.paths(), []string{
		"/api/v1/namespaces/shop/events", "/api/v1/namespaces/shop/persistentvolumeclaims", "/api/v1/namespaces/shop/pods",
		"/api/v1/namespaces/shop/replicationcontrollers", "/apis/apps/v1/namespaces/shop/controllerrevisions",
		"/apis/apps/v1/namespaces/shop/daemonsets", "/apis/apps/v1/namespaces/shop/deployments", "/apis/apps/v1/namespaces/shop/replicasets",
		"/apis/batch/v1/namespaces/shop/cronjobs", "/apis/batch/v1/namespaces/shop/jobs",
	}; !slices.Equal(got, want) {
		t.Errorf("listed %q\nwant %q", got, want)
	}
}

// A kind that a rollout cannot be told without ends the run.
func TestLiveEndsWithoutPods(t *testing.T) {
	api := newFakeAPI(t)
	api.codes["pods"] = http.StatusForbidden
	log, _ := testLog(slog.LevelInfo)
	l, err := NewLive(LiveOptions{Config: api.config(), Log: log, Sink: func(string) (Sink, error) { return &collected{}, nil }})
	if err != nil {
		t.Fatal(err)
	}
	var forbidden *ForbiddenError
	if err := l.Start(t.Context()); !errors.As(err, &forbidden) || len(forbidden.Missing) != 1 || forbidden.Missing[0].Resource != "pods" {
		t.Errorf("%v", err)
	}
}

// Every kind that is watched is decoded whole, and is one that can be recorded.
func TestLiveKinds(t *testing.T) {
	for _, k := range liveKinds {
		if object := newObject(k.GroupVersion().String(), k.Kind); reflect.TypeOf(object) == reflect.TypeFor[*metav1.PartialObjectMetadata]() {
			t.Errorf("of %s only the metadata is decoded", k.Kind)
		}
		if !slices.Contains(recordKinds, k) {
			t.Errorf("%s is not recorded", k.Kind)
		}
		required := k == deploymentKind || k == replicaSetKind || k == podKind
		if required != (k.without == "") {
			t.Errorf("without %s: %q", k.Kind, k.without)
		}
	}
}
