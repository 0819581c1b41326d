package causality_test

import (
	"slices"
	"strings"
	"testing"

	"go.opentelemetry.io/otel/attribute"
	semconv "go.opentelemetry.io/otel/semconv/v1.43.0"
	"go.opentelemetry.io/otel/trace"
	tracepb "go.opentelemetry.io/proto/otlp/trace/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/rollspan/rollspan/pkg/causality"
	"github.com/rollspan/rollspan/pkg/otlp"
	"github.com/rollspan/rollspan/pkg/spans"
	"github.com/rollspan/rollspan/pkg/spans/attr"
	"github.com/rollspan/rollspan/pkg/spans/kind"
)

// resourceLaws runs a law over what each recording gives, and over what all scenarios do. Log records
// are among that.
func resourceLaws(t *testing.T, law func(t *testing.T, traces []spans.Trace)) {
	t.Helper()
	options := watching
	options.Records = func(*corev1.Event) bool { return true }
	forEachRecording(t, func(t *testing.T, obs []causality.Observation) { law(t, replayWith(options, obs)) })
	var all []spans.Trace
	runScenarios(t, causality.Options{Records: options.Records}, func(traces []spans.Trace) { all = append(all, traces...) })
	law(t, all)
}

// ofPod are the kinds of spans that are about a pod, or a part of it.
func ofPod(k kind.Kind) bool {
	return k >= kind.PodStart || k == kind.PodRun || k == kind.PodReplacement || k == kind.ContainerRestart
}

// ofContainer are those that are about a container each.
func ofContainer(k kind.Kind) bool {
	switch k {
	case kind.InitContainer, kind.Container, kind.PullImage, kind.StartContainer, kind.RunContainer,
		kind.BackOff, kind.StopContainer, kind.ContainerRestart:
		return true
	}
	return false
}

// What describes an object is in the Resource of the spans about it, and nowhere else; and
// what is about a pod or a container says about which.
func TestLawResourceIsTheObject(t *testing.T) {
	resourceLaws(t, func(t *testing.T, traces []spans.Trace) {
		for _, s := range allSpans(traces) {
			seen := map[attribute.Key]bool{}
			for _, kv := range s.Resource {
				if seen[kv.Key] || !attr.OfObject(kv.Key) {
					t.Errorf("%s %s: the Resource has %s, which is there twice, or describes no object", s.Name, s.Subject, kv.Key)
				}
				seen[kv.Key] = true
			}
			for _, kv := range s.Attributes {
				// An autoscaler takes part in a scale that is about another object.
				scaler := kv.Key == semconv.K8SHPANameKey || kv.Key == semconv.K8SHPAUIDKey
				if seen[kv.Key] || attr.OfObject(kv.Key) && !scaler {
					t.Errorf("%s %s: %s is an attribute, and is in the Resource, or describes an object", s.Name, s.Subject, kv.Key)
				}
				seen[kv.Key] = true
			}
			pod, container := textOf(s.Resource, semconv.K8SPodUIDKey), textOf(s.Resource, semconv.K8SContainerNameKey)
			if ofPod(s.Kind) && pod == "" {
				t.Errorf("%s %s: the Resource has no pod", s.Name, s.Subject)
			}
			if strings.HasPrefix(s.Subject, "pod/") != (pod != "") && !strings.HasPrefix(s.Subject, "persistentvolumeclaim/") && s.Kind != kind.Activity && s.Kind != kind.Disrupted {
				t.Errorf("%s %s: the Resource has the pod %q", s.Name, s.Subject, pod)
			}
			if _, name, _ := strings.Cut(s.Subject, "/"); (s.Kind == kind.Activity || s.Kind == kind.LateEvents) && !isNamed(s.Resource, name) {
				t.Errorf("%s %s: the Resource does not name it: %v", s.Name, s.Subject, s.Resource)
			}
			if _, name, _ := strings.Cut(s.Subject, " container/"); name != container || ofContainer(s.Kind) && name == "" {
				t.Errorf("%s %s: the Resource has the container %q", s.Name, s.Subject, container)
			}
		}
	})
}

// isNamed reports whether one of the attributes is a name of an object.
func isNamed(attrs []attribute.KeyValue, name string) bool {
	return slices.ContainsFunc(attrs, func(kv attribute.KeyValue) bool {
		return strings.HasSuffix(string(kv.Key), ".name") && kv.Key != semconv.K8SNamespaceNameKey && kv.Value.AsString() == name
	})
}

// Spans of one trace with the same Resource have it in the same memory.
func TestLawResourcesAreShared(t *testing.T) {
	resourceLaws(t, func(t *testing.T, traces []spans.Trace) {
		for _, tr := range traces {
			known := map[attribute.Distinct]*attribute.KeyValue{}
			for _, s := range tr.Spans {
				if len(s.Resource) == 0 {
					continue
				}
				set := attribute.NewSet(s.Resource...)
				first := &s.Resource[0]
				if other := known[set.Equivalent()]; other != nil && other != first {
					t.Errorf("%s %s: the Resource is a copy", s.Name, s.Subject)
				}
				known[set.Equivalent()] = first
			}
		}
	})
}

// A root is a SERVER span, and so is what another component does than its parent's,
// whether or not that was handed out with it. The rest is INTERNAL.
func TestLawSpanKinds(t *testing.T) {
	resourceLaws(t, func(t *testing.T, traces []spans.Trace) {
		type id struct {
			trace trace.TraceID
			span  trace.SpanID
		}
		services := map[id]string{}
		for _, s := range allSpans(traces) {
			services[id{s.TraceID, s.SpanID}] = s.Service
		}
		for _, tr := range traces {
			for i, s := range tr.Spans {
				want := trace.SpanKindInternal
				above, known := services[id{s.TraceID, s.ParentID}]
				if i == 0 && !tr.Late || known && above != s.Service {
					want = trace.SpanKindServer
				} else if !known && s.Kind != kind.InProgress {
					t.Errorf("%s %s: its parent is nowhere", s.Name, s.Subject)
				}
				if s.SpanKind != want {
					t.Errorf("%s %s of %s, below %s, is a span of the kind %s, want %s", s.Name, s.Subject, s.Service, above, s.SpanKind, want)
				}
			}
		}
	})
}

// Each Resource that is sent begins with the service, and no two of one request are the same.
func TestLawResourcesAsSent(t *testing.T) {
	encoder, err := otlp.NewEncoder(otlp.Options{ClusterName: "test"})
	if err != nil {
		t.Fatal(err)
	}
	resourceLaws(t, func(t *testing.T, traces []spans.Trace) {
		seen := map[string]bool{}
		n := 0
		for _, rs := range encoder.Encode(traces) {
			attrs := rs.GetResource().GetAttributes()
			if attrs[0].GetKey() != "service.name" || attrs[0].GetValue().GetStringValue() == "" {
				t.Errorf("a Resource has no service: %v", attrs)
			}
			keys := map[string]bool{}
			for _, kv := range attrs {
				if keys[kv.GetKey()] {
					t.Errorf("a Resource has %s twice", kv.GetKey())
				}
				keys[kv.GetKey()] = true
			}
			if seen[rs.GetResource().String()] {
				t.Errorf("a Resource is there twice: %v", attrs)
			}
			seen[rs.GetResource().String()] = true
			for _, s := range rs.GetScopeSpans()[0].GetSpans() {
				n++
				if k := s.GetKind(); k != tracepb.Span_SPAN_KIND_INTERNAL && k != tracepb.Span_SPAN_KIND_SERVER {
					t.Errorf("%s is sent as %s", s.GetName(), k)
				}
			}
		}
		if n != len(allSpans(traces)) {
			t.Errorf("%d spans are sent of %d", n, len(allSpans(traces)))
		}
	})
}

// What is about a pod says whose the pod is and on which node, as far as that was seen: who
// looks for all of a workload, or of a node, finds it.
func TestLawPodsSayWhoseTheyAre(t *testing.T) {
	seen := map[kind.Kind]int{}
	forEachStory(t, func(t *testing.T, obs []causality.Observation) {
		known, names := map[string]bool{}, map[string]string{}
		owners, placed := map[string]attribute.KeyValue{}, map[string]string{}
		for _, o := range obs {
			m, ok := o.Object.(metav1.Object)
			if !ok {
				continue
			}
			keys := ownersOfWorkloads
			if pod, ok := o.Object.(*corev1.Pod); ok {
				keys = ownersOfPods
				if node := pod.Spec.NodeName; node != "" {
					placed[string(pod.UID)] = node
				}
			}
			if name, has := names[string(m.GetUID())]; has && name != m.GetNamespace()+"/"+m.GetName() {
				return // somebody made up a UID: what is whose is not to be told by them
			}
			known[string(m.GetUID())], names[string(m.GetUID())] = true, m.GetNamespace()+"/"+m.GetName()
			if owner := metav1.GetControllerOf(m); owner != nil && keys[owner.Kind] != "" {
				owners[string(m.GetUID())] = keys[owner.Kind].String(string(owner.UID))
			}
		}
		for _, s := range allSpans(replayWith(watching, obs)) {
			uid := textOf(s.Resource, semconv.K8SPodUIDKey)
			if uid == "" {
				continue
			}
			seen[s.Kind]++
			for owner := owners[uid]; known[owner.Value.AsString()]; owner = owners[owner.Value.AsString()] {
				if got := textOf(s.Resource, owner.Key); got != owner.Value.AsString() {
					t.Errorf("%s %s: %s is %s, and its Resource says %q", s.Name, s.Subject, owner.Key, owner.Value.AsString(), got)
				}
			}
			node := textOf(s.Resource, semconv.K8SNodeNameKey)
			if early := s.Kind == kind.InProgress && node == ""; placed[uid] != "" && node != placed[uid] && !early {
				t.Errorf("%s %s: the pod is on the node %q, and its Resource says %q", s.Name, s.Subject, placed[uid], node)
			}
		}
	})
	for _, k := range []kind.Kind{kind.PodStart, kind.PodReplacement, kind.Delete, kind.InProgress, kind.Activity, kind.LateEvents} {
		if seen[k] == 0 {
			t.Errorf("no %s is about a pod: nothing was tested", k)
		}
	}
}

// Who may own a pod, and who may own that, by the attributes for their UIDs.
var (
	ownersOfPods = map[string]attribute.Key{
		"ReplicaSet": semconv.K8SReplicaSetUIDKey, "StatefulSet": semconv.K8SStatefulSetUIDKey, "DaemonSet": semconv.K8SDaemonSetUIDKey,
		"Job": semconv.K8SJobUIDKey, "ReplicationController": semconv.K8SReplicationControllerUIDKey,
	}
	ownersOfWorkloads = map[string]attribute.Key{
		"Deployment": semconv.K8SDeploymentUIDKey, "CronJob": semconv.K8SCronJobUIDKey, "Rollout": attr.ObjectUIDKey,
	}
)
