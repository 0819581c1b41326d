package podlife

import (
	"slices"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// TestRefusalsOfASeries: the scheduler's recorder tells its Events apart by the state of the pod that they
// are about, and not by their words. A refusal for another reason is then a repetition, with the words of
// the first, and only the condition says the reason.
func TestRefusalsOfASeries(t *testing.T) {
	const a, b = "0/3 nodes are available: 3 Insufficient cpu", "0/3 nodes are available: 3 node(s) had taints"
	at := func(seconds float64) time.Time {
		return time.Date(2026, 1, 2, 10, 0, 0, 0, time.UTC).Add(time.Duration(seconds * float64(time.Second)))
	}
	type said struct {
		message string
		seconds []float64
	}
	type change struct {
		message string
		seconds float64
	}
	for _, c := range []struct {
		name       string
		events     []said
		conditions []change
		want       []change
	}{
		{
			"another reason in a series",
			[]said{{a, []float64{0}}, {a, []float64{60, 120}}, {b, []float64{400}}},
			[]change{{a, 0.05}, {b, 120.05}},
			[]change{{a, 0}, {b, 120.05}},
		},
		{
			"and the first one again in the next",
			[]said{{a, []float64{0}}, {b, []float64{60}}, {b, []float64{120, 180}}, {a, []float64{400}}},
			[]change{{a, 0.05}, {b, 60.05}, {a, 180.05}},
			[]change{{a, 0}, {b, 60}, {a, 180.05}},
		},
		{
			"each in an Event of its own",
			[]said{{a, []float64{0}}, {b, []float64{60}}},
			[]change{{a, 0.05}, {b, 60.05}},
			[]change{{a, 0}, {b, 60}},
		},
		{
			"the Event is dated after the news of the condition",
			[]said{{a, []float64{0}}, {b, []float64{61}}},
			[]change{{a, 0.05}, {b, 60.05}},
			[]change{{a, 0}, {b, 61}},
		},
		{
			"the news of the conditions is late",
			[]said{{a, []float64{0}}, {b, []float64{60}}, {a, []float64{70}}},
			[]change{{a, 0.05}, {b, 90}, {a, 91}},
			[]change{{a, 0}, {b, 60}, {a, 70}},
		},
	} {
		p := &Pod{Object: &Object{}}
		for _, s := range c.events {
			ev := &Event{Reason: "FailedScheduling"}
			for i, seconds := range s.seconds {
				ev.Occurrences = append(ev.Occurrences, Occurrence{Count: int32(i) + 1, At: at(seconds), Message: s.message + "."})
			}
			p.Events = append(p.Events, ev)
		}
		for _, s := range c.conditions {
			p.ObserveConditions([]corev1.PodCondition{{
				Type: corev1.PodScheduled, Status: corev1.ConditionFalse, Reason: corev1.PodReasonUnschedulable, Message: s.message + ".",
				LastTransitionTime: metav1.NewTime(at(0)),
			}}, at(s.seconds), at(s.seconds))
		}
		var got []change
		for _, r := range p.Refusals(at(410)) {
			got = append(got, change{r.Message, r.At.Sub(at(0)).Seconds()})
		}
		if !slices.Equal(got, c.want) {
			t.Errorf("%s: refused for %v, want %v", c.name, got, c.want)
		}
	}
}
