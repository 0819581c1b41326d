package evidence

import (
	"slices"
	"time"

	"github.com/rollspan/rollspan/pkg/causality/stream"
	"github.com/rollspan/rollspan/pkg/spans/attr"
)

// Doubts are what is known of those times of an object that are known worse than to the
// second. Spans are dated by way of many rules, which take the latest and the earliest of
// times; so whoever has built them asks here whether a boundary is one of these times, rather
// than that each rule carries along how good it is.
type Doubts []Doubt

// Doubt is a time that is worse than to the second, and what tells of it.
type Doubt struct {
	stream.Doubt
	Source attr.Source
}

// DoubtOf is what is in doubt.
type DoubtOf = stream.DoubtOf

// DoubtOfStart, DoubtOfReady and DoubtOfGone are those that who builds asks for.
const (
	DoubtOfStart = stream.DoubtOfStart
	DoubtOfReady = stream.DoubtOfReady
	DoubtOfGone  = stream.DoubtOfGone
)

// EndedBetween is the doubt about a change's end, which is told to be at a time between, or at
// one of, two others: what was there first shows that it is over, and nothing more.
func EndedBetween(earliest, latest, at time.Time) Doubt {
	return Doubt{Doubt: stream.Doubt{At: at, Earliest: earliest, Latest: latest, Of: stream.DoubtOfEnd}, Source: attr.SourceArrival}
}

// OfStep is the same doubt about the end of the step that ends with the change.
func (d Doubt) OfStep() Doubt {
	d.Of = stream.DoubtOfReady
	return d
}

// maxDoubts bounds what is kept of one object.
const maxDoubts = 64

// With are these doubts and one more, unless the time is known to the second.
func (ds Doubts) With(d Doubt) Doubts {
	if !d.BeyondSecond() || slices.Contains(ds, d) {
		return ds
	}
	if len(ds) >= maxDoubts {
		ds = slices.Concat(ds[:1], ds[2:])
	}
	return append(ds, d)
}

// Boundary is what a boundary of a span is of.
type Boundary int

// The boundaries.
const (
	AnyBoundary Boundary = iota // of nothing of the following
	EndOfSpan                   // of a whole trace, or of what may have been either of the next two
	EndOfStart
	EndOfStop
	EndOfRun  // of a container; what waits for its restart begins then
	EndOfBoot // by its startup probe; the readiness probe begins then
	// BeginOfRestart is of what begins when a run ended, or was begun to be stopped.
	BeginOfRestart
	BeginOfUnready  // a pod is not Ready any more
	BeginOfStep     // a ReplicaSet was scaled
	BeginOfReason   // since when it was so why no node took a pod
	EndOfReason     // until when
	BeginOfCreation // of the start of a container, after its pull; the back off before it ends then
)

// Cuts is the boundary as far as spans are cut to it that are part of what begins there: a step
// that is dated by its first pod cuts none.
func (of Boundary) Cuts() Boundary {
	if of == BeginOfStep {
		return AnyBoundary
	}
	return of
}

// isOf reports whether what is in doubt is what a boundary is of.
func (d Doubt) isOf(of Boundary) bool {
	switch d.Of {
	case stream.DoubtOfEnd:
		return of == EndOfSpan
	case stream.DoubtOfReady:
		return of == EndOfStart || of == EndOfBoot || of == EndOfSpan
	case stream.DoubtOfGone:
		return of == EndOfStop || of == EndOfSpan
	case stream.DoubtOfBooted:
		return of == EndOfBoot
	case stream.DoubtOfRun:
		return of == EndOfRun || of == EndOfStop || of == BeginOfRestart
	case stream.DoubtOfKill:
		return of == BeginOfRestart
	case stream.DoubtOfUnready:
		return of == BeginOfUnready
	case stream.DoubtOfStep:
		return of == BeginOfStep
	case stream.DoubtOfReason:
		return of == EndOfReason
	case stream.DoubtOfRefusal:
		return of == BeginOfReason
	case stream.DoubtOfCreation:
		return of == BeginOfCreation
	case stream.DoubtOfAny, stream.DoubtOfStart:
	}
	return true
}

// About are those of one thing.
func (ds Doubts) About(of DoubtOf) (out []Doubt) {
	for _, d := range ds {
		if d.Of == of {
			out = append(out, d)
		}
	}
	return out
}

// ReadyFrom is since when a pod may have been Ready that is told to be at a time; zero if that is known.
func (ds Doubts) ReadyFrom(t time.Time) (from time.Time) {
	for _, d := range ds {
		if d.Of == stream.DoubtOfReady && t.Sub(d.At).Abs() < time.Second {
			from = Earliest(from, d.Earliest)
		}
	}
	return from
}

// Proof is how well a boundary of a span is known, if it is one of these times. Objects state
// whole seconds, which effects narrow, so that it need not be the same to the nanosecond. The
// span is about a container, unless that is "".
func (ds Doubts) Proof(t time.Time, of Boundary, container string) (worst Proof) {
	for _, d := range ds {
		if (d.Container == "" || d.Container == container) && d.isOf(of) && t.Sub(d.At).Abs() < time.Second {
			worst = worst.Worse(Proof{Precision: max(t.Sub(d.Earliest), d.Latest.Sub(t)), Source: d.Source})
		}
	}
	return worst
}
