package text

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"time"

	"go.opentelemetry.io/otel/trace"

	"github.com/rollspan/rollspan/pkg/spans"
	"github.com/rollspan/rollspan/pkg/spans/attr"
	"github.com/rollspan/rollspan/pkg/spans/kind"
)

// Change names a change: "rollout of revision 3".
func Change(root *spans.Span) string {
	name, _ := root.Attribute(attr.ChangeKey)
	change := name.AsString()
	if revision, ok := root.Attribute(attr.RevisionKey); ok && attr.Change(change) == attr.ChangeRollout {
		change += fmt.Sprintf(" of revision %d", revision.AsInt64())
	}
	return change
}

// Outcome is how a change ended: "complete". One that has no outcome is "over".
func Outcome(root *spans.Span) string {
	outcome, _ := root.Attribute(attr.OutcomeKey)
	return cmp.Or(outcome.AsString(), "over")
}

// EndIsKnown reports whether it is known how a change ended. Of one that another one followed, what a
// cluster has may prove no more than that: it may have been complete, or have failed, before.
func EndIsKnown(root *spans.Span) bool {
	_, doubted := root.Attribute(attr.EndPrecisionKey)
	return !doubted || attr.Outcome(Outcome(root)) != attr.OutcomeSuperseded
}

// EndsAtMost reports whether of a change that has ended it is known only that it was over at its end: it
// may have ended at any time since it began. One whose end is known worse than that may have ended later.
func EndsAtMost(root *spans.Span) bool {
	precision, doubted := root.Attribute(attr.EndPrecisionKey)
	return !EndIsKnown(root) || doubted && !IsOpen(root) && precision.AsFloat64() == root.End.Sub(root.Start).Seconds()
}

// IsOpen reports whether a change was open when it was last seen.
func IsOpen(root *spans.Span) bool { return attr.Outcome(Outcome(root)) == attr.OutcomeOpen }

// PhaseTime is how long a change waited for a phase of its critical path.
type PhaseTime struct {
	Phase attr.Phase
	// Took is the time, and Share the part of the change's duration that it is, 0 to 1.
	Took  time.Duration
	Share float64
}

// String is the phase in words: "pull image 6.9s (65 %)".
func (p PhaseTime) String() string {
	share := ""
	if p.Share > 0 {
		share = fmt.Sprintf(" (%.0f %%)", 100*p.Share)
	}
	return fmt.Sprintf("%s %.1fs%s", p.Phase, p.Took.Seconds(), share)
}

// Phases are the phases of a change's critical path, the longest first.
func Phases(root *spans.Span) []PhaseTime {
	var phases []PhaseTime
	whole := root.End.Sub(root.Start).Seconds()
	for p, seconds := range attr.PhasesOf(root.Attributes) {
		took := PhaseTime{Phase: p, Took: time.Duration(seconds * float64(time.Second))}
		if whole > 0 {
			took.Share = seconds / whole
		}
		phases = append(phases, took)
	}
	slices.SortStableFunc(phases, func(a, b PhaseTime) int { return cmp.Compare(b.Took, a.Took) })
	return phases
}

// Why says in sentences why a change failed, or what it waits or waited for. It is text of
// the cluster's: who shows it makes it safe.
func Why(t *spans.Trace) (sentences []string) {
	root := t.Root()
	if why := root.Message; why != "" {
		sentences = append(sentences, "The reason: "+oneLine(strings.TrimSuffix(why, "."))+".")
	} else if waits, ok := root.Attribute(attr.WaitingForKey); ok {
		sentences = append(sentences, "It waits for: "+oneLine(waits.AsString())+".")
	}
	if IsOpen(root) {
		if on := GoingOnAndWhy(t); len(on) > 0 {
			sentences = append(sentences, "What goes on: "+strings.Join(on[:min(3, len(on))], "; ")+".")
		} else if failed := lastFailure(t); failed != "" {
			sentences = append(sentences, "What failed last: "+failed+".")
		}
	}
	if phases := Phases(root); len(phases) > 0 {
		var words []string
		for _, p := range phases[:min(3, len(phases))] {
			words = append(words, p.String())
		}
		sentences = append(sentences, "It waited most for: "+strings.Join(words, ", ")+".")
	}
	return sentences
}

// GoingOn is what of an open change has not ended, the latest first: spans without parts that end
// where the change does, as nobody knows of more. Some kinds of spans may be left out.
func GoingOn(t *spans.Trace, but ...kind.Kind) (on []string) {
	parents := map[trace.SpanID]bool{}
	for i := range t.Spans {
		parents[t.Spans[i].ParentID] = true
	}
	for _, s := range openIn(t, parents) {
		if !slices.Contains(but, s.Kind) {
			on = append(on, nameOf(s))
		}
	}
	return on
}

// GoingOnAndWhy is the same, and why, where that is known: "back off pod/web-0 container/web:
// ErrImagePull: app:nope: not found". A step whose parts have all ended goes on if it has not.
func GoingOnAndWhy(t *spans.Trace) (on []string) {
	byID, busy := map[trace.SpanID]*spans.Span{}, map[trace.SpanID]bool{}
	for i := range t.Spans {
		s := &t.Spans[i]
		byID[s.SpanID] = s
		if i > 0 && s.End.Equal(t.Root().End) {
			busy[s.ParentID] = true
		}
	}
	for _, s := range openIn(t, busy) {
		words := nameOf(s)
		if why := whyOpen(s, byID); why != "" {
			words += ": " + why
		}
		on = append(on, words)
	}
	return on
}

// openIn are the spans below the root that have not ended, the latest first, but those that others
// stand for.
func openIn(t *spans.Trace, but map[trace.SpanID]bool) []*spans.Span {
	var open []*spans.Span
	for i := range t.Spans {
		if s := &t.Spans[i]; i > 0 && !but[s.SpanID] && s.End.Equal(t.Root().End) {
			open = append(open, s)
		}
	}
	slices.SortStableFunc(open, func(a, b *spans.Span) int { return b.Start.Compare(a.Start) })
	return open
}

// nameOf is what a span is, and of which object: "pull image pod/web-0 container/web".
func nameOf(s *spans.Span) string {
	name := s.Name
	if s.Kind != 0 {
		name = s.Kind.String()
	}
	return name + " " + s.Subject
}

// whyOpen is why a span has not ended, as far as that is known: what it waits for, what failed
// there before, which is on what it is part of, or the last warning. What failed the change as a
// whole is told apart.
func whyOpen(s *spans.Span, byID map[trace.SpanID]*spans.Span) string {
	reason, message := s.Text(attr.WaitingReasonKey), s.Text(attr.WaitingMessageKey)
	if message != "" {
		return becauseOf(reason, message)
	}
	for of := s; of != nil && byID[of.ParentID] != nil; of = byID[of.ParentID] {
		if of.Message != "" {
			return becauseOf("", of.Message)
		}
	}
	if reason != "" {
		return reason
	}
	for _, ev := range slices.Backward(s.Events) {
		said := spans.Span{Attributes: ev.Attributes}
		if said.Text(attr.K8SEventTypeKey) == "Warning" {
			return becauseOf(ev.Name, said.Text(attr.K8SEventMessageKey))
		}
	}
	return ""
}

// becauseOf is "Unhealthy: Readiness probe failed", in a line, and without the end of a sentence.
func becauseOf(reason, message string) string {
	message = strings.TrimRight(oneLine(message), ".: ")
	if reason == "" || message == "" {
		return reason + message
	}
	return reason + ": " + message
}

// lastFailure is what failed last of an open change of which nothing goes on, such as a pod of a
// Job before the next one is made; empty if nothing did.
func lastFailure(t *spans.Trace) string {
	var last *spans.Span
	for i := range t.Spans {
		if s := &t.Spans[i]; i > 0 && s.Message != "" && (last == nil || s.End.After(last.End)) {
			last = s
		}
	}
	if last == nil {
		return ""
	}
	return nameOf(last) + ": " + becauseOf("", last.Message)
}
