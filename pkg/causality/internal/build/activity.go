package build

import (
	"cmp"
	"slices"
	"strconv"
	"time"

	"go.opentelemetry.io/otel/attribute"

	"github.com/rollspan/rollspan/pkg/causality/internal/evidence"
	"github.com/rollspan/rollspan/pkg/causality/internal/ledger"
	"github.com/rollspan/rollspan/pkg/causality/internal/podlife"
	"github.com/rollspan/rollspan/pkg/spans"
	"github.com/rollspan/rollspan/pkg/spans/attr"
	"github.com/rollspan/rollspan/pkg/spans/kind"
)

// StartsOn reports whether the pod, whose start was handed out up to the failure of its
// rollout, was still starting at t.
func StartsOn(pod *podlife.Pod, t time.Time) bool {
	if tr, ok := pod.FirstReady(); ok {
		return !t.After(tr.At.At())
	}
	switch {
	case pod.Finished.Known():
		return !t.After(pod.Finished.At())
	case pod.Lost():
		return !t.After(pod.LostAt().At())
	}
	return true
}

// ActivityTrace is the trace of a burst of Events, up to a time if that is not zero.
// Those that were there before the watcher was are old news and are passed over. attrs describe
// the object, and app is the service that it is part of.
func ActivityTrace(o *podlife.Object, attrs []attribute.KeyValue, app *spans.App, left []*podlife.Event, until time.Time) (spans.Trace, bool) {
	left = sinceWatched(left)
	if len(left) == 0 {
		return spans.Trace{}, false
	}
	start := left[0].First()
	end := start
	for _, ev := range left {
		end = evidence.Latest(end, ev.Until(until).At)
	}
	b := &builder{
		place: ledger.OwnPlace(append([]string{o.Unique(), string(attr.ChangeActivity), strconv.FormatInt(left[0].Stated().UnixNano(), 10)}, left[0].Identity()...)...),
		base:  attrs, app: app,
	}
	service := cmp.Or(left[0].Component, attr.ServiceUnknown)
	root := b.add(SpanSpec{
		Kind: kind.Activity, Object: KindOrNone(o), Service: service, Subject: o.Subject(),
		Start: start, End: end, Attrs: []attribute.KeyValue{
			attr.ChangeKey.String(string(attr.ChangeActivity)),
			attr.OutcomeKey.String(string(attr.OutcomeComplete)),
		},
	})
	for _, ev := range left {
		attach(root, ev, until)
	}
	return b.done(), true
}

// sinceWatched passes over what there was of Events before the watcher was, and returns
// what came after that.
func sinceWatched(events []*podlife.Event) []*podlife.Event {
	var since []*podlife.Event
	for _, ev := range events {
		if last, ok := ev.Listed(); ok {
			ev.Ledger.PassOver(last.Count, last.At)
		}
		if ev = ev.Untold(); ev != nil {
			since = append(since, ev)
		}
	}
	slices.SortFunc(since, (*podlife.Event).Compare)
	return since
}

// KindOrNone is the kind of the object, as names of spans have it.
func KindOrNone(o *podlife.Object) string { return cmp.Or(o.Kind, "Object") }
