package watcher

import (
	"context"
	"errors"
	"strings"
	"testing"
	"testing/synctest"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/watch"

	"github.com/rollspan/rollspan/pkg/causality"
)

// loud is an Event with a message of so many bytes.
func loud(bytes int) causality.Observation {
	return causality.Observation{Type: watch.Added, Object: &corev1.Event{Message: strings.Repeat("x", bytes)}}
}

// A full queue makes the reflectors wait, whether it is full of many objects or of
// large ones; the end of the program does not.
func TestLiveQueueIsBounded(t *testing.T) {
	small := causality.Observation{Type: watch.Added, Object: pod("a", "u", "1")}
	for name, test := range map[string]struct {
		fill func(*Live) int
		next causality.Observation
	}{
		"by number": {func(l *Live) int {
			for range queueLength {
				must(t, l.enqueue(t.Context(), small))
			}
			return queueLength
		}, small},
		"by bytes": {func(l *Live) int {
			n := 0
			for l.queue.bytes.Load()+sizeOf(loud(1<<20).Object) <= queueBytes {
				must(t, l.enqueue(t.Context(), loud(1<<20)))
				n++
			}
			if n < 4 || n > 16 {
				t.Errorf("there is room for %d objects of 1 MiB", n)
			}
			return n
		}, loud(1 << 20)},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				l := newTestLive(t)
				n := test.fill(l)
				if waits := value(t, l.metrics.waits); waits != 0 {
					t.Errorf("%v waits while there was room", waits)
				}
				ctx, cancel := context.WithCancel(t.Context())
				waiting := make(chan error, 1)
				go func() { waiting <- l.enqueue(ctx, test.next) }()
				synctest.Wait()
				if waits := value(t, l.metrics.waits); waits != 1 || len(waiting) > 0 {
					t.Errorf("%v waits for room there is not", waits)
				}
				l.queue.took(<-l.queue.out()) // makes room
				must(t, <-waiting)
				go func() { waiting <- l.enqueue(ctx, test.next) }()
				synctest.Wait()
				cancel()
				if err := <-waiting; !errors.Is(err, context.Canceled) {
					t.Errorf("%v", err)
				}
				if l.queue.length() != n || l.queue.bytes.Load() > queueBytes {
					t.Errorf("%d wait, of %d bytes", l.queue.length(), l.queue.bytes.Load())
				}
				for range n {
					l.queue.took(<-l.queue.out())
				}
				if l.queue.bytes.Load() != 0 || !l.queue.room.TryAcquire(queueBytes) {
					t.Error("what was taken still has its room")
				}
			})
		})
	}
}

// What is larger than the bound passes by itself, and is not overtaken for ever.
func TestQueueLetsTheLargestPass(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		q := newQueue()
		must(t, q.push(t.Context(), loud(1)))
		large := make(chan error, 1)
		go func() { large <- q.push(t.Context(), loud(queueBytes)) }()
		synctest.Wait()
		if q.offer(loud(2)) {
			t.Error("a small one went past the large one that waits")
		}
		small := make(chan error, 1)
		go func() { small <- q.push(t.Context(), loud(2)) }()
		synctest.Wait()
		if len(large)+len(small) > 0 {
			t.Error("one of them did not wait")
		}
		for _, want := range []int{1, queueBytes, 2} {
			o := q.took(<-q.out())
			if got := len(o.Object.(*corev1.Event).Message); got != want {
				t.Errorf("%d bytes came, want %d", got, want)
			}
			synctest.Wait()
		}
		must(t, <-large)
		must(t, <-small)
	})
}

// The estimate is of the order of what an object takes, whatever is in it.
func TestSizeOf(t *testing.T) {
	const text = 100_000
	long := strings.Repeat("x", text)
	for name, object := range map[string]runtime.Object{
		"Event": &corev1.Event{Message: long},
		"pod":   &corev1.Pod{Status: corev1.PodStatus{Message: long}},
		"owner": &metav1.PartialObjectMetadata{ObjectMeta: metav1.ObjectMeta{Annotations: map[string]string{"a": long}}},
		"recorded": &unstructured.Unstructured{Object: map[string]any{"status": map[string]any{
			"conditions": []any{map[string]any{"message": long}}}}},
	} {
		if got := sizeOf(object); got < text || got > 3*text {
			t.Errorf("%s: %d bytes", name, got)
		}
	}
	if got := sizeOf(&corev1.Pod{}); got < 500 {
		t.Errorf("an empty pod: %d bytes", got)
	}
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
