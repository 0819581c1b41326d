package watcher

import (
	"context"
	"log/slog"
	"slices"
	"strings"
	"testing"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// A recording holds what a live run watches, without the values of environment
// variables, and of the kinds that own those the metadata.
func TestRecorder(t *testing.T) {
	template := `"template":{"spec":{"containers":[{"name":"c",` + secretEnv + `}]}}`
	object := func(apiVersion, kind, more string) string {
		return `{"apiVersion":"` + apiVersion + `","kind":"` + kind + `","metadata":{"name":"web","namespace":"shop","uid":"` + kind + `","resourceVersion":"5",
			"annotations":{"kubectl.kubernetes.io/last-applied-configuration":` + quoted(`{"spec":{`+template+`}}`) + `},
			"ownerReferences":[{"apiVersion":"example.com/v1","kind":"Shop","name":"web","uid":"Shop"}]}` + more + `}`
	}
	api := newFakeAPI(t)
	api.lists = map[string][]string{
		"/apis/apps/v1/statefulsets":        {object("apps/v1", "StatefulSet", `,"spec":{`+template+`}`)},
		"/apis/apps/v1/controllerrevisions": {object("apps/v1", "ControllerRevision", `,"revision":3,"data":{"spec":{`+template+`}}`)},
		"/apis/batch/v1/cronjobs":           {object("batch/v1", "CronJob", `,"spec":{"jobTemplate":{"spec":{`+template+`}}}`)},
		"/api/v1/nodes":                     {object("v1", "Node", "")},
		"/apis/example.com/v1/shops":        {object("meta.k8s.io/v1", "PartialObjectMetadata", "")},
	}
	var out lockedBuffer
	log, messages := testLog(slog.LevelInfo)
	r, err := NewRecorder(RecordOptions{Config: api.config(), Out: &out, Log: log})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- r.Run(ctx) }()
	eventually(t, "all that there is", func() bool { return strings.Count(out.String(), "\n") == 5 })
	cancel()
	if err := <-ended; err != nil {
		t.Error(err)
	}

	if got := out.String(); strings.Contains(got, "s3cret") || strings.Contains(got, `"data"`) {
		t.Errorf("too much is recorded:\n%s", got)
	}
	observations, broken := readString(t, out.String())
	if len(broken) > 0 {
		t.Error(broken)
	}
	var kinds []string
	for _, o := range observations {
		kinds = append(kinds, o.Object.GetObjectKind().GroupVersionKind().Kind)
		if !o.Initial {
			t.Errorf("%s is not marked as one of the first list", kinds[len(kinds)-1])
		}
		if m, ok := o.Object.(*metav1.PartialObjectMetadata); ok && (m.APIVersion != "example.com/v1" || m.OwnerReferences[0].UID != "Shop") {
			t.Errorf("the owner is %+v", m)
		}
	}
	slices.Sort(kinds)
	if want := []string{"ControllerRevision", "CronJob", "Node", "Shop", "StatefulSet"}; !slices.Equal(kinds, want) {
		t.Errorf("recorded %v, want %v", kinds, want)
	}
	if got, want := r.Counts(), []KindCount{{"Node", 1}, {"StatefulSet", 1}, {"ControllerRevision", 1}, {"CronJob", 1}, {"Shop", 1}}; !slices.Equal(got, want) {
		t.Errorf("counted %v, want %v", got, want)
	}
	if got := messages(); len(got) > 0 {
		t.Errorf("said %q", got)
	}
	for _, path := range api.paths() {
		if strings.HasSuffix(path, "secrets") || strings.HasSuffix(path, "configmaps") || strings.HasSuffix(path, "leases") {
			t.Errorf("listed %s", path)
		}
	}
	if n := len(api.paths()); n != len(recordKinds)+1 {
		t.Errorf("listed %d kinds", n)
	}
}

// Who names kinds gets those and no others, and of their texts what is to be kept.
func TestRecorderOfSomeKinds(t *testing.T) {
	api := newFakeAPI(t)
	api.lists["/api/v1/namespaces/shop/pods"] = []string{`{"apiVersion":"v1","kind":"Pod","metadata":{"name":"web","namespace":"shop","uid":"u",
		"ownerReferences":[{"apiVersion":"example.com/v1","kind":"Shop","name":"web","uid":"Shop"}]},
		"spec":{"containers":[{"name":"c","args":["--listen"],"command":["s3cret"],` + secretEnv + `}]}}`}
	var out lockedBuffer
	log, _ := testLog(slog.LevelInfo)
	r, err := NewRecorder(RecordOptions{Config: api.config(), Out: &out, Log: log, Namespaces: []string{"shop"}, Kinds: []string{"Pod", "Node", "Namespace"}, Keep: []string{"args"}})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- r.Run(ctx) }()
	eventually(t, "the pod", func() bool { return strings.Count(out.String(), "\n") == 1 })
	cancel()
	if err := <-ended; err != nil {
		t.Error(err)
	}
	if got := out.String(); strings.Contains(got, "s3cret") || !strings.Contains(got, "--listen") {
		t.Errorf("too much is recorded, or too little:\n%s", got)
	}
	if _, err := NewRecorder(RecordOptions{Config: api.config(), Out: &out, Keep: []string{"env"}}); err == nil {
		t.Error("the values of environment variables would be kept")
	}
	if got, want := api.paths(), []string{"/api/v1/namespaces", "/api/v1/namespaces/shop/pods", "/api/v1/nodes"}; !slices.Equal(got, want) {
		t.Errorf("listed %q, want %q", got, want)
	}
}
