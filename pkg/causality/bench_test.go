package causality_test

import (
	"fmt"
	"slices"
	"testing"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/watch"

	"github.com/rollspan/rollspan/pkg/causality"
)

// BenchmarkRecordings is the engine's cost for each watch event of real life.
func BenchmarkRecordings(b *testing.B) {
	var all [][]causality.Observation
	n := 0
	for _, name := range recordings(b) {
		obs := load(b, name)
		all = append(all, obs)
		n += len(obs)
	}
	b.ReportAllocs()
	for b.Loop() {
		for _, obs := range all {
			replay(obs)
		}
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/float64(n), "ns/observation")
}

// BenchmarkRollout is a Deployment of many pods, created at once. The cost of
// an observation should not grow with their number.
func BenchmarkRollout(b *testing.B) { benchmarkPods(b, bigRollout, 6, 100, 1000, 5000) }

// BenchmarkOrderedRollout is a StatefulSet whose pods come one after another,
// each because of the one before: as long as critical paths get.
func BenchmarkOrderedRollout(b *testing.B) { benchmarkPods(b, orderedRollout, 10, 100, 1000, 4000) }

// benchmarkPods measures what becomes of so many pods, which gives at least so
// many spans for each of them.
func benchmarkPods(b *testing.B, observe func(pods int) []causality.Observation, spansEach int, numbers ...int) {
	for _, pods := range numbers {
		b.Run(fmt.Sprintf("pods=%d", pods), func(b *testing.B) {
			obs := observe(pods)
			b.ReportAllocs()
			got := 0
			for b.Loop() {
				got = len(allSpans(replay(obs)))
			}
			if want := pods * spansEach; got < want {
				b.Fatalf("%d spans, want at least %d", got, want)
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/float64(len(obs)), "ns/observation")
		})
	}
}

// writes are what a watch sees, a new resource version each.
type writes struct {
	now time.Time
	obs []causality.Observation
}

func (w *writes) see(typ watch.EventType, object runtime.Object) {
	object = object.DeepCopyObject()
	object.(metav1.Object).SetResourceVersion(fmt.Sprint(len(w.obs) + 1))
	w.obs = append(w.obs, causality.Observation{Time: w.now, Type: typ, Object: object})
}

// orderedRollout is what a watch sees of a StatefulSet with n pods, each of which
// takes 20 ms, and of its update, which takes 40 ms a pod.
func orderedRollout(n int) []causality.Observation {
	w := &writes{now: day}
	isController := true
	replicas := int32(n)
	at := func() metav1.Time { return metav1.NewTime(w.now.Truncate(time.Second)) }
	later := func() { w.now = w.now.Add(10 * time.Millisecond) }
	s := &appsv1.StatefulSet{
		ObjectMeta: metav1.ObjectMeta{Namespace: "bench", Name: "db", UID: "db", CreationTimestamp: metav1.NewTime(day)},
		Spec:       appsv1.StatefulSetSpec{Replicas: &replicas},
	}
	start := func(i int) *corev1.Pod {
		uid := types.UID(fmt.Sprintf("db-%d of %d", i, s.Generation))
		p := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{
			Namespace: "bench", Name: fmt.Sprintf("db-%d", i), UID: uid, CreationTimestamp: at(),
			Labels:          map[string]string{appsv1.StatefulSetRevisionLabel: s.Status.UpdateRevision},
			OwnerReferences: []metav1.OwnerReference{{APIVersion: "apps/v1", Kind: "StatefulSet", Name: s.Name, UID: s.UID, Controller: &isController}},
		}}
		p.Spec.NodeName = "node-a"
		p.Spec.Containers = []corev1.Container{{Name: "db", Image: "db:1"}}
		later()
		w.see(watch.Added, p)
		later()
		for _, kind := range []corev1.PodConditionType{corev1.PodScheduled, corev1.PodReadyToStartContainers, corev1.PodReady} {
			p.Status.Conditions = append(p.Status.Conditions, corev1.PodCondition{Type: kind, Status: corev1.ConditionTrue, LastTransitionTime: at()})
		}
		p.Status.ContainerStatuses = []corev1.ContainerStatus{{
			Name: "db", ContainerID: "run://" + string(uid),
			State: corev1.ContainerState{Running: &corev1.ContainerStateRunning{StartedAt: at()}},
		}}
		w.see(watch.Modified, p)
		return p
	}
	stop := func(p *corev1.Pod) {
		deleted, grace := at(), int64(0)
		p.DeletionTimestamp, p.DeletionGracePeriodSeconds = &deleted, &grace
		later()
		w.see(watch.Modified, p)
		later()
		w.see(watch.Deleted, p)
	}
	begin := func(revision string) {
		s.Generation++
		s.Spec.Template.Spec.Containers = []corev1.Container{{Name: "db", Image: revision}}
		w.see(watch.Modified, s)
		s.Status.ObservedGeneration, s.Status.UpdateRevision, s.Status.UpdatedReplicas = s.Generation, revision, 0
		w.see(watch.Modified, s)
	}
	end := func() {
		s.Status.Replicas, s.Status.ReadyReplicas, s.Status.AvailableReplicas = replicas, replicas, replicas
		s.Status.CurrentReplicas, s.Status.UpdatedReplicas, s.Status.CurrentRevision = replicas, replicas, s.Status.UpdateRevision
		w.see(watch.Modified, s)
	}

	begin("db-1")
	pods := make([]*corev1.Pod, n)
	for i := range pods {
		pods[i] = start(i)
	}
	end()
	w.now = w.now.Add(time.Minute)
	begin("db-2")
	for i := range slices.Backward(pods) {
		stop(pods[i])
		start(i)
	}
	end()
	return w.obs
}

// bigRollout is what a watch sees of a Deployment with n pods that come up
// over n × 10 ms.
func bigRollout(n int) []causality.Observation {
	w := &writes{now: day}
	meta := func(kind, name string) metav1.ObjectMeta {
		return metav1.ObjectMeta{
			Namespace: "bench", Name: name, UID: types.UID(kind + name), Generation: 1,
			CreationTimestamp: metav1.NewTime(w.now.Truncate(time.Second)),
		}
	}
	isController := true
	owned := func(m metav1.ObjectMeta, kind string, owner metav1.ObjectMeta) metav1.ObjectMeta {
		m.OwnerReferences = []metav1.OwnerReference{{Kind: kind, Name: owner.Name, UID: owner.UID, Controller: &isController}}
		return m
	}
	replicas := int32(n)
	revision := map[string]string{"deployment.kubernetes.io/revision": "1"}

	d := &appsv1.Deployment{ObjectMeta: meta("Deployment", "web"), Spec: appsv1.DeploymentSpec{Replicas: &replicas}}
	w.see(watch.Added, d)
	rs := &appsv1.ReplicaSet{ObjectMeta: owned(meta("ReplicaSet", "web-1"), "Deployment", d.ObjectMeta), Spec: appsv1.ReplicaSetSpec{Replicas: &replicas}}
	rs.Annotations, d.Annotations = revision, revision
	w.see(watch.Added, rs)
	w.see(watch.Modified, d)
	d.Status.ObservedGeneration = 1

	for i := range n {
		w.now = w.now.Add(10 * time.Millisecond)
		p := &corev1.Pod{ObjectMeta: owned(meta("Pod", fmt.Sprintf("web-1-%05d", i)), "ReplicaSet", rs.ObjectMeta)}
		p.Spec.Containers = []corev1.Container{{Name: "web", Image: "web:1"}}
		p.Status.Phase = corev1.PodPending
		w.see(watch.Added, p)
		at := func() metav1.Time { return metav1.NewTime(w.now.Truncate(time.Second)) }
		condition := func(kind corev1.PodConditionType) {
			p.Status.Conditions = append(p.Status.Conditions, corev1.PodCondition{Type: kind, Status: corev1.ConditionTrue, LastTransitionTime: at()})
			w.see(watch.Modified, p)
		}
		event := func(reason, message string) {
			w.see(watch.Added, &corev1.Event{
				ObjectMeta:     meta("Event", fmt.Sprintf("%s.%x", p.Name, w.now.UnixNano()+int64(len(w.obs)))),
				InvolvedObject: corev1.ObjectReference{Kind: "Pod", Namespace: "bench", Name: p.Name, UID: p.UID, FieldPath: "spec.containers{web}"},
				Reason:         reason, Message: message, FirstTimestamp: at(), LastTimestamp: at(), Count: 1,
			})
		}
		p.Spec.NodeName = "node-a"
		condition(corev1.PodScheduled)
		condition(corev1.PodReadyToStartContainers)
		event("Pulling", "Pulling image")
		event("Pulled", "Successfully pulled image \"web:1\" in 5ms (5ms including waiting)")
		event("Started", "Started container")
		p.Status.ContainerStatuses = []corev1.ContainerStatus{{
			Name: "web", ContainerID: "run://" + p.Name,
			State: corev1.ContainerState{Running: &corev1.ContainerStateRunning{StartedAt: at()}},
		}}
		condition(corev1.PodReady)
		d.Status.UpdatedReplicas = int32(i + 1)
		d.Status.Replicas, d.Status.AvailableReplicas = d.Status.UpdatedReplicas, d.Status.UpdatedReplicas
		w.see(watch.Modified, d)
	}
	return w.obs
}

// BenchmarkManyContainers is an update of a pod of so many containers, which should
// cost no more for each of them, and one of its reviews.
func BenchmarkManyContainers(b *testing.B) {
	for _, n := range []int{10, 500, 5000} {
		b.Run(fmt.Sprintf("containers=%d", n), func(b *testing.B) {
			p := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Namespace: "shop", Name: "big", UID: "big", CreationTimestamp: metav1.NewTime(day)}}
			for i := range n {
				name := fmt.Sprint("container-", i)
				p.Spec.Containers = append(p.Spec.Containers, corev1.Container{Name: name, Image: "web:1"})
				p.Status.ContainerStatuses = append(p.Status.ContainerStatuses, corev1.ContainerStatus{
					Name: name, ContainerID: name, State: corev1.ContainerState{Running: &corev1.ContainerStateRunning{StartedAt: metav1.NewTime(day)}},
				})
			}
			engine := newEngine(causality.Options{})
			now := day
			for b.Loop() {
				now = now.Add(time.Millisecond)
				engine.Observe(causality.Observation{Time: now, Type: watch.Modified, Object: p})
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/float64(n), "ns/container")
		})
	}
}

// BenchmarkEventFlood is an Event of a tenant that has filled the memory for Events.
func BenchmarkEventFlood(b *testing.B) {
	engine := newEngine(causality.Options{})
	now, i := day, 0
	flood := func() {
		i++
		now = now.Add(time.Millisecond)
		name := fmt.Sprint("nothing-", i)
		engine.Observe(causality.Observation{Time: now, Type: watch.Added, Object: &corev1.Event{
			ObjectMeta:     metav1.ObjectMeta{Namespace: "evil", Name: name},
			InvolvedObject: corev1.ObjectReference{Kind: "Pod", Namespace: "evil", Name: name, UID: types.UID(name)},
			Reason:         "Failed", FirstTimestamp: metav1.NewTime(now), Count: 1,
		}})
	}
	for engine.Stats().Shed[causality.ShedTold]+engine.Stats().Shed[causality.ShedUntold] == 0 {
		flood()
	}
	for b.Loop() {
		flood()
	}
}
