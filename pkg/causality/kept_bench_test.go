package causality

import (
	"fmt"
	"os"
	"reflect"
	goruntime "runtime"
	"strings"
	"testing"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/watch"
)

// heap is what is kept after garbage collection, in bytes.
func heap() float64 {
	goruntime.GC()
	goruntime.GC() // what the first one has finalized
	var m goruntime.MemStats
	goruntime.ReadMemStats(&m)
	return float64(m.HeapAlloc)
}

// resident is how much of the process's own memory the kernel holds, in bytes; zero where
// the kernel does not tell.
func resident() float64 {
	status, err := os.ReadFile("/proc/self/status")
	if err != nil {
		return 0
	}
	for line := range strings.Lines(string(status)) {
		var kib float64
		if _, err := fmt.Sscanf(line, "RssAnon: %f kB", &kib); err == nil {
			return kib * 1024
		}
	}
	return 0
}

// decoded is an object as it comes from the API server: it shares no text with another.
func decoded(object runtime.Object) runtime.Object {
	content, err := object.(interface{ Marshal() ([]byte, error) }).Marshal()
	if err != nil {
		panic(err)
	}
	fresh := reflect.New(reflect.TypeOf(object).Elem()).Interface().(runtime.Object)
	if err := fresh.(interface{ Unmarshal(content []byte) error }).Unmarshal(content); err != nil {
		panic(err)
	}
	return fresh
}

// BenchmarkKept is what the engine keeps of one object of a kind, in bytes of its heap. Each comes
// decoded, so that nothing of it is held but by the engine.
func BenchmarkKept(b *testing.B) {
	const n = 20_000
	yes := true
	for _, kept := range []struct {
		kind string
		feed func(f *fleet, i int)
	}{
		{"Pod", func(f *fleet, _ int) { f.run(f.start()) }},
		{"Pod-that-is-gone", func(f *fleet, _ int) {
			f.run(f.start())
			f.deleteFirst()
			f.see(watch.Deleted, f.gone[0])
			f.gone = f.gone[:0]
		}},
		{"ReplicaSet", func(f *fleet, i int) {
			set := f.sets[0].DeepCopy()
			set.ObjectMeta = f.meta(fmt.Sprintf("old-%d", i), &metav1.OwnerReference{APIVersion: "apps/v1", Kind: "Deployment", Name: "web", UID: f.deployment.UID, Controller: &yes})
			set.Annotations = map[string]string{"deployment.kubernetes.io/revision": "1"}
			*set.Spec.Replicas = 0
			set.Status = appsv1.ReplicaSetStatus{ObservedGeneration: 1}
			f.see(watch.Added, set)
		}},
		{"Event", func(f *fleet, i int) {
			pod := f.pods[i%len(f.pods)]
			ev := &corev1.Event{ObjectMeta: metav1.ObjectMeta{Namespace: "shop", Name: fmt.Sprintf("%s.%x", pod.Name, i), UID: types.UID(fmt.Sprintf("event-%d", i)), CreationTimestamp: f.second()}}
			ev.InvolvedObject = corev1.ObjectReference{APIVersion: "v1", Kind: "Pod", Namespace: "shop", Name: pod.Name, UID: pod.UID, FieldPath: "spec.containers{web}"}
			ev.Type, ev.Reason, ev.Count = "Normal", "Pulled", 1
			ev.Message = fmt.Sprintf("Successfully pulled image \"registry.example/shop/web:%d\" in 1.234s (1.234s including waiting). Image size: 12345678 bytes.", i)
			ev.FirstTimestamp, ev.LastTimestamp = f.second(), f.second()
			ev.Source = corev1.EventSource{Component: "kubelet", Host: "node-a"}
			f.see(watch.Added, ev)
		}},
		{"Node", func(f *fleet, i int) {
			node := &corev1.Node{ObjectMeta: f.meta(fmt.Sprintf("node-%d", i), nil)}
			node.Namespace = ""
			for _, c := range []corev1.NodeConditionType{corev1.NodeMemoryPressure, corev1.NodeDiskPressure, corev1.NodePIDPressure} {
				node.Status.Conditions = append(node.Status.Conditions, corev1.NodeCondition{Type: c, Status: corev1.ConditionFalse, Reason: "KubeletHasSufficient", LastTransitionTime: f.second()})
			}
			node.Status.Conditions = append(node.Status.Conditions, corev1.NodeCondition{Type: corev1.NodeReady, Status: corev1.ConditionTrue, Reason: "KubeletReady", LastTransitionTime: f.second()})
			f.see(watch.Added, node)
		}},
	} {
		b.Run("kind="+kept.kind, func(b *testing.B) {
			each := 0.0
			for b.Loop() {
				f := newFleet().settled(1000)
				f.wire = true
				f.told = nil
				before := heap()
				for i := range n {
					kept.feed(f, i)
					f.told = nil
				}
				f.pods, f.gone = nil, nil // these are the test's own
				f.pass(2 * time.Minute)   // all that there is to tell is told
				f.told = nil
				each = (heap() - before) / n
				goruntime.KeepAlive(f)
			}
			b.ReportMetric(each, "B/object")
		})
	}
}

// BenchmarkChurn has 200,000 pods come and go in a Deployment of a thousand, ten a second, and
// compares the heap, and what the kernel holds for the process, after each fifth of them with
// what they were after the first: what is gone is forgotten when an hour is over, so the first
// 36,000 are not counted.
func BenchmarkChurn(b *testing.B) {
	const rounds = 5
	for b.Loop() {
		f := newFleet().settled(1000)
		var heaps, rss [rounds]float64
		for i := range rounds {
			for range 400 {
				f.lose(10)
				f.told = nil
			}
			heaps[i], rss[i] = heap(), resident()
		}
		for i := 1; i < rounds; i++ {
			b.ReportMetric(heaps[i]/heaps[0], fmt.Sprintf("heap-ratio-after-%d", 40_000*(i+1)))
			b.ReportMetric(rss[i]/rss[0], fmt.Sprintf("rss-ratio-after-%d", 40_000*(i+1)))
		}
		b.ReportMetric(heaps[rounds-1], "B-heap")
		goruntime.KeepAlive(f)
	}
}
