package alarms

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/trace"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/watch"

	"github.com/rollspan/rollspan/pkg/causality"
	"github.com/rollspan/rollspan/pkg/metrics"
	"github.com/rollspan/rollspan/pkg/spans"
)

var noon = time.Date(2026, 11, 26, 12, 0, 0, 0, time.UTC)

// story is a Watch, and what it told.
type story struct {
	t       *testing.T
	watch   *Watch
	metrics *metrics.Alarms
	now     time.Time
	leading bool
	began   []Alarm
}

func newStory(t *testing.T) *story {
	s := &story{t: t, now: noon, leading: true, metrics: metrics.NewAlarms(metrics.Options{WorkloadName: true}, Reasons())}
	s.watch = New(Options{Metrics: s.metrics, Sink: s, Leading: func() bool { return s.leading }})
	s.see(watch.Added, &corev1.Node{}) // it has begun to look
	s.pass(time.Second)
	return s
}

func (s *story) Begin(a Alarm) { s.began = append(s.began, a) }

func (s *story) pass(d time.Duration) { s.now = s.now.Add(d) }

func (s *story) see(t watch.EventType, object runtime.Object) {
	s.watch.Observe(causality.Observation{Time: s.now, Type: t, Object: object})
}

// event is one that has happened so often by now.
func (s *story) event(name string, times int32, kind, reason, message string) *corev1.Event {
	about, namespace := corev1.ObjectReference{Kind: kind, Name: "web-1", Namespace: "shop", UID: "uid-of-web-1"}, "shop"
	if kind == "Node" {
		about, namespace = corev1.ObjectReference{Kind: kind, Name: "node-a", UID: "node-a"}, "default"
	}
	first := metav1.NewTime(s.now.Add(-time.Duration(times-1) * time.Second))
	return &corev1.Event{
		ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: name, UID: types.UID("uid-of-" + name)}, InvolvedObject: about,
		Type: corev1.EventTypeWarning, Reason: reason, Message: message, Count: times, Source: corev1.EventSource{Host: "node-a"},
		FirstTimestamp: first, LastTimestamp: metav1.NewTime(s.now),
	}
}

// tick tells what goes on, and returns what has begun since the last time, as "name object: reason".
func (s *story) tick(rollouts []causality.OpenRollout, disruptions []causality.Ongoing) (began []string) {
	s.watch.Tick(s.now, rollouts, disruptions, nil)
	for _, a := range s.began {
		began = append(began, fmt.Sprintf("%s %s/%s: %s", strings.TrimPrefix(a.Name, "Rollspan"), a.Object.Kind, a.Object.Name, a.Reason))
	}
	s.began = nil
	return began
}

func (s *story) want(what string, got []string, want ...string) {
	s.t.Helper()
	if !slices.Equal(got, want) {
		s.t.Errorf("%s: there began\n%q\nwant\n%q", what, got, want)
	}
}

// samples are those of a metric that are not 0, as "a=b,c=d 1".
func (s *story) samples(name string) (all []string) {
	s.t.Helper()
	registry := prometheus.NewPedanticRegistry()
	registry.MustRegister(s.metrics)
	families, err := registry.Gather()
	if err != nil {
		s.t.Fatal(err)
	}
	for _, f := range families {
		if f.GetName() != name {
			continue
		}
		for _, m := range f.GetMetric() {
			var labels []string
			for _, l := range m.GetLabel() {
				labels = append(labels, l.GetName()+"="+l.GetValue())
			}
			all = append(all, fmt.Sprintf("%s %v", strings.Join(labels, ","), m.GetCounter().GetValue()+m.GetGauge().GetValue()))
		}
	}
	return all
}

func (s *story) wantSamples(name string, want ...string) {
	s.t.Helper()
	if got := s.samples(name); !slices.Equal(got, want) {
		s.t.Errorf("%s:\n%q\nwant\n%q", name, got, want)
	}
}

// An Event that repeats, is listed again, is forgotten by the API server and written anew, and
// one that was there before.
func TestEventsAreCountedOnceForEachTime(t *testing.T) {
	s := newStory(t)
	old := s.event("old", 7, "Pod", "BackOff", "")
	s.watch.Observe(causality.Observation{Time: s.now, Type: watch.Added, Object: old, Initial: true})
	s.want("what was there before", s.tick(nil, nil))
	old = s.event("old", 8, "Pod", "BackOff", "")
	s.see(watch.Modified, old)
	s.want("it goes on", s.tick(nil, nil), "PodBackOff Pod/web-1: BackOff")
	s.pass(time.Minute)
	s.see(watch.Added, s.event("new", 1, "Pod", "BackOff", ""))
	s.see(watch.Modified, s.event("new", 4, "Pod", "BackOff", ""))
	s.see(watch.Modified, s.event("new", 4, "Pod", "BackOff", "")) // somebody put a label on it
	s.see(watch.Added, s.event("new", 4, "Pod", "BackOff", ""))    // a list
	s.see(watch.Added, s.event("new", 3, "Pod", "BackOff", ""))    // from a replica of the API server that is behind
	s.see(watch.Added, s.event("new", 5, "Pod", "BackOff", ""))
	s.see(watch.Deleted, s.event("new", 5, "Pod", "BackOff", ""))
	anew := s.event("new", 6, "Pod", "BackOff", "")
	anew.UID = "another"
	s.see(watch.Added, anew)
	s.see(watch.Added, s.event("missed", 3, "Pod", "BackOff", "")) // made while the watch was down
	long := s.event("long", 500, "Pod", "BackOff", "")             // so was this, but it began before rollspan did
	long.FirstTimestamp = metav1.NewTime(noon.Add(-time.Hour))
	s.see(watch.Added, long)
	s.wantSamples("rollspan_events_total", "kind=Pod,namespace=shop,reason=BackOff,type=Warning 11")
}

// Whatever anybody writes, the alarms' own reasons are told apart, and the series are bounded.
func TestSeriesAreBounded(t *testing.T) {
	s := newStory(t)
	for i := range 5000 {
		ev := s.event(fmt.Sprint("spam", i), 1, "Pod", fmt.Sprint("Spam", i), "")
		ev.Namespace, ev.InvolvedObject.Namespace, ev.InvolvedObject.Kind, ev.Type = fmt.Sprint("ns", i), fmt.Sprint("ns", i), fmt.Sprint("Kind", i), fmt.Sprint("Type", i)
		s.see(watch.Added, ev)
	}
	s.see(watch.Added, s.event("oom", 1, "Node", "SystemOOM", ""))
	s.see(watch.Added, s.event("backoff", 1, "Pod", "BackOff", ""))
	all := s.samples("rollspan_events_total")
	if len(all) > 2500 {
		t.Errorf("there are %d series", len(all))
	}
	for _, want := range []string{"kind=Node,namespace=,reason=SystemOOM,type=Warning 1", "kind=Pod,namespace=shop,reason=BackOff,type=Warning 1"} {
		if !slices.Contains(all, want) {
			t.Errorf("there is no %s", want)
		}
	}
	for i := range 2 * maxCounts {
		s.see(watch.Added, s.event(fmt.Sprint("many", i), 1, "Node", "Whatever", ""))
	}
	for i := range 2 * maxActive {
		ev := s.event(fmt.Sprint("pods", i), 1, "Pod", "BackOff", "")
		ev.InvolvedObject.Name = fmt.Sprint("pod", i)
		s.see(watch.Added, ev)
	}
	long := s.event("long", 1, strings.Repeat("k", 1<<20), strings.Repeat("r", 1<<20), strings.Repeat("m", 1<<20))
	long.InvolvedObject.Name = strings.Repeat("n", 1<<20)
	s.see(watch.Added, long)
	long = s.event("longer", 1, "Pod", "BackOff", strings.Repeat("m", 1<<20))
	long.InvolvedObject.Name, long.Source.Host = strings.Repeat("n", 1<<20), strings.Repeat("h", 1<<20)
	s.see(watch.Added, long)
	s.see(watch.Added, s.event("lacks", 1, "Pod", "FailedScheduling", "1 Insufficient "+strings.Repeat("r", 1<<20)))
	for k := range s.watch.active {
		if n := len(k.object.Name); n > maxIdentity {
			t.Errorf("a name of %d bytes is kept", n)
		}
	}
	for _, name := range []string{"rollspan_events_total", "rollspan_failed_scheduling_total"} {
		for _, sample := range s.samples(name) {
			if len(sample) > 1000 {
				t.Errorf("%s has labels of %d bytes", name, len(sample))
			}
		}
	}
	if w := s.watch; len(w.counts.young)+len(w.counts.old) > 2*maxCounts || len(w.active) > maxActive || len(w.pending) > maxPending {
		t.Errorf("it keeps %d+%d counts, %d alarms and %d that wait", len(w.counts.young), len(w.counts.old), len(w.active), len(w.pending))
	}
	// What has been forgotten is not counted all over again.
	before := s.samples("rollspan_events_total")
	s.see(watch.Modified, s.event("backoff", 900, "Pod", "BackOff", ""))
	after := s.samples("rollspan_events_total")
	changed := slices.DeleteFunc(after, func(l string) bool { return slices.Contains(before, l) })
	if want := []string{"kind=Pod,namespace=shop,reason=BackOff,type=Warning " + fmt.Sprint(3+2*maxActive)}; !slices.Equal(changed, want) {
		t.Errorf("it is counted as %q, want %q", changed, want)
	}
}

// Messages of the scheduler: of 1.36 (framework.FitError.Error), and what nodes lack of extended
// resources.
func TestFailedSchedulingIsSplitByWhatLacks(t *testing.T) {
	for message, want := range map[string][]string{
		"0/2 nodes are available: 2 Insufficient cpu. preemption: 0/2 nodes are available: 2 No preemption victims found for incoming pod.":                                                                   {"cpu"},
		"0/5 nodes are available: 1 Too many pods, 1 node(s) had untolerated taint {a: b}, 2 Insufficient memory, 3 Insufficient cpu. preemption: 0/5 nodes are available: 5 Insufficient ephemeral-storage.": {"cpu", "memory", "pods"},
		"0/1 nodes are available: 1 Insufficient nvidia.com/gpu. no new claims to deallocate, preemption: 0/1 nodes are available: 1 Preemption is not helpful for scheduling.":                               {"nvidia.com/gpu"},
		"0/3 nodes are available: 3 node(s) had untolerated taint(s).": {""},
		"running PreBind plugin: timed out":                            {""},
	} {
		if got := lacking(message); !slices.Equal(got, want) {
			t.Errorf("%s: it lacks %q, want %q", message, got, want)
		}
	}
	s := newStory(t)
	s.see(watch.Added, s.event("a", 1, "Pod", "FailedScheduling", "0/2 nodes are available: 1 Insufficient cpu, 1 Insufficient memory."))
	s.see(watch.Added, s.event("b", 2, "Pod", "FailedScheduling", "0/2 nodes are available: 2 Insufficient memory."))
	s.want("both lack", s.tick(nil, nil), "PodInsufficientCPU Pod/web-1: FailedScheduling", "PodInsufficientMemory Pod/web-1: FailedScheduling")
	s.wantSamples("rollspan_failed_scheduling_total", "namespace=shop,resource=cpu 1", "namespace=shop,resource=memory 3")
	s.wantSamples("rollspan_events_total", "kind=Pod,namespace=shop,reason=FailedScheduling,type=Warning 3")
}

// Each alarm that an Event raises, by one that the table has: an alarm begins once, and again
// when it has been over.
func TestEventsRaiseAlarms(t *testing.T) {
	s := newStory(t)
	for i, a := range eventAlarms {
		message := "1 Insufficient " + a.lacks
		for n := range max(a.from, 1) {
			s.want(a.name+" is not on", s.tick(nil, nil))
			s.see(watch.Added, s.event(fmt.Sprint("e", i), int32(n+1), a.kind, a.reasons[0], message))
		}
		name := "Pod/web-1"
		if a.kind == "Node" {
			name = "Node/node-a"
		}
		s.want(a.name, s.tick(nil, nil), strings.TrimPrefix(a.name, "Rollspan")+" "+name+": "+a.reasons[0])
	}
	s.see(watch.Added, s.event("other", 1, "Pod", "BackOff", ""))
	s.want("it is on already", s.tick(nil, nil))
	s.pass(Quiet + time.Second)
	s.want("it is over", s.tick(nil, nil))
	s.see(watch.Modified, s.event("other", 2, "Pod", "BackOff", "a\nb\x1b[31mc"+strings.Repeat("ä", MaxMessage)))
	s.watch.Tick(s.now, nil, nil, nil)
	a := s.began[0]
	if !strings.HasPrefix(a.Message, "a b[31mcä") || len(a.Message) > MaxMessage {
		t.Errorf("the message is %q", a.Message)
	}
	a.Message = ""
	want := Alarm{
		Name: "RollspanPodBackOff", Severity: Warning, Object: Object{Kind: "Pod", Namespace: "shop", Name: "web-1", UID: "uid-of-web-1"}, Node: "node-a",
		Reason: "BackOff", Since: s.now, Count: 1,
	}
	if fmt.Sprint(a.Resource) == "[]" {
		t.Error("nothing describes the pod")
	}
	a.Resource = nil
	if fmt.Sprint(a) != fmt.Sprint(want) {
		t.Errorf("it is\n%+v\nwant\n%+v", a, want)
	}
}

// What is an alarm only where it happens often is one where that is within a quarter of an hour, however long
// it goes on; and again when it was less for as long.
func TestOftenIsWithinAWhile(t *testing.T) {
	s := newStory(t)
	n := int32(0)
	probe := func(times int, every time.Duration) (began []string) {
		for range times {
			n++
			s.see(watch.Modified, s.event("probe", n, "Pod", "Unhealthy", "Readiness probe failed"))
			began = append(began, s.tick(nil, nil)...)
			s.pass(every)
		}
		return began
	}
	const on = "PodUnhealthy Pod/web-1: Unhealthy"
	s.want("now and then", probe(12, 10*time.Minute))
	s.pass(time.Minute)
	s.want("eight times more within a minute", probe(8, 6*time.Second))
	n++
	s.see(watch.Modified, s.event("probe", n, "Pod", "Unhealthy", ""))
	s.watch.Tick(s.now, nil, nil, nil)
	if len(s.began) != 1 || s.began[0].Count != 10 {
		t.Errorf("the tenth within a quarter of an hour: %+v", s.began)
	}
	s.began = nil
	s.pass(5 * time.Minute)
	s.want("it goes on", probe(30, 6*time.Second))
	s.want("now and then again", probe(8, 6*time.Minute))
	s.want("and it begins again", probe(30, 6*time.Second), on)
	s.pass(time.Minute)
	n += 39
	s.want("several times at once", probe(1, time.Minute))
	s.pass(Quiet)
	n += 39
	s.see(watch.Modified, s.event("probe", n, "Pod", "Unhealthy", ""))
	s.watch.Tick(s.now, nil, nil, nil)
	if len(s.began) != 1 || s.began[0].Count != 39 {
		t.Errorf("several times at once, after it was over: %+v", s.began)
	}
}

// A standby tells nobody. When it is elected it tells what has begun since the one before may have
// died, and nothing that this one has told for certain.
func TestOneTells(t *testing.T) {
	s := newStory(t)
	s.leading = false
	s.see(watch.Added, s.event("a", 1, "Pod", "BackOff", ""))
	s.want("on a standby", s.tick(nil, nil))
	s.pass(takeover - time.Second)
	s.see(watch.Added, s.event("b", 1, "Pod", "Failed", ""))
	s.want("on a standby still", s.tick(nil, nil))
	s.pass(2 * time.Second)
	s.leading = true
	s.see(watch.Modified, s.event("a", 2, "Pod", "BackOff", ""))
	s.see(watch.Added, s.event("c", 1, "Pod", "FailedSync", ""))
	s.want("elected", s.tick(nil, nil), "PodFailed Pod/web-1: Failed", "PodFailedSync Pod/web-1: FailedSync")
	s.pass(time.Second)
	s.want("a second later", s.tick(nil, nil))
	s.leading = false
	s.see(watch.Added, s.event("d", 1, "Node", "Rebooted", ""))
	s.want("no more", s.tick(nil, nil))
	for range maxPending + 1 {
		s.watch.begin(Alarm{Name: CrashLoop})
		s.tick(nil, nil)
	}
	if n := len(s.watch.untold); n != maxPending {
		t.Errorf("%d alarms wait", n)
	}
}

func TestWhatGoesOn(t *testing.T) {
	s := newStory(t)
	before := []causality.Ongoing{{Node: "node-z", Cause: "Cordoned", Since: noon.Add(-time.Hour)}}
	s.want("it was so before", s.tick(nil, before))
	s.pass(time.Minute)
	now := slices.Concat(before, []causality.Ongoing{{Node: "node-a", Cause: "NotReady", Reason: "KubeletNotReady", Since: s.now},
		{Node: "node-b", Cause: "KernelDeadlock", Reason: "DockerHung", Since: s.now},
		{Node: "node-c", Cause: "Cordoned", Since: s.now},
		{Node: "node-d", Cause: "Rebooted", Since: s.now}})
	rollouts := []causality.OpenRollout{
		{Kind: "Deployment", Namespace: "shop", Name: "web", Since: s.now},
		{Kind: "Deployment", Namespace: "shop", Name: "api", Since: s.now.Add(time.Minute)},
		{Kind: "Deployment", Namespace: "shop", Name: "paused", Since: s.now.Add(-time.Hour), Waits: true},
	}
	s.want("nodes", s.tick(rollouts, now), "NodeNotReady Node/node-a: KubeletNotReady", "NodeProblem Node/node-b: DockerHung", "NodeNotSchedulable Node/node-c: Cordoned")
	s.want("they are so still", s.tick(rollouts, now))
	s.wantSamples("rollspan_node_disruptions", "cause=Cordoned,node=node-c 1", "cause=Cordoned,node=node-z 1",
		"cause=KernelDeadlock,node=node-b 1", "cause=NotReady,node=node-a 1", "cause=Rebooted,node=node-d 1")
	s.wantSamples("rollspan_open_rollout_start_time_seconds", fmt.Sprintf("kind=Deployment,namespace=shop,workload=api %v", float64(rollouts[1].Since.Unix())),
		fmt.Sprintf("kind=Deployment,namespace=shop,workload=web %v", float64(rollouts[0].Since.Unix())))
	s.pass(TooLong)
	s.want("half an hour later", s.tick(rollouts, nil), "RolloutTooLong Deployment/web: InProgress")
	s.pass(TooLong)
	s.want("it is over", s.tick(nil, nil))
	s.wantSamples("rollspan_open_rollout_start_time_seconds")
	s.wantSamples("rollspan_node_disruptions")
	s.wantSamples("rollspan_alarms_total", "alarm=RollspanNodeNotReady 1", "alarm=RollspanNodeNotSchedulable 1", "alarm=RollspanNodeProblem 1", "alarm=RollspanRolloutTooLong 1")
}

func TestCrashLoop(t *testing.T) {
	s := newStory(t)
	pod := func(restarts int32, waits string) *corev1.Pod {
		p := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Namespace: "shop", Name: "web-1", UID: "w1"}}
		c := corev1.ContainerStatus{Name: "web", RestartCount: restarts}
		if waits != "" {
			c.State.Waiting = &corev1.ContainerStateWaiting{Reason: waits}
		}
		p.Status.ContainerStatuses = []corev1.ContainerStatus{c}
		return p
	}
	s.see(watch.Modified, pod(1, "CrashLoopBackOff"))
	s.see(watch.Modified, pod(5, "ImagePullBackOff"))
	s.want("it may have been an accident", s.tick(nil, nil))
	s.see(watch.Modified, pod(3, "CrashLoopBackOff"))
	s.want("the third", s.tick(nil, nil), "CrashLoop Pod/web-1: CrashLoopBackOff")
	s.wantSamples("rollspan_crash_loops", "container=web,namespace=shop,pod=web-1 1")
	s.see(watch.Modified, pod(4, ""))
	s.pass(loopsFor)
	s.want("it runs", s.tick(nil, nil))
	s.wantSamples("rollspan_crash_loops", "container=web,namespace=shop,pod=web-1 1")
	s.pass(time.Second)
	s.tick(nil, nil)
	s.wantSamples("rollspan_crash_loops")
	s.see(watch.Modified, pod(5, "CrashLoopBackOff"))
	s.want("it goes on, as was told", s.tick(nil, nil))
	s.see(watch.Deleted, pod(5, "CrashLoopBackOff"))
	s.tick(nil, nil)
	s.wantSamples("rollspan_crash_loops")

	// A process that goes on with a journal is told of what was on by that, and not by a list.
	s = newStory(t)
	s.watch.Known(causality.Observation{Time: s.now, Type: watch.Modified, Object: pod(3, "CrashLoopBackOff")})
	s.pass(time.Minute)
	s.see(watch.Modified, pod(4, "CrashLoopBackOff"))
	s.want("the process before has told it", s.tick(nil, nil))
	s.wantSamples("rollspan_crash_loops", "container=web,namespace=shop,pod=web-1 1")
	s.watch.Known(causality.Observation{Time: s.now, Type: watch.Deleted, Object: &metav1.PartialObjectMetadata{ObjectMeta: metav1.ObjectMeta{UID: "w1"}}})
	s.tick(nil, nil)
	s.wantSamples("rollspan_crash_loops")
}

// More alarms may be on than there is room for. What was told is not told again for that, whatever
// else comes and goes, and what there was no room for is counted.
func TestNoAlarmIsToldAgainForLackOfRoom(t *testing.T) {
	s := newStory(t)
	told := map[string]int{}
	for range 3 {
		for i := range maxActive + 100 {
			ev := s.event(fmt.Sprint("pods", i), 1, "Pod", "FailedCreatePodSandBox", "")
			ev.InvolvedObject.Name, ev.UID = fmt.Sprint("pod", i), types.UID(fmt.Sprint(s.now, i))
			s.see(watch.Added, ev)
			if i%maxPending == maxPending-1 || i == maxActive+99 {
				for _, a := range s.tick(nil, nil) {
					told[a]++
				}
			}
		}
		s.pass(5 * time.Minute)
	}
	for a, n := range told {
		if n > 1 {
			t.Fatalf("%s is told %d times", a, n)
		}
	}
	if len(told) != maxActive {
		t.Errorf("%d alarms are told, want %d", len(told), maxActive)
	}
	s.wantSamples("rollspan_alarms_untold_total", " 300")
}

// rollout is the trace of one that took so long.
func rollout(outcome string, took time.Duration, more ...attribute.KeyValue) spans.Trace {
	return spans.Trace{Spans: []spans.Span{{
		TraceID: trace.TraceID{1}, SpanID: trace.SpanID{2}, Start: noon, End: noon.Add(took),
		Resource: []attribute.KeyValue{attribute.String("k8s.namespace.name", "shop"), attribute.String("k8s.deployment.name", "web")},
		Attributes: append(more, attribute.String("rollspan.change", "rollout"),
			attribute.String("rollspan.outcome", outcome)),
	}}}
}

func TestRollouts(t *testing.T) {
	s := newStory(t)
	s.watch.Finished(rollout("failed", time.Minute, attribute.String("error.type", "ImagePullBackOff")))
	// It is told at once: the process may end before the next second.
	if len(s.began) != 1 || !s.began[0].TraceID.IsValid() || s.began[0].Workload != (Object{Kind: "Deployment", Namespace: "shop", Name: "web"}) {
		t.Errorf("there began %+v", s.began)
	}
	s.want("it failed", s.tick(nil, nil), "RolloutFailed Deployment/web: ImagePullBackOff")
	for _, step := range []struct {
		took time.Duration
		slow bool
	}{
		{90 * time.Second, false}, {10 * time.Second, false},
		{300 * time.Second, false}, // there are too few to compare it with
		{151 * time.Second, false}, // the median is 90 s
		{181 * time.Second, false}, // of 10, 90, 151, 300 it is 120.5 s
		{310 * time.Second, true},  // of 10, 90, 151, 181, 300 it is 151 s
		{20 * time.Second, false}, {20 * time.Second, false}, {20 * time.Second, false}, {20 * time.Second, false}, {20 * time.Second, false}, {20 * time.Second, false},
		{79 * time.Second, false}, // more than twice as long, and less than a minute
		{81 * time.Second, true},
	} {
		s.watch.Finished(rollout("complete", step.took))
		var want []string
		if step.slow {
			want = []string{"RolloutSlow Deployment/web: Slow"}
		}
		s.want(fmt.Sprint("it took ", step.took), s.tick(nil, nil), want...)
	}
	s.wantSamples("rollspan_slow_rollouts_total", "kind=Deployment,namespace=shop,workload=web 2")
	for i := range 2 * maxWorkloads {
		tr := rollout("complete", time.Second)
		tr.Spans[0].Resource[1] = attribute.String("k8s.deployment.name", fmt.Sprint("w", i))
		s.watch.Finished(tr)
	}
	if n := len(s.watch.slow); n > maxWorkloads {
		t.Errorf("%d workloads are remembered", n)
	}
}

// What comes once, as a ReplicaSet that no Deployment has, is compared with no other. If it fails it is named.
func TestRolloutsThatComeOnce(t *testing.T) {
	s := newStory(t)
	for kind, key := range map[string]string{"ReplicaSet": "k8s.replicaset.name", "ReplicationController": "k8s.replicationcontroller.name"} {
		once := func(name, outcome string, took time.Duration) {
			tr := rollout(outcome, took)
			tr.Spans[0].Resource[1] = attribute.String(key, name)
			s.watch.Finished(tr)
		}
		for i := range 2 * fewest {
			once(fmt.Sprint("web-", i), "complete", time.Second)
		}
		once("migrate-1", "complete", 10*time.Minute)
		s.want("one of another took longer", s.tick(nil, nil))
		once("web-9", "failed", time.Minute)
		if len(s.began) != 1 || s.began[0].Workload != (Object{Kind: kind, Namespace: "shop", Name: "web-9"}) || s.began[0].Object != s.began[0].Workload {
			t.Errorf("there began %+v", s.began)
		}
		s.began = nil
	}
	if all := s.samples("rollspan_slow_rollouts_total"); len(all) > 0 || len(s.watch.slow) > 0 {
		t.Errorf("there are %q, and %d workloads are remembered", all, len(s.watch.slow))
	}
}

// The names are those that rules, dashboards and documentation know.
func TestNames(t *testing.T) {
	for name, severity := range Names() {
		if !strings.HasPrefix(name, "Rollspan") || severity != Warning && severity != Critical {
			t.Errorf("%s is %q", name, severity)
		}
	}
	if n := len(slices.Collect(maps.Keys(Names()))); n != len(eventAlarms)+len(severities) {
		t.Errorf("%d names", n)
	}
}

// Whoever may write Events in a namespace can name any node there. That raises no alarm about the
// node, and is counted apart from what the kubelet says. What says so in kube-system does.
func TestATenantRaisesNoAlarmAboutANode(t *testing.T) {
	s := newStory(t)
	forged := s.event("forged", 1, "Node", "Rebooted", "Node node-a has been rebooted")
	forged.Namespace, forged.InvolvedObject.Namespace = "shop", "shop"
	s.see(watch.Added, forged)
	s.want("a tenant says so", s.tick(nil, nil))
	s.wantSamples("rollspan_events_total", "kind=Node,namespace=shop,reason=Rebooted,type=Warning 1")
	said := s.event("said", 1, "Node", "TaskHung", "task jbd2/sda1 blocked for more than 120 seconds")
	said.Namespace, said.InvolvedObject.Namespace = "kube-system", "kube-system"
	s.see(watch.Added, said)
	s.want("node-problem-detector says so", s.tick(nil, nil), "NodeTaskHung Node/node-a: TaskHung")
	s.wantSamples("rollspan_events_total", "kind=Node,namespace=,reason=TaskHung,type=Warning 1", "kind=Node,namespace=shop,reason=Rebooted,type=Warning 1")
}

// The API server lets an Event that has an eventTime refer to any namespace, and whoever may write Events in
// one may do so. What he says counts where he says it.
func TestATenantRaisesNoAlarmAboutAnotherNamespace(t *testing.T) {
	s := newStory(t)
	for i := range 20 {
		forged := s.event(fmt.Sprint("forged", i), 1, "Pod", "BackOff", "Back-off restarting failed container")
		forged.Namespace, forged.InvolvedObject.Namespace, forged.InvolvedObject.Name = "tenant", "kube-system", "coredns-7c65d6cfc9-abcde"
		s.see(watch.Added, forged)
	}
	said := s.event("said", 1, "Namespace", "Whatever", "")
	said.Namespace, said.InvolvedObject.Namespace = "tenant", ""
	s.see(watch.Added, said)
	s.watch.Tick(s.now, nil, nil, nil)
	for _, a := range s.began {
		if a.Object.Namespace != "tenant" {
			t.Errorf("%s about %s in %s", a.Name, a.Object.Name, a.Object.Namespace)
		}
	}
	s.wantSamples("rollspan_events_total", "kind=Namespace,namespace=tenant,reason=Whatever,type=Warning 1", "kind=Pod,namespace=tenant,reason=BackOff,type=Warning 20")
}

// Namespaces come and go with names of their own, as those of pull requests do, until there are too many
// series. What says then for the first time that a node is in trouble is told apart.
func TestAlarmsAboutNodesHaveRoom(t *testing.T) {
	s := newStory(t)
	for i := range 5000 {
		for kind, reasons := range map[string][]string{"Pod": {"Scheduled", "BackOff"}, fmt.Sprint("Kind", i%100): {"BackOff", "SuccessfulCreate"}} {
			for _, reason := range reasons {
				ev := s.event(fmt.Sprint(kind, reason, i), 1, kind, reason, "")
				ev.Namespace, ev.InvolvedObject.Namespace = fmt.Sprint("pr-", i), fmt.Sprint("pr-", i)
				s.see(watch.Added, ev)
			}
		}
	}
	s.see(watch.Added, s.event("oom", 1, "Node", "SystemOOM", ""))
	all := s.samples("rollspan_events_total")
	if want := "kind=Node,namespace=,reason=SystemOOM,type=Warning 1"; !slices.Contains(all, want) {
		t.Errorf("there is no %s", want)
	}
	pods := 0
	for _, sample := range all {
		if strings.HasPrefix(sample, "kind=Pod,namespace=pr-") && strings.Contains(sample, "BackOff") {
			pods++
		}
	}
	if pods < 1900 || len(all) > 4800 {
		t.Errorf("%d of 5000 namespaces have a series of what alarms go by; there are %d", pods, len(all))
	}
}
