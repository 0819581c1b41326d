package metrics

import (
	"slices"
	"time"

	"go.opentelemetry.io/otel/attribute"
	semconv "go.opentelemetry.io/otel/semconv/v1.43.0"

	"github.com/rollspan/rollspan/pkg/spans"
	"github.com/rollspan/rollspan/pkg/spans/attr"
)

// change is what a root span says of its change.
type change struct {
	namespace string
	// kind is the workload's, or Node, and name its name; workload is the same, but
	// the CronJob's for a Job, and empty for what does not last.
	kind, workload, name string
	change               attr.Change
	outcome              attr.Outcome
	// reason is why it failed; empty if it did not.
	reason  string
	seconds float64
	// phases are the seconds that each phase had of the critical path, in the
	// order of the span's attributes.
	phases []phase
}

type phase struct {
	phase   attr.Phase
	seconds float64
}

// readChange reads the root span of a change that is over; of other spans it
// returns false. A burst of Events is none either: it has no work whose duration would
// mean anything, and its objects may be of any kind. Neither does every root lack a parent (a deployer's span may be
// its parent), nor is every first span of a trace a root.
func readChange(s *spans.Span) (change, bool) {
	c := change{
		change: attr.Change(s.Text(attr.ChangeKey)), outcome: attr.Outcome(s.Text(attr.OutcomeKey)),
		namespace: s.Text(semconv.K8SNamespaceNameKey), reason: s.Text(semconv.ErrorTypeKey),
		seconds: s.End.Sub(s.Start).Seconds(),
	}
	if c.change == "" || c.change == attr.ChangeActivity || c.outcome == attr.OutcomeOpen {
		return change{}, false
	}
	c.kind, c.workload, c.name = subject(s)
	for p, seconds := range attr.PhasesOf(s.Attributes) {
		c.phases = append(c.phases, phase{p, seconds})
	}
	return c, true
}

// kinds are what a change can be of. What is made by one further up comes below
// it: the root of a restart names the pod and the workload, for example.
var kinds = []struct {
	kind string
	name attribute.Key
	// lasts says that there are not ever more names as time goes by.
	lasts bool
}{
	{"Deployment", semconv.K8SDeploymentNameKey, true},
	{"StatefulSet", semconv.K8SStatefulSetNameKey, true},
	{"DaemonSet", semconv.K8SDaemonSetNameKey, true},
	{"ReplicationController", semconv.K8SReplicationControllerNameKey, false}, // OpenShift makes one for each rollout
	{"ReplicaSet", semconv.K8SReplicaSetNameKey, false},
	{"Job", semconv.K8SJobNameKey, false},
	{"CronJob", semconv.K8SCronJobNameKey, true},
	{"Pod", semconv.K8SPodNameKey, false},
	{"Node", semconv.K8SNodeNameKey, true},
}

// customKinds are those that the semantic conventions have no attributes for.
var customKinds = []string{"Rollout"}

// subject is what a root's change is of. A Job's run goes by the name of the
// CronJob, which is the same for each run.
func subject(s *spans.Span) (kind, workload, name string) {
	if kind := s.Text(attr.ObjectKindKey); slices.Contains(customKinds, kind) {
		name := s.Text(attr.ObjectNameKey)
		return kind, name, name
	}
	for _, k := range kinds {
		name := s.Text(k.name)
		switch {
		case name == "":
			continue
		case k.lasts:
			return k.kind, name, name
		}
		return k.kind, s.Text(semconv.K8SCronJobNameKey), name
	}
	return other, "", ""
}

// Change is what a root span says of a change that is over.
type Change struct {
	// Namespace, Kind and Workload are as the labels of metrics have them.
	Namespace, Kind, Workload string
	// Name is that of the object, also where it has no label as it comes once.
	Name    string
	Change  attr.Change
	Outcome attr.Outcome
	// Reason is why it failed; empty if it did not.
	Reason string
	Took   time.Duration
}

// ReadChange reads the root span of a change that is over; of other spans it returns false.
func ReadChange(s *spans.Span) (Change, bool) {
	c, ok := readChange(s)
	return Change{c.namespace, c.kind, c.workload, c.name, c.change, c.outcome, c.reason, s.End.Sub(s.Start)}, ok
}
