package progress

import (
	"slices"

	"go.opentelemetry.io/otel/attribute"
	semconv "go.opentelemetry.io/otel/semconv/v1.43.0"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"

	"github.com/rollspan/rollspan/pkg/spans"
	"github.com/rollspan/rollspan/pkg/spans/attr"
	"github.com/rollspan/rollspan/pkg/spans/kind"
)

// The kinds of workloads whose rollouts have an end, and of who makes them.
const (
	kindDeployment  = "Deployment"
	kindStatefulSet = "StatefulSet"
	kindDaemonSet   = "DaemonSet"
	kindJob         = "Job"
	kindCronJob     = "CronJob" // it has Jobs that can
)

// nameKeys are the attributes that have the name of a workload, by its kind. The conventions have
// none for a Rollout.
var nameKeys = map[string]attribute.Key{
	kindDeployment:  semconv.K8SDeploymentNameKey,
	kindStatefulSet: semconv.K8SStatefulSetNameKey,
	kindDaemonSet:   semconv.K8SDaemonSetNameKey,
	kindJob:         semconv.K8SJobNameKey,
}

// Kinds are the kinds of workloads that can be followed.
func Kinds() []string {
	return []string{kindDeployment, kindStatefulSet, kindDaemonSet, kindJob, kindRollout}
}

// Target is the workload that is followed.
type Target struct{ Kind, Namespace, Name string }

// Follows reports whether a kind can be followed.
func Follows(kind string) bool { return slices.Contains(Kinds(), kind) }

// is reports whether an object is the target.
func (t Target) is(o runtime.Object) bool {
	m, ok := o.(metav1.Object)
	k := o.GetObjectKind().GroupVersionKind()
	return ok && m.GetName() == t.Name && m.GetNamespace() == t.Namespace && k.Kind == t.Kind && (t.Kind != kindRollout || isArgoRollout(k))
}

// change reports whether a trace is that of a rollout of the target; of a Job it is its run.
func (t Target) change(trace *spans.Trace) bool {
	root := trace.Root()
	wanted := kind.Rollout
	if t.Kind == kindJob {
		wanted = kind.JobRun
	}
	return root != nil && !trace.Late && root.Kind == wanted && !slices.ContainsFunc(t.Attributes(), func(a attribute.KeyValue) bool {
		return root.Text(a.Key) != a.Value.AsString()
	})
}

// Attributes name the target as the spans of its changes do.
func (t Target) Attributes() []attribute.KeyValue {
	namespace := semconv.K8SNamespaceName(t.Namespace)
	if key, ok := nameKeys[t.Kind]; ok {
		return []attribute.KeyValue{namespace, key.String(t.Name)}
	}
	return []attribute.KeyValue{namespace, attr.ObjectKindKey.String(t.Kind), attr.ObjectNameKey.String(t.Name)}
}
