package causality_test

import (
	"cmp"
	"math"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/trace"

	"github.com/rollspan/rollspan/pkg/causality"
	"github.com/rollspan/rollspan/pkg/spans"
)

const (
	keySegments = attribute.Key("rollspan.critical_path.segments")
	pathPrefix  = "rollspan.critical_path."
)

// TestLawCriticalPath holds for what the engine makes of any recording; damaged
// streams and scenarios are held to it too (sound, tree).
func TestLawCriticalPath(t *testing.T) {
	forEachRecording(t, func(t *testing.T, obs []causality.Observation) {
		paths := 0
		for _, tr := range replay(obs) {
			soundPath(t, tr)
			soundChain(t, tr)
			if _, ok := tr.Root().Attribute(keySegments); ok {
				paths++
			}
		}
		if paths == 0 {
			t.Error("no change has a critical path")
		}
	})
}

// soundPath checks a trace's critical path: that the sums and the segments tile
// the change, and that the marked spans are one chain back to it.
func soundPath(t interface{ Errorf(string, ...any) }, tr spans.Trace) {
	root := tr.Root()
	if root == nil || tr.Late {
		return
	}
	took := root.End.Sub(root.Start)
	segments, has := root.Attribute(keySegments)
	if want := walksPath(*root) && took > 0; has != want {
		t.Errorf("%s %s: has a critical path: %t, want %t", root.Name, root.Subject, has, want)
	}
	if !has {
		return
	}

	var sum time.Duration
	for _, kv := range root.Attributes {
		if strings.HasPrefix(string(kv.Key), pathPrefix) && kv.Key != keySegments {
			sum += time.Duration(math.Round(kv.Value.AsFloat64() * float64(time.Second)))
		}
	}
	if sum != took {
		t.Errorf("%s %s took %s, the phases of its critical path %s", root.Name, root.Subject, took, sum)
	}
	if slower, ok := root.Attribute("rollspan.slower.phase"); ok {
		if _, is := root.Attribute(attribute.Key(pathPrefix + slower.AsString())); !is {
			t.Errorf("%s %s was slower by the phase %q, of which it has no time", root.Name, root.Subject, slower.AsString())
		}
	}
	list := segments.AsStringSlice()
	sum = 0
	for _, s := range list {
		seconds, _, _ := strings.Cut(s, "s ")
		d, err := strconv.ParseFloat(seconds, 64)
		if err != nil || d < 0 {
			t.Errorf("%s %s: segment %q", root.Name, root.Subject, s)
		}
		sum += time.Duration(d * float64(time.Second))
	}
	if rounding := time.Duration(len(list)) * time.Millisecond; (sum - took).Abs() > rounding {
		t.Errorf("%s %s took %s, the segments of its critical path %s", root.Name, root.Subject, took, sum)
	}
	soundMarks(t, tr)
}

// walksPath reports whether a root is of a change that waits for something.
func walksPath(root spans.Span) bool {
	if value(root, "rollspan.outcome").AsString() == "open" {
		return false
	}
	switch value(root, "rollspan.change").AsString() {
	case "activity", "disruption", "schedule":
		return false
	}
	return true
}

// soundMarks checks that the marked spans are one chain back to the change: from
// its end, what no marked span explains is its own; each piece begins where the
// one before it in time ended, or where its parent waited; and each marked span
// has a piece of it.
func soundMarks(t interface{ Errorf(string, ...any) }, tr spans.Trace) {
	root := tr.Root()
	marked := map[trace.SpanID]spans.Span{}
	parents := map[trace.SpanID]bool{}
	for _, s := range tr.Spans {
		if value(s, "rollspan.critical").AsBool() {
			marked[s.SpanID] = s
			parents[s.ParentID] = true
		}
	}
	if _, ok := marked[root.SpanID]; !ok {
		t.Errorf("%s %s is not on its own critical path", root.Name, root.Subject)
	}
	var leaves []spans.Span
	for _, s := range marked {
		if s.SpanID == root.SpanID {
			continue
		}
		if _, ok := marked[s.ParentID]; !ok {
			t.Errorf("%s %s is on the critical path, its parent is not", s.Name, s.Subject)
		}
		if parents[s.SpanID] {
			continue // what it led to may have come after it
		}
		leaves = append(leaves, s)
		if !s.Start.Before(root.End) || !s.End.After(root.Start) || !s.End.After(s.Start) {
			t.Errorf("%s %s is on the critical path and takes none of the change's time", s.Name, s.Subject)
		}
	}
	slices.SortFunc(leaves, func(a, b spans.Span) int {
		return cmp.Or(a.Start.Compare(b.Start), a.End.Compare(b.End))
	})
	for i := 1; i < len(leaves); i++ {
		// Ready is dated within its second, and that a pod is gone by the
		// arrival of the news, or worse where it says so. A pause, and what waited for
		// nothing that is known, came upon what was under way.
		if over := leaves[i-1].End.Sub(leaves[i].Start); over > precision(leaves[i-1], "end") && leaves[i].Name != "paused" && waited(tr, leaves[i]) {
			t.Errorf("%s %s and %s %s are both on the critical path for %s",
				leaves[i-1].Name, leaves[i-1].Subject, leaves[i].Name, leaves[i].Subject, over)
		}
	}
	soundPieces(t, tr, marked, parents)
}

// waited reports whether a span, or what it is part of, says what it had waited for.
func waited(tr spans.Trace, s spans.Span) bool {
	up := map[trace.SpanID]spans.Span{}
	for _, other := range tr.Spans {
		up[other.SpanID] = other
	}
	for range tr.Spans {
		if slices.ContainsFunc(s.Links, func(l spans.Link) bool { return l.TraceID == s.TraceID }) {
			return true
		}
		parent, ok := up[s.ParentID]
		if !ok || parent.SpanID == tr.Root().SpanID {
			return false
		}
		s = parent
	}
	return false
}

// soundChain checks what the path goes through: that it begins with what
// completed the change, the pod that was ready last, goes on with what each of its
// spans is linked to, where no pause came in between, and goes through the phases
// of each pod. Of a stream that lacks half of its lines nobody can ask that.
func soundChain(t interface{ Errorf(string, ...any) }, tr spans.Trace) {
	root := tr.Root()
	segments, has := root.Attribute(keySegments)
	if !has || tr.Late {
		return
	}
	marked := map[trace.SpanID]spans.Span{}
	for _, s := range tr.Spans {
		if value(s, "rollspan.critical").AsBool() {
			marked[s.SpanID] = s
		}
	}
	for _, text := range segments.AsStringSlice() {
		if g := readSegment(text); g.what == "Pod start" && g.took > 0 {
			t.Errorf("%s %s: the phases of %s do not explain %s", root.Name, root.Subject, g.subject, g.took)
		}
	}
	paused := false
	var last, lastMarked time.Time
	for _, s := range tr.Spans {
		_, on := marked[s.SpanID]
		paused = paused || on && s.Name == "paused"
		// Ready is dated within its second, which may be after the end.
		// One that took no time is on no path: its node's clock is behind.
		if (s.Name == "Pod start" || s.Name == "not ready") && s.End.After(s.Start) && (on || !s.End.After(root.End)) {
			last = later(last, s.End)
			if on {
				lastMarked = later(lastMarked, s.End)
			}
		}
	}
	if value(*root, "rollspan.outcome").AsString() == "complete" && value(*root, "rollspan.change").AsString() == "rollout" && !lastMarked.Equal(last) {
		t.Errorf("%s %s was completed by the pod that was ready at %s, its critical path has one of %s",
			root.Name, root.Subject, last.Sub(root.Start), lastMarked.Sub(root.Start))
	}
	for _, s := range marked {
		for _, l := range s.Links {
			if _, on := marked[l.SpanID]; !on && l.TraceID == s.TraceID && !paused {
				t.Errorf("%s %s is on the critical path, what it waited for is not", s.Name, s.Subject)
			}
		}
	}
}

// soundPieces holds the listed segments against the marked spans. Each segment is
// of marked spans that were going on throughout it, and each of these has one, or
// leads to one that has: a step may have been over when a pod was made in the place
// of one that was lost. What a change that ended in vain had waited for may come later.
func soundPieces(t interface{ Errorf(string, ...any) }, tr spans.Trace, marked map[trace.SpanID]spans.Span, parents map[trace.SpanID]bool) {
	root := tr.Root()
	segments, _ := root.Attribute(keySegments)
	list := segments.AsStringSlice()
	if len(list) > maxSegments {
		return // not all of them are listed
	}
	told := map[trace.SpanID]bool{root.SpanID: true}
	at := root.Start
	for i, text := range list {
		g := readSegment(text)
		from, until := at, at.Add(g.took)
		at = until
		// Each is written to the millisecond.
		slack := time.Duration(i+1) * time.Millisecond
		var own, unmarked []spans.Span
		for _, s := range tr.Spans {
			_, on := marked[s.SpanID]
			switch {
			case s.Subject != g.subject || !names(s, *root, g.what):
			case on:
				own = append(own, s)
			default:
				unmarked = append(unmarked, s)
			}
		}
		later := mayWaitOn(*root) && !cover(slices.Concat(own, unmarked), from, until, slack)
		for id, s := range marked {
			if later && s.End.After(from) {
				told[id] = true
			}
			if s.Start.Before(until.Add(slack)) && s.End.After(from.Add(-slack)) && within(tr, g.subject, s) {
				told[id] = true
			}
		}
		if !later && !cover(own, from, until, slack) {
			t.Errorf("%s %s: no marked span is going on throughout %q, %s to %s", root.Name, root.Subject, text, from.Sub(root.Start), until.Sub(root.Start))
		}
	}
	for id, s := range marked {
		if s.End.Sub(s.Start) > time.Duration(len(list)+1)*time.Millisecond && !told[id] && !parents[id] {
			t.Errorf("%s %s is marked, and no segment is of it", s.Name, s.Subject)
		}
	}
}

// mayWaitOn reports whether a change may have been handed out while what it waited for
// was still going on.
func mayWaitOn(root spans.Span) bool {
	return value(root, "rollspan.outcome").AsString() != "complete" && root.Name != "Job run"
}

// cover reports whether spans that follow each other take all of a time: pieces
// of the same kind are listed as one.
func cover(all []spans.Span, from, until time.Time, slack time.Duration) bool {
	for at := from; at.Before(until.Add(-slack)); {
		next := at
		for _, s := range all {
			if !s.Start.After(at.Add(slack)) && s.End.After(next) {
				next = s.End
			}
		}
		if !next.After(at) {
			return false
		}
		at = next
	}
	return true
}

// maxSegments is how many segments a root lists; a summary of the rest is one
// more.
const maxSegments = 100

type pathPiece struct {
	took          time.Duration
	what, subject string
}

// readSegment takes a segment apart: "6.945s pull image pod/web-1 container/web".
func readSegment(text string) pathPiece {
	took, rest, _ := strings.Cut(text, " ")
	d, _ := time.ParseDuration(took)
	words := strings.Fields(rest)
	subject := slices.IndexFunc(words, func(w string) bool { return strings.Contains(w, "/") })
	if subject < 0 {
		subject = len(words)
	}
	return pathPiece{d, strings.Join(words[:subject], " "), strings.Join(words[subject:], " ")}
}

// names reports whether a segment can be of a span: it has its name, or that of a
// phase where the span's says less.
func names(s, root spans.Span, what string) bool {
	switch {
	case s.Name == what:
		return true
	case s.SpanID == root.SpanID:
		return slices.Contains([]string{"controller", "unknown", "status latency", "back off", "min ready wait", "create pod", "paused"}, what)
	case s.Name == "container" || s.Name == "init container":
		return what == "start container"
	case s.Name == "ReplicaSet scale up":
		return what == "create pod"
	case s.Name == "ReplicaSet scale down":
		return what == "controller"
	case strings.HasPrefix(s.Name, "Pod "):
		return what == "unknown"
	}
	return false
}

// within reports whether a span is of a subject, or has a part that is.
func within(tr spans.Trace, subject string, s spans.Span) bool {
	if s.Subject == subject {
		return true
	}
	for _, c := range tr.Spans {
		if c.ParentID == s.SpanID && within(tr, subject, c) {
			return true
		}
	}
	return false
}
