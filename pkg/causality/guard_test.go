package causality

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/watch"

	"github.com/rollspan/rollspan/pkg/causality/internal/kube"
	"github.com/rollspan/rollspan/pkg/causality/internal/nodes"
	"github.com/rollspan/rollspan/pkg/causality/internal/podlife"
)

// guarded is a life whose engine's faults are kept.
func guarded() (l *life, faults *[]Fault) {
	faults = &[]Fault{}
	l = newLife()
	l.opts.OnFault = func(f Fault) { *faults = append(*faults, f) }
	return l, faults
}

// records are the numbers of what the engine keeps of workloads and pods.
func (l *life) records() string {
	return fmt.Sprint(len(l.workloads), len(l.sets), len(l.setsOf), len(l.pods), len(l.podsOf), l.due.Len())
}

// TestAPanicInAReviewCostsOneTrace has one of three rollouts run into a fault of the
// engine. The other two are told; what is known of that one is dropped, and what
// happens to it later is told again.
func TestAPanicInAReviewCostsOneTrace(t *testing.T) {
	l, faults := guarded()
	a, b, c := l.rollOut("a"), l.rollOut("b"), l.rollOut("c")
	l.sets[kube.BuiltIn("ReplicaSet", b.rs)].Steps[0] = nil // half written, say
	l.pass(time.Minute)

	if got := l.traces["Deployment rollout"]; got != 2 {
		t.Errorf("%d rollouts are told, want those of a and c", got)
	}
	if len(*faults) != 1 || l.Stats().Faults[FaultPanic] != 1 {
		t.Fatalf("faults %v, counted %v, want one", *faults, l.Stats().Faults)
	}
	f := (*faults)[0]
	if f.Kind != FaultPanic || f.Doing != "review" || f.Object != "Deployment shop/b" || !strings.Contains(f.Reason, "nil pointer") {
		t.Errorf("fault %+v", f)
	}
	if !strings.Contains(f.Place, ".go:") || strings.Contains(f.Place, "guard") || !strings.Contains(f.Stack, "review") {
		t.Errorf("the place is %q, the stack\n%s", f.Place, f.Stack)
	}
	if got, want := l.records(), "2 2 2 2 2 0"; got != want {
		t.Errorf("records kept: %s, want %s, those of a and c", got, want)
	}

	// What of b is there is read anew, as if the watch began; it is no news.
	emitted := l.spans
	l.see(watch.Modified, b.d)
	l.see(watch.Modified, b.rs)
	l.see(watch.Modified, b.pod)
	l.pass(time.Minute)
	if l.spans != emitted {
		t.Errorf("what was there before is told as new: %v", l.last)
	}
	crash(l, b)
	l.pass(time.Minute)
	if l.traces["Container restart"] != 1 {
		t.Errorf("what happens after the fault is not told: %v", l.traces)
	}
	for _, gone := range []app{a, b, c} {
		l.see(watch.Deleted, gone.pod)
		l.see(watch.Deleted, gone.rs)
		l.see(watch.Deleted, gone.d)
	}
	l.pass(time.Hour)
	l.pass(time.Hour)
	if got := l.records(); got != "0 0 0 0 0 0" || len(l.reread) != 0 {
		t.Errorf("records left: %s, to be read anew: %v", got, l.reread)
	}
}

// crash has the pod of an app crash and run again.
func crash(l *life, a app) {
	now := metav1.NewTime(l.at.Truncate(time.Second))
	run := a.pod.Status.ContainerStatuses[0].State.Running
	a.pod.Status.ContainerStatuses[0].State = corev1.ContainerState{Terminated: &corev1.ContainerStateTerminated{
		ExitCode: 1, Reason: "Error", StartedAt: run.StartedAt, FinishedAt: now,
	}}
	l.see(watch.Modified, a.pod)
	l.pass(2 * time.Second)
	last := a.pod.Status.ContainerStatuses[0].State
	a.run(l, 1)
	a.pod.Status.ContainerStatuses[0].LastTerminationState = last
	l.see(watch.Modified, a.pod)
}

// TestAPanicWhileObservingCostsOneWorkload has the record of a pod be such that the
// next state of it cannot be read.
func TestAPanicWhileObservingCostsOneWorkload(t *testing.T) {
	l, faults := guarded()
	l.rollOut("a")
	b := l.rollOut("b")
	l.pods[kube.BuiltIn(kube.KindPod, b.pod)].Containers = []*podlife.Container{nil}
	l.see(watch.Modified, b.pod)
	if len(*faults) != 1 || (*faults)[0].Doing != "observe" || (*faults)[0].Object != "Pod shop/b-1-a" {
		t.Fatalf("faults %v, want one about b's pod", *faults)
	}
	if got, want := l.records(), "1 1 1 1 1 1"; got != want {
		t.Errorf("records kept: %s, want %s, those of a", got, want)
	}
	l.see(watch.Modified, b.pod)
	l.see(watch.Modified, b.rs)
	l.see(watch.Modified, b.d)
	l.pass(time.Minute)
	if got := l.traces["Deployment rollout"]; got != 1 {
		t.Errorf("%d rollouts are told, want that of a", got)
	}
	if len(*faults) != 1 {
		t.Errorf("more faults: %v", (*faults)[1:])
	}
}

// TestAPanicAboutANodeOrAnEventCostsThat has records of what is no workload be half
// written.
func TestAPanicAboutANodeOrAnEventCostsThat(t *testing.T) {
	l, faults := guarded()
	node := &corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: "node-a", UID: "node-a"}}
	l.see(watch.Added, node)
	l.nodes.ByID[kube.ObjectID{Kind: kube.KindNode, UID: node.UID}].Disruptions = []*nodes.Disruption{nil}
	l.rollOut("a")
	l.event(&corev1.Pod{ObjectMeta: l.meta("pod", "cm", nil)}, "Odd") // a pod that nobody has seen
	for _, obj := range l.unsettled.All() {
		if obj.Name == "cm" {
			obj.Events[0].Occurrences = nil
		}
	}
	l.pass(2 * time.Minute)
	var doing []string
	for _, f := range *faults {
		doing = append(doing, f.Doing)
	}
	slices.Sort(doing)
	if fmt.Sprint(doing) != "[activity disruption]" {
		t.Errorf("faults in %v: %v", doing, *faults)
	}
	if l.traces["Deployment rollout"] != 1 {
		t.Errorf("told: %v, want the rollout of a", l.traces)
	}
	if len(l.nodes.ByID)+len(l.nodes.Named)+l.dueNodes.Len() != 0 || l.unsettled.Len() != 0 {
		t.Errorf("kept: nodes %v, unsettled %v", l.nodes, l.unsettled.All())
	}
}

// TestAPanicAboutAnObjectWithALongUIDCostsThat has a UID that is cut where it comes in:
// what is dropped is the record that has the cut one.
func TestAPanicAboutAnObjectWithALongUIDCostsThat(t *testing.T) {
	l, faults := guarded()
	p := &corev1.Pod{ObjectMeta: l.meta("pod", "alone", nil)}
	p.UID = types.UID(strings.Repeat("u", 2*kube.MaxIdentity))
	p.Spec.Containers = []corev1.Container{{Name: "web", Image: "web:1"}}
	app{pod: p}.run(l, 0)
	l.see(watch.Added, p)
	for _, record := range l.pods {
		record.Containers = []*podlife.Container{nil}
	}
	l.see(watch.Modified, p)
	if len(*faults) != 1 || len(l.pods) != 0 || len(l.workloads) != 0 {
		t.Errorf("faults %v; %d pods and %d workloads are kept, want none", *faults, len(l.pods), len(l.workloads))
	}
	l.see(watch.Modified, p)
	if len(*faults) != 1 || len(l.pods) != 1 || len(l.reread) != 0 {
		t.Errorf("it is not read anew: faults %v, %d pods, to be read anew %d", *faults, len(l.pods), len(l.reread))
	}
}

// TestWhatCannotBeDroppedIsContained has the record of a pod be such that it can be
// neither read nor dropped. The other workload is told all the same.
func TestWhatCannotBeDroppedIsContained(t *testing.T) {
	l, faults := guarded()
	l.rollOut("a")
	b := l.rollOut("b")
	record := l.pods[kube.BuiltIn(kube.KindPod, b.pod)]
	record.Containers, record.Events = []*podlife.Container{nil}, []*podlife.Event{nil}
	l.see(watch.Modified, b.pod)
	l.pass(time.Minute)
	if len(*faults) < 2 || (*faults)[0].Doing != "observe" || (*faults)[1].Doing != "drop" {
		t.Errorf("faults %v, want that it could not be read, and not be dropped", *faults)
	}
	if got := l.traces["Deployment rollout"]; got != 1 {
		t.Errorf("%d rollouts are told, want that of a", got)
	}
}

// TestTooMuchWorkIsGivenUp gives the engine so small a budget that a rollout of a
// hundred pods exceeds it and one of one pod does not. It gives up at the same place
// each time.
func TestTooMuchWorkIsGivenUp(t *testing.T) {
	var places []string
	for range 2 {
		l, faults := guarded()
		l.budget = 150
		l.rollOut("small")
		large := l.rollOut("large")
		for n := range 100 {
			p := large.pod.DeepCopy()
			p.Name = fmt.Sprint("large-1-", n)
			p.UID = types.UID(p.Name)
			l.see(watch.Added, p)
		}
		l.pass(time.Minute)
		if l.traces["Deployment rollout"] != 1 {
			t.Errorf("told: %v, want the small rollout", l.traces)
		}
		if len(*faults) != 1 || (*faults)[0].Kind != FaultWork || (*faults)[0].Object != "Deployment shop/large" {
			t.Fatalf("faults %v, want one: too much work for the large one", *faults)
		}
		if l.Stats().Faults[FaultWork] != 1 {
			t.Errorf("counted: %v", l.Stats().Faults)
		}
		places = append(places, (*faults)[0].Place+l.at.String())
	}
	if places[0] != places[1] {
		t.Errorf("it gives up at %s and at %s", places[0], places[1])
	}
}
