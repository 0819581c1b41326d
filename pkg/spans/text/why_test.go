package text

import (
	"slices"
	"testing"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/trace"

	"github.com/rollspan/rollspan/pkg/spans"
	"github.com/rollspan/rollspan/pkg/spans/attr"
)

// What a change is asked about is answered the same on a page and in a terminal.
func TestWhy(t *testing.T) {
	at := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	root := spans.Span{
		SpanID: trace.SpanID{1}, Start: at, End: at.Add(10 * time.Second),
		Attributes: []attribute.KeyValue{
			attr.ChangeKey.String(string(attr.ChangeRollout)), attr.RevisionKey.Int(3),
			attr.OutcomeKey.String(string(attr.OutcomeFailed)),
			attr.PhaseController.Key().Float64(0.5), attr.PhasePullImage.Key().Float64(9.5),
		},
		Message: "1 of 3 new pods:\n ImagePullBackOff.",
	}
	if got, want := Change(&root)+", "+Outcome(&root), "rollout of revision 3, failed"; got != want {
		t.Errorf("it is a %q, want %q", got, want)
	}
	failed := Why(&spans.Trace{Spans: []spans.Span{root}})
	if want := []string{
		"The reason: 1 of 3 new pods: ImagePullBackOff.",
		"It waited most for: pull image 9.5s (95 %), controller 0.5s (5 %).",
	}; !slices.Equal(failed, want) {
		t.Errorf("of a failure it says %q, want %q", failed, want)
	}

	root.Message, root.Attributes = "", []attribute.KeyValue{
		attr.ChangeKey.String(string(attr.ChangeScale)), attr.RevisionKey.Int(3), attr.OutcomeKey.String(string(attr.OutcomeOpen)),
		attr.WaitingForKey.String("1 of 3 ready"),
	}
	below := func(id byte, name, subject string, parent byte, end time.Duration) spans.Span {
		return spans.Span{SpanID: trace.SpanID{id}, ParentID: trace.SpanID{parent}, Name: name, Subject: subject, Start: at.Add(time.Second), End: at.Add(end)}
	}
	open := Why(&spans.Trace{Spans: []spans.Span{
		root,
		below(2, "Pod start", "pod/web-0", 1, 10*time.Second),
		below(3, "pull image", "pod/web-0 container/web", 2, 10*time.Second),
		below(4, "Pod start", "pod/web-1", 1, 5*time.Second),
	}})
	if want := []string{"It waits for: 1 of 3 ready.", "What goes on: pull image pod/web-0 container/web."}; !slices.Equal(open, want) {
		t.Errorf("of what is open it says %q, want %q", open, want)
	}
	if got := Change(&root); got != "scale" {
		t.Errorf("it is a %q", got)
	}
}

// What goes on of an open change is told with what is known of why: what failed there before, what
// it waits for, or the last warning. A step whose pods have all started goes on if it lacks one.
func TestWhyItIsOpen(t *testing.T) {
	at := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	below := func(id, parent byte, subject string, s spans.Span) spans.Span {
		s.SpanID, s.ParentID, s.Subject = trace.SpanID{id}, trace.SpanID{parent}, subject
		s.Start = at.Add(time.Duration(id) * time.Second)
		if s.End.IsZero() {
			s.End = at.Add(time.Minute)
		}
		return s
	}
	over := at.Add(30 * time.Second)
	warning := func(name, message string) spans.Event {
		return spans.Event{Name: name, Time: over, Attributes: []attribute.KeyValue{
			attr.K8SEventTypeKey.String("Warning"), attr.K8SEventMessageKey.String(message),
		}}
	}
	note := spans.Event{Name: "Created", Time: over, Attributes: []attribute.KeyValue{
		attr.K8SEventTypeKey.String("Normal"), attr.K8SEventMessageKey.String("Created container"),
	}}
	for name, test := range map[string]struct {
		parts []spans.Span
		want  string
	}{
		"a pull that failed": {
			parts: []spans.Span{
				below(2, 1, "pod/web-0", spans.Span{Name: "Pod start", Message: "ErrImagePull: app:nope:\n not found"}),
				below(3, 2, "pod/web-0 container/web", spans.Span{Name: "back off", Attributes: []attribute.KeyValue{attr.WaitingReasonKey.String("ImagePullBackOff")}}),
			},
			want: "What goes on: back off pod/web-0 container/web: ErrImagePull: app:nope: not found.",
		},
		"no room": {
			parts: []spans.Span{below(2, 1, "pod/web-0", spans.Span{Name: "unschedulable", Attributes: []attribute.KeyValue{
				attr.WaitingReasonKey.String("Unschedulable"), attr.WaitingMessageKey.String("0/1 nodes are available"),
			}})},
			want: "What goes on: unschedulable pod/web-0: Unschedulable: 0/1 nodes are available.",
		},
		"a crash loop": {
			parts: []spans.Span{below(2, 1, "pod/web-0 container/web", spans.Span{
				Name: "back off", Attributes: []attribute.KeyValue{attr.WaitingReasonKey.String("CrashLoopBackOff")},
			})},
			want: "What goes on: back off pod/web-0 container/web: CrashLoopBackOff.",
		},
		"a probe that fails": {
			parts: []spans.Span{below(2, 1, "pod/web-0", spans.Span{
				Name: "readiness probe", Events: []spans.Event{warning("Unhealthy", "Readiness probe failed: 500"), note},
			})},
			want: "What goes on: readiness probe pod/web-0: Unhealthy: Readiness probe failed: 500.",
		},
		"pods that may not be made": {
			parts: []spans.Span{
				below(2, 1, "replicaset/web-1", spans.Span{Name: "ReplicaSet scale up", Events: []spans.Event{warning("FailedCreate", "exceeded quota: q.")}}),
				below(3, 2, "pod/web-0", spans.Span{Name: "Pod start", End: over}),
			},
			want: "What goes on: ReplicaSet scale up replicaset/web-1: FailedCreate: exceeded quota: q.",
		},
		"nothing, between the pods of a Job": {
			parts: []spans.Span{
				below(2, 1, "pod/job-0", spans.Span{Name: "Pod run", Message: "Error: exit code 7", End: over.Add(-time.Second)}),
				below(3, 1, "pod/job-1", spans.Span{Name: "Pod run", Message: "Error: exit code 8", End: over}),
				below(4, 3, "pod/job-1 container/job", spans.Span{Name: "container", Message: "Error: exit code 8", End: over}),
			},
			want: "What failed last: Pod run pod/job-1: Error: exit code 8.",
		},
	} {
		root := spans.Span{SpanID: trace.SpanID{1}, Start: at, End: at.Add(time.Minute), Attributes: []attribute.KeyValue{
			attr.ChangeKey.String(string(attr.ChangeRollout)), attr.OutcomeKey.String(string(attr.OutcomeOpen)),
		}}
		if got := Why(&spans.Trace{Spans: append([]spans.Span{root}, test.parts...)}); !slices.Equal(got, []string{test.want}) {
			t.Errorf("%s: it says %q, want %q", name, got, test.want)
		}
	}
}
