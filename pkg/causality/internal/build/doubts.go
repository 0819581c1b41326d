package build

import (
	"maps"
	"slices"
	"strings"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/trace"

	"github.com/rollspan/rollspan/pkg/causality/internal/evidence"
	"github.com/rollspan/rollspan/pkg/spans"
	"github.com/rollspan/rollspan/pkg/spans/attr"
	"github.com/rollspan/rollspan/pkg/spans/kind"
)

// tellsOf notes that the trace tells of an object, whose times may be known worse than to the
// second. What is in doubt of some of these it does not tell.
func (b *builder) tellsOf(about doubtful, but ...evidence.DoubtOf) {
	for _, d := range about.Doubts() {
		if !slices.Contains(but, d.Of) {
			b.doubt(about, d)
		}
	}
}

// doubtful is an object whose times may be known worse than to the second.
type doubtful interface {
	Subject() string
	Doubts() evidence.Doubts
}

// doubt notes a doubt about an object.
func (b *builder) doubt(about doubtful, d evidence.Doubt) {
	if b.doubts == nil {
		b.doubts = map[string]evidence.Doubts{}
	}
	b.doubts[about.Subject()] = b.doubts[about.Subject()].With(d)
}

// prove says of the boundaries of the spans how well they are known, where that is worse than
// to the second.
func (b *builder) prove() {
	if len(b.doubts) == 0 {
		return
	}
	cuts := map[trace.SpanID]cut{}
	over := map[trace.SpanID]cut{}
	short := map[trace.SpanID]cut{}
	for _, s := range b.spans { // each parent comes before its children
		begin, end := b.boundaries(s)
		_, container, _ := strings.Cut(s.Subject, " container/")
		var starts, cutting, ends evidence.Proof
		for _, doubts := range b.doubtsAbout(s) {
			starts, ends = starts.Worse(doubts.Proof(s.Start, begin, container)), ends.Worse(doubts.Proof(s.End, end, container))
			cutting = cutting.Worse(doubts.Proof(s.Start, begin.Cuts(), container))
		}
		if above, ok := cuts[s.ParentID]; ok {
			// It was cut to its parent, which may have begun earlier.
			if s.Start.Equal(above.at) {
				starts, cutting = starts.Worse(above.proof), cutting.Worse(above.proof)
			}
			if s.End.Equal(above.at) {
				ends = ends.Worse(above.proof)
			}
		}
		if from, ok := over[s.ParentID]; ok {
			// It is part of a start that may have been over before it began, or before its end.
			over[s.SpanID] = from
			starts, ends = starts.Worse(from.proof.Since(from.at, s.Start)), ends.Worse(from.proof.Since(from.at, s.End))
		}
		if ends.Precision == 0 && isCutShort(s) {
			for about, doubts := range b.doubts { // it ends with what the workload did
				if !strings.HasPrefix(about, podPrefix) {
					ends = ends.Worse(doubts.Proof(s.End, evidence.AnyBoundary, ""))
				}
			}
			short[s.SpanID] = cut{s.End, ends}
		} else if from, ok := short[s.ParentID]; ok && s.End.Equal(from.at) {
			short[s.SpanID] = from
			ends = ends.Worse(from.proof)
		}
		if s.Kind == kind.PodStart || s.Kind == kind.PodRun {
			if ready := b.doubts[s.Subject].ReadyFrom(s.End); !ready.IsZero() {
				over[s.SpanID] = cut{ready, ends}
			}
		}
		if cutting.Precision > time.Second {
			cuts[s.SpanID] = cut{s.Start, cutting}
		}
		addProof(s, starts, attr.StartPrecisionKey, attr.StartSourceKey)
		addProof(s, ends, attr.EndPrecisionKey, attr.EndSourceKey)
	}
}

// isCutShort reports whether a start is no success: what came in its way ends it.
func isCutShort(s *spans.Span) bool {
	if s.Kind != kind.PodStart && s.Kind != kind.PodRun {
		return false
	}
	_, cut := s.Attribute(attr.CutShortKey)
	return cut || s.Status == codes.Error
}

// cut is where the spans begin at the earliest that are part of one, and how well that is known.
type cut struct {
	at    time.Time
	proof evidence.Proof
}

// boundariesOf are what the boundaries of the spans of some kinds are of.
var boundariesOf = map[kind.Kind][2]evidence.Boundary{
	kind.ContainerRestart: {evidence.BeginOfRestart, evidence.EndOfSpan},
	kind.RunContainer:     {evidence.AnyBoundary, evidence.EndOfRun},
	kind.BackOff:          {evidence.EndOfRun, evidence.BeginOfCreation},
	kind.StartupProbe:     {evidence.AnyBoundary, evidence.EndOfBoot},
	kind.ReadinessProbe:   {evidence.EndOfBoot, evidence.EndOfStart},
	kind.NotReady:         {evidence.BeginOfUnready, evidence.EndOfStart},
	kind.Unschedulable:    {evidence.BeginOfReason, evidence.EndOfReason},
	kind.ScaleUp:          {evidence.BeginOfStep, evidence.EndOfStart},
	kind.ScaleDown:        {evidence.BeginOfStep, evidence.EndOfStop},
	kind.PodStop:          {evidence.AnyBoundary, evidence.EndOfStop},
	kind.StopContainer:    {evidence.BeginOfRestart, evidence.EndOfStop},
	kind.RemovePod:        {evidence.AnyBoundary, evidence.EndOfStop},
	kind.StartContainer:   {evidence.BeginOfCreation, evidence.AnyBoundary},
	kind.InitContainer:    {}, // of nothing of these
	kind.Container:        {},
	kind.PullImage:        {evidence.AnyBoundary, evidence.BeginOfCreation},
}

// boundaries are what the boundaries of a span are of.
func (b *builder) boundaries(s *spans.Span) (begin, end evidence.Boundary) {
	if of, ok := boundariesOf[s.Kind]; ok {
		return of[0], of[1]
	}
	if b.known[s.ParentID] == nil {
		return begin, evidence.EndOfSpan
	}
	return begin, evidence.EndOfStart
}

// doubtsAbout are the doubts that the boundaries of a span may have: those about the pod that
// it is about, or about the workload, if it is the root of a change, which ends when the
// workload says so. What ends with pods, as steps do, has those of any.
func (b *builder) doubtsAbout(s *spans.Span) []evidence.Doubts {
	subject, _, _ := strings.Cut(s.Subject, " container/")
	root := b.known[s.ParentID] == nil
	if root && b.endsBySelf || !root && strings.HasPrefix(subject, podPrefix) {
		return []evidence.Doubts{b.doubts[subject]}
	}
	return slices.Collect(maps.Values(b.doubts))
}

// podPrefix begins the subjects of pods.
const podPrefix = "pod/"

// addProof says how well a boundary is known, unless whoever built the span has.
func addProof(s *spans.Span, p evidence.Proof, precision, source attribute.Key) {
	if _, said := s.Attribute(precision); !said {
		s.Attributes = append(s.Attributes, p.Attributes(precision, source)...)
	}
}
