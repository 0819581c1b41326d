package causality_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	semconv "go.opentelemetry.io/otel/semconv/v1.43.0"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/watch"

	"github.com/rollspan/rollspan/pkg/causality"
	"github.com/rollspan/rollspan/pkg/spans"
)

// happened is what the stream says of an Event: how often it had happened by the end, as
// far as it was there to be seen, and that it was there before.
type happened struct {
	*corev1.Event
	count   int
	initial bool
	// before is how often it had happened before it was first seen, if it was written anew.
	before int
}

// events reads the Events, by their UIDs.
func events(obs []causality.Observation) map[types.UID]*happened {
	all := map[types.UID]*happened{}
	for _, o := range obs {
		ev, ok := o.Object.(*corev1.Event)
		if !ok || o.Type == watch.Deleted {
			continue
		}
		h := all[ev.UID]
		if h == nil {
			h = &happened{Event: ev, initial: o.Initial}
			all[ev.UID] = h
		}
		count := int(ev.Count)
		if ev.Series != nil {
			count = int(ev.Series.Count)
		}
		if h.count == 0 && o.Time.Sub(ev.FirstTimestamp.Time) > time.Minute {
			h.before = max(count-1, 0)
		}
		h.count = max(h.count, count, 1)
	}
	return all
}

// Each time that an Event happened is told once: on the spans that have it, the counts add
// up to the Event's own.
func TestLawEveryRepetitionOfAnEventIsToldOnce(t *testing.T) {
	forEachStory(t, func(t *testing.T, obs []causality.Observation) {
		told := map[types.UID]int{}
		for _, s := range allSpans(replay(obs)) {
			for _, e := range s.Events {
				told[types.UID(textOf(e.Attributes, "k8s.event.uid"))] += int(valueOf(e.Attributes, "k8s.event.count").AsInt64())
			}
		}
		for uid, ev := range events(obs) {
			if got := told[uid]; got != ev.count-ev.before && !ev.initial {
				t.Errorf("Event %s (%s of %s %s) happened %d times, and spans have %d", ev.Name, ev.Reason, ev.InvolvedObject.Kind, ev.InvolvedObject.Name, ev.count-ev.before, got)
			}
		}
	})
}

// explained are what is told of an object, by its namespace and name: in the time of such a
// span no Event about the object is an activity. What is said of a node, or of a CronJob, in
// the time of a disruption or of a schedule may be about something else.
func explained(all []spans.Span) map[string][]spans.Span {
	by := map[string][]spans.Span{}
	for _, s := range all {
		object, container, _ := strings.Cut(s.Subject, " ")
		about := s.Name == "Pod start" || s.Name == "Pod run" || s.Name == "Pod stop" || isRoot(s)
		switch {
		case strings.HasSuffix(s.Name, " activity") || !about || container != "" && s.Name != "Container restart":
		case s.Name == "Node disruption" || s.Name == "CronJob schedule":
		default:
			by[namespaced(s, object)] = append(by[namespaced(s, object)], s)
		}
	}
	return by
}

func namespaced(s spans.Span, object string) string {
	return value(s, semconv.K8SNamespaceNameKey).AsString() + " " + object
}

// No Event is an activity in whose time something was going on about its object that is
// told of, or that was still open when the stream ended: it is on that.
func TestLawNoEventIsAnActivityWhileItsObjectIsExplained(t *testing.T) {
	activities := 0
	forEachStory(t, func(t *testing.T, obs []causality.Observation) {
		all, said := allSpans(replay(obs)), events(obs)
		by := explained(all)
		for _, s := range all {
			if !isRoot(s) || !strings.HasSuffix(s.Name, " activity") {
				continue
			}
			activities++
			for _, e := range s.Events {
				ev := said[types.UID(textOf(e.Attributes, "k8s.event.uid"))]
				for _, in := range by[namespaced(s, s.Subject)] {
					_, container, whole := strings.Cut(in.Subject, " container/")
					other := whole && ev.InvolvedObject.FieldPath != "" && !strings.HasSuffix(ev.InvolvedObject.FieldPath, "{"+container+"}")
					if !e.Time.Before(in.Start) && !e.Time.After(in.End) && !other {
						t.Errorf("%s of %s at %s is an activity in the time of its %s (%s to %s)", e.Name, s.Subject,
							e.Time.Format(time.TimeOnly), in.Name, in.Start.Format(time.TimeOnly), in.End.Format(time.TimeOnly))
					}
				}
			}
		}
	})
	if activities == 0 {
		t.Error("there is no activity: the law was not put to the test")
	}
}

// Whatever the stream, no two spans have one ID: a backend would keep one of them.
func TestLawSpanIDsAreUniqueInAnyStream(t *testing.T) {
	for i, base := range baseStreams(t) {
		for seed := range uint64(3) {
			e := newEngine(causality.Options{InProgressAfter: time.Minute})
			e.SetWorkBudget(200_000)
			var out []spans.Trace
			for _, o := range mutated(base, drawn(mix(uint64(i), seed^7), 6)) {
				out = append(out, e.Observe(o)...)
			}
			seen := map[string]string{}
			for _, s := range allSpans(append(out, e.Flush()...)) {
				id, is := s.TraceID.String()+s.SpanID.String(), fmt.Sprintf("%s %s at %s", s.Name, s.Subject, s.Start)
				if other, dup := seen[id]; dup {
					t.Errorf("stream %d, seed %d: %s has the ID of %s", i, seed, is, other)
				}
				seen[id] = is
			}
		}
	}
}

// However late the streams of one kind are, within the settle period, an Event is in the
// trace that it is in when they are not.
func TestLawNoEventEndsInAnotherTrace(t *testing.T) {
	forEachStory(t, func(t *testing.T, obs []causality.Observation) {
		want := homes(replay(obs))
		kinds := map[string]bool{}
		for _, o := range obs {
			kinds[kindOf(o)] = true
		}
		for kind := range kinds {
			late := lagging(obs, kind, maxLag)
			for id, home := range homes(replay(late)) {
				if was, ok := want[id]; ok && was != home {
					t.Errorf("%s out of order: the Event %s is in %s, and not in %s", kind, id, home, was)
				}
			}
			if kinds["PartialObjectMetadata"] {
				continue // of a Rollout, which says little, the news is all there is to date it by
			}
			for i := range late {
				if kindOf(late[i]) == kind {
					late[i].Time = late[i].Time.Add(maxLag) // the news is late, too
				}
			}
			for id, home := range homes(replay(late)) {
				if was, ok := want[id]; ok && was != home {
					t.Errorf("%s late: the Event %s is in %s, and not in %s", kind, id, home, was)
				}
			}
		}
	})
}

// homes are the traces that Events are in. An activity is any: when a burst ends depends on
// when its Events come.
func homes(traces []spans.Trace) map[string]string {
	in := map[string]string{}
	for _, s := range allSpans(traces) {
		home := s.TraceID.String()
		if isRoot(s) && strings.HasSuffix(s.Name, " activity") {
			home = "an activity"
		}
		for _, e := range s.Events {
			in[textOf(e.Attributes, "k8s.event.uid")+" at "+e.Time.String()] = home
		}
	}
	return in
}
