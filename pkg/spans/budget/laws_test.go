package budget_test

import (
	"fmt"
	"math"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	semconv "go.opentelemetry.io/otel/semconv/v1.43.0"
	"go.opentelemetry.io/otel/trace"
	"pgregory.net/rapid"

	"github.com/rollspan/rollspan/pkg/otlp"
	"github.com/rollspan/rollspan/pkg/spans"
	"github.com/rollspan/rollspan/pkg/spans/attr"
	"github.com/rollspan/rollspan/pkg/spans/budget"
	"github.com/rollspan/rollspan/pkg/spans/kind"
)

// history is what an engine may hand out: rollouts in traces that they share with others, with
// what comes later.
func history(t *rapid.T) (out []spans.Trace) {
	tellers := []*teller{newTeller("one"), newTeller("two")}
	var late []func() spans.Trace
	for range rapid.IntRange(1, 6).Draw(t, "rollouts") {
		tl := rapid.SampledFrom(tellers).Draw(t, "trace")
		tr := randomRollout(t, tl)
		for range rapid.IntRange(0, 5).Draw(t, "later") {
			above := rapid.SampledFrom(leadable(tr.Spans)).Draw(t, "above")
			late = append(late, func() spans.Trace {
				list := randomPod(t, tl, above.SpanID, above.Start)
				if rapid.Bool().Draw(t, "recovery") {
					recovery := tl.span(kind.Recovery, above.SpanID, "web", 0, 100)
					recovery.Start = above.Start
					for i := range list {
						if list[i].ParentID == above.SpanID {
							list[i].ParentID = recovery.SpanID
						}
					}
					list = append([]spans.Span{recovery}, list...)
				}
				return spans.Trace{Late: true, Spans: list}
			})
		}
		out = append(out, tr)
		for len(late) > 0 && rapid.Bool().Draw(t, "now") {
			out, late = append(out, late[0]()), late[1:]
		}
	}
	for _, tell := range late {
		out = append(out, tell())
	}
	return out
}

// leadable are the spans that what comes later may hang below: roots, steps and pods.
func leadable(list []spans.Span) []spans.Span {
	return slices.DeleteFunc(slices.Clone(list), func(s spans.Span) bool {
		return s.Kind != kind.Rollout && s.Kind != kind.ScaleUp && s.Kind != kind.PodStart && s.Kind != kind.PodStop && s.Kind != kind.NotReady
	})
}

func randomRollout(t *rapid.T, tl *teller) spans.Trace {
	root := tl.span(kind.Rollout, trace.SpanID{}, "web", 0, 1000)
	list := []spans.Span{root}
	for i := range rapid.IntRange(0, 3).Draw(t, "steps") {
		step := tl.span(kind.ScaleUp, root.SpanID, fmt.Sprint("set-", i), float64(i), 900)
		list = append(list, step)
		for range rapid.SampledFrom([]int{0, 1, 5, 40}).Draw(t, "pods") {
			list = append(list, randomPod(t, tl, step.SpanID, step.Start)...)
		}
	}
	for range rapid.SampledFrom([]int{0, 3, 30}).Draw(t, "pods of the root") {
		list = append(list, randomPod(t, tl, root.SpanID, root.Start)...)
	}
	return spans.Trace{Spans: list}
}

// randomPod is a pod below a span; its parts are one after the other, or not.
func randomPod(t *rapid.T, tl *teller, above trace.SpanID, from time.Time) []spans.Span {
	seed := rapid.Uint32().Draw(t, "pod")
	next := func(n uint32) uint32 { seed = seed*1664525 + 1013904223; return seed >> 8 % n }
	name := fmt.Sprint("pod-", tl.n)
	begin := from.Sub(day).Seconds() + float64(next(500))
	pod := tl.span([]kind.Kind{kind.PodStart, kind.PodStop, kind.NotReady}[next(3)], above, name, begin, begin+float64(next(100)))
	list := []spans.Span{pod}
	for range next(6) {
		parent := list[next(uint32(len(list)))]
		at := parent.Start.Sub(day).Seconds() + float64(next(20))
		k := []kind.Kind{kind.Schedule, kind.PullImage, kind.BackOff, kind.Container, kind.StopContainer}[next(5)]
		part := tl.span(k, parent.SpanID, name, at, at+float64(next(30)))
		if next(6) == 0 {
			part.Status, part.Attributes = codes.Error, append(part.Attributes, semconv.ErrorTypeKey.String(fmt.Sprint("Reason", next(4))))
		}
		if next(5) == 0 {
			part.Attributes = append(part.Attributes, attr.CriticalKey.Bool(true))
		}
		for range next(3) {
			part.Events = append(part.Events, spans.Event{Name: fmt.Sprint("Event", next(3)), Time: part.Start, Attributes: []attribute.KeyValue{attribute.String("m", strings.Repeat("x", int(next(300))))}})
		}
		if next(4) == 0 {
			to := list[0]
			part.Links = append(part.Links, spans.Link{TraceID: to.TraceID, SpanID: to.SpanID, Attributes: []attribute.KeyValue{attr.LinkTypeKey.String("unblocked_by")}})
		}
		list = append(list, part)
	}
	return list
}

// used is what was sent of a trace.
type used struct {
	spans, bytes int
	there        map[trace.SpanID]spans.Span
}

// TestBudget holds the laws, whatever the engine hands out: no trace takes more than its
// budget, a parent is there, each span is sent or summed up once, the sums tile, links lead to
// what is there, and all of it is the same each time and whatever the order within a trace.
func TestBudget(t *testing.T) {
	z := sizes(t)
	rapid.Check(t, func(t *rapid.T) {
		options := budget.Options{MaxSpans: rapid.SampledFrom([]int{20, 60, 150, 0}).Draw(t, "spans"), MaxBytes: rapid.SampledFrom([]int{16_000, 40_000, 120_000, 0}).Draw(t, "bytes")}
		told := history(t)
		original := fmt.Sprint(told)
		out := run(options, z, told)
		of := map[trace.TraceID]*used{}
		all := map[trace.SpanID]bool{}
		for _, tr := range out {
			holdsItself(t, tr)
			for _, s := range tr.Spans {
				all[s.SpanID] = true
			}
			s := tr.Sent()
			if len(s.Spans) == 0 {
				continue
			}
			u := of[s.Spans[0].TraceID]
			if u == nil {
				u = &used{there: map[trace.SpanID]spans.Span{}}
				of[s.Spans[0].TraceID] = u
			}
			u.spans += len(s.Spans)
			u.bytes += measured(z, s.Spans)
			for _, span := range s.Spans {
				if _, again := u.there[span.SpanID]; again {
					t.Fatalf("%s is sent twice", span.Name)
				}
				u.there[span.SpanID] = span
				if _, ok := u.there[span.ParentID]; span.ParentID.IsValid() && !ok {
					t.Fatalf("%s is sent, and what is above it is not", span.Name)
				}
			}
		}
		for id, u := range of {
			if options.MaxSpans > 0 && u.spans > options.MaxSpans || options.MaxBytes > 0 && u.bytes > options.MaxBytes {
				t.Fatalf("trace %s takes %d spans and %d bytes of %+v", id, u.spans, u.bytes, options)
			}
		}
		for _, u := range of {
			for _, s := range u.there {
				for _, l := range s.Links {
					if other := of[l.TraceID]; all[l.SpanID] && other.there[l.SpanID].Name == "" && s.Kind != kind.LeftOut {
						t.Fatalf("a link of %s leads to what is not there", s.Name)
					}
				}
			}
		}
		if fmt.Sprint(told) != original {
			t.Fatal("what the engine handed out was written to")
		}
		if again := run(options, z, told); !reflect.DeepEqual(again, out) {
			t.Fatal("the same again gives something else")
		}
		permuted := make([]spans.Trace, len(told))
		for i, tr := range told {
			rest := 1
			if tr.Late {
				rest = 0
			}
			permuted[i] = spans.Trace{Late: tr.Late, Spans: slices.Concat(tr.Spans[:rest], rapid.Permutation(tr.Spans[rest:]).Draw(t, "order"))}
		}
		if got, want := bySpan(run(options, z, permuted)), bySpan(out); !reflect.DeepEqual(got, want) {
			t.Fatal("another order of the same spans gives something else")
		}
	})
}

func run(o budget.Options, z *otlp.Sizes, told []spans.Trace) []spans.Trace {
	b, now := budget.New(o, z), day
	var out []spans.Trace
	for _, tr := range told {
		now = now.Add(20 * time.Second)
		out = append(out, b.Apply(now, []spans.Trace{tr})...)
	}
	return append(out, b.Flush()...)
}

func bySpan(list []spans.Trace) map[trace.SpanID]spans.Span {
	out := map[trace.SpanID]spans.Span{}
	for _, tr := range list {
		for _, s := range tr.Sent().Spans {
			out[s.SpanID] = s
		}
	}
	return out
}

// measured is what spans take, as Tempo counts them.
func measured(z *otlp.Sizes, list []spans.Span) (bytes int) {
	seen := map[string]bool{}
	for i := range list {
		bytes += z.Span(&list[i])
		if key := fmt.Sprint(list[i].Service, list[i].Resource); !seen[key] {
			seen[key] = true
			bytes += z.Resource(&list[i])
		}
	}
	return bytes
}

// holdsItself checks that a trace with its root says how much is left out, and that what was
// left out took as long as the sums by phase say.
func holdsItself(t *rapid.T, tr spans.Trace) {
	if tr.Selection == nil {
		return
	}
	kept := map[trace.SpanID]bool{}
	for _, s := range tr.Selection.Spans {
		kept[s.SpanID] = true
	}
	if n := len(tr.Spans) - tr.Selection.LeftOut; n != len(tr.Selection.Spans) && len(tr.Spans) > 0 {
		t.Fatalf("%d spans are kept, and %d sent", n, len(tr.Selection.Spans))
	}
	if tr.Late || !kept[tr.Spans[0].SpanID] {
		return
	}
	root := tr.Selection.Spans[0]
	sum, events, moved := 0.0, 0, 0
	for _, kv := range root.Attributes {
		if _, statistic, ok := attr.LeftOutOf(kv.Key); ok && statistic == "total" {
			sum += kv.Value.AsFloat64()
		}
	}
	took, steps := 0.0, map[trace.SpanID]bool{}
	for _, s := range tr.Spans {
		steps[s.SpanID] = s.Kind == kind.ScaleUp || s.Kind == kind.Rollout
		if !kept[s.SpanID] && (kept[s.ParentID] || steps[s.ParentID]) {
			took += s.End.Sub(s.Start).Seconds()
		}
		events += len(s.Events)
	}
	for _, s := range tr.Selection.Spans {
		moved += len(s.Events)
	}
	if math.Abs(sum-took) > 1e-6 {
		t.Fatalf("what was left out took %g s, and the sums say %g s", took, sum)
	}
	count, _ := root.Attribute(attr.LeftOutSpansKey)
	if int(count.AsInt64()) != tr.Selection.LeftOut {
		t.Fatalf("%d spans are left out, and the root says %d", tr.Selection.LeftOut, count.AsInt64())
	}
	count, _ = root.Attribute(attr.LeftOutEventsKey)
	if int(count.AsInt64()) != events-moved {
		t.Fatalf("%d of %d events are sent, and the root says that %d are left out", moved, events, count.AsInt64())
	}
}
