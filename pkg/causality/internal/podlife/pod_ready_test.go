package podlife

import (
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// TestReadyAgainAsOfBefore: a kubelet that was cut off writes the condition anew that it knew, with its old
// transition, over that of the node controller.
func TestReadyAgainAsOfBefore(t *testing.T) {
	t1 := time.Date(2026, 1, 2, 10, 0, 10, 0, time.UTC)
	t2, t3 := t1.Add(50*time.Second), t1.Add(110*time.Second)
	p := &Pod{Object: &Object{}}
	observe := func(status corev1.ConditionStatus, since, seen time.Time) {
		p.ObserveConditions([]corev1.PodCondition{{Type: corev1.PodReady, Status: status, LastTransitionTime: metav1.NewTime(since)}}, seen, seen)
	}
	observe(corev1.ConditionTrue, t1, t1.Add(100*time.Millisecond))
	observe(corev1.ConditionFalse, t2, t2.Add(100*time.Millisecond))
	observe(corev1.ConditionTrue, t1, t3)
	observe(corev1.ConditionTrue, t1, t3.Add(time.Minute))
	if n := len(p.Ready); n != 3 {
		t.Fatalf("%d transitions: %v", n, p.Ready)
	}
	if p.ReadyAt(t2.Add(30*time.Second)) || !p.ReadyAt(t3) {
		t.Errorf("Ready at %v", p.Ready)
	}
	spells := p.UnreadyBy(t3.Add(time.Minute))
	if len(spells) != 1 || !spells[0].From.Equal(t2.Add(100*time.Millisecond)) || !spells[0].Until.At().Equal(t3) {
		t.Errorf("it was not Ready %v", spells)
	}
	if since := p.ReadySince(t3); !since.Equal(t3) {
		t.Errorf("Ready since %v, want %v", since, t3)
	}
	// Controllers count minReadySeconds from the transition that is stated.
	if since, ok := p.StayedReady(time.Minute, t3); !ok || !since.Equal(t1) {
		t.Errorf("stayed Ready %v since %v, want since %v", ok, since, t1)
	}
}
