package causality

import (
	"fmt"
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

	"github.com/rollspan/rollspan/pkg/causality/internal/plans"
	"github.com/rollspan/rollspan/pkg/spans"
)

// fleet is a Deployment of many pods, as a watch sees it.
type fleet struct {
	wire    bool // objects come as they do from the API server: see decoded
	engine  *Engine
	now     time.Time
	version int
	seen    int            // how many observations there were
	kept    *[]Observation // they themselves, if they are to be kept
	told    []spans.Trace

	deployment *appsv1.Deployment
	sets       []*appsv1.ReplicaSet // the latest last
	pods       []*corev1.Pod        // those that are there
	gone       []*corev1.Pod        // and those that are being deleted
	made       int
}

var fleetDay = time.Date(2026, 1, 2, 10, 0, 0, 0, time.UTC)

func newFleet() *fleet {
	f := &fleet{engine: New(Options{}), now: fleetDay}
	f.pass(time.Minute)
	f.deployment = &appsv1.Deployment{ObjectMeta: f.meta("web", nil)}
	f.deployment.Annotations = map[string]string{}
	return f
}

func (f *fleet) meta(name string, owner *metav1.OwnerReference) metav1.ObjectMeta {
	m := metav1.ObjectMeta{Namespace: "shop", Name: name, UID: types.UID(name), Generation: 1, CreationTimestamp: f.second()}
	if owner != nil {
		m.OwnerReferences = []metav1.OwnerReference{*owner}
	}
	return m
}

func (f *fleet) second() metav1.Time { return metav1.NewTime(f.now.Truncate(time.Second)) }

func (f *fleet) see(typ watch.EventType, object runtime.Object) {
	f.version++
	f.seen++
	if f.wire {
		object = decoded(object)
	} else {
		object = object.DeepCopyObject()
	}
	object.(metav1.Object).SetResourceVersion(fmt.Sprint(f.version))
	o := Observation{Time: f.now, Type: typ, Object: object}
	if f.kept != nil {
		*f.kept = append(*f.kept, o)
	}
	f.told = append(f.told, f.engine.Observe(o)...)
}

// pass lets time pass in which nothing happens.
func (f *fleet) pass(d time.Duration) {
	for end := f.now.Add(d); f.now.Before(end); f.now = f.now.Add(time.Second) {
		f.told = append(f.told, f.engine.Advance(f.now)...)
	}
}

// status has the Deployment's status say how many pods there are, and the ReplicaSet's.
func (f *fleet) status() {
	d, set := f.deployment, f.sets[len(f.sets)-1]
	d.Status.ObservedGeneration = d.Generation
	d.Status.Replicas, d.Status.UpdatedReplicas, d.Status.AvailableReplicas = 0, set.Status.Replicas, 0
	for _, set := range f.sets {
		d.Status.Replicas += set.Status.Replicas
		d.Status.AvailableReplicas += set.Status.AvailableReplicas
	}
	f.see(watch.Modified, set)
	f.see(watch.Modified, d)
}

// count notes pods that came or went, and that got available or did not stay so.
func (f *fleet) count(p *corev1.Pod, pods, available int32) {
	for _, set := range f.sets {
		if p.OwnerReferences[0].UID == set.UID {
			set.Status.Replicas += pods
			set.Status.AvailableReplicas += available
		}
	}
}

// roll writes a new template: there is another ReplicaSet, which is to have so many pods.
func (f *fleet) roll(replicas int) {
	d := f.deployment
	revision := fmt.Sprint(len(f.sets) + 1)
	d.Spec.Replicas = new(int32)
	*d.Spec.Replicas = int32(replicas)
	d.Spec.Template.Spec.Containers = []corev1.Container{{Name: "web", Image: "web:" + revision}}
	if len(f.sets) == 0 {
		f.see(watch.Added, d)
	} else {
		d.Generation++
		f.see(watch.Modified, d)
	}
	yes := true
	set := &appsv1.ReplicaSet{ObjectMeta: f.meta("web-"+revision, &metav1.OwnerReference{APIVersion: "apps/v1", Kind: "Deployment", Name: d.Name, UID: d.UID, Controller: &yes})}
	set.Annotations = map[string]string{"deployment.kubernetes.io/revision": revision}
	set.Spec.Replicas = new(int32)
	f.sets = append(f.sets, set)
	f.see(watch.Added, set)
	d.Annotations["deployment.kubernetes.io/revision"] = revision
	d.Status.ObservedGeneration = d.Generation
	d.Status.UpdatedReplicas = 0
	f.see(watch.Modified, d)
}

func (f *fleet) scale(set *appsv1.ReplicaSet, by int) {
	*set.Spec.Replicas += int32(by)
	set.Generation++
	f.see(watch.Modified, set)
}

// start makes a pod of the latest ReplicaSet.
func (f *fleet) start() *corev1.Pod {
	set, yes := f.sets[len(f.sets)-1], true
	f.made++
	p := &corev1.Pod{ObjectMeta: f.meta(fmt.Sprintf("%s-%06d", set.Name, f.made), &metav1.OwnerReference{APIVersion: "apps/v1", Kind: "ReplicaSet", Name: set.Name, UID: set.UID, Controller: &yes})}
	p.Spec.Containers = []corev1.Container{{Name: "web", Image: "web:1"}}
	p.Status.Phase = corev1.PodPending
	f.see(watch.Added, p)
	p.Spec.NodeName = "node-a"
	f.pods = append(f.pods, p)
	f.count(p, 1, 0)
	return p
}

// run has a pod get Ready.
func (f *fleet) run(p *corev1.Pod) {
	for _, kind := range []corev1.PodConditionType{corev1.PodScheduled, corev1.PodReadyToStartContainers, corev1.PodReady} {
		p.Status.Conditions = append(p.Status.Conditions, corev1.PodCondition{Type: kind, Status: corev1.ConditionTrue, LastTransitionTime: f.second()})
	}
	p.Status.Phase = corev1.PodRunning
	p.Status.ContainerStatuses = []corev1.ContainerStatus{{
		Name: "web", ContainerID: "run://" + p.Name, Ready: true,
		State: corev1.ContainerState{Running: &corev1.ContainerStateRunning{StartedAt: f.second()}},
	}}
	f.see(watch.Modified, p)
	f.count(p, 0, 1)
}

// deleteFirst has the pod deleted that is there for the longest time.
func (f *fleet) deleteFirst() {
	p := f.pods[0]
	f.pods = f.pods[1:]
	at, grace := metav1.NewTime(f.second().Add(time.Second)), int64(1)
	p.DeletionTimestamp, p.DeletionGracePeriodSeconds = &at, &grace
	f.see(watch.Modified, p)
	f.gone = append(f.gone, p)
	f.count(p, -1, -1)
}

// end has those gone that were deleted a second ago.
func (f *fleet) end() {
	for len(f.gone) > 0 && !f.gone[0].DeletionTimestamp.Time.After(f.now) {
		f.see(watch.Deleted, f.gone[0])
		f.gone = f.gone[1:]
	}
}

// settled is a Deployment that was made while rollspan watched, and is complete.
func (f *fleet) settled(n int) *fleet {
	f.roll(n)
	f.scale(f.sets[0], n)
	for range n {
		f.now = f.now.Add(time.Millisecond)
		f.run(f.start())
	}
	f.status()
	f.pass(5 * time.Minute)
	return f
}

// lose has ten pods a second lost and replaced, for so many seconds.
func (f *fleet) lose(seconds int) {
	for range 10 * seconds {
		f.now = f.now.Add(100 * time.Millisecond)
		f.deleteFirst()
		f.status()
		f.run(f.start())
		f.status()
		f.end()
	}
}

// flap has one pod be unready and Ready again, twice a second.
func (f *fleet) flap(seconds int) {
	p := f.pods[0]
	for i := range 4 * seconds {
		f.now = f.now.Add(250 * time.Millisecond)
		ready := &p.Status.Conditions[2]
		ready.LastTransitionTime, ready.Status = f.second(), corev1.ConditionFalse
		available := int32(-1)
		if i%2 == 1 {
			ready.Status, available = corev1.ConditionTrue, 1
		}
		f.count(p, 0, available)
		f.see(watch.Modified, p)
		f.status()
	}
}

// update rolls all pods, so many at once, each of which takes a second.
func (f *fleet) update(atOnce int) {
	n := len(f.pods)
	f.roll(n)
	old, latest := f.sets[len(f.sets)-2], f.sets[len(f.sets)-1]
	for done := 0; done < n; done += atOnce {
		more := min(atOnce, n-done)
		f.scale(latest, more)
		var started []*corev1.Pod
		for range more {
			started = append(started, f.start())
		}
		f.now = f.now.Add(time.Second)
		for _, p := range started {
			f.run(p)
		}
		f.status()
		f.scale(old, -more)
		for range more {
			f.deleteFirst()
		}
		f.status()
		f.end()
	}
	f.now = f.now.Add(2 * time.Second)
	f.end()
	f.status()
	f.pass(3 * time.Minute)
}

// rewrite has the Deployment written so often within a minute, with so many KiB of
// environment: each another template, or each only another number of replicas.
func (f *fleet) rewrite(kib, times int, other bool) {
	d := f.deployment
	d.Spec.Template.Spec.Containers[0].Env = nil
	for i := range 8 * kib {
		d.Spec.Template.Spec.Containers[0].Env = append(d.Spec.Template.Spec.Containers[0].Env, corev1.EnvVar{Name: fmt.Sprint("VARIABLE_", i), Value: strings.Repeat("x", 88)})
	}
	for i := range times {
		f.now = f.now.Add(time.Minute / 1000)
		if other {
			d.Generation++
			d.Spec.Template.Spec.Containers[0].Env[0].Value = fmt.Sprint(i)
		}
		f.see(watch.Modified, d)
	}
}

// podShapes are what happens within one workload.
var podShapes = map[string]struct {
	sizes   [3]int // the first two are compared by what they cost
	prepare func(f *fleet, n int)
	happen  func(f *fleet, n int)
}{
	"lost and replaced": {
		[3]int{100, 1000, 10_000},
		func(f *fleet, n int) { f.settled(n).lose(100) },
		func(f *fleet, _ int) { f.lose(20) },
	},
	"flapping": {
		[3]int{100, 1000, 10_000},
		func(f *fleet, n int) { f.settled(n).flap(60) },
		func(f *fleet, _ int) { f.flap(60) },
	},
	"rolling": {
		[3]int{100, 1000, 10_000},
		func(f *fleet, n int) { f.settled(n) },
		func(f *fleet, _ int) { f.update(10) },
	},
	"created": {
		[3]int{100, 1000, 10_000},
		func(*fleet, int) {},
		func(f *fleet, n int) {
			f.roll(n)
			f.scale(f.sets[0], n)
			for range n {
				f.now = f.now.Add(10 * time.Millisecond)
				f.run(f.start())
			}
			f.status()
			f.pass(time.Minute)
		},
	},
}

// BenchmarkPods is the cost of an observation of one workload, by its pods.
func BenchmarkPods(b *testing.B) {
	for name, shape := range podShapes {
		for _, n := range shape.sizes {
			b.Run(fmt.Sprintf("%s/pods=%d", strings.ReplaceAll(name, " ", "-"), n), func(b *testing.B) {
				b.ReportAllocs()
				seen, done, took := 0, 0, time.Duration(0)
				for b.Loop() {
					b.StopTimer()
					f := newFleet()
					shape.prepare(f, n)
					goruntime.GC()
					seen, done, took = f.seen, f.engine.WorkDone()-f.seen, took-CPUTime()
					b.StartTimer()
					shape.happen(f, n)
					seen, done, took = f.seen-seen, f.engine.WorkDone()-f.seen-done, took+CPUTime()
				}
				b.ReportMetric(float64(took.Microseconds())/float64(b.N)/float64(seen), "cpu-µs/observation")
				b.ReportMetric(float64(done)/float64(seen), "work/observation")
			})
		}
	}
}

// BenchmarkTemplates is the cost of a write of a template of so many KiB.
func BenchmarkTemplates(b *testing.B) {
	for _, other := range []bool{true, false} {
		for _, kib := range []int{1, 100, 1000} {
			b.Run(fmt.Sprintf("other=%v/KiB=%d", other, kib), func(b *testing.B) {
				f := newFleet()
				f.settled(10)
				f.rewrite(kib, 1, true)
				took := CPUTime()
				for b.Loop() {
					f.rewrite(kib, 20, other)
				}
				each := float64((CPUTime() - took).Microseconds()) / float64(b.N) / 20
				b.ReportMetric(each/float64(kib), "cpu-µs/KiB")
			})
		}
	}
}

// TestPodsAtRestStayWhereTheyAre compares each plan that leaves out pods at rest with one of all.
func TestPodsAtRestStayWhereTheyAre(t *testing.T) {
	for name, shape := range podShapes {
		t.Run(name, func(t *testing.T) {
			f := newFleet()
			looks := 0
			f.engine.CompareAwakePlans(func(what string) { t.Error(what) })
			compare := f.engine.onAwakePlan
			f.engine.onAwakePlan = func(p *plans.Plan) { looks++; compare(p) }
			shape.prepare(f, 100)
			shape.happen(f, 100)
			if looks == 0 && name != "created" {
				t.Error("no plan left anything out")
			}
			t.Logf("%d plans, %d at rest", looks, f.engine.AtRest())
		})
	}
}

// TestWorkDoesNotGrowWithPods counts the work of an observation of one workload, for each
// shape of what happens there: with ten times the pods it is a tenth more, at most.
func TestWorkDoesNotGrowWithPods(t *testing.T) {
	for name, shape := range podShapes {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var each [2]float64
			for i, n := range shape.sizes[:2] {
				f := newFleet()
				shape.prepare(f, n)
				seen, done, told := f.seen, f.engine.WorkDone()-f.seen, len(f.told)
				shape.happen(f, n)
				each[i] = float64(f.engine.WorkDone()-f.seen-done) / float64(f.seen-seen)
				if len(f.told) == told && name != "flapping" {
					t.Errorf("nothing is told of %d pods", n)
				}
			}
			t.Logf("%.2f units of work an observation, %.2f", each[0], each[1])
			if each[1] > 1.1*each[0] {
				t.Errorf("an observation takes %.2f units of work with %d pods, %.2f with %d", each[1], shape.sizes[1], each[0], shape.sizes[0])
			}
		})
	}
}
