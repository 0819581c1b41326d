package progress

import (
	"strings"
	"testing"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/trace"

	"github.com/rollspan/rollspan/pkg/spans"
	"github.com/rollspan/rollspan/pkg/spans/attr"
	"github.com/rollspan/rollspan/pkg/spans/text"
)

func span(id, parent byte, name string, from, to time.Duration, attributes ...attribute.KeyValue) spans.Span {
	s := spans.Span{SpanID: trace.SpanID{id}, Name: name, Start: begin.Add(from), End: begin.Add(to), Attributes: attributes}
	if parent > 0 {
		s.ParentID = trace.SpanID{parent}
	}
	return s
}

func rollout(took time.Duration, how attr.Outcome) *spans.Trace {
	return &spans.Trace{Spans: []spans.Span{span(1, 0, "r", 0, took, attr.ChangeKey.String(string(attr.ChangeRollout)), attr.RevisionKey.Int(3), attr.OutcomeKey.String(string(how)))}}
}

// Each state is told in a line, or two.
func TestWords(t *testing.T) {
	open := State{Target: target, Outcome: Open, Now: begin.Add(12 * time.Second), Waits: "1 of 3 ready", Change: rollout(12*time.Second, attr.OutcomeOpen), Before: 20400 * time.Millisecond, BeforeRevision: 2}
	late, unknown := open, State{Target: target, Outcome: Open}
	late.Now = begin.Add(30 * time.Second)
	ended := func(o Outcome, reason, message string) string {
		s := open
		s.Outcome, s.Reason, s.Message = o, reason, message
		return s.Result()
	}
	const web = "deployment/web in namespace shop"
	for _, test := range [][2]string{
		{open.Headline(), web + ": rollout of revision 3, open for 12s"},
		{open.Prospect(), "The rollout before (revision 2) took 20s; if this one does, it is over in 8s, at 2026-03-01T12:00:20Z."},
		{late.Prospect(), "The rollout before (revision 2) took 20s; this one has taken 10s more so far."},
		{unknown.Headline() + unknown.Prospect(), web + ": rollout, open"},
		{ended(Complete, "", ""), web + ": rollout of revision 3 is complete; it took 12s, the one before 20s"},
		{ended(Failed, "ProgressDeadlineExceeded", "0 of 3 new pods"), web + ": rollout of revision 3 has failed: 0 of 3 new pods (ProgressDeadlineExceeded)"},
		{ended(Failed, "Late", ""), web + ": rollout of revision 3 has failed: (Late)"},
		{ended(Superseded, "", "changed"), web + ": rollout of revision 3 is superseded: changed; ask again to follow the one that came"},
		{ended(Doomed, "InvalidImageName", "InvalidImageName: no"), web + ": rollout of revision 3 is doomed: InvalidImageName: no"},
		{ended(Deleted, "", ""), web + " was deleted"},
		{ended(TimedOut, "", ""), web + ": rollout of revision 3 is not complete; it waits for: 1 of 3 ready"},
		{ended(Interrupted, "", ""), web + ": rollout of revision 3 goes on; it waits for: 1 of 3 ready"},
	} {
		if test[0] != test[1] {
			t.Errorf("it says\n%s, want\n%s", test[0], test[1])
		}
	}
}

// Who waits no longer is told when a rollout that goes on is due.
func TestDue(t *testing.T) {
	for outcome, due := range map[Outcome]bool{Open: true, TimedOut: true, Interrupted: true, Complete: false, Failed: false, Superseded: false} {
		s := State{Outcome: outcome, Change: rollout(12*time.Second, attr.OutcomeOpen), Before: 20 * time.Second}
		if got := s.Due(); got.Equal(begin.Add(20*time.Second)) != due || got.IsZero() == due {
			t.Errorf("%s is due at %s", outcome, got)
		}
	}
}

// What does not fit is left out: of what goes on, what has failed, and what is over, the last first.
// What is there has what it is below, and takes no more lines than there are.
func TestTree(t *testing.T) {
	whole := rollout(9*time.Second, attr.OutcomeOpen)
	over, failed, on := span(2, 1, "over", 1, 2*time.Second), span(4, 1, "failed", 1, 3*time.Second), span(6, 1, "on", 1, 9*time.Second)
	failed.Status = codes.Error
	on.Events = []spans.Event{{Name: "Pulling", Time: begin}, {Name: "Pulled", Time: begin}}
	whole.Spans = append(whole.Spans, over, span(3, 2, "in over", 1, time.Second), failed, span(5, 4, "in failed", 1, time.Second), on, span(7, 6, "in on", 1, 9*time.Second))
	for _, test := range []struct {
		lines int
		brief bool
		want  string
		out   int
	}{
		{100, true, "r over in over failed in failed on in on", 0},
		{5, true, "r over failed on in on", 2},
		{4, true, "r failed on in on", 3},
		{3, true, "r on in on", 4},
		{2, true, "r on", 5},
		{1, true, "r", 6},
		{-5, true, "r", 6},
		{4, false, "r on", 5},
		{3, false, "r over failed", 4},
	} {
		short, out := Tree(whole, test.lines, test.brief)
		var names []string
		for i := range short.Spans {
			names = append(names, short.Spans[i].Name)
		}
		if got := strings.Join(names, " "); got != test.want || out != test.out {
			t.Errorf("in %d lines there is %q, and %d are left out; want %q and %d", test.lines, got, out, test.want, test.out)
		}
		var b strings.Builder
		if err := text.WriteTree(&b, short); err != nil {
			t.Fatal(err)
		}
		if n := strings.Count(b.String(), "\n") - 1; n > max(test.lines, 1) {
			t.Errorf("in %d lines there are %d:\n%s", test.lines, n, b.String())
		}
	}
	if len(whole.Spans[5].Events) != 2 {
		t.Error("the trace was changed")
	}
	if short, out := Tree(&spans.Trace{}, 10, true); len(short.Spans) != 0 || out != 0 {
		t.Error("of nothing there is something")
	}
}
