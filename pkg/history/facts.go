package history

import (
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	semconv "go.opentelemetry.io/otel/semconv/v1.43.0"

	"github.com/rollspan/rollspan/pkg/spans"
	"github.com/rollspan/rollspan/pkg/spans/attr"
	"github.com/rollspan/rollspan/pkg/spans/kind"
)

// facts are what an Overview wants of the spans of a change.
type facts struct {
	Pods   []podFact   `json:",omitempty"`
	Events []eventFact `json:",omitempty"`
}

// podFact is what a span tells of a pod.
type podFact struct {
	Namespace, Name, UID, Node     string
	Created, Ready, Stopping, Gone time.Time
	Failed                         bool
	Reason                         string
}

// eventFact is an Event, or several of the same at one time.
type eventFact struct {
	At      time.Time
	Reason  string
	Warning bool
	Count   int
}

// factsOf reads spans.
func factsOf(list []spans.Span) *facts {
	f := &facts{}
	for i := range list {
		s := &list[i]
		f.pod(s)
		for j := range s.Events {
			f.event(&s.Events[j])
		}
	}
	return f
}

func (f *facts) add(o *facts) {
	f.Pods = append(f.Pods, o.Pods...)
	f.Events = append(f.Events, o.Events...)
}

// pod reads the life of a pod: when it was created and removed is told by different spans, and
// mostly by different changes.
func (f *facts) pod(s *spans.Span) {
	p := podFact{
		Namespace: s.Text(semconv.K8SNamespaceNameKey), Name: s.Text(semconv.K8SPodNameKey),
		UID: s.Text(semconv.K8SPodUIDKey), Node: s.Text(semconv.K8SNodeNameKey),
		Failed: s.Status == codes.Error, Reason: s.Text(semconv.ErrorTypeKey),
	}
	switch s.Kind {
	case kind.PodStart, kind.PodRun:
		p.Created = s.Start
		if !p.Failed && s.Text(attr.CutShortKey) == "" {
			p.Ready = s.End
		}
	case kind.PodRecovery:
		if !p.Failed {
			p.Ready = s.End
		}
	case kind.PodStop:
		p.Stopping, p.Gone = s.Start, s.End
	default:
		return
	}
	if p.Name != "" {
		f.Pods = append(f.Pods, p)
	}
}

func (f *facts) event(e *spans.Event) {
	fact := eventFact{At: e.Time, Count: 1}
	var last time.Time
	var total int64 = 1
	for _, kv := range e.Attributes {
		switch kv.Key {
		case attr.K8SEventReasonKey:
			fact.Reason = kv.Value.AsString()
		case attr.K8SEventTypeKey:
			fact.Warning = kv.Value.AsString() == "Warning"
		case attr.K8SEventCountKey:
			if kv.Value.Type() == attribute.INT64 {
				total = kv.Value.AsInt64()
			}
		case attr.K8SEventLastTimeKey:
			last, _ = time.Parse(time.RFC3339Nano, kv.Value.AsString()) // else it is zero, which says nothing
		}
	}
	if fact.Reason == "" {
		return // it is no Event of Kubernetes
	}
	f.Events = append(f.Events, fact)
	if total > 1 && !last.IsZero() {
		fact.At, fact.Count = last, int(total-1)
		f.Events = append(f.Events, fact)
	}
}
