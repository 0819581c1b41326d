package causality

import (
	"fmt"
	"testing"

	appsv1 "k8s.io/api/apps/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/watch"

	"github.com/rollspan/rollspan/pkg/causality/internal/kube"
	"github.com/rollspan/rollspan/pkg/causality/internal/workloads"
)

func ownedByRollout(rs *appsv1.ReplicaSet, uid string) {
	isController := true
	rs.OwnerReferences = []metav1.OwnerReference{{APIVersion: "argoproj.io/v1alpha1", Kind: "Rollout", Name: uid, UID: types.UID(uid), Controller: &isController}}
}

func (l *life) rollout(name string) *metav1.PartialObjectMetadata {
	r := &metav1.PartialObjectMetadata{ObjectMeta: l.meta("rollout", name, nil)}
	r.APIVersion, r.Kind, r.UID = "argoproj.io/v1alpha1", "Rollout", types.UID(name)
	return r
}

func (l *life) setOf(rollout string) *appsv1.ReplicaSet {
	rs := &appsv1.ReplicaSet{ObjectMeta: l.meta("set", rollout+"-1", nil)}
	rs.Annotations = map[string]string{"rollout.argoproj.io/revision": "1", "rollout.argoproj.io/desired-replicas": "0"}
	ownedByRollout(rs, rollout)
	return rs
}

// TestAReplicaSetIsExpectedOnce has somebody give one ReplicaSet to one Rollout after the
// other, of which none is seen, write it often, and delete it, seen and missed.
func TestAReplicaSetIsExpectedOnce(t *testing.T) {
	for _, missed := range []bool{false, true} {
		l := newLife()
		rs := l.setOf("r")
		for i := range 3 * workloads.MaxUnseen {
			ownedByRollout(rs, fmt.Sprint("r", i))
			l.see(watch.Modified, rs)
		}
		if n := len(l.unseen); n != 1 {
			t.Errorf("one ReplicaSet is kept for %d Rollouts, want the last", n)
		}
		for range 3 * workloads.MaxUnseen {
			l.see(watch.Modified, rs)
		}
		for _, u := range l.unseen {
			if n := len(u.News[workloads.ReplicaSetID(rs)]); n != workloads.MaxUnseen {
				t.Errorf("%d pieces of news are kept, want %d", n, workloads.MaxUnseen)
			}
		}
		if missed {
			l.see(watch.Deleted, &metav1.PartialObjectMetadata{TypeMeta: metav1.TypeMeta{APIVersion: "apps/v1", Kind: "ReplicaSet"}, ObjectMeta: rs.ObjectMeta})
		} else {
			l.see(watch.Deleted, rs)
		}
		if n := len(l.unseen) + len(l.unseenOf); n != 0 {
			t.Errorf("%d records are left of a ReplicaSet that is gone (missed: %t)", n, missed)
		}
	}
}

// TestWhatARolloutWaitsForIsBounded has somebody write a Rollout, with large annotations,
// faster than the settle period lets it be read.
func TestWhatARolloutWaitsForIsBounded(t *testing.T) {
	l := newLife()
	l.opts.Settle = 1 << 40
	r := l.rollout("r")
	r.Annotations = map[string]string{"note": string(make([]byte, 1<<16))}
	most := 0
	for range 3 * workloads.MaxNews {
		l.see(watch.Modified, r)
		most = max(most, len(l.workloads[kube.IDOf(r, r)].Composition.News))
	}
	if most > 2*workloads.MaxNews {
		t.Errorf("%d pieces of news wait, want at most %d", most, 2*workloads.MaxNews)
	}
	for _, n := range l.workloads[kube.IDOf(r, r)].Composition.News {
		if n.Meta.Annotations["note"] != "" {
			t.Fatal("an annotation that nobody reads is kept")
		}
	}
}

// TestAReplicaSetIsPartOfOneRollout has a ReplicaSet change from one Rollout to another, and
// then go where the watcher misses it. Neither keeps it.
func TestAReplicaSetIsPartOfOneRollout(t *testing.T) {
	l := newLife()
	a, b := l.rollout("a"), l.rollout("b")
	l.see(watch.Added, a)
	l.see(watch.Added, b)
	rs := l.setOf("a")
	l.see(watch.Added, rs)
	l.pass(l.opts.Settle * 2)
	parts := func(r *metav1.PartialObjectMetadata) int { return len(l.workloads[kube.IDOf(r, r)].Composition.Parts) }
	if parts(a) != 1 {
		t.Fatal("the Rollout does not have its ReplicaSet")
	}
	ownedByRollout(rs, "b")
	l.see(watch.Modified, rs)
	l.pass(l.opts.Settle * 2)
	if parts(a) != 0 || parts(b) != 1 {
		t.Errorf("the Rollouts have %d and %d ReplicaSets, want 0 and 1", parts(a), parts(b))
	}
	l.see(watch.Deleted, &metav1.PartialObjectMetadata{TypeMeta: metav1.TypeMeta{APIVersion: "apps/v1", Kind: "ReplicaSet"}, ObjectMeta: rs.ObjectMeta})
	l.pass(l.opts.Settle * 2)
	if parts(b) != 0 {
		t.Error("the Rollout has a ReplicaSet that is gone")
	}
}
