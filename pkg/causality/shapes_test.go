package causality_test

import (
	"fmt"
	"runtime"
	"slices"
	"testing"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	apiruntime "k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/watch"

	"github.com/rollspan/rollspan/pkg/causality"
)

// shape is a way for a cluster to be large. What happens in it is the same for each object, or
// goes on beside so many objects: so an observation should cost the same however many there are.
type shape struct {
	name string
	// few and many are the numbers of objects between which TestShapes compares the work of an
	// observation, and numbers those that BenchmarkShapes measures.
	few, many int
	numbers   []int
	// see has the cluster see what happens to n objects. What comes before its begin is not
	// measured.
	see func(c *shaped, n int)
}

func shapes() []shape {
	return []shape{
		{"outage", 25, 250, []int{250, 1000, 4000}, outage},
		{"touched", 25, 250, []int{1000, 4000, 8000}, touchedAll},
		{"rolled", 25, 250, []int{500, 1000, 4000}, rolledAll},
		{"deleted", 10, 100, []int{20, 100, 1000}, deletedAll},
		{"deleted-slowly", 2, 20, []int{10, 50}, deletedSlowly},
		{"events-beside", 50, 200, []int{1, 100, 1000}, eventsBeside},
		{"long-lists", 1, 10, []int{1, 100}, longLists},
		{"jobs-kept", 30, 1000, []int{300, 1000, 10000}, jobsKept},
		{"kept", 100, 2000, []int{100, 10000, 100000}, keptBeside},
		{"unexplained", 100, 2000, []int{100, 10000, 100000}, unexplained},
		{"pending", 10, 300, []int{10, 1000, 10000}, pendingBeside},
		{"node", 20, 200, []int{100, 500, 2000}, nodeFlaps},
		{"drained", 100, 1000, []int{100, 1000, 10000}, drainedBeside},
		{"preempted", 100, 1000, []int{100, 1000, 10000}, preemptedBeside},
	}
}

// BenchmarkShapes is the cost of an observation in each shape.
func BenchmarkShapes(b *testing.B) {
	for _, s := range shapes() {
		for _, n := range s.numbers {
			b.Run(fmt.Sprintf("%s/n=%d", s.name, n), func(b *testing.B) {
				// The timer goes on while the cluster grows, which takes longer than what is
				// measured: otherwise it would grow a hundred times.
				work, count, cpu := 0, 0, time.Duration(0)
				for b.Loop() {
					engine := newEngine(causality.Options{})
					obs := grown(engine, s, n)
					runtime.GC()
					spent, before := engine.WorkDone(), causality.CPUTime()
					count += feedShape(engine, obs)
					work += engine.WorkDone() - spent
					cpu += causality.CPUTime() - before
				}
				b.ReportMetric(0, "ns/op")
				b.ReportMetric(float64(cpu.Nanoseconds())/1000/float64(count), "cpu-µs/observation")
				b.ReportMetric(float64(work)/float64(count), "work/observation")
			})
		}
	}
}

// grown has an engine see what comes before what is measured, and returns that.
func grown(engine *causality.Engine, s shape, n int) []causality.Observation {
	c := newShaped()
	s.see(c, n)
	feedShape(engine, c.seen[:c.begun])
	return slices.Clone(c.seen[c.begun:])
}

// TestShapes holds that an observation costs as much work in a large cluster as in a small one,
// whatever happens in it: what did not change is not looked at again. Work is counted, as in
// the objects that are looked at, so that this does not depend on the machine.
func TestShapes(t *testing.T) {
	const most = 1.1
	for _, s := range shapes() {
		t.Run(s.name, func(t *testing.T) {
			work := func(n int) float64 {
				engine := newEngine(causality.Options{})
				obs := grown(engine, s, n)
				before := engine.WorkDone()
				count := feedShape(engine, obs)
				engine.CheckBooks(t)
				return float64(engine.WorkDone()-before) / float64(count)
			}
			few, many := work(s.few), work(s.many)
			if few < 1 || many > most*few {
				t.Errorf("an observation costs %.2f with %d objects and %.2f with %d, want at most %v times as much", few, s.few, many, s.many, most)
			}
		})
	}
}

// feedShape has an engine see what is seen, and returns how many observations these are.
func feedShape(engine *causality.Engine, seen []causality.Observation) (observations int) {
	for _, o := range seen {
		if o.Object == nil {
			engine.Advance(o.Time)
			continue
		}
		engine.Observe(o)
		observations++
	}
	return observations
}

// shaped is a cluster in a shape, as it is seen. Where an observation has no object only time
// has passed, as the live loop says each second.
type shaped struct {
	writes
	seen  []causality.Observation
	begun int
}

func newShaped() *shaped { return &shaped{writes: writes{now: day}} }

// put takes over what was written.
func (c *shaped) put(typ watch.EventType, initial bool, object apiruntime.Object) {
	c.see(typ, object)
	o := c.obs[len(c.obs)-1]
	o.Initial = initial
	c.seen = append(c.seen, o)
}

func (c *shaped) write(object apiruntime.Object) { c.put(watch.Modified, false, object) }
func (c *shaped) list(object apiruntime.Object)  { c.put(watch.Added, true, object) }

// pass lets time pass, second by second.
func (c *shaped) pass(d time.Duration) {
	for until := c.now.Add(d); c.now.Before(until); {
		next := c.now.Truncate(time.Second).Add(time.Second)
		if next.After(until) {
			c.now = until
			return
		}
		c.now = next
		c.seen = append(c.seen, causality.Observation{Time: c.now})
	}
}

// settle lets what was listed settle, and begins what is measured.
func (c *shaped) settle() {
	c.pass(2 * time.Minute)
	c.begun = len(c.seen)
}

// each does something with each of n, evenly within a time.
func (c *shaped) each(n int, within time.Duration, do func(i int)) {
	began := c.now
	for i := range n {
		c.pass(began.Add(within * time.Duration(i) / time.Duration(n)).Sub(c.now))
		do(i)
	}
	c.pass(began.Add(within).Sub(c.now))
}

func (c *shaped) second() metav1.Time { return metav1.NewTime(c.now.Truncate(time.Second)) }

func (c *shaped) meta(kind, name string, owner apiruntime.Object) metav1.ObjectMeta {
	m := metav1.ObjectMeta{
		Namespace: "shop", Name: name, UID: types.UID(fmt.Sprintf("%s/%s/%d", kind, name, len(c.obs))),
		Generation: 1, CreationTimestamp: c.second(),
	}
	if owner != nil {
		isController := true
		ref := metav1.OwnerReference{APIVersion: "apps/v1", Kind: "ReplicaSet", Controller: &isController}
		switch owner.(type) {
		case *appsv1.Deployment:
			ref.Kind = "Deployment"
		case *batchv1.Job:
			ref.APIVersion, ref.Kind = "batch/v1", "Job"
		}
		of := owner.(metav1.Object)
		ref.Name, ref.UID = of.GetName(), of.GetUID()
		m.OwnerReferences = []metav1.OwnerReference{ref}
	}
	return m
}

// web is a Deployment, its ReplicaSets and its pods.
type web struct {
	d    *appsv1.Deployment
	rs   *appsv1.ReplicaSet
	pods []*corev1.Pod
}

func (c *shaped) newSet(w *web, revision string) {
	replicas := *w.d.Spec.Replicas
	w.rs = &appsv1.ReplicaSet{ObjectMeta: c.meta("ReplicaSet", w.d.Name+"-"+revision, w.d)}
	w.rs.Annotations = map[string]string{"deployment.kubernetes.io/revision": revision}
	w.rs.Spec.Replicas, w.rs.Spec.Template = &replicas, w.d.Spec.Template
	w.rs.Status.ObservedGeneration = 1
	w.d.Annotations = w.rs.Annotations
}

func (c *shaped) newPod(owner apiruntime.Object, name, node string) *corev1.Pod {
	p := &corev1.Pod{ObjectMeta: c.meta("Pod", name, owner)}
	p.Spec.Containers = []corev1.Container{{Name: "web", Image: "web:1"}}
	p.Spec.NodeName = node
	p.Status.Phase = corev1.PodPending
	return p
}

func (c *shaped) condition(p *corev1.Pod, kind corev1.PodConditionType, status corev1.ConditionStatus) {
	for i := range p.Status.Conditions {
		if have := &p.Status.Conditions[i]; have.Type == kind {
			have.Status, have.LastTransitionTime = status, c.second()
			return
		}
	}
	p.Status.Conditions = append(p.Status.Conditions, corev1.PodCondition{Type: kind, Status: status, LastTransitionTime: c.second()})
}

// run has a pod's container run, and the pod be Ready.
func (c *shaped) run(p *corev1.Pod) {
	p.Status.Phase = corev1.PodRunning
	p.Status.ContainerStatuses = []corev1.ContainerStatus{{
		Name: "web", ContainerID: "run://" + string(p.UID),
		State: corev1.ContainerState{Running: &corev1.ContainerStateRunning{StartedAt: c.second()}},
	}}
	c.condition(p, corev1.PodScheduled, corev1.ConditionTrue)
	c.condition(p, corev1.PodReady, corev1.ConditionTrue)
}

// remove has a pod be deleted, and be gone.
func (c *shaped) remove(p *corev1.Pod) {
	now, grace := c.second(), int64(0)
	p.DeletionTimestamp, p.DeletionGracePeriodSeconds = &now, &grace
	c.write(p)
	c.put(watch.Deleted, false, p)
}

func (c *shaped) status(w *web, available int32) {
	replicas := *w.d.Spec.Replicas
	w.d.Status = appsv1.DeploymentStatus{
		ObservedGeneration: w.d.Generation, Replicas: replicas, UpdatedReplicas: replicas, ReadyReplicas: available, AvailableReplicas: available,
		UnavailableReplicas: replicas - available,
	}
}

// listed are n Deployments of so many pods that were there before.
func (c *shaped) listed(prefix string, n, pods int, node func(i int) string) []*web {
	var all []*web
	for i := range n {
		replicas := int32(pods)
		name := fmt.Sprintf("%s-%d", prefix, i)
		w := &web{d: &appsv1.Deployment{ObjectMeta: c.meta("Deployment", name, nil)}}
		w.d.Spec.Replicas = &replicas
		w.d.Spec.Template.Spec.Containers = []corev1.Container{{Name: "web", Image: "web:1"}}
		c.newSet(w, "1")
		c.status(w, replicas)
		c.list(w.d)
		c.list(w.rs)
		for j := range pods {
			p := c.newPod(w.rs, fmt.Sprintf("%s-1-%d", name, j), node(i))
			c.run(p)
			c.list(p)
			w.pods = append(w.pods, p)
		}
		all = append(all, w)
	}
	return all
}

func oneNode(int) string { return "node-a" }

func (c *shaped) event(about metav1.Object, kind, reason, message string) {
	c.put(watch.Added, false, &corev1.Event{
		ObjectMeta:     metav1.ObjectMeta{Namespace: "shop", Name: fmt.Sprintf("%s.%d", about.GetName(), len(c.obs)), UID: types.UID(fmt.Sprint("event-", len(c.obs)))},
		InvolvedObject: corev1.ObjectReference{Kind: kind, Namespace: about.GetNamespace(), Name: about.GetName(), UID: about.GetUID()},
		Reason:         reason, Message: message, FirstTimestamp: c.second(), LastTimestamp: c.second(), Count: 1,
	})
}

// beside has pods become Ready and not, so many a second, while do is called each second.
func (c *shaped) beside(webs []*web, perSecond int, during time.Duration, do func(second int)) {
	status := map[bool]corev1.ConditionStatus{true: corev1.ConditionTrue, false: corev1.ConditionFalse}
	next := 0
	for second := range int(during / time.Second) {
		if do != nil {
			do(second)
		}
		c.each(perSecond, time.Second, func(int) {
			p := webs[next%len(webs)].pods[0]
			c.condition(p, corev1.PodReady, status[(next/len(webs))%2 == 1])
			c.write(p)
			next++
		})
	}
}

// outage has all pods of n Deployments become unready and ready again, within half a minute.
func outage(c *shaped, n int) {
	webs := c.listed("web", n, 2, oneNode)
	c.settle()
	for range 2 {
		for _, ready := range []int32{0, 2} {
			c.each(n, 15*time.Second, func(i int) {
				w := webs[i]
				for _, p := range w.pods {
					if ready == 0 {
						c.event(p, "Pod", "Unhealthy", "Readiness probe failed")
						c.condition(p, corev1.PodReady, corev1.ConditionFalse)
					} else {
						c.condition(p, corev1.PodReady, corev1.ConditionTrue)
					}
					c.write(p)
				}
				c.status(w, ready)
				c.write(w.d)
			})
		}
	}
	c.pass(time.Minute)
}

// deletedAll has n Deployments of ten pods be deleted at once. Their pods take half a minute to stop.
func deletedAll(c *shaped, n int) {
	webs := c.listed("web", n, 10, oneNode)
	c.settle()
	for _, w := range webs {
		c.put(watch.Deleted, false, w.d)
	}
	c.each(n, 5*time.Second, func(i int) {
		w := webs[i]
		c.put(watch.Deleted, false, w.rs)
		for _, p := range w.pods {
			now, grace := c.second(), int64(30)
			p.DeletionTimestamp, p.DeletionGracePeriodSeconds = &now, &grace
			c.write(p)
			c.event(p, "Pod", "Killing", "Stopping container web")
		}
	})
	c.pass(25 * time.Second)
	c.each(n, 5*time.Second, func(i int) {
		for _, p := range webs[i].pods {
			c.put(watch.Deleted, false, p)
		}
	})
	c.pass(2 * time.Minute)
}

// deletedSlowly has n Deployments of 100 pods be deleted at once, whose pods go one after the other, as the
// control plane has more to do than it can.
func deletedSlowly(c *shaped, n int) {
	webs := c.listed("web", n, 100, oneNode)
	c.settle()
	for _, w := range webs {
		c.put(watch.Deleted, false, w.d)
		c.put(watch.Deleted, false, w.rs)
	}
	for j := range 100 {
		c.each(n, 2*time.Second, func(i int) {
			p, now, grace := webs[i].pods[j], c.second(), int64(30)
			p.DeletionTimestamp, p.DeletionGracePeriodSeconds = &now, &grace
			c.write(p)
			if j >= 5 {
				c.put(watch.Deleted, false, webs[i].pods[j-5])
			}
		})
	}
	for _, w := range webs {
		for _, p := range w.pods[95:] {
			c.put(watch.Deleted, false, p)
		}
	}
	c.pass(3 * time.Minute)
}

// touchedAll has each of n Deployments be written every five seconds.
func touchedAll(c *shaped, n int) {
	webs := c.listed("web", n, 1, oneNode)
	c.settle()
	for round := range 8 {
		c.each(n, 5*time.Second, func(i int) {
			webs[i].d.Labels = map[string]string{"round": fmt.Sprint(round)}
			c.write(webs[i].d)
		})
	}
}

// rolledAll has n Deployments be rolled within twenty seconds.
func rolledAll(c *shaped, n int) {
	webs := c.listed("web", n, 1, oneNode)
	c.settle()
	c.each(n, 20*time.Second, func(i int) { c.roll(webs[i]) })
	c.pass(2 * time.Minute)
}

// begin begins to roll a Deployment: it has a new template, and a ReplicaSet without pods, which is
// to have as many as it, or so many at first.
func (c *shaped) begin(w *web, first ...int32) {
	w.d.Generation++
	w.d.Spec.Template.Spec.Containers = []corev1.Container{{Name: "web", Image: fmt.Sprint("web:", w.d.Generation)}}
	c.write(w.d)
	c.newSet(w, fmt.Sprint(w.d.Generation))
	for _, n := range first {
		w.rs.Spec.Replicas = &n
	}
	c.put(watch.Added, false, w.rs)
	c.write(w.d)
}

// roll rolls a Deployment of one pod, at once.
func (c *shaped) roll(w *web) {
	old, was := w.rs, w.pods[0]
	c.begin(w)
	p := c.newPod(w.rs, w.rs.Name+"-0", "node-a")
	c.put(watch.Added, false, p)
	c.event(w.rs, "ReplicaSet", "SuccessfulCreate", "Created pod: "+p.Name)
	c.condition(p, corev1.PodScheduled, corev1.ConditionTrue)
	c.write(p)
	for _, reason := range []string{"Pulled", "Created", "Started"} {
		c.event(p, "Pod", reason, reason)
	}
	c.run(p)
	c.write(p)
	none := int32(0)
	old.Generation++
	old.Spec.Replicas = &none
	c.write(old)
	c.event(was, "Pod", "Killing", "Stopping container web")
	c.remove(was)
	w.pods[0] = p
	c.status(w, 1)
	c.write(w.d)
}

// eventsBeside has n Events a second, each about another object, and pods be updated beside them.
func eventsBeside(c *shaped, n int) {
	webs := c.listed("web", 20, 1, oneNode)
	c.settle()
	c.beside(webs, 40, 45*time.Second, func(int) { c.odd(n) })
}

// odd has Events about n other objects that nobody knows.
func (c *shaped) odd(n int) {
	for range n {
		name := fmt.Sprint("other-", len(c.obs))
		c.event(&metav1.ObjectMeta{Namespace: "other", Name: name, UID: types.UID(name)}, "Widget", "Odd", "Something happened")
	}
}

// longLists has n pods that cannot be scheduled, with 512 Events each, and other pods be updated.
func longLists(c *shaped, n int) {
	webs := c.listed("web", 100, 1, oneNode)
	held := c.heldUp("held", n)
	for _, p := range held {
		for i := range 512 {
			c.event(p, "Pod", "FailedScheduling", fmt.Sprint("0/3 nodes are available: ", i))
		}
	}
	c.pass(time.Minute)
	c.beside(webs, 100, 35*time.Second, func(int) { c.odd(10) })
	c.begun = len(c.seen)
	c.beside(webs, 200, 10*time.Second, func(int) { c.odd(10) })
}

// heldUp are n Deployments whose rollout waits for a pod that has no node.
func (c *shaped) heldUp(prefix string, n int) []*corev1.Pod {
	var held []*corev1.Pod
	for _, w := range c.listed(prefix, n, 1, oneNode) {
		c.begin(w)
		p := c.newPod(w.rs, w.rs.Name+"-0", "")
		c.put(watch.Added, false, p)
		held = append(held, p)
	}
	return held
}

// pendingBeside has n pods that cannot be scheduled, for minutes, and other pods be updated.
func pendingBeside(c *shaped, n int) {
	webs := c.listed("web", 20, 1, oneNode)
	for _, p := range c.heldUp("held", n) {
		c.event(p, "Pod", "FailedScheduling", "0/3 nodes are available")
	}
	c.settle()
	c.beside(webs, 40, time.Minute, func(int) { c.odd(10) })
}

// jobsKept has Jobs be made, run and be deleted, while n others are kept.
func jobsKept(c *shaped, n int) {
	ended := func(job *batchv1.Job) {
		now := c.second()
		job.Status.Succeeded, job.Status.CompletionTime = 1, &now
		job.Status.Conditions = []batchv1.JobCondition{{Type: batchv1.JobComplete, Status: corev1.ConditionTrue, LastTransitionTime: now}}
	}
	made := func(name string) *batchv1.Job {
		now := c.second()
		job := &batchv1.Job{ObjectMeta: c.meta("Job", name, nil)}
		job.Status.StartTime = &now
		return job
	}
	finish := func(p *corev1.Pod) {
		p.Status.Phase = corev1.PodSucceeded
		p.Status.ContainerStatuses = []corev1.ContainerStatus{{Name: "web", ContainerID: "run://" + string(p.UID), State: corev1.ContainerState{
			Terminated: &corev1.ContainerStateTerminated{ContainerID: "run://" + string(p.UID), StartedAt: c.second(), FinishedAt: c.second()},
		}}}
		c.condition(p, corev1.PodReady, corev1.ConditionFalse)
	}
	for i := range n {
		job := made(fmt.Sprint("kept-", i))
		ended(job)
		c.list(job)
		p := c.newPod(job, job.Name+"-0", "node-a")
		finish(p)
		c.list(p)
	}
	c.settle()
	type run struct {
		job *batchv1.Job
		pod *corev1.Pod
	}
	var runs []run
	for second := range 60 {
		c.each(10, time.Second, func(i int) {
			job := made(fmt.Sprintf("job-%d-%d", second, i))
			c.put(watch.Added, false, job)
			p := c.newPod(job, job.Name+"-0", "node-a")
			c.put(watch.Added, false, p)
			c.event(p, "Pod", "Started", "Started container web")
			c.run(p)
			c.write(p)
			finish(p)
			c.write(p)
			ended(job)
			c.write(job)
			runs = append(runs, run{job, p})
			if done := len(runs) - 100; done >= 0 {
				c.remove(runs[done].pod)
				c.put(watch.Deleted, false, runs[done].job)
			}
		})
	}
}

// keptBeside has n Deployments at rest, and pods of twenty others be updated, for so long that
// what is old is looked for.
func keptBeside(c *shaped, n int) {
	webs := c.listed("web", 20, 1, oneNode)
	c.listed("kept", n, 1, oneNode)
	c.settle()
	c.beside(webs, 2, 25*time.Minute, nil)
}

// unexplained has Events about n objects that nobody else knows, and of four more a second, beside
// pods that are updated.
func unexplained(c *shaped, n int) {
	webs := c.listed("web", 20, 1, oneNode)
	c.odd(n)
	c.settle()
	c.beside(webs, 4, 10*time.Minute, func(int) { c.odd(4) })
}

// node is one that is Ready or not.
func (c *shaped) node(name string, ready corev1.ConditionStatus) *corev1.Node {
	n := &corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: name, UID: types.UID(name), CreationTimestamp: metav1.NewTime(day)}}
	n.Status.Conditions = []corev1.NodeCondition{{Type: corev1.NodeReady, Status: ready, LastTransitionTime: c.second()}}
	return n
}

// nodeFlaps has a node of n pods be lost and come back, three times.
func nodeFlaps(c *shaped, n int) {
	c.list(c.node("node-a", corev1.ConditionTrue))
	webs := c.listed("web", n, 1, oneNode)
	c.settle()
	for range 3 {
		c.write(c.node("node-a", corev1.ConditionUnknown))
		c.each(n, 2*time.Second, func(i int) {
			p := webs[i].pods[0]
			c.condition(p, corev1.PodReady, corev1.ConditionFalse)
			c.write(p)
			c.event(p, "Pod", "NodeNotReady", "Node is not ready")
			c.status(webs[i], 0)
			c.write(webs[i].d)
		})
		c.pass(40 * time.Second)
		c.write(c.node("node-a", corev1.ConditionTrue))
		c.each(n, 20*time.Second, func(i int) {
			p := webs[i].pods[0]
			c.condition(p, corev1.PodReady, corev1.ConditionTrue)
			c.write(p)
			c.status(webs[i], 1)
			c.write(webs[i].d)
		})
		c.pass(40 * time.Second)
	}
}

// replace has a pod that was lost be replaced by another.
func (c *shaped) replace(w *web, why, node string, number int) {
	c.condition(w.pods[0], corev1.DisruptionTarget, corev1.ConditionTrue)
	last := &w.pods[0].Status.Conditions[len(w.pods[0].Status.Conditions)-1]
	last.Reason = why
	c.remove(w.pods[0])
	p := c.newPod(w.rs, fmt.Sprintf("%s-r%d", w.rs.Name, number), node)
	c.put(watch.Added, false, p)
	c.run(p)
	c.write(p)
	w.pods[0] = p
}

// drainedBeside has nodes of one pod be drained one after the other, while n Deployments are at
// rest.
func drainedBeside(c *shaped, n int) {
	const nodes = 50
	for i := range nodes {
		c.list(c.node(fmt.Sprint("node-", i), corev1.ConditionTrue))
	}
	webs := c.listed("web", nodes, 1, func(i int) string { return fmt.Sprint("node-", i) })
	c.listed("kept", n, 1, oneNode)
	c.settle()
	c.each(nodes, 100*time.Second, func(i int) {
		name := fmt.Sprint("node-", i)
		cordoned := c.node(name, corev1.ConditionTrue)
		cordoned.Status.Conditions[0].LastTransitionTime = metav1.NewTime(day)
		cordoned.Spec.Unschedulable = true
		c.write(cordoned)
		c.replace(webs[i], "EvictionByEvictionAPI", fmt.Sprint("node-", (i+1)%nodes), i)
		cordoned.Spec.Unschedulable = false
		c.write(cordoned)
	})
	c.pass(time.Minute)
}

// preemptedBeside has pods make room for others, while n Deployments are at rest.
func preemptedBeside(c *shaped, n int) {
	const many = 50
	on := func(i int) string { return fmt.Sprint("node-", i) }
	webs, high := c.listed("web", many, 1, on), c.listed("high", many, 1, oneNode)
	c.listed("kept", n, 1, oneNode)
	c.settle()
	c.each(many, 50*time.Second, func(i int) {
		w := high[i]
		c.begin(w)
		p := c.newPod(w.rs, w.rs.Name+"-0", "")
		c.put(watch.Added, false, p)
		p.Status.NominatedNodeName = on(i)
		c.write(p)
		c.replace(webs[i], "PreemptionByScheduler", "node-b", i)
		p.Spec.NodeName, p.Status.NominatedNodeName = on(i), ""
		c.run(p)
		c.write(p)
		c.remove(w.pods[0])
		w.pods[0] = p
		c.status(w, 1)
		c.write(w.d)
	})
	c.pass(time.Minute)
}
