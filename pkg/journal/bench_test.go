package journal_test

import (
	"flag"
	"fmt"
	"iter"
	"slices"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/rollspan/rollspan/pkg/causality/stream"
	"github.com/rollspan/rollspan/pkg/journal"
	"github.com/rollspan/rollspan/pkg/spans"
)

// cluster is a recording's stream, repeated for other objects until it tells of so many pods. It is
// made as it is read: that of 50,000 pods would take 10 GiB.
func cluster(b *testing.B, pods int) iter.Seq[stream.Observation] {
	b.Helper()
	recorded := load(b, "rolling-update-undo-scale-restart")
	perCopy := map[types.UID]bool{}
	for _, s := range recorded {
		if p, ok := s.observation.Object.(*corev1.Pod); ok {
			perCopy[p.UID] = true
		}
	}
	return func(yield func(stream.Observation) bool) {
		var now time.Time
		for copies := range (pods + len(perCopy) - 1) / len(perCopy) {
			for _, s := range recorded {
				if s.observation.Object == nil {
					continue
				}
				o := copied(s.observation, copies)
				if o.Time.Before(now) {
					o.Time = now
				}
				now = o.Time
				if !yield(o) {
					return
				}
			}
		}
	}
}

// copied is an observation of another object that is like one.
func copied(o stream.Observation, number int) stream.Observation {
	rename := func(uid types.UID) types.UID { return types.UID(fmt.Sprintf("%s-%d", uid, number)) }
	o.Object = o.Object.DeepCopyObject()
	m := o.Object.(metav1.Object)
	m.SetUID(rename(m.GetUID()))
	m.SetNamespace(fmt.Sprintf("%s-%d", m.GetNamespace(), number))
	refs := m.GetOwnerReferences()
	for i := range refs {
		refs[i].UID = rename(refs[i].UID)
	}
	m.SetOwnerReferences(refs)
	if e, ok := o.Object.(*corev1.Event); ok {
		e.InvolvedObject.UID, e.InvolvedObject.Namespace = rename(e.InvolvedObject.UID), m.GetNamespace()
	}
	return o
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
func observe(k *journal.Keeper, all iter.Seq[stream.Observation]) {
	const most = 16
	batch := make([]stream.Observation, 0, most)
	feed := func() {
		k.AcknowledgeAll(k.Observe(batch...))
		batch = batch[:0]
	}
	for o := range all {
		if batch = append(batch, o); len(batch) == most {
			feed()
		}
	}
	feed()
	k.Tick()
}

// BenchmarkObserve has what a watch event costs with a journal, and without.
func BenchmarkObserve(b *testing.B) {
	for _, with := range []bool{false, true} {
		b.Run(fmt.Sprintf("journal=%t", with), func(b *testing.B) {
			steps := slices.Collect(cluster(b, 1000))
			b.ReportAllocs()
			b.ResetTimer()
			n, bytes := 0, int64(0)
			for b.Loop() {
				dir := ""
				if with {
					dir = b.TempDir()
				}
				l := opened(b, dir)
				observe(l, slices.Values(steps))
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

var recoverPods = flag.Int("recover.pods", 10_000, "the pods of BenchmarkRecover")

// BenchmarkRecover has how long it takes to go on with the rollouts of so many pods.
func BenchmarkRecover(b *testing.B) {
	dir := b.TempDir()
	before := opened(b, dir)
	observe(before, cluster(b, *recoverPods))
	before.Kill()
	for b.Loop() {
		k := opened(b, dir)
		b.ReportMetric(float64(k.Stats().Recovered), "observations")
		b.ReportMetric(float64(k.Stats().Bytes)/(1<<20), "MiB")
		k.Kill()
	}
}
