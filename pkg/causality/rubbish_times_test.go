package causality_test

import (
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/watch"

	"github.com/rollspan/rollspan/pkg/causality"
)

// TestEventsOfTheYear9999 has Events that state times which no clock shows, or one that was
// never set: they are dated by their arrival, as often as they are repeated.
func TestEventsOfTheYear9999(t *testing.T) {
	now := time.Date(2026, 1, 2, 12, 0, 0, 0, time.UTC)
	for _, stated := range []time.Time{time.Unix(60, 0), now.AddDate(0, -2, 0), now.AddDate(0, 2, 0), now.AddDate(500, 0, 0), time.Date(9999, 12, 31, 23, 59, 59, 0, time.UTC)} {
		e := newEngine(causality.Options{})
		ev := &corev1.Event{
			ObjectMeta: metav1.ObjectMeta{Namespace: "shop", Name: "odd.1", UID: "event", CreationTimestamp: metav1.NewTime(now)}, Reason: "Odd", Count: 1,
			InvolvedObject: corev1.ObjectReference{Kind: "Pod", Namespace: "shop", Name: "web", UID: "web"}, Source: corev1.EventSource{Component: "kubelet", Host: "node-a"},
			FirstTimestamp: metav1.NewTime(stated), LastTimestamp: metav1.NewTime(stated),
		}
		out := e.Observe(causality.Observation{Time: now, Type: watch.Added, Object: ev})
		for count := range int32(3) {
			ev = ev.DeepCopy()
			ev.Count, ev.LastTimestamp = count+2, metav1.NewTime(stated.Add(time.Second))
			out = append(out, e.Observe(causality.Observation{Time: now.Add(time.Second), Type: watch.Modified, Object: ev})...)
		}
		out = append(out, e.Flush()...)
		if len(out) == 0 {
			t.Errorf("%s: nothing is told", stated)
		}
		for _, s := range allSpans(out) {
			if s.Start.Before(now) || s.End.After(now.Add(time.Minute)) {
				t.Errorf("%s: %s is from %s to %s", stated, s.Name, s.Start, s.End)
			}
		}
	}
}
