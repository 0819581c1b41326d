package causality

import (
	"fmt"
	"testing"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	autoscalingv2 "k8s.io/api/autoscaling/v2"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/watch"

	"github.com/rollspan/rollspan/pkg/causality/internal/kube"
	"github.com/rollspan/rollspan/pkg/causality/internal/ledger"
	"github.com/rollspan/rollspan/pkg/causality/internal/podlife"
	"github.com/rollspan/rollspan/pkg/causality/internal/workloads"
	"github.com/rollspan/rollspan/pkg/spans"
	"github.com/rollspan/rollspan/pkg/spans/attr"
)

// life drives an engine through the life of one Deployment of one pod.
type life struct {
	*Engine
	at      time.Time
	version int
	spans   int
	traces  map[string]int // by the name of their root
	last    spans.Trace
	leftOut int // restarts
}

func (l *life) took(t spans.Trace) {
	l.spans += len(t.Spans)
	l.last = t
	l.traces[t.Root().Name]++
	if n, ok := t.Root().Attribute(attr.RestartsLeftOutKey); ok {
		l.leftOut += int(n.AsInt64())
	}
}

func newLife() *life {
	strict := Options{OnFault: func(f Fault) { panic(f.Reason + "\n" + f.Stack) }}
	return &life{Engine: New(strict), traces: map[string]int{}, at: time.Date(2026, 1, 2, 10, 0, 0, 0, time.UTC)}
}

func (l *life) see(typ watch.EventType, object runtime.Object) {
	l.version++
	l.at = l.at.Add(100 * time.Millisecond)
	object = object.DeepCopyObject()
	object.(metav1.Object).SetResourceVersion(fmt.Sprint(l.version))
	for _, t := range l.Observe(Observation{Time: l.at, Type: typ, Object: object}) {
		l.took(t)
	}
}

func (l *life) pass(d time.Duration) {
	l.at = l.at.Add(d)
	for _, t := range l.Advance(l.at) {
		l.took(t)
	}
}

func (l *life) meta(kind, name string, owner *metav1.ObjectMeta) metav1.ObjectMeta {
	m := metav1.ObjectMeta{
		Namespace: "shop", Name: name, UID: types.UID(fmt.Sprintf("%s-%s-%d", kind, name, l.version)),
		Generation: 1, CreationTimestamp: metav1.NewTime(l.at.Truncate(time.Second)),
		Annotations: map[string]string{workloads.RevisionAnnotation: "1"},
	}
	if owner != nil {
		isController := true
		kinds := map[string]string{"rs": "Deployment", "pod": "ReplicaSet"}
		m.OwnerReferences = []metav1.OwnerReference{{Kind: kinds[kind], Name: owner.Name, UID: owner.UID, Controller: &isController}}
	}
	return m
}

// app is a Deployment that was rolled out.
type app struct {
	d   *appsv1.Deployment
	rs  *appsv1.ReplicaSet
	pod *corev1.Pod
}

func (l *life) rollOut(name string) app {
	one := int32(1)
	a := app{d: &appsv1.Deployment{ObjectMeta: l.meta("d", name, nil)}}
	a.d.Spec.Replicas = &one
	l.see(watch.Added, a.d)
	a.rs = &appsv1.ReplicaSet{ObjectMeta: l.meta("rs", name+"-1", &a.d.ObjectMeta)}
	a.rs.Spec.Replicas = &one
	l.see(watch.Added, a.rs)
	a.pod = &corev1.Pod{ObjectMeta: l.meta("pod", name+"-1-a", &a.rs.ObjectMeta)}
	a.pod.Spec.Containers = []corev1.Container{{Name: "web", Image: "web:1"}}
	l.see(watch.Added, a.pod)
	for _, reason := range []string{"Scheduled", "Pulled", "Started"} {
		l.event(a.pod, reason)
	}
	a.run(l, 0)
	l.see(watch.Modified, a.pod)
	a.d.Status = appsv1.DeploymentStatus{ObservedGeneration: 1, Replicas: 1, UpdatedReplicas: 1, AvailableReplicas: 1}
	l.see(watch.Modified, a.d)
	return a
}

func (a app) run(l *life, restart int32) {
	now := metav1.NewTime(l.at.Truncate(time.Second))
	a.pod.Status.ContainerStatuses = []corev1.ContainerStatus{{
		Name: "web", RestartCount: restart, ContainerID: fmt.Sprintf("run-%d", restart),
		State: corev1.ContainerState{Running: &corev1.ContainerStateRunning{StartedAt: now}},
	}}
	a.ready(corev1.ConditionTrue, now)
}

func (a app) crash(l *life) {
	now := metav1.NewTime(l.at.Truncate(time.Second))
	s := &a.pod.Status.ContainerStatuses[0]
	s.State = corev1.ContainerState{Terminated: &corev1.ContainerStateTerminated{
		ContainerID: s.ContainerID, ExitCode: 1, StartedAt: s.State.Running.StartedAt, FinishedAt: now,
	}}
	a.ready(corev1.ConditionFalse, now)
}

func (a app) ready(status corev1.ConditionStatus, now metav1.Time) {
	a.pod.Status.Conditions = []corev1.PodCondition{
		{Type: corev1.PodScheduled, Status: corev1.ConditionTrue, LastTransitionTime: a.pod.CreationTimestamp},
		{Type: corev1.PodReady, Status: status, LastTransitionTime: now},
	}
}

func (l *life) event(p *corev1.Pod, reason string) {
	now := metav1.NewTime(l.at.Truncate(time.Second))
	l.see(watch.Added, &corev1.Event{
		ObjectMeta:     metav1.ObjectMeta{Namespace: "shop", Name: fmt.Sprintf("%s.%x", p.Name, l.at.UnixNano()), UID: types.UID(fmt.Sprint("event-", l.version))},
		InvolvedObject: corev1.ObjectReference{Kind: "Pod", Namespace: "shop", Name: p.Name, UID: p.UID},
		Reason:         reason, FirstTimestamp: now, LastTimestamp: now, Count: 1,
	})
}

func (l *life) remove(a app) {
	l.see(watch.Deleted, a.d)
	l.see(watch.Deleted, a.rs)
	now := metav1.NewTime(l.at)
	none := int64(0)
	a.pod.DeletionTimestamp, a.pod.DeletionGracePeriodSeconds = &now, &none
	l.see(watch.Modified, a.pod)
	l.see(watch.Deleted, a.pod)
}

// TestNothingIsKeptOfWhatIsGone is the bound on memory: Deployments that came
// and went leave nothing behind.
func TestNothingIsKeptOfWhatIsGone(t *testing.T) {
	l := newLife()
	for i := range 200 {
		a := l.rollOut(fmt.Sprint("web", i%7)) // names come again
		l.pass(time.Minute)
		l.remove(a)
	}
	// What nobody owns, and what an Event is all that is known of.
	orphan := &corev1.Pod{ObjectMeta: l.meta("pod", "stray", nil)}
	l.see(watch.Added, orphan)
	l.event(orphan, "Scheduled")
	l.see(watch.Deleted, orphan)
	l.event(&corev1.Pod{ObjectMeta: metav1.ObjectMeta{Name: "never-seen", UID: "never-seen"}}, "Scheduled")
	hpa := &autoscalingv2.HorizontalPodAutoscaler{ObjectMeta: l.meta("hpa", "web0", nil)}
	for _, target := range []string{"web0", "web1"} {
		hpa.Spec.ScaleTargetRef = autoscalingv2.CrossVersionObjectReference{Kind: "Deployment", Name: target}
		l.see(watch.Modified, hpa)
	}
	l.see(watch.Deleted, hpa)
	l.nothingIsLeft(t)
	if l.spans < 200*7 {
		t.Errorf("only %d spans came out", l.spans)
	}
}

func (l *life) nothingIsLeft(t *testing.T) {
	t.Helper()
	for range 20 {
		l.pass(10 * time.Minute)
	}
	for what, n := range map[string]int{
		"objects": len(l.objects), "names": len(l.names), "Events": len(l.events),
		"Deployments": len(l.workloads), "ReplicaSets": len(l.sets), "owners of ReplicaSets": len(l.setsOf),
		"pods": len(l.pods), "owners of pods": len(l.podsOf), "revisions": len(l.revisions), "workloads of revisions": len(l.revisionOf), "versions of Events": len(l.eventVersions), "autoscalers": len(l.scalers),
	} {
		if n != 0 {
			t.Errorf("%d %s are left", n, what)
		}
	}
	l.nothingIsNoted(t)
}

// nothingIsNoted holds that no notes are left of what is to be looked at, and when.
func (l *life) nothingIsNoted(t *testing.T) {
	t.Helper()
	for what, n := range map[string]int{
		"workloads due": l.due.Len(), "nodes due": l.dueNodes.Len(), "unsettled": l.unsettled.Len(), "strays": l.orphans.Len(), "old objects": l.old.Len(),
		"claims that are gone": l.goneClaims.Len(), "open workloads": len(l.open), "lost pods": len(l.lost.of), "nodes of lost pods": len(l.lost.on),
		"objects that wait": len(l.awaited.by), "awaited reviews": len(l.awaited.reviews), "awaited disruptions": len(l.awaited.told), "workloads with pods at rest": len(l.resting),
	} {
		if n != 0 {
			t.Errorf("%d %s are left", n, what)
		}
	}
}

// TestALongLifeIsBounded scales a Deployment and crashes its pod for days.
func TestALongLifeIsBounded(t *testing.T) {
	l := newLife()
	a := l.rollOut("web")
	for i := range int32(3000) {
		replicas := 1 + i%2
		a.d.Generation++
		a.d.Spec.Replicas = &replicas
		l.see(watch.Modified, a.d)
		a.rs.Generation++
		a.rs.Spec.Replicas = &replicas
		l.see(watch.Modified, a.rs)
		a.d.Status.ObservedGeneration = a.d.Generation
		a.d.Status.Replicas, a.d.Status.UpdatedReplicas, a.d.Status.AvailableReplicas = replicas, replicas, replicas
		l.see(watch.Modified, a.d)

		a.crash(l)
		l.see(watch.Modified, a.pod)
		l.pass(time.Minute)
		a.run(l, i+1)
		l.see(watch.Modified, a.pod)
		l.event(a.pod, "Started")
		l.pass(time.Minute)
	}
	w, set, pod := l.workloads[kube.BuiltIn("Deployment", a.d)], l.sets[kube.BuiltIn("ReplicaSet", a.rs)], l.pods[kube.BuiltIn(kube.KindPod, a.pod)]
	for what, got := range map[string]struct{ n, most int }{
		"changes":    {len(w.Changes), keepChanges + 1},
		"steps":      {len(set.Steps), workloads.MaxSteps},
		"runs":       {len(pod.Containers[0].Runs), podlife.MaxRuns},
		"waits":      {len(pod.Containers[0].Waits), podlife.MaxTransitions},
		"ready":      {len(pod.Ready), podlife.MaxTransitions},
		"available":  {len(set.Available), podlife.MaxTransitions},
		"Events":     {len(l.events), int(podlife.EventLife+podlife.SweepInterval) / int(2*time.Minute) * 2},
		"pod Events": {len(pod.Events), int(podlife.EventLife+podlife.SweepInterval) / int(2*time.Minute) * 2},
	} {
		if got.n > got.most {
			t.Errorf("%d %s are kept, at most %d should be", got.n, what, got.most)
		}
	}
	if n := l.traces["Deployment scale"]; n < 2999 { // the first writes what is there
		t.Errorf("%d scales were told, want 2999", n)
	}
	// 3000 crashes, one every two minutes, are 100 hours.
	if emitted := l.traces["Container restart"]; emitted < 100*ledger.MaxRestartsSent || emitted > 101*ledger.MaxRestartsSent {
		t.Errorf("%d restarts were told, want about %d an hour", emitted, ledger.MaxRestartsSent)
	}
	// What was left out in the last hour is not on a span yet.
	if emitted := l.traces["Container restart"] + l.leftOut; emitted < 3000-30 {
		t.Errorf("%d of 3000 restarts were told or counted", emitted)
	}
}
