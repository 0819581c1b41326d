package causality

import (
	"fmt"
	"testing"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/watch"
)

// TestABurstEndsWhateverElseGoesOn has an Event about one object every half minute, which is how
// long a burst is waited for. Each is told at that time, whether others have Events or not.
func TestABurstEndsWhateverElseGoesOn(t *testing.T) {
	about := func(name string) *corev1.Pod {
		return &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Name: name, UID: "uid-of-one"}}
	}
	for _, others := range []int{0, 1, 7} {
		l := newLife()
		l.pass(time.Second)
		var told []string
		began := l.at
		for second := range 150 {
			l.at = began.Add(time.Duration(second) * time.Second)
			before := l.traces["Pod activity"]
			if second%30 == 0 && second < 120 {
				l.event(about("one"), "Odd")
			} else {
				l.pass(0)
			}
			if l.traces["Pod activity"] > before && l.last.Root().Name == "Pod activity" {
				told = append(told, fmt.Sprint(second))
			}
			for i := range others {
				l.at = l.at.Add(time.Millisecond)
				l.odd(fmt.Sprintf("other-%d-%d", second, i))
			}
		}
		if got, want := fmt.Sprint(told), "[30 60 90 121]"; got != want {
			t.Errorf("beside %d others the Events are told at seconds %s, want %s", others, got, want)
		}
	}
}

// odd is an Event about an object that nobody knows, of a kind of its own.
func (l *life) odd(name string) {
	l.version++
	at := metav1.NewTime(l.at.Truncate(time.Second))
	for _, t := range l.Observe(Observation{Time: l.at, Type: watch.Added, Object: &corev1.Event{
		ObjectMeta:     metav1.ObjectMeta{Namespace: "other", Name: name, ResourceVersion: fmt.Sprint(l.version)},
		InvolvedObject: corev1.ObjectReference{Kind: "Widget", Namespace: "other", Name: name, UID: "uid-of-widget"},
		Reason:         "Odd", FirstTimestamp: at, LastTimestamp: at, Count: 1,
	}}) {
		l.took(t)
	}
}

// TestEventsWaitForTheEndOfARollout has a pod that cannot be scheduled hold a rollout up for an
// hour. Its Events are not looked at until the rollout is told, and then are on its spans.
func TestEventsWaitForTheEndOfARollout(t *testing.T) {
	l := newLife()
	a := l.rollOut("web")
	l.pass(time.Minute)
	a.d.Generation++
	a.d.Spec.Template.Spec.Containers = []corev1.Container{{Name: "web", Image: "web:2"}}
	l.see(watch.Modified, a.d)
	one := int32(1)
	a.rs = a.rs.DeepCopy()
	a.rs.ObjectMeta = l.meta("rs", "web-2", &a.d.ObjectMeta)
	a.rs.Annotations = map[string]string{"deployment.kubernetes.io/revision": "2"}
	a.rs.Spec.Replicas = &one
	l.see(watch.Added, a.rs)
	a.d.Annotations = a.rs.Annotations
	l.see(watch.Modified, a.d)
	a.pod = &corev1.Pod{ObjectMeta: l.meta("pod", "web-2-a", &a.rs.ObjectMeta)}
	a.pod.Spec.Containers = []corev1.Container{{Name: "web", Image: "web:2"}}
	l.see(watch.Added, a.pod)
	l.event(a.pod, "FailedScheduling")
	l.pass(time.Minute) // it is found what it waits for
	before, told := l.worked, l.spans
	for range 50 * 60 {
		l.pass(time.Second)
	}
	if got := l.worked - before; got > 500 || l.spans != told {
		t.Errorf("in an hour in which nothing happens %d looks are taken, and %d spans told", got, l.spans-told)
	}
	a.run(l, 0)
	l.see(watch.Modified, a.pod)
	a.d.Status = appsv1.DeploymentStatus{ObservedGeneration: a.d.Generation, Replicas: 1, UpdatedReplicas: 1, AvailableReplicas: 1}
	l.see(watch.Modified, a.d)
	l.pass(time.Minute)
	l.pass(time.Minute)
	if l.unsettled.Len() != 0 || len(l.awaited.by) != 0 || l.traces["Pod activity"] != 0 {
		t.Errorf("left are %d objects whose Events wait; told %v", l.unsettled.Len(), l.traces)
	}
}
