package critpath

import (
	"cmp"
	"fmt"
	"iter"
	"maps"
	"slices"
	"strings"
	"time"

	"go.opentelemetry.io/otel/trace"

	"github.com/rollspan/rollspan/pkg/causality/internal/evidence"
	"github.com/rollspan/rollspan/pkg/spans"
	"github.com/rollspan/rollspan/pkg/spans/attr"
	"github.com/rollspan/rollspan/pkg/spans/kind"
)

// maxPathSegments bounds the list of segments on a root: a rollout that goes
// pod by pod through a thousand pods has thousands.
const maxPathSegments = 100

// segment is a piece of a critical path: what the change waited for, and
// who was at it.
type segment struct {
	phase       attr.Phase
	what        string // the span's kind, or the phase, in words
	subject     string
	from, until time.Time
}

func (seg segment) duration() time.Duration { return seg.until.Sub(seg.from) }

// String is the segment as the attribute rollspan.critical_path.segments has it:
// "3.201s pull image pod/web-1 container/app".
func (seg segment) String() string {
	return fmt.Sprintf("%.3fs %s %s", seg.duration().Seconds(), seg.what, seg.subject)
}

// Path is built from the end of a change backwards, so that its pieces
// tile the change: at is where the next piece ends.
type Path struct {
	root     *spans.Span
	ByID     map[trace.SpanID]*spans.Span
	children map[trace.SpanID][]*spans.Span
	At       time.Time
	segments []segment // the last one first
	marked   map[*spans.Span]bool
	work     *evidence.Work
	// within are the spans that the walk is inside of. It goes into none of them again.
	within map[*spans.Span]bool
	// Unseen are the spans of which nothing tells what their own time went by with.
	Unseen map[*spans.Span]bool
}

// New returns the path of the change that root is the span of, which has come as far as
// the end of root. all are the spans of its trace; work is spent for looking at them.
func New(all []*spans.Span, root *spans.Span, work *evidence.Work) *Path {
	path := &Path{
		root: root, At: root.End, work: work,
		ByID:     make(map[trace.SpanID]*spans.Span, len(all)),
		children: make(map[trace.SpanID][]*spans.Span, len(all)),
		marked:   map[*spans.Span]bool{},
		within:   map[*spans.Span]bool{},
	}
	for _, s := range all {
		path.ByID[s.SpanID] = s
		path.children[s.ParentID] = append(path.children[s.ParentID], s)
	}
	return path
}

// Through works out the path of a change whose spans below the root follow one after the other.
func Through(all []*spans.Span, root *spans.Span, work *evidence.Work) {
	path := New(all, root, work)
	path.Descend(root)
	path.Finish()
}

// Add makes a span part of the trace whose path this is.
func (path *Path) Add(s *spans.Span) {
	path.ByID[s.SpanID] = s
	path.children[s.ParentID] = append(path.children[s.ParentID], s)
}

// Take explains the time from a moment to where the path has come by a span.
func (path *Path) Take(s *spans.Span, phase attr.Phase, what string, from time.Time) {
	from = evidence.Latest(from, path.root.Start)
	if !from.Before(path.At) {
		return
	}
	n := len(path.segments)
	if n > 0 && (phase == attr.PhaseController && path.isInstant(from) || path.segments[n-1].what == what && path.segments[n-1].subject == s.Subject) {
		path.segments[n-1].from = from
	} else {
		path.segments = append(path.segments, segment{phase: phase, what: what, subject: s.Subject, from: from, until: path.At})
	}
	path.At = from
	for up := range path.upFrom(s) {
		if path.marked[up] {
			break
		}
		path.marked[up] = true
	}
}

// isInstant reports whether a moment is the one before where the path has come. What is known to the
// second has its last nanosecond, so that what came next comes later: its controller took no time.
func (path *Path) isInstant(from time.Time) bool { return path.At.Sub(from) == time.Nanosecond }

// Advances does one step of the walk and reports whether that brought it nearer to the
// beginning of the change. A step that does not is the last one: what follows would be
// the same step again. So the walk ends, whatever the spans are: there are only so many
// starts and ends that it can get to, and it is inside of each span once at a time.
func (path *Path) Advances(step func()) bool {
	before := path.At
	step()
	return path.At.Before(before) && path.At.After(path.root.Start)
}

// Descend explains the time of a span by what it consisted of: of its parts
// the one that ended last, before that the one that had ended last when that
// one began, and so on. What no part explains was the span's own.
func (path *Path) Descend(s *spans.Span) {
	if path.within[s] {
		return
	}
	path.within[s] = true
	defer delete(path.within, s)
	path.parts(s, s.End.After(path.At))
}

// parts goes through the parts of a span. The path leaves it before its end where it is cut.
func (path *Path) parts(s *spans.Span, cut bool) {
	for part := path.lastPart(s, cut); part != nil; part = path.lastPart(s, false) {
		if !path.Advances(func() {
			path.Self(s, evidence.Earliest(part.End, path.At))
			path.Descend(part)
		}) {
			break
		}
	}
	path.Self(s, s.Start)
}

// lastPart is the part of a span that explains the time before where the path has
// come; nil if none does.
func (path *Path) lastPart(s *spans.Span, cut bool) *spans.Span {
	parts := path.children[s.SpanID]
	path.work.Spend(1 + len(parts))
	part := lastEnded(parts, path.At, cut)
	if part == nil || part.End.Before(path.At) {
		if init := lastInit(parts, path.At); init != nil {
			return init
		}
	}
	return part
}

// lastEnded is the span that had ended last at a time; with cut, one that was
// still going on then counts as ending there.
func lastEnded(siblings []*spans.Span, at time.Time, cut bool) *spans.Span {
	var last *spans.Span
	for _, s := range siblings {
		if !s.Start.Before(at) || !s.End.After(s.Start) || s.End.After(at) && !cut {
			continue
		}
		if last == nil || cmp.Or(evidence.Earliest(s.End, at).Compare(evidence.Earliest(last.End, at)), last.Start.Compare(s.Start), strings.Compare(last.Subject, s.Subject)) > 0 {
			last = s
		}
	}
	return last
}

// lastInit is the init container that was started last of those that were started
// again beside what came after them: sidecars, and any if all of the pod was.
func lastInit(siblings []*spans.Span, at time.Time) *spans.Span {
	var last *spans.Span
	for _, s := range siblings {
		if s.Kind == kind.InitContainer && s.Start.Before(at) && s.End.After(at) && (last == nil || s.Start.After(last.Start)) {
			last = s
		}
	}
	return last
}

// Self takes a span's own time.
func (path *Path) Self(s *spans.Span, from time.Time) {
	phase := path.phaseOf(s)
	what := s.Kind.String()
	if s.Kind == path.root.Kind || s.Kind.Vague() {
		what = phase.String()
	}
	path.Take(s, phase, what, from)
}

// phaseOf is the phase that a span's own time counts as.
func (path *Path) phaseOf(s *spans.Span) attr.Phase {
	if path.Unseen[s] {
		return attr.PhaseUnknown
	}
	var parent kind.Kind
	if up := path.ByID[s.ParentID]; up != nil {
		parent = up.Kind
	}
	return s.Kind.Phase(parent)
}

// upFrom is a span and what it is below of, as far as that is told.
func (path *Path) upFrom(s *spans.Span) iter.Seq[*spans.Span] {
	return func(yield func(*spans.Span) bool) {
		for range path.ByID {
			if s == nil || !yield(s) {
				return
			}
			s = path.ByID[s.ParentID]
		}
	}
}

// Finish takes the rest for the change itself, marks the spans and writes the
// path on the root. It returns the time of each phase.
func (path *Path) Finish() map[attr.Phase]time.Duration {
	path.Self(path.root, path.root.Start)
	slices.Reverse(path.segments)
	for s := range path.marked {
		s.Attributes = append(s.Attributes, attr.CriticalKey.Bool(true))
	}
	phases := map[attr.Phase]time.Duration{}
	for _, seg := range path.segments {
		phases[seg.phase] += seg.duration()
	}
	if len(phases) == 0 {
		return nil // it took no time
	}
	path.root.Attributes = append(path.root.Attributes, attr.CriticalPathSegmentsKey.StringSlice(segmentStrings(path.segments)))
	for _, phase := range slices.Sorted(maps.Keys(phases)) {
		path.root.Attributes = append(path.root.Attributes, evidence.Seconds(phase.Key(), phases[phase]))
	}
	return phases
}

// segmentStrings writes a path for people. Of a very long one the longest
// segments stay, and the last line says what the others come to.
func segmentStrings(segments []segment) []string {
	longest := make([]int, len(segments))
	for i := range longest {
		longest[i] = i
	}
	slices.SortStableFunc(longest, func(i, j int) int { return cmp.Compare(segments[j].duration(), segments[i].duration()) })
	shown := longest[:min(len(longest), maxPathSegments)]
	slices.Sort(shown)
	out := make([]string, 0, len(shown)+1)
	for _, i := range shown {
		out = append(out, segments[i].String())
	}
	if rest := longest[len(shown):]; len(rest) > 0 {
		left := time.Duration(0)
		for _, i := range rest {
			left += segments[i].duration()
		}
		out = append(out, fmt.Sprintf("%.3fs in %d shorter segments", left.Seconds(), len(rest)))
	}
	return out
}
