package ui

import (
	"context"
	"encoding/binary"
	"fmt"
	"sync"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	semconv "go.opentelemetry.io/otel/semconv/v1.43.0"
	"go.opentelemetry.io/otel/trace"

	"github.com/rollspan/rollspan/pkg/history"
	"github.com/rollspan/rollspan/pkg/spans"
	"github.com/rollspan/rollspan/pkg/spans/attr"
	"github.com/rollspan/rollspan/pkg/spans/kind"
)

// noon is when the made world begins. The page is asked an hour later.
var noon = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

func later() time.Time { return noon.Add(time.Hour) }

// made is a rollout that never was.
type made struct {
	number        byte
	namespace     string
	name          string
	revision      int
	at            time.Time
	outcome       attr.Outcome
	message       string
	pods          int
	pull          time.Duration
	image, before string
	// said is the message of each pull's Event.
	said string
	// supersedes is the number of another rollout that this one has a link to.
	supersedes byte
	extra      []attribute.KeyValue
}

func (m *made) traceID() trace.TraceID { return trace.TraceID{0xaa, m.number} }

func spanID(number byte, n int) (id trace.SpanID) {
	id[0] = number
	binary.BigEndian.PutUint32(id[4:], uint32(n))
	return id
}

// path is the address of the change.
func (m *made) path() string {
	return "/change/" + history.ID{Trace: m.traceID(), Root: spanID(m.number, 1)}.String()
}

// spans are those of the rollout: seven for each pod, a step, and the root.
func (m *made) trace() spans.Trace {
	n := 0
	var list []spans.Span
	last := time.Duration(m.pods-1) * 20 * time.Millisecond
	end := 2500*time.Millisecond + m.pull + last
	add := func(k kind.Kind, title, subject string, parent int, from, to time.Duration, attributes ...attribute.KeyValue) (int, *spans.Span) {
		n++
		s := spans.Span{
			TraceID: m.traceID(), SpanID: spanID(m.number, n), Kind: k, Name: title, Subject: subject, Service: "kubelet",
			Start: m.at.Add(from), End: m.at.Add(to), Attributes: attributes,
			Resource: []attribute.KeyValue{semconv.K8SNamespaceName(m.namespace), semconv.K8SDeploymentName(m.name)},
		}
		if parent > 0 {
			s.ParentID = spanID(m.number, parent)
		}
		list = append(list, s)
		return n, &list[len(list)-1]
	}
	lastPod := fmt.Sprintf("pod/%s-%d", m.name, m.pods-1)
	root, r := add(kind.Rollout, "Deployment rollout", "deployment/"+m.name, 0, 0, end,
		attr.ChangeKey.String(string(attr.ChangeRollout)), attr.OutcomeKey.String(string(m.outcome)), attr.RevisionKey.Int(m.revision),
		attr.CauseKey.String("template"), attr.ManagerNameKey.String("helm"), attr.PodsWantedKey.Int(m.pods), attr.PodsReadyKey.Int(m.pods),
		attr.ChangedFieldsKey.StringSlice([]string{"container/app image"}),
		attr.ImagesBeforeKey.StringSlice([]string{m.before}), attr.ImagesAfterKey.StringSlice([]string{m.image}))
	r.Attributes = append(r.Attributes, m.extra...)
	if m.outcome != attr.OutcomeOpen {
		r.Attributes = append(r.Attributes,
			attr.CriticalKey.Bool(true),
			attr.PhaseController.Key().Float64(0.5), attr.PhaseCreatePod.Key().Float64(last.Seconds()), attr.PhaseSchedule.Key().Float64(0.1),
			attr.PhasePrepareSandbox.Key().Float64(0.9), attr.PhasePullImage.Key().Float64(m.pull.Seconds()),
			attr.PhaseStartContainer.Key().Float64(0.5), attr.PhaseBecomeReady.Key().Float64(0.5),
			attr.CriticalPathSegmentsKey.StringSlice([]string{
				"0.500s controller deployment/" + m.name, fmt.Sprintf("%.3fs create pod replicaset/%s", last.Seconds(), m.name), "0.100s schedule " + lastPod, "0.900s prepare sandbox " + lastPod,
				fmt.Sprintf("%.3fs pull image %s container/app", m.pull.Seconds(), lastPod), "0.500s start container " + lastPod, "0.500s become ready " + lastPod,
			}))
	}
	r.Message = m.message
	if m.message != "" && m.outcome != attr.OutcomeOpen {
		r.Status = codes.Error
	}
	if m.supersedes > 0 {
		r.Links = []spans.Link{{
			TraceID: trace.TraceID{0xaa, m.supersedes}, SpanID: spanID(m.supersedes, 1),
			Attributes: []attribute.KeyValue{attr.LinkTypeKey.String(string(attr.LinkSupersedes))},
		}}
	}
	step, _ := add(kind.ScaleUp, "ReplicaSet scale up", "replicaset/"+m.name, root, 500*time.Millisecond, end, attr.CriticalKey.Bool(true))
	for i := range m.pods {
		critical := i == m.pods-1 && m.outcome != attr.OutcomeOpen
		pod := fmt.Sprintf("pod/%s-%d", m.name, i)
		at := 500*time.Millisecond + time.Duration(i)*20*time.Millisecond
		part := func(k kind.Kind, title, subject string, parent int, from, took time.Duration, more ...attribute.KeyValue) (int, *spans.Span) {
			if critical {
				more = append(more, attr.CriticalKey.Bool(true))
			}
			id, s := add(k, title, subject, parent, at+from, at+from+took, more...)
			s.Resource = append(s.Resource, semconv.K8SPodName(fmt.Sprintf("%s-%d", m.name, i)), semconv.K8SPodUID(fmt.Sprintf("%s-%d-%d", m.name, m.revision, i)),
				semconv.K8SNodeName(fmt.Sprintf("node-%c", 'a'+rune(i%3))))
			return id, s
		}
		start, _ := part(kind.PodStart, "Pod start", pod, step, 0, 2*time.Second+m.pull)
		_, s := part(kind.Schedule, "schedule", pod, start, 0, 100*time.Millisecond)
		s.Events = []spans.Event{event("Scheduled", s.End, "Normal", "Successfully assigned "+pod)}
		part(kind.PrepareSandbox, "prepare sandbox", pod, start, 100*time.Millisecond, 900*time.Millisecond)
		container, _ := part(kind.Container, "container", pod+" container/app", start, time.Second, m.pull+500*time.Millisecond)
		_, s = part(kind.PullImage, "pull image", pod+" container/app", container, time.Second, m.pull, attr.StartPrecisionKey.Float64(0.8), attr.StartSourceKey.String(string(attr.SourceArrival)))
		s.Events = []spans.Event{event("Pulling", s.Start, "Normal", m.said), event("Failed", s.Start.Add(m.pull/2), "Warning", m.said)}
		part(kind.StartContainer, "start container", pod+" container/app", container, time.Second+m.pull, 500*time.Millisecond)
		part(kind.BecomeReady, "become ready", pod, start, 1500*time.Millisecond+m.pull, 500*time.Millisecond)
	}
	return spans.Trace{Spans: list}
}

func event(reason string, at time.Time, class, message string) spans.Event {
	return spans.Event{Name: reason, Time: at, Attributes: []attribute.KeyValue{
		attr.K8SEventReasonKey.String(reason), attr.K8SEventMessageKey.String(message), attr.K8SEventTypeKey.String(class), attr.K8SEventSourceKey.String("kubelet"),
	}}
}

// inProgress is what the store is told to be open.
type inProgress struct {
	mu   sync.Mutex
	list []spans.Trace
}

func (p *inProgress) set(list ...spans.Trace) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.list = list
}

func (p *inProgress) get(context.Context) ([]spans.Trace, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.list, nil
}

// The shop's rollouts: a usual one, one with a slow image, and one whose image is not there.
var (
	usual  = made{number: 1, namespace: "shop", name: "web", revision: 4, at: noon, outcome: attr.OutcomeComplete, pods: 3, pull: 2 * time.Second, image: "app:4", before: "app:3", said: "Pulling image app:4"}
	slow   = made{number: 2, namespace: "shop", name: "web", revision: 5, at: noon.Add(5 * time.Minute), outcome: attr.OutcomeComplete, pods: 3, pull: 40 * time.Second, image: "app:5", before: "app:4", said: "Pulling image app:5"}
	broken = made{
		number: 3, namespace: "pay", name: "api", revision: 9, at: noon.Add(6 * time.Minute), outcome: attr.OutcomeFailed, pods: 2, pull: 20 * time.Second,
		message: "1 of 2 new pods: ImagePullBackOff: api:nope: not found", image: "api:nope", before: "api:8", said: "Back-off pulling image api:nope", supersedes: 1,
		extra: []attribute.KeyValue{semconv.ErrorTypeKey.String("ImagePullBackOff")},
	}
)

func shop() (history.Store, *inProgress) {
	open := &inProgress{}
	store := history.NewMemory(history.Options{Now: later, InProgress: open.get})
	for _, m := range []made{usual, slow, broken} {
		store.Add(m.trace())
	}
	return store, open
}
