package watcher

import (
	"errors"
	"log/slog"
	"maps"
	"net/url"
	"testing"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
)

// What cannot be read is told by kind, be it refused or not answered, and from when on it could.
func TestReadable(t *testing.T) {
	log := slog.New(slog.DiscardHandler)
	shopPods, otherPods := source{kind: podKind, namespace: "shop"}, source{kind: podKind, namespace: "other"}
	events := source{kind: eventKind, namespace: "shop", optional: true}
	s := &streams{
		now: time.Now, sources: []source{shopPods, otherPods, events}, trouble: newTrouble(log, "here"), log: log,
		metrics: newStreamMetrics(), denied: func(source) {},
	}
	is := func(what string, pods, events float64) {
		t.Helper()
		if got, want := s.readable(), map[string]float64{"Pod": pods, "Event": events}; !maps.Equal(got, want) {
			t.Errorf("%s: %v, want %v", what, got, want)
		}
	}
	report := func(src source, err error) { s.report(t.Context(), src, metav1.ListOptions{}, err) }
	refused := &url.Error{Op: "Get", URL: "https://here", Err: errors.New("connection refused")}
	forbidden := apierrors.NewForbidden(schema.GroupResource{Resource: "events"}, "", errors.New("no"))

	is("before the first lists", 0, 0)
	s.noteThrough(shopPods)
	is("one namespace is read", 0.5, 0)
	s.noteThrough(otherPods)
	report(events, forbidden)
	is("Events are left out", 1, 0)
	report(events, nil)
	s.noteThrough(events)
	is("the permission is granted", 1, 1)
	report(events, forbidden)
	is("and taken away", 1, 0)
	report(events, nil)
	report(shopPods, refused)
	is("the API server does not answer", 0, 0)
	report(shopPods, nil)
	is("it does", 1, 1)
}
