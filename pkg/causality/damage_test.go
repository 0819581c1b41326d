package causality_test

import (
	"slices"
	"testing"
	"time"

	"go.opentelemetry.io/otel/trace"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"pgregory.net/rapid"

	"github.com/rollspan/rollspan/pkg/causality"
	"github.com/rollspan/rollspan/pkg/spans"
)

// TestDamagedStreams loses, repeats and mutilates observations of recordings:
// whatever comes, the engine does not panic, and what it hands out is sound.
func TestDamagedStreams(t *testing.T) {
	forEachRecording(t, func(t *testing.T, obs []causality.Observation) {
		rapid.Check(t, func(t *rapid.T) {
			rate := rapid.IntRange(1, 60).Draw(t, "percent of the lines that are damaged")
			seed := rapid.Uint64().Draw(t, "seed")
			var damaged []causality.Observation
			for i, o := range obs {
				dice := mix(seed, uint64(i))
				if int(dice%100) < rate {
					damaged = append(damaged, damage(o, dice/100)...)
				} else {
					damaged = append(damaged, o)
				}
			}
			sound(t, replay(damaged))
		})
	})
}

// TestSoundWithoutGenerations takes away what tells the writes of a spec apart, from
// all objects. Two scales of one Deployment are still two changes.
func TestSoundWithoutGenerations(t *testing.T) {
	forEachRecording(t, func(t *testing.T, obs []causality.Observation) {
		bare := slices.Clone(obs)
		for i := range bare {
			bare[i].Object = bare[i].Object.DeepCopyObject()
			if meta, ok := bare[i].Object.(metav1.Object); ok {
				meta.SetGeneration(0)
			}
		}
		sound(t, replay(bare))
	})
}

// mix is a small hash (splitmix64): rapid draws the seed, so that a failure
// can be had again without a line of its log per observation.
func mix(seed, i uint64) uint64 {
	z := seed + i*0x9e3779b97f4a7c15
	z = (z ^ z>>30) * 0xbf58476d1ce4e5b9
	z = (z ^ z>>27) * 0x94d049bb133111eb
	return z ^ z>>31
}

func damage(o causality.Observation, dice uint64) []causality.Observation {
	object := o.Object.DeepCopyObject()
	meta, ok := object.(metav1.Object)
	if !ok {
		return nil
	}
	m := o
	m.Object = object
	switch dice % 12 {
	case 0: // lost
		return nil
	case 1: // twice, as after a relist
		return []causality.Observation{o, o}
	case 2:
		meta.SetUID("")
	case 3:
		meta.SetCreationTimestamp(metav1.Time{})
		meta.SetResourceVersion("")
	case 4:
		meta.SetOwnerReferences(nil)
	case 5:
		meta.SetAnnotations(map[string]string{"deployment.kubernetes.io/revision": "rubbish", "deployment.kubernetes.io/revision-history": ",,x"})
	case 6:
		m.Time = time.Time{}
	case 7: // a clock that runs backwards
		m.Time = o.Time.Add(-time.Hour)
	case 8:
		m.Object = nil
	case 9:
		meta.SetGeneration(0)
		meta.SetManagedFields([]metav1.ManagedFieldsEntry{{Manager: "x"}, {FieldsV1: metav1.NewFieldsV1("{")}})
	case 10:
		switch in := object.(type) {
		case *corev1.Pod:
			in.Status = corev1.PodStatus{}
			in.Spec.Containers = nil
		case *corev1.Event:
			in.InvolvedObject = corev1.ObjectReference{}
			in.Reason = ""
			in.FirstTimestamp, in.LastTimestamp, in.EventTime = metav1.Time{}, metav1.Time{}, metav1.MicroTime{}
		}
	case 11:
		m.Initial = true
	}
	return []causality.Observation{m}
}

// sound checks what holds of any output.
func sound(t interface{ Errorf(string, ...any) }, traces []spans.Trace) {
	for _, tr := range traces {
		soundPath(t, tr)
	}
	soundSpans(t, traces)
}

// soundSpans checks what holds of any spans.
func soundSpans(t interface{ Errorf(string, ...any) }, traces []spans.Trace) {
	byID := map[trace.SpanID]spans.Span{}
	for _, s := range allSpans(traces) {
		if _, dup := byID[s.SpanID]; dup {
			t.Errorf("%s %s: a span ID twice", s.Name, s.Subject)
		}
		byID[s.SpanID] = s
	}
	for _, s := range byID {
		if s.End.Before(s.Start) {
			t.Errorf("%s %s ends before it starts", s.Name, s.Subject)
		}
		if s.Start.IsZero() {
			t.Errorf("%s %s has no time", s.Name, s.Subject)
		}
		if p, ok := byID[s.ParentID]; ok && s.Start.Before(p.Start) {
			t.Errorf("%s %s starts before its parent %s", s.Name, s.Subject, p.Name)
		}
	}
}
