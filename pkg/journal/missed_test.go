package journal_test

import (
	"errors"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/watch"

	"github.com/rollspan/rollspan/pkg/causality/stream"
)

// missed are steps of a watch that breaks off at each deletion: a list finds the object gone,
// of which the identity is all that is left.
func missed(steps []step) []step {
	steps = slices.Clone(steps)
	for i := range steps {
		o := &steps[i].observation
		m, ok := o.Object.(metav1.Object)
		if _, event := o.Object.(*corev1.Event); !ok || event || o.Type != watch.Deleted {
			continue
		}
		left := &metav1.PartialObjectMetadata{ObjectMeta: metav1.ObjectMeta{Namespace: m.GetNamespace(), Name: m.GetName(), UID: m.GetUID()}}
		left.SetGroupVersionKind(o.Object.GetObjectKind().GroupVersionKind())
		o.Object = left
	}
	return steps
}

// TestMissedDeletions kills rollspan where deletions were missed: a replay tells what it told,
// and knows as little of them.
func TestMissedDeletions(t *testing.T) {
	for _, name := range recordings(t) {
		t.Run(name, func(t *testing.T) {
			steps := missed(load(t, name))
			want := undisturbed(t, steps)
			for trial := range trials(2, 20) {
				r := rand.New(rand.NewPCG(uint64(trial), 1))
				dir, to := t.TempDir(), newTold(t)
				l := begin(t, dir, to, always)
				l.live(steps[:r.IntN(len(steps)+1)])
				l.Tick()
				l.Kill()
				l = begin(t, dir, to, always)
				l.live(steps[l.Replayed():])
				if err := errors.Join(l.Rest(), l.Close()); err != nil {
					t.Fatal(err)
				}
				want.compare(to, "killed once")
			}
		})
	}
}

// A batch may hold more than a frame may: when lists have come, all their pods are one. None
// of them is lost to the next process.
func TestLargeBatch(t *testing.T) {
	const pods = 80
	noise := strings.Repeat("0123456789abcdef", 1<<16) // a MiB
	steps := load(t, oneRecording)
	var batch []stream.Observation
	for range pods {
		pod := &corev1.Pod{}
		pod.SetGroupVersionKind(corev1.SchemeGroupVersion.WithKind("Pod"))
		pod.Namespace, pod.Name = "shop", "web"
		pod.Annotations = map[string]string{"large": noise}
		batch = append(batch, stream.Observation{Time: steps[0].now, Type: watch.Added, Object: pod})
	}
	dir, to := t.TempDir(), newTold(t)
	l := begin(t, dir, to, always)
	l.Observe(batch...)
	l.Kill()
	next, why := quietly(t, dir, newEngine, to)
	if next.Replayed() != pods || next.Stats().Corrupt != 0 {
		t.Errorf("%d of %d pods, %d segments damaged: %s", next.Replayed(), pods, next.Stats().Corrupt, why)
	}
}
