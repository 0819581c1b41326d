package watcher

import (
	"testing"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/watch"

	"github.com/rollspan/rollspan/pkg/causality"
)

// told is a Follower that keeps what it is told first.
type told struct{ objects []runtime.Object }

func (f *told) Begin(objects []runtime.Object, _ time.Time) error {
	f.objects = objects
	return nil
}
func (f *told) Observe(causality.Observation) bool { return false }
func (f *told) Tick(time.Time, *Behind) bool       { return false }

// Until its end, a list that is streamed says what happens to what it has. Of each object only the
// latest state is there when following begins.
func TestFollowBeginsWithTheLatest(t *testing.T) {
	f := &told{}
	w := &follow{told: f}
	s := newObjectStore(store{kind: deploymentKind, now: time.Now, synced: func() {}, emit: func(o causality.Observation) error {
		_, err := w.observe(o)
		return err
	}})
	state := func(name, version string) *appsv1.Deployment {
		return &appsv1.Deployment{ObjectMeta: metav1.ObjectMeta{Namespace: "shop", Name: name, UID: "u", ResourceVersion: version}}
	}
	other := state("other", "11")
	other.UID = "o"
	must(t, s.begin(""))
	must(t, s.item(watch.Added, state("web", "10")))
	must(t, s.item(watch.Added, other))
	must(t, s.item(watch.Modified, state("web", "12")))
	must(t, s.Replace(nil, "13"))
	if _, err := w.begin(time.Now()); err != nil {
		t.Fatal(err)
	}
	if len(f.objects) != 2 || f.objects[0].(metav1.Object).GetResourceVersion() != "12" {
		t.Errorf("it begins with %v", f.objects)
	}
}
