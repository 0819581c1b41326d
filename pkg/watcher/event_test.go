package watcher

import (
	"context"
	"encoding/json"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	corev1 "k8s.io/api/core/v1"
	eventsv1 "k8s.io/api/events/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/strategicpatch"
	"k8s.io/apimachinery/pkg/watch"
	"k8s.io/client-go/tools/events"

	"github.com/rollspan/rollspan/pkg/causality"
)

// eventSink keeps Events as an API server does, and records what a watch would
// see of them.
type eventSink struct {
	mu     sync.Mutex
	stored map[string]*eventsv1.Event
	lines  []string
}

func (s *eventSink) put(t watch.EventType, ev *eventsv1.Event) (*eventsv1.Event, error) {
	ev.APIVersion, ev.Kind = "events.k8s.io/v1", "Event"
	ev.UID = types.UID("uid of " + ev.Name)
	s.stored[ev.Name] = ev.DeepCopy()
	b, err := json.Marshal(recordedLine{Time: time.Now().UTC().Format(time.RFC3339Nano), Type: t, Object: ev})
	s.lines = append(s.lines, string(b))
	return ev, err
}

func (s *eventSink) Create(_ context.Context, ev *eventsv1.Event) (*eventsv1.Event, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.put(watch.Added, ev.DeepCopy())
}

func (s *eventSink) Update(context.Context, *eventsv1.Event) (*eventsv1.Event, error) {
	panic("client-go patches")
}

func (s *eventSink) Patch(_ context.Context, ev *eventsv1.Event, patch []byte) (*eventsv1.Event, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	old, err := json.Marshal(s.stored[ev.Name])
	if err != nil {
		return nil, err
	}
	merged, err := strategicpatch.StrategicMergePatch(old, patch, eventsv1.Event{})
	if err != nil {
		return nil, err
	}
	var out eventsv1.Event
	if err := json.Unmarshal(merged, &out); err != nil {
		return nil, err
	}
	return s.put(watch.Modified, &out)
}

// What client-go's recorder for events.k8s.io writes of an Event that comes
// seven times is counted seven times, from the first to the last.
func TestEventSeries(t *testing.T) {
	for _, about := range []corev1.ObjectReference{
		{APIVersion: "autoscaling/v2", Kind: "HorizontalPodAutoscaler", Namespace: "shop", Name: "web", UID: "a"},
		{APIVersion: "example.com/v1", Kind: "Shop", Namespace: "shop", Name: "web", UID: "b"},
		{APIVersion: "v1", Kind: "PersistentVolume", Name: "volume", UID: "c"},
	} {
		t.Run(about.Kind, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				sink := &eventSink{stored: map[string]*eventsv1.Event{}}
				ctx, cancel := context.WithCancel(t.Context())
				broadcaster := events.NewBroadcaster(sink)
				defer func() {
					cancel()
					broadcaster.Shutdown()
				}()
				if err := broadcaster.StartRecordingToSinkWithContext(ctx); err != nil {
					t.Fatal(err)
				}
				recorder := broadcaster.NewRecorder(runtime.NewScheme(), "some-controller")
				first := time.Now()
				var last time.Time
				for range 7 {
					last = time.Now()
					recorder.Eventf(&about, nil, corev1.EventTypeWarning, "Broken", "Mend", "cannot %s", "mend it")
					time.Sleep(10 * time.Second)
				}
				time.Sleep(15 * time.Minute) // until the recorder writes down the end of the series
				sink.mu.Lock()
				defer sink.mu.Unlock()
				if len(sink.lines) < 3 {
					t.Fatalf("the recorder wrote only %q", sink.lines)
				}

				observations, broken := readString(t, strings.Join(sink.lines, "\n"))
				if len(broken) > 0 {
					t.Fatal(broken)
				}
				end := observations[len(observations)-1].Object.(*corev1.Event)
				if end.Series.Count != 7 || !end.Series.LastObservedTime.Time.Equal(last) || !end.EventTime.Time.Equal(first) ||
					end.InvolvedObject != about || end.Source.Component != "" || end.ReportingController != "some-controller" {
					t.Errorf("read %+v", end)
				}
				// The recorder writes the count down late, so the span must be long.
				engine := causality.New(causality.Options{Quiet: time.Hour})
				for _, o := range observations {
					engine.Observe(o)
				}
				traces := engine.Flush()
				if len(traces) != 1 || len(traces[0].Root().Events) != 1 {
					t.Fatalf("told %+v", traces)
				}
				told := traces[0].Root().Events[0]
				want := map[string]string{"k8s.event.count": "7", "k8s.event.last_time": last.UTC().Format(time.RFC3339Nano), "k8s.event.source": "some-controller"}
				for _, kv := range told.Attributes {
					if v, ok := want[string(kv.Key)]; ok && kv.Value.String() != v {
						t.Errorf("%s is %s, want %s", kv.Key, kv.Value.String(), v)
					}
					delete(want, string(kv.Key))
				}
				if len(want) > 0 || !told.Time.Equal(first) {
					t.Errorf("told %+v", told)
				}
			})
		})
	}
}

// Every Event can be read through either API. What is counted the old way says
// the same through the new one.
func TestCoreEventCountsBothWays(t *testing.T) {
	at := func(second int) metav1.MicroTime { return metav1.NewMicroTime(time.Unix(int64(second), 5000)) }
	old := eventsv1.Event{
		DeprecatedCount: 5, DeprecatedFirstTimestamp: metav1.Unix(10, 0), DeprecatedLastTimestamp: metav1.Unix(50, 0),
		DeprecatedSource: corev1.EventSource{Component: "kubelet", Host: "n1"},
	}
	got := coreEvent(&old)
	if got.Count != 5 || got.Series != nil || !got.FirstTimestamp.Equal(&old.DeprecatedFirstTimestamp) ||
		!got.LastTimestamp.Equal(&old.DeprecatedLastTimestamp) || got.Source != old.DeprecatedSource || !got.EventTime.IsZero() {
		t.Errorf("old: %+v", got)
	}
	series := eventsv1.Event{EventTime: at(10), Series: &eventsv1.EventSeries{Count: 3, LastObservedTime: at(30)}}
	got = coreEvent(&series)
	if got.Count != 0 || got.Series.Count != 3 || !got.Series.LastObservedTime.Time.Equal(at(30).Time) || !got.EventTime.Time.Equal(at(10).Time) {
		t.Errorf("series: %+v", got)
	}
}
