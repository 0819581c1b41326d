package watcher

import (
	"fmt"
	"math/rand/v2"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"go.opentelemetry.io/otel/trace"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/watch"
	clocktesting "k8s.io/utils/clock/testing"

	"github.com/rollspan/rollspan/pkg/causality"
	"github.com/rollspan/rollspan/pkg/journal"
	"github.com/rollspan/rollspan/pkg/spans"
	"github.com/rollspan/rollspan/pkg/spans/attr"
	spankind "github.com/rollspan/rollspan/pkg/spans/kind"
)

// A recording is cut anywhere: for a while nobody looks, as there is no process, or as the API server
// is away from it. Then each watch tells what it has missed, one after the other. The spans are
// those of who was there all the time: the same IDs, parents, names and outcomes, and each boundary
// within the second, or within the precision that it states.
func TestWatchedOnAfterACut(t *testing.T) {
	files, err := filepath.Glob(filepath.Join(recordings, "*.jsonl"))
	if err != nil || len(files) == 0 {
		t.Fatalf("no recordings: %v", err)
	}
	cuts, compared := 4, 0
	if testing.Short() {
		cuts = 2
	}
	for _, file := range files {
		name := filepath.Base(file)
		t.Run(strings.TrimSuffix(name, ".jsonl"), func(t *testing.T) {
			want := bySpan(tellWithGap(t, name, time.Time{}, time.Time{}, true))
			all := recorded(t, name)
			for cut := range cuts {
				r := rand.New(rand.NewPCG(uint64(cut), 5)) //nolint:gosec // It is a seed.
				from := all[r.IntN(len(all))].Time
				until := from.Add(time.Duration(1+r.IntN(60)) * time.Second)
				for _, another := range []bool{true, false} {
					got := bySpan(tellWithGap(t, name, from, until, another))
					where := fmt.Sprintf("away from %s until %s, another process %t", from.Format(time.TimeOnly), until.Format(time.TimeOnly), another)
					compared += compareSpans(t, where, want, got)
				}
			}
		})
	}
	if compared < 1000 {
		t.Errorf("%d spans were compared", compared)
	}
}

// tellWithGap is what is told of a recording by a process that was not there for a while, or from
// which the API server was away.
func tellWithGap(t *testing.T, name string, from, until time.Time, another bool) (told []spans.Trace) {
	t.Helper()
	l := newTestLive(t)
	l.listed = true
	clock := clocktesting.NewFakeClock(time.Time{})
	l.options.Clock = clock
	k := remembering(t, causality.New(causality.Options{}))
	var now time.Time
	passes := func(to time.Time) {
		for !now.IsZero() && to.Sub(now) > time.Second {
			now = now.Add(time.Second)
			told = append(told, k.Advance(now)...)
		}
		now = to
	}
	missed := map[string][]causality.Observation{}
	var sources []string
	back := func() {
		says := func(m sourceMark) { l.take(nil, queued{mark: &m}) }
		if another {
			l.backlog = newBacklog(map[string]bool{})
		} else {
			clock.SetTime(now)
			for _, source := range append(sources, "Node ") { // of nodes there is nothing to tell
				says(sourceMark{source: source, away: true})
			}
		}
		clock.SetTime(until)
		for _, source := range sources {
			for _, o := range missed[source] {
				o.Time, o.Since = until, statedBy(o.Object.(metav1.Object))
				l.take(nil, queued{Observation: o})
			}
			says(sourceMark{source: source, version: versionOf(missed[source][len(missed[source])-1].Object)})
		}
		if !another {
			if len(sources) > 0 && !l.backlog.waiting(until) {
				t.Error("it waits for nothing, though not all have caught up")
			}
			says(sourceMark{source: "Node ", version: "1"})
		}
		if l.backlog.waiting(until) {
			t.Errorf("it waits for %v", l.backlog.waits)
		}
		told = append(told, l.tellBacklog(k)...)
		now, missed = until, nil
	}
	for _, o := range recorded(t, name) {
		switch {
		case o.Time.After(from) && o.Time.Before(until):
			source := l.sourceOf(o)
			if missed[source] == nil {
				sources = append(sources, source)
			}
			missed[source] = append(missed[source], o)
			continue
		case missed != nil && !until.IsZero() && !o.Time.Before(until):
			back()
		}
		passes(o.Time)
		told = append(told, k.Observe(o)...)
	}
	if missed != nil && !until.IsZero() {
		back()
	}
	passes(now.Add(5 * time.Minute))
	return told
}

// momentary are kinds of spans that are there or not by when somebody looked.
var momentary = map[spankind.Kind]bool{
	spankind.Activity: true, spankind.LateEvents: true, spankind.InProgress: true, spankind.StatusLatency: true, spankind.RemovePod: true,
}

func bySpan(traces []spans.Trace) map[journal.SpanKey]spans.Span {
	out := map[journal.SpanKey]spans.Span{}
	for _, tr := range traces {
		for _, s := range tr.Spans {
			if !momentary[s.Kind] {
				out[journal.SpanKey{TraceID: s.TraceID, SpanID: s.SpanID}] = s
			}
		}
	}
	return out
}

func compareSpans(t *testing.T, where string, want, got map[journal.SpanKey]spans.Span) (compared int) {
	t.Helper()
	for key, w := range want {
		g, ok := got[key]
		if !ok {
			// What API objects state in whole seconds may begin and end at once.
			if w.ParentID == (trace.SpanID{}) || w.End.Sub(w.Start) >= time.Second {
				t.Errorf("%s: %s %s is not told", where, w.Name, w.Subject)
			}
			continue
		}
		compared++
		wanted, _ := w.Attribute(attr.OutcomeKey)
		outcome, _ := g.Attribute(attr.OutcomeKey)
		if g.Name != w.Name || g.ParentID != w.ParentID || outcome != wanted {
			t.Errorf("%s: %s %s is %s below %s %v, and not below %s %v", where, w.Name, w.Subject, g.Name, g.ParentID, outcome, w.ParentID, wanted)
		}
		for _, b := range []struct {
			what      string
			got, want time.Time
			precision float64
		}{
			{"begins", g.Start, w.Start, precision(&g, string(attr.StartPrecisionKey)) + precision(&w, string(attr.StartPrecisionKey))},
			{"ends", g.End, w.End, precision(&g, string(attr.EndPrecisionKey)) + precision(&w, string(attr.EndPrecisionKey))},
		} {
			if off := b.got.Sub(b.want); off.Abs().Seconds() > 1+b.precision {
				t.Errorf("%s: %s %s %s %s off, by a precision of %.1f s", where, w.Name, w.Subject, b.what, off, b.precision)
			}
		}
	}
	for key, g := range got {
		if _, ok := want[key]; !ok {
			t.Errorf("%s: %s %s did not happen", where, g.Name, g.Subject)
		}
	}
	return compared
}

func precision(s *spans.Span, key string) float64 {
	for _, a := range s.Attributes {
		if string(a.Key) == key {
			return a.Value.AsFloat64()
		}
	}
	return 0
}

// What a watch tells that has caught up, while others have not, is live: it keeps the time at which
// it came, and what is late is before it where its version is. So it is whenever the last of them
// has caught up.
func TestWhatIsLiveKeepsItsTime(t *testing.T) {
	at := func(s float64) time.Time { return time.Unix(1000, int64(s*1e9)) }
	pod := func(version string, made, came float64, isLate bool) causality.Observation {
		p := webAt(version)
		p.SetGroupVersionKind(podKind.GroupVersionKind)
		p.UID, p.CreationTimestamp = types.UID(version), metav1.NewTime(at(made).Truncate(time.Second))
		o := causality.Observation{Time: at(came), Type: watch.Added, Object: p}
		if isLate {
			o.Since = statedBy(p)
		}
		return o
	}
	b := newBacklog(map[string]string{"Pod ": "10", "Deployment.apps ": "10"})
	b.add(pod("11", 5, 20, true), "Pod ", false)
	b.mark(sourceMark{source: "Pod ", version: "11"}, true)
	b.add(pod("14", 21, 21.3, false), "Pod ", false)
	b.add(pod("15", 26, 26.4, false), "Pod ", false)
	b.add(pod("12", 8, 27, true), "Deployment.apps ", false)
	late := pod("13", 1, 27, true) // it states nothing new, and was written before what came live
	late.Type = watch.Modified
	b.add(late, "Deployment.apps ", false)
	var got []string
	for _, m := range b.sorted(at(2), at(2), at(30)) {
		got = append(got, fmt.Sprintf("%s by %.1f, live %t", m.version, m.by.Sub(at(0)).Seconds(), m.isLive && m.by.Equal(m.came)))
	}
	want := []string{
		"11 by 5.5, live false", "12 by 8.5, live false", "13 by 20.8, live false", "14 by 21.3, live true", "15 by 26.4, live true",
	}
	if !slices.Equal(got, want) {
		t.Errorf("got  %q\nwant %q", got, want)
	}
}

// What is live is told with the time at which it came, by the clock that it was read from, and with no
// doubt; what is late with the time that the API server states, and how well that is known.
func TestLiveAndLateAreTold(t *testing.T) {
	l := newTestLive(t)
	at := func(s int) time.Time { return time.Unix(int64(1000+s), 0) }
	l.options.Clock = clocktesting.NewFakeClock(at(60))
	engine := &noting{Engine: causality.New(causality.Options{})}
	k := remembering(t, engine)
	k.Advance(at(0))
	l.backlog = newBacklog(map[string]string{"Pod ": "10", "Deployment.apps ": "10"})
	for _, in := range []struct {
		version string
		isLate  bool
		came    time.Time
	}{{"11", true, at(40)}, {"12", false, at(45)}} {
		p := webAt(in.version)
		p.SetGroupVersionKind(podKind.GroupVersionKind)
		p.UID, p.CreationTimestamp = types.UID(in.version), metav1.NewTime(at(30))
		o := causality.Observation{Time: in.came, Type: watch.Added, Object: p}
		if in.isLate {
			o.Since = statedBy(p)
		} else {
			l.take(nil, queued{mark: &sourceMark{source: "Pod ", version: "11"}})
		}
		l.take(nil, queued{Observation: o})
	}
	l.tellBacklog(k)
	if len(engine.told) != 2 || engine.told[0].Time.After(at(31)) || engine.told[0].Since.IsZero() ||
		!engine.told[1].Time.Equal(at(45)) || !engine.told[1].Since.IsZero() {
		t.Errorf("the engine is told %+v", engine.told)
	}
}

// noting keeps what an engine has observed.
type noting struct {
	*causality.Engine
	told []causality.Observation
}

func (e *noting) Observe(o causality.Observation) []spans.Trace {
	e.told = append(e.told, o)
	return e.Engine.Observe(o)
}
