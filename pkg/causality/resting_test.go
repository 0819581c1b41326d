package causality

import (
	"reflect"
	"slices"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/watch"
	"pgregory.net/rapid"

	"github.com/rollspan/rollspan/pkg/spans"
)

// TestPodsAtRestChangeNothing has whatever comes happen to a Deployment: rollouts, of which some
// come before the last one is over, steps whose news is late, pods that are lost, flap or do not
// get ready. What is told is what an engine tells that always looks at all pods, and each plan
// without those at rest agrees with one of all.
func TestPodsAtRestChangeNothing(t *testing.T) {
	rested := 0
	rapid.Check(t, func(t *rapid.T) {
		f := newFleet()
		f.kept = &[]Observation{}
		f.engine.CompareAwakePlans(func(what string) { t.Error(what) })
		f.roll(2)
		f.scale(f.sets[0], 2)
		f.run(f.start())
		f.run(f.start())
		for range rapid.IntRange(5, 40).Draw(t, "events") {
			f.happens(t)
			f.status()
			f.end()
			f.now = f.now.Add(time.Duration(rapid.SampledFrom([]int{0, 10, 1000, 4000, 12_000, 100_000}).Draw(t, "pause")) * time.Millisecond)
			*f.kept = append(*f.kept, Observation{Time: f.now})
			f.told = append(f.told, f.engine.Advance(f.now)...)
			rested = max(rested, f.engine.AtRest())
		}
		got := slices.Concat(f.told, f.engine.Flush())

		all := New(Options{})
		all.fewPods = len(*f.kept)
		all.Advance(fleetDay)
		var want []spans.Trace
		for _, o := range *f.kept {
			if o.Object == nil {
				want = append(want, all.Advance(o.Time)...)
			} else {
				want = append(want, all.Observe(o)...)
			}
		}
		if want = append(want, all.Flush()...); !reflect.DeepEqual(byID(got), byID(want)) {
			t.Errorf("%d traces are told, which are not the %d that are told where all pods are looked at", len(got), len(want))
		}
	})
	if rested == 0 {
		t.Error("no pod was ever at rest")
	}
}

// byID are the spans of traces. When each is handed out may differ: who looks at less is done
// sooner, and looks again sooner.
func byID(traces []spans.Trace) map[[24]byte]spans.Span {
	all := map[[24]byte]spans.Span{}
	for _, t := range traces {
		for i := range t.Spans {
			all[[24]byte(append(t.Spans[i].TraceID[:], t.Spans[i].SpanID[:]...))] = t.Spans[i]
		}
	}
	return all
}

// happens has one thing happen.
func (f *fleet) happens(t *rapid.T) {
	latest := f.sets[len(f.sets)-1]
	switch rapid.IntRange(0, 7).Draw(t, "what") {
	case 0:
		f.roll(2)
	case 1, 2:
		f.scale(latest, rapid.IntRange(1, 3).Draw(t, "more"))
	case 3:
		if *latest.Spec.Replicas > 0 {
			f.scale(latest, -1)
		}
		f.lost()
	case 4:
		f.lost()
	case 5:
		f.start()
	default:
		for _, p := range f.pods {
			if len(p.Status.Conditions) == 0 {
				f.run(p)
				return
			}
		}
		f.run(f.start())
	}
}

func (f *fleet) lost() {
	if len(f.pods) > 0 {
		f.deleteFirst()
	}
}

// TestOldReplicaSetIsForgottenWhilePodsAreAtRest has the Deployment controller delete a
// ReplicaSet that is beyond the revision history, while the pods of the latest are at rest.
func TestOldReplicaSetIsForgottenWhilePodsAreAtRest(t *testing.T) {
	f := newFleet()
	f.engine.opts.OnFault = func(fault Fault) {
		t.Errorf("%s for %s: %s at %s", fault.Doing, fault.Object, fault.Reason, fault.Place)
	}
	f.settled(2 * fewPods).update(fewPods)
	f.pass(5 * time.Minute)
	f.see(watch.Deleted, f.sets[0])
	f.pass(5 * time.Minute)
	f.sets = f.sets[1:]
	f.status()
	f.pass(time.Minute)
	if len(f.engine.sets) != 1 || f.engine.AtRest() == 0 {
		t.Errorf("%d ReplicaSets are known, and %d pods are at rest, want one, and some", len(f.engine.sets), f.engine.AtRest())
	}
}

// TestAGonePodWithEventsIsNotLookedAtAllTheTime has a late Event about a pod that was replaced
// before a rollout began, which does not end. The Event waits for the rollout, and the pod is
// remembered for it; nothing else is to be done meanwhile. At the end of the stream it is told.
func TestAGonePodWithEventsIsNotLookedAtAllTheTime(t *testing.T) {
	f := newFleet().settled(2 * fewPods)
	lost := f.pods[0]
	f.deleteFirst()
	f.status()
	f.pass(2 * time.Second)
	f.run(f.start())
	f.end()
	f.status()
	f.pass(20 * time.Second)
	f.roll(2 * fewPods)
	f.see(watch.Added, &corev1.Event{
		ObjectMeta:     metav1.ObjectMeta{Namespace: "shop", Name: "late"},
		InvolvedObject: corev1.ObjectReference{Kind: "Pod", APIVersion: "v1", Namespace: "shop", Name: lost.Name, UID: lost.UID},
		Reason:         "Killing", FirstTimestamp: *lost.DeletionTimestamp, LastTimestamp: *lost.DeletionTimestamp, Count: 1,
	})
	f.pass(3 * time.Minute)
	if len(f.engine.pods) != len(f.pods)+1 || f.engine.AtRest() == 0 {
		t.Fatalf("%d pods are remembered, and %d are at rest, want one more than the %d that are there, and some", len(f.engine.pods), f.engine.AtRest(), len(f.pods))
	}
	before := f.engine.WorkDone()
	f.pass(10 * time.Minute)
	if did := f.engine.WorkDone() - before; did > 100 {
		t.Errorf("in ten minutes without news %d units of work were done, want at most 100", did)
	}
	told := slices.Concat(f.told, f.engine.Flush())
	with := 0
	for _, t := range told {
		for i := range t.Spans {
			with += len(t.Spans[i].Events)
		}
	}
	if with != 1 {
		t.Errorf("the Event is told %d times, want once", with)
	}
}
