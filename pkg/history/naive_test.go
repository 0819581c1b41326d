package history_test

import (
	"bytes"
	"cmp"
	"context"
	"errors"
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

	"github.com/rollspan/rollspan/pkg/history"
	"github.com/rollspan/rollspan/pkg/spans"
	"github.com/rollspan/rollspan/pkg/spans/attr"
	"github.com/rollspan/rollspan/pkg/spans/kind"
)

// noon is when all that is made up happens.
var noon = time.Date(2026, 11, 26, 12, 0, 0, 0, time.UTC)

// story makes up changes.
type story struct{ ids byte }

func (s *story) spanID() trace.SpanID {
	s.ids++
	return trace.SpanID{s.ids}
}

// change makes up the spans of a change: the root, pods below it, and containers below these.
func (s *story) change(t *rapid.T, id trace.TraceID) []spans.Span {
	start := noon.Add(time.Duration(rapid.IntRange(0, 59).Draw(t, "minute")) * time.Minute)
	of := rapid.SampledFrom([]attribute.KeyValue{
		semconv.K8SDeploymentName("web"), semconv.K8SDeploymentName("db"), semconv.K8SStatefulSetName("db"), semconv.K8SNodeName("node-a"),
	}).Draw(t, "of")
	root := spans.Span{
		TraceID: id, SpanID: s.spanID(), Kind: kind.Rollout, Name: "Deployment rollout", SpanKind: trace.SpanKindServer,
		Start: start, End: start.Add(time.Duration(rapid.IntRange(0, 40).Draw(t, "minutes")) * time.Minute),
		Resource: []attribute.KeyValue{semconv.K8SNamespaceName(rapid.SampledFrom([]string{"shop", "pay"}).Draw(t, "namespace")), of},
		Attributes: []attribute.KeyValue{
			attr.ChangeKey.String(string(rapid.SampledFrom([]attr.Change{attr.ChangeRollout, attr.ChangeScale}).Draw(t, "change"))),
			attr.OutcomeKey.String(string(attr.OutcomeComplete)),
		},
	}
	if of.Key == semconv.K8SNodeNameKey {
		root.Kind, root.Name = kind.NodeDisruption, "Node disruption"
	}
	if reason := rapid.SampledFrom([]string{"", "ImagePullBackOff", "OOMKilled"}).Draw(t, "reason"); reason != "" {
		root.Attributes[1] = attr.OutcomeKey.String(string(attr.OutcomeFailed))
		root.Attributes = append(root.Attributes, semconv.ErrorTypeKey.String(reason))
		root.Status, root.Message = codes.Error, reason+": it did not work"
	}
	list := []spans.Span{root}
	for range rapid.IntRange(0, 5).Draw(t, "spans") {
		parent := &list[rapid.IntRange(0, len(list)-1).Draw(t, "parent")]
		child := spans.Span{
			TraceID: id, SpanID: s.spanID(), ParentID: parent.SpanID, SpanKind: trace.SpanKindInternal, Service: "kubelet",
			Kind: rapid.SampledFrom([]kind.Kind{kind.PodStart, kind.PodStop, kind.PullImage}).Draw(t, "kind"),
			Name: "a pod", Start: parent.Start.Add(time.Second), End: parent.End.Add(time.Minute),
			Resource: []attribute.KeyValue{semconv.K8SPodName("web-0"), semconv.K8SNodeName(rapid.SampledFrom([]string{"node-a", "node-b"}).Draw(t, "node"))},
			Events: []spans.Event{{Name: "Pulled", Time: parent.Start, Attributes: []attribute.KeyValue{
				attr.K8SEventReasonKey.String("Pulled"), attr.K8SEventTypeKey.String("Normal"), attr.K8SEventCountKey.Int(2),
				attr.K8SEventLastTimeKey.String(parent.Start.Add(time.Minute).Format(time.RFC3339)),
			}}},
		}
		list = append(list, child)
	}
	return list
}

// portions cuts the spans of a change as they may be told: the root with some, and the others
// later, or before it. What is told may be told again.
func portions(t *rapid.T, list []spans.Span) []spans.Trace {
	with := rapid.IntRange(1, len(list)).Draw(t, "with the root")
	out := []spans.Trace{{Spans: list[:with]}}
	for rest := list[with:]; len(rest) > 0; {
		n := rapid.IntRange(1, len(rest)).Draw(t, "later")
		out = append(out, spans.Trace{Spans: rest[:n], Late: true})
		rest = rest[n:]
	}
	return append(out, out[:rapid.IntRange(0, len(out)).Draw(t, "again")]...)
}

// inSomeOrder says of which portions what is told when: numbers are shorter to read than spans.
func inSomeOrder(t *rapid.T, told []spans.Trace) (list []spans.Trace) {
	numbers := make([]int, len(told))
	for i := range numbers {
		numbers[i] = i
	}
	for _, i := range rapid.Permutation(numbers).Draw(t, "order") {
		list = append(list, told[i])
	}
	return list
}

// naive is a list of all that was told and is in progress, through which every question goes
// from one end to the other.
type naive struct {
	roots []spans.Span
	spans map[trace.SpanID]spans.Span
}

func (n *naive) add(t spans.Trace) {
	for i, s := range t.Spans {
		if _, told := n.spans[s.SpanID]; !told {
			n.spans[s.SpanID] = s
			if i == 0 && !t.Late {
				n.roots = append(n.roots, s)
			}
		}
	}
}

func (n *naive) rootOf(s spans.Span) trace.SpanID {
	for s.ParentID.IsValid() {
		var ok bool
		if s, ok = n.spans[s.ParentID]; !ok {
			return trace.SpanID{}
		}
	}
	return s.SpanID
}

func (n *naive) of(root spans.Span) (list []spans.Span) {
	for _, s := range n.spans {
		if n.rootOf(s) == root.SpanID {
			list = append(list, s)
		}
	}
	return list
}

func value(s *spans.Span, key attribute.Key) string {
	v, _ := s.Attribute(key)
	return v.AsString()
}

func nameOf(s *spans.Span) string {
	return cmp.Or(value(s, semconv.K8SDeploymentNameKey), value(s, semconv.K8SStatefulSetNameKey), value(s, semconv.K8SNodeNameKey))
}

func kindOf(s *spans.Span) string {
	switch {
	case value(s, semconv.K8SDeploymentNameKey) != "":
		return "Deployment"
	case value(s, semconv.K8SStatefulSetNameKey) != "":
		return "StatefulSet"
	}
	return "Node"
}

func (n *naive) outcome(s *spans.Span) attr.Outcome {
	return attr.Outcome(value(s, attr.OutcomeKey))
}

func anyOf[T cmp.Ordered](list []T, v T) bool { return list == nil || slices.Contains(list, v) }

// matching are the roots that match, those that began last first.
func (n *naive) matching(f history.Filter) (list []spans.Span) {
	for _, r := range n.roots {
		text := strings.ToLower(r.Name + " " + nameOf(&r) + " " + r.Message)
		if anyOf(f.Namespaces, value(&r, semconv.K8SNamespaceNameKey)) && anyOf(f.Names, nameOf(&r)) && anyOf(f.Kinds, kindOf(&r)) &&
			anyOf(f.Changes, attr.Change(value(&r, attr.ChangeKey))) && anyOf(f.Outcomes, n.outcome(&r)) && (!f.Over || n.outcome(&r) != attr.OutcomeOpen) &&
			anyOf(f.Reasons, value(&r, semconv.ErrorTypeKey)) && r.End.Sub(r.Start) >= f.MinDuration &&
			(f.From.IsZero() || !r.End.Before(f.From)) && (f.To.IsZero() || r.Start.Before(f.To)) &&
			strings.Contains(text, strings.ToLower(f.Text)) {
			list = append(list, r)
		}
	}
	slices.SortFunc(list, func(a, b spans.Span) int {
		return cmp.Or(b.Start.Compare(a.Start), bytes.Compare(b.TraceID[:], a.TraceID[:]), bytes.Compare(b.SpanID[:], a.SpanID[:]))
	})
	return list
}

func rootsOf(list []history.Summary) (ids []trace.SpanID) {
	for _, s := range list {
		ids = append(ids, s.ID.Root)
	}
	return ids
}

func idsOf(list []spans.Span) (ids []trace.SpanID) {
	for i := range list {
		ids = append(ids, list[i].SpanID)
	}
	return ids
}

func drawFilter(t *rapid.T) history.Filter {
	some := func(label string, values ...string) []string {
		return rapid.SampledFrom([][]string{nil, nil, values[:1], values[1:]}).Draw(t, label)
	}
	minute := func(label string) time.Time {
		if m := rapid.IntRange(-1, 100).Draw(t, label); m >= 0 {
			return noon.Add(time.Duration(m) * time.Minute)
		}
		return time.Time{}
	}
	f := history.Filter{
		Namespaces: some("namespaces", "shop", "pay"), Names: some("names", "web", "db", "node-a"), Kinds: some("kinds", "Deployment", "StatefulSet"),
		Reasons:     some("reasons", "ImagePullBackOff", ""),
		MinDuration: time.Duration(rapid.SampledFrom([]int{0, 0, 20}).Draw(t, "at least")) * time.Minute,
		Text:        rapid.SampledFrom([]string{"", "", "Rollout", "imagepull", "node-a"}).Draw(t, "text"),
	}
	if rapid.IntRange(0, 2).Draw(t, "bounded") == 0 {
		f.From, f.To = minute("from"), minute("to")
	}
	if rapid.IntRange(0, 3).Draw(t, "by change") == 0 {
		f.Changes = []attr.Change{attr.ChangeScale}
	}
	if rapid.IntRange(0, 3).Draw(t, "by outcome") == 0 {
		f.Outcomes = []attr.Outcome{attr.OutcomeFailed, attr.OutcomeOpen}
	}
	f.Over = rapid.IntRange(0, 3).Draw(t, "over") == 0
	return f
}

// Whatever is told in whatever order, both kinds of Store answer as somebody would who has all of
// it in a list.
func TestAnswersAreThoseOfAList(t *testing.T) {
	forEachStore(t, func(t *testing.T, open opener) {
		rapid.Check(t, func(t *rapid.T) { tellAndAsk(t, open) })
	})
}

func tellAndAsk(t *rapid.T, open opener) {
	var previews []spans.Trace
	store := open(history.Options{MaxAge: -1, InProgress: func(context.Context) ([]spans.Trace, error) { return previews, nil }})
	defer func() { _ = store.Close(t.Context()) }() // not only at the end, as there are many
	model := &naive{spans: map[trace.SpanID]spans.Span{}}
	made := &story{}
	var told []spans.Trace
	for i := range rapid.IntRange(1, 5).Draw(t, "traces") {
		for range rapid.SampledFrom([]int{1, 1, 2}).Draw(t, "changes of one trace") {
			list := made.change(t, trace.TraceID{byte(i + 1)})
			if rapid.IntRange(0, 3).Draw(t, "in progress") == 0 {
				list = slices.Clone(list)
				list[0].Attributes = slices.Clone(list[0].Attributes)
				list[0].Attributes[1] = attr.OutcomeKey.String(string(attr.OutcomeOpen))
				previews = append(previews, spans.Trace{Spans: list})
				continue
			}
			told = append(told, portions(t, list)...)
		}
	}
	for _, p := range inSomeOrder(t, told) {
		store.Add(p)
		model.add(p)
	}
	for _, p := range previews {
		model.add(p)
	}

	for range 3 {
		f := drawFilter(t)
		matching := model.matching(f)
		if got := everything(t, store, f); !slices.Equal(rootsOf(got), idsOf(matching)) {
			t.Fatalf("of %+v\nthe list has %v\nand not     %v", f, rootsOf(got), idsOf(matching))
		}
		checkFacets(t, store, f, matching)
		checkOverview(t, store, f, model, matching)
	}
	for _, root := range model.roots {
		checkChange(t, store, model, root)
	}
	none := history.ID{Trace: trace.TraceID{99}, Root: trace.SpanID{99}}
	if c, err := store.Change(t.Context(), none); !errors.Is(err, history.ErrNotFound) {
		t.Fatalf("%+v, %v was found", c, err)
	}
	if got := store.Stats().Changes; got != int64(len(model.roots)-len(previews)) {
		t.Fatalf("%d changes are counted", got)
	}
}

func checkChange(t *rapid.T, store history.Store, model *naive, root spans.Span) {
	id := history.ID{Trace: root.TraceID, Root: root.SpanID}
	want := model.of(root)
	c, err := store.Change(t.Context(), id)
	if err != nil || c.Spans[0].SpanID != root.SpanID || c.Summary.Spans != len(want) || len(c.Spans) != len(want) {
		t.Fatalf("of %d spans of %s there are %+v, %v", len(want), id, c, err)
	}
	last := time.Time{}
	for i := range c.Spans {
		told := model.spans[c.Spans[i].SpanID]
		if !slices.ContainsFunc(want, func(s spans.Span) bool { return s.SpanID == told.SpanID }) || !reflect.DeepEqual(inUTC(&told), inUTC(&c.Spans[i])) {
			t.Fatalf("told %+v, found %+v", told, c.Spans[i])
		}
		if told.End.After(last) {
			last = told.End
		}
	}
	if !c.Last.Equal(last) || c.Start != root.Start || c.End != root.End || c.Name != nameOf(&root) || c.Kind != kindOf(&root) || c.Outcome != model.outcome(&root) {
		t.Fatalf("%s is %+v", id, c.Summary)
	}

	var others []trace.SpanID
	var before *spans.Span
	for _, r := range model.matching(history.Filter{}) {
		if r.TraceID == root.TraceID {
			others = append(others, r.SpanID)
		}
		earlier := r.Start.Before(root.Start) || r.Start.Equal(root.Start) && bytes.Compare(append(r.TraceID[:], r.SpanID[:]...), append(root.TraceID[:], root.SpanID[:]...)) < 0
		if before == nil && earlier && model.outcome(&r) == attr.OutcomeComplete && kindOf(&r) == kindOf(&root) &&
			nameOf(&r) == nameOf(&root) && value(&r, semconv.K8SNamespaceNameKey) == value(&root, semconv.K8SNamespaceNameKey) {
			before = &r
		}
	}
	slices.Reverse(others)
	if got, err := store.Trace(t.Context(), root.TraceID); err != nil || !slices.Equal(rootsOf(got), others) {
		t.Fatalf("the trace has %v, %v, and not %v", rootsOf(got), err, others)
	}
	got, err := store.Before(t.Context(), id, history.Filter{Outcomes: []attr.Outcome{attr.OutcomeComplete}})
	switch {
	case before == nil && !errors.Is(err, history.ErrNotFound):
		t.Fatalf("before %s was %+v, %v", id, got, err)
	case before != nil && (err != nil || got.ID.Root != before.SpanID):
		t.Fatalf("before %s was %s and not %+v, %v", id, before.SpanID, got, err)
	}
}

func checkFacets(t *rapid.T, store history.Store, f history.Filter, matching []spans.Span) {
	facets, err := store.Facets(t.Context(), f)
	if err != nil {
		t.Fatal(err)
	}
	want := map[string]int{}
	for i := range matching {
		want[kindOf(&matching[i])]++
	}
	got := map[string]int{}
	for i, f := range facets.Kinds {
		got[f.Value] = f.Count
		if i > 0 && f.Count > facets.Kinds[i-1].Count {
			t.Fatalf("%+v are not in order", facets.Kinds)
		}
	}
	if !reflect.DeepEqual(got, want) {
		t.Fatalf("kinds are %v and not %v", got, want)
	}
}

// checkOverview counts the changes, the pods and the Events of an overview.
func checkOverview(t *rapid.T, store history.Store, f history.Filter, model *naive, matching []spans.Span) {
	if f.From.IsZero() || f.To.IsZero() || !f.From.Before(f.To) {
		return
	}
	o, err := store.Overview(t.Context(), history.OverviewQuery{Filter: f, Steps: 7})
	if err != nil {
		t.Fatal(err)
	}
	var changes []trace.SpanID
	pods := 0
	events := 0
	for _, l := range o.Workloads {
		changes = append(changes, rootsOf(l.Changes)...)
		pods += len(l.Pods)
		for _, e := range l.Events {
			events += e.Normal
		}
	}
	wantPods, wantEvents := false, 0
	for _, r := range matching {
		for _, s := range model.of(r) {
			for _, e := range s.Events {
				for _, at := range []time.Time{e.Time, e.Time.Add(time.Minute)} {
					if !at.Before(f.From) && at.Before(f.To) {
						wantEvents++
					}
				}
			}
			wantPods = wantPods || s.Kind == kind.PodStart && s.Start.Before(f.To)
		}
	}
	want := idsOf(matching)
	slices.SortFunc(want, func(a, b trace.SpanID) int { return bytes.Compare(a[:], b[:]) })
	slices.SortFunc(changes, func(a, b trace.SpanID) int { return bytes.Compare(a[:], b[:]) })
	if !slices.Equal(changes, want) || events != wantEvents {
		t.Fatalf("of %+v: the overview has %v and %d Events, and not %v and %d", f, changes, events, want, wantEvents)
	}
	if wantPods && pods != 1 {
		t.Fatalf("there are %d pods, of which each change tells something else", pods)
	}
}
