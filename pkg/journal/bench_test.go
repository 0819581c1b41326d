package journal_test

import (
	"fmt"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/rollspan/rollspan/pkg/causality/stream"
	"github.com/rollspan/rollspan/pkg/journal"
	"github.com/rollspan/rollspan/pkg/spans"
)

// cluster is a recording's stream, repeated for other objects until it tells of so many pods.
func cluster(b *testing.B, pods int) (steps []step) {
	b.Helper()
	recorded := load(b, "rolling-update-undo-scale-restart")
	perCopy := map[types.UID]bool{}
	for _, s := range recorded {
		if p, ok := s.observation.Object.(*corev1.Pod); ok {
			perCopy[p.UID] = true
		}
	}
	var now time.Time
	for copies := range (pods + len(perCopy) - 1) / len(perCopy) {
		rename := func(uid types.UID) types.UID { return types.UID(fmt.Sprintf("%s-%d", uid, copies)) }
		for _, s := range recorded {
			if s.observation.Object == nil {
				continue
			}
			o := s.observation
			o.Object = o.Object.DeepCopyObject()
			m := o.Object.(metav1.Object)
			m.SetUID(rename(m.GetUID()))
			m.SetNamespace(fmt.Sprintf("%s-%d", m.GetNamespace(), copies))
			refs := m.GetOwnerReferences()
			for i := range refs {
				refs[i].UID = rename(refs[i].UID)
			}
			m.SetOwnerReferences(refs)
			if e, ok := o.Object.(*corev1.Event); ok {
				e.InvolvedObject.UID, e.InvolvedObject.Namespace = rename(e.InvolvedObject.UID), m.GetNamespace()
			}
			if o.Time.Before(now) {
				o.Time = now
			}
			now = o.Time
			steps = append(steps, step{observation: o})
		}
	}
	return steps
}

// opened is a Keeper of a directory, as rollspan has it.
func opened(b *testing.B, dir string) *journal.Keeper {
	b.Helper()
	k, err := journal.Open(journal.Options{Dir: dir, New: newEngine, Log: testLog(b)})
	if err != nil {
		b.Fatal(err)
	}
	if err := k.Recover(func([]spans.Trace) error { return nil }); err != nil {
		b.Fatal(err)
	}
	return k
}

// observe has a Keeper observe all of a stream, as many at once as come at once while much goes
// on.
func observe(k *journal.Keeper, steps []step) {
	const batch = 16
	for i := 0; i < len(steps); i += batch {
		var observations []stream.Observation
		for _, s := range steps[i:min(i+batch, len(steps))] {
			observations = append(observations, s.observation)
		}
		k.AcknowledgeAll(k.Observe(observations...))
	}
	k.Tick()
}

// BenchmarkObserve has what a watch event costs with a journal, and without.
func BenchmarkObserve(b *testing.B) {
	for _, with := range []bool{false, true} {
		b.Run(fmt.Sprintf("journal=%t", with), func(b *testing.B) {
			steps := cluster(b, 1000)
			b.ReportAllocs()
			b.ResetTimer()
			n, bytes := 0, int64(0)
			for b.Loop() {
				dir := ""
				if with {
					dir = b.TempDir()
				}
				l := opened(b, dir)
				observe(l, steps)
				n += len(steps)
				bytes += l.Stats().Bytes
				_ = l.Rest() // it is over
				_ = l.Close()
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(n), "ns/observation")
			b.ReportMetric(float64(bytes)/float64(n), "B/observation")
		})
	}
}

// BenchmarkRecover has how long it takes to go on with the rollouts of 10,000 pods.
func BenchmarkRecover(b *testing.B) {
	steps := cluster(b, 10_000)
	dir := b.TempDir()
	before := opened(b, dir)
	observe(before, steps)
	before.Kill()
	for b.Loop() {
		k := opened(b, dir)
		b.ReportMetric(float64(k.Stats().Recovered), "observations")
		b.ReportMetric(float64(k.Stats().Bytes)/(1<<20), "MiB")
		k.Kill()
	}
}
