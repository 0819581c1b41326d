package progress

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/trace"

	"github.com/rollspan/rollspan/pkg/spans"
	"github.com/rollspan/rollspan/pkg/spans/attr"
	"github.com/rollspan/rollspan/pkg/spans/text"
)

// String is the target as kubectl names it, with its namespace: "deployment/web in namespace shop".
func (t Target) String() string {
	return strings.ToLower(t.Kind) + "/" + t.Name + " in namespace " + t.Namespace
}

// name is whose rollout it is, and which: "deployment/web in namespace shop: rollout of revision 3".
func (s *State) name() string {
	switch {
	case s.Change != nil:
		return s.Target.String() + ": " + text.Change(s.Change.Root())
	case s.Target.Kind == kindJob:
		return s.Target.String() + ": " + string(attr.ChangeJob)
	}
	return s.Target.String() + ": " + string(attr.ChangeRollout)
}

// Headline says in a line what goes on: "deployment/web in namespace shop: rollout of revision 3,
// open for 12s".
func (s *State) Headline() string {
	line := s.name() + ", " + string(s.Outcome)
	switch took := s.Took().Round(time.Second); {
	case s.Change == nil:
		return line
	case s.Outcome == Open:
		return line + " for " + took.String()
	default:
		return line + " after " + took.String()
	}
}

// Prospect says how long the rollout before took, and when this one is over if it takes as long;
// empty if that is not known.
func (s *State) Prospect() string {
	due := s.Due()
	if due.IsZero() {
		return ""
	}
	before := "The rollout before"
	switch {
	case s.BeforeName != "":
		before = "The run before (" + strings.ToLower(s.Target.Kind) + "/" + s.BeforeName + ")"
	case s.BeforeRevision > 0:
		before += fmt.Sprintf(" (revision %d)", s.BeforeRevision)
	}
	before += " took " + rounded(s.Before).String()
	if left := due.Sub(s.Now); left > 0 {
		return fmt.Sprintf("%s; if this one does, it is over in %s, at %s.", before, left.Round(time.Second), due.UTC().Format(time.RFC3339))
	}
	return fmt.Sprintf("%s; this one has taken %s more so far.", before, s.Now.Sub(due).Round(time.Second))
}

// Blind says in a line since when nothing new is seen, and why; empty while all is seen.
func (s *State) Blind() string {
	if s.Unseen == "" {
		return ""
	}
	return fmt.Sprintf("Nothing new is seen since %s, for %s: %s.",
		s.UnseenSince.UTC().Format(time.RFC3339), max(s.Now.Sub(s.UnseenSince), 0).Round(time.Second), s.Unseen)
}

// Result says in a line how it has ended, and why.
func (s *State) Result() string {
	why := s.Message
	said := strings.Contains(why, s.Reason) || s.Reason == deadlineExceeded && strings.Contains(why, "progress deadline")
	if !said {
		why = strings.TrimPrefix(why+" ("+s.Reason+")", " ")
	}
	waits := ""
	if s.Waits != "" {
		waits = "; it waits for: " + s.Waits
	}
	if s.Unseen != "" {
		waits += "; nothing new is seen since " + s.UnseenSince.UTC().Format(time.RFC3339) + ": " + s.Unseen
	}
	name := s.name()
	switch s.Outcome {
	case Complete:
		line := name + " is complete"
		if s.Change != nil {
			line += "; it took " + rounded(s.Took()).String()
			if s.Before > 0 {
				line += ", the one before " + rounded(s.Before).String()
			}
		}
		return line
	case Failed:
		return name + " has failed: " + why
	case Superseded:
		return name + " is superseded: " + why + "; ask again to follow the one that came"
	case Doomed:
		return name + " is doomed: " + why
	case Deleted:
		return strings.TrimSuffix(s.Target.String()+" was deleted: "+why, ": ")
	case TimedOut:
		return name + " is not complete" + waits
	case Interrupted:
		return name + " goes on" + waits
	}
	return s.Headline() + waits
}

// Waiting says what it waits for, and what goes on meanwhile: "0 of 1 ready (pull image pod/web-1
// container/web)".
func (s *State) Waiting() string {
	if len(s.GoesOn) == 0 {
		return s.Waits
	}
	return strings.TrimPrefix(s.Waits+" ("+strings.Join(s.GoesOn, "; ")+")", " ")
}

// rounded is a time that was taken, for people.
func rounded(d time.Duration) time.Duration {
	if d < 10*time.Second {
		return d.Round(100 * time.Millisecond)
	}
	return d.Round(time.Second)
}

// Tree is of a rollout's trace what fits into so many lines of text.WriteTree, at least its
// root: what goes on first, then what has failed, then the latest. leftOut says how many spans
// are not in it. brief leaves out the Events and the links, too, which are many lines.
func Tree(t *spans.Trace, lines int, brief bool) (short spans.Trace, leftOut int) {
	if len(t.Spans) == 0 {
		return *t, 0
	}
	root := t.Root()
	at := map[trace.SpanID]int{}
	for i := range t.Spans {
		at[t.Spans[i].SpanID] = i
	}
	order := make([]int, len(t.Spans))
	for i := range order {
		order[i] = i
	}
	rank := func(i int) int {
		s := &t.Spans[i]
		switch {
		case s.Status == codes.Error:
			return 1
		case text.IsOpen(root) && s.End.Equal(root.End):
			return 0
		}
		return 2
	}
	slices.SortStableFunc(order, func(a, b int) int {
		if ra, rb := rank(a), rank(b); ra != rb {
			return ra - rb
		}
		return t.Spans[b].End.Compare(t.Spans[a].End)
	})
	kept := map[int]bool{0: true}
	room := lines - linesOf(root, brief)
	for _, i := range order {
		var with []int // the span, and those above it
		need := 0
		for j, ok := i, true; ok && !kept[j]; j, ok = at[t.Spans[j].ParentID] {
			with = append(with, j)
			need += linesOf(&t.Spans[j], brief)
		}
		if need > room {
			continue
		}
		room -= need
		for _, j := range with {
			kept[j] = true
		}
	}
	for i := range t.Spans {
		if !kept[i] {
			leftOut++
			continue
		}
		s := t.Spans[i]
		if brief {
			s.Events, s.Links = nil, nil
		}
		short.Spans = append(short.Spans, s)
	}
	return short, leftOut
}

// linesOf is how many lines text.WriteTree makes of a span.
func linesOf(s *spans.Span, brief bool) int {
	n := 1
	if _, ok := s.Attribute(attr.ChangedFieldsKey); ok {
		n++
	}
	if !brief {
		n += len(s.Events) + len(s.Links)
	}
	if path, ok := s.Attribute(attr.CriticalPathSegmentsKey); ok && !s.ParentID.IsValid() {
		n += 1 + len(path.AsStringSlice())
	}
	return n
}
