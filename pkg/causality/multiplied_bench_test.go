package causality_test

import (
	"fmt"
	"testing"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/rollspan/rollspan/pkg/causality"
)

// BenchmarkMultiplied is real life many times at once: each recording with so many copies
// of all that is in namespaces, each in a namespace of its own with UIDs of its own, one
// observation of each in turn. 300 copies are a million observations. What decodes and
// copies objects is not measured.
func BenchmarkMultiplied(b *testing.B) {
	for _, copies := range []int{3, 300} {
		b.Run(fmt.Sprintf("copies=%d", copies), func(b *testing.B) {
			n := 0
			for b.Loop() {
				n = 0
				for _, name := range recordings(b) {
					b.StopTimer()
					recorded := load(b, name)
					engine := newEngine(causality.Options{})
					for _, o := range recorded {
						multiplied := multiply(o, copies)
						n += len(multiplied)
						b.StartTimer()
						for _, o := range multiplied {
							engine.Observe(o)
						}
						b.StopTimer()
					}
					b.StartTimer()
					engine.Flush()
				}
			}
			perObservation := float64(b.Elapsed().Nanoseconds()) / float64(b.N) / float64(n)
			b.ReportMetric(perObservation, "ns/observation")
		})
	}
}

// multiply returns copies of an observation, of other objects. What is in no namespace,
// such as a Node, there is once for all of them.
func multiply(o causality.Observation, copies int) []causality.Observation {
	m, ok := o.Object.(metav1.Object)
	if !ok || m.GetNamespace() == "" {
		return []causality.Observation{o}
	}
	if e, ok := o.Object.(*corev1.Event); ok && e.InvolvedObject.Namespace == "" {
		return []causality.Observation{o}
	}
	out := make([]causality.Observation, copies)
	for i := range out {
		out[i] = o
		out[i].Object = o.Object.DeepCopyObject()
		rename := func(uid types.UID) types.UID { return uid + types.UID(fmt.Sprintf("-%d", i)) }
		m := out[i].Object.(metav1.Object)
		m.SetUID(rename(m.GetUID()))
		m.SetNamespace(fmt.Sprintf("%s-%d", m.GetNamespace(), i))
		owners := m.GetOwnerReferences()
		for j := range owners {
			owners[j].UID = rename(owners[j].UID)
		}
		m.SetOwnerReferences(owners)
		if e, ok := out[i].Object.(*corev1.Event); ok {
			e.InvolvedObject.UID, e.InvolvedObject.Namespace = rename(e.InvolvedObject.UID), m.GetNamespace()
		}
	}
	return out
}
