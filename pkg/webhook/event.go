package webhook

import (
	"encoding/hex"
	"encoding/json"
	"fmt"
	"net/url"
	"slices"
	"strings"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	semconv "go.opentelemetry.io/otel/semconv/v1.43.0"
	"go.opentelemetry.io/otel/trace"
	commonpb "go.opentelemetry.io/proto/otlp/common/v1"

	"github.com/rollspan/rollspan/pkg/alarms"
	"github.com/rollspan/rollspan/pkg/otlp"
	"github.com/rollspan/rollspan/pkg/spans"
	"github.com/rollspan/rollspan/pkg/spans/attr"
	"github.com/rollspan/rollspan/pkg/spans/traceurl"
)

// The types of events. What they mean does not change; what would mean something else gets
// another type.
const (
	TypeChange = "io.rollspan.change.finished"
	TypeAlarm  = "io.rollspan.alarm.begun"
)

// cloudEvent is an event in CloudEvents' structured mode (CloudEvents 1.0.2, JSON Event Format).
type cloudEvent struct {
	SpecVersion string `json:"specversion"`
	// ID is the same whenever, and by whichever process, the event is told.
	ID     string `json:"id"`
	Source string `json:"source"`
	Type   string `json:"type"`
	// Subject is the object, as "shop/deployment/web".
	Subject         string    `json:"subject,omitempty"`
	Time            time.Time `json:"time"`
	DataContentType string    `json:"datacontenttype"`
	// TraceParent is the extension "Distributed Tracing": the span that the event tells of.
	TraceParent string `json:"traceparent,omitempty"`
	Data        any    `json:"data"`
}

// Object is a Kubernetes object.
type Object struct {
	Kind      string `json:"kind"`
	Namespace string `json:"namespace,omitempty"`
	Name      string `json:"name"`
	UID       string `json:"uid,omitempty"`
}

// common is what the data of all events have.
type common struct {
	// Objects are what it is about, what it is named after first.
	Objects []Object `json:"objects"`
	// Resource has the attributes of the trace's Resource.
	Resource map[string]any `json:"resource"`
	// Environment is the same for a program that is started with it.
	Environment map[string]string `json:"environment"`
	TraceID     string            `json:"traceId,omitempty"`
	SpanID      string            `json:"spanId,omitempty"`
	TraceURL    string            `json:"traceUrl,omitempty"`
}

// changeData is the data of a TypeChange.
type changeData struct {
	Change  attr.Change  `json:"change"`
	Outcome attr.Outcome `json:"outcome"`
	// Failed says that the change's span is an error: see docs/metrics.md.
	Failed bool `json:"failed"`
	// Cause is why there was a change, Reason and Message why it failed.
	Cause    string    `json:"cause,omitempty"`
	Reason   string    `json:"reason,omitempty"`
	Message  string    `json:"message,omitempty"`
	Revision int64     `json:"revision,omitempty"`
	Start    time.Time `json:"start"`
	End      time.Time `json:"end"`
	Seconds  float64   `json:"durationSeconds"`
	// CriticalPath is the phase that had most of it; nil where there is none.
	CriticalPath *phase `json:"criticalPath,omitempty"`
	common
}

type phase struct {
	Phase   attr.Phase `json:"phase"`
	Seconds float64    `json:"durationSeconds"`
}

// alarmData is the data of a TypeAlarm.
type alarmData struct {
	Alarm    string          `json:"alarm"`
	Severity alarms.Severity `json:"severity"`
	Reason   string          `json:"reason,omitempty"`
	Message  string          `json:"message,omitempty"`
	Since    time.Time       `json:"since"`
	Count    int             `json:"count,omitempty"`
	Node     string          `json:"node,omitempty"`
	common
}

// Teller makes events. It is immutable, and may be used by many goroutines.
type Teller struct {
	// Encoder has the Resource of what is told.
	Encoder *otlp.Encoder
	// ClusterUID and ClusterName say where events come from. Either may be empty.
	ClusterUID, ClusterName string
	// TraceURL makes the links to traces.
	TraceURL traceurl.Template
}

// source is where events come from: together with the ID it is unique.
func (t *Teller) source() string {
	switch {
	case t.ClusterUID != "":
		return "/rollspan/clusters/" + url.PathEscape(t.ClusterUID)
	case t.ClusterName != "":
		return "/rollspan/clusters/" + url.PathEscape(t.ClusterName)
	}
	return "/rollspan"
}

// finished is the event of a trace that tells of a change which is over; ok is false for
// others: bursts of Events, and what comes before or after the root.
func (t *Teller) finished(tr *spans.Trace) (e cloudEvent, s facts, ok bool) {
	root := tr.Root()
	if root == nil || tr.Late {
		return cloudEvent{}, facts{}, false
	}
	d := changeData{
		Change: attr.Change(text(root, attr.ChangeKey)), Outcome: attr.Outcome(text(root, attr.OutcomeKey)),
		Failed: root.Status == codes.Error,
		Cause:  text(root, attr.CauseKey), Reason: text(root, semconv.ErrorTypeKey), Message: spans.Cut(root.Message),
		Start: root.Start.UTC(), End: root.End.UTC(), Seconds: root.End.Sub(root.Start).Seconds(),
		CriticalPath: biggest(root),
	}
	if d.Change == "" || d.Change == attr.ChangeActivity || d.Outcome == "" || d.Outcome == attr.OutcomeOpen {
		return cloudEvent{}, facts{}, false
	}
	if revision, ok := root.Attribute(attr.RevisionKey); ok && revision.Type() == attribute.INT64 {
		d.Revision = revision.AsInt64()
	}
	d.Objects = objectsOf(root)
	d.common = t.about(d.Objects, root)
	e = t.event(TypeChange, root.TraceID.String()+"-"+root.SpanID.String(), subject(d.Objects, root.Subject), root.End, root)
	e.Data = d
	return e, facts{
		fieldType: "change", fieldNamespace: namespaceOf(d.Objects), fieldKind: kindOf(d.Objects),
		fieldChange: string(d.Change), fieldOutcome: string(d.Outcome), fieldReason: d.Reason,
	}, true
}

// begun is the event of an alarm.
func (t *Teller) begun(a *alarms.Alarm) (cloudEvent, facts) {
	d := alarmData{
		Alarm: a.Name, Severity: a.Severity, Reason: a.Reason, Message: a.Message,
		Since: a.Since.UTC(), Count: a.Count, Node: a.Node,
	}
	for _, o := range []alarms.Object{a.Object, a.Workload} {
		if o.Name != "" && (len(d.Objects) == 0 || o != a.Object) {
			d.Objects = append(d.Objects, Object(o))
		}
	}
	// As a span about it would be; its service is whoever has written the Event, which an
	// alarm does not say.
	about := &spans.Span{TraceID: a.TraceID, SpanID: a.SpanID, Service: attr.ServiceUnknown, Resource: a.Resource, Start: a.Since, End: a.Since}
	d.common = t.about(d.Objects, about)
	// The trace may not be known yet, so what an alarm is makes its ID.
	id := spans.NewTraceID("alarm", a.Name, a.Object.Kind, a.Object.Namespace, a.Object.Name, a.Object.UID, a.Since.UTC().Format(time.RFC3339Nano))
	object := ""
	if a.Object.Kind != "" {
		object = strings.ToLower(a.Object.Kind) + "/" + a.Object.Name
	}
	e := t.event(TypeAlarm, hex.EncodeToString(id[:]), subject(d.Objects, object), a.Since, about)
	e.Data = d
	return e, facts{
		fieldType: "alarm", fieldNamespace: a.Object.Namespace, fieldKind: a.Object.Kind, fieldAlarm: a.Name, fieldReason: a.Reason,
	}
}

func (t *Teller) event(kind, id, subject string, at time.Time, about *spans.Span) cloudEvent {
	e := cloudEvent{
		SpecVersion: "1.0", ID: id, Source: t.source(), Type: kind, Subject: subject,
		Time: at.UTC(), DataContentType: "application/json",
	}
	if about.TraceID.IsValid() && about.SpanID.IsValid() {
		e.TraceParent = "00-" + about.TraceID.String() + "-" + about.SpanID.String() + "-" + trace.FlagsSampled.String()
	}
	return e
}

// about is what all events say of their objects and their traces.
func (t *Teller) about(objects []Object, s *spans.Span) common {
	c := common{Objects: objects, Resource: map[string]any{}, TraceURL: t.TraceURL.Of(s)}
	if c.Objects == nil {
		c.Objects = []Object{}
	}
	if s.TraceID.IsValid() {
		c.TraceID = s.TraceID.String()
	}
	if s.SpanID.IsValid() {
		c.SpanID = s.SpanID.String()
	}
	resource := t.Encoder.ResourceOf(s)
	for _, kv := range resource {
		c.Resource[kv.GetKey()] = plain(kv.GetValue())
	}
	c.Environment = map[string]string{"OTEL_RESOURCE_ATTRIBUTES": environment(resource)}
	return c
}

// plain is a value as JSON has it.
func plain(v *commonpb.AnyValue) any {
	switch v := v.GetValue().(type) {
	case *commonpb.AnyValue_StringValue:
		return v.StringValue
	case *commonpb.AnyValue_BoolValue:
		return v.BoolValue
	case *commonpb.AnyValue_IntValue:
		return v.IntValue
	case *commonpb.AnyValue_DoubleValue:
		return v.DoubleValue
	case *commonpb.AnyValue_BytesValue:
		return v.BytesValue
	case *commonpb.AnyValue_ArrayValue:
		list := make([]any, len(v.ArrayValue.GetValues()))
		for i, one := range v.ArrayValue.GetValues() {
			list[i] = plain(one)
		}
		return list
	case *commonpb.AnyValue_KvlistValue:
		list := map[string]any{}
		for _, kv := range v.KvlistValue.GetValues() {
			list[kv.GetKey()] = plain(kv.GetValue())
		}
		return list
	}
	return nil
}

// environment is a Resource as the variable OTEL_RESOURCE_ATTRIBUTES has it (OpenTelemetry
// specification, Resource SDK, "Specifying resource information via an environment variable"):
// key=value,key=value, percent-encoded, where all values are texts.
func environment(resource []*commonpb.KeyValue) string {
	last := map[string]int{}
	for i, kv := range resource {
		last[kv.GetKey()] = i
	}
	var b strings.Builder
	for i, kv := range resource {
		if last[kv.GetKey()] != i {
			continue
		}
		value := plain(kv.GetValue())
		words, isText := value.(string)
		if !isText {
			encoded, err := json.Marshal(value)
			if err != nil { // of a number that is none
				continue
			}
			words = string(encoded)
		}
		if b.Len() > 0 {
			b.WriteByte(',')
		}
		percentEncode(&b, kv.GetKey())
		b.WriteByte('=')
		percentEncode(&b, words)
	}
	return b.String()
}

// percentEncode leaves the characters that a value of W3C Baggage has (baggage-octet), but for
// those that mean something here.
func percentEncode(b *strings.Builder, s string) {
	for i := range len(s) {
		switch c := s[i]; {
		case c <= ' ' || c >= 0x7f || strings.IndexByte("\",;\\=%", c) >= 0:
			fmt.Fprintf(b, "%%%02X", c)
		default:
			b.WriteByte(c)
		}
	}
}

// biggest is the phase that had most of the critical path.
func biggest(root *spans.Span) *phase {
	var most *phase
	for p, seconds := range attr.PhasesOf(root.Attributes) {
		if most == nil || seconds > most.Seconds {
			most = &phase{p, seconds}
		}
	}
	return most
}

// kinds are the objects that the Resource of a span may have. What is made by one further up
// comes below it: a span about a pod has the pod, and the workload that it belongs to.
var kinds = []struct {
	kind      string
	name, uid attribute.Key
}{
	{"Deployment", semconv.K8SDeploymentNameKey, semconv.K8SDeploymentUIDKey},
	{"StatefulSet", semconv.K8SStatefulSetNameKey, semconv.K8SStatefulSetUIDKey},
	{"DaemonSet", semconv.K8SDaemonSetNameKey, semconv.K8SDaemonSetUIDKey},
	{"ReplicationController", semconv.K8SReplicationControllerNameKey, semconv.K8SReplicationControllerUIDKey},
	{"CronJob", semconv.K8SCronJobNameKey, semconv.K8SCronJobUIDKey},
	{"ReplicaSet", semconv.K8SReplicaSetNameKey, semconv.K8SReplicaSetUIDKey},
	{"Job", semconv.K8SJobNameKey, semconv.K8SJobUIDKey},
	{"Pod", semconv.K8SPodNameKey, semconv.K8SPodUIDKey},
	{"PersistentVolumeClaim", semconv.K8SPersistentvolumeclaimNameKey, semconv.K8SPersistentvolumeclaimUIDKey},
	{"Node", semconv.K8SNodeNameKey, semconv.K8SNodeUIDKey},
}

// objectsOf are the objects that a span names, from its workload down.
func objectsOf(s *spans.Span) (list []Object) {
	namespace := text(s, semconv.K8SNamespaceNameKey)
	if kind := text(s, attr.ObjectKindKey); kind != "" {
		list = append(list, Object{kind, namespace, text(s, attr.ObjectNameKey), text(s, attr.ObjectUIDKey)})
	}
	for _, k := range kinds {
		if name := text(s, k.name); name != "" {
			o := Object{k.kind, namespace, name, text(s, k.uid)}
			if k.kind == "Node" {
				o.Namespace = ""
			}
			list = append(list, o)
		}
	}
	return list
}

func text(s *spans.Span, key attribute.Key) string { return spans.Cut(s.Text(key)) }

func namespaceOf(objects []Object) string {
	if len(objects) == 0 {
		return ""
	}
	return objects[0].Namespace
}

// kindOf is the kind of the object that has changed. The run of a CronJob's Job is one of the Job: the CronJob
// itself has changed where no Job is named.
func kindOf(objects []Object) string {
	if len(objects) == 0 {
		return ""
	}
	kind := objects[0].Kind
	if kind == "CronJob" && slices.ContainsFunc(objects, func(o Object) bool { return o.Kind == "Job" }) {
		return "Job"
	}
	return kind
}

// subject is an object as kubectl would name it, behind its namespace.
func subject(objects []Object, object string) string {
	if namespace := namespaceOf(objects); namespace != "" {
		object = namespace + "/" + object
	}
	return strings.ToValidUTF8(spans.Cut(object), "\uFFFD")
}
