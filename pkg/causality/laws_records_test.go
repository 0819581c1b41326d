package causality_test

import (
	"cmp"
	"fmt"
	"slices"
	"testing"
	"time"

	"go.opentelemetry.io/otel/attribute"
	semconv "go.opentelemetry.io/otel/semconv/v1.43.0"
	"go.opentelemetry.io/otel/trace"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/watch"
	"pgregory.net/rapid"

	"github.com/rollspan/rollspan/pkg/causality"
	"github.com/rollspan/rollspan/pkg/spans"
	"github.com/rollspan/rollspan/pkg/spans/kind"
)

// recorded is an engine that makes log records, and what it has handed out.
type recorded struct {
	*causality.Engine
	traces  []spans.Trace
	records []*spans.Record
	// handed is when each trace was handed out, and told each record.
	handed, told []time.Time
}

func newRecorded() *recorded {
	return &recorded{Engine: newEngine(causality.Options{Records: func(*corev1.Event) bool { return true }})}
}

func (r *recorded) take(now time.Time, out []spans.Trace) {
	for _, t := range out {
		if t.Record == nil {
			r.traces, r.handed = append(r.traces, t), append(r.handed, now)
			continue
		}
		r.records, r.told = append(r.records, t.Record), append(r.told, now)
	}
}

// feed gives the engine observations, and the time every second between them, as a live
// watch does.
func (r *recorded) feed(obs []causality.Observation) {
	last := time.Time{}
	for _, o := range obs {
		for !last.IsZero() && o.Time.Sub(last) > time.Second && o.Time.Sub(last) < time.Hour {
			last = last.Add(time.Second)
			r.take(last, r.Advance(last))
		}
		r.take(o.Time, r.Observe(o))
		if o.Time.After(last) {
			last = o.Time
		}
	}
}

func recordedOf(obs []causality.Observation) *recorded {
	r := newRecorded()
	r.feed(obs)
	r.take(time.Time{}, r.Flush())
	return r
}

// has are the Events of spans, by the span and the Event; those of a whole trace have no span.
type has map[string]bool

// eventOf tells apart the Events that span events and records are made of.
func eventOf(attrs []attribute.KeyValue) string {
	return cmp.Or(textOf(attrs, "k8s.event.uid"), textOf(attrs, "k8s.event.name"))
}

func (r *recorded) carried() has {
	all := has{}
	for _, s := range allSpans(r.traces) {
		for _, e := range s.Events {
			ev := eventOf(e.Attributes)
			all[fmt.Sprint(s.TraceID, s.SpanID, ev)] = true
			all[fmt.Sprint(s.TraceID, trace.SpanID{}, ev)] = true
		}
	}
	return all
}

// wrong are the records that name what does not have their Event.
func (r *recorded) wrong() (out []string) {
	carried := r.carried()
	for _, record := range r.records {
		ev := eventOf(record.Attributes)
		switch {
		case record.SpanID.IsValid() && !record.TraceID.IsValid():
			out = append(out, "a span without a trace: "+shown(record))
		case record.TraceID.IsValid() && !carried[fmt.Sprint(record.TraceID, record.SpanID, ev)]:
			where := ""
			for _, s := range allSpans(r.traces) {
				for _, e := range s.Events {
					if eventOf(e.Attributes) == ev {
						where += fmt.Sprintf(" %s %s (trace %v)", s.Name, s.Subject, s.TraceID == record.TraceID)
					}
				}
			}
			out = append(out, "not where the record says: "+shown(record)+"; it is on"+where)
		}
	}
	return out
}

func shown(r *spans.Record) string {
	return fmt.Sprintf("%s %s %s: %s", r.Time.Format(time.TimeOnly), r.Subject, r.Reason, r.Message)
}

// No record names a trace that does not have its Event in the end, nor a span.
func TestLawNoRecordNamesATraceThatDoesNotHaveItsEvent(t *testing.T) {
	records, traces, ided := 0, 0, 0
	forEachStory(t, func(t *testing.T, obs []causality.Observation) {
		r := recordedOf(obs)
		for _, w := range r.wrong() {
			t.Error(w)
		}
		for _, record := range r.records {
			records++
			if record.TraceID.IsValid() {
				traces++
			}
			if record.SpanID.IsValid() {
				ided++
			} else if testing.Verbose() {
				t.Log("no span: ", shown(record))
			}
		}
	})
	t.Logf("%d records, %d name a trace, %d a span", records, traces, ided)
}

// Each news of an Event makes one record, if the Event was not there before the watch: one for
// each count, or, of those that do not count, for each second.
func TestLawEveryCountOfAnEventMakesOneRecord(t *testing.T) {
	forEachStory(t, func(t *testing.T, obs []causality.Observation) {
		want := map[string]int{}
		for _, o := range obs {
			in, ok := o.Object.(*corev1.Event)
			if !ok || o.Type == watch.Deleted {
				continue
			}
			count, last := max(in.Count, 1), in.LastTimestamp.Time
			if in.Series != nil {
				count, last = in.Series.Count, in.Series.LastObservedTime.Time
			}
			key := fmt.Sprint(in.Namespace, in.Name, in.UID, count, last.Unix())
			if o.Initial {
				want[key] = -1
			} else if want[key] == 0 {
				want[key] = 1
			}
		}
		r := recordedOf(obs)
		uids := map[trace.TraceID]bool{}
		for _, record := range r.records {
			if uids[record.UID] {
				t.Errorf("there twice: %s", shown(record))
			}
			uids[record.UID] = true
		}
		n := 0
		for _, w := range want {
			if w > 0 {
				n++
			}
		}
		if len(r.records) != n {
			t.Errorf("%d records, want %d", len(r.records), n)
		}
	})
}

// A record is handed out within ten seconds of the news of its Event.
func TestRecordsAreHandedOutWithinTenSeconds(t *testing.T) {
	forEachRecording(t, func(t *testing.T, obs []causality.Observation) {
		r := recordedOf(obs)
		for i, record := range r.records {
			if late := r.told[i].Sub(record.Observed); !r.told[i].IsZero() && late > 10*time.Second {
				t.Errorf("handed out after %s: %s", late, shown(record))
			}
		}
	})
}

// The spans are the same whether records are made or not.
func TestRecordsChangeNoSpan(t *testing.T) {
	forEachRecording(t, func(t *testing.T, obs []causality.Observation) {
		without := &recorded{Engine: newEngine(causality.Options{})}
		without.feed(obs)
		without.take(time.Time{}, without.Flush())
		diff(t, canonical(without.traces), canonical(recordedOf(obs).traces))
	})
}

// The same holds wherever the stream ends, and however late its parts come: by less than the settle
// period, whether the watcher dates them by that or not.
func TestLawNoRecordIsWrongWhereverTheStreamEnds(t *testing.T) {
	forEachStory(t, func(t *testing.T, obs []causality.Observation) {
		rapid.Check(t, func(t *rapid.T) {
			lags := rapid.SliceOfN(rapid.IntRange(0, int(maxLag/time.Millisecond)), len(obs), len(obs)).Draw(t, "lags")
			late := rapid.Bool().Draw(t, "late")
			i := -1
			shuffled := deliver(obs, func(causality.Observation) time.Duration {
				i++
				return time.Duration(lags[i]) * time.Millisecond
			})
			now := time.Time{}
			for i := range shuffled {
				if now = later(now, shuffled[i].Time); late {
					shuffled[i].Time = now
				}
			}
			cut := rapid.IntRange(0, len(shuffled)).Draw(t, "cut")
			r := recordedOf(shuffled[:cut])
			if wrong := r.wrong(); len(wrong) > 0 {
				slices.Sort(wrong)
				t.Fatalf("%d are wrong, such as %s", len(wrong), wrong[0])
			}
		})
	})
}

// The same holds where recorders of Events have a backlog, as on a loaded machine: of each of them
// the Events come in order, by up to eight seconds late, which is as long as a record waits, or by as
// much as client-go's recorder tries for. The records are handed out in time all the same, and name
// what does not hang on Events that are still to come.
func TestLawNoRecordIsWrongHoweverLateEventsAre(t *testing.T) {
	for _, late := range []struct {
		by    time.Duration
		spans int // how many of a hundred records name a span, at least
	}{{8 * time.Second, 30}, {30 * time.Second, 25}, {150 * time.Second, 15}} {
		t.Run(late.by.String(), func(t *testing.T) {
			records, traces, ided := 0, 0, 0
			forEachRecording(t, func(t *testing.T, obs []causality.Observation) {
				rapid.Check(t, func(t *rapid.T) {
					lags := rapid.SliceOfN(rapid.IntRange(0, int(late.by.Milliseconds())), 8, 8).Draw(t, "lags")
					r := recordedOf(backlogged(obs, lags))
					if wrong := r.wrong(); len(wrong) > 0 {
						slices.Sort(wrong)
						t.Fatalf("%d are wrong, such as %s", len(wrong), wrong[0])
					}
					for i, record := range r.records {
						records++
						if record.TraceID.IsValid() {
							traces++
						}
						if record.SpanID.IsValid() {
							ided++
						}
						if late := r.told[i].Sub(record.Observed); !r.told[i].IsZero() && late > 10*time.Second {
							t.Fatalf("handed out after %s: %s", late, shown(record))
						}
					}
				})
			})
			t.Logf("%d records, %d name a trace, %d a span", records, traces, ided)
			if records == 0 || 100*traces < 60*records || 100*ided < late.spans*records {
				t.Errorf("of %d records only %d name a trace, and %d a span", records, traces, ided)
			}
		})
	}
}

// A scheduler's Event that comes late is no word of a clock that is behind, by which the pod was
// bound when the Event came: that was over when the pod was seen with its node.
func TestBindingIsNoLaterThanItWasSeen(t *testing.T) {
	held := 0
	forEachRecording(t, func(t *testing.T, obs []causality.Observation) {
		bound := map[string]time.Time{}
		for _, o := range obs {
			if in, ok := o.Object.(*corev1.Pod); ok && in.Spec.NodeName != "" && bound[string(in.UID)].IsZero() {
				bound[string(in.UID)] = o.Time
			}
		}
		for _, s := range allSpans(replay(backlogged(obs, []int{0, 22_000, 0, 0, 22_000, 0, 0, 0}))) {
			seen := bound[textOf(s.Resource, semconv.K8SPodUIDKey)]
			if s.Kind != kind.Schedule || seen.IsZero() {
				continue
			}
			held++
			if late := s.End.Sub(seen); late > 2*time.Second {
				t.Errorf("%s %s ends %s after the pod was seen with its node", s.Name, s.Subject, late)
			}
		}
	})
	if held == 0 {
		t.Error("no pod was bound")
	}
}

// backlogged delivers the Events of each program late, by one of these lags in milliseconds, as
// its recorder sends them: the lag grows up to that while the stream goes on. What is observed of
// objects comes in time.
func backlogged(obs []causality.Observation, lags []int) []causality.Observation {
	return behindSince(obs, lags, obs[0].Time)
}

// sinceItsFirst has the backlog of each program grow since its first Event.
var sinceItsFirst time.Time

// behindSince is backlogged, where the backlogs grow since a time.
func behindSince(obs []causality.Observation, lags []int, begin time.Time) []causality.Observation {
	sources, first := map[string]int{}, map[string]time.Time{}
	last := map[int]time.Time{}
	late := make([]delivery, len(obs))
	for i, o := range obs {
		at := o.Time
		if in, ok := o.Object.(*corev1.Event); ok && !o.Initial {
			from := cmp.Or(in.ReportingController, in.Source.Component) + in.Source.Host
			if _, known := sources[from]; !known {
				sources[from] = len(sources) % len(lags)
				first[from] = begin
				if begin.IsZero() {
					first[from] = o.Time
				}
			}
			n := sources[from]
			most := time.Duration(lags[n]) * time.Millisecond
			at = later(at.Add(min(most, o.Time.Sub(first[from]))), last[n])
			last[n] = at
		}
		if lag := at.Sub(o.Time); lag > 0 {
			in := o.Object.(*corev1.Event).DeepCopy() // which the API server dates when it is written
			in.CreationTimestamp.Time = in.CreationTimestamp.Add(lag)
			o.Object, o.Time = in, at
		}
		late[i] = delivery{o, at, i}
	}
	slices.SortFunc(late, func(a, b delivery) int { return cmp.Or(a.at.Compare(b.at), cmp.Compare(a.seq, b.seq)) })
	out := make([]causality.Observation, len(late))
	for i, d := range late {
		out[i] = d.Observation
	}
	return out
}
