package watcher

import (
	"fmt"
	"slices"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/watch"

	"github.com/rollspan/rollspan/pkg/causality"
)

// A store that begins with what a journal says takes the first list for one more list after an
// outage: what was made, changed or deleted meanwhile comes out as such, and what is as it was
// does not.
func TestResumption(t *testing.T) {
	pod := func(name, uid, version string) *corev1.Pod {
		p := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Namespace: "shop", Name: name, UID: types.UID(uid), ResourceVersion: version}}
		p.SetGroupVersionKind(podKind.GroupVersionKind)
		return p
	}
	event := func(name, version string) *corev1.Event {
		e := &corev1.Event{ObjectMeta: metav1.ObjectMeta{Namespace: "shop", Name: name, UID: types.UID(name), ResourceVersion: version}}
		e.SetGroupVersionKind(eventKind.GroupVersionKind)
		return e
	}
	before := &resumption{listed: func(source string) bool { return source == "pods" || source == "events" }}
	before.reset()
	for _, o := range []causality.Observation{
		{Type: watch.Added, Object: pod("same", "1", "10")},
		{Type: watch.Added, Object: pod("changed", "2", "11")},
		{Type: watch.Added, Object: pod("gone", "3", "12")},
		{Type: watch.Added, Object: pod("replaced", "4", "13")},
		{Type: watch.Added, Object: pod("deleted", "5", "14")},
		{Type: watch.Deleted, Object: pod("deleted", "5", "15")},
		{Type: watch.Added, Object: event("old", "20")},
	} {
		before.observed(o)
	}
	var got []string
	synced := 0
	s := &streams{now: time.Now, resumed: before, log: newTestLive(t).options.Log, metrics: newStreamMetrics()}
	s.emit = func(o causality.Observation) error {
		m := o.Object.(metav1.Object)
		got = append(got, fmt.Sprintf("%s %s %s initial=%t", o.Type, m.GetName(), m.GetUID(), o.Initial))
		return nil
	}
	pods := s.objectStore(source{kind: podKind})
	events := &eventStore{store: s.baseStore(source{kind: eventKind})}
	before.events(events, source{kind: eventKind})
	pods.synced, events.synced = func() { synced++ }, func() { synced++ }
	pods.now = time.Now
	if err := pods.Replace([]any{pod("same", "1", "10"), pod("changed", "2", "30"), pod("replaced", "6", "31"), pod("new", "7", "32")}, "40"); err != nil {
		t.Fatal(err)
	}
	if err := events.Replace([]any{event("old", "20"), event("new", "33")}, "40"); err != nil {
		t.Fatal(err)
	}
	slices.Sort(got)
	want := []string{
		"ADDED new 7 initial=false", "ADDED new new initial=false", "ADDED replaced 6 initial=false",
		"DELETED gone 3 initial=false", "DELETED replaced 4 initial=false", "MODIFIED changed 2 initial=false",
	}
	if !slices.Equal(got, want) {
		t.Errorf("got  %q\nwant %q", got, want)
	}
	if synced != 2 {
		t.Errorf("%d first lists are through", synced)
	}

	// A source whose first list was not through before begins with one.
	got = nil
	others := s.objectStore(source{kind: deploymentKind})
	if err := others.Replace([]any{pod("web", "8", "34")}, "40"); err != nil {
		t.Fatal(err)
	}
	if !slices.Equal(got, []string{"ADDED web 8 initial=true"}) {
		t.Errorf("got %q", got)
	}
}

// Where there is a journal, and nowhere to watch on from, what lists say of pods is told behind what
// they say of all else, whichever comes first.
func TestListedPodsAreToldLast(t *testing.T) {
	l := newTestLive(t)
	engine := &noting{Engine: causality.New(causality.Options{})}
	k := remembering(t, engine)
	l.backlog = newBacklog(map[string]bool{})
	var want []string
	observations := recorded(t, "slow-image-pull.jsonl")
	for _, o := range observations {
		l.take(nil, queued{mark: &sourceMark{source: l.sourceOf(o), listing: true}})
	}
	for _, o := range observations {
		l.take(nil, queued{Observation: o})
		if p, ok := o.Object.(*corev1.Pod); ok {
			want = append(want, p.ResourceVersion)
		}
	}
	l.tellBacklog(k)
	var got []string
	for _, o := range engine.told[len(engine.told)-len(want):] {
		if p, ok := o.Object.(*corev1.Pod); ok {
			got = append(got, p.ResourceVersion)
		}
	}
	if len(want) == 0 || !slices.Equal(got, want) || len(engine.told) != len(observations) {
		t.Errorf("the last pods of %d are %q, want %q of %d", len(engine.told), got, want, len(observations))
	}
}
