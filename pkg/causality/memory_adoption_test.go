package causality

import (
	"fmt"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/watch"
)

// TestNothingIsKeptOfOwnersThatLetGo deletes Deployments and ReplicaSets without
// what they have, which others take in.
func TestNothingIsKeptOfOwnersThatLetGo(t *testing.T) {
	l := newLife()
	a := l.rollOut("web")
	l.pass(time.Minute)
	for i := range 50 {
		d := a.d.DeepCopy()
		d.ObjectMeta = l.meta("d", "web", nil)
		a.rs.OwnerReferences = nil
		l.see(watch.Modified, a.rs)
		l.see(watch.Deleted, a.d)
		if i%2 == 0 {
			// Nor does it keep its ReplicaSet: its pod is taken in by another.
			rs := a.rs.DeepCopy()
			rs.ObjectMeta = l.meta("rs", "web-1", nil)
			a.pod.OwnerReferences = nil
			l.see(watch.Modified, a.pod)
			l.see(watch.Deleted, a.rs)
			a.rs = rs
			l.see(watch.Added, a.rs)
			a.pod.OwnerReferences = l.meta("pod", "", &a.rs.ObjectMeta).OwnerReferences
			l.see(watch.Modified, a.pod)
		}
		a.d = d
		l.see(watch.Added, a.d)
		a.rs.OwnerReferences = l.meta("rs", "", &a.d.ObjectMeta).OwnerReferences
		l.see(watch.Modified, a.rs)
		l.pass(time.Duration(i%5) * time.Minute)

		// Its pod is let go of, replaced, taken back, and the newer one removed.
		refs := a.pod.OwnerReferences
		a.pod.OwnerReferences = nil
		l.see(watch.Modified, a.pod)
		next := app{pod: &corev1.Pod{ObjectMeta: l.meta("pod", fmt.Sprint("web-1-", i), &a.rs.ObjectMeta)}}
		next.pod.Spec = a.pod.Spec
		l.see(watch.Added, next.pod)
		next.run(l, 0)
		l.see(watch.Modified, next.pod)
		a.pod.OwnerReferences = refs
		l.see(watch.Modified, a.pod)
		now, none := metav1.NewTime(l.at), int64(0)
		next.pod.DeletionTimestamp, next.pod.DeletionGracePeriodSeconds = &now, &none
		l.see(watch.Deleted, next.pod)
		l.pass(time.Minute)
	}
	l.remove(a)
	l.nothingIsLeft(t)
	// The later Deployments are complete when they are first seen.
	for name, want := range map[string]int{"Deployment rollout": 51, "Deployment delete": 51} {
		if n := l.traces[name]; n != want {
			t.Errorf("%d traces %s were told, want %d", n, name, want)
		}
	}
}
