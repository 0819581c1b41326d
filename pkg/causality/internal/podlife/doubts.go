package podlife

import (
	"slices"
	"time"

	"github.com/rollspan/rollspan/pkg/causality/internal/evidence"
	"github.com/rollspan/rollspan/pkg/causality/stream"
	"github.com/rollspan/rollspan/pkg/spans/attr"
)

// ObserveDoubts takes in what a snapshot says of the times that it does not know to the second.
func (o *Object) ObserveDoubts(doubts []stream.Doubt) {
	for _, d := range doubts {
		source := attr.SourceInferred
		if d.Stated {
			source = attr.SourceCondition
		}
		o.doubts = o.doubts.With(evidence.Doubt{Doubt: d, Source: source})
	}
}

// DoubtLateNews notes of news that came late since when what it tells may have happened.
func (o *Object) DoubtLateNews(news stream.Observation) {
	if !news.Since.IsZero() && !news.Initial {
		o.DoubtArrival(stream.Doubt{At: news.Time, Earliest: news.Since, Latest: news.Time})
	}
}

// DoubtArrival notes that what happened by the arrival of its news may have since a time.
func (o *Object) DoubtArrival(d stream.Doubt) {
	o.doubts = o.doubts.With(evidence.Doubt{Doubt: d, Source: attr.SourceArrival})
}

// ObserveMissing notes that a pod is not there any more, of whose deletion nobody told: it has
// gone at some time since its latest state.
func (p *Pod) ObserveMissing(at time.Time) {
	p.Gone, p.GoneSeen = evidence.Arrived(at), at
	since := evidence.Latest(p.stateSeen, p.Created.Earliest)
	if !p.Leaving() {
		p.DeleteAsked, p.DeleteAskedBy = evidence.Arrived(at), evidence.Write{Arrival: at}
		p.DoubtArrival(stream.Doubt{At: at, Earliest: since, Latest: at})
		return
	}
	p.DoubtArrival(stream.Doubt{At: at, Earliest: since, Latest: at, Of: stream.DoubtOfGone})
}

// Doubts are of those times of the object that are known worse than to the second: those that
// were observed so, those that were stated about when a clock jumped, and those of an Event that had happened more often than was seen, which
// may have been what is seen of it last at any time since what was seen of it before.
func (o *Object) Doubts() evidence.Doubts {
	doubts := slices.Clip(o.doubts)
	for _, d := range o.Told.Doubts() {
		doubts = doubts.With(evidence.Doubt{Doubt: stream.Doubt{At: d.At, Earliest: d.Earliest, Latest: d.Latest}, Source: attr.SourceArrival})
	}
	for _, ev := range o.Events {
		if _, isMilestone := MilestoneKinds[ev.Reason]; !isMilestone && ev.Reason != "FailedScheduling" {
			continue
		}
		for i := 1; i < len(ev.Occurrences); i++ {
			before, is := ev.Occurrences[i-1], ev.Occurrences[i]
			if is.Count-before.Count > 1 {
				doubts = doubts.With(evidence.Doubt{Doubt: stream.Doubt{At: is.At, Earliest: before.At, Latest: is.At, Container: ev.Container}, Source: attr.SourceEvent})
			}
		}
	}
	return doubts
}
