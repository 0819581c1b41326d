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
