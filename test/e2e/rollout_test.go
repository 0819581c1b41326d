package e2e

import (
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"

	"github.com/rollspan/rollspan/test/controlplane/kubelet"
)

func TestCreated(t *testing.T) {
	t.Parallel()
	s := newSpace(t)
	asked := time.Now()
	d := s.create(app{
		replicas: 2, probe: true, migrate: true,
		life: map[string]string{"pull.web": "2s", "boot.web": "3s", "init": "3s"},
	})
	s.complete(1)
	events := s.events()
	trace := s.rollout(1)
	done := time.Now()

	const pod = `
		    Pod start
		      schedule
		      prepare sandbox
		      init container
		        pull image
		        start container
		        run container
		      container
		        pull image
		        start container
		      become ready
		        readiness probe`
	s.outlined(trace, `
		Deployment rollout
		  ReplicaSet scale up 0-2`+pod+pod)
	r := trace.Root()
	if sent, err := s.collector.Trace(t.Context(), trace.ID); err != nil || sent.Root().Name != "Deployment rollout "+s.name+"/"+appName {
		t.Errorf("the root is named %q, %v", sent.Root().Name, err)
	}
	s.has(r, map[string]any{
		"k8s.deployment.name":    appName,
		"k8s.deployment.uid":     d.UID,
		"rollspan.change":        "rollout",
		"rollspan.outcome":       "complete",
		"rollspan.revision":      1,
		"rollspan.cause":         "create",
		"rollspan.manager.name":  creator,
		"rollspan.images.before": nil,
		"rollspan.images.after":  []any{s.image("migrate"), s.image("1")},
		"rollspan.pods.wanted":   2,
		"rollspan.pods.ready":    2,
	})
	if r.Status.Code != 0 || len(r.Links) != 0 {
		t.Errorf("the root has status %+v and links %v", r.Status, r.Links)
	}
	s.within("the start", r.Start, asked.Truncate(time.Second), d.CreationTimestamp.Add(time.Second), 0)
	// The pull, the run of the init container and the boot take eight seconds, of
	// which the first and the last may be stated by their beginnings.
	s.within("the end", r.End, asked.Add(7*time.Second), done, 0)
	for _, ready := range named(trace, "become ready") {
		s.lasts(ready, 3*time.Second)
	}
	for _, run := range named(trace, "run container") {
		s.has(run, map[string]any{"process.exit.code": 0, "k8s.container.name": "migrate"})
		s.lasts(run, 3*time.Second)
	}
	s.pullsAsTheKubeletSays(trace.ID, events)
	s.eventsOnce(events, trace)
	s.hasItsPods(trace.ID, s.pods("1"))
}

var pulledMessage = regexp.MustCompile(`^Successfully pulled image ".*" in \S+ \((\S+) including waiting\)`)

// pullsAsTheKubeletSays compares pulls with what the kubelet says of them: how long
// they took, and when its Events are from.
func (s *space) pullsAsTheKubeletSays(traceID string, events []corev1.Event) {
	s.t.Helper()
	trace, err := s.whole(s.t.Context(), traceID)
	if err != nil {
		s.t.Fatal(err)
	}
	compared := 0
	for _, ev := range events {
		m := pulledMessage.FindStringSubmatch(ev.Message)
		if ev.Reason != "Pulled" || m == nil {
			continue
		}
		says, err := time.ParseDuration(m[1])
		if err != nil {
			s.t.Fatal(err)
		}
		for _, pull := range named(&trace, "pull image") {
			path := fmt.Sprintf("{%v}", pull.Resource["k8s.container.name"])
			if pull.Resource["k8s.pod.uid"] != string(ev.InvolvedObject.UID) || !strings.HasSuffix(ev.InvolvedObject.FieldPath, path) {
				continue
			}
			compared++
			// The Events are made before and after what the kubelet measures.
			if took := pull.End.Sub(pull.Start); took < says-time.Millisecond {
				s.t.Errorf("%s %s: pulling took %s, the kubelet says %s", ev.InvolvedObject.Name, path, took, says)
			}
			begun := slices.IndexFunc(events, func(b corev1.Event) bool {
				return b.Reason == "Pulling" && b.InvolvedObject.UID == ev.InvolvedObject.UID && b.InvolvedObject.FieldPath == ev.InvolvedObject.FieldPath
			})
			if begun < 0 {
				s.t.Fatalf("%s %s was pulled, and no Event says that it was begun", ev.InvolvedObject.Name, path)
			}
			for what, of := range map[string]struct {
				at     time.Time
				stated corev1.Event
			}{"the beginning": {pull.Start, events[begun]}, "the end": {pull.End, ev}} {
				stated := of.stated.LastTimestamp.Time
				s.within(what+" of a pull for "+ev.InvolvedObject.Name, of.at, stated, stated.Add(time.Second), grain)
			}
		}
	}
	if want := len(named(&trace, "pull image")); compared != want || want == 0 {
		s.t.Errorf("of %d pulls %d were compared with the kubelet's figures", want, compared)
	}
}

// hasItsPods compares the starts with what the pods themselves say.
func (s *space) hasItsPods(traceID string, pods []corev1.Pod) {
	s.t.Helper()
	trace, err := s.whole(s.t.Context(), traceID)
	if err != nil {
		s.t.Fatal(err)
	}
	starts := named(&trace, "Pod start")
	if len(starts) != len(pods) {
		s.t.Errorf("%d pods and %d starts", len(pods), len(starts))
	}
	for _, p := range pods {
		i := slices.IndexFunc(pods, func(q corev1.Pod) bool { return q.UID == p.UID })
		for _, sp := range starts {
			if sp.Resource["k8s.pod.uid"] != string(p.UID) {
				continue
			}
			i = -1
			s.has(sp, map[string]any{"k8s.pod.name": p.Name, "k8s.node.name": p.Spec.NodeName})
			s.within("the start of "+p.Name, sp.Start, p.CreationTimestamp.Time, p.CreationTimestamp.Add(time.Second), 0)
			for _, c := range p.Status.Conditions {
				if c.Type == corev1.PodReady && c.Status == corev1.ConditionTrue {
					s.within("Ready of "+p.Name, sp.End, c.LastTransitionTime.Time, c.LastTransitionTime.Add(time.Second), 50*time.Millisecond)
				}
			}
		}
		if i >= 0 {
			s.t.Errorf("pod %s has no start", p.Name)
		}
	}
}

func TestUpdated(t *testing.T) {
	t.Parallel()
	s := newSpace(t)
	s.create(app{replicas: 2, life: map[string]string{"stop": "3s"}})
	s.complete(1)
	s.update("2")
	s.complete(2)
	first, second := s.rollout(1), s.rollout(2)
	if first.ID == second.ID {
		t.Errorf("both revisions have the trace %s", first.ID)
	}
	const up = `
		    Pod start
		      schedule
		      prepare sandbox
		      container
		        pull image
		        start container
		      become ready`
	s.outlined(second, `
		Deployment rollout
		  ReplicaSet scale up 0-1`+up+`
		  ReplicaSet scale down 2-1
		    Pod stop
		      stop container
		  ReplicaSet scale up 1-2`+up+`
		  ReplicaSet scale down 1-0
		    Pod stop
		      stop container`)
	s.has(second.Root(), map[string]any{
		"rollspan.change":        "rollout",
		"rollspan.outcome":       "complete",
		"rollspan.revision":      2,
		"rollspan.cause":         "template",
		"rollspan.manager.name":  "kubectl-set",
		"rollspan.images.before": []any{s.image("1")},
		"rollspan.images.after":  []any{s.image("2")},
		"rollspan.pods.wanted":   2,
		"rollspan.pods.ready":    2,
	})
	if links := second.Root().Links; len(links) != 0 {
		t.Errorf("an update of a settled Deployment has links %v", links)
	}
	for _, stop := range named(second, "Pod stop") {
		s.has(stop, map[string]any{"rollspan.grace_period.duration": 30})
		s.lasts(stop, 3*time.Second)
	}
	s.hasItsPods(second.ID, s.pods("2"))
}

func TestBrokenImage(t *testing.T) {
	t.Parallel()
	s := newSpace(t)
	s.create(app{replicas: 2, life: map[string]string{"back-off": "1h"}})
	s.complete(1)
	s.update("nope")
	s.stuck("nope", "ImagePullBackOff")
	s.setDeadline(shortDeadline)
	failed := s.rollout(2)
	s.outlined(failed, `
		Deployment rollout ERROR
		  ReplicaSet scale up 0-1
		    Pod start ERROR
		      schedule
		      prepare sandbox
		      container ERROR
		        pull image ERROR
		        back off`)
	s.has(failed.Root(), map[string]any{
		"rollspan.outcome": "failed", "rollspan.cause": "template",
		"error.type": "ImagePullBackOff", "rollspan.pods.wanted": 2, "rollspan.pods.ready": 0,
	})
	want := fmt.Sprintf("1 of 1 new pods: ImagePullBackOff: %s: not found (progress deadline of %ds exceeded)", s.image("nope"), shortDeadline)
	if got := failed.Root().Status.Message; got != want {
		t.Errorf("the root says\n%q, want\n%q", got, want)
	}
	s.has(s.only(failed, "Pod start"), map[string]any{"error.type": "ImagePullBackOff"})
	s.has(s.only(failed, "pull image"), map[string]any{"error.type": "ErrImagePull"})
	s.has(s.only(failed, "back off"), map[string]any{"rollspan.waiting.reason": "ImagePullBackOff"})
	s.lasts(failed.Root(), shortDeadline*time.Second)
	s.deployment("its deadline exceeded", func(d *appsv1.Deployment) bool {
		i := slices.IndexFunc(d.Status.Conditions, func(c appsv1.DeploymentCondition) bool {
			return c.Type == appsv1.DeploymentProgressing && c.Reason == "ProgressDeadlineExceeded"
		})
		if i < 0 {
			return false
		}
		exceeded := d.Status.Conditions[i].LastTransitionTime.Time
		s.within("the end of a rollout that failed", failed.Root().End, exceeded, exceeded.Add(time.Second), 0)
		return true
	})

	s.setDeadline(longDeadline)
	s.update("2")
	s.complete(3)
	fixed := s.rollout(3)
	s.has(fixed.Root(), map[string]any{"rollspan.outcome": "complete", "rollspan.images.before": []any{s.image("nope")}})
	s.eventually("the pod that never was ready stops in the next rollout", func() error {
		trace, err := s.whole(t.Context(), fixed.ID)
		if err != nil {
			return err
		}
		if stops := len(named(&trace, "Pod stop")); stops != 3 {
			return fmt.Errorf("%d pods stop, want 3", stops)
		}
		return nil
	})
}

func TestRolledBack(t *testing.T) {
	t.Parallel()
	s := newSpace(t)
	s.create(app{})
	s.complete(1)
	s.update("2")
	s.complete(2)
	s.kubectlRun("rollout", "undo", "deployment/"+appName)
	s.complete(3)
	first, back := s.rollout(1), s.rollout(3)
	s.has(back.Root(), map[string]any{
		"rollspan.outcome":           "complete",
		"rollspan.cause":             "rollback",
		"rollspan.rollback.revision": 1,
		"rollspan.images.before":     []any{s.image("2")},
		"rollspan.images.after":      []any{s.image("1")},
	})
	s.links(back, "rolls_back", first)
	if up := s.only(back, "ReplicaSet scale up"); up.Resource["k8s.replicaset.uid"] != s.only(first, "ReplicaSet scale up").Resource["k8s.replicaset.uid"] {
		t.Error("the rollback does not scale up the first revision's ReplicaSet")
	}
}

func TestRestarted(t *testing.T) {
	t.Parallel()
	s := newSpace(t)
	s.create(app{})
	s.complete(1)
	s.kubectlRun("rollout", "restart", "deployment/"+appName)
	s.complete(2)
	s.has(s.rollout(2).Root(), map[string]any{
		"rollspan.outcome": "complete", "rollspan.cause": "restart", "rollspan.manager.name": "kubectl-rollout",
	})
}

func TestSuperseded(t *testing.T) {
	t.Parallel()
	s := newSpace(t)
	s.create(app{replicas: 2, probe: true})
	s.complete(1)
	s.updateBooting("2", "1h")
	s.somePod("2", "is there", func(corev1.Pod) bool { return true })
	s.updateBooting("3", "0s")
	s.complete(3)
	second, third := s.rollout(2), s.rollout(3)
	s.has(second.Root(), map[string]any{"rollspan.outcome": "superseded"})
	s.has(third.Root(), map[string]any{"rollspan.outcome": "complete", "rollspan.images.before": []any{s.image("2")}})
	s.links(second, "superseded_by", third)
	s.links(third, "supersedes", second)
	if second.Root().Status.Code != 0 {
		t.Errorf("to be superseded is no error: %+v", second.Root().Status)
	}
	if !second.Root().End.Equal(third.Root().Start) {
		t.Errorf("the second rollout ends at %s, the third begins at %s", second.Root().End, third.Root().Start)
	}
	// The pod of the second revision began in its rollout and is stopped by
	// the next one.
	if n := len(named(second, "Pod start")); n != 1 {
		t.Errorf("the second rollout has %d starts, want 1", n)
	}
	if n := len(named(third, "Pod stop")); n != 3 {
		t.Errorf("the third rollout has %d stops, want 3", n)
	}
}

// updateBooting gives the Deployment another image, of an app that takes as long to
// boot.
func (s *space) updateBooting(tag, boot string) {
	s.t.Helper()
	s.kubectlRun("patch", "deployment/"+appName, "--patch", fmt.Sprintf(
		`{"spec":{"template":{"metadata":{"annotations":{%q:%q}},"spec":{"containers":[{"name":%q,"image":%q}]}}}}`,
		kubelet.Prefix+"boot", boot, container, s.image(tag)))
}

func TestScaled(t *testing.T) {
	t.Parallel()
	s := newSpace(t)
	s.create(app{})
	s.complete(1)
	s.rollout(1) // handed out: the scale is a change of its own
	s.kubectlRun("scale", "deployment/"+appName, "--replicas=3")
	s.complete(1)
	up := s.trace("Deployment scale", "rollspan.scale.to", int64(3))
	s.has(up.Root(), map[string]any{
		"rollspan.change": "scale", "rollspan.outcome": "complete", "rollspan.cause": "scale",
		"rollspan.manager.name": "kubectl", "rollspan.scale.from": 1,
		"rollspan.pods.wanted": 3, "rollspan.pods.ready": 3,
	})
	if n := len(named(up, "Pod start")); n != 2 || s.only(up, "ReplicaSet scale up") == nil {
		t.Errorf("scaling from 1 to 3 has %d starts", n)
	}
	s.kubectlRun("scale", "deployment/"+appName, "--replicas=1")
	down := s.trace("Deployment scale", "rollspan.scale.to", int64(1))
	s.outlined(down, `
		Deployment scale
		  ReplicaSet scale down 3-1
		    Pod stop
		      stop container
		    Pod stop
		      stop container`)
	s.has(down.Root(), map[string]any{"rollspan.outcome": "complete", "rollspan.scale.from": 3})
}

func TestDeleted(t *testing.T) {
	t.Parallel()
	s := newSpace(t)
	d := s.create(app{replicas: 2, life: map[string]string{"stop": "3s"}})
	s.complete(1)
	asked := time.Now()
	s.kubectlRun("delete", "deployment/"+appName)
	trace := s.trace("Deployment delete", "k8s.deployment.uid", string(d.UID))
	s.outlined(trace, `
		Deployment delete
		  Pod stop
		    stop container
		  Pod stop
		    stop container`)
	s.has(trace.Root(), map[string]any{"rollspan.change": "delete", "rollspan.outcome": "complete"})
	s.within("the start", trace.Root().Start, asked.Truncate(time.Second), time.Now(), 0)
	last := time.Time{}
	for _, stop := range named(trace, "Pod stop") {
		if stop.End.After(last) {
			last = stop.End
		}
		s.lasts(stop, 3*time.Second)
	}
	if !trace.Root().End.Equal(last) {
		t.Errorf("the deletion ends at %s, its last pod at %s", trace.Root().End, last)
	}
}

func TestMinReadySeconds(t *testing.T) {
	t.Parallel()
	s := newSpace(t)
	s.create(app{minReady: 3})
	s.complete(1)
	trace := s.rollout(1)
	wait, ready := s.only(trace, "min ready wait"), s.only(trace, "become ready")
	if !wait.Start.Equal(ready.End) {
		t.Errorf("the wait begins at %s, the pod was ready at %s", wait.Start, ready.End)
	}
	s.lasts(wait, 3*time.Second)
	if wait.End.After(trace.Root().End) {
		t.Errorf("the wait ends %s after the rollout", wait.End.Sub(trace.Root().End))
	}
}

func TestPausedAndResumed(t *testing.T) {
	t.Parallel()
	s := newSpace(t)
	s.create(app{probe: true, life: map[string]string{"boot": "1s"}})
	s.complete(1)
	s.kubectlRun("rollout", "pause", "deployment/"+appName)
	asked := time.Now()
	s.update("2")
	written := time.Now()
	s.deployment("paused, and seen so", func(d *appsv1.Deployment) bool {
		return d.Spec.Paused && d.Status.ObservedGeneration >= d.Generation
	})
	if n := len(s.pods("2")); n != 0 {
		t.Fatalf("a paused Deployment started %d pods", n)
	}
	resumed := time.Now()
	s.kubectlRun("rollout", "resume", "deployment/"+appName)
	s.complete(2)
	done := time.Now()
	trace := s.rollout(2)
	s.has(trace.Root(), map[string]any{"rollspan.outcome": "complete", "rollspan.manager.name": "kubectl-set"})
	paused := s.only(trace, "paused")
	if !paused.Start.Equal(trace.Root().Start) {
		t.Errorf("it was paused from %s, and written at %s", paused.Start, trace.Root().Start)
	}
	s.within("the write", trace.Root().Start, asked.Truncate(time.Second), written.Add(time.Second), 0)
	s.within("the resumption", paused.End, resumed, done, time.Second)
	if up := s.only(trace, "ReplicaSet scale up"); up.Start.Before(paused.End) {
		t.Errorf("a pod was asked for %s before the Deployment was resumed", paused.End.Sub(up.Start))
	}
}

// TestServicesAndMetrics asks for what people look at first: the list of
// services, and the program's own counters.
func TestServicesAndMetrics(t *testing.T) {
	t.Parallel()
	s := newSpace(t)
	s.create(app{})
	s.complete(1)
	s.rollout(1)
	services, err := s.jaeger.Services(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{deploymentCtl, replicaSetCtl, schedulerName, kubeletName} {
		if !slices.Contains(services, want) {
			t.Errorf("the services are %v, without %s", services, want)
		}
	}
	s.eventually("the program's own account of what it sent", func() error {
		// Jaeger has a span before the program is told so.
		if sent := s.metric(`rollspan_exported_spans_total{outcome="sent"}`); sent < 7 {
			return fmt.Errorf("%v spans", sent)
		}
		return nil
	})
	if dropped := s.metric(`rollspan_exported_spans_total{outcome="queue_full"}`); dropped != 0 {
		t.Errorf("%v spans were dropped", dropped)
	}
}

// metric is a sample that the common rollspan shows to Prometheus.
func (s *space) metric(sample string) float64 {
	s.t.Helper()
	v, ok := s.metricIfAny(sample)
	if !ok {
		s.t.Fatalf("there is no sample %s", sample)
	}
	return v
}

// metricIfAny is one that there need not be yet.
func (s *space) metricIfAny(sample string) (v float64, ok bool) {
	s.t.Helper()
	for line := range strings.Lines(s.get(s.metrics)) {
		if rest, ok := strings.CutPrefix(line, sample+" "); ok {
			v, err := strconv.ParseFloat(strings.TrimSpace(rest), 64)
			if err != nil {
				s.t.Fatalf("%s: %v", line, err)
			}
			return v, true
		}
	}
	return 0, false
}
