package causality

import (
	"fmt"
	"testing"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/watch"

	"github.com/rollspan/rollspan/pkg/causality/internal/kube"
	"github.com/rollspan/rollspan/pkg/causality/internal/podlife"
)

// TestPausesAreBounded has somebody pause and resume a rollout that never ends.
func TestPausesAreBounded(t *testing.T) {
	l := newLife()
	d := &appsv1.Deployment{ObjectMeta: l.meta("d", "web", nil)}
	l.see(watch.Added, d)
	for i := range 3 * podlife.MaxTransitions {
		d.Generation++
		d.Spec.Paused = i%2 == 0
		l.see(watch.Modified, d)
	}
	c := l.workloads[kube.BuiltIn("Deployment", d)].Current()
	if n := len(c.Pauses); n != podlife.MaxTransitions {
		t.Errorf("%d pauses are kept, want %d", n, podlife.MaxTransitions)
	}
}

// TestAControllerRevisionIsKeptOnce has somebody give one ControllerRevision to one
// workload after the other, of which none exists, and let go of it before it is deleted.
func TestAControllerRevisionIsKeptOnce(t *testing.T) {
	l := newLife()
	r := &appsv1.ControllerRevision{ObjectMeta: l.meta("revision", "web", nil), Revision: 1}
	isController := true
	for i := range 100 {
		r.OwnerReferences = []metav1.OwnerReference{{
			APIVersion: "apps/v1", Kind: "StatefulSet", Name: "db", UID: types.UID(fmt.Sprint("db", i)), Controller: &isController,
		}}
		l.see(watch.Modified, r)
	}
	if n := len(l.revisions); n != 1 {
		t.Errorf("one ControllerRevision is kept for %d workloads, want that of the last", n)
	}
	r.OwnerReferences = nil
	l.see(watch.Modified, r)
	l.see(watch.Deleted, r)
	if n := len(l.revisions) + len(l.revisionOf); n != 0 {
		t.Errorf("%d records are left of a ControllerRevision that is gone", n)
	}
}

// TestEventsWaitApartFromWorkloads has a record that is no object's any more wait among
// those of Events. That it goes shows that they are looked at: when it is their time,
// and not whenever a workload is.
func TestEventsWaitApartFromWorkloads(t *testing.T) {
	l := newLife()
	l.event(&corev1.Pod{ObjectMeta: l.meta("pod", "cm", nil)}, "Odd")
	stale := &podlife.Object{Name: "forgotten"}
	l.unsettled.Set(stale, l.at.Add(l.opts.Quiet))
	l.rollOut("a")
	l.pass(10 * time.Second)
	if l.traces["Deployment rollout"] != 1 || !l.unsettled.Has(stale) {
		t.Errorf("told: %v, want the rollout; Events that have time are left alone: %v", l.traces, l.unsettled.Has(stale))
	}
	l.pass(time.Minute)
	if l.unsettled.Len() != 0 {
		t.Errorf("Events that are due are not told: %v", l.unsettled.All())
	}
}
