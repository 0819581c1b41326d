package causality

import (
	"fmt"
	"testing"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/watch"

	"github.com/rollspan/rollspan/pkg/causality/internal/build"
	"github.com/rollspan/rollspan/pkg/causality/internal/workloads"
	"github.com/rollspan/rollspan/pkg/spans/kind"
)

// TestWorkIsCounted has one tenant's objects ask for work that grows with the square
// of their number. It is counted: with a small budget it is given up. What somebody
// would write is told with the same budget.
func TestWorkIsCounted(t *testing.T) {
	for name, test := range map[string]struct {
		ask       func(l *life, many int)
		few, many int
	}{
		"a sandbox for many containers": {(*life).changeSandbox, 3, 150},
		"pods that share a claim":       {(*life).shareClaim, 3, 120},
	} {
		t.Run(name, func(t *testing.T) {
			for _, n := range []int{test.few, test.many} {
				l, faults := guarded()
				l.budget = 50_000
				test.ask(l, n)
				l.pass(2 * time.Minute)
				if got, want := len(*faults) > 0, n == test.many; got != want {
					t.Errorf("with %d given up: %v, want %v; %v", n, got, want, *faults)
				}
				for _, f := range *faults {
					if f.Kind != FaultWork {
						t.Errorf("a fault of the engine: %+v", f)
					}
				}
			}
		})
	}
}

// TestARestartTellsOfSoManyReruns has a container wait for the runs of hundreds of init
// containers. The restart tells of those that it waited for last.
func TestARestartTellsOfSoManyReruns(t *testing.T) {
	l, _ := guarded()
	l.rerunAll(400)
	l.pass(2 * time.Minute)
	if l.traces["Container restart"] == 0 {
		t.Fatal("no restart is told")
	}
	runs := 0
	for i := range l.last.Spans {
		if l.last.Spans[i].Kind == kind.InitContainer {
			runs++
		}
	}
	// Each has the spans of what was done for it.
	if n := len(l.last.Spans); runs != build.MaxReruns || n > 4*build.MaxReruns+8 {
		t.Errorf("%d spans tell of a restart, and %d of the runs, want the last %d", n, runs, build.MaxReruns)
	}
}

// manyContainers is a pod of its own that has been Ready, of n init containers and one
// other.
func (l *life) manyContainers(n int) *corev1.Pod {
	p := &corev1.Pod{ObjectMeta: l.meta("pod", "p", nil)}
	at := metav1.NewTime(l.at.Truncate(time.Second))
	add := func(spec *[]corev1.Container, statuses *[]corev1.ContainerStatus, name string, state corev1.ContainerState) {
		*spec = append(*spec, corev1.Container{Name: name, Image: "app:1"})
		*statuses = append(*statuses, corev1.ContainerStatus{Name: name, ContainerID: name + "/0", State: state})
	}
	for i := range n {
		name := fmt.Sprintf("init-%d", i)
		add(&p.Spec.InitContainers, &p.Status.InitContainerStatuses, name, corev1.ContainerState{
			Terminated: &corev1.ContainerStateTerminated{ContainerID: name + "/0", StartedAt: at, FinishedAt: at},
		})
	}
	add(&p.Spec.Containers, &p.Status.ContainerStatuses, "web", corev1.ContainerState{Running: &corev1.ContainerStateRunning{StartedAt: at}})
	p.Status.Phase = corev1.PodRunning
	p.Status.Conditions = []corev1.PodCondition{{Type: corev1.PodReady, Status: corev1.ConditionTrue, LastTransitionTime: at}}
	l.see(watch.Added, p)
	l.pass(time.Minute)
	return p
}

// runAgain has the pod's container end, all its init containers run again, each for a
// second longer than the one before, and the container after them.
func (l *life) runAgain(p *corev1.Pod) {
	ended := metav1.NewTime(l.at.Truncate(time.Second))
	web := &p.Status.ContainerStatuses[0]
	web.State = corev1.ContainerState{Terminated: &corev1.ContainerStateTerminated{
		ContainerID: web.ContainerID, ExitCode: 1, StartedAt: web.State.Running.StartedAt, FinishedAt: ended,
	}}
	l.see(watch.Modified, p)
	web.LastTerminationState, web.RestartCount, web.ContainerID = web.State, 1, "web/1"
	last := ended
	for i := range p.Status.InitContainerStatuses {
		s := &p.Status.InitContainerStatuses[i]
		last = metav1.NewTime(ended.Add(time.Duration(1+i) * time.Second))
		s.RestartCount, s.ContainerID = 1, s.Name+"/1"
		s.State = corev1.ContainerState{Terminated: &corev1.ContainerStateTerminated{
			ContainerID: s.ContainerID, StartedAt: metav1.NewTime(ended.Add(time.Second)), FinishedAt: last,
		}}
	}
	l.pass(last.Sub(l.at) + 2*time.Second)
	now := metav1.NewTime(l.at.Truncate(time.Second))
	web.State = corev1.ContainerState{Running: &corev1.ContainerStateRunning{StartedAt: now}}
	p.Status.Conditions[0].LastTransitionTime = now
	l.see(watch.Modified, p)
}

func (l *life) rerunAll(n int) { l.runAgain(l.manyContainers(n)) }

func (l *life) changeSandbox(n int) {
	p := l.manyContainers(n)
	for i := range 5 * n {
		l.eventOf("Pod", p.Name, p.UID, "SandboxChanged", fmt.Sprintf("e%d", i))
	}
	l.runAgain(p)
}

// eventOf is an Event about an object of the namespace shop.
func (l *life) eventOf(kind, name string, uid types.UID, reason, id string) {
	at := metav1.NewTime(l.at.Truncate(time.Second))
	l.see(watch.Added, &corev1.Event{
		ObjectMeta:     metav1.ObjectMeta{Namespace: "shop", Name: id, UID: types.UID(id)},
		InvolvedObject: corev1.ObjectReference{Kind: kind, Namespace: "shop", Name: name, UID: uid},
		Reason:         reason, Message: reason, FirstTimestamp: at, LastTimestamp: at, Count: 1,
	})
}

// shareClaim has a pod that never starts wait for a claim, and so many others that do
// start after it. They are seen in another order than they were made in.
func (l *life) shareClaim(n int) {
	claim := &corev1.PersistentVolumeClaim{ObjectMeta: l.meta("claim", "data", nil)}
	l.see(watch.Added, claim)
	made := func(name string) *corev1.Pod {
		p := &corev1.Pod{ObjectMeta: l.meta("pod", name, nil)}
		p.Spec.Containers = []corev1.Container{{Name: "web", Image: "app:1"}}
		p.Spec.Volumes = []corev1.Volume{{Name: "data", VolumeSource: corev1.VolumeSource{
			PersistentVolumeClaim: &corev1.PersistentVolumeClaimVolumeSource{ClaimName: "data"},
		}}}
		return p
	}
	first := made("first")
	l.pass(2 * time.Second)
	var others []*corev1.Pod
	for i := range n {
		p := made(fmt.Sprintf("p%d", i))
		l.see(watch.Added, p)
		others = append(others, p)
	}
	l.see(watch.Added, first)
	for i := range 4 * n {
		l.eventOf("PersistentVolumeClaim", "data", claim.UID, "Odd", fmt.Sprintf("e%d", i))
	}
	for _, p := range others {
		now := metav1.NewTime(l.at.Truncate(time.Second))
		p.Status.Phase = corev1.PodRunning
		p.Status.Conditions = []corev1.PodCondition{{Type: corev1.PodReady, Status: corev1.ConditionTrue, LastTransitionTime: now}}
		l.see(watch.Modified, p)
	}
}

// TestAClockThatIsCenturiesBehind has an Event state a time so long ago that no
// duration holds it. It is no late one: it was over before rollspan was there.
func TestAClockThatIsCenturiesBehind(t *testing.T) {
	l := newLife()
	l.pass(time.Second)
	ev := &corev1.Event{
		ObjectMeta:     metav1.ObjectMeta{Namespace: "evil", Name: "e", UID: "e"},
		InvolvedObject: corev1.ObjectReference{Kind: "Widget", Namespace: "evil", Name: "w", UID: "w"}, Reason: "Odd",
	}
	ev.FirstTimestamp = metav1.NewTime(time.Date(2, 1, 1, 0, 0, 0, 0, time.UTC))
	l.see(watch.Added, ev)
	if got, want := l.settle(), l.opts.Settle; got != want {
		t.Errorf("what is over waits %s for late Events, want %s", got, want)
	}
}

// TestWhatCostsMuchIsDoneSeldom has a workload of many pods scaled many times within
// seconds, so that there is something to tell of it every few milliseconds. It is looked
// at for a tenth of the time at most.
func TestWhatCostsMuchIsDoneSeldom(t *testing.T) {
	l, faults := guarded()
	l.onNode("a", 300)
	l.pass(time.Minute)
	var set *workloads.Workload
	for _, w := range l.workloads {
		set = w
	}
	began, rested, looks, rests := l.at, set.RestUntil, 0, time.Duration(0)
	longest := time.Duration(0)
	note := func() {
		if set.RestUntil.Equal(rested) {
			return
		}
		rested = set.RestUntil
		looks++
		rests += rested.Sub(l.at)
		longest = max(longest, rested.Sub(l.at))
	}
	rs := &appsv1.ReplicaSet{ObjectMeta: metav1.ObjectMeta{Namespace: "shop", Name: "a", UID: set.UID, Generation: 1}}
	for i := range 1000 {
		l.at = l.at.Add(4 * time.Millisecond)
		replicas := int32(300 + i%2)
		rs.Generation++
		rs.Spec.Replicas = &replicas
		l.version++
		rs.ResourceVersion = fmt.Sprint(l.version)
		l.Observe(Observation{Time: l.at, Type: watch.Modified, Object: rs.DeepCopy()})
		note()
	}
	for range 5000 {
		l.at = l.at.Add(4 * time.Millisecond)
		l.Advance(l.at)
		note()
	}
	if took := l.at.Sub(began) + longest; rests > took {
		t.Errorf("%d looks in %s, which want %s of rest", looks, took, rests)
	}
	if looks < 3 || longest < 4*time.Millisecond {
		t.Errorf("%d looks, of which the longest wants %s of rest: too little happens", looks, longest)
	}
	if len(*faults) > 0 {
		t.Errorf("given up: %v", *faults)
	}
}
