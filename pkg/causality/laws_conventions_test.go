package causality_test

import (
	"slices"
	"strings"
	"testing"

	"go.opentelemetry.io/otel/attribute"
	semconv "go.opentelemetry.io/otel/semconv/v1.43.0"
	corev1 "k8s.io/api/core/v1"

	"github.com/rollspan/rollspan/pkg/causality"
	"github.com/rollspan/rollspan/pkg/spans"
)

// TestLawKeysNestByTheirDots: no key is on a span or a log record twice, and none is also the namespace
// of another.
func TestLawKeysNestByTheirDots(t *testing.T) {
	used := map[attribute.Key]bool{"service.name": true, "k8s.cluster.name": true, "k8s.cluster.uid": true}
	records := 0
	once := func(t *testing.T, of string, kvs []attribute.KeyValue) {
		t.Helper()
		have := map[attribute.Key]bool{}
		for _, kv := range kvs {
			if have[kv.Key] {
				t.Errorf("%s has %s twice", of, kv.Key)
			}
			have[kv.Key], used[kv.Key] = true, true
		}
	}
	resourceLaws(t, func(t *testing.T, traces []spans.Trace) {
		for _, tr := range traces {
			for _, s := range tr.Spans {
				once(t, s.Name+" "+s.Subject, said(s))
				for _, ev := range s.Events {
					once(t, ev.Name, ev.Attributes)
				}
				for _, l := range s.Links {
					once(t, s.Name+"'s link", l.Attributes)
				}
			}
			if r := tr.Record; r != nil {
				records++
				once(t, "the record of "+r.Reason+" of "+r.Subject, slices.Concat(r.Resource, r.Attributes))
			}
		}
	})
	if records == 0 {
		t.Error("there was no log record")
	}
	for key := range used {
		for other := range used {
			if strings.HasPrefix(string(other), string(key)+".") {
				t.Errorf("%s is the namespace of %s", key, other)
			}
		}
	}
}

// TestLawDeploymentsAreRollouts: what the conventions call a deployment is a rollout, and
// each has an ID of its own that says of what it is the which.
func TestLawDeploymentsAreRollouts(t *testing.T) {
	statuses := map[string]int{}
	forEachStory(t, func(t *testing.T, obs []causality.Observation) {
		had := map[string]bool{}
		for _, s := range allSpans(replay(obs)) {
			id, is := s.Attribute(semconv.DeploymentIDKey)
			if is != (change(s) == "rollout") {
				t.Errorf("%s %s is a deployment: %t", s.Name, s.Subject, is)
			}
			if !is {
				continue
			}
			uid := ""
			for _, kv := range said(s) {
				if strings.HasSuffix(string(kv.Key), ".uid") && strings.HasPrefix(id.AsString(), kv.Value.AsString()+"/") {
					uid = kv.Value.AsString()
				}
			}
			if uid == "" || had[id.AsString()] {
				t.Errorf("%s %s has the ID %s, which is no workload's, or there before", s.Name, s.Subject, id.AsString())
			}
			had[id.AsString()] = true
			if !strings.HasSuffix(s.Subject, "/"+value(s, semconv.DeploymentNameKey).AsString()) {
				t.Errorf("%s %s is of %s", s.Name, s.Subject, value(s, semconv.DeploymentNameKey).AsString())
			}
			status := value(s, semconv.DeploymentStatusKey).AsString()
			want := map[string]string{"complete": "succeeded", "failed": "failed"}[value(s, "rollspan.outcome").AsString()]
			if status != want {
				t.Errorf("%s %s is %s, and %q as a deployment", s.Name, s.Subject, value(s, "rollspan.outcome").AsString(), status)
			}
			statuses[status]++
		}
	})
	if statuses["succeeded"] == 0 || statuses["failed"] == 0 || statuses[""] == 0 {
		t.Errorf("deployments are %v: not all was tested", statuses)
	}
}

// containerFacts are what the statuses of pods say of a container, by its pod's UID and
// its name.
type containerFacts struct{ ids, reasons, digests []string }

func containersOf(obs []causality.Observation) map[string]*containerFacts {
	facts := map[string]*containerFacts{}
	for _, o := range obs {
		pod, ok := o.Object.(*corev1.Pod)
		if !ok {
			continue
		}
		for _, s := range slices.Concat(pod.Status.InitContainerStatuses, pod.Status.ContainerStatuses) {
			key := string(pod.UID) + "/" + s.Name
			if facts[key] == nil {
				facts[key] = &containerFacts{}
			}
			f := facts[key]
			f.ids, f.digests = append(f.ids, s.ContainerID), append(f.digests, s.ImageID)
			for _, state := range []corev1.ContainerState{s.State, s.LastTerminationState} {
				if t := state.Terminated; t != nil {
					f.ids, f.reasons = append(f.ids, t.ContainerID), append(f.reasons, t.Reason)
				}
				if w := state.Waiting; w != nil {
					f.reasons = append(f.reasons, w.Reason)
				}
			}
		}
	}
	return facts
}

// TestLawContainersAreJoinedByTheirIDs: what a span says of a container by the conventions
// is what a status of that container says, and where there was a run it says which.
func TestLawContainersAreJoinedByTheirIDs(t *testing.T) {
	seen := map[attribute.Key]int{}
	forEachRecording(t, func(t *testing.T, obs []causality.Observation) {
		facts := containersOf(obs)
		for _, s := range allSpans(replay(obs)) {
			f := facts[value(s, semconv.K8SPodUIDKey).AsString()+"/"+value(s, semconv.K8SContainerNameKey).AsString()]
			if f == nil {
				f = &containerFacts{}
			}
			id, has := s.Attribute(semconv.ContainerIDKey)
			if has && !slices.ContainsFunc(f.ids, func(stated string) bool { return strings.HasSuffix(stated, "://"+id.AsString()) }) {
				t.Errorf("%s %s is of the container %s, which no status has", s.Name, s.Subject, id.AsString())
			}
			if _, ended := s.Attribute(semconv.ProcessExitCodeKey); ended && !has {
				t.Errorf("%s %s says how a container ended, and not which", s.Name, s.Subject)
			}
			if reason, has := s.Attribute(semconv.K8SContainerStatusReasonKey); has && s.Name != "back off" && !slices.Contains(f.reasons, reason.AsString()) {
				t.Errorf("%s %s has the reason %s, which no status has", s.Name, s.Subject, reason.AsString())
			}
			for _, digest := range value(s, semconv.ContainerImageRepoDigestsKey).AsStringSlice() {
				if !slices.ContainsFunc(f.digests, func(stated string) bool { return strings.HasSuffix(stated, digest) }) || !strings.Contains(digest, "@sha256:") {
					t.Errorf("%s %s has the digest %s, which no status has", s.Name, s.Subject, digest)
				}
			}
			for _, kv := range said(s) {
				seen[kv.Key]++
			}
		}
	})
	for _, key := range []attribute.Key{semconv.ContainerIDKey, semconv.K8SContainerStatusReasonKey, semconv.ContainerImageRepoDigestsKey} {
		if seen[key] == 0 {
			t.Errorf("no recording has %s: nothing was tested", key)
		}
	}
}

// TestLawStatesAreThoseOfTheAPI: the reason of a pod and the condition of a node are those
// that the object states.
func TestLawStatesAreThoseOfTheAPI(t *testing.T) {
	pods, nodes := 0, 0
	law := func(t *testing.T, obs []causality.Observation) {
		stated := map[string]bool{}
		for _, o := range obs {
			switch in := o.Object.(type) {
			case *corev1.Pod:
				stated["pod/"+in.Name+" "+in.Status.Reason] = true
			case *corev1.Node:
				for _, c := range in.Status.Conditions {
					stated[in.Name+" "+string(c.Type)+" "+strings.ToLower(string(c.Status))] = true
				}
			}
		}
		for _, s := range allSpans(replay(obs)) {
			if reason, has := s.Attribute(semconv.K8SPodStatusReasonKey); has {
				pods++
				if !stated[s.Subject+" "+reason.AsString()] {
					t.Errorf("%s %s has the reason %s, which no status has", s.Name, s.Subject, reason.AsString())
				}
			}
			kind, is := s.Attribute(semconv.K8SNodeConditionTypeKey)
			if _, has := s.Attribute("rollspan.condition.reason"); has && !is {
				t.Errorf("%s %s has the reason of a condition, and no condition", s.Name, s.Subject)
			}
			if is {
				nodes++
				if what := kind.AsString() + " " + value(s, semconv.K8SNodeConditionStatusKey).AsString(); !stated[value(s, semconv.K8SNodeNameKey).AsString()+" "+what] {
					t.Errorf("%s %s is about the condition %s, which the Node does not have", s.Name, s.Subject, what)
				}
			}
		}
	}
	forEachRecording(t, law)
	forEachScenario(t, law)
	if pods == 0 || nodes == 0 {
		t.Errorf("%d spans have the reason of a pod, and %d a condition: nothing was tested", pods, nodes)
	}
}
