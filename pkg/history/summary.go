package history

import (
	"cmp"
	"slices"
	"strings"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	semconv "go.opentelemetry.io/otel/semconv/v1.43.0"

	"github.com/rollspan/rollspan/pkg/spans"
	"github.com/rollspan/rollspan/pkg/spans/attr"
	"github.com/rollspan/rollspan/pkg/spans/kind"
)

// Summary is what a list says of a change.
type Summary struct {
	ID ID
	// Title is the name of the root: "Deployment rollout".
	Title  string
	Change attr.Change
	// Namespace, Kind and Name are those of the object that changed: "shop", "Deployment",
	// "web". Of the restart of a container, of a pod's replacement, and of an activity of Events
	// about what a workload has, it is the workload.
	Namespace, Kind, Name string
	// Owner is the name of the CronJob of a Job, and empty otherwise.
	Owner string
	// Subject names what the root is about, as kubectl would: "pod/web-0 container/web".
	Subject string
	// Revision is the number of a rollout; zero if it has none.
	Revision int64
	// Cause is why there was a change: "template".
	Cause string
	// Outcome is how it ended; attr.OutcomeOpen if it has not.
	Outcome attr.Outcome
	// Reason is the word for why it failed, or why it waits: "ImagePullBackOff".
	Reason string
	// Message says the same as a sentence; of what is in progress it is what it waits for.
	Message string
	// Start and End are the root's. What is in progress has not ended: End is when it was
	// looked at.
	Start, End time.Time
	// Last is when the last of its spans ended, which may be after End.
	Last time.Time
	// Spans is how many there are, and Errors how many of them are errors.
	Spans, Errors int
	// Phases are what the critical path was spent on, the longest first.
	Phases []PhaseTime
	// Before is how long the completed rollout before took; zero if that is not known.
	Before time.Duration
	// SlowerBy says what took longer than then, if anything did.
	SlowerBy PhaseTime
}

// PhaseTime is a phase of a critical path, and how long it took.
type PhaseTime struct {
	Phase attr.Phase
	Took  time.Duration
}

// Open reports whether the change is in progress.
func (s *Summary) Open() bool { return s.Outcome == attr.OutcomeOpen }

// Took is how long the change took, or has taken so far.
func (s *Summary) Took() time.Duration { return s.End.Sub(s.Start) }

// Biggest is the phase that the critical path was spent on the most; zero without any.
func (s *Summary) Biggest() PhaseTime {
	if len(s.Phases) == 0 {
		return PhaseTime{}
	}
	return s.Phases[0]
}

// Object names the object that changed for people: "Deployment shop/web".
func (s *Summary) Object() string {
	name := s.Name
	if s.Namespace != "" {
		name = s.Namespace + "/" + name
	}
	return strings.TrimSpace(s.Kind + " " + name)
}

// summarize reads the spans of a change, of which the first is the root.
func summarize(list []spans.Span) Summary {
	root := &list[0]
	s := Summary{
		ID:    ID{root.TraceID, root.SpanID},
		Title: root.Name, Subject: root.Subject,
		Change:    attr.Change(root.Text(attr.ChangeKey)),
		Namespace: root.Text(semconv.K8SNamespaceNameKey),
		Cause:     root.Text(attr.CauseKey),
		Outcome:   attr.Outcome(root.Text(attr.OutcomeKey)),
		Reason:    cmp.Or(root.Text(semconv.ErrorTypeKey), root.Text(attr.WaitingReasonKey)),
		Message:   cmp.Or(root.Text(attr.WaitingForKey), root.Message),
		Start:     root.Start, End: root.End,
		Before:   seconds(root, attr.PreviousDurationKey),
		SlowerBy: PhaseTime{attr.Phase(root.Text(attr.SlowerPhaseKey)), seconds(root, attr.SlowerByKey)},
	}
	s.Kind, s.Name, s.Owner = object(root)
	if v, ok := root.Attribute(attr.RevisionKey); ok && v.Type() == attribute.INT64 {
		s.Revision = v.AsInt64()
	}
	for p, took := range attr.PhasesOf(root.Attributes) {
		s.Phases = append(s.Phases, PhaseTime{p, duration(took)})
	}
	slices.SortStableFunc(s.Phases, func(a, b PhaseTime) int { return cmp.Compare(b.Took, a.Took) })
	s.count(list)
	return s
}

// count adds spans that were told of the change.
func (s *Summary) count(list []spans.Span) {
	s.Spans += len(list)
	for i := range list {
		if list[i].End.After(s.Last) {
			s.Last = list[i].End
		}
		if list[i].Status == codes.Error {
			s.Errors++
		}
	}
}

func seconds(s *spans.Span, key attribute.Key) time.Duration {
	v, ok := s.Attribute(key)
	if !ok || v.Type() != attribute.FLOAT64 {
		return 0
	}
	return duration(v.AsFloat64())
}

func duration(seconds float64) time.Duration { return time.Duration(seconds * float64(time.Second)) }

// workloadKeys are the attributes that name what changed, by its kind. Where a root has several
// the first is meant: the root of a restart names the pod and the workload.
var workloadKeys = []struct {
	kind string
	name attribute.Key
}{
	{"Deployment", semconv.K8SDeploymentNameKey},
	{"StatefulSet", semconv.K8SStatefulSetNameKey},
	{"DaemonSet", semconv.K8SDaemonSetNameKey},
	{"ReplicationController", semconv.K8SReplicationControllerNameKey},
	{"ReplicaSet", semconv.K8SReplicaSetNameKey},
	{"Job", semconv.K8SJobNameKey},
	{"CronJob", semconv.K8SCronJobNameKey},
	{"HorizontalPodAutoscaler", semconv.K8SHPANameKey},
	{"PersistentVolumeClaim", semconv.K8SPersistentvolumeclaimNameKey},
	{"Pod", semconv.K8SPodNameKey},
	{"Node", semconv.K8SNodeNameKey},
}

// object is what a root's change is of, and the CronJob of a Job. A span about a pod of a custom
// resource has that as an object of its own, beside the pod.
func object(s *spans.Span) (objectKind, name, owner string) {
	if of := s.Text(attr.ObjectKindKey); of != "" {
		return of, s.Text(attr.ObjectNameKey), ""
	}
	if s.Kind == kind.NodeDisruption {
		return "Node", s.Text(semconv.K8SNodeNameKey), ""
	}
	for _, k := range workloadKeys {
		if name := s.Text(k.name); name != "" {
			if k.name == semconv.K8SJobNameKey {
				owner = s.Text(semconv.K8SCronJobNameKey)
			}
			return k.kind, name, owner
		}
	}
	return "", "", ""
}
