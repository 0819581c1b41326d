package causality_test

import (
	"maps"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/watch"

	"github.com/rollspan/rollspan/pkg/causality"
)

// What came and went while nothing was known that would explain it is counted.
// What is explained, or may yet be, is not.
func TestOrphans(t *testing.T) {
	begin := time.Date(2026, 1, 2, 10, 0, 0, 0, time.UTC)
	meta := func(kind, name string, owner ...metav1.OwnerReference) metav1.ObjectMeta {
		return metav1.ObjectMeta{
			Namespace: "shop", Name: name, UID: types.UID(kind + "-" + name), ResourceVersion: "7",
			CreationTimestamp: metav1.NewTime(begin), OwnerReferences: owner,
		}
	}
	controller := true
	unknown := metav1.OwnerReference{APIVersion: "apps/v1", Kind: "ReplicaSet", Name: "web", UID: "never-seen", Controller: &controller}
	lost, stays, bare := &corev1.Pod{ObjectMeta: meta("pod", "lost", unknown)},
		&corev1.Pod{ObjectMeta: meta("pod", "stays", unknown)},
		&corev1.Pod{ObjectMeta: meta("pod", "bare")}
	event := &corev1.Event{
		ObjectMeta: meta("event", "sold"), Reason: "Sold", Type: corev1.EventTypeNormal,
		InvolvedObject: corev1.ObjectReference{Kind: "Shop", APIVersion: "example.com/v1", Namespace: "shop", Name: "shop", UID: "shop"},
		FirstTimestamp: metav1.NewTime(begin), LastTimestamp: metav1.NewTime(begin), Count: 1,
	}

	engine := newEngine(causality.Options{})
	see := func(after time.Duration, how watch.EventType, object *corev1.Pod) {
		engine.Observe(causality.Observation{Time: begin.Add(after), Type: how, Object: object})
	}
	for _, p := range []*corev1.Pod{lost, stays, bare} {
		see(time.Second, watch.Added, p)
	}
	engine.Observe(causality.Observation{Time: begin.Add(time.Second), Type: watch.Added, Object: event})
	see(2*time.Second, watch.Deleted, lost)
	see(2*time.Second, watch.Deleted, bare)
	if got := engine.Stats().Orphans; len(got) != 0 {
		t.Errorf("%v are orphans before anything more could come", got)
	}
	engine.Advance(begin.Add(10 * time.Minute))
	if got, want := engine.Stats().Orphans, map[string]int64{"Pod": 1, "Event": 1}; !maps.Equal(got, want) {
		t.Errorf("orphans %v, want %v", got, want)
	}
}
