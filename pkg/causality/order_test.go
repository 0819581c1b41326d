package causality_test

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"go.opentelemetry.io/otel/attribute"
	corev1 "k8s.io/api/core/v1"
	"pgregory.net/rapid"

	"github.com/rollspan/rollspan/pkg/causality"
	"github.com/rollspan/rollspan/pkg/spans"
	"github.com/rollspan/rollspan/pkg/spans/attr"
)

// The streams of different kinds and objects reach a watcher in any
// interleaving. These tests reorder recordings as a cluster might have sent
// them.

// maxLag is how much later than others an observation may come: less than the
// settle period, which is there for that.
const maxLag = 3 * time.Second

// delivery is an observation and when it is delivered.
type delivery struct {
	causality.Observation
	at  time.Time
	seq int
}

// deliver orders observations by their time plus a lag, but keeps the order
// within each object.
func deliver(obs []causality.Observation, lag func(causality.Observation) time.Duration) []causality.Observation {
	ds := make([]delivery, len(obs))
	last := map[string]time.Time{}
	for i, o := range obs {
		at := o.Time.Add(lag(o))
		if id := identity(o); at.Before(last[id]) {
			at = last[id]
		} else {
			last[id] = at
		}
		ds[i] = delivery{o, at, i}
	}
	slices.SortFunc(ds, func(a, b delivery) int { return cmp.Or(a.at.Compare(b.at), cmp.Compare(a.seq, b.seq)) })
	out := make([]causality.Observation, len(ds))
	for i, d := range ds {
		out[i] = d.Observation
	}
	return out
}

// canonical renders every span by itself, sorted, so that the order in which
// traces were handed out does not matter.
func canonical(traces []spans.Trace) []string {
	var out []string
	for _, s := range allSpans(traces) {
		out = append(out, fmt.Sprintf("%+v", s))
	}
	slices.Sort(out)
	return out
}

func diff(t interface{ Errorf(string, ...any) }, want, got []string) {
	for _, s := range want {
		if _, ok := slices.BinarySearch(got, s); !ok {
			t.Errorf("missing: %s", s)
		}
	}
	for _, s := range got {
		if _, ok := slices.BinarySearch(want, s); !ok {
			t.Errorf("extra: %s", s)
		}
	}
}

func TestSameSpansForAnyInterleaving(t *testing.T) {
	forEachRecording(t, sameForAnyInterleaving)
}

func sameForAnyInterleaving(t *testing.T, obs []causality.Observation) {
	told := replay(obs)
	off := showWrong(obs)
	// How well it is known when that was which a clock stated that may have jumped depends on what
	// it had stated before: what it stated does not.
	jumped := strings.Contains(t.Name(), "/clocks-")
	same := func(traces []spans.Trace) []string {
		if jumped {
			traces = withoutDoubtsByArrival(traces)
		}
		return canonical(traces)
	}
	want := same(told)
	rapid.Check(t, func(t *rapid.T) {
		// A lag for every observation, drawn in bulk: rapid shrinks it.
		lags := rapid.SliceOfN(rapid.IntRange(0, int(maxLag/time.Millisecond)), len(obs), len(obs)).Draw(t, "lags")
		i := -1
		shuffled := deliver(obs, func(causality.Observation) time.Duration {
			i++
			return time.Duration(lags[i]) * time.Millisecond
		})
		if off {
			// What is stated by it first dates it, and the API states seconds.
			by := moved(t, wrongClock{}, brief(told), brief(replay(shuffled)))
			if by[len(by)-1] > 2*time.Second {
				t.Fatalf("a boundary moved by %s", by[len(by)-1])
			}
			return
		}
		diff(t, want, same(replay(shuffled)))
	})
}

// withoutDoubtsByArrival are the traces without how well boundaries are known that arrival tells of.
func withoutDoubtsByArrival(traces []spans.Trace) []spans.Trace {
	out := slices.Clone(traces)
	for i := range out {
		out[i].Spans = slices.Clone(out[i].Spans)
		for j := range out[i].Spans {
			s := &out[i].Spans[j]
			for precision, source := range map[attribute.Key]attribute.Key{attr.StartPrecisionKey: attr.StartSourceKey, attr.EndPrecisionKey: attr.EndSourceKey} {
				if value(*s, source).AsString() == string(attr.SourceArrival) {
					s.Attributes = slices.DeleteFunc(slices.Clone(s.Attributes), func(kv attribute.KeyValue) bool { return kv.Key == precision || kv.Key == source })
				}
			}
		}
	}
	return out
}

func TestSameSpansWithOneStreamLagging(t *testing.T) {
	kinds := []string{"Deployment", "ReplicaSet", "Pod", "Event"}
	forEachRecording(t, func(t *testing.T, obs []causality.Observation) {
		want := canonical(replay(obs))
		for _, kind := range kinds {
			for _, lag := range []time.Duration{100 * time.Millisecond, time.Second, maxLag} {
				diff(t, want, canonical(replay(lagging(obs, kind, lag))))
				if t.Failed() {
					t.Fatalf("with %s lagging by %s", kind, lag)
				}
			}
		}
	})
}

// lagging delivers the observations of one kind late.
func lagging(obs []causality.Observation, kind string, lag time.Duration) []causality.Observation {
	return deliver(obs, func(o causality.Observation) time.Duration {
		if kindOf(o) == kind {
			return lag
		}
		return 0
	})
}

func kindOf(o causality.Observation) string {
	t := fmt.Sprintf("%T", o.Object)
	return t[strings.LastIndexByte(t, '.')+1:]
}

// A stream that lags for real also has later arrivals, which are evidence of
// time. Then times may move, within what the API still states, but nothing
// else may.
func TestSameStoryWithLateArrivals(t *testing.T) {
	forEachRecording(t, func(t *testing.T, obs []causality.Observation) {
		want := story(replay(obs))
		for _, kind := range []string{"Deployment", "ReplicaSet", "Pod", "Event"} {
			late := lagging(obs, kind, maxLag)
			for i := range late {
				if kindOf(late[i]) == kind {
					late[i].Time = late[i].Time.Add(maxLag)
				}
			}
			got := story(replay(late))
			for id, w := range want {
				g, ok := got[id]
				if !ok {
					t.Errorf("%s late: missing %s", kind, w.text)
					continue
				}
				if g.text != w.text {
					t.Errorf("%s late: %s became %s", kind, w.text, g.text)
				}
				if off := later(g.start, w.start).Sub(earlier(g.start, w.start)); off > maxLag+time.Second {
					t.Errorf("%s late: the start of %s moved by %s", kind, w.text, off)
				}
			}
			for id, g := range got {
				if _, ok := want[id]; !ok {
					t.Errorf("%s late: extra %s", kind, g.text)
				}
			}
		}
	})
}

type line struct {
	text       string
	start, end time.Time
}

// story is what happened, without how long it took: by span ID, the name,
// object and outcome. What the kubelet did for a container is told by Events
// and is left out, and so are the spans that only Events make, and how late the kubelet's
// report was, which only arrivals tell.
func story(traces []spans.Trace) map[string]line {
	out := map[string]line{}
	for _, s := range allSpans(traces) {
		switch s.Name {
		case "pull image", "start container", "run container", "back off", "stop container", "become ready", "paused", "status latency":
			continue
		}
		// Of a wait for old pods that is over in the second that the API states, only arrivals tell.
		shortly := s.Name == "old pod wait" && s.End.Sub(s.Start) < time.Second
		if strings.HasSuffix(s.Name, " activity") || s.Name == "late events" || shortly {
			continue
		}
		text := fmt.Sprintf("%s %s %s parent %s", s.Name, s.Subject, value(s, "rollspan.outcome").AsString(), s.ParentID)
		out[s.TraceID.String()+s.SpanID.String()] = line{text, s.Start, s.End}
	}
	return out
}

func earlier(a, b time.Time) time.Time {
	if a.Before(b) {
		return a
	}
	return b
}

// After an outage of the API server a watch delivers at once what happened
// meanwhile. The arrivals say nothing then; the API's own seconds must do.
func TestSameStoryAfterAnOutage(t *testing.T) {
	forEachRecording(t, func(t *testing.T, obs []causality.Observation) {
		back := obs[0].Time.Add(70 * time.Second)
		late := slices.Clone(obs)
		for i := range late {
			if late[i].Time.Before(back) {
				late[i].Time = back
			}
		}
		sameStory(t, story(replay(obs)), story(replay(late)))
	})
}

// sameStory compares what happened, and when to a second or two.
func sameStory(t *testing.T, want, got map[string]line) {
	t.Helper()
	for id, w := range want {
		g, ok := got[id]
		if !ok {
			t.Errorf("missing: %s", w.text)
			continue
		}
		if g.text != w.text {
			t.Errorf("%s became %s", w.text, g.text)
		}
		if !near(g.start, w.start) || !near(g.end, w.end) {
			t.Errorf("%s moved from %s..%s to %s..%s", w.text, w.start, w.end, g.start, g.end)
		}
	}
	for id, g := range got {
		if _, ok := want[id]; !ok {
			t.Errorf("extra: %s", g.text)
		}
	}
}

// Status is a co-equal source: without any Event the same story stands, with
// times to the second.
func TestTheTreeStandsWithoutEvents(t *testing.T) {
	forEachRecording(t, func(t *testing.T, obs []causality.Observation) {
		sameStory(t, story(replay(obs)), story(replay(withoutEvents(obs))))
	})
}

// near allows for the second that the API rounds to, and for the kubelet
// reporting what it did a second later.
func near(a, b time.Time) bool { return a.Sub(b).Abs() <= 2*time.Second }

// Any subset of Events may be missing: the spam filter eats some, a full etcd
// others.
func TestTheStoryStandsWithAnySubsetOfEvents(t *testing.T) {
	forEachRecording(t, func(t *testing.T, obs []causality.Observation) {
		want := story(replay(obs))
		rapid.Check(t, func(t *rapid.T) {
			keep := map[string]bool{}
			var kept []causality.Observation
			for _, o := range obs {
				if _, is := o.Object.(*corev1.Event); is {
					id := identity(o)
					if _, drawn := keep[id]; !drawn {
						keep[id] = rapid.Bool().Draw(t, "keep")
					}
					if !keep[id] {
						continue
					}
				}
				kept = append(kept, o)
			}
			got := story(replay(kept))
			for id, w := range want {
				if g, ok := got[id]; !ok || g.text != w.text {
					t.Errorf("%s became %s", w.text, g.text)
				}
			}
		})
	})
}
